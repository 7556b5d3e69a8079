// The contract of the store: sweeps, attempts, batches, cancelling, retrying, reading.
#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <limits>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "store/connection.h"
#include "store/points.h"
#include "store/store_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Store::Open(folder_ / "store.db");
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = std::move(opened).value();
    ASSERT_TRUE(store_->Begin().ok());
  }

  CreatedSweep Create(const NewSweep& sweep) {
    auto created = store_->CreateSweep(sweep);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.value_or(CreatedSweep());
  }
  void AddWorker(const std::string& id, const std::string& scope = "") {
    auto epoch = store_->UpsertWorker(SimpleWorker(id, scope));
    ASSERT_TRUE(epoch.ok()) << epoch.status();
  }
  NewAttempt Lease(int64_t task_id, const std::string& worker, int slot, int64_t resume = 0) {
    NewAttempt attempt;
    attempt.task_id = task_id;
    attempt.worker_id = worker;
    attempt.slot = slot;
    attempt.resume_step = resume;
    attempt.create_ms = 1500;
    return attempt;
  }
  int64_t Attempt(int64_t task_id, const std::string& worker, int slot, int64_t resume = 0) {
    auto leased = store_->InsertAttempt(Lease(task_id, worker, slot, resume));
    EXPECT_TRUE(leased.ok()) << leased.status();
    return leased.ok() ? leased->attempt_id : 0;
  }
  void End(int64_t attempt_id, AttemptState state) {
    ASSERT_TRUE(store_->UpdateAttempt(attempt_id, {state, 5000, 0, 0, ""}).ok());
  }
  BatchResult Apply(const Batch& batch) {
    auto result = store_->ApplyBatch(batch);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(BatchResult());
  }
  std::vector<std::pair<int64_t, double>> Points(int64_t trial_id,
                                                 const std::string& metric = "loss/train") {
    auto curve = store_->read().ReadCurve({trial_id, metric});
    EXPECT_TRUE(curve.ok()) << curve.status();
    std::vector<std::pair<int64_t, double>> points;
    for (const PointRow& point : curve->points) points.emplace_back(point.step, point.value);
    return points;
  }
  TrialCounts Counts(int64_t sweep_id) { return store_->read().GetSweep(sweep_id)->counts; }
  int64_t CountSql(const std::string& sql) {
    Cursor row = store_->connection()->Query(sql);
    EXPECT_TRUE(row.Next()) << row.status();
    return row.Int(0);
  }

  TempFolder folder_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, SameSpecAddsNothingAndAnotherSpecGetsASuffix) {
  const CreatedSweep first = Create(SimpleSweep("phase", 3, 2));
  EXPECT_TRUE(first.created);
  EXPECT_EQ(first.sweep.name, "phase");
  EXPECT_EQ(first.trials_new, 6);
  const CreatedSweep again = Create(SimpleSweep("phase", 3, 2));
  EXPECT_FALSE(again.created);
  EXPECT_EQ(again.sweep.sweep_id, first.sweep.sweep_id);
  EXPECT_EQ(again.trials_reused, 6);

  const NewSweep edited = SimpleSweep("phase", 3, 3);
  const auto preview = store_->PreviewSweep(edited);
  ASSERT_TRUE(preview.ok());
  EXPECT_EQ(preview->trials_new, 3);
  const CreatedSweep second = Create(edited);
  EXPECT_EQ(second.sweep.name, "phase-2");
  EXPECT_EQ(second.trials_new, 3);
  EXPECT_EQ(second.trials_reused, 6);
  EXPECT_EQ(second.sweep.counts.reused, 6);
  EXPECT_EQ(CountSql("SELECT count(*) FROM trials"), 9);
  EXPECT_EQ(CountSql("SELECT count(*) FROM tasks"), 9);
  EXPECT_EQ(Create(edited).sweep.name, "phase-2");
}

TEST_F(StoreTest, ARepeatedRequestGivesItsFirstAnswer) {
  NewSweep sweep = SimpleSweep("phase", 1, 1);
  sweep.request_id = "r1";
  const CreatedSweep first = Create(sweep);
  NewSweep other = SimpleSweep("other", 2, 1);
  other.request_id = "r1";
  const CreatedSweep repeated = Create(other);
  EXPECT_FALSE(repeated.created);
  EXPECT_EQ(repeated.sweep.sweep_id, first.sweep.sweep_id);
  EXPECT_TRUE(store_->SaveRequest("verb", "done", 1).ok());
  EXPECT_EQ(**store_->FindRequest("verb"), "done");
  EXPECT_FALSE(store_->FindRequest("unknown")->has_value());
}

