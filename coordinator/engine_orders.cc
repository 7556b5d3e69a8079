// What an attempt is told to train, and from which checkpoint.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "coordinator/engine.h"
#include "coordinator/task_order.h"

namespace loglog {

absl::StatusOr<StartPoint> Engine::StartPointOn(const WorkerRow& worker, int64_t task_id) {
  StartPoint start;
  LOGLOG_ASSIGN_OR_RETURN(
      start.checkpoint,
      store_->read().NewestCheckpoint(task_id, worker.worker_id, worker.checkpoint_scope));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> trunk,
                          store_->read().ListBranchCheckpoints(task_id));
  for (const CheckpointRow& one : trunk) {
    const bool reads = one.worker_id == worker.worker_id ||
                       (!one.scope.empty() && one.scope == worker.checkpoint_scope);
    if (!reads || one.step <= start.step()) continue;
    start = {.checkpoint = one, .branches = true};
  }
  return start;
}

absl::StatusOr<TaskOrder> Engine::OrderOf(int64_t attempt_id) {
  const auto known = orders_.find(attempt_id);
  if (known != orders_.end()) return known->second;
  // It was granted before the coordinator started.
  LOGLOG_ASSIGN_OR_RETURN(const AttemptRow attempt, store_->read().GetAttempt(attempt_id));
  StartPoint start;
  if (attempt.resume_step > 0) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> trunk,
                            store_->read().ListBranchCheckpoints(attempt.task_id));
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> own,
                            store_->read().ListCheckpoints(attempt.task_id));
    for (const CheckpointRow& one : trunk) {
      if (one.step == attempt.resume_step) start = {.checkpoint = one, .branches = true};
    }
    for (const CheckpointRow& one : own) {
      if (one.step == attempt.resume_step) start = {.checkpoint = one, .branches = false};
    }
  }
  LOGLOG_ASSIGN_OR_RETURN(orders_[attempt_id], MakeOrder(attempt, start));
  return orders_[attempt_id];
}

absl::StatusOr<TaskOrder> Engine::MakeOrder(const AttemptRow& attempt, const StartPoint& start) {
  LOGLOG_ASSIGN_OR_RETURN(const TaskRow task, store_->read().GetTask(attempt.task_id));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<MemberConfig> members,
                          store_->read().ListMemberConfigs(attempt.task_id));
  LOGLOG_ASSIGN_OR_RETURN(const SpecInfo* spec, SpecOf(task.sweep_id));
  TaskOrder order;
  order.attempt_id = attempt.attempt_id;
  order.task_id = task.task_id;
  order.slots = {attempt.slot};
  order.slots.insert(order.slots.end(), attempt.followers.begin(), attempt.followers.end());
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<BranchRow> branches,
                          store_->read().ListBranches(task.task_id));
  order.task_json = TaskJson(attempt.attempt_id, task, start, branches, members, spec->checkpoint);
  order.branches = start.branches;
  if (start.checkpoint.has_value()) {
    order.resume_step = start.checkpoint->step;
    order.resume_path = start.checkpoint->path;
    order.resume_sha256 = start.checkpoint->sha256;
  }
  return order;
}

absl::Status Engine::ReleaseBranches(int64_t trunk_task_id, int64_t step,
                                     const std::string& worker_id) {
  if (!scheduler_->HasWaitingBranches(trunk_task_id)) return absl::OkStatus();
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<BranchRow> branches,
                          store_->read().ListBranches(trunk_task_id));
  for (const BranchRow& branch : branches) {
    if (branch.step == step) scheduler_->NoteBranchPoint(branch.task_id, worker_id, now_ms_);
  }
  return absl::OkStatus();
}

}  // namespace loglog
