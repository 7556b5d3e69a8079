// Tasks that need several slots of one worker.
#include <gmock/gmock.h>

#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GangTest : public SchedulerWorld {
 protected:
  // Every slot of the worker, as it is now; `attempts` by slot, 0: idle.
  WorkerDesire Say(const std::string& worker, const std::vector<int64_t>& attempts) {
    std::vector<SlotReport> reports;
    for (size_t i = 0; i < attempts.size(); ++i) {
      const int slot = static_cast<int>(i);
      reports.push_back(attempts[i] == 0 ? Idle(slot) : Running(attempts[i], slot));
    }
    return Sync(worker, reports);
  }
  static std::vector<DesiredAction> Actions(const WorkerDesire& desire) {
    std::vector<DesiredAction> actions;
    for (const SlotDesire& slot : desire.slots) actions.push_back(slot.action);
    return actions;
  }
  // Trials of one shape and so many tokens, by default a second each once that is measured.
  void AddTimed(int64_t id, int64_t sweep_id, double shape, int64_t tokens) {
    OpenTrial trial;
    trial.trial_id = trial.cell_id = trial.task_id = id;
    trial.tokens = tokens;
    trial.steps = 100;
    trial.flops = shape * static_cast<double>(tokens);
    trial.sweeps = {{sweep_id, id, "arm"}};
    scheduler_.AddTrial(trial);
    TaskRow task;
    task.task_id = id;
    task.token_end = tokens;
    task.members = {{0, id}};
    scheduler_.AddTask(task, {}, now());
  }
  static constexpr auto kNone = DesiredAction::kNone;
  static constexpr auto kRun = DesiredAction::kRun;
  static constexpr auto kStop = DesiredAction::kStop;
  static constexpr auto kKill = DesiredAction::kKill;
  static constexpr auto kForget = DesiredAction::kForget;
};

TEST_F(GangTest, OneAttemptHoldsAllItsSlotsAndOnlyTheLeadIsTold) {
  AddSweep(1, 1, 2, false, {.slots = 2});
  Register("w", 3);
  EXPECT_THAT(Actions(Say("w", {0, 0, 0})), ElementsAre(kRun, kNone, kNone));
  const int64_t attempt = last_attempt_id_;
  EXPECT_THAT(slots_of_.at(attempt), ElementsAre(0, 1));
  EXPECT_EQ(scheduler_.SlotsBusy("w"), 2);
  EXPECT_EQ(scheduler_.SlotsBusyFor(1), 2);
  // Heard of by the lead, not yet by its follower: nobody else gets that slot.
  EXPECT_THAT(Actions(Sync("w", {Running(attempt, 0), Idle(1), Idle(2)})),
              ElementsAre(kNone, kNone, kNone));
  EXPECT_EQ(last_attempt_id_, attempt);
  EXPECT_THAT(Actions(Say("w", {attempt, attempt, 0})), ElementsAre(kNone, kNone, kNone));
  scheduler_.DrainWorker("w", "", &actions_);
  EXPECT_THAT(Actions(Say("w", {attempt, attempt, 0})), ElementsAre(kStop, kNone, kNone));
}

TEST_F(GangTest, T13_AFollowerThatIsStillOccupiedIsOfferedToNobody) {
  AddSweep(1, 1, 1, false, {.slots = 2});
  Register("w", 2);
  Say("w", {0, 0});
  const int64_t gang = last_attempt_id_;
  Say("w", {gang, gang});
  AddSweep(2, 11, 2);
  EndTrial(1);
  // The lead has ended; the process group still lives in the other slot.
  WorkerDesire desire = Sync("w", {Finished(gang, OutcomeKind::kDone, "", 0), Running(gang, 1)});
  EXPECT_EQ(Ended(gang), AttemptState::kDone);
  EXPECT_THAT(Actions(desire), ElementsAre(kForget, kNone));
  desire = Sync("w", {Idle(0), Running(gang, 1)});
  EXPECT_THAT(Actions(desire), ElementsAre(kRun, kNone));
  EXPECT_EQ(scheduler_.PendingReason(12, now()), "waits for a slot; all 2 are busy");
  const int64_t single = last_attempt_id_;
  EXPECT_THAT(Actions(Sync("w", {Running(single, 0), Idle(1)})), ElementsAre(kNone, kRun));
}

