// Tasks and trials: what waits, for what, and what is next.
#include "coordinator/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/duration.h"
#include "base/failpoint.h"

namespace loglog {

bool WorkerDesire::Anything() const {
  if (!forget.empty()) return true;
  return std::any_of(slots.begin(), slots.end(),
                     [](const SlotDesire& slot) { return slot.action != DesiredAction::kNone; });
}

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options), random_(options.seed) {}

// ---- what there is

void Scheduler::AddSweep(int64_t sweep_id, absl::string_view name, bool paused,
                         const SweepSchedule& schedule) {
  const auto [it, is_new] = sweeps_.try_emplace(sweep_id);
  Sweep& sweep = it->second;
  if (is_new) {
    ++priorities_[schedule.priority];
    sweep.schedule = schedule;
    const std::vector<int64_t>& seeds = schedule.longest_first_seeds;
    for (size_t i = 0; i < seeds.size(); ++i) sweep.bands[seeds[i]] = static_cast<int32_t>(i);
  }
  sweep.name = std::string(name);
  SetSweepPaused(sweep_id, paused);
}

void Scheduler::AddTrial(const OpenTrial& open) {
  Trial& trial = trials_[open.trial_id];
  for (const int64_t task_id : trial.tasks) RemoveReady(task_id, &tasks_.at(task_id));
  trial.cell_id = open.cell_id;
  trial.task_id = open.task_id;
  trial.seed = open.seed;
  trial.tokens = open.tokens;
  trial.steps = static_cast<int32_t>(open.steps);
  // A float, so that one shape is one number whatever it was divided by.
  if (open.tokens > 0)
    trial.shape = static_cast<float>(open.flops / static_cast<double>(open.tokens));
  for (const SweepOfTrial& of : open.sweeps) {
    const auto sweep = sweeps_.find(of.sweep_id);
    if (sweep == sweeps_.end()) continue;
    if (!trial.WantedBy(of.sweep_id)) {
      trial.sweeps.push_back({static_cast<int32_t>(of.sweep_id), static_cast<int32_t>(of.number)});
    }
    if (sweep->second.open.insert(open.trial_id).second) {
      sweep->second.open_tokens[trial.shape] += trial.tokens;
    }
  }
  for (const int64_t task_id : trial.tasks) {
    Task& task = tasks_.at(task_id);
    if (task.state == Task::State::kReady) PutReady(task_id, &task);
    if (task.attempt_id() != 0) ChargeFor(&attempts_.at(task.attempt_id()));
  }
}

void Scheduler::AddTask(const TaskRow& row, const TaskContext& context, int64_t now_ms) {
  const bool is_new = !tasks_.contains(row.task_id);
  Task& task = tasks_[row.task_id];
  RemoveReady(row.task_id, &task);
  task.failures_max = static_cast<int16_t>(context.failures_max);
  task.losses_max = context.losses_max;
  task.cancelled = false;
  const bool tried = row.failure_count > 0 || row.lost_count > 0 || !row.message.empty() ||
                     context.wait_ms > 0 || !context.checkpoint_worker.empty();
  if (tried || task.has_past()) {
    Past& past = *task.mutable_past();
    past.failure_count = row.failure_count;
    past.lost_count = row.lost_count;
    past.message = row.message;
    past.checkpoint_worker = context.checkpoint_worker;
    past.checkpoint_scope = context.checkpoint_scope;
    past.branches = context.branches;
  }
  task.tokens = row.token_end - row.token_begin;
  std::set<int64_t> cells;
  for (const TaskMember& member : row.members) {
    Trial* const trial = trials_.find(member.trial_id);
    if (trial == nullptr) continue;  // it has ended
    task.open.insert(member.trial_id);
    cells.insert(trial->cell_id);
    if (trial->task_id == row.task_id) task.ends_trials = true;
    trial->tasks.insert(row.task_id);
  }
  // Its results came in before the coordinator was started: only its end is still to come.
  if (task.open.empty()) task.ends_trials = true;
  task.failure_key = cells.size() == 1 ? *cells.begin() : -row.task_id;
  for (const std::string& worker_id : context.failed_on) {
    failed_on_[task.failure_key].insert(worker_id);
  }
  if (!is_new && task.attempt_id() != 0) {  // goes on, or is queued when it has stopped
    ChargeFor(&attempts_.at(task.attempt_id()));
    return;
  }
  // What it waited for when it was added before may have ended since, or come back.
  LeaveTrunk(row.task_id, &task);
  // With a checkpoint, its own or its trunk's, it can begin.
  const bool waits = tasks_.contains(row.parent_task_id) && context.checkpoint_worker.empty();
  if (waits) {
    task.parent_task_id = row.parent_task_id;
    children_[task.parent_task_id].push_back(row.task_id);
  }
  if (task.has_past()) {
    Past& past = *task.mutable_past();
    backoffs_.erase({past.not_before_ms, row.task_id});
    // The wall clock that the store keeps may have been set back: nobody waits for longer
    // than what is left of a wait can be.
    const int64_t wait_ms = BackoffBeforeJitter(std::max(row.failure_count, row.lost_count));
    past.not_before_ms = now_ms + std::min(context.wait_ms, wait_ms + wait_ms / 4);
    if (!past.checkpoint_worker.empty()) past.prefer_until_ms = now_ms + 2 * LeaseMs();
  }
  Enqueue(row.task_id, &task, now_ms);
}

