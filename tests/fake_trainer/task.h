#ifndef LOGLOG_TESTS_FAKE_TRAINER_TASK_H_
#define LOGLOG_TESTS_FAKE_TRAINER_TASK_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loglog {

// Exit codes of the trainer's contract.
constexpr int kExitDone = 0;
constexpr int kExitDiverged = 10;
constexpr int kExitRefused = 20;
constexpr int kExitHostUnusable = 41;
constexpr int kExitAskedToStop = 143;

// What the fake needs of one member: numbers that its made-up losses depend on.
struct Member {
  int64_t seed = 0;
  double params = 1e4;  // stands for N
  double beta = 0.3;    // exponent of the planted law, a function of gamma and decay
  uint64_t chain = 0;   // state that only the right sequence of steps reaches
};

struct Task {
  int64_t attempt_id = 0;
  int64_t task_id = 0;
  int64_t step_begin = 0;
  int64_t step_end = 0;
  int64_t batch_tokens = 0;
  int64_t row_every = 10;
  int64_t eval_every = 1;  // steps
  int64_t checkpoint_every = 200;
  int64_t checkpoint_keep = 2;
  std::string run_dir;
  std::string checkpoint_dir;
  std::string resume_path;  // empty: from fresh weights
  std::string resume_sha256;
  std::vector<Member> members;
};

// Throws std::runtime_error that names the file and the field.
Task ReadTask(const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_TASK_H_
