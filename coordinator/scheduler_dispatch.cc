// Dispatch: whose turn it is, and which of its tasks goes where.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/scheduler.h"

namespace loglog {
namespace {

constexpr int64_t kNever = INT64_MAX;
// Tasks take longer than their tokens say: they start up, save their state, are evaluated.
constexpr double kCaution = 1.25;

}  // namespace

// ---- turns

bool Scheduler::MayStartMore(const Sweep& sweep) const {
  const int64_t most = sweep.schedule.max_concurrent;
  return !sweep.paused && (most == 0 || sweep.trials_live < most);
}

void Scheduler::UpdateTurn(int64_t sweep_id) {
  const auto it = sweeps_.find(sweep_id);
  if (it == sweeps_.end()) return;
  Sweep& sweep = it->second;
  std::optional<Turn> turn;
  if (MayStartMore(sweep) && ready_.SizeOf(sweep_id) > 0) {
    turn = Turn{-sweep.schedule.priority, sweep.slots_busy / sweep.schedule.share, sweep.served,
                sweep_id};
  }
  if (turn == sweep.turn) return;
  if (sweep.turn.has_value()) turns_.erase(*sweep.turn);
  sweep.turn = turn;
  if (turn.has_value()) turns_.insert(*turn);
}

// A live attempt counts for every sweep that wants its trials: they are being trained, and
// hold slots, for all of them. So it can be told from what there is, after a restart too.
void Scheduler::ChargeFor(Attempt* attempt) {
  Discharge(*attempt);
  attempt->charges.clear();
  std::map<int64_t, int64_t> trials;
  for (const int64_t trial_id : tasks_.at(attempt->task_id).open) {
    for (const auto& [sweep_id, number] : trials_.at(trial_id).sweeps) ++trials[sweep_id];
  }
  for (const auto& [sweep_id, count] : trials) {
    const auto sweep = sweeps_.find(sweep_id);
    if (sweep == sweeps_.end()) continue;
    attempt->charges.push_back({sweep_id, count});
    sweep->second.trials_live += count;
    sweep->second.slots_busy += static_cast<int>(attempt->slots.size());
    UpdateTurn(sweep_id);
  }
}

void Scheduler::Discharge(const Attempt& attempt) {
  for (const Charge& charge : attempt.charges) {
    Sweep& sweep = sweeps_.at(charge.sweep_id);
    sweep.trials_live -= charge.trials;
    sweep.slots_busy -= static_cast<int>(attempt.slots.size());
    UpdateTurn(charge.sweep_id);
  }
}

// ---- what goes where

bool Scheduler::Matches(const Sweep& sweep, const Worker& worker) {
  const auto& selector = sweep.schedule.selector;
  return std::all_of(selector.begin(), selector.end(), [&](const auto& label) {
    const auto has = worker.labels.find(label.first);
    return has != worker.labels.end() && has->second == label.second;
  });
}

bool Scheduler::Suits(const Sweep& sweep, const Worker& worker) {
  return Accepts(worker) && worker.slot_count >= sweep.schedule.slots && Matches(sweep, worker);
}

bool Scheduler::MayTake(int64_t task_id, const Sweep& sweep, const std::string& worker_id,
                        int64_t now_ms) {
  const Task& task = tasks_.at(task_id);
  const auto failed = failed_on_.find(task.failure_key);
  if (failed != failed_on_.end() && failed->second.contains(worker_id)) {
    // Another worker tells whether the task or the worker is to blame.
    for (const auto& [id, other] : workers_) {
      if (Suits(sweep, other) && !failed->second.contains(id)) return false;
    }
  }
  const Past& past = task.past();
  if (past.checkpoint_worker.empty() || past.checkpoint_worker == worker_id) return true;
  if (now_ms >= past.prefer_until_ms && !past.branches) return true;
  const auto reads_checkpoint = [&](const std::string& id, const Worker& worker) {
    return id == past.checkpoint_worker ||
           (!worker.scope.empty() && worker.scope == past.checkpoint_scope);
  };
  if (reads_checkpoint(worker_id, workers_.find(worker_id)->second)) return true;
  // Mostly the one that wrote it is there; only then the others need not be looked at.
  const auto writer = workers_.find(past.checkpoint_worker);
  const auto may = [&](const std::string& id, const Worker& worker) {
    return Suits(sweep, worker) && (failed == failed_on_.end() || !failed->second.contains(id));
  };
  const bool better =
      (writer != workers_.end() && may(writer->first, writer->second)) ||
      std::any_of(workers_.begin(), workers_.end(), [&](const auto& other) {
        return may(other.first, other.second) && reads_checkpoint(other.first, other.second);
      });
  if (better && !past.branches)
    dispatch_again_ms_ = std::min(dispatch_again_ms_, past.prefer_until_ms);
  return !better;
}

int64_t Scheduler::FirstReady(int64_t sweep_id, absl::FunctionRef<bool(int64_t)> may_take) const {
  const int slots = sweeps_.at(sweep_id).schedule.slots;
  return ready_.First(
      sweep_id,
      [&](float shape, double tokens) { return speeds_.SecondsOrGuess(shape, slots, tokens); },
      may_take);
}

std::optional<double> Scheduler::ExpectedMs(const Task& task, int slots) const {
  if (task.open.empty()) return std::nullopt;
  const float shape = trials_.at(task.open.front()).shape;
  const std::optional<double> seconds =
      speeds_.Seconds(shape, slots, static_cast<double>(task.tokens));
  if (!seconds.has_value()) return std::nullopt;
  return *seconds * 1000 * kCaution;
}

bool Scheduler::EndsBy(int64_t task_id, int slots, std::optional<int64_t> end_ms,
                       int64_t now_ms) const {
  const std::optional<double> ms = ExpectedMs(tasks_.at(task_id), slots);
  return end_ms.has_value() && ms.has_value() &&
         static_cast<double>(now_ms) + *ms <= static_cast<double>(*end_ms);
}

std::optional<Grant> Scheduler::PlaceFor(int64_t sweep_id, int64_t now_ms) {
  const Sweep& sweep = sweeps_.at(sweep_id);
  const int slots = sweep.schedule.slots;
  for (const auto& [slot, id] : idle_) {
    const std::string& worker_id = id;  // clang 14 captures no structured binding
    const Worker& worker = workers_.find(worker_id)->second;
    const int idle = static_cast<int>(worker.idle.size());
    if (idle < slots || !Matches(sweep, worker)) continue;
    // Slots that are kept may be used by what is over before the others are free.
    const bool fills_in = !YieldsTo(worker, sweep_id) && idle - worker.reserved.slots < slots;
    const std::optional<int64_t> end_ms =
        fills_in ? WhenFree(worker, worker.reserved.slots, now_ms) : std::nullopt;
    if (fills_in && !end_ms.has_value()) continue;
    const int64_t task_id = FirstReady(sweep_id, [&](int64_t task) {
      return MayTake(task, sweep, worker_id, now_ms) &&
             (!fills_in || EndsBy(task, slots, end_ms, now_ms));
    });
    if (task_id == 0) continue;
    return Grant{task_id, sweep_id, worker_id, {worker.idle.begin(), worker.idle.begin() + slots}};
  }
  return std::nullopt;
}

std::optional<Grant> Scheduler::NextGrant(int64_t now_ms) {
  dispatch_again_ms_ = kNever;
  TrimReservations();
  for (const Turn& turn : turns_) {
    std::optional<Grant> grant = PlaceFor(turn.sweep_id, now_ms);
    if (grant.has_value()) {
      RemoveReady(grant->task_id, &tasks_.at(grant->task_id));
      return grant;
    }
    // Before those that come after it are served: they would take slot after slot from it.
    if (sweeps_.at(turn.sweep_id).schedule.slots > 1) ReserveFor(turn.sweep_id, now_ms);
  }
  return std::nullopt;
}

void Scheduler::Granted(const Grant& grant, int64_t attempt_id, int64_t resume_step,
                        int64_t now_ms) {
  Task& task = tasks_.at(grant.task_id);
  Worker& worker = workers_.find(grant.worker_id)->second;
  task.state = Task::State::kLive;
  Past& past = *task.mutable_past();
  past.made_room = false;
  past.attempt_id = attempt_id;
  if (resume_step == 0) past.checkpoint_worker.clear();
  Attempt& attempt = attempts_[attempt_id];
  attempt.task_id = grant.task_id;
  attempt.worker_id = grant.worker_id;
  attempt.slots = grant.slots;
  attempt.start_ms = now_ms;
  const int32_t steps = task.open.empty() ? 0 : trials_.at(task.open.front()).steps;
  if (steps > 0) attempt.left = std::max(0.0, 1 - static_cast<double>(resume_step) / steps);
  Renew(attempt_id, &attempt, now_ms);
  for (const int slot : grant.slots) worker.slots[slot].attempt_id = attempt_id;
  if (worker.reserved.sweep_id == grant.sweep_id) {
    Reservation rest = worker.reserved;
    rest.slots -= static_cast<int>(grant.slots.size());
    KeepSlots(grant.worker_id, rest);
  }
  sweeps_.at(grant.sweep_id).served = ++grants_;
  ChargeFor(&attempt);
  UpdateTurn(grant.sweep_id);
  RefreshIdle(grant.worker_id, &worker);
  woken_.insert(grant.worker_id);
}

void Scheduler::NoteSpeed(int64_t attempt_id, double tokens_per_second) {
  const auto attempt = attempts_.find(attempt_id);
  if (attempt == attempts_.end()) return;
  const Task& task = tasks_.at(attempt->second.task_id);
  if (task.open.empty()) return;
  speeds_.Note(trials_.at(task.open.front()).shape, static_cast<int>(attempt->second.slots.size()),
               tokens_per_second);
}

void Scheduler::NoteCheckpoint(int64_t task_id, absl::string_view worker_id) {
  Task* const task = tasks_.find(task_id);
  const auto worker = workers_.find(worker_id);
  if (task == nullptr || worker == workers_.end()) return;
  Past* const past = task->mutable_past();
  past->checkpoint_worker = std::string(worker_id);
  past->checkpoint_scope = worker->second.scope;
  past->branches = false;
}

bool Scheduler::HasWaitingBranches(int64_t trunk_task_id) const {
  return children_.contains(trunk_task_id);
}

void Scheduler::NoteBranchPoint(int64_t task_id, absl::string_view worker_id, int64_t now_ms) {
  Task* const task = tasks_.find(task_id);
  const auto worker = workers_.find(worker_id);
  if (task == nullptr || worker == workers_.end() || task->parent_task_id == 0) return;
  LeaveTrunk(task_id, task);
  if (task->attempt_id() != 0) return;
  Past* const past = task->mutable_past();
  past->checkpoint_worker = std::string(worker_id);
  past->checkpoint_scope = worker->second.scope;
  past->branches = true;
  Enqueue(task_id, task, now_ms);
}

}  // namespace loglog