TEST_F(StoreTest, AnOldEtagIsAborted) {
  const SweepRow sweep = Create(SimpleSweep("phase", 1, 1)).sweep;
  const auto paused = store_->SetSweepState(sweep.sweep_id, SweepState::kPaused, 0, sweep.revision);
  ASSERT_TRUE(paused.ok());
  EXPECT_EQ(paused->state, SweepState::kPaused);
  const auto stale = store_->SetSweepState(sweep.sweep_id, SweepState::kActive, 0, sweep.revision);
  EXPECT_TRUE(absl::IsAborted(stale.status()));
  EXPECT_TRUE(store_->SetSweepState(sweep.sweep_id, SweepState::kActive, 0).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->SetSweepState(99, SweepState::kActive, 0).status()));
}

TEST_F(StoreTest, ASecondLiveAttemptIsRefusedForTaskAndSlot) {
  Create(SimpleSweep("phase", 2, 1));
  AddWorker("a");
  AddWorker("b");
  const int64_t first = Attempt(1, "a", 0);
  const auto same_task = store_->InsertAttempt(Lease(1, "b", 0));
  EXPECT_TRUE(absl::IsFailedPrecondition(same_task.status())) << same_task.status();
  const auto same_slot = store_->InsertAttempt(Lease(2, "a", 0));
  EXPECT_TRUE(absl::IsFailedPrecondition(same_slot.status()));
  EXPECT_THAT(std::string(same_slot.status().message()), HasSubstr("workers/a"));
  // The refused ones left nothing behind.
  EXPECT_EQ(store_->read().GetTask(1)->last_attempt_id, first);
  EXPECT_EQ(store_->read().GetTask(2)->state, TaskState::kPending);
  End(first, AttemptState::kLost);
  EXPECT_GT(Attempt(1, "b", 0), first);
  EXPECT_GT(Attempt(2, "a", 0), first);
}

TEST_F(StoreTest, AttemptsEndOnceAndOnlyALostOneIsCorrected) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  End(attempt, AttemptState::kLost);
  EXPECT_TRUE(store_->UpdateAttempt(attempt, {AttemptState::kDone, 6000, 0, 0, "late"}).ok());
  EXPECT_TRUE(store_->UpdateAttempt(attempt, {AttemptState::kDone, 6000, 0, 0, "late"}).ok());
  const auto changed = store_->UpdateAttempt(attempt, {AttemptState::kFailed, 7000, 1, 0, ""});
  EXPECT_TRUE(absl::IsFailedPrecondition(changed));
  EXPECT_EQ(store_->read().GetAttempt(attempt)->message, "late");
  EXPECT_TRUE(absl::IsNotFound(store_->UpdateAttempt(99, {AttemptState::kDone})));
}

TEST_F(StoreTest, ATrialFollowsItsTask) {
  const int64_t sweep = Create(SimpleSweep("phase", 1, 1)).sweep.sweep_id;
  AddWorker("a");
  EXPECT_EQ(Counts(sweep).pending, 1);
  const int64_t attempt = Attempt(1, "a", 0);
  EXPECT_EQ(Counts(sweep).running, 1);
  End(attempt, AttemptState::kFailed);
  TaskUpdate again;
  again.failure_count = 1;
  again.not_before_ms = 9000;
  ASSERT_TRUE(store_->UpdateTask(1, again).ok());
  EXPECT_EQ(Counts(sweep).pending, 1);
  TaskUpdate failed;
  failed.state = TaskState::kFailed;
  failed.failure_count = 3;
  failed.message = "out of retries";
  failed.time_ms = 9500;
  ASSERT_TRUE(store_->UpdateTask(1, failed).ok());
  EXPECT_EQ(Counts(sweep).failed, 1);
  const TrialRow trial = *store_->read().GetTrial(sweep, 1);
  EXPECT_EQ(trial.state, TrialState::kFailed);
  EXPECT_EQ(trial.message, "out of retries");
  EXPECT_EQ(trial.end_ms, 9500);
  EXPECT_EQ(trial.failure_count, 3);
  EXPECT_EQ(trial.attempts, 1);
  EXPECT_TRUE(absl::IsNotFound(store_->UpdateTask(99, {})));
}

