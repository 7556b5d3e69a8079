// task.json: what one process of loglog-trainer is to train, and where it writes.
#ifndef LOGLOG_TRAINER_TASK_H_
#define LOGLOG_TRAINER_TASK_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config.h"

namespace loglog {

struct ResumePoint {
  int64_t step = 0;
  std::string path;
  std::string sha256;  // of the checkpoint's manifest
};

struct Task {
  int64_t attempt_id = 0;
  std::vector<MemberConfig> members;
  int64_t token_begin = 0;
  int64_t token_end = 0;
  int64_t checkpoint_every = 200;  // steps; 0: only when asked to stop
  int64_t checkpoint_keep = 2;
  std::set<int64_t> checkpoint_at;  // steps with a checkpoint that stays, to branch from
  std::string run_dir;
  std::string checkpoint_dir;
  std::string data_root = ".";
  std::string device = "cpu";
  int threads = 1;
  // Processes that share every batch, each on a device of its own; rank 0 has `device`. No part of
  // the configuration: a checkpoint of some ranks is one for any number of them.
  int ranks = 1;
  std::vector<std::string> devices;  // of the ranks, when they are CUDA devices
  std::optional<ResumePoint> resume;
  // A checkpoint of another task that this one begins with when it has none of its own; of the
  // step of token_begin.
  std::optional<ResumePoint> branch;

  const std::string& DeviceOf(int rank) const {
    return devices.empty() ? device : devices[static_cast<size_t>(rank)];
  }
  const MemberConfig& first() const { return members[0]; }
  int64_t BeginStep() const { return token_begin / first().train.batch_tokens; }
  int64_t EndStep() const { return token_end / first().train.batch_tokens; }
};

// Reads and checks a task. Folders that the task does not name follow from `folder`, the
// one the task file is in. Throws ConfigError whose message begins with `file` and names
// the JSON path and the fix.
Task ParseTask(std::string_view text, const std::string& file, const std::string& folder);

// A member's configuration and seed as canonical JSON, keys sorted: every field of the first
// version, and later ones that differ from their default.
std::string CanonicalMember(const MemberConfig& member);

// Reads what CanonicalMember wrote. Throws ConfigError, beginning with `file`.
MemberConfig ParseCanonicalMember(std::string_view text, const std::string& file);

// Hash of all members' canonical JSON: two tasks with the same hash train the same
// numbers. Names, folders, device and the range of tokens do not count.
std::string ConfigSha256(const std::vector<MemberConfig>& members);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_TASK_H_
