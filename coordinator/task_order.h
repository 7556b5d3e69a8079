#ifndef LOGLOG_COORDINATOR_TASK_ORDER_H_
#define LOGLOG_COORDINATOR_TASK_ORDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "plan/spec.h"
#include "store/rows.h"

namespace loglog {

// What a worker needs to start an attempt.
struct TaskOrder {
  int64_t attempt_id = 0;
  int64_t task_id = 0;
  std::string task_json;
  int64_t resume_step = 0;
  std::string resume_path;
  std::string resume_sha256;
  bool branches = false;   // the checkpoint is the trunk's, see StartPoint
  std::vector<int> slots;  // all that the attempt holds, the lead first
};

// What an attempt goes on from: the newest checkpoint of its task, or the one that its trunk left
// for it where that is further on. A branch whose trunk's checkpoint its worker cannot read begins
// with fresh weights and trains the same numbers.
struct StartPoint {
  std::optional<CheckpointRow> checkpoint;
  bool branches = false;

  int64_t step() const { return checkpoint.has_value() ? checkpoint->step : 0; }
};

// The trainer's task file without what only the worker knows. Configurations go in as
// the bytes that were hashed. Checkpoints that `branches` of the task begin at stay.
std::string TaskJson(int64_t attempt_id, const TaskRow& task, const StartPoint& start,
                     absl::Span<const BranchRow> branches, absl::Span<const MemberConfig> members,
                     const CheckpointSpec& checkpoint);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_TASK_ORDER_H_
