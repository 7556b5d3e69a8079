#ifndef LOGLOG_COORDINATOR_SCHEDULER_TESTING_H_
#define LOGLOG_COORDINATOR_SCHEDULER_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "coordinator/scheduler.h"

namespace loglog {

// A scheduler, a clock, and what the engine would do between them, without a store: the
// newest attempt of each task and how ended attempts ended are kept in maps.
class SchedulerWorld : public ::testing::Test {
 protected:
  static constexpr int64_t kLease = 30'000;
  static constexpr int64_t kMargin = 5'000;

  explicit SchedulerWorld(const SchedulerOptions& options = {}) : scheduler_(options) {}

  int64_t now() const { return clock_.monotonic_ms(); }
  void Advance(int64_t ms) { clock_.Advance(ms); }

  // A sweep of solo trials: trial and task i have the same id, number and cell, from
  // `first` on; sweep 1 is made with the fixture's defaults.
  void AddSweep(int64_t sweep_id, int64_t first_trial, int count, bool paused = false,
                const SweepSchedule& schedule = {}) {
    scheduler_.AddSweep(sweep_id, "sweep" + std::to_string(sweep_id), paused, schedule);
    for (int64_t id = first_trial; id < first_trial + count; ++id) {
      AddTrial(id, /*cell_id=*/id, {{sweep_id, id - first_trial + 1, "arm"}});
    }
  }
  void AddTrial(int64_t id, int64_t cell_id, const std::vector<SweepOfTrial>& sweeps,
                const TaskContext& context = {}) {
    OpenTrial trial;
    trial.trial_id = id;
    trial.cell_id = cell_id;
    trial.task_id = id;
    trial.sweeps = sweeps;
    scheduler_.AddTrial(trial);
    TaskRow task;
    task.task_id = id;
    task.members = {{0, id}};
    scheduler_.AddTask(task, context, now());
  }

  int64_t Register(const std::string& worker_id, int slots = 1, const std::string& boot = "boot",
                   const std::vector<int64_t>& held = {}, const std::string& scope = "",
                   const std::string& labels_json = "{}") {
    WorkerRow row;
    row.worker_id = worker_id;
    row.boot_id = boot;
    row.session_epoch = ++epochs_[worker_id];
    row.state = scheduler_.StateWhenRegistered(worker_id);
    row.slots = slots;
    row.checkpoint_scope = scope;
    row.labels_json = labels_json;
    scheduler_.Register(row, held, now(), &actions_);
    Note();
    return row.session_epoch;
  }

  // One sync, answered at once: what goes in is what the slots do. Tasks are taken in a call
  // of their own, which comes after the one that reports an end (unless it is Offer).
  WorkerDesire Sync(const std::string& worker_id, const std::vector<SlotReport>& slots,
                    const std::vector<HeldReport>& held = {}, bool draining = false,
                    const std::string& unhealthy = "") {
    Tick();
    scheduler_.Sync(
        {worker_id, slots, held, owed_, draining, unhealthy},
        [this](int64_t id) { return FindEnded(id); }, now(), &actions_);
    const bool ends = std::any_of(slots.begin(), slots.end(), [](const SlotReport& slot) {
      return slot.state == SlotState::kFinished;
    });
    if (!ends) scheduler_.SetOffering(worker_id, true);
    Note();
    Dispatch();
    const WorkerDesire desire = scheduler_.Desire(worker_id);
    scheduler_.SetOffering(worker_id, false);
    return desire;
  }
  // A sync after which the worker waits for a task, whatever it reports.
  WorkerDesire Offer(const std::string& worker_id, const std::vector<SlotReport>& slots) {
    Sync(worker_id, slots);
    scheduler_.SetOffering(worker_id, true);
    Dispatch();
    const WorkerDesire desire = scheduler_.Desire(worker_id);
    scheduler_.SetOffering(worker_id, false);
    return desire;
  }
  WorkerDesire SyncIdle(const std::string& worker_id) { return Sync(worker_id, {Idle()}); }
  // Idle, takes a task, reports it running. Returns the attempt, 0 when there was none.
  int64_t Start(const std::string& worker_id) {
    const WorkerDesire desire = SyncIdle(worker_id);
    if (desire.slots[0].action != DesiredAction::kRun) return 0;
    const int64_t attempt_id = desire.slots[0].attempt_id;
    Sync(worker_id, {Running(attempt_id)});
    return attempt_id;
  }
  WorkerDesire Finish(const std::string& worker_id, int64_t attempt_id, OutcomeKind kind,
                      const std::string& message = "") {
    return Sync(worker_id, {Finished(attempt_id, kind, message)});
  }
  // The trainer's results came in and the attempt ended well.
  void Complete(const std::string& worker_id, int64_t attempt_id) {
    EndTrial(TaskOf(attempt_id));
    Finish(worker_id, attempt_id, OutcomeKind::kDone);
  }
  void EndTrial(int64_t trial_id) {
    scheduler_.TrialEnded(trial_id, &actions_);
    Note();
  }
  void Tick() {
    scheduler_.Tick(now(), &actions_);
    Note();
  }
  void AdvanceAndTick(int64_t ms) {
    Advance(ms);
    Tick();
  }
  void Dispatch() {
    while (const auto grant = scheduler_.NextGrant(now())) {
      const int64_t attempt_id = ++last_attempt_id_;
      newest_[grant->task_id] = attempt_id;
      task_of_[attempt_id] = grant->task_id;
      worker_of_[attempt_id] = grant->worker_id;
      slots_of_[attempt_id] = grant->slots;
      scheduler_.Granted(*grant, attempt_id, resume_step_, now());
    }
    scheduler_.MakeRoom(now(), &actions_);
    Note();
  }