TEST_F(StoreTest, AResentBatchIsANoOpAndAGapIsRefused) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  EXPECT_EQ(*store_->read().LastSeq(attempt), -1);
  EXPECT_EQ(Apply(RowsBatch(attempt, 0, 1, 5)).last_seq, 4);
  const BatchResult resent = Apply(RowsBatch(attempt, 0, 1, 5));
  EXPECT_EQ(resent.last_seq, 4);
  EXPECT_EQ(resent.skipped, 5);
  // Half old, half new.
  EXPECT_EQ(Apply(RowsBatch(attempt, 3, 4, 5)).last_seq, 7);
  EXPECT_THAT(Points(1), SizeIs(8));
  const auto gap = store_->ApplyBatch(RowsBatch(attempt, 10, 11, 1));
  EXPECT_TRUE(absl::IsOutOfRange(gap.status()));
  Batch hello;
  hello.attempt_id = attempt;
  EXPECT_EQ(Apply(hello).last_seq, 7);
  EXPECT_EQ(*store_->read().LastSeq(attempt), 7);
  EXPECT_TRUE(absl::IsNotFound(store_->ApplyBatch(RowsBatch(99, 0, 1, 1)).status()));
}

TEST_F(StoreTest, AMalformedBatchChangesNothing) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Apply(RowsBatch(attempt, 0, 1, 3));
  Batch back = RowsBatch(attempt, 3, 4, 2);
  back.events.emplace_back(MetricRow{0, 2, 20, {{0, 1.0}}});
  const auto refused = store_->ApplyBatch(back);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(refused.status().message(),
            absl::StrCat("attempt ", attempt,
                         ", event 5: metric loss/train: step 2 comes after step 5 of the same "
                         "metric; steps must grow"));
  Batch member = RowsBatch(attempt, 3, 4, 1);
  std::get<MetricRow>(member.events[0]).member = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(store_->ApplyBatch(member).status()));
  Batch metric = RowsBatch(attempt, 3, 4, 1);
  std::get<MetricRow>(metric.events[0]).values[0].metric = 7;
  EXPECT_TRUE(absl::IsInvalidArgument(store_->ApplyBatch(metric).status()));
  EXPECT_THAT(Points(1), SizeIs(3));
  // The transaction goes on after a refusal.
  EXPECT_EQ(Apply(RowsBatch(attempt, 3, 4, 2)).last_seq, 4);
  EXPECT_THAT(Points(1), SizeIs(5));
}

TEST_F(StoreTest, StaleAttemptsAreFenced) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  AddWorker("b");
  const int64_t old = Attempt(1, "a", 0);
  Apply(RowsBatch(old, 0, 1, 5));
  End(old, AttemptState::kLost);
  // Late but honest: nobody took over yet.
  EXPECT_FALSE(Apply(RowsBatch(old, 5, 6, 5)).stale);
  const int64_t young = Attempt(1, "b", 0);
  EXPECT_TRUE(Apply(RowsBatch(old, 10, 11, 5)).stale);
  EXPECT_THAT(Points(1), SizeIs(0));
  Apply(RowsBatch(young, 0, 1, 2, 0.5));
  EXPECT_THAT(Points(1), ElementsAre(std::pair(1, 1.5), std::pair(2, 2.5)));
}

TEST_F(StoreTest, T09_ResumeSupersedesLaterPointsNoneLostNoneDoubled) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t old = Attempt(1, "a", 0);
  Apply(RowsBatch(old, 0, 1, 100));
  Batch checkpoints;
  checkpoints.attempt_id = old;
  checkpoints.first_seq = 100;
  checkpoints.events = {CheckpointCommit{50, "/c/50", "aa", 1},
                        CheckpointCommit{90, "/c/90", "bb", 1}};
  Apply(checkpoints);
  EXPECT_EQ((*store_->read().NewestCheckpoint(1, "a", ""))->step, 90);
  End(old, AttemptState::kLost);

  const auto leased = store_->InsertAttempt(Lease(1, "a", 0, 50));
  ASSERT_TRUE(leased.ok());
  EXPECT_EQ(leased->superseded.points, 2 * 50);
  EXPECT_EQ(leased->superseded.checkpoints, 1);
  EXPECT_EQ(store_->read().GetTrial(1, 1)->step, 50);
  EXPECT_EQ(store_->read().GetTrial(1, 1)->last_loss, 50);
  EXPECT_EQ((*store_->read().NewestCheckpoint(1, "a", ""))->step, 50);
  Apply(RowsBatch(leased->attempt_id, 0, 51, 30, 0.25));
  const auto points = Points(1);
  ASSERT_THAT(points, SizeIs(80));
  for (int i = 0; i < 80; ++i) {
    EXPECT_EQ(points[i].first, i + 1);
    EXPECT_EQ(points[i].second, i + 1 + (i >= 50 ? 0.25 : 0));
  }
  // What was taken back can still be read, exactly.
  EXPECT_EQ(CountSql("SELECT count(*) FROM v_points_superseded"), 100);
  EXPECT_EQ(CountSql("SELECT sum(step) FROM v_points_superseded WHERE metric = 'loss/train'"),
            (51 + 100) * 50 / 2);
  EXPECT_EQ(CountSql("SELECT count(*) FROM v_points_superseded WHERE metric = 'loss/train' AND "
                     "value <> step"),
            0);
}

