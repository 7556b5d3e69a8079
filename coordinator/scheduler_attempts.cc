// How attempts are kept alive and how they end.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "coordinator/scheduler.h"

namespace loglog {
namespace {

AttemptState StateOf(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::kDone:
      return AttemptState::kDone;
    case OutcomeKind::kDiverged:
      return AttemptState::kDiverged;
    case OutcomeKind::kStopped:
      return AttemptState::kStopped;
    case OutcomeKind::kFailed:
      return AttemptState::kFailed;
    case OutcomeKind::kRefused:
      return AttemptState::kRefused;
    case OutcomeKind::kOutOfMemory:
      return AttemptState::kOutOfMemory;
    case OutcomeKind::kDeviceError:
      return AttemptState::kDeviceError;
    case OutcomeKind::kLost:
      break;
  }
  return AttemptState::kLost;
}

bool EndsWell(OutcomeKind kind) {
  return kind == OutcomeKind::kDone || kind == OutcomeKind::kDiverged;
}

// "exit code 1: last words".
std::string Describe(const ReportedOutcome& outcome) {
  // Ended by its own worker, which says why.
  if (outcome.signal == 0 && outcome.exit_code < 0) return outcome.message;
  std::string text = outcome.signal != 0 ? absl::StrCat("signal ", outcome.signal)
                                         : absl::StrCat("exit code ", outcome.exit_code);
  if (!outcome.message.empty()) absl::StrAppend(&text, ": ", outcome.message);
  return text;
}

}  // namespace

void Scheduler::AddAttempt(const AttemptRow& row, int64_t now_ms) {
  const auto [worker, is_new] = workers_.try_emplace(row.worker_id);
  if (is_new) worker->second.state = WorkerState::kGone;
  Attempt& attempt = attempts_[row.attempt_id];
  attempt.task_id = row.task_id;
  attempt.worker_id = row.worker_id;
  attempt.slots = {row.slot};
  attempt.slots.insert(attempt.slots.end(), row.followers.begin(), row.followers.end());
  attempt.start_ms = now_ms;
  attempt.state = row.state;
  LOGLOG_FAILPOINT("lease.found_at_start");
  if (!tasks_.contains(row.task_id)) {
    LOGLOG_FAILPOINT("lease.found_cancelled");
    // Its task was cancelled: it only has to stop, and its slot has to be seen empty.
    Task& task = tasks_[row.task_id];
    task.cancelled = true;
    task.ends_trials = true;
    task.failure_key = -row.task_id;
  }
  Task& task = tasks_.at(row.task_id);
  RemoveReady(row.task_id, &task);
  backoffs_.erase({task.past().not_before_ms, row.task_id});
  LeaveTrunk(row.task_id, &task);  // it began when there was a checkpoint to begin from
  task.state = Task::State::kLive;
  task.mutable_past()->attempt_id = row.attempt_id;
  if (task.cancelled) {
    attempt.cause = StopCause::kUnwanted;
    attempt.stop_reason = row.message.empty() ? "cancelled" : row.message;
  } else if (row.state == AttemptState::kStopping) {
    LOGLOG_FAILPOINT("lease.found_stopping");
    attempt.cause = row.stop_cause == StopCause::kNone ? StopCause::kDrain : row.stop_cause;
    attempt.stop_reason =
        row.message.empty() ? "asked to before the coordinator started" : row.message;
  }
  std::vector<Slot>& slots = worker->second.slots;
  for (const int slot : attempt.slots) {
    if (slots.size() <= slot) slots.resize(slot + 1);
    slots[slot].attempt_id = row.attempt_id;
  }
  ChargeFor(&attempt);
  // Its worker counts on the lease it was given, which may have been a longer one.
  RenewFor(row.attempt_id, &attempt, std::max(LeaseMs(), row.lease_ms), now_ms);
}

void Scheduler::Renew(int64_t attempt_id, Attempt* attempt, int64_t now_ms) {
  RenewFor(attempt_id, attempt, LeaseMs(), now_ms);
}