void Scheduler::LeaveTrunk(int64_t task_id, Task* task) {
  const auto siblings = children_.find(std::exchange(task->parent_task_id, 0));
  if (siblings == children_.end()) return;
  std::erase(siblings->second, task_id);
  if (siblings->second.empty()) children_.erase(siblings);
}

// ---- queueing

ReadyQueue::Places Scheduler::PlacesOf(const Task& task) const {
  ReadyQueue::Places places;
  for (const int64_t trial_id : task.open) {
    const Trial& trial = trials_.at(trial_id);
    for (const auto& [sweep_id, number] : trial.sweeps) {
      const auto wants = sweeps_.find(sweep_id);
      if (wants == sweeps_.end()) continue;  // it is being removed
      const Sweep& sweep = wants->second;
      ReadyQueue::Place place{.sweep_id = sweep_id, .number = number};
      if (!sweep.bands.empty()) {
        const auto band = sweep.bands.find(trial.seed);
        place.band = band == sweep.bands.end() ? INT32_MAX : band->second;
        place.shape = trial.shape;
        place.tokens = task.tokens;
      }
      const auto known = std::find_if(
          places.begin(), places.end(),
          [&](const ReadyQueue::Place& other) { return other.sweep_id == place.sweep_id; });
      if (known == places.end()) {
        places.push_back(place);
      } else if (place.number < known->number) {
        *known = place;
      }
    }
  }
  return places;
}

void Scheduler::PutReady(int64_t task_id, Task* task) {
  LOGLOG_CHECK(!task->queued);
  task->queued = true;
  const ReadyQueue::Places places = PlacesOf(*task);
  ready_.Insert(task_id, places);
  for (const ReadyQueue::Place& place : places) UpdateTurn(place.sweep_id);
}

// Before anything changes that its places follow from.
void Scheduler::RemoveReady(int64_t task_id, Task* task) {
  if (!task->queued) return;
  task->queued = false;
  const ReadyQueue::Places places = PlacesOf(*task);
  ready_.Remove(task_id, places);
  for (const ReadyQueue::Place& place : places) UpdateTurn(place.sweep_id);
}

void Scheduler::Enqueue(int64_t task_id, Task* task, int64_t now_ms) {
  LOGLOG_CHECK(task->attempt_id() == 0);
  RemoveReady(task_id, task);
  const int64_t not_before_ms = task->past().not_before_ms;
  if (task->parent_task_id != 0) {
    task->state = Task::State::kBlocked;
  } else if (not_before_ms > now_ms) {
    task->state = Task::State::kBackoff;
    backoffs_.insert({not_before_ms, task_id});
  } else {
    task->state = Task::State::kReady;
    PutReady(task_id, task);
  }
}

void Scheduler::Requeue(int64_t task_id, Task* task, int64_t wait_ms, absl::string_view message,
                        int64_t now_ms, Actions* actions) {
  Past& past = *task->mutable_past();
  past.not_before_ms = now_ms + wait_ms;
  past.message = std::string(message);
  if (!past.checkpoint_worker.empty()) {
    past.prefer_until_ms = past.not_before_ms + 2 * LeaseMs();
  }
  Enqueue(task_id, task, now_ms);
  actions->push_back(PutTask{task_id, TaskState::kPending, past.failure_count, past.lost_count,
                             wait_ms, std::string(message), OpenTrialsOf(task_id)});
}