TEST_F(StoreTest, AStartBelowThePlannedStepSupersedesMore) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t old = Attempt(1, "a", 0);
  Apply(RowsBatch(old, 0, 1, 60));
  End(old, AttemptState::kLost);
  const int64_t young = Attempt(1, "a", 0, 50);
  Batch ahead;
  ahead.attempt_id = young;
  ahead.events = {AttemptStart{55}};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->ApplyBatch(ahead).status()));
  Batch start = ahead;
  start.events = {AttemptStart{20, "0.1.0", "dd", 120, 100, 600, 100}};
  EXPECT_EQ(Apply(start).superseded.points, 2 * 30);
  const AttemptRow attempt = *store_->read().GetAttempt(young);
  EXPECT_EQ(attempt.state, AttemptState::kRunning);
  EXPECT_EQ(attempt.resume_step, 20);
  EXPECT_EQ(attempt.total_steps, 100);
  EXPECT_EQ(attempt.start_ms, 1);
  EXPECT_THAT(Points(1), SizeIs(20));
  // Steps that the attempt did not train are refused.
  EXPECT_TRUE(absl::IsInvalidArgument(store_->ApplyBatch(RowsBatch(young, 1, 20, 1)).status()));
  Apply(RowsBatch(young, 1, 21, 5));
  EXPECT_THAT(Points(1), SizeIs(25));
}

TEST_F(StoreTest, RandomBatchesAndResumesAgreeWithAModel) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  std::map<int64_t, double> model;
  int64_t step = 0;
  for (int round = 0; round < 12; ++round) {
    const int64_t resume = step == 0 ? 0 : static_cast<int64_t>(random() % (step + 1));
    const int64_t attempt = Attempt(1, "a", 0, resume);
    model.erase(model.upper_bound(resume), model.end());
    step = resume;
    int64_t seq = 0;
    for (int batches = 0; batches < 8; ++batches) {
      const int64_t stride = 1 + random() % 3;
      const int count = 1 + static_cast<int>(random() % 45);
      const double offset = static_cast<double>(random() % 1000);
      Apply(RowsBatch(attempt, seq, step + stride, count, offset, stride));
      for (int i = 1; i <= count; ++i) model[step + i * stride] = step + i * stride + offset;
      step += count * stride;
      seq += count;
    }
    const auto points = Points(1);
    const std::vector<std::pair<int64_t, double>> expected(model.begin(), model.end());
    ASSERT_EQ(points, expected) << "round " << round;
    ASSERT_EQ(CountSql("SELECT count(*) FROM v_points WHERE metric = 'loss/train' AND value IS "
                       "NOT NULL AND tokens = step * 10"),
              model.size());
    End(attempt, AttemptState::kLost);
    if (round % 3 == 0) {
      // The remembered chunks are not there after a start.
      ASSERT_TRUE(store_->Commit().ok());
      store_.reset();
      store_ = Store::Open(folder_ / "store.db").value();
      ASSERT_TRUE(store_->Begin().ok());
    }
  }
}

TEST_F(StoreTest, T21_ValuesThatAreNotFiniteComeBack) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  const double inf = std::numeric_limits<double>::infinity();
  Batch batch = RowsBatch(attempt, 0, 1, 4);
  const double values[] = {inf, -inf, std::nan(""), 0.1};
  for (int i = 0; i < 4; ++i) std::get<MetricRow>(batch.events[i]).values[0].value = values[i];
  batch.events.emplace_back(MemberEnd{0, true, 5, 50, kNoNumber, "{}"});
  const BatchResult result = Apply(batch);
  ASSERT_THAT(result.ended, SizeIs(1));
  EXPECT_EQ(result.ended[0].state, TrialState::kDiverged);
  const auto points = Points(1);
  ASSERT_THAT(points, SizeIs(4));
  EXPECT_EQ(points[0].second, inf);
  EXPECT_EQ(points[1].second, -inf);
  EXPECT_TRUE(std::isnan(points[2].second));
  EXPECT_EQ(points[3].second, 0.1);
  EXPECT_EQ(CountSql("SELECT count(*) FROM v_points WHERE metric = 'loss/train'"), 4);
  EXPECT_EQ(CountSql("SELECT step FROM v_points WHERE value IS NULL"), 3);
  const TrialRow trial = *store_->read().GetTrial(1, 1);
  EXPECT_EQ(trial.state, TrialState::kDiverged);
  EXPECT_EQ(trial.diverged_step, 5);
  EXPECT_TRUE(std::isnan(trial.final_loss));
  EXPECT_THAT(trial.message, HasSubstr("step 5"));
}