void Scheduler::RenewFor(int64_t attempt_id, Attempt* attempt, int64_t lease_ms, int64_t now_ms) {
  leases_.erase({attempt->deadline_ms, attempt_id});
  attempt->deadline_ms = now_ms + lease_ms;
  leases_.insert({attempt->deadline_ms, attempt_id});
}

void Scheduler::Stop(int64_t attempt_id, StopCause cause, absl::string_view reason,
                     Actions* actions) {
  Attempt& attempt = attempts_.at(attempt_id);
  // Asked to leave once is enough, but for whose sake it leaves may change.
  if (attempt.cause != StopCause::kNone && cause != StopCause::kUnwanted) return;
  if (attempt.cause == cause) return;
  attempt.cause = cause;
  LOGLOG_FAILPOINT("lease.stop_asked");
  attempt.stop_reason = std::string(reason);
  attempt.state = AttemptState::kStopping;
  actions->push_back(MarkAttempt{attempt_id, attempt.state, cause, attempt.stop_reason});
  woken_.insert(attempt.worker_id);
}

void Scheduler::StopAllOf(const std::string& worker_id, const Worker& worker,
                          absl::string_view reason, Actions* actions) {
  for (const Slot& slot : worker.slots) {
    if (slot.attempt_id != 0) Stop(slot.attempt_id, StopCause::kDrain, reason, actions);
  }
  woken_.insert(worker_id);
}

// Frees the slots and the task; what becomes of the task is the caller's next step.
void Scheduler::Close(int64_t attempt_id, AttemptState state, const ReportedOutcome& outcome,
                      Actions* actions) {
  const auto node = attempts_.extract(attempt_id);
  const Attempt& attempt = node.mapped();
  leases_.erase({attempt.deadline_ms, attempt_id});
  Worker& worker = workers_.find(attempt.worker_id)->second;
  for (const int slot : attempt.slots) worker.slots[slot].attempt_id = 0;
  Discharge(attempt);
  tasks_.at(attempt.task_id).mutable_past()->attempt_id = 0;
  actions->push_back(EndAttempt{attempt_id, attempt.task_id, attempt.worker_id, state,
                                outcome.exit_code, outcome.signal, outcome.message});
  RefreshIdle(attempt.worker_id, &worker);
  woken_.insert(attempt.worker_id);
}

