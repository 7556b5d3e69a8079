// Slots that are kept for a task that needs several or for one that had others stopped, and
// the stopping of attempts of lower priority.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/scheduler.h"

namespace loglog {

int Scheduler::FreeSlots(const Worker& worker) {
  int free = 0;
  for (int i = 0; i < worker.slot_count; ++i) free += worker.slots[i].free() ? 1 : 0;
  return free;
}

// Whether the sweep may use slots of this worker that are kept for somebody.
bool Scheduler::YieldsTo(const Worker& worker, int64_t sweep_id) const {
  const Reservation& kept = worker.reserved;
  if (kept.sweep_id == 0 || kept.sweep_id == sweep_id) return true;
  return sweeps_.at(sweep_id).schedule.priority > sweeps_.at(kept.sweep_id).schedule.priority;
}

// When so many slots of the worker will be free at once, if nothing else is started there;
// nothing when that hangs on tasks of unknown length.
std::optional<int64_t> Scheduler::WhenFree(const Worker& worker, int slots, int64_t now_ms) const {
  std::vector<int64_t> ends_ms;
  for (int i = 0; i < worker.slot_count; ++i) {
    const Slot& slot = worker.slots[i];
    const auto it = attempts_.find(slot.attempt_id);
    if (it == attempts_.end() || it->second.cause != StopCause::kNone) {
      ends_ms.push_back(now_ms);
      continue;
    }
    const Attempt& attempt = it->second;
    const std::optional<double> ms =
        ExpectedMs(tasks_.at(attempt.task_id), static_cast<int>(attempt.slots.size()));
    if (!ms.has_value()) continue;
    const auto end_ms = attempt.start_ms + static_cast<int64_t>(attempt.left * *ms);
    ends_ms.push_back(std::max(now_ms, end_ms));
  }
  if (static_cast<int>(ends_ms.size()) < slots) return std::nullopt;
  std::nth_element(ends_ms.begin(), ends_ms.begin() + slots - 1, ends_ms.end());
  return ends_ms[slots - 1];
}

void Scheduler::KeepSlots(const std::string& worker_id, const Reservation& reservation) {
  Worker& worker = workers_.find(worker_id)->second;
  if (reservation.slots <= 0) {
    worker.reserved = Reservation();
    reserved_.erase(worker_id);
  } else {
    worker.reserved = reservation;
    reserved_.insert(worker_id);
  }
}

// What is kept for nobody any more is let go: the sweep has ended, is paused, has started
// its tasks elsewhere, or the worker takes none.
void Scheduler::TrimReservations() {
  std::map<int64_t, int64_t> wanted;  // slots by sweep
  for (const std::string& worker_id : std::set<std::string>(reserved_)) {
    const Worker& worker = workers_.find(worker_id)->second;
    Reservation kept = worker.reserved;
    const auto it = sweeps_.find(kept.sweep_id);
    if (it == sweeps_.end() || !it->second.turn.has_value() || !Suits(it->second, worker)) {
      KeepSlots(worker_id, {});
      continue;
    }
    const Sweep& sweep = it->second;
    const int64_t most = sweep.schedule.max_concurrent;
    int64_t tasks = static_cast<int64_t>(ready_.SizeOf(kept.sweep_id));
    if (most > 0) tasks = std::min(tasks, most - sweep.trials_live);
    int64_t& left = wanted.try_emplace(kept.sweep_id, tasks * sweep.schedule.slots).first->second;
    kept.slots = static_cast<int>(std::min<int64_t>(kept.slots, left));
    left -= kept.slots;
    KeepSlots(worker_id, kept);
  }
}

// The first task of a sweep that needs several slots found no worker with so many free: the
// worker that will have them soonest keeps them as they become free. One worker for each
// sweep, so that two such tasks never wait for each other with half of their slots; the
// choice stays, lest they follow each other around.
void Scheduler::ReserveFor(int64_t sweep_id, int64_t now_ms) {
  for (const std::string& worker_id : reserved_) {
    if (workers_.find(worker_id)->second.reserved.sweep_id == sweep_id) return;
  }
  const Sweep& sweep = sweeps_.at(sweep_id);
  const int slots = sweep.schedule.slots;
  const int64_t task_id = FirstReady(sweep_id, [](int64_t) { return true; });
  struct Choice {
    int64_t when_ms = 0;
    int missing = 0;
    std::string worker_id;
    auto operator<=>(const Choice&) const = default;
  };
  std::optional<Choice> best;
  for (const auto& [worker_id, worker] : workers_) {
    if (!Suits(sweep, worker) || !YieldsTo(worker, sweep_id)) continue;
    if (!MayTake(task_id, sweep, worker_id, now_ms)) continue;
    const Choice choice{WhenFree(worker, slots, now_ms).value_or(INT64_MAX),
                        slots - FreeSlots(worker), worker_id};
    if (!best.has_value() || choice < *best) best = choice;
  }
  if (best.has_value()) KeepSlots(best->worker_id, {sweep_id, slots, /*by_stopping=*/false});
}

// ---- preemption

// The highest of the sweeps that want its trials. One whose results are all here is about
// to end by itself.
int Scheduler::PriorityOf(const Attempt& attempt) const {
  int priority = attempt.charges.empty() ? INT32_MAX : INT32_MIN;
  if (tasks_.at(attempt.task_id).open.empty()) return INT32_MAX;
  for (const Charge& charge : attempt.charges) {
    priority = std::max(priority, sweeps_.at(charge.sweep_id).schedule.priority);
  }
  return priority;
}

// What would have to stop on this worker for one more task of the sweep; nothing when it
// would not fit even then.
std::optional<Scheduler::Room> Scheduler::RoomOn(const std::string& worker_id, const Worker& worker,
                                                 int64_t sweep_id, int64_t now_ms) {
  const Sweep& sweep = sweeps_.at(sweep_id);
  int room = 0;
  std::vector<std::pair<int64_t, const Attempt*>> candidates;
  for (int i = 0; i < worker.slot_count; ++i) {
    const auto it = attempts_.find(worker.slots[i].attempt_id);
    if (it == attempts_.end() || it->second.cause != StopCause::kNone) {
      ++room;
      continue;
    }
    const Attempt& attempt = it->second;
    // What ran before the worker's boot has ended, and is only uploaded still.
    if (worker.owed.contains(it->first)) continue;
    if (attempt.lead() != i || PriorityOf(attempt) >= sweep.schedule.priority) continue;
    const int64_t may_ms = attempt.start_ms + options_.preempt_again_ms;
    if (tasks_.at(attempt.task_id).past().preempted && now_ms < may_ms) {
      dispatch_again_ms_ = std::min(dispatch_again_ms_, may_ms);
      continue;
    }
    candidates.emplace_back(it->first, &attempt);
  }
  if (worker.reserved.sweep_id == sweep_id && worker.reserved.by_stopping) {
    room -= worker.reserved.slots;
  }
  std::sort(candidates.begin(), candidates.end(), [this](const auto& a, const auto& b) {
    const int first = PriorityOf(*a.second);
    const int second = PriorityOf(*b.second);
    return first != second ? first < second
                           : std::pair(-a.second->start_ms, -a.first) <
                                 std::pair(-b.second->start_ms, -b.first);
  });
  Room found{.worker_id = worker_id, .priority = INT32_MIN, .start_ms = INT64_MAX};
  const int slots = sweep.schedule.slots;
  for (const auto& [attempt_id, attempt] : candidates) {
    if (room >= slots) break;
    room += static_cast<int>(attempt->slots.size());
    found.attempts.push_back(attempt_id);
    found.priority = PriorityOf(*attempt);
    found.start_ms = std::min(found.start_ms, attempt->start_ms);
  }
  if (room < slots) return std::nullopt;
  return found;
}

void Scheduler::MakeRoomFor(int64_t sweep_id, int64_t now_ms, Actions* actions) {
  const Sweep& sweep = sweeps_.at(sweep_id);
  const int slots = sweep.schedule.slots;
  const int64_t most = sweep.schedule.max_concurrent;
  int64_t tasks = static_cast<int64_t>(ready_.SizeOf(sweep_id));
  if (most > 0) tasks = std::min(tasks, most - sweep.trials_live);
  for (const std::string& worker_id : reserved_) {
    const Reservation& kept = workers_.find(worker_id)->second.reserved;
    if (kept.sweep_id == sweep_id && kept.by_stopping) tasks -= kept.slots / slots;
  }
  const int64_t task_id = FirstReady(sweep_id, [](int64_t) { return true; });
  for (; tasks > 0; --tasks) {
    std::optional<Room> best;
    for (const auto& [worker_id, worker] : workers_) {
      if (!Suits(sweep, worker)) continue;
      // It will be given a slot that is free when the worker calls, or that may turn out to be.
      const bool unknown =
          std::any_of(worker.slots.begin(), worker.slots.begin() + worker.slot_count,
                      [](const Slot& slot) { return !slot.reported; });
      const int kept = YieldsTo(worker, sweep_id) ? 0 : worker.reserved.slots;
      if (unknown || FreeSlots(worker) - kept >= slots) return;
      if (!YieldsTo(worker, sweep_id) || !MayTake(task_id, sweep, worker_id, now_ms)) continue;
      std::optional<Room> room = RoomOn(worker_id, worker, sweep_id, now_ms);
      if (!room.has_value()) continue;
      const auto rank = [](const Room& one) {
        return std::tuple(one.priority, one.attempts.size(), -one.start_ms);
      };
      if (!best.has_value() || rank(*room) < rank(*best)) best = std::move(room);
    }
    if (!best.has_value()) return;
    for (const int64_t attempt_id : best->attempts) {
      Stop(attempt_id, StopCause::kPreempted,
           absl::StrCat("preempted by sweeps/", sweep.name, ", whose priority is ",
                        sweep.schedule.priority),
           actions);
    }
    // Whatever it had asked for elsewhere is not needed any more.
    for (const std::string& worker_id : std::set<std::string>(reserved_)) {
      const Reservation& kept = workers_.find(worker_id)->second.reserved;
      if (kept.sweep_id == sweep_id && !kept.by_stopping) KeepSlots(worker_id, {});
    }
    const Reservation& kept = workers_.find(best->worker_id)->second.reserved;
    const int before = kept.sweep_id == sweep_id ? kept.slots : 0;
    KeepSlots(best->worker_id, {sweep_id, before + slots, /*by_stopping=*/true});
  }
}

void Scheduler::MakeRoom(int64_t now_ms, Actions* actions) {
  if (priorities_.size() < 2) return;
  const int lowest = priorities_.begin()->first;
  for (const Turn& turn : std::set<Turn>(turns_)) {
    if (-turn.minus_priority == lowest) break;
    MakeRoomFor(turn.sweep_id, now_ms, actions);
  }
}

}  // namespace loglog