int64_t Scheduler::BackoffBeforeJitter(int count) const {
  const int doublings = std::min(std::max(count - 1, 0), 30);
  return std::min(options_.backoff_ms_max, options_.backoff_ms_min * (int64_t{1} << doublings));
}

int64_t Scheduler::Backoff(int count) {
  const int64_t wait_ms = BackoffBeforeJitter(count);
  // Three to five quarters of it, so that what failed together does not return together.
  const int64_t jitter = static_cast<int64_t>(random_() % (wait_ms / 2 + 1));
  return wait_ms - wait_ms / 4 + jitter;
}

// ---- ends

void Scheduler::EraseTask(int64_t task_id) {
  Task* const task = tasks_.find(task_id);
  if (task == nullptr) return;
  LOGLOG_CHECK(task->attempt_id() == 0);
  RemoveReady(task_id, task);
  backoffs_.erase({task->past().not_before_ms, task_id});
  for (const int64_t trial_id : task->open) {
    Trial* const trial = trials_.find(trial_id);
    if (trial != nullptr) trial->tasks.erase(task_id);
  }
  LeaveTrunk(task_id, task);
  tasks_.erase(task_id);
  // No checkpoint will come any more for those that still wait: they train all of it themselves.
  const auto children = children_.extract(task_id);
  if (children.empty()) return;
  for (const int64_t child_id : children.mapped()) {
    Task& child = tasks_.at(child_id);
    child.parent_task_id = 0;
    if (child.attempt_id() == 0) Enqueue(child_id, &child, child.past().not_before_ms);
  }
}

void Scheduler::FinishTask(int64_t task_id, Actions* actions) {
  const Task& task = tasks_.at(task_id);
  actions->push_back(PutTask{
      task_id, TaskState::kDone, task.past().failure_count, task.past().lost_count, 0, "", {}});
  failed_on_.erase(task.failure_key);
  EraseTask(task_id);
}

void Scheduler::FailTask(int64_t task_id, absl::string_view message, Actions* actions) {
  const Past& past = tasks_.at(task_id).past();
  const std::vector<int64_t> trials = OpenTrialsOf(task_id);
  actions->push_back(PutTask{task_id, TaskState::kFailed, past.failure_count, past.lost_count, 0,
                             std::string(message), trials});
  const auto children = children_.extract(task_id);
  EraseTask(task_id);
  if (!children.empty()) {
    for (const int64_t child_id : children.mapped()) {
      FailTask(child_id, absl::StrCat("task ", task_id, ", which it continues: ", message),
               actions);
    }
  }
  for (const int64_t trial_id : trials) TrialEnded(trial_id, actions);
}

void Scheduler::TrialEnded(int64_t trial_id, Actions* actions) {
  Trial* const found = trials_.find(trial_id);
  if (found == nullptr) return;
  for (const int64_t task_id : found->tasks) {
    Task& task = tasks_.at(task_id);
    RemoveReady(task_id, &task);
    task.open.erase(trial_id);
    if (task.state == Task::State::kReady && !task.open.empty()) PutReady(task_id, &task);
  }
  const Trial trial = std::move(*found);
  trials_.erase(trial_id);
  for (const int64_t task_id : trial.tasks) {
    const Task& task = tasks_.at(task_id);
    if (task.open.empty() && task.attempt_id() == 0 && !task.cancelled) {
      // The result of an attempt that had been given up came in after all.
      FinishTask(task_id, actions);
    }
  }
  for (const auto& [sweep_id, number] : trial.sweeps) {
    const auto sweep = sweeps_.find(sweep_id);
    if (sweep == sweeps_.end()) continue;
    if (sweep->second.open.erase(trial_id) > 0) {
      sweep->second.open_tokens[trial.shape] -= trial.tokens;
    }
    EndIfEmpty(sweep_id, actions);
  }
}

