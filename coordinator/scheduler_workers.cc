// Workers: what they say and what they are told.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "coordinator/scheduler.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

// The reason of a drain that the worker itself began.
constexpr char kShuttingDown[] = "shutting down";

std::map<std::string, std::string> LabelsOf(const std::string& text) {
  std::map<std::string, std::string> labels;
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return labels;
  for (const auto& [key, value] : object.items()) {
    labels[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return labels;
}

}  // namespace

// ---- sessions

void Scheduler::AddWorker(const WorkerRow& row, int64_t now_ms) {
  Worker& worker = workers_[row.worker_id];
  worker.boot_id = row.boot_id;
  worker.session_epoch = row.session_epoch;
  worker.scope = row.checkpoint_scope;
  worker.labels = LabelsOf(row.labels_json);
  worker.state = row.state;
  worker.reason = row.reason;
  worker.operator_drain = row.state == WorkerState::kDraining && row.reason != kShuttingDown;
  worker.slot_count = row.slots;
  if (worker.slots.size() < row.slots) worker.slots.resize(row.slots);
  if (IsConnected(worker)) SetWorkerDeadline(row.worker_id, &worker, now_ms);
}

void Scheduler::Register(const WorkerRow& row, absl::Span<const int64_t> held, int64_t now_ms,
                         Actions* actions) {
  const auto known = workers_.find(row.worker_id);
  if (known != workers_.end() && known->second.boot_id != row.boot_id) {
    // By value: losing an attempt changes the slots.
    for (const Slot slot : std::vector<Slot>(known->second.slots)) {
      // One that held several slots is lost with the first of them.
      if (!attempts_.contains(slot.attempt_id)) continue;
      if (std::find(held.begin(), held.end(), slot.attempt_id) != held.end()) {
        LOGLOG_FAILPOINT("lease.kept_by_new_boot");
        KeepHeld(slot.attempt_id, now_ms, actions);
        continue;
      }
      LOGLOG_FAILPOINT("lease.revoked_by_new_boot");
      Lose(slot.attempt_id, absl::StrCat("workers/", row.worker_id, " was started anew"), now_ms,
           actions);
    }
    known->second.failed_keys.clear();
  } else if (known != workers_.end()) {
    LOGLOG_FAILPOINT("lease.kept_by_same_boot");
  }
  AddWorker(row, now_ms);
  Worker& worker = workers_.find(row.worker_id)->second;
  worker.draining = false;
  worker.unhealthy.clear();
  worker.held.clear();
  worker.owed.clear();
  for (const int64_t attempt_id : held) {
    const auto attempt = attempts_.find(attempt_id);
    if (attempt != attempts_.end() && attempt->second.worker_id == row.worker_id) {
      worker.owed.insert(attempt_id);
    }
  }
  for (Slot& slot : worker.slots) slot.reported = false;
  RefreshIdle(row.worker_id, &worker);
  woken_.insert(row.worker_id);
}

// The trainer ran before the worker was started anew; what it did is still to be reported.
void Scheduler::KeepHeld(int64_t attempt_id, int64_t now_ms, Actions* actions) {
  Attempt& attempt = attempts_.at(attempt_id);
  Renew(attempt_id, &attempt, now_ms);
  if (attempt.state != AttemptState::kLeased) return;
  attempt.state = AttemptState::kRunning;
  actions->push_back(MarkAttempt{attempt_id, AttemptState::kRunning});
}

WorkerState Scheduler::StateWhenRegistered(absl::string_view worker_id) const {
  const auto worker = workers_.find(worker_id);
  if (worker == workers_.end()) return WorkerState::kLive;
  if (worker->second.state == WorkerState::kQuarantined) return WorkerState::kQuarantined;
  return worker->second.operator_drain ? WorkerState::kDraining : WorkerState::kLive;
}

bool Scheduler::IsSession(absl::string_view worker_id, int64_t session_epoch) const {
  const auto worker = workers_.find(worker_id);
  return worker != workers_.end() && worker->second.session_epoch == session_epoch;
}

int Scheduler::SlotCount(absl::string_view worker_id) const {
  const auto worker = workers_.find(worker_id);
  return worker == workers_.end() ? 0 : worker->second.slot_count;
}

bool Scheduler::IsConnected(const Worker& worker) {
  return worker.state != WorkerState::kLost && worker.state != WorkerState::kGone;
}

bool Scheduler::Accepts(const Worker& worker) {
  return worker.state == WorkerState::kLive && !worker.draining && worker.unhealthy.empty();
}

void Scheduler::SetWorkerDeadline(const std::string& worker_id, Worker* worker, int64_t now_ms) {
  silences_.erase({worker->deadline_ms, worker_id});
  worker->deadline_ms = now_ms + LeaseMs();
  silences_.insert({worker->deadline_ms, worker_id});
}

void Scheduler::SetState(const std::string& worker_id, Worker* worker, WorkerState state,
                         absl::string_view reason, Actions* actions) {
  if (worker->state == state && worker->reason == reason) return;
  worker->state = state;
  worker->reason = std::string(reason);
  if (!IsConnected(*worker)) silences_.erase({worker->deadline_ms, worker_id});
  actions->push_back(PutWorker{worker_id, state, worker->reason});
  RefreshIdle(worker_id, worker);
  woken_.insert(worker_id);
}

void Scheduler::DrainWorker(absl::string_view worker_id, absl::string_view reason,
                            Actions* actions) {
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) return;
  it->second.operator_drain = true;
  std::string why = reason.empty() ? "asked to drain" : std::string(reason);
  // By those words alone a stored drain is known for the worker's own.
  if (why == kShuttingDown) why = absl::StrCat("asked to drain: ", why);
  SetState(it->first, &it->second, WorkerState::kDraining, why, actions);
  StopAllOf(it->first, it->second, absl::StrCat("drain: ", why), actions);
}

