// Order, fairness, pausing, cancelling, dependencies, and why a trial is pending.
#include <gmock/gmock.h>

#include <ctime>

#include "coordinator/ready_queue.h"
#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QueueTest : public SchedulerWorld {
 protected:
  // Runs one trial after the other on one worker, to their ends.
  std::vector<int64_t> RunAll(const std::string& worker) {
    std::vector<int64_t> order;
    while (const int64_t attempt = Start(worker)) {
      order.push_back(TaskOf(attempt));
      Complete(worker, attempt);
    }
    return order;
  }
  // Sweep 1 with trial 1, which task 10 begins and task 11 ends.
  void AddTrunkAndBranch() {
    scheduler_.AddSweep(1, "s", false);
    OpenTrial trial;
    trial.trial_id = 1;
    trial.cell_id = 1;
    trial.task_id = 11;  // the branch ends it
    trial.sweeps = {{1, 1, "arm"}};
    scheduler_.AddTrial(trial);
    TaskRow trunk;
    trunk.task_id = 10;
    trunk.members = {{0, 1}};
    scheduler_.AddTask(trunk, {}, now());
    TaskRow branch = trunk;
    branch.task_id = 11;
    branch.parent_task_id = 10;
    scheduler_.AddTask(branch, {}, now());
  }
  void Cancel(const std::vector<int64_t>& ids) {
    scheduler_.Cancel({.trials = ids, .tasks = ids}, "cancelled", &actions_);
    Note();
  }
};

TEST_F(QueueTest, TasksStartInTheOrderOfThePlan) {
  scheduler_.AddSweep(1, "s", false);
  AddTrial(7, 7, {{1, 3, "arm"}});
  AddTrial(8, 8, {{1, 1, "arm"}});
  AddTrial(9, 9, {{1, 2, "arm"}});
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(8, 9, 7));
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(QueueTest, SweepsTakeTurns) {
  AddSweep(1, 1, 4);
  AddSweep(2, 11, 2);
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(1, 11, 2, 12, 3, 4));
}

TEST_F(QueueTest, ASharedTrialRunsOnce) {
  AddSweep(1, 1, 2);
  scheduler_.AddSweep(2, "other", false);
  AddTrial(2, 2, {{1, 2, "arm"}, {2, 1, "arm"}});
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(1, 2));
  EXPECT_TRUE(SweepEnded(1));
  EXPECT_TRUE(SweepEnded(2));
}

TEST_F(QueueTest, APausedSweepStartsNothingAndLetsWhatRunsGoOn) {
  AddSweep(1, 1, 3);
  Register("w");
  const int64_t attempt = Start("w");
  scheduler_.SetSweepPaused(1, true);
  EXPECT_EQ(Sync("w", {Running(attempt)}).slots[0].action, DesiredAction::kNone);
  Complete("w", attempt);
  EXPECT_EQ(Start("w"), 0);
  EXPECT_THAT(scheduler_.PendingReason(2, now()), HasSubstr("the sweep is paused"));
  EXPECT_THAT(scheduler_.PendingReason(2, now()), HasSubstr("loglog sweep resume sweep1"));
  scheduler_.SetSweepPaused(1, false);
  EXPECT_NE(Start("w"), 0);
}

TEST_F(QueueTest, ATrialThatAnActiveSweepWantsRunsThoughAnotherIsPaused) {
  AddSweep(1, 1, 1, /*paused=*/true);
  scheduler_.AddSweep(2, "active", false);
  AddTrial(1, 1, {{1, 1, "arm"}, {2, 1, "arm"}});
  Register("w");
  EXPECT_NE(Start("w"), 0);
}

TEST_F(QueueTest, CancellingStopsWhatRunsAndDropsWhatWaits) {
  AddSweep(1, 1, 3);
  Register("w");
  const int64_t attempt = Start("w");
  scheduler_.RemoveSweep(1);
  Cancel({1, 2, 3});
  EXPECT_EQ(scheduler_.Desire("w").slots[0].action, DesiredAction::kStop);
  EXPECT_EQ(scheduler_.Desire("w").slots[0].reason, "cancelled");
  Finish("w", attempt, OutcomeKind::kStopped);
  EXPECT_EQ(Ended(attempt), AttemptState::kCancelled);
  EXPECT_EQ(Start("w"), 0);
}