void Scheduler::ApplyOutcome(int64_t attempt_id, const ReportedOutcome& outcome, int64_t now_ms,
                             Actions* actions) {
  const Attempt attempt = attempts_.at(attempt_id);
  const int64_t task_id = attempt.task_id;
  Task& task = tasks_.at(task_id);
  const bool all_ended = task.ends_trials && task.open.empty();
  const bool complete = all_ended || (!task.ends_trials && EndsWell(outcome.kind));

  if (task.cancelled) {
    LOGLOG_FAILPOINT("lease.outcome_cancelled");
    Close(attempt_id, AttemptState::kCancelled, outcome, actions);
    EraseTask(task_id);
    return;
  }
  if (complete) {
    LOGLOG_FAILPOINT("lease.outcome_complete");
    // The result is in the store, however the process went down after it.
    Close(attempt_id, EndsWell(outcome.kind) ? StateOf(outcome.kind) : AttemptState::kDone, outcome,
          actions);
    workers_.find(attempt.worker_id)->second.failed_keys.clear();
    FinishTask(task_id, actions);
    return;
  }
  if (EndsWell(outcome.kind)) {
    LOGLOG_FAILPOINT("lease.outcome_without_results");
    ReportedOutcome wrong = outcome;
    wrong.message =
        absl::StrCat("the trainer ended with ", Describe(outcome), ", but reported no result for ",
                     task.open.size(), " of its trials; its events file on workers/",
                     attempt.worker_id, " shows how far it came");
    Close(attempt_id, AttemptState::kFailed, wrong, actions);
    CountFailure(task_id, &task, attempt.worker_id, wrong.message, now_ms, actions);
    return;
  }
  Close(attempt_id, StateOf(outcome.kind), outcome, actions);
  if (MadeToLeave(attempt) &&
      (outcome.kind == OutcomeKind::kStopped || outcome.kind == OutcomeKind::kLost)) {
    LOGLOG_FAILPOINT("lease.outcome_made_room");
    RequeueMadeToLeave(attempt, now_ms, actions);
    return;
  }
  switch (outcome.kind) {
    case OutcomeKind::kFailed:
    case OutcomeKind::kOutOfMemory:
      LOGLOG_FAILPOINT("lease.outcome_failed");
      CountFailure(task_id, &task, attempt.worker_id,
                   outcome.kind == OutcomeKind::kOutOfMemory
                       ? absl::StrCat("out of memory, ", Describe(outcome))
                       : Describe(outcome),
                   now_ms, actions);
      break;
    case OutcomeKind::kRefused:
      LOGLOG_FAILPOINT("lease.outcome_refused");
      // A host with another version or other data refuses everything it is given.
      NoteFailureOf(attempt.worker_id, task.failure_key, Describe(outcome), actions);
      FailTask(task_id, absl::StrCat("refused by the trainer: ", Describe(outcome)), actions);
      break;
    case OutcomeKind::kDeviceError:
      LOGLOG_FAILPOINT("lease.outcome_device_error");
      NoteFailureOf(attempt.worker_id, task.failure_key, Describe(outcome), actions);
      CountLoss(
          task_id, &task,
          absl::StrCat("fault of the host workers/", attempt.worker_id, ", ", Describe(outcome)),
          Backoff(task.past().lost_count + 1), now_ms, actions);
      break;
    case OutcomeKind::kStopped:
      LOGLOG_FAILPOINT("lease.outcome_stopped");
      // Nothing went wrong: no reason to wait.
      CountLoss(task_id, &task,
                absl::StrCat("stopped on workers/", attempt.worker_id,
                             attempt.stop_reason.empty() ? "" : ": ", attempt.stop_reason),
                0, now_ms, actions);
      break;
    default:
      LOGLOG_FAILPOINT("lease.outcome_lost");
      // A kernel short of memory kills one trainer after the other. Where a worker itself ended
      // them, no signal is reported.
      if (outcome.signal != 0) {
        NoteFailureOf(attempt.worker_id, task.failure_key, Describe(outcome), actions);
      }
      CountLoss(task_id, &task,
                absl::StrCat("lost on workers/", attempt.worker_id, ", ", Describe(outcome)),
                Backoff(task.past().lost_count + 1), now_ms, actions);
      break;
  }
}

void Scheduler::ApplyLateOutcome(int64_t attempt_id, const EndedAttempt& ended,
                                 const ReportedOutcome& outcome, Actions* actions) {
  if (ended.state != AttemptState::kLost || !ended.newest || !EndsWell(outcome.kind)) {
    LOGLOG_FAILPOINT("lease.late_ignored");
    return;
  }
  // Its results were not taken, so it was not done.
  if (ended.cancelled) {
    LOGLOG_FAILPOINT("lease.late_cancelled");
    return;
  }
  const Task* const task = tasks_.find(ended.task_id);
  // With results still missing it has not done its work, whatever it says.
  if (task != nullptr && (task->ends_trials || task->attempt_id() != 0)) {
    LOGLOG_FAILPOINT("lease.late_incomplete");
    return;
  }
  LOGLOG_FAILPOINT("lease.late_outcome");
  actions->push_back(EndAttempt{attempt_id, ended.task_id, "", StateOf(outcome.kind),
                                outcome.exit_code, outcome.signal, outcome.message});
  if (task != nullptr) FinishTask(ended.task_id, actions);
}

// For the sake of others, or not wanted for a while: that spends nothing, however the process went
// down.
bool Scheduler::MadeToLeave(const Attempt& attempt) {
  return attempt.cause == StopCause::kPreempted || attempt.cause == StopCause::kUnwanted;
}

void Scheduler::RequeueMadeToLeave(const Attempt& attempt, int64_t now_ms, Actions* actions) {
  Task& task = tasks_.at(attempt.task_id);
  Past& past = *task.mutable_past();
  past.made_room = attempt.cause == StopCause::kPreempted;
  past.preempted = past.preempted || past.made_room;
  Requeue(attempt.task_id, &task, 0,
          absl::StrCat("stopped on workers/", attempt.worker_id, ": ", attempt.stop_reason), now_ms,
          actions);
}