TEST_F(StoreTest, TheLastTaskOfATrialEndsIt) {
  const int64_t sweep = Create(SimpleSweep("phase", 2, 1)).sweep.sweep_id;
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Batch batch = RowsBatch(attempt, 0, 1, 3);
  batch.events.emplace_back(MemberEnd{0, false, 100, 1000, 3.5, "{\"loss/val\":3.5}"});
  batch.tokens_per_second = 123;
  const BatchResult result = Apply(batch);
  ASSERT_THAT(result.ended, SizeIs(1));
  EXPECT_EQ(result.ended[0].trial_id, 1);
  EXPECT_EQ(result.ended[0].final_loss, 3.5);
  EXPECT_TRUE(Apply(batch).ended.empty());
  const TrialRow trial = *store_->read().GetTrial(sweep, 1);
  EXPECT_EQ(trial.state, TrialState::kDone);
  EXPECT_EQ(trial.final_loss, 3.5);
  EXPECT_EQ(trial.step, 100);
  EXPECT_EQ(trial.tokens, 1000);
  EXPECT_EQ(trial.last_loss, 3);
  EXPECT_EQ(trial.tokens_per_second, 123);
  EXPECT_EQ(trial.summary_json, "{\"loss/val\":3.5}");
  EXPECT_EQ(trial.config_json, "{\"cell\":0}");
  EXPECT_EQ(Counts(sweep).done, 1);
  const auto observations = *store_->read().ListObservations(sweep);
  ASSERT_THAT(observations, SizeIs(2));
  EXPECT_EQ(observations[0].final_loss, 3.5);
  EXPECT_EQ(observations[0].arm, "small");
  EXPECT_TRUE(std::isnan(observations[1].final_loss));
}

TEST_F(StoreTest, CancelLeavesWhatAnotherSweepWants) {
  const int64_t first = Create(SimpleSweep("one", 4, 1)).sweep.sweep_id;
  const int64_t second = Create(SimpleSweep("two", 2, 1)).sweep.sweep_id;
  AddWorker("a");
  const int64_t running = Attempt(3, "a", 0);
  const CancelResult cancelled = *store_->CancelSweepTrials(first, 7000);
  EXPECT_THAT(cancelled.trials, ElementsAre(3, 4));
  EXPECT_THAT(cancelled.tasks, ElementsAre(3, 4));
  EXPECT_THAT(cancelled.attempts, ElementsAre(running));
  EXPECT_EQ(Counts(first).cancelled, 2);
  EXPECT_EQ(Counts(first).pending, 2);
  EXPECT_EQ(Counts(second).pending, 2);
  // A result that comes all the same does not undo the cancel.
  Batch end;
  end.attempt_id = running;
  end.events = {MemberEnd{0, false, 100, 1000, 3.5, "{}"}};
  EXPECT_TRUE(Apply(end).ended.empty());
  EXPECT_EQ(Counts(first).cancelled, 2);

  ASSERT_TRUE(store_->SetSweepState(second, SweepState::kCancelled, 7000).ok());
  EXPECT_THAT(store_->CancelSweepTrials(first, 8000)->trials, ElementsAre(1, 2));
  // A new sweep that wants them makes them pending again, with their tasks.
  const CreatedSweep third = Create(SimpleSweep("three", 3, 1));
  EXPECT_EQ(third.trials_reused, 3);
  EXPECT_EQ(third.sweep.counts.pending, 3);
  EXPECT_THAT(*store_->read().ListOpenTasks(third.sweep.sweep_id), SizeIs(3));
  EXPECT_EQ(CountSql("SELECT count(*) FROM tasks"), 4);
}