// A lease that is over is killed through its lead; the follower's words change nothing.
TEST_F(GangTest, AFollowerIsNeverToldAnything) {
  AddSweep(1, 1, 1, false, {.slots = 2});
  Register("w", 2);
  Say("w", {0, 0});
  const int64_t gang = last_attempt_id_;
  Say("w", {gang, gang});
  AdvanceAndTick(kLease + kMargin);
  EXPECT_EQ(Ended(gang), AttemptState::kLost);
  EXPECT_EQ(Task(1).lost_count, 1);
  EXPECT_THAT(Actions(Say("w", {gang, gang})), ElementsAre(kKill, kNone));
  SlotReport stopping = Running(gang, 1);
  stopping.state = SlotState::kStopping;
  EXPECT_THAT(Actions(Sync("w", {Idle(0), stopping})), ElementsAre(kNone, kNone));
  // A result in a follower's name is none.
  EndTrial(1);
  Sync("w", {Idle(0), Finished(gang, OutcomeKind::kDone, "", 1)});
  EXPECT_EQ(Ended(gang), AttemptState::kLost);
}

TEST_F(GangTest, ANewBootLosesItOnce) {
  AddSweep(1, 1, 1, false, {.slots = 2});
  Register("w", 2);
  Say("w", {0, 0});
  Register("w", 2, "boot2");
  EXPECT_EQ(Ended(last_attempt_id_), AttemptState::kLost);
  EXPECT_EQ(Task(1).lost_count, 1);
  EXPECT_EQ(scheduler_.SlotsBusy("w"), 0);
  EXPECT_EQ(scheduler_.SlotsBusyFor(1), 0);
}

TEST_F(GangTest, AfterARestartItHoldsTheSameSlots) {
  AddSweep(1, 1, 1, false, {.slots = 2});
  WorkerRow worker;
  worker.worker_id = "w";
  worker.slots = 2;
  scheduler_.AddWorker(worker, now());
  AttemptRow attempt;
  attempt.attempt_id = last_attempt_id_ = 5;
  attempt.task_id = 1;
  attempt.worker_id = "w";
  attempt.slot = 1;
  attempt.followers = {0};
  attempt.state = AttemptState::kRunning;
  scheduler_.AddAttempt(attempt, now());
  EXPECT_EQ(scheduler_.SlotsBusyFor(1), 2);
  EXPECT_THAT(scheduler_.FindLive(5)->slots, ElementsAre(1, 0));
  EXPECT_THAT(Actions(Say("w", {5, 5})), ElementsAre(kNone, kNone));
}

TEST_F(GangTest, WhatNoWorkerCanEverHoldSaysSo) {
  AddSweep(1, 1, 1, false, {.slots = 4});
  Register("small", 2);
  Register("large", 3);
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "each of its trials needs 4 slots of one worker; the largest, workers/large, has 3");
  Register("huge", 4);
  EXPECT_THAT(scheduler_.PendingReason(1, now()), HasSubstr("a slot is free"));
  scheduler_.DrainWorker("huge", "", &actions_);
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "each of its trials needs 4 slots of one worker; workers/huge has so many, but takes "
            "no tasks now");
}

TEST_F(GangTest, SmallTasksDoNotStarveIt) {
  AddSweep(1, 1, 100);
  Register("w", 2);
  Say("w", {0, 0});
  Say("w", {1, 2});
  AddSweep(2, 201, 1, false, {.slots = 2});
  Dispatch();
  EXPECT_EQ(scheduler_.PendingReason(201, now()),
            "waits for 2 slots of workers/w, which are kept for sweeps/sweep2 as they become free; "
            "0 are");
  EndTrial(1);
  // The first slot that becomes free stays so, whatever else waits.
  WorkerDesire desire = Sync("w", {Finished(1, OutcomeKind::kDone, "", 0), Running(2, 1)});
  desire = Say("w", {0, 2});
  EXPECT_THAT(Actions(desire), ElementsAre(kNone, kNone));
  EXPECT_THAT(scheduler_.PendingReason(3, now()),
              HasSubstr("free slots of workers/w are kept for sweeps/sweep2, which comes first and "
                        "waits for 2 of them"));
  EXPECT_THAT(scheduler_.PendingReason(201, now()), HasSubstr("; 1 are"));
  EndTrial(2);
  Sync("w", {Idle(0), Finished(2, OutcomeKind::kDone, "", 1)});
  desire = Say("w", {0, 0});
  EXPECT_EQ(TaskOf(last_attempt_id_), 201);
  EXPECT_THAT(slots_of_.at(last_attempt_id_), ElementsAre(0, 1));
}

TEST_F(GangTest, HigherPriorityMayUseWhatIsKept) {
  AddSweep(1, 1, 2);
  Register("w", 2);
  Say("w", {0, 0});
  Say("w", {1, 2});
  AddSweep(2, 201, 1, false, {.slots = 2});
  Dispatch();
  AddSweep(3, 301, 1, false, {.priority = 1});
  EndTrial(1);
  Sync("w", {Finished(1, OutcomeKind::kDone, "", 0), Running(2, 1)});
  Say("w", {0, 2});
  EXPECT_EQ(TaskOf(last_attempt_id_), 301);
}