  static SlotReport Idle(int slot = 0) { return {slot, SlotState::kIdle, 0, {}}; }
  static SlotReport Running(int64_t attempt_id, int slot = 0) {
    return {slot, SlotState::kRunning, attempt_id, {}};
  }
  static SlotReport Uploading(int64_t attempt_id, int slot = 0) {
    return {slot, SlotState::kUploading, attempt_id, {}};
  }
  static SlotReport Finished(int64_t attempt_id, OutcomeKind kind, const std::string& message = "",
                             int slot = 0) {
    return {slot, SlotState::kFinished, attempt_id, {kind, 1, 0, message}};
  }

  int64_t TaskOf(int64_t attempt_id) const { return task_of_.at(attempt_id); }
  // The last thing that was written about a task, or an attempt's end.
  PutTask Task(int64_t task_id) const {
    const auto it = tasks_.find(task_id);
    return it == tasks_.end() ? PutTask{} : it->second;
  }
  AttemptState Ended(int64_t attempt_id) const { return ended_.at(attempt_id); }
  bool HasEnded(int64_t attempt_id) const { return ended_.contains(attempt_id); }
  WorkerState StateOf(const std::string& worker_id) const { return workers_.at(worker_id).state; }
  std::string ReasonOf(const std::string& worker_id) const { return workers_.at(worker_id).reason; }
  bool SweepEnded(int64_t sweep_id) const { return ended_sweeps_.contains(sweep_id); }

  // Keeps what the actions say, as the store would.
  void Note() {
    for (const Action& action : actions_) {
      if (const auto* end = std::get_if<EndAttempt>(&action)) {
        ended_[end->attempt_id] = end->state;
      } else if (const auto* mark = std::get_if<MarkAttempt>(&action)) {
        marks_[mark->attempt_id] = *mark;
      } else if (const auto* task = std::get_if<PutTask>(&action)) {
        tasks_[task->task_id] = *task;
      } else if (const auto* worker = std::get_if<PutWorker>(&action)) {
        workers_[worker->worker_id] = *worker;
      } else if (const auto* sweep = std::get_if<EndSweep>(&action)) {
        ended_sweeps_.insert(sweep->sweep_id);
      }
    }
    actions_.clear();
  }
  std::optional<EndedAttempt> FindEnded(int64_t attempt_id) const {
    const auto task = task_of_.find(attempt_id);
    if (task == task_of_.end()) return std::nullopt;
    const auto ended = ended_.find(attempt_id);
    // One that ends in this very call is live in the store still.
    const AttemptState state = ended == ended_.end() ? AttemptState::kRunning : ended->second;
    const std::vector<int>& slots = slots_of_.at(attempt_id);
    return EndedAttempt{task->second, slots.front(), static_cast<int>(slots.size()), state,
                        newest_.at(task->second) == attempt_id};
  }

  FakeClock clock_;
  Scheduler scheduler_;
  Actions actions_;
  std::vector<int64_t> owed_;  // what a sync says of it
  int64_t resume_step_ = 0;    // of what is granted
  int64_t last_attempt_id_ = 0;
  std::map<int64_t, int64_t> newest_;
  std::map<int64_t, int64_t> task_of_;
  std::map<int64_t, std::string> worker_of_;
  std::map<int64_t, std::vector<int>> slots_of_;
  std::map<int64_t, MarkAttempt> marks_;  // the newest of each attempt
  std::map<int64_t, AttemptState> ended_;
  std::map<int64_t, PutTask> tasks_;
  std::map<std::string, PutWorker> workers_;
  std::map<std::string, int64_t> epochs_;
  std::set<int64_t> ended_sweeps_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SCHEDULER_TESTING_H_