TEST_F(QueueTest, ACancelledTrialThatIsWantedAgainWaitsForItsOldAttempt) {
  AddSweep(1, 1, 1);
  Register("w", 2);
  const int64_t attempt = Sync("w", {Idle(0), Idle(1)}).slots[0].attempt_id;
  Sync("w", {Running(attempt, 0), Idle(1)});
  scheduler_.RemoveSweep(1);
  Cancel({1});
  AddSweep(2, 1, 1);
  EXPECT_EQ(Sync("w", {Running(attempt, 0), Idle(1)}).slots[1].action, DesiredAction::kNone);
  EXPECT_THAT(scheduler_.PendingReason(1, now()), HasSubstr("is stopping"));
  const WorkerDesire desire =
      Offer("w", {Finished(attempt, OutcomeKind::kStopped, "", 0), Idle(1)});
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kRun);
  EXPECT_EQ(desire.slots[0].forget_attempt_id, attempt);
}

TEST_F(QueueTest, ALeaseCancelledBeforeItWasHeardOfIsNotStarted) {
  AddSweep(1, 1, 1);
  Register("w");
  const int64_t attempt = SyncIdle("w").slots[0].attempt_id;
  Cancel({1});
  EXPECT_EQ(SyncIdle("w").slots[0].action, DesiredAction::kNone);
  EXPECT_EQ(Ended(attempt), AttemptState::kCancelled);
}

