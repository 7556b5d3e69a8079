// Why a pending trial is pending.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/duration.h"
#include "coordinator/scheduler.h"

namespace loglog {
namespace {

// "in 12s": seconds are enough for people.
std::string InSeconds(int64_t ms) {
  return absl::StrCat("in ", FormatDurationMs((std::max<int64_t>(ms, 0) + 999) / 1000 * 1000));
}

// " with gpu=h100,zone=a"; empty for a sweep that takes any worker.
std::string WithLabels(const SweepSchedule& schedule) {
  if (schedule.selector.empty()) return "";
  return absl::StrCat(" with ", absl::StrJoin(schedule.selector, ",", absl::PairFormatter("=")));
}

}  // namespace

int Scheduler::BusySlots(const Worker& worker) {
  int busy = 0;
  for (int i = 0; i < worker.slot_count; ++i) {
    const Slot& slot = worker.slots[i];
    if (slot.attempt_id != 0 || (slot.reported && slot.state != SlotState::kIdle)) ++busy;
  }
  return busy;
}

// None is there, none has the labels, or none of those takes tasks.
std::string Scheduler::WhyNoWorker(const Sweep& sweep) const {
  int connected = 0;
  int matching = 0;
  int draining = 0;
  int quarantined = 0;
  std::string unhealthy;
  for (const auto& [id, worker] : workers_) {
    if (!IsConnected(worker)) continue;
    ++connected;
    if (!Matches(sweep, worker)) continue;
    if (Accepts(worker)) return "";
    ++matching;
    if (worker.state == WorkerState::kQuarantined) {
      ++quarantined;
    } else if (!worker.unhealthy.empty()) {
      unhealthy = absl::StrCat("workers/", id, " is unhealthy (", worker.unhealthy, ")");
    } else {
      ++draining;
    }
  }
  if (connected == 0) return "no worker is connected; `loglog worker start` starts one";
  const std::string labels = WithLabels(sweep.schedule);
  if (matching == 0) {
    return absl::StrCat("no worker", labels, " is connected, and sweeps/", sweep.name,
                        " selects only such; `loglog worker list -o wide` shows their labels");
  }
  std::vector<std::string> why;
  if (draining > 0) why.push_back(absl::StrCat(draining, " draining"));
  if (quarantined > 0) {
    why.push_back(absl::StrCat(quarantined, " quarantined (`loglog worker list` says why)"));
  }
  if (!unhealthy.empty()) why.push_back(unhealthy);
  return absl::StrCat("no worker", labels, " takes tasks: ", absl::StrJoin(why, ", "));
}

std::string Scheduler::WhyTooLarge(const Sweep& sweep) const {
  const std::string* largest = nullptr;
  int slots = 0;
  for (const auto& [id, worker] : workers_) {
    if (!IsConnected(worker) || !Matches(sweep, worker)) continue;
    if (Suits(sweep, worker)) return "";
    if (worker.slot_count > slots) {
      slots = worker.slot_count;
      largest = &id;
    }
  }
  if (largest == nullptr) return "";
  const std::string needs =
      absl::StrCat("each of its trials needs ", sweep.schedule.slots, " slots of one worker; ");
  if (slots >= sweep.schedule.slots) {
    return absl::StrCat(needs, "workers/", *largest, " has so many, but takes no tasks now");
  }
  return absl::StrCat(needs, "the largest", WithLabels(sweep.schedule), ", workers/", *largest,
                      ", has ", slots);
}

// Slots are kept for it, as they become free.
std::string Scheduler::WhyKept(int64_t sweep_id, const Sweep& sweep) const {
  for (const std::string& worker_id : reserved_) {
    const Worker& worker = workers_.find(worker_id)->second;
    if (worker.reserved.sweep_id != sweep_id) continue;
    if (worker.reserved.by_stopping) {
      return absl::StrCat("waits for workers/", worker_id,
                          ", where trials of lower priority are stopping to make room");
    }
    return absl::StrCat("waits for ", sweep.schedule.slots, " slots of workers/", worker_id,
                        ", which are kept for sweeps/", sweep.name, " as they become free; ",
                        FreeSlots(worker), " are");
  }
  return "";
}

// Tasks that are served before any of this sweep, whoever they wait for.
std::string Scheduler::WhyBehind(const Sweep& sweep) const {
  size_t tasks = 0;
  const Sweep* first = nullptr;
  for (const Turn& turn : turns_) {
    if (-turn.minus_priority <= sweep.schedule.priority) break;
    const Sweep& other = sweeps_.at(turn.sweep_id);
    if (first == nullptr) first = &other;
    tasks += ready_.SizeOf(turn.sweep_id);
  }
  if (first == nullptr) return "";
  return absl::StrCat("behind ", tasks, " of higher priority, such as those of sweeps/",
                      first->name, " (priority ", first->schedule.priority, ")");
}

std::string Scheduler::WhyNoSlot(const Task& task, int64_t sweep_id, const Sweep& sweep) const {
  const int needs = sweep.schedule.slots;
  int slots = 0;
  int busy = 0;
  std::string kept;
  for (const auto& [id, worker] : workers_) {
    if (!Suits(sweep, worker)) continue;
    const int free = worker.slot_count - BusySlots(worker);
    slots += worker.slot_count;
    busy += worker.slot_count - free;
    if (free < needs) continue;
    if (YieldsTo(worker, sweep_id) || free - worker.reserved.slots >= needs) return "";
    kept = absl::StrCat("free slots of workers/", id, " are kept for sweeps/",
                        sweeps_.at(worker.reserved.sweep_id).name,
                        ", which comes first and waits for ", worker.reserved.slots, " of them");
  }
  const std::string of_such = sweep.schedule.selector.empty()
                                  ? ""
                                  : absl::StrCat(" of workers", WithLabels(sweep.schedule));
  std::string text;
  if (!kept.empty()) {
    text = kept;
  } else if (needs > 1) {
    text = absl::StrCat("waits for ", needs, " free slots of one worker; of ", slots, " slots",
                        of_such, ", ", busy, " are busy");
  } else if (slots == 1) {
    text = absl::StrCat("waits for the one slot there is", of_such);
  } else {
    text = absl::StrCat("waits for a slot; all ", slots, of_such, " are busy");
  }
  const std::string behind = WhyBehind(sweep);
  if (!behind.empty()) absl::StrAppend(&text, ", ", behind);
  if (task.past().made_room) {
    text = absl::StrCat(task.past().message, "; ", text);
  }
  return text;
}

// A free slot is not for it when its cell failed there and another worker could tell
// more; empty when that is not so.
std::string Scheduler::WhyAvoided(const Task& task, const Sweep& sweep) const {
  const auto failed = failed_on_.find(task.failure_key);
  if (failed == failed_on_.end()) return "";
  bool others = false;
  for (const auto& [worker_id, worker] : workers_) {
    if (!Suits(sweep, worker) || failed->second.contains(worker_id)) continue;
    others = true;
    if (worker.slot_count - BusySlots(worker) >= sweep.schedule.slots) return "";
  }
  return others ? absl::StrCat("failed on workers/", *failed->second.begin(),
                               "; waits for a slot of another worker")
                : "";
}

Scheduler::Obstacle Scheduler::ObstacleOf(const Task& task, int64_t sweep_id,
                                          int64_t now_ms) const {
  const Sweep& sweep = sweeps_.at(sweep_id);
  int stage = 1;
  if (!MayStartMore(sweep)) {
    return {stage, absl::StrCat("schedule.max_concurrent of sweeps/", sweep.name, " is ",
                                sweep.schedule.max_concurrent, ", and so many of its trials run")};
  }
  std::string text = WhyNoWorker(sweep);
  ++stage;
  if (text.empty()) text = WhyTooLarge(sweep), ++stage;
  if (text.empty()) text = WhyKept(sweep_id, sweep), ++stage;
  if (text.empty()) text = WhyNoSlot(task, sweep_id, sweep), ++stage;
  if (text.empty()) text = WhyAvoided(task, sweep), ++stage;
  const Past& past = task.past();
  if (text.empty() && past.branches && !past.checkpoint_worker.empty()) {
    text = absl::StrCat("its trunk's checkpoint is on workers/", past.checkpoint_worker,
                        ", whose slots are busy");
    ++stage;
  }
  if (text.empty() && !past.checkpoint_worker.empty() && now_ms < past.prefer_until_ms) {
    text = absl::StrCat("its checkpoint is on workers/", past.checkpoint_worker,
                        "; goes elsewhere ", InSeconds(past.prefer_until_ms - now_ms));
    ++stage;
  }
  if (text.empty()) text = WhyBehind(sweep), ++stage;
  if (text.empty()) text = "a slot is free; starts when its worker calls next", ++stage;
  return {stage, text};
}

std::string Scheduler::PendingReason(int64_t trial_id, int64_t now_ms) const {
  const Trial* const trial = trials_.find(trial_id);
  if (trial == nullptr) return "";
  const Task* const task = tasks_.find(trial->task_id);
  if (task == nullptr) return "";
  if (task->attempt_id() != 0) {
    const Attempt& attempt = attempts_.at(task->attempt_id());
    return attempt.stop_reason.empty()
               ? ""
               : absl::StrCat("its earlier attempt ", task->attempt_id(), " on workers/",
                              attempt.worker_id, " is stopping (", attempt.stop_reason, ")");
  }
  const Few<Wish>& sweeps = trial->sweeps;
  if (!sweeps.empty() && std::all_of(sweeps.begin(), sweeps.end(), [this](const auto& sweep) {
        return sweeps_.at(sweep.sweep_id).paused;
      })) {
    const std::string& name = sweeps_.at(sweeps.front().sweep_id).name;
    return absl::StrCat("the sweep is paused; `loglog sweep resume ", name, "`");
  }
  switch (task->state) {
    case Task::State::kBlocked:
      return absl::StrCat("waits for task ", task->parent_task_id, ", which it continues");
    case Task::State::kBackoff:
      return absl::StrCat("tried again ", InSeconds(task->past().not_before_ms - now_ms), ": ",
                          task->past().message);
    case Task::State::kReady:
    case Task::State::kLive:
      break;
  }
  // Of several sweeps that want it, the one that is closest to starting it says why not yet.
  Obstacle closest;
  for (const auto& [sweep_id, number] : sweeps) {
    if (sweeps_.at(sweep_id).paused) continue;
    Obstacle obstacle = ObstacleOf(*task, sweep_id, now_ms);
    if (obstacle.stage > closest.stage) closest = std::move(obstacle);
  }
  return closest.text;
}

}  // namespace loglog
