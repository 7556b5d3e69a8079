// Trials that go on from another's checkpoint: when they start, where, and with what.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "coordinator/engine_testing.h"
#include "coordinator/scheduler_testing.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Task 10 trains trial 10 and is the trunk of task 11, which trains trial 11.
class TrunkQueueTest : public SchedulerWorld {
 protected:
  void AddTrunkAndBranch(const TaskContext& branch_context = TaskContext(), int64_t sweep_id = 1) {
    scheduler_.AddSweep(sweep_id, "s", false);
    for (const int64_t id : {10, 11}) {
      OpenTrial trial;
      trial.trial_id = trial.cell_id = trial.task_id = id;
      trial.sweeps = {{sweep_id, id, "arm"}};
      scheduler_.AddTrial(trial);
      TaskRow task;
      task.task_id = id;
      task.members = {{0, id}};
      task.parent_task_id = id == 11 ? 10 : 0;
      scheduler_.AddTask(task, id == 11 ? branch_context : TaskContext(), now());
    }
  }
};

TEST_F(TrunkQueueTest, ABranchStartsWhenItsCheckpointIsThereWhileTheTrunkRunsOn) {
  AddTrunkAndBranch();
  Register("a", 2);
  Register("b");
  const int64_t trunk = Sync("a", {Idle(0), Idle(1)}).slots[0].attempt_id;
  EXPECT_EQ(TaskOf(trunk), 10);
  EXPECT_TRUE(scheduler_.HasWaitingBranches(10));
  Sync("a", {Running(trunk), Idle(1)});
  EXPECT_EQ(Start("b"), 0);
  scheduler_.NoteBranchPoint(11, "a", now());
  EXPECT_FALSE(scheduler_.HasWaitingBranches(10));
  const WorkerDesire desire = Sync("a", {Running(trunk), Idle(1)});
  EXPECT_EQ(TaskOf(desire.slots[1].attempt_id), 11);
}

// Anywhere else it would train again what the trunk has trained.
TEST_F(TrunkQueueTest, ABranchWaitsForWhoReadsItsCheckpointAsLongAsThatIsThere) {
  AddTrunkAndBranch();
  Register("a");
  Register("b");
  const int64_t trunk = Start("a");
  scheduler_.NoteBranchPoint(11, "a", now());
  for (int i = 0; i < 20; ++i) {
    Advance(scheduler_.LeaseMs() / 2);
    Sync("a", {Running(trunk)});
    EXPECT_EQ(Start("b"), 0);
  }
  EXPECT_EQ(scheduler_.PendingReason(11, now()),
            "its trunk's checkpoint is on workers/a, whose slots are busy");
  Complete("a", trunk);
  EXPECT_EQ(TaskOf(Start("a")), 11);
}

TEST_F(TrunkQueueTest, ABranchGoesElsewhereWhenNobodyReadsItsCheckpoint) {
  AddTrunkAndBranch();
  Register("a");
  const int64_t trunk = Start("a");
  scheduler_.NoteBranchPoint(11, "a", now());
  Complete("a", trunk);
  scheduler_.DrainWorker("a", "", &actions_);
  Note();
  Sync("a", {Idle()});
  Register("b");
  EXPECT_EQ(TaskOf(Start("b")), 11);
}

// Where it failed before is no place to wait for.
TEST_F(TrunkQueueTest, ABranchThatFailedWhereItsCheckpointIsGoesElsewhere) {
  AddTrunkAndBranch();
  Register("a");
  const int64_t trunk = Start("a");
  scheduler_.NoteBranchPoint(11, "a", now());
  Complete("a", trunk);
  const int64_t branch = Start("a");
  ASSERT_EQ(TaskOf(branch), 11);
  Register("b");
  Finish("a", branch, OutcomeKind::kFailed, "disk");
  AdvanceAndTick(3'600'000);
  Register("a");
  EXPECT_EQ(TaskOf(Start("b")), 11);
}