void Scheduler::ResumeWorker(absl::string_view worker_id, int64_t now_ms, Actions* actions) {
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) return;
  // It may have fallen silent while it was out of use, when nobody watched for that.
  SetWorkerDeadline(it->first, &it->second, now_ms);
  it->second.operator_drain = false;
  it->second.failed_keys.clear();
  // A daemon that is leaving takes nothing, whatever an operator wishes.
  if (it->second.draining) {
    SetState(it->first, &it->second, WorkerState::kDraining, kShuttingDown, actions);
  } else {
    SetState(it->first, &it->second, WorkerState::kLive, "", actions);
  }
}

// ---- what a worker says

void Scheduler::RefreshIdle(const std::string& worker_id, Worker* worker) {
  std::vector<int> idle;
  if (worker->offering && Accepts(*worker)) {
    for (int i = 0; i < worker->slot_count; ++i) {
      if (worker->slots[i].free()) idle.push_back(i);
    }
  }
  if (idle == worker->idle) return;
  if (!worker->idle.empty()) idle_.erase({worker->idle.front(), worker_id});
  worker->idle = std::move(idle);
  if (!worker->idle.empty()) idle_.insert({worker->idle.front(), worker_id});
}

void Scheduler::SetOffering(absl::string_view worker_id, bool offering) {
  const auto worker = workers_.find(worker_id);
  if (worker == workers_.end()) return;
  worker->second.offering = offering;
  RefreshIdle(worker->first, &worker->second);
}

void Scheduler::Sync(const SyncReport& report, const FindEnded& find_ended, int64_t now_ms,
                     Actions* actions) {
  const auto it = workers_.find(report.worker_id);
  LOGLOG_CHECK(it != workers_.end());
  const std::string& worker_id = it->first;
  Worker& worker = it->second;
  SetWorkerDeadline(worker_id, &worker, now_ms);
  worker.draining = report.draining;
  worker.unhealthy = report.unhealthy;
  worker.held.clear();
  for (const HeldReport& held : report.held) {
    worker.held.push_back(held.attempt_id);
    const auto attempt = attempts_.find(held.attempt_id);
    if (attempt == attempts_.end()) {
      LOGLOG_FAILPOINT("lease.held_ended");
      const std::optional<EndedAttempt> ended = find_ended(held.attempt_id);
      if (ended.has_value()) ApplyLateOutcome(held.attempt_id, *ended, held.outcome, actions);
    } else if (attempt->second.worker_id == worker_id) {
      LOGLOG_FAILPOINT("lease.held_live");
      ApplyOutcome(held.attempt_id, held.outcome, now_ms, actions);
    }
  }
  worker.owed.clear();
  for (const int64_t attempt_id : report.owed) {
    const auto attempt = attempts_.find(attempt_id);
    if (attempt == attempts_.end() || attempt->second.worker_id != worker_id) continue;
    worker.owed.insert(attempt_id);
    LOGLOG_FAILPOINT("lease.owed_renewed");
    Renew(attempt_id, &attempt->second, now_ms);
  }
  bool busy = false;
  for (const SlotReport& slot : report.slots) {
    SyncSlot(worker_id, &worker, slot, find_ended, now_ms, actions);
    busy = busy || slot.state != SlotState::kIdle;
  }
  if (worker.state == WorkerState::kQuarantined) {
    // Stays so until an operator resumes it.
  } else if (report.draining && !busy && report.held.empty() && report.owed.empty() &&
             !worker.operator_drain) {
    LOGLOG_FAILPOINT("lease.worker_left");
    SetState(worker_id, &worker, WorkerState::kGone, "drained", actions);
  } else if (worker.operator_drain) {
    SetState(worker_id, &worker, WorkerState::kDraining, worker.reason, actions);
  } else if (report.draining) {
    SetState(worker_id, &worker, WorkerState::kDraining, kShuttingDown, actions);
  } else {
    SetState(worker_id, &worker, WorkerState::kLive, "", actions);
  }
  if (report.draining || worker.operator_drain) {
    StopAllOf(worker_id, worker, "the worker is draining", actions);
  }
  RefreshIdle(worker_id, &worker);
}