void Scheduler::Cancel(const CancelResult& cancelled, absl::string_view why, Actions* actions) {
  for (const int64_t task_id : cancelled.tasks) {
    Task* const task = tasks_.find(task_id);
    if (task == nullptr) continue;
    task->cancelled = true;
    if (task->attempt_id() != 0) {
      Stop(task->attempt_id(), StopCause::kUnwanted, why, actions);
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
  const auto it = sweeps_.find(sweep_id);
  if (it == sweeps_.end()) return;
  for (const int64_t trial_id : it->second.open) {
    for (const int64_t task_id : trials_.at(trial_id).tasks) {
      RemoveReady(task_id, &tasks_.at(task_id));
    }
  }
  const Sweep sweep = std::move(it->second);
  sweeps_.erase(it);
  if (sweep.turn.has_value()) turns_.erase(*sweep.turn);
  if (--priorities_[sweep.schedule.priority] == 0) priorities_.erase(sweep.schedule.priority);
  for (auto& [attempt_id, attempt] : attempts_) {
    std::erase_if(attempt.charges,
                  [sweep_id](const Charge& charge) { return charge.sweep_id == sweep_id; });
  }
  for (const int64_t trial_id : sweep.open) {
    Trial& trial = trials_.at(trial_id);
    const auto* const wish =
        std::find_if(trial.sweeps.begin(), trial.sweeps.end(),
                     [&](const Wish& one) { return one.sweep_id == sweep_id; });
    if (wish != trial.sweeps.end()) trial.sweeps.erase(wish);
  }
  for (const int64_t trial_id : sweep.open) {
    for (const int64_t task_id : trials_.at(trial_id).tasks) {
      Task& task = tasks_.at(task_id);
      if (task.state == Task::State::kReady && !task.queued) PutReady(task_id, &task);
    }
  }
}

void Scheduler::SetSweepPaused(int64_t sweep_id, bool paused) {
  const auto sweep = sweeps_.find(sweep_id);
  if (sweep == sweeps_.end()) return;
  sweep->second.paused = paused;
  UpdateTurn(sweep_id);
}

void Scheduler::ClearFailures(int64_t trial_id) {
  const Trial* const trial = trials_.find(trial_id);
  if (trial == nullptr) return;
  failed_on_.erase(trial->cell_id);
  for (const int64_t task_id : trial->tasks) failed_on_.erase(-task_id);
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
  int64_t next = dispatch_again_ms_;
  if (!backoffs_.empty()) next = std::min(next, backoffs_.begin()->first);
  if (!leases_.empty()) next = std::min(next, leases_.begin()->first + options_.lease_margin_ms);
  if (!silences_.empty()) {
    next = std::min(next, silences_.begin()->first + options_.lease_margin_ms);
  }
  return next;
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
  const Trial* const trial = trials_.find(trial_id);
  if (trial == nullptr) return sweeps;
  for (const auto& [sweep_id, number] : trial->sweeps) sweeps.push_back(sweep_id);
  return sweeps;
}

std::vector<int64_t> Scheduler::OpenTrialsOf(int64_t task_id) const {
  const Task* const task = tasks_.find(task_id);
  if (task == nullptr) return {};
  return std::vector<int64_t>(task->open.begin(), task->open.end());
}

std::optional<Work> Scheduler::WorkOf(int64_t task_id) const {
  const Task* const task = tasks_.find(task_id);
  if (task == nullptr || task->open.empty()) return std::nullopt;
  return Work{trials_.at(task->open.front()).shape, task->tokens};
}

std::map<float, int64_t> Scheduler::OpenTokensOf(int64_t sweep_id) const {
  const auto sweep = sweeps_.find(sweep_id);
  if (sweep == sweeps_.end()) return {};
  return sweep->second.open_tokens;
}

std::vector<int64_t> Scheduler::LiveAttemptsOf(int64_t sweep_id) const {
  std::vector<int64_t> live;
  if (!sweeps_.contains(sweep_id)) return live;
  for (const auto& [attempt_id, attempt] : attempts_) {
    const IdSet& open = tasks_.at(attempt.task_id).open;
    if (std::any_of(open.begin(), open.end(),
                    [&](int64_t trial_id) { return trials_.at(trial_id).WantedBy(sweep_id); })) {
      live.push_back(attempt_id);
    }
  }
  std::sort(live.begin(), live.end());
  return live;
}

}  // namespace loglog
