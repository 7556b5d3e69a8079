// The lease rules, one by one.
#include <gmock/gmock.h>

#include <limits>

#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LeaseTest : public SchedulerWorld {
 protected:
  void SetUp() override { AddSweep(1, /*first_trial=*/1, /*count=*/3); }
};

TEST_F(LeaseTest, Rule1_DurationsCountFromOurOwnClockWhateverTheWorkersSays) {
  // No call takes a time of the worker's; the deadline is ours, from when we heard of it.
  Register("w");
  const int64_t attempt = Start("w");
  Advance(kLease);
  Sync("w", {Running(attempt)});
  AdvanceAndTick(kLease + kMargin - 1);
  EXPECT_FALSE(HasEnded(attempt));
  AdvanceAndTick(1);
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
}

TEST_F(LeaseTest, Rule2_LostAtTheDeadlinePlusTheMarginAndNotBefore) {
  Register("w");
  const int64_t attempt = Start("w");
  EXPECT_EQ(scheduler_.NextTickMs(), now() + kLease + kMargin);
  AdvanceAndTick(kLease + kMargin - 1);
  EXPECT_FALSE(HasEnded(attempt));
  AdvanceAndTick(1);
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
  EXPECT_EQ(Task(1).lost_count, 1);
  EXPECT_EQ(StateOf("w"), WorkerState::kLost);
}

TEST_F(LeaseTest, Rule2_EverySyncThatReportsTheAttemptRenewsIt) {
  Register("w");
  const int64_t attempt = Start("w");
  for (int i = 0; i < 10; ++i) {
    Advance(kLease - 1);
    Sync("w", {Running(attempt)});
  }
  EXPECT_FALSE(HasEnded(attempt));
}

TEST_F(LeaseTest, Rule2_AnAttemptThatIsNotReportedIsNotRenewed) {
  Register("w");
  const int64_t attempt = Start("w");
  Advance(kLease);
  Sync("w", {Idle()});
  AdvanceAndTick(kMargin);
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
}

