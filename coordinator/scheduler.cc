// Tasks and trials: what waits, for what, and what is next.
#include "coordinator/scheduler.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/duration.h"
#include "base/failpoint.h"

namespace loglog {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// "in 12s": seconds are enough for people.
std::string InSeconds(int64_t ms) {
  return absl::StrCat("in ", FormatDurationMs((std::max<int64_t>(ms, 0) + 999) / 1000 * 1000));
}

}  // namespace

bool WorkerDesire::Anything() const {
  if (!forget.empty()) return true;
  return std::any_of(slots.begin(), slots.end(),
                     [](const SlotDesire& slot) { return slot.action != DesiredAction::kNone; });
}

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options), random_(options.seed) {}

// ---- what there is

void Scheduler::AddSweep(int64_t sweep_id, absl::string_view name, bool paused) {
  sweeps_[sweep_id].name = std::string(name);
  SetSweepPaused(sweep_id, paused);
}

void Scheduler::AddTrial(const OpenTrial& open) {
  Trial& trial = trials_[open.trial_id];
  trial.cell_id = open.cell_id;
  trial.task_id = open.task_id;
  for (const SweepOfTrial& of : open.sweeps) {
    const auto sweep = sweeps_.find(of.sweep_id);
    if (sweep == sweeps_.end()) continue;
    trial.sweeps[of.sweep_id] = of.number;
    sweep->second.open.insert(open.trial_id);
  }
  for (const int64_t task_id : trial.tasks) {
    if (ready_.Contains(task_id)) ready_.Put(task_id, PlacesOf(tasks_.at(task_id)));
  }
}

void Scheduler::AddTask(const TaskRow& row, const TaskContext& context, int64_t now_ms) {
  const bool is_new = !tasks_.contains(row.task_id);
  Task& task = tasks_[row.task_id];
  task.context = context;
  task.cancelled = false;
  task.failure_count = row.failure_count;
  task.lost_count = row.lost_count;
  task.message = row.message;
  std::set<int64_t> cells;
  for (const TaskMember& member : row.members) {
    const auto trial = trials_.find(member.trial_id);
    if (trial == trials_.end()) continue;  // it has ended
    task.open.insert(member.trial_id);
    cells.insert(trial->second.cell_id);
    if (trial->second.task_id == row.task_id) task.ends_trials = true;
    std::vector<int64_t>& tasks = trial->second.tasks;
    if (std::find(tasks.begin(), tasks.end(), row.task_id) == tasks.end()) {
      tasks.push_back(row.task_id);
    }
  }
  // Its results came in before the coordinator was started: only its end is still to come.
  if (task.open.empty()) task.ends_trials = true;
  task.failure_key = cells.size() == 1 ? *cells.begin() : -row.task_id;
  for (const std::string& worker_id : context.failed_on) {
    failed_on_[task.failure_key].insert(worker_id);
  }
  if (!is_new && task.attempt_id != 0) return;  // goes on, or is queued when it has stopped
  task.parent_task_id = tasks_.contains(row.parent_task_id) ? row.parent_task_id : 0;
  if (is_new && task.parent_task_id != 0) {
    children_[task.parent_task_id].push_back(row.task_id);
  }
  backoffs_.erase({task.not_before_ms, row.task_id});
  task.not_before_ms = now_ms + std::min(context.wait_ms, options_.backoff_ms_max);
  if (!context.checkpoint_worker.empty()) task.prefer_until_ms = now_ms + 2 * LeaseMs();
  Enqueue(row.task_id, &task, now_ms);
}

// ---- queueing

std::vector<ReadyQueue::Place> Scheduler::PlacesOf(const Task& task) const {
  std::map<int64_t, int64_t> ranks;
  for (const int64_t trial_id : task.open) {
    for (const auto& [sweep_id, number] : trials_.at(trial_id).sweeps) {
      const auto [it, inserted] = ranks.try_emplace(sweep_id, number);
      if (!inserted) it->second = std::min(it->second, number);
    }
  }
  std::vector<ReadyQueue::Place> places;
  for (const auto& [sweep_id, rank] : ranks) places.push_back({sweep_id, rank});
  return places;
}

