// Who is next: priority, fair share, limits, labels, longest tasks first; and why the
// others wait.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>

#include "coordinator/scheduler_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ShareTest : public SchedulerWorld {
 protected:
  std::vector<int64_t> RunAll(const std::string& worker) {
    std::vector<int64_t> order;
    while (const int64_t attempt = Start(worker)) {
      order.push_back(TaskOf(attempt));
      Complete(worker, attempt);
    }
    return order;
  }
  // All slots idle at first; what they are given stays running. Tasks by slot, 0: none.
  std::vector<int64_t> Fill(const std::string& worker, int slots) {
    std::vector<SlotReport> reports;
    for (int i = 0; i < slots; ++i) reports.push_back(Idle(i));
    std::vector<int64_t> tasks(slots, 0);
    const WorkerDesire desire = Sync(worker, reports);
    for (int i = 0; i < slots; ++i) {
      if (desire.slots[i].action != DesiredAction::kRun) continue;
      tasks[i] = TaskOf(desire.slots[i].attempt_id);
      reports[i] = Running(desire.slots[i].attempt_id, i);
    }
    Sync(worker, reports);
    return tasks;
  }
  int64_t CountFrom(const std::vector<int64_t>& tasks, int64_t first, int64_t last) {
    return std::count_if(tasks.begin(), tasks.end(),
                         [&](int64_t task) { return task >= first && task <= last; });
  }
  // A trial of the sweep with a seed, and tokens of a shape.
  void AddSized(int64_t id, int64_t sweep_id, int64_t seed, double shape, int64_t tokens) {
    OpenTrial trial;
    trial.trial_id = trial.cell_id = trial.task_id = id;
    trial.seed = seed;
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
};

TEST_F(ShareTest, HigherPriorityGoesFirst) {
  AddSweep(1, 1, 2, false, {.priority = -1});
  AddSweep(2, 11, 2, false, {.priority = 5});
  AddSweep(3, 21, 2);
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(11, 12, 21, 22, 1, 2));
}

TEST_F(ShareTest, SlotsAreSharedByWeight) {
  AddSweep(1, 1, 100, false, {.share = 1});
  AddSweep(2, 201, 100, false, {.share = 3});
  Register("w", 8);
  const std::vector<int64_t> tasks = Fill("w", 8);
  EXPECT_EQ(CountFrom(tasks, 1, 100), 2);
  EXPECT_EQ(CountFrom(tasks, 201, 300), 6);
}

TEST_F(ShareTest, ASweepThatComesLaterCatchesUp) {
  AddSweep(1, 1, 100);
  Register("w", 4);
  EXPECT_EQ(CountFrom(Fill("w", 4), 1, 100), 4);
  AddSweep(2, 201, 100);
  Register("v", 4);
  EXPECT_EQ(CountFrom(Fill("v", 4), 201, 300), 4);
}

TEST_F(ShareTest, NoMoreTrialsThanAskedForRunAtOneTime) {
  AddSweep(1, 1, 10, false, {.max_concurrent = 2});
  Register("w", 4);
  WorkerDesire desire = Sync("w", {Idle(0), Idle(1), Idle(2), Idle(3)});
  const int64_t first = desire.slots[0].attempt_id;
  const int64_t second = desire.slots[1].attempt_id;
  EXPECT_EQ(last_attempt_id_, 2);
  EXPECT_EQ(scheduler_.PendingReason(3, now()),
            "schedule.max_concurrent of sweeps/sweep1 is 2, and so many of its trials run");
  // One of them ends: one may start.
  EndTrial(TaskOf(first));
  desire = Offer("w", {Finished(first, OutcomeKind::kDone), Running(second, 1), Idle(2), Idle(3)});
  EXPECT_EQ(last_attempt_id_, 3);
  // A sweep without a limit goes on meanwhile.
  AddSweep(2, 101, 1);
  EXPECT_EQ(scheduler_.PendingReason(101, now()),
            "a slot is free; starts when its worker calls next");
}

// It counts what is trained for it, whoever began that.
TEST_F(ShareTest, TheLimitCountsSharedTrials) {
  AddSweep(1, 1, 2);
  scheduler_.AddSweep(2, "limited", false, {.max_concurrent = 1});
  AddTrial(1, 1, {{1, 1, "arm"}, {2, 1, "arm"}});
  AddTrial(50, 50, {{2, 2, "arm"}});
  Register("w", 3);
  EXPECT_THAT(Fill("w", 3), ElementsAre(1, 2, 0));
  EXPECT_THAT(scheduler_.PendingReason(50, now()), HasSubstr("max_concurrent of sweeps/limited"));
}