// Two that want both slots of either worker: each keeps one worker, neither half of two.
TEST_F(GangTest, TwoHalfPlacedOnesCannotBe) {
  AddSweep(1, 1, 4);
  for (const std::string worker : {"a", "b"}) {
    Register(worker, 2);
    const int64_t before = last_attempt_id_;
    Say(worker, {0, 0});
    Say(worker, {before + 1, before + 2});
  }
  AddSweep(2, 201, 1, false, {.slots = 2});
  AddSweep(3, 301, 1, false, {.slots = 2});
  Dispatch();
  // One slot of each worker becomes free, then the other.
  for (const int64_t id : {1, 3, 2, 4}) EndTrial(TaskOf(id));
  Sync("a", {Finished(1, OutcomeKind::kDone, "", 0), Running(2, 1)});
  Sync("b", {Finished(3, OutcomeKind::kDone, "", 0), Running(4, 1)});
  EXPECT_THAT(Actions(Say("a", {0, 2})), ElementsAre(kNone, kNone));
  EXPECT_THAT(Actions(Say("b", {0, 4})), ElementsAre(kNone, kNone));
  Sync("a", {Idle(0), Finished(2, OutcomeKind::kDone, "", 1)});
  Sync("b", {Idle(0), Finished(4, OutcomeKind::kDone, "", 1)});
  EXPECT_THAT(Actions(Say("a", {0, 0})), ElementsAre(kRun, kNone));
  EXPECT_THAT(Actions(Say("b", {0, 0})), ElementsAre(kRun, kNone));
  EXPECT_EQ(last_attempt_id_, 6);
}

TEST_F(GangTest, WhatIsOverBeforeFillsIn) {
  scheduler_.AddSweep(1, "long", false);
  AddTimed(1, 1, 100, 100'000);
  AddTimed(2, 1, 100, 1'000);
  Register("w", 2);
  Say("w", {0, 0});
  Say("w", {1, 2});
  scheduler_.NoteSpeed(1, 1'000);  // the first takes some 100 s, the second one
  AddSweep(2, 201, 1, false, {.slots = 2});
  Dispatch();
  scheduler_.AddSweep(3, "fill", false);
  AddTimed(301, 3, 7, 10);         // who knows how long
  AddTimed(302, 3, 100, 110'000);  // too long, with some caution
  AddTimed(303, 3, 100, 10'000);   // 10 s
  EndTrial(2);
  Sync("w", {Running(1, 0), Finished(2, OutcomeKind::kDone, "", 1)});
  Say("w", {1, 0});
  EXPECT_EQ(TaskOf(last_attempt_id_), 303);
  EXPECT_THAT(slots_of_.at(last_attempt_id_), ElementsAre(1));
  // When that has ended there is no time for another such.
  const int64_t filled = last_attempt_id_;
  for (int i = 0; i < 10; ++i) {
    Advance(9'500);
    Say("w", {1, filled});
  }
  EndTrial(303);
  AddTimed(304, 3, 100, 30'000);
  Sync("w", {Running(1, 0), Finished(filled, OutcomeKind::kDone, "", 1)});
  EXPECT_THAT(Actions(Say("w", {1, 0})), ElementsAre(kNone, kNone));
}

TEST_F(GangTest, NothingIsKeptForASweepThatIsPausedOrEnded) {
  AddSweep(1, 1, 10);
  Register("w", 2);
  Say("w", {0, 0});
  Say("w", {1, 2});
  AddSweep(2, 201, 1, false, {.slots = 2});
  Dispatch();
  scheduler_.SetSweepPaused(2, true);
  EndTrial(1);
  Sync("w", {Finished(1, OutcomeKind::kDone, "", 0), Running(2, 1)});
  EXPECT_THAT(Actions(Say("w", {0, 2})), ElementsAre(kRun, kNone));
}

TEST_F(GangTest, ItGoesToAWorkerThatHasTheSlotsNow) {
  AddSweep(1, 1, 2);
  Register("a", 2);
  Say("a", {0, 0});
  Say("a", {1, 2});
  AddSweep(2, 201, 2, false, {.slots = 2});
  Dispatch();  // a keeps its slots for it
  Register("b", 2);
  Say("b", {0, 0});
  EXPECT_EQ(TaskOf(last_attempt_id_), 201);
  EXPECT_EQ(worker_of_.at(last_attempt_id_), "b");
}

}  // namespace
}  // namespace loglog