TEST_F(StoreTest, RetryGivesFreshBudgets) {
  const int64_t sweep = Create(SimpleSweep("phase", 3, 1)).sweep.sweep_id;
  TaskUpdate failed;
  failed.state = TaskState::kFailed;
  failed.failure_count = 3;
  failed.lost_count = 2;
  ASSERT_TRUE(store_->UpdateTask(1, failed).ok());
  ASSERT_TRUE(store_->CancelTrials(std::vector<int64_t>{2}, 7000).ok());
  const std::vector<int64_t> cancelled = {2};
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->RetryTrials(sweep, cancelled, false).status()));
  const std::vector<int64_t> pending = {3};
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->RetryTrials(sweep, pending, true).status()));
  const RetryResult retried = *store_->RetryTrials(sweep, {}, true);
  EXPECT_THAT(retried.trials, ElementsAre(1, 2));
  EXPECT_THAT(retried.tasks, ElementsAre(1, 2));
  EXPECT_EQ(store_->read().GetTask(1)->failure_count, 0);
  EXPECT_EQ(store_->read().GetTask(1)->lost_count, 0);
  EXPECT_EQ(Counts(sweep).pending, 3);
}

TEST_F(StoreTest, CheckpointsAreOfferedToWhoCanReadThem) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a", "shared");
  AddWorker("b", "shared");
  AddWorker("c");
  const int64_t attempt = Attempt(1, "a", 0);
  Batch batch = RowsBatch(attempt, 0, 1, 10);
  batch.events.emplace_back(CheckpointCommit{5, "/c/5", "aa", 10});
  batch.events.emplace_back(CheckpointCommit{10, "/c/10", "bb", 10});
  Apply(batch);
  const auto all = *store_->read().ListCheckpoints(1);
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].step, 10);
  EXPECT_EQ(all[0].worker_id, "a");
  EXPECT_EQ((*store_->read().NewestCheckpoint(1, "a", "shared"))->path, "/c/10");
  EXPECT_EQ((*store_->read().NewestCheckpoint(1, "b", "shared"))->path, "/c/10");
  EXPECT_FALSE(store_->read().NewestCheckpoint(1, "c", "")->has_value());
  EXPECT_FALSE(store_->read().NewestCheckpoint(1, "c", "other")->has_value());
}

TEST_F(StoreTest, SessionEpochsGrow) {
  EXPECT_EQ(*store_->UpsertWorker(SimpleWorker("a")), 1);
  EXPECT_EQ(*store_->UpsertWorker(SimpleWorker("a")), 2);
  EXPECT_EQ(*store_->UpsertWorker(SimpleWorker("b")), 1);
  ASSERT_TRUE(store_->SetWorkerState("a", WorkerState::kDraining, "asked").ok());
  ASSERT_TRUE(store_->SetWorkerSyncTime("a", 77).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->SetWorkerState("x", WorkerState::kLost, "")));
  const auto page = *store_->read().ListWorkers("", 1);
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].state, WorkerState::kDraining);
  EXPECT_EQ(page[0].reason, "asked");
  EXPECT_EQ(page[0].last_sync_ms, 77);
  EXPECT_EQ(store_->read().ListWorkers("a", 5)->at(0).worker_id, "b");
}

TEST_F(StoreTest, FitsAreStoredOnceForTheirInputs) {
  const int64_t sweep = Create(SimpleSweep("phase", 1, 1)).sweep.sweep_id;
  FitRow fit;
  fit.sweep_id = sweep;
  fit.kind = "local_slope";
  fit.axis = "D";
  fit.arm = "small";
  fit.inputs_sha256 = "one";
  fit.estimate = -0.1;
  bool created = false;
  const FitRow first = *store_->InsertFit(fit, &created);
  EXPECT_TRUE(created);
  EXPECT_EQ(first.number, 1);
  fit.estimate = 99;
  EXPECT_EQ(store_->InsertFit(fit, &created)->estimate, -0.1);
  EXPECT_FALSE(created);
  fit.inputs_sha256 = "two";
  EXPECT_EQ(store_->InsertFit(fit, &created)->number, 2);
  fit.arm = "large";
  EXPECT_EQ(store_->InsertFit(fit, &created)->number, 3);
  const auto newest = *store_->read().ListFits(sweep);
  ASSERT_THAT(newest, SizeIs(2));
  EXPECT_EQ(newest[0].number, 3);
  EXPECT_EQ(newest[1].number, 2);
  EXPECT_TRUE(std::isnan(newest[0].low));
  EXPECT_EQ(store_->read().GetFit(sweep, 1)->inputs_sha256, "one");
  EXPECT_TRUE(absl::IsNotFound(store_->read().GetFit(sweep, 9).status()));
}