TEST_F(TrunkQueueTest, ATrunkThatIsNotWantedAnyMoreLetsItsBranchesGo) {
  AddTrunkAndBranch();
  Register("a");
  const int64_t trunk = Start("a");
  scheduler_.Cancel({.trials = {10}, .tasks = {10}, .attempts = {trunk}}, "no", &actions_);
  Note();
  EXPECT_EQ(scheduler_.PendingReason(11, now()), "waits for task 10, which it continues");
  Finish("a", trunk, OutcomeKind::kStopped);
  EXPECT_EQ(TaskOf(Start("a")), 11);
}

// Another sweep asks for both again, while the branch was on its way to be trained whole.
TEST_F(TrunkQueueTest, ATrunkThatIsWantedAgainIsWaitedForAgain) {
  AddTrunkAndBranch();
  scheduler_.Cancel({.trials = {10}, .tasks = {10}}, "no", &actions_);
  EXPECT_FALSE(scheduler_.HasWaitingBranches(10));
  AddTrunkAndBranch({}, /*sweep_id=*/2);
  EXPECT_TRUE(scheduler_.HasWaitingBranches(10));
  Register("a");
  const int64_t trunk = Start("a");
  ASSERT_EQ(TaskOf(trunk), 10);
  Complete("a", trunk);
  const int64_t branch = Start("a");
  ASSERT_EQ(TaskOf(branch), 11);
  Complete("a", branch);
  EXPECT_TRUE(SweepEnded(2));
}

TEST_F(TrunkQueueTest, ABranchThatFindsItsCheckpointAtTheStartDoesNotWait) {
  AddTrunkAndBranch({.checkpoint_worker = "b", .branches = true});
  Register("b");
  EXPECT_EQ(TaskOf(Start("b")), 10);  // it is in front
  Register("c");
  EXPECT_EQ(Start("c"), 0);
  EXPECT_FALSE(scheduler_.HasWaitingBranches(10));
}

// As after a restart: it has come further than its trunk's checkpoint.
TEST_F(TrunkQueueTest, ABranchWithACheckpointOfItsOwnDoesNotWaitAgain) {
  AddTrunkAndBranch({.checkpoint_worker = "b"});
  EXPECT_FALSE(scheduler_.HasWaitingBranches(10));
  Register("a");
  EXPECT_EQ(TaskOf(Start("a")), 10);
  Register("b");
  EXPECT_EQ(TaskOf(Start("b")), 11);
}

// After a restart a branch may run of which no checkpoint is known any more.
TEST_F(TrunkQueueTest, ABranchThatRunsOutlivesItsTrunksFailure) {
  AddTrunkAndBranch();
  Register("a");
  Register("b");
  const int64_t trunk = Start("a");
  AttemptRow attempt;
  attempt.attempt_id = 70;
  attempt.task_id = 11;
  attempt.worker_id = "b";
  attempt.state = AttemptState::kRunning;
  scheduler_.AddAttempt(attempt, now());
  newest_[11] = 70;
  task_of_[70] = 11;
  slots_of_[70] = {0};
  EXPECT_FALSE(scheduler_.HasWaitingBranches(10));
  Finish("a", trunk, OutcomeKind::kRefused);
  EXPECT_EQ(Task(10).state, TaskState::kFailed);
  EXPECT_EQ(tasks_.count(11), 0u);
  Complete("b", 70);
  EXPECT_EQ(Task(11).state, TaskState::kDone);
}

// ---- through the engine

class TrunkEngineTest : public EngineWorld {
 protected:
  // Two trials of arm a: 10 steps, of which the last two cool down, and 20, the trunk.
  static std::string Spec() {
    std::string spec = TinySpec(
        "s", 2, 1, "schedule: {trunks: true}\nexclude: [{arm: b}]\ncheckpoint: {every: 100}\n");
    const std::string train = "train: {batch_tokens: 64";
    spec.replace(spec.find(train), train.size(), train + ", schedule: wsd, warmup_tokens: 128");
    return spec;
  }
  static json Task(const TaskOrder& order) { return json::parse(order.task_json); }
  // The trunk up to the checkpoint at the branch's step.
  void TrainToTheBranch(FakeWorker* worker, const TaskOrder& trunk) {
    std::vector<TrainerEvent> events = {StartEvent()};
    for (int64_t step = 1; step <= 8; ++step) events.push_back(RowEvent(step, 3));
    events.push_back(CheckpointEvent(8));
    ASSERT_TRUE(worker->Send(trunk.attempt_id, 0, events).ok());
  }
};

