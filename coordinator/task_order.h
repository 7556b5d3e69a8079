#ifndef LOGLOG_COORDINATOR_TASK_ORDER_H_
#define LOGLOG_COORDINATOR_TASK_ORDER_H_

#include <cstdint>
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
  std::vector<int> slots;  // all that the attempt holds, the lead first
};

// The trainer's task file without what only the worker knows. Configurations go in as
// the bytes that were hashed.
std::string TaskJson(int64_t attempt_id, const TaskRow& task,
                     absl::Span<const MemberConfig> members, const CheckpointSpec& checkpoint);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_TASK_ORDER_H_