void Scheduler::SyncSlot(const std::string& worker_id, Worker* worker, const SlotReport& report,
                         const FindEnded& find_ended, int64_t now_ms, Actions* actions) {
  Slot& slot = worker->slots[report.slot];
  slot.reported = true;
  slot.state = report.state;
  slot.reported_attempt_id = report.state == SlotState::kIdle ? 0 : report.attempt_id;
  slot.stale = false;
  slot.follows = false;
  slot.settled = false;
  if (report.state == SlotState::kIdle) {
    const auto attempt = attempts_.find(slot.attempt_id);
    if (attempt != attempts_.end() && attempt->second.lead() == report.slot) {
      ReturnUnstarted(*worker, slot.attempt_id, now_ms, actions);
    }
    return;
  }
  const auto attempt = attempts_.find(report.attempt_id);
  const bool here = attempt != attempts_.end() && attempt->second.worker_id == worker_id;
  const bool live = here && attempt->second.lead() == report.slot;
  // A follower only says that it is occupied: its lead speaks for the attempt.
  if (here && !live) {
    const std::vector<int>& held = attempt->second.slots;
    slot.follows = std::find(held.begin(), held.end(), report.slot) != held.end();
    if (slot.follows) return;
  }
  if (!live) {
    const std::optional<EndedAttempt> ended = find_ended(report.attempt_id);
    slot.follows = ended.has_value() && ended->slot_count > 1 && ended->slot != report.slot;
    if (slot.follows) return;
    slot.stale = !ended.has_value() || !ended->newest || ended->state != AttemptState::kLost;
    if (slot.stale) {
      LOGLOG_FAILPOINT("lease.stale_report");
    } else {
      LOGLOG_FAILPOINT("lease.late_report");
    }
    if (report.state == SlotState::kFinished) {
      if (ended.has_value()) ApplyLateOutcome(report.attempt_id, *ended, report.outcome, actions);
      slot.settled = !here;
    }
    return;
  }
  LOGLOG_FAILPOINT("lease.renewed");
  Renew(report.attempt_id, &attempt->second, now_ms);
  if (report.state == SlotState::kFinished) {
    ApplyOutcome(report.attempt_id, report.outcome, now_ms, actions);
    slot.settled = !attempts_.contains(report.attempt_id);
  } else if (attempt->second.state == AttemptState::kLeased) {
    attempt->second.state = AttemptState::kRunning;
    actions->push_back(MarkAttempt{report.attempt_id, AttemptState::kRunning});
  }
}

// A worker that reports a slot idle has not heard of the slot's lease (its answers come
// in order). If it should not or will not start it now, the lease ends without cost.
void Scheduler::ReturnUnstarted(const Worker& worker, int64_t attempt_id, int64_t now_ms,
                                Actions* actions) {
  if (worker.owed.contains(attempt_id)) {
    LOGLOG_FAILPOINT("lease.owed_not_returned");
    return;
  }
  const Attempt& attempt = attempts_.at(attempt_id);
  const bool never_started = attempt.state == AttemptState::kLeased || !attempt.stop_reason.empty();
  const bool will_not = worker.draining || !worker.unhealthy.empty();
  if (!never_started || (!will_not && attempt.stop_reason.empty())) {
    LOGLOG_FAILPOINT("lease.order_repeated");
    return;
  }
  LOGLOG_FAILPOINT("lease.returned_unstarted");
  const int64_t task_id = attempt.task_id;
  ReportedOutcome outcome;
  outcome.message = absl::StrCat("workers/", attempt.worker_id, " had not started it");
  const Task& task = tasks_.at(task_id);
  const bool cancelled = task.cancelled;
  // Its results are all here, whatever became of the report.
  const bool complete = task.ends_trials && task.open.empty();
  Close(attempt_id,
        cancelled  ? AttemptState::kCancelled
        : complete ? AttemptState::kDone
                   : AttemptState::kStopped,
        outcome, actions);
  if (cancelled) {
    EraseTask(task_id);
  } else if (complete) {
    FinishTask(task_id, actions);
  } else {
    Requeue(task_id, &tasks_.at(task_id), 0, outcome.message, now_ms, actions);
  }
}

