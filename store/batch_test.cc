// The trainer's events in the store: fencing, resending, superseding, values, curves.
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "store/points.h"
#include "store/store_fixture.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class BatchTest : public StoreFixture {};

TEST_F(BatchTest, AResentBatchIsANoOpAndAGapIsRefused) {
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

TEST_F(BatchTest, AMalformedBatchChangesNothing) {
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

TEST_F(BatchTest, ARowWithoutValuesIsNoPoint) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Apply(RowsBatch(attempt, 0, 1, 3));
  Batch batch;
  batch.attempt_id = attempt;
  batch.first_seq = 3;
  batch.events.emplace_back(MetricRow{0, 9, 90, {}});
  EXPECT_EQ(Apply(batch).last_seq, 3);
  EXPECT_EQ(CountSql("SELECT step FROM streams"), 3);
  batch.first_seq = 4;
  batch.events[0] = MetricRow{7, 9, 90, {}};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->ApplyBatch(batch).status()));
}

TEST_F(BatchTest, TheNewestEndOfAMemberCounts) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Apply(RowsBatch(attempt, 0, 1, 3));
  Batch batch;
  batch.attempt_id = attempt;
  const auto end = [&](int64_t seq, int64_t step) {
    batch.first_seq = seq;
    batch.events = {MemberEnd{.step = step, .tokens = 10 * step, .final_loss = 2.5}};
    Apply(batch);
  };
  end(3, 10);
  EXPECT_EQ(CountSql("SELECT step FROM streams"), 10);
  EXPECT_EQ(CountSql("SELECT step FROM trial_summary"), 10);
  end(4, 7);
  EXPECT_EQ(CountSql("SELECT step FROM streams"), 7) << "as its summary says";
  EXPECT_EQ(CountSql("SELECT step FROM trial_summary"), 7);
}

// A trainer that is asked to leave may end first; `store check` compares the stream's step
// with its newest point, because no summary says otherwise.
TEST_F(BatchTest, TheEndOfACancelledTrialMovesNothing) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Apply(RowsBatch(attempt, 0, 1, 3));
  ASSERT_TRUE(store_->CancelTrials({1}, 3000).ok());
  Batch batch;
  batch.attempt_id = attempt;
  batch.first_seq = 3;
  batch.events = {MemberEnd{.step = 10, .tokens = 100, .final_loss = 2.5}};
  EXPECT_EQ(Apply(batch).last_seq, 3);
  EXPECT_EQ(CountSql("SELECT step FROM streams"), 3);
}