void Scheduler::Lose(int64_t attempt_id, absl::string_view why, int64_t now_ms, Actions* actions) {
  const Attempt attempt = attempts_.at(attempt_id);
  const int64_t task_id = attempt.task_id;
  Task& task = tasks_.at(task_id);
  ReportedOutcome outcome;
  outcome.message = std::string(why);
  Close(attempt_id, task.cancelled ? AttemptState::kCancelled : AttemptState::kLost, outcome,
        actions);
  if (task.cancelled) {
    LOGLOG_FAILPOINT("lease.lost_cancelled");
    EraseTask(task_id);
  } else if (task.ends_trials && task.open.empty()) {
    LOGLOG_FAILPOINT("lease.lost_complete");
    FinishTask(task_id, actions);
  } else {
    LOGLOG_FAILPOINT("lease.lost");
    if (MadeToLeave(attempt)) return RequeueMadeToLeave(attempt, now_ms, actions);
    CountLoss(task_id, &task, why, Backoff(task.past().lost_count + 1), now_ms, actions);
  }
}

void Scheduler::CountLoss(int64_t task_id, Task* task, absl::string_view message, int64_t wait_ms,
                          int64_t now_ms, Actions* actions) {
  const int lost_count = ++task->mutable_past()->lost_count;
  if (lost_count >= task->losses_max) {
    LOGLOG_FAILPOINT("lease.losses_spent");
    FailTask(
        task_id,
        absl::StrCat("lost ", lost_count, " times (retries.losses is ", task->losses_max,
                     "), at last: ", message, "; when the workers are well again, retry the trial"),
        actions);
    return;
  }
  Requeue(task_id, task, wait_ms, message, now_ms, actions);
}

void Scheduler::CountFailure(int64_t task_id, Task* task, const std::string& worker_id,
                             absl::string_view message, int64_t now_ms, Actions* actions) {
  const int failure_count = ++task->mutable_past()->failure_count;
  std::set<std::string>& failed_on = failed_on_[task->failure_key];
  failed_on.insert(worker_id);
  const size_t workers = failed_on.size();
  NoteFailureOf(worker_id, task->failure_key, message, actions);
  if (workers >= options_.cell_failed_workers_max) {
    LOGLOG_FAILPOINT("lease.cell_failed_on_workers");
    FailTask(task_id,
             absl::StrCat("its cell failed on ", workers,
                          " workers, so it is the cell and not the worker: ", message,
                          "; correct its cause, then retry the trial"),
             actions);
  } else if (failure_count >= task->failures_max) {
    LOGLOG_FAILPOINT("lease.failures_spent");
    FailTask(task_id,
             absl::StrCat("failed ", failure_count, " times (retries.failures is ",
                          task->failures_max, "), at last on workers/", worker_id, ": ", message,
                          "; correct its cause, then retry the trial"),
             actions);
  } else {
    LOGLOG_FAILPOINT("lease.failure_retried");
    Requeue(task_id, task, Backoff(failure_count),
            absl::StrCat("failure ", failure_count, " of ", task->failures_max, " on workers/",
                         worker_id, ": ", message),
            now_ms, actions);
  }
}

void Scheduler::NoteFailureOf(const std::string& worker_id, int64_t failure_key,
                              absl::string_view message, Actions* actions) {
  Worker& worker = workers_.find(worker_id)->second;
  std::vector<int64_t>& keys = worker.failed_keys;
  if (std::find(keys.begin(), keys.end(), failure_key) == keys.end()) keys.push_back(failure_key);
  if (keys.size() < options_.quarantine_failures || worker.state == WorkerState::kQuarantined) {
    return;
  }
  LOGLOG_FAILPOINT("lease.worker_quarantined");
  SetState(worker_id, &worker, WorkerState::kQuarantined,
           absl::StrCat(keys.size(), " different cells failed on it in a row, at last: ", message,
                        "; repair it, then `loglog worker resume ", worker_id, "`"),
           actions);
}

}  // namespace loglog