TEST_F(TrunkEngineTest, ABranchIsOrderedFromTheTrunksCheckpoint) {
  ASSERT_TRUE(Submit(Spec()).ok());
  FakeWorker worker(engine_.get(), "w", 2);
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder trunk = worker.order(0);
  EXPECT_EQ(Task(trunk)["token_end"], 1280);
  EXPECT_EQ(Task(trunk)["checkpoint"]["at"], json({8}));
  EXPECT_FALSE(trunk.branches);
  EXPECT_EQ(worker.Sync()->orders.count(1), 0);
  TrainToTheBranch(&worker, trunk);
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder branch = worker.order(1);
  EXPECT_TRUE(branch.branches);
  EXPECT_EQ(branch.resume_step, 8);
  EXPECT_EQ(branch.resume_path, "/ckpt/step-8");
  EXPECT_EQ(Task(branch)["token_begin"], 8 * 64);
  EXPECT_EQ(Task(branch)["token_end"], 10 * 64);
  EXPECT_FALSE(Task(branch)["checkpoint"].contains("at"));

  // The same order after a restart, before the worker has heard it.
  Restart();
  FakeWorker again(engine_.get(), "w", 2);
  again.set_epoch(worker.epoch());
  again.slot(0) = worker.slot(0);
  again.slot(1) = SlotReport{.slot = 1};
  ASSERT_TRUE(again.SyncAndObey().ok());
  EXPECT_EQ(again.order(1).task_json, branch.task_json);
  EXPECT_TRUE(again.order(1).branches);
  EXPECT_TRUE(again.Train(again.order(1), 2.5).ok());
  const auto trial = GetTrial("s", 2);
  EXPECT_EQ(trial->row.state, TrialState::kDone);
  EXPECT_EQ(trial->row.final_loss, 2.5);
}

TEST_F(TrunkEngineTest, ABranchIsReleasedAcrossARestart) {
  ASSERT_TRUE(Submit(Spec()).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  TrainToTheBranch(&worker, worker.order());
  Restart();
  FakeWorker other(engine_.get(), "v");
  ASSERT_TRUE(other.Register().ok());
  EXPECT_EQ(other.Sync()->orders.size(), 0);  // it cannot read the checkpoint
  EXPECT_THAT(GetTrial("s", 2)->pending_reason, HasSubstr("checkpoint is on workers/w"));
}

// Its results are the same, from fresh weights.
TEST_F(TrunkEngineTest, ABranchThatNoWorkerCanBeginTrainsAllOfIt) {
  ASSERT_TRUE(Submit(Spec()).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder trunk = worker.order();
  TrainToTheBranch(&worker, trunk);
  ASSERT_TRUE(Call<TrialView>([&](auto reply) {
                engine_->EndTrial(Engine::TrialVerb::kCancel, "s", 1, "", "", reply);
              }).ok());
  Advance(3'600'000);  // w is lost
  FakeWorker other(engine_.get(), "v");
  ASSERT_TRUE(other.Register().ok());
  ASSERT_TRUE(other.SyncAndObey().ok());
  const TaskOrder whole = other.order();
  EXPECT_FALSE(whole.branches);
  EXPECT_EQ(whole.resume_step, 0);
  EXPECT_EQ(Task(whole)["token_begin"], 0);
  EXPECT_EQ(Task(whole)["token_end"], 10 * 64);
  ASSERT_TRUE(other.Train(whole, 2.5).ok());
  EXPECT_EQ(GetTrial("s", 2)->row.state, TrialState::kDone);
}

TEST_F(TrunkEngineTest, AFailedTrunkFailsItsBranchesAndSaysSo) {
  ASSERT_TRUE(Submit(Spec()).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  worker.Finish(0, OutcomeKind::kRefused, "vocab");
  ASSERT_TRUE(worker.Sync().ok());
  const auto branch = GetTrial("s", 2);
  EXPECT_EQ(branch->row.state, TrialState::kFailed);
  EXPECT_THAT(branch->row.message, HasSubstr("which it continues: "));
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kDone);
}

}  // namespace
}  // namespace loglog