TEST_F(StoreTest, EventsAreReadAfterAnIdAndCannotBeChanged) {
  const int64_t sweep = Create(SimpleSweep("phase", 2, 1)).sweep.sweep_id;
  const int64_t other = Create(SimpleSweep("other", 2, 1)).sweep.sweep_id;
  std::vector<int64_t> ids;
  for (int i = 0; i < 6; ++i) {
    EventRow event;
    event.time_ms = i;
    event.kind = "trial.done";
    event.sweep_id = i % 2 == 0 ? sweep : other;
    event.trial_id = 1;
    event.detail_json = "{}";
    ids.push_back(*store_->AppendEvent(event));
  }
  EventRow worker_event;
  worker_event.kind = "worker.lost";
  worker_event.worker_id = "a";
  ids.push_back(*store_->AppendEvent(worker_event));
  EXPECT_THAT(*store_->read().ListEvents(0, 0, 100), SizeIs(7));
  const auto page = *store_->read().ListEvents(sweep, ids[0], 1);
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].event_id, ids[2]);
  EXPECT_EQ(page[0].sweep, "phase");
  EXPECT_EQ(page[0].trial_number, 1);
  const auto newest = *store_->read().ListTrialEvents(sweep, 1, 2);
  ASSERT_THAT(newest, SizeIs(2));
  EXPECT_EQ(newest[0].event_id, ids[2]);
  EXPECT_EQ(newest[1].event_id, ids[4]);
  EXPECT_EQ(store_->read().GetSweep(sweep)->last_event_id, ids[4]);
  EXPECT_FALSE(store_->connection()->Run("DELETE FROM events").ok());
  EXPECT_FALSE(store_->connection()->Run("UPDATE events SET kind = 'x'").ok());
}

TEST_F(StoreTest, PagesOfTrialsAndSweeps) {
  const int64_t sweep = Create(SimpleSweep("phase", 5, 2)).sweep.sweep_id;
  Create(SimpleSweep("b", 1, 1, 100));
  Create(SimpleSweep("c", 1, 1, 200));
  ASSERT_TRUE(store_->SetTrialState(3, TrialState::kFailed, "x", 1).ok());
  ASSERT_TRUE(store_->SetTrialState(8, TrialState::kDone, "", 1).ok());
  std::vector<int64_t> numbers;
  for (int64_t after = 0;;) {
    const auto page = *store_->read().ListTrials(sweep, after, {}, 3);
    if (page.empty()) break;
    for (const TrialRow& trial : page) numbers.push_back(trial.number);
    after = numbers.back();
  }
  EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  const std::vector<TrialState> ended = {TrialState::kFailed, TrialState::kDone};
  const auto filtered = *store_->read().ListTrials(sweep, 0, ended, 100);
  ASSERT_THAT(filtered, SizeIs(2));
  EXPECT_EQ(filtered[1].number, 8);
  EXPECT_EQ(*store_->read().CountTrials(sweep, ended), 2);
  EXPECT_EQ(*store_->read().CountTrials(sweep, {}), 10);
  const auto sweeps = *store_->read().ListSweeps(0, 2);
  ASSERT_THAT(sweeps, SizeIs(2));
  EXPECT_EQ(sweeps[0].name, "c");
  EXPECT_EQ(store_->read().ListSweeps(sweeps[1].sweep_id, 2)->at(0).name, "phase");
}

TEST_F(StoreTest, CurvesAreThinnedEvenlyWithBothEnds) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  Apply(RowsBatch(Attempt(1, "a", 0), 0, 1, 1000));
  PointQuery query{1, "loss/train"};
  query.max_points = 7;
  const Curve curve = *store_->read().ReadCurve(query);
  EXPECT_EQ(curve.total_points, 1000);
  ASSERT_THAT(curve.points, SizeIs(7));
  EXPECT_EQ(curve.points.front().step, 1);
  EXPECT_EQ(curve.points.back().step, 1000);
  for (int i = 1; i < 7; ++i) {
    EXPECT_NEAR(curve.points[i].step - curve.points[i - 1].step, 166.5, 1);
  }
  query.max_points = 0;
  query.step_min = 100;
  query.step_max = 109;
  EXPECT_THAT(store_->read().ReadCurve(query)->points, SizeIs(10));
  query.metric = "unknown";
  EXPECT_THAT(store_->read().ReadCurve(query)->points, SizeIs(0));
  EXPECT_THAT(*store_->read().ListMetrics(1), ElementsAre("loss/train", "norm/grad"));
  EXPECT_THAT(ThinEvenly(10, 1), ElementsAre(0, 9));
  EXPECT_THAT(ThinEvenly(3, 0), ElementsAre(0, 1, 2));
}

