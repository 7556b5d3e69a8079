// Tasks, attempts, checkpoints and workers.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/read_store.h"
#include "store/rows_from.h"

namespace loglog {
namespace {

#define LOGLOG_TASK_COLUMNS                                                               \
  "SELECT k.task_id, k.sweep_id, k.state, k.token_begin, k.token_end, coalesce((SELECT "  \
  "d.parent_task_id FROM task_deps d WHERE d.task_id = k.task_id), 0), k.failure_count, " \
  "k.lost_count, k.not_before_ms, k.last_attempt_id, k.message FROM tasks k "

TaskRow TaskOf(const Cursor& row) {
  TaskRow task;
  task.task_id = row.Int(0);
  task.sweep_id = row.Int(1);
  task.state = TaskStateOf(row.Text(2));
  task.token_begin = row.Int(3);
  task.token_end = row.Int(4);
  task.parent_task_id = row.Int(5);
  task.failure_count = static_cast<int>(row.Int(6));
  task.lost_count = static_cast<int>(row.Int(7));
  task.not_before_ms = row.Int(8);
  task.last_attempt_id = row.Int(9);
  task.message = row.Text(10);
  return task;
}

absl::Status AddMembers(Connection* db, TaskRow* task) {
  Cursor row = db->Query(
      "SELECT member, trial_id FROM task_members WHERE task_id = ?1 ORDER BY member, trial_id",
      task->task_id);
  while (row.Next()) task->members.push_back({static_cast<int>(row.Int(0)), row.Int(1)});
  return row.status();
}

#define LOGLOG_ATTEMPT_COLUMNS                                                           \
  "SELECT attempt_id, task_id, worker_id, slot, session_epoch, state, lease_ms, "        \
  "resume_step, last_seq, create_ms, start_ms, end_ms, exit_code, signal, message, "     \
  "trainer_version, data_sha256, params_total, params_non_embedding, flops_per_token, "  \
  "total_steps, tokens_per_second, slot_count, stop_cause, coalesce((SELECT "            \
  "group_concat(l.slot) FROM live_slots l WHERE l.attempt_id = attempts.attempt_id AND " \
  "l.slot <> attempts.slot), '') FROM attempts "

AttemptRow AttemptOf(const Cursor& row) {
  AttemptRow attempt;
  attempt.attempt_id = row.Int(0);
  attempt.task_id = row.Int(1);
  attempt.worker_id = row.Text(2);
  attempt.slot = static_cast<int>(row.Int(3));
  attempt.session_epoch = row.Int(4);
  attempt.state = AttemptStateOf(row.Text(5));
  attempt.lease_ms = row.Int(6);
  attempt.resume_step = row.Int(7);
  attempt.last_seq = row.Int(8);
  attempt.create_ms = row.Int(9);
  attempt.start_ms = row.Int(10);
  attempt.end_ms = row.Int(11);
  attempt.exit_code = static_cast<int>(row.Int(12));
  attempt.signal = static_cast<int>(row.Int(13));
  attempt.message = row.Text(14);
  attempt.trainer_version = row.Text(15);
  attempt.data_sha256 = row.Text(16);
  attempt.params_total = row.Int(17);
  attempt.params_non_embedding = row.Int(18);
  attempt.flops_per_token = row.Real(19);
  attempt.total_steps = row.Int(20);
  attempt.tokens_per_second = row.Real(21);
  attempt.slot_count = static_cast<int>(row.Int(22));
  attempt.stop_cause = StopCauseOf(row.Text(23));
  for (const absl::string_view slot : absl::StrSplit(row.Text(24), ',', absl::SkipEmpty())) {
    int follower = 0;
    LOGLOG_CHECK(absl::SimpleAtoi(slot, &follower));
    attempt.followers.push_back(follower);
  }
  return attempt;
}

absl::Status NoAttempt(int64_t attempt_id) {
  return absl::NotFoundError(absl::StrCat("attempt ", attempt_id, " is not in the store"));
}

#define LOGLOG_CHECKPOINT_COLUMNS                                                            \
  "SELECT checkpoint_id, task_id, attempt_id, worker_id, scope, step, path, sha256, bytes, " \
  "create_ms FROM checkpoints "

CheckpointRow CheckpointOf(const Cursor& row) {
  return {row.Int(0), row.Int(1),  row.Int(2),  row.Text(3), row.Text(4),
          row.Int(5), row.Text(6), row.Text(7), row.Int(8),  row.Int(9)};
}

#define LOGLOG_WORKER_COLUMNS                                                          \
  "SELECT worker_id, boot_id, session_epoch, state, reason, host, version, slots, "    \
  "slots_json, labels_json, device, checkpoint_scope, register_ms, last_sync_ms FROM " \
  "workers "

WorkerRow WorkerOf(const Cursor& row) {
  WorkerRow worker;
  worker.worker_id = row.Text(0);
  worker.boot_id = row.Text(1);
  worker.session_epoch = row.Int(2);
  worker.state = WorkerStateOf(row.Text(3));
  worker.reason = row.Text(4);
  worker.host = row.Text(5);
  worker.version = row.Text(6);
  worker.slots = static_cast<int>(row.Int(7));
  worker.slots_json = row.Text(8);
  worker.labels_json = row.Text(9);
  worker.device = row.Text(10);
  worker.checkpoint_scope = row.Text(11);
  worker.register_ms = row.Int(12);
  worker.last_sync_ms = row.Int(13);
  return worker;
}

absl::StatusOr<std::vector<int64_t>> ReadIds(Cursor row) {
  std::vector<int64_t> ids;
  while (row.Next()) ids.push_back(row.Int(0));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<AttemptRow>> ReadLiveAttempts(Connection* db) {
  std::vector<AttemptRow> attempts;
  Cursor row = db->Query(LOGLOG_ATTEMPT_COLUMNS
                         "WHERE state IN ('LEASED', 'RUNNING', 'STOPPING') ORDER BY task_id");
  while (row.Next()) attempts.push_back(AttemptOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return attempts;
}

absl::StatusOr<std::vector<WorkerRow>> ReadPresentWorkers(Connection* db) {
  std::vector<WorkerRow> workers;
  Cursor row = db->Query(LOGLOG_WORKER_COLUMNS
                         "WHERE worker_id > '' AND state <> 'GONE' ORDER BY worker_id");
  while (row.Next()) workers.push_back(WorkerOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return workers;
}

absl::Status ReadStore::EachOpenTrial(
    int64_t sweep_id, absl::FunctionRef<absl::Status(const OpenTrial&)> take) const {
  ReadScope scope(db_);
  Cursor row =
      sweep_id == 0
          ? db_->Query(
                "SELECT t.trial_id, t.cell_id, t.seed, t.state, t.task_id, c.tokens, c.steps, "
                "c.flops FROM trials t CROSS JOIN cells c ON c.cell_id = t.cell_id "
                "WHERE t.state IN ('PENDING', 'RUNNING') ORDER BY t.trial_id")
          : db_->Query(
                "SELECT t.trial_id, t.cell_id, t.seed, t.state, t.task_id, c.tokens, c.steps, "
                "c.flops FROM sweep_trials st CROSS JOIN trials t ON t.trial_id = st.trial_id "
                "CROSS JOIN cells c ON c.cell_id = t.cell_id WHERE st.sweep_id = ?1 AND "
                "+t.state IN ('PENDING', 'RUNNING') ORDER BY st.number",
                sweep_id);
  while (row.Next()) {
    OpenTrial trial{row.Int(0), row.Int(1), row.Int(2), TrialStateOf(row.Text(3)),
                    row.Int(4), row.Int(5), row.Int(6), row.Real(7),
                    {}};
    Cursor sweep = db_->Query(
        "SELECT sweep_id, number FROM sweep_trials WHERE trial_id = ?1 ORDER BY sweep_id",
        trial.trial_id);
    while (sweep.Next()) trial.sweeps.push_back({sweep.Int(0), sweep.Int(1), ""});
    LOGLOG_RETURN_IF_ERROR(sweep.status());
    LOGLOG_RETURN_IF_ERROR(take(trial));
  }
  return row.status();
}

absl::StatusOr<std::vector<SweepOfTrial>> ReadStore::ListSweepsOfTrial(int64_t trial_id) const {
  std::vector<SweepOfTrial> sweeps;
  Cursor row = db_->Query(
      "SELECT st.sweep_id, st.number, sc.arm FROM sweep_trials st "
      "CROSS JOIN trials t ON t.trial_id = st.trial_id "
      "CROSS JOIN sweep_cells sc ON sc.sweep_id = st.sweep_id AND sc.cell_id = t.cell_id "
      "WHERE st.trial_id = ?1 ORDER BY st.sweep_id",
      trial_id);
  while (row.Next()) sweeps.push_back({row.Int(0), row.Int(1), row.Text(2)});
  LOGLOG_RETURN_IF_ERROR(row.status());
  return sweeps;
}

absl::StatusOr<std::vector<int64_t>> ReadStore::ListSweepIdsOfTrial(int64_t trial_id) const {
  return ReadIds(db_->Query(
      "SELECT sweep_id FROM sweep_trials WHERE trial_id = ?1 ORDER BY sweep_id", trial_id));
}

absl::StatusOr<std::vector<int64_t>> ReadStore::ListTrialsOfTask(int64_t task_id) const {
  return ReadIds(db_->Query(
      "SELECT trial_id FROM task_members WHERE task_id = ?1 ORDER BY member, trial_id", task_id));
}

absl::StatusOr<TaskRow> ReadStore::GetTask(int64_t task_id) const {
  ReadScope scope(db_);
  Cursor row = db_->Query(LOGLOG_TASK_COLUMNS "WHERE k.task_id = ?1", task_id);
  if (!row.Next()) {
    LOGLOG_RETURN_IF_ERROR(row.status());
    return absl::NotFoundError(absl::StrCat("task ", task_id, " is not in the store"));
  }
  TaskRow task = TaskOf(row);
  LOGLOG_RETURN_IF_ERROR(AddMembers(db_, &task));
  return task;
}

absl::Status ReadStore::EachOpenTask(int64_t sweep_id,
                                     absl::FunctionRef<absl::Status(const TaskRow&)> take) const {
  ReadScope scope(db_);
  Cursor row =
      sweep_id == 0
          ? db_->Query(LOGLOG_TASK_COLUMNS
                       "WHERE k.state IN ('PENDING', 'RUNNING') ORDER BY k.task_id")
          : db_->Query(LOGLOG_TASK_COLUMNS
                       "WHERE k.task_id IN (SELECT tm.task_id FROM sweep_trials st CROSS JOIN "
                       "task_members tm ON tm.trial_id = st.trial_id WHERE st.sweep_id = ?1) AND "
                       "+k.state IN ('PENDING', 'RUNNING') ORDER BY k.task_id",
                       sweep_id);
  while (row.Next()) {
    TaskRow task = TaskOf(row);
    LOGLOG_RETURN_IF_ERROR(AddMembers(db_, &task));
    LOGLOG_RETURN_IF_ERROR(take(task));
  }
  return row.status();
}

absl::StatusOr<std::vector<TaskRow>> ReadStore::ListOpenTasks(int64_t sweep_id) const {
  std::vector<TaskRow> tasks;
  LOGLOG_RETURN_IF_ERROR(EachOpenTask(sweep_id, [&](const TaskRow& task) {
    tasks.push_back(task);
    return absl::OkStatus();
  }));
  return tasks;
}

absl::StatusOr<std::vector<MemberConfig>> ReadStore::ListMemberConfigs(int64_t task_id) const {
  std::vector<MemberConfig> members;
  Cursor row = db_->Query(
      "SELECT tm.member, t.trial_id, t.cell_id, t.sha256, t.seed, c.config_json "
      "FROM task_members tm CROSS JOIN trials t ON t.trial_id = tm.trial_id "
      "CROSS JOIN cells c ON c.cell_id = t.cell_id WHERE tm.task_id = ?1 "
      "ORDER BY tm.member, tm.trial_id",
      task_id);
  while (row.Next()) {
    members.push_back({static_cast<int>(row.Int(0)), row.Int(1), row.Int(2), row.Text(3),
                       row.Int(4), row.Text(5)});
  }
  LOGLOG_RETURN_IF_ERROR(row.status());
  return members;
}

absl::StatusOr<AttemptRow> ReadStore::GetAttempt(int64_t attempt_id) const {
  Cursor row = db_->Query(LOGLOG_ATTEMPT_COLUMNS "WHERE attempt_id = ?1", attempt_id);
  if (row.Next()) return AttemptOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return NoAttempt(attempt_id);
}

absl::StatusOr<std::vector<AttemptRow>> ReadStore::ListAttempts(int64_t task_id) const {
  std::vector<AttemptRow> attempts;
  Cursor row = db_->Query(LOGLOG_ATTEMPT_COLUMNS "WHERE task_id = ?1 ORDER BY attempt_id", task_id);
  while (row.Next()) attempts.push_back(AttemptOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return attempts;
}

absl::StatusOr<int64_t> ReadStore::LastSeq(int64_t attempt_id) const {
  Cursor row = db_->Query("SELECT last_seq FROM attempts WHERE attempt_id = ?1", attempt_id);
  if (row.Next()) return row.Int(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return NoAttempt(attempt_id);
}

absl::StatusOr<std::vector<CheckpointRow>> ReadStore::ListCheckpoints(int64_t task_id) const {
  std::vector<CheckpointRow> checkpoints;
  Cursor row = db_->Query(LOGLOG_CHECKPOINT_COLUMNS
                          "WHERE task_id = ?1 AND superseded_by IS NULL "
                          "ORDER BY step DESC, checkpoint_id DESC",
                          task_id);
  while (row.Next()) checkpoints.push_back(CheckpointOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return checkpoints;
}

absl::StatusOr<std::optional<CheckpointRow>> ReadStore::NewestCheckpoint(
    int64_t task_id, absl::string_view worker_id, absl::string_view scope) const {
  std::optional<CheckpointRow> newest;
  Cursor row = db_->Query(LOGLOG_CHECKPOINT_COLUMNS
                          "WHERE task_id = ?1 AND superseded_by IS NULL AND (worker_id = ?2 OR "
                          "(scope <> '' AND scope = ?3)) ORDER BY step DESC, checkpoint_id DESC "
                          "LIMIT 1",
                          task_id, worker_id, scope);
  if (row.Next()) newest = CheckpointOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return newest;
}

// The step at which a branch begins: its trials have one batch size.
#define LOGLOG_BRANCH_STEP                                                                    \
  "(SELECT k.token_begin / (c.tokens / c.steps) FROM task_members tm CROSS JOIN trials t ON " \
  "t.trial_id = tm.trial_id CROSS JOIN cells c ON c.cell_id = t.cell_id WHERE tm.task_id = "  \
  "k.task_id LIMIT 1)"

absl::StatusOr<std::vector<CheckpointRow>> ReadStore::ListBranchCheckpoints(int64_t task_id) const {
  std::vector<CheckpointRow> checkpoints;
  Cursor row =
      db_->Query(LOGLOG_CHECKPOINT_COLUMNS
                 "WHERE superseded_by IS NULL AND task_id = (SELECT d.parent_task_id "
                 "FROM task_deps d WHERE d.task_id = ?1) AND step = (SELECT " LOGLOG_BRANCH_STEP
                 " FROM tasks k WHERE k.task_id = ?1) "
                 "ORDER BY checkpoint_id DESC",
                 task_id);
  while (row.Next()) checkpoints.push_back(CheckpointOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return checkpoints;
}

absl::StatusOr<std::vector<BranchRow>> ReadStore::ListBranches(int64_t task_id) const {
  std::vector<BranchRow> branches;
  Cursor row = db_->Query("SELECT k.task_id, " LOGLOG_BRANCH_STEP
                          " AS step FROM task_deps d CROSS JOIN tasks k ON k.task_id = d.task_id "
                          "WHERE d.parent_task_id = ?1 AND k.token_begin > 0 ORDER BY step, 1",
                          task_id);
  while (row.Next()) branches.push_back({row.Int(0), row.Int(1)});
  LOGLOG_RETURN_IF_ERROR(row.status());
  return branches;
}

absl::StatusOr<WorkerRow> ReadStore::GetWorker(absl::string_view worker_id) const {
  Cursor row = db_->Query(LOGLOG_WORKER_COLUMNS "WHERE worker_id = ?1", worker_id);
  if (row.Next()) return WorkerOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(
      absl::StrCat("workers/", worker_id, " is not in the store; list the workers that are"));
}

absl::StatusOr<std::vector<WorkerRow>> ReadStore::ListWorkers(absl::string_view after_worker_id,
                                                              int limit) const {
  std::vector<WorkerRow> workers;
  Cursor row = db_->Query(LOGLOG_WORKER_COLUMNS "WHERE worker_id > ?1 ORDER BY worker_id LIMIT ?2",
                          after_worker_id, limit);
  while (row.Next()) workers.push_back(WorkerOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return workers;
}

}  // namespace loglog