void Scheduler::Enqueue(int64_t task_id, Task* task, int64_t now_ms) {
  LOGLOG_CHECK(task->attempt_id == 0);
  ready_.Remove(task_id);
  if (task->parent_task_id != 0) {
    task->state = Task::State::kBlocked;
  } else if (task->not_before_ms > now_ms) {
    task->state = Task::State::kBackoff;
    backoffs_.insert({task->not_before_ms, task_id});
  } else {
    task->state = Task::State::kReady;
    ready_.Put(task_id, PlacesOf(*task));
  }
}

void Scheduler::Requeue(int64_t task_id, Task* task, int64_t wait_ms, absl::string_view message,
                        int64_t now_ms, Actions* actions) {
  task->not_before_ms = now_ms + wait_ms;
  task->message = std::string(message);
  if (!task->context.checkpoint_worker.empty()) {
    task->prefer_until_ms = task->not_before_ms + 2 * LeaseMs();
  }
  Enqueue(task_id, task, now_ms);
  actions->push_back(PutTask{task_id, TaskState::kPending, task->failure_count, task->lost_count,
                             wait_ms, task->message, OpenTrialsOf(task_id)});
}

int64_t Scheduler::Backoff(int count) {
  const int doublings = std::min(std::max(count - 1, 0), 30);
  const int64_t wait_ms =
      std::min(options_.backoff_ms_max, options_.backoff_ms_min * (int64_t{1} << doublings));
  // Three to five quarters of it, so that what failed together does not return together.
  const int64_t jitter = static_cast<int64_t>(random_() % (wait_ms / 2 + 1));
  return wait_ms - wait_ms / 4 + jitter;
}

// ---- ends

void Scheduler::EraseTask(int64_t task_id) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  const Task& task = it->second;
  LOGLOG_CHECK(task.attempt_id == 0);
  ready_.Remove(task_id);
  backoffs_.erase({task.not_before_ms, task_id});
  for (const int64_t trial_id : task.open) {
    const auto trial = trials_.find(trial_id);
    if (trial != trials_.end()) std::erase(trial->second.tasks, task_id);
  }
  if (task.parent_task_id != 0) {
    const auto siblings = children_.find(task.parent_task_id);
    if (siblings != children_.end()) std::erase(siblings->second, task_id);
  }
  tasks_.erase(it);
}

void Scheduler::FinishTask(int64_t task_id, Actions* actions) {
  const Task& task = tasks_.at(task_id);
  actions->push_back(
      PutTask{task_id, TaskState::kDone, task.failure_count, task.lost_count, 0, "", {}});
  failed_on_.erase(task.failure_key);
  EraseTask(task_id);
  const auto children = children_.extract(task_id);
  if (children.empty()) return;
  for (const int64_t child_id : children.mapped()) {
    Task& child = tasks_.at(child_id);
    child.parent_task_id = 0;
    if (child.attempt_id == 0) Enqueue(child_id, &child, child.not_before_ms);
  }
}

void Scheduler::FailTask(int64_t task_id, absl::string_view message, Actions* actions) {
  const Task& task = tasks_.at(task_id);
  const std::vector<int64_t> trials = OpenTrialsOf(task_id);
  actions->push_back(PutTask{task_id, TaskState::kFailed, task.failure_count, task.lost_count, 0,
                             std::string(message), trials});
  EraseTask(task_id);
  const auto children = children_.extract(task_id);
  if (!children.empty()) {
    for (const int64_t child_id : std::vector<int64_t>(children.mapped())) {
      FailTask(child_id, absl::StrCat("task ", task_id, ", which it continues: ", message),
               actions);
    }
  }
  for (const int64_t trial_id : trials) TrialEnded(trial_id, actions);
}

