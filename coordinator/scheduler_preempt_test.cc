// A task of higher priority makes room for itself.
#include <gmock/gmock.h>

#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PreemptTest : public SchedulerWorld {
 protected:
  WorkerDesire Say(const std::string& worker, const std::vector<int64_t>& attempts) {
    std::vector<SlotReport> reports;
    for (size_t i = 0; i < attempts.size(); ++i) {
      const int slot = static_cast<int>(i);
      reports.push_back(attempts[i] == 0 ? Idle(slot) : Running(attempts[i], slot));
    }
    return Sync(worker, reports);
  }
  StopCause CauseOf(int64_t attempt_id) const {
    const auto mark = marks_.find(attempt_id);
    return mark == marks_.end() ? StopCause::kNone : mark->second.cause;
  }
  std::vector<int64_t> Preempted() const {
    std::vector<int64_t> attempts;
    for (const auto& [attempt_id, mark] : marks_) {
      if (mark.cause == StopCause::kPreempted) attempts.push_back(attempt_id);
    }
    return attempts;
  }
};

TEST_F(PreemptTest, TheLowestPriorityThenTheNewestMakesRoom) {
  AddSweep(1, 1, 2, false, {.priority = 1});
  Register("w", 3);
  Say("w", {0, 0, 0});
  AddSweep(2, 11, 1, false, {.priority = 2});
  Say("w", {1, 2, 0});  // attempts 1 and 2 of priority 1, then 3 of priority 2
  Say("w", {1, 2, 3});
  Advance(1000);
  AddSweep(3, 21, 1, false, {.priority = 3});
  Dispatch();
  EXPECT_EQ(CauseOf(2), StopCause::kPreempted);
  EXPECT_EQ(CauseOf(1), StopCause::kNone);
  EXPECT_EQ(CauseOf(3), StopCause::kNone);
  EXPECT_EQ(marks_.at(2).message, "preempted by sweeps/sweep3, whose priority is 3");
  EXPECT_EQ(scheduler_.PendingReason(21, now()),
            "waits for workers/w, where trials of lower priority are stopping to make room");
  const WorkerDesire desire = Say("w", {1, 2, 3});
  EXPECT_EQ(desire.slots[1].action, DesiredAction::kStop);
  EXPECT_THAT(desire.slots[1].reason, HasSubstr("preempted by sweeps/sweep3"));
  // Once is enough.
  Dispatch();
  EXPECT_EQ(CauseOf(1), StopCause::kNone);
}

TEST_F(PreemptTest, ItSpendsNothingAndTheSlotIsForWhomItWasFreed) {
  AddSweep(1, 1, 3);
  Register("w");
  const int64_t low = Start("w");
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  AddSweep(3, 21, 1, false, {.priority = 1});  // as high, and too late
  Finish("w", low, OutcomeKind::kStopped);
  EXPECT_EQ(Ended(low), AttemptState::kStopped);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
  EXPECT_EQ(Task(1).lost_count, 0);
  EXPECT_EQ(Task(1).failure_count, 0);
  EXPECT_EQ(Task(1).wait_ms, 0);
  EXPECT_THAT(Task(1).message, HasSubstr("preempted by sweeps/sweep2, whose priority is 1"));
  SyncIdle("w");
  EXPECT_EQ(TaskOf(last_attempt_id_), 11);
  Sync("w", {Running(last_attempt_id_)});
  EXPECT_THAT(scheduler_.PendingReason(1, now()),
              HasSubstr("stopped on workers/w: preempted by sweeps/sweep2, whose priority is 1; "
                        "waits for the one slot there is, behind 1 of higher priority"));
}

// However its process went down: it was made to.
TEST_F(PreemptTest, OneThatHadToBeKilledSpendsNothingEither) {
  AddSweep(1, 1, 1);
  Register("w");
  const int64_t low = Start("w");
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  Finish("w", low, OutcomeKind::kLost);
  EXPECT_EQ(Task(1).lost_count, 0);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
}

TEST_F(PreemptTest, EqualPrioritiesNeverPreempt) {
  AddSweep(1, 1, 1, false, {.priority = 5});
  AddSweep(9, 91, 1, false, {.priority = -5});
  Register("w");
  const int64_t first = Start("w");
  AddSweep(2, 11, 1, false, {.priority = 5});
  Dispatch();
  EXPECT_EQ(CauseOf(first), StopCause::kNone);
}

TEST_F(PreemptTest, AFreeSlotIsTakenInstead) {
  AddSweep(1, 1, 1);
  Register("a");
  Register("b");
  const int64_t low = Start("a");
  SyncIdle("b");  // idle, but it has hung up for the moment
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  EXPECT_EQ(CauseOf(low), StopCause::kNone);
  EXPECT_NE(Start("b"), 0);
}

// After a restart a worker that has not called yet may have a free slot.
TEST_F(PreemptTest, AWorkerThatHasNotSpokenIsWaitedFor) {
  AddSweep(1, 1, 1);
  Register("a");
  const int64_t low = Start("a");
  Register("b");
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  EXPECT_EQ(CauseOf(low), StopCause::kNone);
}