TEST_F(ShareTest, LabelsDecideWhichWorkersMayTakeIt) {
  AddSweep(1, 1, 2, false, {.selector = {{"gpu", "h100"}, {"zone", "a"}}});
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "no worker is connected; `loglog worker start` starts one");
  Register("v", 1, "boot", {}, "", R"({"gpu":"h100","zone":"b"})");
  EXPECT_EQ(Start("v"), 0);
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "no worker with gpu=h100,zone=a is connected, and sweeps/sweep1 selects only such; "
            "`loglog worker list -o wide` shows their labels");
  Register("w", 1, "boot", {}, "", R"({"gpu":"h100","zone":"a","more":"x"})");
  EXPECT_NE(Start("w"), 0);
  EXPECT_EQ(scheduler_.PendingReason(2, now()),
            "waits for the one slot there is of workers with gpu=h100,zone=a");
  scheduler_.DrainWorker("w", "", &actions_);
  EXPECT_EQ(scheduler_.PendingReason(2, now()),
            "no worker with gpu=h100,zone=a takes tasks: 1 draining");
  // Labels are as its last registration says.
  Register("v", 1, "boot2", {}, "", R"({"gpu":"h100","zone":"a"})");
  EXPECT_NE(Start("v"), 0);
}

TEST_F(ShareTest, WhatNobodyMaySelectHoldsNobodyUp) {
  AddSweep(1, 1, 100, false, {.priority = 9, .selector = {{"gpu", "none"}}});
  AddSweep(2, 201, 2);
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(201, 202));
}

TEST_F(ShareTest, WhoHasALowerPriorityIsToldWhoIsBefore) {
  AddSweep(1, 1, 1);
  AddSweep(2, 11, 3, false, {.priority = 2});
  Register("w");
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "behind 3 of higher priority, such as those of sweeps/sweep2 (priority 2)");
  Start("w");
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "waits for the one slot there is, behind 2 of higher priority, such as those of "
            "sweeps/sweep2 (priority 2)");
}

// A trial that several sweeps want says what keeps it from the one that is closest.
TEST_F(ShareTest, TheReasonIsThatOfTheSweepThatIsClosest) {
  scheduler_.AddSweep(1, "picky", false, {.selector = {{"gpu", "h100"}}});
  scheduler_.AddSweep(2, "open", false);
  AddTrial(1, 1, {{1, 1, "arm"}, {2, 1, "arm"}});
  Register("w");
  EXPECT_EQ(scheduler_.PendingReason(1, now()),
            "a slot is free; starts when its worker calls next");
}

TEST_F(ShareTest, OneSeedOfEverythingFirstAndInItTheLongest) {
  scheduler_.AddSweep(1, "s", false, {.longest_first_seeds = {7, 3}});
  AddSized(1, 1, 3, 100, 9'000);
  AddSized(2, 1, 7, 100, 1'000);
  AddSized(3, 1, 7, 100, 3'000);
  AddSized(4, 1, 7, 10, 20'000);
  Register("w");
  // By FLOPs: 300k, 200k, 100k; then the other seed.
  EXPECT_THAT(RunAll("w"), ElementsAre(3, 4, 2, 1));
}

TEST_F(ShareTest, MeasuredSpeedSaysWhatIsLong) {
  scheduler_.AddSweep(1, "s", false, {.longest_first_seeds = {0}});
  for (int64_t id = 1; id <= 3; ++id) AddSized(id, 1, 0, 100, 1'000 * (4 - id));
  for (int64_t id = 4; id <= 6; ++id) AddSized(id, 1, 0, 10, 2'000 * (7 - id));
  Register("w");
  const int64_t large = Start("w");
  EXPECT_EQ(TaskOf(large), 1);
  scheduler_.NoteSpeed(large, 100);  // 10 s for each 1,000 tokens of the large shape
  Complete("w", large);
  // The small one is taken to be as fast in FLOPs, 1 s for each 1,000 tokens, until it is
  // measured to be a hundred times slower.
  const int64_t second = Start("w");
  EXPECT_EQ(TaskOf(second), 2);
  Complete("w", second);
  const int64_t third = Start("w");
  EXPECT_EQ(TaskOf(third), 3);
  Complete("w", third);
  AddSized(7, 1, 0, 100, 5'000);
  const int64_t small = Start("w");
  EXPECT_EQ(TaskOf(small), 7);
  Complete("w", small);
  AddSized(8, 1, 0, 100, 5'000);
  Register("v");
  const int64_t eight = Start("v");
  EXPECT_EQ(TaskOf(eight), 8);
  const int64_t four = Start("w");
  EXPECT_EQ(TaskOf(four), 4);
  scheduler_.NoteSpeed(four, 10);  // 400 s for 4,000 tokens
  Complete("v", eight);
  AddSized(9, 1, 0, 100, 5'000);  // 50 s
  EXPECT_EQ(TaskOf(Start("v")), 5);
}

TEST_F(ShareTest, AnOrderOfTheUsersOwnIsKeptTo) {
  scheduler_.AddSweep(1, "s", false);
  AddSized(1, 1, 3, 1, 10);
  AddSized(2, 1, 0, 100, 10'000);
  Register("w");
  EXPECT_THAT(RunAll("w"), ElementsAre(1, 2));
}

// A cell whose seeds all wait for another worker does not cost a walk over all of them.
TEST_F(ShareTest, T02_TasksThatAWorkerMayNotTakeAreNotAllAskedAbout) {
  AddSweep(1, 1, 0);
  for (int64_t id = 1; id <= 100'000; ++id) AddTrial(id, /*cell_id=*/1, {{1, id, "arm"}});
  Register("a");
  Register("b");
  Finish("a", Start("a"), OutcomeKind::kFailed, "boom");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(Start("a"), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_NE(Start("b"), 0);
}

}  // namespace
}  // namespace loglog
