#ifndef LOGLOG_WORKER_WORKER_TESTING_H_
#define LOGLOG_WORKER_WORKER_TESTING_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/unique_id.h"
#include "worker/slot.h"

namespace loglog::worker {

constexpr int64_t kLongMs = 30'000;

// A folder that goes away with the object.
class TempDir {
 public:
  TempDir() { EXPECT_TRUE(MakeDirs(path_, 0700).ok()); }
  ~TempDir() { EXPECT_TRUE(RemoveTree(path_).ok()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_ = absl::StrCat(::testing::TempDir(), "/worker-", RandomHexId(6));
};

inline void AppendTo(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

inline std::string RowLine(int64_t step) {
  return absl::StrCat("{\"e\":\"row\",\"member\":0,\"step\":", step, ",\"tokens\":", step * 4,
                      ",\"values\":{\"loss/train\":", 1.0 / static_cast<double>(step + 1),
                      ",\"norm/grad\":2.5}}\n");
}

// Looks every few milliseconds until `condition` holds. False after kLongMs.
inline bool Eventually(const std::function<bool()>& condition) {
  const int64_t deadline_ms = Clock::Real()->monotonic_ms() + kLongMs;
  while (!condition()) {
    if (Clock::Real()->monotonic_ms() > deadline_ms) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

// What the fake trainer does wrong, for trainers started while the object lives.
class ScopedMisbehaviour {
 public:
  explicit ScopedMisbehaviour(const std::string& text) {
    setenv("LOGLOG_FAKE_TRAINER", text.c_str(), 1);
  }
  ~ScopedMisbehaviour() { unsetenv("LOGLOG_FAKE_TRAINER"); }
};

// A task as the coordinator writes it, of `steps` steps of 1,024 tokens.
inline TaskOrder MakeOrder(int64_t attempt_id, int64_t task_id, int64_t steps, int members = 1) {
  std::string list;
  for (int i = 0; i < members; ++i) {
    absl::StrAppend(&list, i > 0 ? "," : "", "{\"trial\":\"t", i, "\",\"seed\":", i,
                    ",\"config\":{\"train\":{\"tokens\":", steps * 1024,
                    ",\"batch_tokens\":1024},\"metrics\":{\"every\":1}}}");
  }
  TaskOrder order{.attempt_id = attempt_id, .task_id = task_id};
  order.task_json =
      absl::StrCat("{\"format\":1,\"task_id\":", task_id, ",\"attempt_id\":", attempt_id,
                   ",\"members\":[", list, "],\"token_begin\":0,\"token_end\":", steps * 1024,
                   ",\"checkpoint\":{\"every\":10,\"keep\":2}}");
  return order;
}

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_WORKER_TESTING_H_