TEST_F(LeaseTest, Rule3_AReportOfAnOlderAttemptIsForgotten) {
  Register("a");
  Register("b");
  const int64_t old_attempt = Start("a");
  AdvanceAndTick(kLease + kMargin);
  AdvanceAndTick(10'000);  // the backoff
  const int64_t new_attempt = Start("b");
  ASSERT_EQ(TaskOf(new_attempt), TaskOf(old_attempt));
  // The old owner comes back.
  EXPECT_EQ(Sync("a", {Running(old_attempt)}).slots[0].action, DesiredAction::kKill);
  EXPECT_EQ(Sync("a", {Uploading(old_attempt)}).slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Finish("a", old_attempt, OutcomeKind::kDone).slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Ended(old_attempt), AttemptState::kLost);
  EXPECT_FALSE(HasEnded(new_attempt));
}

TEST_F(LeaseTest, Rule3_AnUnknownAttemptIsForgotten) {
  Register("w");
  EXPECT_EQ(Sync("w", {Finished(99, OutcomeKind::kDone)}).slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Sync("w", {Running(99)}).slots[0].action, DesiredAction::kKill);
}

TEST_F(LeaseTest, Rule3_OnlyTheNewestSessionSpeaksForAWorker) {
  const int64_t first = Register("w");
  EXPECT_TRUE(scheduler_.IsSession("w", first));
  const int64_t second = Register("w");
  EXPECT_FALSE(scheduler_.IsSession("w", first));
  EXPECT_TRUE(scheduler_.IsSession("w", second));
  EXPECT_FALSE(scheduler_.IsSession("x", second));
}

TEST_F(LeaseTest, Rule4_ALateResultIsAcceptedWhileNoNewerAttemptExists) {
  Register("w");
  const int64_t attempt = Start("w");
  AdvanceAndTick(kLease + kMargin);
  ASSERT_EQ(Ended(attempt), AttemptState::kLost);
  // What it still uploads is wanted, and is not killed off.
  EXPECT_EQ(Sync("w", {Uploading(attempt)}).slots[0].action, DesiredAction::kNone);
  EndTrial(1);
  EXPECT_EQ(Task(1).state, TaskState::kDone);
  EXPECT_EQ(Finish("w", attempt, OutcomeKind::kDone).slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Ended(attempt), AttemptState::kDone);
  // And the trial does not run again.
  AdvanceAndTick(600'000);
  EXPECT_EQ(TaskOf(Start("w")), 2);
}

TEST_F(LeaseTest, Rule4_ALateEndWithoutResultsChangesNothing) {
  Register("w");
  const int64_t attempt = Start("w");
  AdvanceAndTick(kLease + kMargin);
  EXPECT_EQ(Finish("w", attempt, OutcomeKind::kDone).slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
}

TEST_F(LeaseTest, Rule5_AFinishedReportIsForgottenHoweverOftenItComes) {
  Register("w");
  const int64_t attempt = Start("w");
  EndTrial(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Finish("w", attempt, OutcomeKind::kDone).slots[0].action, DesiredAction::kForget);
  }
  EXPECT_EQ(Ended(attempt), AttemptState::kDone);
  EXPECT_EQ(Task(1).state, TaskState::kDone);
  EXPECT_EQ(Task(1).failure_count, 0);
}

TEST_F(LeaseTest, TheNextTaskComesWithTheWordToForget) {
  Register("w");
  const int64_t first = Start("w");
  EndTrial(1);
  const SlotReport finished = Finished(first, OutcomeKind::kDone);
  const SlotDesire told = Offer("w", {finished}).slots[0];
  EXPECT_EQ(told.action, DesiredAction::kRun);
  EXPECT_EQ(told.forget_attempt_id, first);
  EXPECT_EQ(TaskOf(told.attempt_id), 2);
  // The answer did not arrive: the same again.
  const SlotDesire again = Offer("w", {finished}).slots[0];
  EXPECT_EQ(again.action, DesiredAction::kRun);
  EXPECT_EQ(again.attempt_id, told.attempt_id);
  EXPECT_EQ(again.forget_attempt_id, first);
  // It has done both, or only the first of them.
  EXPECT_EQ(Sync("w", {Running(told.attempt_id)}).slots[0].action, DesiredAction::kNone);
  EXPECT_EQ(scheduler_.SlotsBusy("w"), 1);
}

TEST_F(LeaseTest, AWorkerThatIsLeavingIsToldToForgetAlone) {
  Register("w");
  const int64_t first = Start("w");
  EndTrial(1);
  const SlotReport finished = Finished(first, OutcomeKind::kDone);
  const int64_t second = Offer("w", {finished}).slots[0].attempt_id;
  const SlotDesire told = Sync("w", {finished}, {}, /*draining=*/true).slots[0];
  EXPECT_EQ(told.action, DesiredAction::kForget);
  EXPECT_EQ(told.attempt_id, first);
  // The lease that it never heard of ends without cost.
  Sync("w", {Idle()}, {}, /*draining=*/true);
  EXPECT_EQ(Ended(second), AttemptState::kStopped);
  EXPECT_EQ(Task(2).lost_count, 0);
}

TEST_F(LeaseTest, Rule8_NoLeaseExpiresWithinOneLeaseOfTheStart) {
  // What a coordinator that starts finds in its store.
  WorkerRow worker;
  worker.worker_id = "w";
  worker.boot_id = "boot";
  worker.session_epoch = 1;
  worker.slots = 1;
  scheduler_.AddWorker(worker, now());
  AttemptRow attempt;
  attempt.attempt_id = 70;
  attempt.task_id = 1;
  attempt.worker_id = "w";
  attempt.state = AttemptState::kRunning;
  attempt.create_ms = 1;  // ages ago
  attempt.lease_ms = 1;
  scheduler_.AddAttempt(attempt, now());
  task_of_[70] = 1;
  newest_[1] = 70;
  AdvanceAndTick(kLease + kMargin - 1);
  EXPECT_FALSE(HasEnded(70));
  // It goes on as if nothing had happened.
  EXPECT_EQ(Sync("w", {Running(70)}).slots[0].action, DesiredAction::kNone);
  AdvanceAndTick(kLease + kMargin);
  EXPECT_EQ(Ended(70), AttemptState::kLost);
}

TEST_F(LeaseTest, Rule11_ASlotIsIdleOnlyWhenItSaysSo) {
  Register("w");
  const int64_t attempt = Start("w");
  EndTrial(1);
  // The attempt is over, but its process group is not: no new task yet.
  WorkerDesire desire = Finish("w", attempt, OutcomeKind::kDone);
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(last_attempt_id_, attempt);
  desire = SyncIdle("w");
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kRun);
}

TEST_F(LeaseTest, Rule11_ANewBootRevokesTheOldLeasesAtOnce) {
  Register("w", 1, "boot-1");
  const int64_t attempt = Start("w");
  Register("w", 1, "boot-2");
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
  EXPECT_EQ(Task(1).lost_count, 1);
  EXPECT_EQ(Task(1).failure_count, 0);
}

TEST_F(LeaseTest, Rule11_ANewBootKeepsWhatItHolds) {
  Register("w", 1, "boot-1");
  const int64_t attempt = Start("w");
  Register("w", 1, "boot-2", {attempt});
  EXPECT_FALSE(HasEnded(attempt));
  // Its report comes without a slot.
  EndTrial(1);
  const WorkerDesire desire = Sync("w", {Idle()}, {{attempt, {OutcomeKind::kDone, 0, 0, ""}}});
  EXPECT_THAT(desire.forget, ElementsAre(attempt));
  EXPECT_EQ(Ended(attempt), AttemptState::kDone);
}

// The old boot was killed before it could say that the order had been carried out.
TEST_F(LeaseTest, Rule11_WhatANewBootHoldsIsNotOrderedAgain) {
  Register("w", 1, "boot-1");
  const int64_t attempt = SyncIdle("w").slots[0].attempt_id;
  ASSERT_NE(attempt, 0);
  Register("w", 1, "boot-2", {attempt});
  // While it uploads what the trainer left, the attempt lives on.
  owed_ = {attempt};
  for (int i = 0; i < 3; ++i) {
    AdvanceAndTick(kLease);
    EXPECT_EQ(Sync("w", {Idle()}).slots[0].action, DesiredAction::kNone);
  }
  EXPECT_FALSE(HasEnded(attempt));
  owed_ = {};
  Sync("w", {Idle()}, {{attempt, {OutcomeKind::kLost, 0, 9, ""}}});
  EXPECT_EQ(Ended(attempt), AttemptState::kLost);
}

TEST_F(LeaseTest, Rule11_AStoppedAttemptThatIsHeldWaitsForItsReport) {
  Register("w", 1, "boot-1");
  const int64_t attempt = Start("w");
  scheduler_.DrainWorker("w", "", &actions_);
  Note();
  Register("w", 1, "boot-2", {attempt});
  owed_ = {attempt};
  SyncIdle("w");
  EXPECT_FALSE(HasEnded(attempt));
}

// Whether the coordinator was there when the worker was started anew makes no difference.
TEST_F(LeaseTest, Rule11_WhatIsOwedIsKnownFromEachSync) {
  Register("w");
  TaskRow task;
  task.task_id = 50;
  task.members = {{0, 50}};  // its trial has ended
  scheduler_.AddTask(task, {}, now());
  AttemptRow attempt;
  attempt.attempt_id = 70;
  attempt.task_id = 50;
  attempt.worker_id = "w";
  attempt.state = AttemptState::kStopping;
  scheduler_.AddAttempt(attempt, now());
  task_of_[70] = 50;
  owed_ = {70};
  for (int i = 0; i < 3; ++i) {
    AdvanceAndTick(kLease);
    Sync("w", {Idle()}, {}, /*draining=*/true);
  }
  EXPECT_FALSE(HasEnded(70));
  EXPECT_NE(StateOf("w"), WorkerState::kGone);
  // It has lost its disk: what the store has of the attempt is complete all the same.
  owed_ = {};
  Sync("w", {Idle()}, {}, /*draining=*/true);
  EXPECT_EQ(Ended(70), AttemptState::kDone);
  EXPECT_EQ(Task(50).state, TaskState::kDone);
  EXPECT_EQ(StateOf("w"), WorkerState::kGone);
}

// A coordinator with shorter leases than the one before it.
TEST_F(LeaseTest, Rule8_ALeaseThatWasGivenIsKept) {
  Register("w");
  AttemptRow attempt;
  attempt.attempt_id = 70;
  attempt.task_id = 1;
  attempt.worker_id = "w";
  attempt.state = AttemptState::kRunning;
  attempt.lease_ms = 10 * kLease;
  scheduler_.AddAttempt(attempt, now());
  task_of_[70] = 1;
  AdvanceAndTick(10 * kLease);
  EXPECT_FALSE(HasEnded(70));
  AdvanceAndTick(kMargin);
  EXPECT_EQ(Ended(70), AttemptState::kLost);
}

TEST_F(LeaseTest, Rule11_TheSameBootKeepsItsLeases) {
  Register("w", 1, "boot-1");
  const int64_t attempt = Start("w");
  Register("w", 1, "boot-1");
  EXPECT_FALSE(HasEnded(attempt));
  EXPECT_EQ(Sync("w", {Running(attempt)}).slots[0].action, DesiredAction::kNone);
}

TEST_F(LeaseTest, AnOrderIsRepeatedUntilTheWorkerReportsIt) {
  Register("w");
  const int64_t attempt = SyncIdle("w").slots[0].attempt_id;
  const WorkerDesire again = SyncIdle("w");
  EXPECT_EQ(again.slots[0].action, DesiredAction::kRun);
  EXPECT_EQ(again.slots[0].attempt_id, attempt);
  EXPECT_EQ(Sync("w", {Running(attempt)}).slots[0].action, DesiredAction::kNone);
}

TEST_F(LeaseTest, T15_NoTaskIsGrantedTwiceAtATime) {
  AddTrial(4, 4, {{1, 4, "arm"}});
  Register("a", 2);
  Register("b", 2);
  Sync("a", {Idle(0), Idle(1)});
  Sync("b", {Idle(0), Idle(1)});
  Sync("a", {Idle(0), Idle(1)});
  std::map<int64_t, int> attempts_of;
  for (const auto& [attempt, task] : task_of_) ++attempts_of[task];
  EXPECT_EQ(attempts_of.size(), 4);
  for (const auto& [task, count] : attempts_of) EXPECT_EQ(count, 1) << "task " << task;
}

TEST_F(LeaseTest, Rule10_TheIntervalGrowsWithTheWorkersAndTheLeaseWithIt) {
  Register("w0");
  EXPECT_EQ(scheduler_.SyncIntervalMs(), 5'000);
  EXPECT_EQ(scheduler_.LeaseMs(), kLease);
  for (int i = 1; i < 2000; ++i) Register("w" + std::to_string(i));
  // 2,000 workers every 40 s are 50 syncs a second.
  EXPECT_EQ(scheduler_.SyncIntervalMs(), 40'000);
  EXPECT_GE(scheduler_.LeaseMs(), 3 * scheduler_.SyncIntervalMs());
  // Those that went away no longer count.
  AdvanceAndTick(10 * 60'000);
  EXPECT_EQ(scheduler_.SyncIntervalMs(), 5'000);
}

TEST_F(LeaseTest, AWorkerThatWasSilentIsLiveAgainWhenItSpeaks) {
  Register("w");
  AdvanceAndTick(kLease + kMargin);
  EXPECT_EQ(StateOf("w"), WorkerState::kLost);
  EXPECT_NE(Start("w"), 0);
  EXPECT_EQ(StateOf("w"), WorkerState::kLive);
}

TEST_F(LeaseTest, NothingIsDueWhenNothingRuns) {
  EXPECT_EQ(scheduler_.NextTickMs(), std::numeric_limits<int64_t>::max());
  EXPECT_THAT(scheduler_.TakeWoken(), IsEmpty());
}

}  // namespace
}  // namespace loglog
