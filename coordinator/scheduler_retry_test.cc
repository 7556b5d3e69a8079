// Budgets, backoff, quarantine, draining and what is said about them.
#include <gmock/gmock.h>

#include <csignal>

#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

class RetryTest : public SchedulerWorld {
 protected:
  void SetUp() override { AddSweep(1, /*first_trial=*/1, /*count=*/1); }

  void FailOn(const std::string& worker, OutcomeKind kind = OutcomeKind::kFailed) {
    const int64_t attempt = Start(worker);
    ASSERT_NE(attempt, 0);
    Finish(worker, attempt, kind, "no such luck");
  }
  void WaitOutBackoff() { AdvanceAndTick(400'000); }
};

TEST_F(RetryTest, Rule6_FailuresAreBoundedAndTheLastWordsAreKept) {
  Register("w");
  for (int failure = 1; failure <= 2; ++failure) {
    FailOn("w");
    EXPECT_EQ(Task(1).state, TaskState::kPending);
    EXPECT_EQ(Task(1).failure_count, failure);
    EXPECT_EQ(Task(1).lost_count, 0);
    WaitOutBackoff();
  }
  FailOn("w");
  EXPECT_EQ(Task(1).state, TaskState::kFailed);
  EXPECT_EQ(Task(1).failure_count, 3);
  EXPECT_THAT(Task(1).message, HasSubstr("failed 3 times (retries.failures is 3)"));
  EXPECT_THAT(Task(1).message, HasSubstr("no such luck"));
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(RetryTest, Rule6_T05_InfrastructureDoesNotSpendTheUsersRetries) {
  Register("w");
  for (const OutcomeKind kind :
       {OutcomeKind::kStopped, OutcomeKind::kDeviceError, OutcomeKind::kLost}) {
    FailOn("w", kind);
    WaitOutBackoff();
  }
  ASSERT_NE(Start("w"), 0);
  AdvanceAndTick(kLease + kMargin);
  EXPECT_EQ(Task(1).failure_count, 0);
  EXPECT_EQ(Task(1).lost_count, 4);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
}

TEST_F(RetryTest, Rule6_LossesAreBoundedToo) {
  Register("w");
  for (int loss = 1; loss < 20; ++loss) {
    FailOn("w", OutcomeKind::kLost);
    ASSERT_EQ(Task(1).state, TaskState::kPending) << loss;
    WaitOutBackoff();
  }
  FailOn("w", OutcomeKind::kLost);
  EXPECT_EQ(Task(1).state, TaskState::kFailed);
  EXPECT_THAT(Task(1).message, HasSubstr("lost 20 times (retries.losses is 20)"));
  EXPECT_EQ(Task(1).failure_count, 0);
}

TEST_F(RetryTest, Rule6_BudgetsComeFromTheSpec) {
  AddSweep(2, 10, 0);
  AddTrial(10, 10, {{2, 1, "arm"}}, {.failures_max = 1});
  scheduler_.SetSweepPaused(1, true);
  Register("w");
  FailOn("w");
  EXPECT_EQ(Task(10).state, TaskState::kFailed);
}

TEST_F(RetryTest, Rule6_BackoffDoublesWithJitterUpToItsLimit) {
  Register("w");
  int64_t expected = 1'000;
  for (int loss = 1; loss <= 15; ++loss) {
    FailOn("w", OutcomeKind::kLost);
    EXPECT_GE(Task(1).wait_ms, expected * 3 / 4);
    EXPECT_LE(Task(1).wait_ms, expected * 5 / 4);
    // Not a moment before.
    AdvanceAndTick(Task(1).wait_ms - 1);
    EXPECT_EQ(SyncIdle("w").slots[0].action, DesiredAction::kNone);
    AdvanceAndTick(1);
    expected = std::min<int64_t>(2 * expected, 300'000);
  }
}

TEST_F(RetryTest, Rule6_AStopCostsNoWait) {
  Register("w");
  FailOn("w", OutcomeKind::kStopped);
  EXPECT_EQ(Task(1).wait_ms, 0);
  EXPECT_NE(Start("w"), 0);
}

TEST_F(RetryTest, Rule6_T28_AClockThatWasSetBackMakesNoWaitLonger) {
  AddSweep(2, 10, 0);
  scheduler_.SetSweepPaused(1, true);
  // As read from the store by a coordinator whose clock is an hour behind.
  AddTrial(10, 10, {{2, 1, "arm"}}, {.wait_ms = 3'600'000});
  Register("w");
  EXPECT_EQ(SyncIdle("w").slots[0].action, DesiredAction::kNone);
  AdvanceAndTick(1'250);
  EXPECT_NE(Start("w"), 0);
}

TEST_F(RetryTest, Rule7_ACellThatFailsOnTwoWorkersIsNotTriedAgain) {
  Register("a");
  Register("b");
  FailOn("a");
  Sync("b", {Running(99)});
  AdvanceAndTick(5'000);
  // The other worker is asked, not the same again.
  EXPECT_EQ(SyncIdle("a").slots[0].action, DesiredAction::kNone);
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "failed on workers/a; waits for a slot of another worker");
  FailOn("b");
  EXPECT_EQ(Task(1).state, TaskState::kFailed);
  EXPECT_EQ(Task(1).failure_count, 2);
  EXPECT_THAT(Task(1).message, HasSubstr("its cell failed on 2 workers"));
}

TEST_F(RetryTest, Rule7_ASuccessClearsTheCell) {
  AddTrial(2, /*cell_id=*/1, {{1, 2, "arm"}});
  Register("a");
  FailOn("a");
  WaitOutBackoff();
  const int64_t attempt = Start("a");
  Complete("a", attempt);
  Register("b");
  FailOn("b");
  EXPECT_EQ(Task(2).state, TaskState::kPending);
}

TEST_F(RetryTest, Rule7_T06_FailuresOnDifferentCellsInARowQuarantineTheWorker) {
  AddSweep(2, 11, 10);
  Register("bad");
  for (int failure = 0; failure < 5; ++failure) FailOn("bad");
  EXPECT_EQ(StateOf("bad"), WorkerState::kQuarantined);
  EXPECT_THAT(ReasonOf("bad"), HasSubstr("5 different cells failed"));
  EXPECT_THAT(ReasonOf("bad"), HasSubstr("loglog worker resume bad"));
  // It keeps talking and gets nothing, also as a new boot; the queue is not eaten.
  EXPECT_EQ(SyncIdle("bad").slots[0].action, DesiredAction::kNone);
  Register("bad", 1, "another boot");
  EXPECT_EQ(SyncIdle("bad").slots[0].action, DesiredAction::kNone);
  EXPECT_THAT(scheduler_.PendingReason(20, now()), HasSubstr("1 quarantined"));
  scheduler_.ResumeWorker("bad", now(), &actions_);
  Note();
  EXPECT_EQ(SyncIdle("bad").slots[0].action, DesiredAction::kRun);
}

// As does a host with the wrong data, or with too little memory for any trainer.
TEST_F(RetryTest, Rule7_T06_AHostThatRefusesOrKillsEverythingIsQuarantined) {
  AddSweep(2, 11, 10);
  for (const std::string worker : {"refuses", "kills"}) {
    Register(worker);
    for (int failure = 0; failure < 5; ++failure) {
      const int64_t attempt = Start(worker);
      ASSERT_NE(attempt, 0);
      SlotReport report = Finished(attempt, OutcomeKind::kRefused);
      if (worker == "kills") report.outcome = {OutcomeKind::kLost, 0, SIGKILL, ""};
      Sync(worker, {report});
    }
    EXPECT_EQ(StateOf(worker), WorkerState::kQuarantined);
  }
}

// After an outage every worker has ended all its trainers by itself.
TEST_F(RetryTest, Rule7_TrainersThatTheirWorkerEndedSayNothingOfTheHost) {
  AddSweep(2, 11, 10);
  Register("w");
  for (int i = 0; i < 8; ++i) {
    const int64_t attempt = Start("w");
    ASSERT_NE(attempt, 0);
    SlotReport report = Finished(attempt, OutcomeKind::kLost);
    report.outcome = {OutcomeKind::kLost, -1, 0, "killed by the worker"};
    Sync("w", {report});
    EXPECT_THAT(Task(TaskOf(attempt)).message, HasSubstr("lost on workers/w, killed by"));
  }
  EXPECT_FALSE(workers_.contains("w") && StateOf("w") == WorkerState::kQuarantined);
}

TEST_F(RetryTest, Rule7_OneSuccessInBetweenBreaksTheRow) {
  AddSweep(2, 11, 20);
  Register("w");
  for (int failure = 0; failure < 4; ++failure) FailOn("w");
  Complete("w", Start("w"));
  for (int failure = 0; failure < 4; ++failure) FailOn("w");
  EXPECT_FALSE(workers_.contains("w") && StateOf("w") == WorkerState::kQuarantined);
}

TEST_F(RetryTest, Rule9_DivergenceIsAnOutcome) {
  Register("w");
  const int64_t attempt = Start("w");
  EndTrial(1);
  Finish("w", attempt, OutcomeKind::kDiverged);
  EXPECT_EQ(Ended(attempt), AttemptState::kDiverged);
  EXPECT_EQ(Task(1).state, TaskState::kDone);
  EXPECT_EQ(Task(1).failure_count, 0);
  EXPECT_TRUE(SweepEnded(1));
}

TEST_F(RetryTest, ARefusedConfigurationIsNeverRetried) {
  Register("w");
  FailOn("w", OutcomeKind::kRefused);
  EXPECT_EQ(Task(1).state, TaskState::kFailed);
  EXPECT_THAT(Task(1).message, HasSubstr("refused by the trainer: exit code 1: no such luck"));
}

TEST_F(RetryTest, AnEndWithoutResultsIsAFailure) {
  Register("w");
  const int64_t attempt = Start("w");
  Finish("w", attempt, OutcomeKind::kDone);
  EXPECT_EQ(Ended(attempt), AttemptState::kFailed);
  EXPECT_EQ(Task(1).failure_count, 1);
  EXPECT_THAT(Task(1).message, HasSubstr("reported no result"));
}

TEST_F(RetryTest, ACrashAfterTheResultIsStillDone) {
  Register("w");
  const int64_t attempt = Start("w");
  EndTrial(1);
  Finish("w", attempt, OutcomeKind::kFailed);
  EXPECT_EQ(Ended(attempt), AttemptState::kDone);
  EXPECT_EQ(Task(1).state, TaskState::kDone);
}

// The coordinator was started anew between the result and the end of the process.
TEST_F(RetryTest, ACrashAfterTheResultIsDoneAfterARestartToo) {
  Register("w");
  TaskRow task;
  task.task_id = 50;
  task.members = {{0, 50}};  // its trial has ended, so it is not open any more
  scheduler_.AddTask(task, {}, now());
  AttemptRow attempt;
  attempt.attempt_id = 70;
  attempt.task_id = 50;
  attempt.worker_id = "w";
  attempt.state = AttemptState::kRunning;
  scheduler_.AddAttempt(attempt, now());
  task_of_[70] = 50;
  Finish("w", 70, OutcomeKind::kFailed);
  EXPECT_EQ(Ended(70), AttemptState::kDone);
  EXPECT_EQ(Task(50).state, TaskState::kDone);
}

TEST_F(RetryTest, ADrainByTheWorkerItselfEndsWithIt) {
  Register("w");
  Sync("w", {Idle()}, {}, /*draining=*/true);
  EXPECT_EQ(StateOf("w"), WorkerState::kGone);
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(StateOf("w"), WorkerState::kGone);
  EXPECT_EQ(scheduler_.StateWhenRegistered("w"), WorkerState::kLive);
}

TEST_F(RetryTest, AWorkerThatIsLeavingIsNotMadeLiveByAnOperator) {
  AddTrial(2, 2, {{1, 2, "arm"}});
  Register("w");
  const int64_t attempt_id = SyncIdle("w").slots[0].attempt_id;
  Sync("w", {Running(attempt_id)}, {}, /*draining=*/true);
  scheduler_.DrainWorker("w", "kernel update", &actions_);
  scheduler_.ResumeWorker("w", now(), &actions_);
  Note();
  EXPECT_EQ(StateOf("w"), WorkerState::kDraining);
  EXPECT_EQ(scheduler_.WorkerNote("w"), "shutting down");
}

TEST_F(RetryTest, ASilentWorkerCanBeDrained) {
  Register("w");
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(StateOf("w"), WorkerState::kLost);
  scheduler_.DrainWorker("w", "its disk is changed", &actions_);
  Note();
  Register("w", 1, "another boot");
  EXPECT_EQ(SyncIdle("w").slots[0].action, DesiredAction::kNone);
}

TEST_F(RetryTest, AResumedWorkerThatIsNotThereIsLost) {
  Register("w");
  scheduler_.DrainWorker("w", "", &actions_);
  Note();
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(StateOf("w"), WorkerState::kDraining);
  scheduler_.ResumeWorker("w", now(), &actions_);
  Note();
  EXPECT_EQ(StateOf("w"), WorkerState::kLive);
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(StateOf("w"), WorkerState::kLost);
}

// The store knows a worker's own drain by its reason.
TEST_F(RetryTest, AnOperatorsDrainIsNoneOfTheWorkersOwnWhateverItsReason) {
  Register("w");
  scheduler_.DrainWorker("w", "shutting down", &actions_);
  Note();
  WorkerRow row;
  row.worker_id = "w";
  row.state = StateOf("w");
  row.reason = ReasonOf("w");
  Scheduler restarted(SchedulerOptions{});
  restarted.AddWorker(row, now());
  EXPECT_EQ(restarted.StateWhenRegistered("w"), WorkerState::kDraining);
}

TEST_F(RetryTest, ADrainStopsWhatRunsAndGivesNothingNew) {
  AddTrial(2, 2, {{1, 2, "arm"}});
  Register("w", 2);
  WorkerDesire desire = Sync("w", {Idle(0), Idle(1)});
  const int64_t first = desire.slots[0].attempt_id;
  const int64_t second = desire.slots[1].attempt_id;
  Sync("w", {Running(first, 0), Running(second, 1)});
  scheduler_.DrainWorker("w", "kernel update", &actions_);
  Note();
  EXPECT_THAT(scheduler_.TakeWoken(), testing::Contains("w"));
  desire = scheduler_.Desire("w");
  EXPECT_TRUE(desire.drain);
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kStop);
  EXPECT_EQ(desire.slots[1].action, DesiredAction::kStop);
  EXPECT_THAT(desire.slots[0].reason, HasSubstr("kernel update"));
  EXPECT_EQ(StateOf("w"), WorkerState::kDraining);

  desire = Sync("w",
                {Finished(first, OutcomeKind::kStopped, "", 0),
                 Finished(second, OutcomeKind::kStopped, "", 1)},
                {}, /*draining=*/true);
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Task(1).lost_count, 1);
  EXPECT_EQ(Task(1).failure_count, 0);
  // It outlives the daemon and its silence, until an operator ends it.
  Sync("w", {Idle(0), Idle(1)}, {}, /*draining=*/true);
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(StateOf("w"), WorkerState::kDraining);
  Register("w", 2, "after the repair");
  EXPECT_EQ(Sync("w", {Idle(0), Idle(1)}).slots[0].action, DesiredAction::kNone);
  scheduler_.ResumeWorker("w", now(), &actions_);
  Note();
  EXPECT_EQ(Sync("w", {Idle(0), Idle(1)}).slots[0].action, DesiredAction::kRun);
}

TEST_F(RetryTest, ALeaseThatWasNeverTakenUpEndsWithoutCost) {
  Register("w");
  const int64_t attempt = SyncIdle("w").slots[0].attempt_id;
  ASSERT_NE(attempt, 0);
  Sync("w", {Idle()}, {}, /*draining=*/true);
  EXPECT_EQ(Ended(attempt), AttemptState::kStopped);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
  EXPECT_EQ(Task(1).lost_count, 0);
}

TEST_F(RetryTest, T18_AnUnhealthyWorkerGetsNoWorkUntilItIsWell) {
  Register("w");
  EXPECT_EQ(Sync("w", {Idle()}, {}, false, "disk full").slots[0].action, DesiredAction::kNone);
  EXPECT_THAT(scheduler_.PendingReason(1, now()), HasSubstr("workers/w is unhealthy (disk full)"));
  EXPECT_THAT(scheduler_.WorkerNote("w"), HasSubstr("disk full"));
  EXPECT_EQ(SyncIdle("w").slots[0].action, DesiredAction::kRun);
}

}  // namespace
}  // namespace loglog