void Scheduler::TrialEnded(int64_t trial_id, Actions* actions) {
  const auto node = trials_.extract(trial_id);
  if (node.empty()) return;
  const Trial& trial = node.mapped();
  for (const int64_t task_id : trial.tasks) {
    Task& task = tasks_.at(task_id);
    task.open.erase(trial_id);
    if (!task.open.empty()) {
      if (ready_.Contains(task_id)) ready_.Put(task_id, PlacesOf(task));
    } else if (task.attempt_id == 0 && !task.cancelled) {
      // The result of an attempt that had been given up came in after all.
      FinishTask(task_id, actions);
    }
  }
  for (const auto& [sweep_id, number] : trial.sweeps) {
    const auto sweep = sweeps_.find(sweep_id);
    if (sweep == sweeps_.end()) continue;
    sweep->second.open.erase(trial_id);
    EndIfEmpty(sweep_id, actions);
  }
}

void Scheduler::Cancel(const CancelResult& cancelled, Actions* actions) {
  for (const int64_t task_id : cancelled.tasks) {
    const auto it = tasks_.find(task_id);
    if (it == tasks_.end()) continue;
    it->second.cancelled = true;
    if (it->second.attempt_id != 0) {
      Stop(it->second.attempt_id, "cancelled", actions);
    } else {
      EraseTask(task_id);
    }
  }
  for (const int64_t trial_id : cancelled.trials) TrialEnded(trial_id, actions);
}

void Scheduler::EndIfEmpty(int64_t sweep_id, Actions* actions) {
  const auto sweep = sweeps_.find(sweep_id);
  if (sweep == sweeps_.end() || !sweep->second.open.empty()) return;
  RemoveSweep(sweep_id);
  actions->push_back(EndSweep{sweep_id});
}

void Scheduler::RemoveSweep(int64_t sweep_id) {
  const auto node = sweeps_.extract(sweep_id);
  if (node.empty()) return;
  ready_.SetPaused(sweep_id, false);
  for (const int64_t trial_id : node.mapped().open) {
    Trial& trial = trials_.at(trial_id);
    trial.sweeps.erase(sweep_id);
    for (const int64_t task_id : trial.tasks) {
      if (ready_.Contains(task_id)) ready_.Put(task_id, PlacesOf(tasks_.at(task_id)));
    }
  }
}

void Scheduler::SetSweepPaused(int64_t sweep_id, bool paused) {
  const auto sweep = sweeps_.find(sweep_id);
  if (sweep == sweeps_.end()) return;
  sweep->second.paused = paused;
  ready_.SetPaused(sweep_id, paused);
}

void Scheduler::ClearFailures(int64_t trial_id) {
  const auto trial = trials_.find(trial_id);
  if (trial == trials_.end()) return;
  failed_on_.erase(trial->second.cell_id);
  for (const int64_t task_id : trial->second.tasks) failed_on_.erase(-task_id);
}

// ---- time

void Scheduler::Tick(int64_t now_ms, Actions* actions) {
  while (!backoffs_.empty() && backoffs_.begin()->first <= now_ms) {
    const int64_t task_id = backoffs_.begin()->second;
    backoffs_.erase(backoffs_.begin());
    Enqueue(task_id, &tasks_.at(task_id), now_ms);
  }
  while (!leases_.empty() && leases_.begin()->first + options_.lease_margin_ms <= now_ms) {
    const int64_t attempt_id = leases_.begin()->second;
    const std::string& worker_id = attempts_.at(attempt_id).worker_id;
    LOGLOG_FAILPOINT("lease.expired");
    Lose(attempt_id,
         absl::StrCat("workers/", worker_id, " was silent for longer than its lease of ",
                      FormatDurationMs(LeaseMs())),
         now_ms, actions);
  }
  while (!silences_.empty() && silences_.begin()->first + options_.lease_margin_ms <= now_ms) {
    const std::string worker_id = silences_.begin()->second;
    silences_.erase(silences_.begin());
    Worker& worker = workers_.find(worker_id)->second;
    // What a person or a quarantine has taken out of use stays so until a person resumes it.
    if (worker.state == WorkerState::kQuarantined || worker.operator_drain ||
        !IsConnected(worker)) {
      LOGLOG_FAILPOINT("lease.silence_kept");
      continue;
    }
    LOGLOG_FAILPOINT("lease.silent_worker");
    SetState(worker_id, &worker, WorkerState::kLost,
             absl::StrCat("silent for longer than its lease of ", FormatDurationMs(LeaseMs())),
             actions);
  }
}