TEST_F(PreemptTest, ItIsNotRepeatedEndlessly) {
  AddSweep(1, 1, 1);
  Register("w");
  const int64_t first = Start("w");
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  Finish("w", first, OutcomeKind::kStopped);
  const int64_t high = Start("w");
  EXPECT_EQ(TaskOf(high), 11);
  Complete("w", high);
  const int64_t again = Start("w");
  EXPECT_EQ(TaskOf(again), 1);
  AddSweep(3, 21, 1, false, {.priority = 1});
  Dispatch();
  EXPECT_EQ(CauseOf(again), StopCause::kNone);
  EXPECT_EQ(scheduler_.NextTickMs() - now(), kLease + kMargin);
  // It runs for its time, however long that is beside a lease.
  for (int64_t ms = 0; ms < SchedulerOptions().preempt_again_ms; ms += 10'000) {
    EXPECT_EQ(CauseOf(again), StopCause::kNone);
    Advance(10'000);
    Sync("w", {Running(again)});
  }
  EXPECT_EQ(CauseOf(again), StopCause::kPreempted);
}

TEST_F(PreemptTest, OnlyWhereTheTaskMayRun) {
  AddSweep(1, 1, 2);
  Register("a");
  Register("b", 1, "boot", {}, "", R"({"gpu":"h100"})");
  const int64_t on_a = Start("a");
  const int64_t on_b = Start("b");
  Advance(1000);
  AddSweep(2, 11, 2, false, {.priority = 1, .selector = {{"gpu", "h100"}}});
  Dispatch();
  EXPECT_EQ(CauseOf(on_a), StopCause::kNone);
  EXPECT_EQ(CauseOf(on_b), StopCause::kPreempted);
}

TEST_F(PreemptTest, AsManyAsTheSweepMayStart) {
  AddSweep(1, 1, 4);
  Register("w", 4);
  Say("w", {0, 0, 0, 0});
  Say("w", {1, 2, 3, 4});
  AddSweep(2, 11, 9, false, {.priority = 1, .max_concurrent = 2});
  Dispatch();
  EXPECT_THAT(Preempted(), ElementsAre(3, 4));
  // They leave one after the other, and each slot is used at once.
  Sync("w",
       {Running(1, 0), Running(2, 1), Running(3, 2), Finished(4, OutcomeKind::kStopped, "", 3)});
  Say("w", {1, 2, 3, 0});
  EXPECT_EQ(TaskOf(last_attempt_id_), 11);
  Sync("w", {Running(1, 0), Running(2, 1), Finished(3, OutcomeKind::kStopped, "", 2),
             Running(last_attempt_id_, 3)});
  Sync("w", {Running(1, 0), Running(2, 1), Idle(2), Running(5, 3)});
  EXPECT_EQ(TaskOf(last_attempt_id_), 12);
  EXPECT_THAT(Preempted(), ElementsAre(3, 4));
}

TEST_F(PreemptTest, ManySlotsOfOneWorkerNotOneOfEach) {
  AddSweep(1, 1, 4);
  Register("a", 2);
  Register("b", 2);
  Say("a", {0, 0});
  Say("a", {1, 2});
  Say("b", {0, 0});
  Say("b", {3, 4});
  AddSweep(2, 11, 1, false, {.priority = 1, .slots = 2});
  Dispatch();
  const std::vector<int64_t> stopped = Preempted();
  ASSERT_EQ(stopped.size(), 2u);
  EXPECT_EQ(worker_of_.at(stopped[0]), worker_of_.at(stopped[1]));
  const std::string worker = worker_of_.at(stopped[0]);
  const int64_t first = worker == "a" ? 1 : 3;
  Sync(worker, {Finished(first, OutcomeKind::kStopped, "", 0), Running(first + 1, 1)});
  // Half of it is free: kept, and not given back to the task that left.
  const WorkerDesire desire = Say(worker, {0, first + 1});
  EXPECT_EQ(desire.slots[0].action, DesiredAction::kNone);
  Sync(worker, {Idle(0), Finished(first + 1, OutcomeKind::kStopped, "", 1)});
  Say(worker, {0, 0});
  EXPECT_EQ(TaskOf(last_attempt_id_), 11);
  EXPECT_THAT(slots_of_.at(last_attempt_id_), ElementsAre(0, 1));
}

TEST_F(PreemptTest, AfterARestartTheCauseIsKnown) {
  AddSweep(1, 1, 1);
  WorkerRow worker;
  worker.worker_id = "w";
  worker.slots = 1;
  scheduler_.AddWorker(worker, now());
  AttemptRow attempt;
  attempt.attempt_id = 5;
  attempt.task_id = 1;
  attempt.worker_id = "w";
  attempt.state = AttemptState::kStopping;
  attempt.stop_cause = StopCause::kPreempted;
  attempt.message = "preempted by sweeps/x, whose priority is 1";
  scheduler_.AddAttempt(attempt, now());
  newest_[1] = 5;
  task_of_[5] = 1;
  slots_of_[5] = {0};
  EXPECT_EQ(Sync("w", {Running(5)}).slots[0].reason, attempt.message);
  Finish("w", 5, OutcomeKind::kStopped);
  EXPECT_EQ(Task(1).lost_count, 0);
}

TEST_F(PreemptTest, AnAttemptThatIsLostWhileItLeavesSpendsNothing) {
  AddSweep(1, 1, 1);
  Register("w", 1);
  Say("w", {0});
  Say("w", {1});
  AddSweep(2, 11, 1, false, {.priority = 1});
  Dispatch();
  ASSERT_EQ(CauseOf(1), StopCause::kPreempted);
  AdvanceAndTick(10 * kLease);
  EXPECT_EQ(Ended(1), AttemptState::kLost);
  EXPECT_EQ(Task(1).state, TaskState::kPending);
  EXPECT_EQ(Task(1).lost_count, 0);
}

}  // namespace
}  // namespace loglog