TEST_F(QueueTest, ABranchWaitsForItsTrunk) {
  AddTrunkAndBranch();
  Register("a");
  Register("b");
  EXPECT_EQ(scheduler_.PendingReason(1, now()), "waits for task 10, which it continues");
  const int64_t attempt = Start("a");
  EXPECT_EQ(TaskOf(attempt), 10);
  EXPECT_EQ(Start("b"), 0);
  Finish("a", attempt, OutcomeKind::kDone);
  EXPECT_EQ(Task(10).state, TaskState::kDone);
  const int64_t second = Start("b");
  EXPECT_EQ(TaskOf(second), 11);
  EndTrial(1);
  Finish("b", second, OutcomeKind::kDone);
  EXPECT_EQ(Task(11).state, TaskState::kDone);
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(QueueTest, ATrialThatEndsTakesItsWaitingTrunkAndBranchAlong) {
  AddTrunkAndBranch();
  EndTrial(1);
  EXPECT_EQ(Task(10).state, TaskState::kDone);
  EXPECT_EQ(Task(11).state, TaskState::kDone);
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(QueueTest, AQueuedTaskFollowsTheSweepsThatWantIt) {
  AddSweep(1, 1, 1);
  scheduler_.AddSweep(2, "second", false);
  OpenTrial trial;
  trial.trial_id = 1;
  trial.cell_id = 1;
  trial.task_id = 1;
  trial.sweeps = {{1, 1, "arm"}, {2, 7, "arm"}};
  scheduler_.AddTrial(trial);
  scheduler_.RemoveSweep(1);
  EXPECT_THAT(scheduler_.SweepsOf(1), ElementsAre(2));
  Register("w");
  EXPECT_EQ(TaskOf(Start("w")), 1);
  EXPECT_EQ(scheduler_.SlotsBusyFor(2), 1);
}

TEST_F(QueueTest, AFailedTrunkFailsItsBranches) {
  AddTrunkAndBranch();
  Register("w");
  Finish("w", Start("w"), OutcomeKind::kRefused, "no");
  EXPECT_EQ(Task(11).state, TaskState::kFailed);
  EXPECT_THAT(Task(11).message, HasSubstr("task 10, which it continues"));
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(QueueTest, ACheckpointIsResumedWhereItLiesForAWhile) {
  AddSweep(1, 1, 1);
  Register("a");
  Register("b");
  const int64_t attempt = Start("a");
  scheduler_.NoteCheckpoint(1, "a");
  Finish("a", attempt, OutcomeKind::kStopped);
  EXPECT_EQ(SyncIdle("b").slots[0].action, DesiredAction::kNone);
  EXPECT_THAT(scheduler_.PendingReason(1, now()), HasSubstr("its checkpoint is on workers/a"));
  EXPECT_EQ(SyncIdle("a").slots[0].action, DesiredAction::kRun);
}

TEST_F(QueueTest, ACheckpointDoesNotBindATaskForEver) {
  AddSweep(1, 1, 1);
  Register("a");
  Register("b");
  const int64_t attempt = Start("a");
  scheduler_.NoteCheckpoint(1, "a");
  Finish("a", attempt, OutcomeKind::kStopped);
  SyncIdle("a");  // it calls, but its slot is taken by nobody: it went before it heard
  scheduler_.DrainWorker("a", "", &actions_);
  Sync("a", {Idle()});
  EXPECT_EQ(SyncIdle("b").slots[0].action, DesiredAction::kRun);
}

TEST_F(QueueTest, AWorkerOfTheSameScopeMayResume) {
  AddSweep(1, 1, 1);
  Register("a", 1, "boot", {}, "nfs");
  Register("b", 1, "boot", {}, "nfs");
  const int64_t attempt = Start("a");
  scheduler_.NoteCheckpoint(1, "a");
  Finish("a", attempt, OutcomeKind::kStopped);
  EXPECT_EQ(SyncIdle("b").slots[0].action, DesiredAction::kRun);
}

TEST_F(QueueTest, Rule12_T12_EveryPendingTrialSaysWhy) {
  AddSweep(1, 1, 2);
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "no worker is connected; `loglog worker start` starts one");
  Register("w");
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "a slot is free; starts when its worker calls next");
  const int64_t attempt = Start("w");
  EXPECT_EQ(scheduler_.PendingReason(1, now()), "");  // it runs
  EXPECT_EQ(scheduler_.PendingReason(2, now()), "waits for the one slot there is");
  Finish("w", attempt, OutcomeKind::kFailed, "boom");
  EXPECT_THAT(scheduler_.PendingReason(1, now()), HasSubstr("tried again in "));
  EXPECT_THAT(scheduler_.PendingReason(1, now()),
              HasSubstr("failure 1 of 3 on workers/w: exit code 1: boom"));
  scheduler_.DrainWorker("w", "", &actions_);
  EXPECT_EQ(scheduler_.PendingReason(2, now()), "no worker takes tasks: 1 draining");
  EXPECT_EQ(scheduler_.PendingReason(77, now()), "");  // not pending
}

TEST_F(QueueTest, SlotsAreFilledOnlyWhileSomebodyWaitsForTheAnswer) {
  Register("w");
  SyncIdle("w");
  AddSweep(1, 1, 1);
  Dispatch();
  EXPECT_EQ(last_attempt_id_, 0);
  scheduler_.SetOffering("w", true);
  Dispatch();
  EXPECT_EQ(last_attempt_id_, 1);
  EXPECT_THAT(scheduler_.TakeWoken(), testing::Contains("w"));
}

TEST_F(QueueTest, RetriedTrialsForgetWhereTheirCellFailed) {
  AddSweep(1, 1, 1);
  Register("a");
  Finish("a", Start("a"), OutcomeKind::kRefused);
  ASSERT_EQ(Task(1).state, TaskState::kFailed);
  AddSweep(1, 1, 1);
  scheduler_.ClearFailures(1);
  EXPECT_NE(Start("a"), 0);
}

// T02: what a decision costs does not grow with what waits or has been.
TEST_F(QueueTest, T02_ADecisionCostsTheSameWithManyTasks) {
  const auto time_of = [this](int64_t first, int count) {
    AddSweep(first, first, count);
    Register("w");
    // Of the processor, not of the clock: others may be using it.
    const std::clock_t start = std::clock();
    for (int i = 0; i < 500; ++i) Complete("w", Start("w"));
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  const double few = time_of(1, 1'000);
  const double many = time_of(1'000'000, 50'000);
  // A scan of the queue would make it fifty times slower; the rest is noise and cache.
  EXPECT_LT(many, 8 * few + 0.02);
}

// Many of one band that nobody may take do not hide what comes after them.
TEST(ReadyQueueTest, EachBandIsAskedForItself) {
  ReadyQueue queue;
  for (int id = 1; id <= 2 * ReadyQueue::kAskedMax; ++id) {
    queue.Insert(id, {{.sweep_id = 1, .band = 1, .number = id}});
  }
  queue.Insert(1'000, {{.sweep_id = 1, .band = 2, .number = 1'000}});
  int asked = 0;
  const int64_t first = queue.First(
      1, [](float, double) { return 1.0; },
      [&](int64_t id) {
        ++asked;
        return id == 1'000;
      });
  EXPECT_EQ(first, 1'000);
  EXPECT_EQ(asked, ReadyQueue::kAskedMax + 1);
}

}  // namespace
}  // namespace loglog