TEST_F(BatchTest, StaleAttemptsAreFenced) {
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

TEST_F(BatchTest, T09_ResumeSupersedesLaterPointsNoneLostNoneDoubled) {
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

TEST_F(BatchTest, AStartFromFreshWeightsReportsStepZeroAgain) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  const int64_t old = Attempt(1, "a", 0);
  Apply(RowsBatch(old, 0, 0, 10));
  End(old, AttemptState::kLost);
  const int64_t young = Attempt(1, "a", 0);
  Apply(RowsBatch(young, 0, 0, 5, 0.25));
  const auto points = Points(1);
  ASSERT_THAT(points, SizeIs(5));
  EXPECT_EQ(points[0].first, 0);
  EXPECT_EQ(points[0].second, 0.25);
  EXPECT_EQ(CountSql("SELECT count(*) FROM v_points_superseded"), 20);
}

TEST_F(BatchTest, AStartBelowThePlannedStepSupersedesMore) {
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

// Found by a fuzzer: rows of the same batch that a start takes back left their stream at
// their step.
TEST_F(BatchTest, AStartTakesTheStreamBackFromRowsBeforeIt) {
  Create(SimpleSweep("phase", 1, 1));
  AddWorker("a");
  Batch batch = RowsBatch(Attempt(1, "a", 0), 0, 1, 10);
  batch.events.emplace_back(AttemptStart{});
  batch.events.push_back(RowsBatch(batch.attempt_id, 0, 1, 1).events[0]);
  EXPECT_EQ(Apply(batch).superseded.points, 2 * 10);
  EXPECT_EQ(CountSql("SELECT step FROM streams"), 1);
  EXPECT_EQ(CountSql("SELECT tokens FROM streams"), 10);
}

TEST_F(BatchTest, RandomBatchesAndResumesAgreeWithAModel) {
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

TEST_F(BatchTest, T21_ValuesThatAreNotFiniteComeBack) {
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

TEST_F(BatchTest, AStoppedTrialsLossIsItsNewestOfValidation) {
  const int64_t sweep = Create(SimpleSweep("phase", 3, 1)).sweep.sweep_id;
  AddWorker("a");
  const int64_t attempt = Attempt(1, "a", 0);
  Batch batch;
  batch.attempt_id = attempt;
  batch.metrics = {"loss/val"};
  for (int64_t step = 10; step <= 30; step += 10) {
    const double loss = 4 - static_cast<double>(step) / 100;
    batch.events.emplace_back(MetricRow{0, step, 10 * step, {{0, loss}}});
  }
  Apply(batch);
  ASSERT_TRUE(store_->StopTrials({1, 2}, "enough", 5).ok());
  std::vector<ObservationRow> trials = *store_->read().ListObservations(sweep);
  EXPECT_TRUE(std::isnan(trials[0].stopped_loss));  // not read yet
  ASSERT_TRUE(store_->read().ReadStoppedLosses(&trials).ok());
  EXPECT_EQ(trials[0].stopped_loss, 3.7);
  EXPECT_TRUE(std::isnan(trials[1].stopped_loss));  // stopped before it began
  EXPECT_TRUE(std::isnan(trials[2].stopped_loss));  // not stopped
}

TEST_F(BatchTest, TheLastTaskOfATrialEndsIt) {
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

TEST_F(BatchTest, AnObservationNamesItsTrialItsDataAndItsTrainer) {
  const NewSweep sweep = SimpleSweep("phase", 2, 1);
  const int64_t sweep_id = Create(sweep).sweep.sweep_id;
  AddWorker("a");
  Batch batch = RowsBatch(Attempt(1, "a", 0), 0, 1, 0);
  batch.events.emplace_back(AttemptStart{0, "1.2.3", "d5e6", 10, 5, 60, 100});
  batch.events.emplace_back(MemberEnd{0, false, 100, 1000, 3.5, "{}"});
  Apply(batch);
  const auto observations = *store_->read().ListObservations(sweep_id);
  EXPECT_EQ(observations[0].trial_sha256, sweep.trials[0].sha256);
  EXPECT_EQ(observations[0].data_sha256, "d5e6");
  EXPECT_EQ(observations[0].trainer_version, "1.2.3");
  // Not trained, so nothing was seen.
  EXPECT_EQ(observations[1].data_sha256, "");
}

TEST_F(BatchTest, CheckpointsAreOfferedToWhoCanReadThem) {
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
  // No scope is not a scope that workers share.
  End(attempt, AttemptState::kLost);
  Batch alone = RowsBatch(Attempt(1, "c", 0), 0, 1, 20);
  alone.events.emplace_back(CheckpointCommit{20, "/c/20", "cc", 10});
  Apply(alone);
  EXPECT_EQ((*store_->read().NewestCheckpoint(1, "c", ""))->path, "/c/20");
  EXPECT_FALSE(store_->read().NewestCheckpoint(1, "d", "")->has_value());
}

TEST_F(BatchTest, CurvesAreThinnedEvenlyWithBothEnds) {
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

TEST_F(BatchTest, ARolledBackBatchCanBeSentAgain) {
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

// What the file holds for a point of a series that logs at every step, its index and its
// share of pages that are not full included. Values have all their digits, as losses do.
TEST_F(BatchTest, APointOfADenseSeriesTakesAtMost16Bytes) {
  constexpr int kTrials = 8;
  constexpr int kRows = 2000;
  constexpr int kRowsOfBatch = 10;
  const std::vector<std::string> metrics = {"loss/train", "norm/grad", "norm/weight", "lr"};
  AddWorker("dense");
  const std::vector<TaskRow> tasks =
      *store_->read().ListOpenTasks(Create(SimpleSweep("dense", kTrials, 1, 500)).sweep.sweep_id);
  std::vector<int64_t> attempts;
  for (int i = 0; i < kTrials; ++i) {
    attempts.push_back(Attempt(tasks[i].task_id, "dense", i));
  }
  const int64_t before = CountSql(
      "SELECT page_count * page_size FROM pragma_page_count, "
      "pragma_page_size");
  for (int first = 0; first < kRows; first += kRowsOfBatch) {
    for (const int64_t attempt_id : attempts) {
      Batch batch;
      batch.attempt_id = attempt_id;
      batch.first_seq = first;
      batch.metrics = metrics;
      for (int row = first; row < first + kRowsOfBatch; ++row) {
        MetricRow event{0, row + 1, (row + 1) * int64_t{131'072}, {}};
        for (int metric = 0; metric < static_cast<int>(metrics.size()); ++metric) {
          event.values.push_back({metric, 3.0 + std::sin(row * 0.7 + attempt_id + metric)});
        }
        batch.events.emplace_back(std::move(event));
      }
      Apply(batch);
    }
  }
  const int64_t after = CountSql(
      "SELECT page_count * page_size FROM pragma_page_count, "
      "pragma_page_size");
  const double bytes_per_point =
      static_cast<double>(after - before) / (kTrials * kRows * static_cast<double>(metrics.size()));
  RecordProperty("bytes_per_point", std::to_string(bytes_per_point));
  // 11.6 when this was written: a promise of 16, and a warning before it is broken.
  EXPECT_LE(bytes_per_point, 14) << "the promise is 16";
  EXPECT_GE(bytes_per_point, 8);
}

}  // namespace
}  // namespace loglog