int64_t Scheduler::NextTickMs() const {
  int64_t next = preference_ends_ms_;
  if (!backoffs_.empty()) next = std::min(next, backoffs_.begin()->first);
  if (!leases_.empty()) next = std::min(next, leases_.begin()->first + options_.lease_margin_ms);
  if (!silences_.empty()) {
    next = std::min(next, silences_.begin()->first + options_.lease_margin_ms);
  }
  return next;
}

// ---- dispatch

bool Scheduler::MayTake(int64_t task_id, const std::string& worker_id, int64_t now_ms) {
  const Task& task = tasks_.at(task_id);
  const auto failed = failed_on_.find(task.failure_key);
  if (failed != failed_on_.end() && failed->second.contains(worker_id)) {
    // Another worker tells whether the task or the worker is to blame.
    for (const auto& [id, other] : workers_) {
      if (Accepts(other) && !failed->second.contains(id)) return false;
    }
  }
  const TaskContext& context = task.context;
  if (context.checkpoint_worker.empty() || context.checkpoint_worker == worker_id) return true;
  if (now_ms >= task.prefer_until_ms) return true;
  const auto reads_checkpoint = [&](const std::string& id, const Worker& worker) {
    return id == context.checkpoint_worker ||
           (!worker.scope.empty() && worker.scope == context.checkpoint_scope);
  };
  if (reads_checkpoint(worker_id, workers_.find(worker_id)->second)) return true;
  for (const auto& [id, other] : workers_) {
    if (!Accepts(other) || !reads_checkpoint(id, other)) continue;
    preference_ends_ms_ = std::min(preference_ends_ms_, task.prefer_until_ms);
    return false;
  }
  return true;
}

std::optional<Grant> Scheduler::NextGrant(int64_t now_ms) {
  preference_ends_ms_ = kNever;
  if (ready_.size() == 0) return std::nullopt;
  for (const auto& [slot, worker_id] : idle_) {
    const int64_t task_id =
        ready_.Take([&](int64_t task) { return MayTake(task, worker_id, now_ms); });
    if (task_id != 0) return Grant{task_id, worker_id, slot};
  }
  return std::nullopt;
}

void Scheduler::Granted(const Grant& grant, int64_t attempt_id, bool resumed, int64_t now_ms) {
  Task& task = tasks_.at(grant.task_id);
  Worker& worker = workers_.find(grant.worker_id)->second;
  task.state = Task::State::kLive;
  task.attempt_id = attempt_id;
  if (!resumed) task.context.checkpoint_worker.clear();
  Attempt& attempt = attempts_[attempt_id];
  attempt.task_id = grant.task_id;
  attempt.worker_id = grant.worker_id;
  attempt.slot = grant.slot;
  Renew(attempt_id, &attempt, now_ms);
  worker.slots[grant.slot].attempt_id = attempt_id;
  RefreshIdle(grant.worker_id, worker);
  woken_.insert(grant.worker_id);
}

void Scheduler::NoteCheckpoint(int64_t task_id, absl::string_view worker_id) {
  const auto task = tasks_.find(task_id);
  const auto worker = workers_.find(worker_id);
  if (task == tasks_.end() || worker == workers_.end()) return;
  task->second.context.checkpoint_worker = std::string(worker_id);
  task->second.context.checkpoint_scope = worker->second.scope;
}

// ---- questions

std::vector<int64_t> Scheduler::Sweeps() const {
  std::vector<int64_t> sweeps;
  for (const auto& [sweep_id, sweep] : sweeps_) sweeps.push_back(sweep_id);
  std::sort(sweeps.begin(), sweeps.end());
  return sweeps;
}