// ---- what it is told

SlotDesire Scheduler::DesireOf(const Worker& worker, int index) const {
  const Slot& slot = worker.slots[index];
  SlotDesire desire;
  desire.slot = index;
  if (!slot.reported || slot.follows) return desire;
  if ((slot.state == SlotState::kIdle || slot.settled) && slot.attempt_id != 0) {
    // Until it reports the attempt, it has not heard of it.
    const Attempt& attempt = attempts_.at(slot.attempt_id);
    if (attempt.lead() == index && attempt.state == AttemptState::kLeased &&
        attempt.stop_reason.empty()) {
      if (slot.settled) LOGLOG_FAILPOINT("lease.order_with_forget");
      desire.action = DesiredAction::kRun;
      desire.attempt_id = slot.attempt_id;
      desire.forget_attempt_id = slot.reported_attempt_id;
      return desire;
    }
  }
  if (slot.state == SlotState::kIdle) return desire;
  desire.attempt_id = slot.reported_attempt_id;
  const bool live = slot.reported_attempt_id == slot.attempt_id;
  if (slot.state == SlotState::kFinished) {
    desire.action = DesiredAction::kForget;
  } else if (slot.state == SlotState::kUploading) {
    if (!live && slot.stale) desire.action = DesiredAction::kForget;
  } else if (!live) {
    LOGLOG_FAILPOINT("lease.told_to_kill");
    desire.action = DesiredAction::kKill;
    desire.reason = "its lease has ended";
  } else if (slot.state == SlotState::kRunning) {
    const Attempt& attempt = attempts_.at(slot.attempt_id);
    if (!attempt.stop_reason.empty()) {
      desire.action = DesiredAction::kStop;
      desire.reason = attempt.stop_reason;
    }
  }
  return desire;
}

WorkerDesire Scheduler::Desire(absl::string_view worker_id) const {
  WorkerDesire desire;
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) return desire;
  const Worker& worker = it->second;
  desire.drain = worker.operator_drain;
  for (int i = 0; i < worker.slot_count; ++i) desire.slots.push_back(DesireOf(worker, i));
  for (const int64_t attempt_id : worker.held) {
    if (!attempts_.contains(attempt_id)) desire.forget.push_back(attempt_id);
  }
  return desire;
}

std::vector<std::string> Scheduler::TakeWoken() {
  std::vector<std::string> woken(woken_.begin(), woken_.end());
  woken_.clear();
  return woken;
}

// ---- questions

std::optional<Scheduler::LiveAttempt> Scheduler::FindLive(int64_t attempt_id) const {
  const auto attempt = attempts_.find(attempt_id);
  if (attempt == attempts_.end()) return std::nullopt;
  return LiveAttempt{attempt->second.task_id, attempt->second.worker_id, attempt->second.slots};
}

int64_t Scheduler::SyncIntervalMs() const {
  const int64_t base = std::min(options_.sync_interval_ms_max, options_.lease_ms / 3);
  const int64_t workers = static_cast<int64_t>(silences_.size());
  return std::max(
      {base, int64_t{1},
       (workers * 1000 + options_.syncs_per_second_max - 1) / options_.syncs_per_second_max});
}

int64_t Scheduler::LeaseMs() const { return std::max(options_.lease_ms, 3 * SyncIntervalMs()); }

bool Scheduler::IsConnected(absl::string_view worker_id) const {
  const auto worker = workers_.find(worker_id);
  return worker != workers_.end() && IsConnected(worker->second);
}

int Scheduler::WorkersConnected() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(),
                                        [](const auto& item) { return IsConnected(item.second); }));
}

int Scheduler::SlotsTotal() const {
  int total = 0;
  for (const auto& [id, worker] : workers_) total += IsConnected(worker) ? worker.slot_count : 0;
  return total;
}

int Scheduler::SlotsBusyFor(int64_t sweep_id) const {
  const auto sweep = sweeps_.find(sweep_id);
  return sweep == sweeps_.end() ? 0 : sweep->second.slots_busy;
}

int Scheduler::SlotsBusy(absl::string_view worker_id) const {
  const auto worker = workers_.find(worker_id);
  if (worker == workers_.end()) return 0;
  return static_cast<int>(std::count_if(worker->second.slots.begin(), worker->second.slots.end(),
                                        [](const Slot& slot) { return slot.attempt_id != 0; }));
}

std::string Scheduler::WorkerNote(absl::string_view worker_id) const {
  const auto worker = workers_.find(worker_id);
  if (worker == workers_.end()) return "";
  if (!worker->second.unhealthy.empty()) {
    return absl::StrCat("unhealthy, takes no work: ", worker->second.unhealthy);
  }
  return worker->second.reason;
}

}  // namespace loglog