TEST_F(StoreTest, LiveStateHoldsWhatIsOpenAndNothingElse) {
  Create(SimpleSweep("phase", 3, 1));
  const int64_t ended = Create(SimpleSweep("ended", 1, 1)).sweep.sweep_id;
  ASSERT_TRUE(store_->SetSweepState(ended, SweepState::kDone, 1).ok());
  AddWorker("a");
  AddWorker("gone");
  ASSERT_TRUE(store_->SetWorkerState("gone", WorkerState::kGone, "").ok());
  const int64_t done = Attempt(1, "a", 0);
  Batch end;
  end.attempt_id = done;
  end.events = {MemberEnd{0, false, 100, 1000, 3.5, "{}"}};
  Apply(end);
  End(done, AttemptState::kDone);
  ASSERT_TRUE(store_->UpdateTask(1, {TaskState::kDone}).ok());
  const int64_t live = Attempt(2, "a", 0);
  const LiveState state = *store_->LoadLive();
  ASSERT_THAT(state.sweeps, SizeIs(1));
  EXPECT_EQ(state.sweeps[0].counts.done, 1);
  EXPECT_FALSE(state.sweeps[0].spec_json.empty());
  ASSERT_THAT(state.tasks, SizeIs(2));
  EXPECT_EQ(state.tasks[0].state, TaskState::kRunning);
  EXPECT_EQ(state.tasks[0].last_attempt_id, live);
  EXPECT_EQ(state.tasks[1].members[0].trial_id, 3);
  ASSERT_THAT(state.trials, SizeIs(2));
  EXPECT_EQ(state.trials[0].sweeps[0].number, 2);
  ASSERT_THAT(state.attempts, SizeIs(1));
  EXPECT_EQ(state.attempts[0].attempt_id, live);
  ASSERT_THAT(state.workers, SizeIs(1));
  const auto members = *store_->read().ListMemberConfigs(2);
  ASSERT_THAT(members, SizeIs(1));
  EXPECT_EQ(members[0].config_json, "{\"cell\":1}");
  EXPECT_EQ(*store_->read().SlotSecondsUsed(1, 2500), (5000 - 1500 + 2500 - 1500) / 1000.0);
}

TEST_F(StoreTest, WritesOutsideATransactionAndHalfOperationsAreRefused) {
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->CreateSweep(SimpleSweep("a", 1, 1)).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Commit()));
  ASSERT_TRUE(store_->Begin().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Begin()));
  const absl::Status inner = store_->Atomically([&]() -> absl::Status {
    Create(SimpleSweep("a", 1, 1));
    return absl::CancelledError("changed my mind");
  });
  EXPECT_TRUE(absl::IsCancelled(inner));
  EXPECT_TRUE(absl::IsNotFound(store_->read().GetSweep("a").status()));
  Create(SimpleSweep("b", 1, 1));
  store_->Rollback();
  EXPECT_TRUE(absl::IsNotFound(store_->read().GetSweep("b").status()));
}

TEST_F(StoreTest, ARolledBackBatchCanBeSentAgain) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Apply(RowsBatch(attempt, 0, 1, 5));
  ASSERT_TRUE(store_->Commit().ok());
  ASSERT_TRUE(store_->Begin().ok());
  Apply(RowsBatch(attempt, 5, 6, 40));
  store_->Rollback();
  ASSERT_TRUE(store_->Begin().ok());
  EXPECT_EQ(Apply(RowsBatch(attempt, 5, 6, 40)).last_seq, 44);
  EXPECT_THAT(Points(1), SizeIs(45));
}

TEST_F(StoreTest, T08_CancelOfTenThousandTrials) {
  const int64_t sweep = Create(SimpleSweep("phase", 2000, 5)).sweep.sweep_id;
  // Processor time, because the machine that runs this may be busy.
  const std::clock_t start = std::clock();
  const CancelResult cancelled = *store_->CancelSweepTrials(sweep, 1);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_THAT(cancelled.tasks, SizeIs(10'000));
  EXPECT_EQ(Counts(sweep).cancelled, 10'000);
  EXPECT_LT(seconds, 2.0);
  RecordProperty("seconds", std::to_string(seconds));
}

}  // namespace
}  // namespace loglog