std::vector<int64_t> Scheduler::SweepsOf(int64_t trial_id) const {
  std::vector<int64_t> sweeps;
  const auto trial = trials_.find(trial_id);
  if (trial == trials_.end()) return sweeps;
  for (const auto& [sweep_id, number] : trial->second.sweeps) sweeps.push_back(sweep_id);
  return sweeps;
}

std::vector<int64_t> Scheduler::OpenTrialsOf(int64_t task_id) const {
  const auto task = tasks_.find(task_id);
  if (task == tasks_.end()) return {};
  return std::vector<int64_t>(task->second.open.begin(), task->second.open.end());
}

std::vector<int64_t> Scheduler::LiveAttemptsOf(int64_t sweep_id) const {
  std::vector<int64_t> live;
  for (const auto& [attempt_id, attempt] : attempts_) {
    const std::set<int64_t>& open = tasks_.at(attempt.task_id).open;
    if (std::any_of(open.begin(), open.end(), [&](int64_t trial_id) {
          return trials_.at(trial_id).sweeps.contains(sweep_id);
        })) {
      live.push_back(attempt_id);
    }
  }
  std::sort(live.begin(), live.end());
  return live;
}

// A free slot is not for it when its cell failed there and another worker could tell
// more; empty when that is not so.
std::string Scheduler::WhyAvoided(const Task& task) const {
  const auto failed = failed_on_.find(task.failure_key);
  if (failed == failed_on_.end()) return "";
  bool others = false;
  for (const auto& [worker_id, worker] : workers_) {
    if (!Accepts(worker) || failed->second.contains(worker_id)) continue;
    others = true;
    if (BusySlots(worker) < worker.slot_count) return "";
  }
  return others ? absl::StrCat("failed on workers/", *failed->second.begin(),
                               "; waits for a slot of another worker")
                : "";
}

std::string Scheduler::PendingReason(int64_t trial_id, int64_t now_ms) const {
  const auto trial = trials_.find(trial_id);
  if (trial == trials_.end()) return "";
  const auto it = tasks_.find(trial->second.task_id);
  if (it == tasks_.end()) return "";
  const Task& task = it->second;
  if (task.attempt_id != 0) {
    const Attempt& attempt = attempts_.at(task.attempt_id);
    return attempt.stop_reason.empty()
               ? ""
               : absl::StrCat("its earlier attempt ", task.attempt_id, " on workers/",
                              attempt.worker_id, " is stopping");
  }
  const std::map<int64_t, int64_t>& sweeps = trial->second.sweeps;
  if (!sweeps.empty() && std::all_of(sweeps.begin(), sweeps.end(), [this](const auto& sweep) {
        return sweeps_.at(sweep.first).paused;
      })) {
    const std::string& name = sweeps_.at(sweeps.begin()->first).name;
    return absl::StrCat("the sweep is paused; `loglog sweep resume ", name, "`");
  }
  switch (task.state) {
    case Task::State::kBlocked:
      return absl::StrCat("waits for task ", task.parent_task_id, ", which it continues");
    case Task::State::kBackoff:
      return absl::StrCat("tried again ", InSeconds(task.not_before_ms - now_ms), ": ",
                          task.message);
    case Task::State::kReady:
    case Task::State::kLive:
      break;
  }
  const std::string no_slot = WhyNoSlot();
  if (!no_slot.empty()) return no_slot;
  const std::string avoided = WhyAvoided(task);
  if (!avoided.empty()) return avoided;
  if (!task.context.checkpoint_worker.empty() && now_ms < task.prefer_until_ms) {
    return absl::StrCat("its checkpoint is on workers/", task.context.checkpoint_worker,
                        "; goes elsewhere ", InSeconds(task.prefer_until_ms - now_ms));
  }
  return "a slot is free; starts when its worker calls next";
}

}  // namespace loglog
