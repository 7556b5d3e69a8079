#include "coordinator/progress.h"

#include <gtest/gtest.h>

namespace loglog {
namespace {

OpenTrial Trial(int64_t id, int64_t tokens, double flops_per_token, int64_t sweep_id = 1) {
  OpenTrial trial;
  trial.trial_id = id;
  trial.tokens = tokens;
  trial.flops = flops_per_token * static_cast<double>(tokens);
  trial.sweeps = {{sweep_id, id, "arm"}};
  return trial;
}

TEST(ProgressTest, NothingMeasuredNothingSaid) {
  Progress progress;
  progress.AddTrial(Trial(1, 1000, 10));
  EXPECT_EQ(progress.LeftOf(1).seconds, 0);
  EXPECT_EQ(progress.LeftOf(2).seconds, 0);
}

TEST(ProgressTest, ARunningTrialIsMeasuredByWhatArrives) {
  Progress progress;
  progress.AddTrial(Trial(1, 10'000, 10));
  progress.AttemptStarted(7, 1, 0);
  EXPECT_EQ(progress.TokensArrived(7, 100, 5'000), 0);
  EXPECT_EQ(progress.TokensArrived(7, 500, 5'500), 0);  // too short to tell
  EXPECT_DOUBLE_EQ(progress.TokensArrived(7, 2'100, 7'000), 1'000);
  EXPECT_DOUBLE_EQ(progress.TokensPerSecond(7), 1'000);
  const Progress::Left left = progress.LeftOf(1);
  EXPECT_DOUBLE_EQ(left.seconds, 7.9);
  EXPECT_DOUBLE_EQ(left.tokens_per_second, 1'000);
  EXPECT_LT(left.low, left.seconds);
  EXPECT_GT(left.high, left.seconds);
}

TEST(ProgressTest, AFinishedTrialTellsWhatItsShapeTakes) {
  Progress progress;
  for (int64_t id = 1; id <= 4; ++id) progress.AddTrial(Trial(id, 1'000, 10));
  progress.AttemptStarted(7, 1, 0);
  progress.TokensArrived(7, 0, 2'000);
  progress.TokensArrived(7, 1'000, 9'000);
  progress.TrialEnded(1);
  progress.AttemptEnded(7, /*complete=*/true, 10'000);
  EXPECT_NEAR(progress.LeftOf(1).seconds, 30, 1e-9);  // start-up included
}

TEST(ProgressTest, AnotherShapeIsReckonedByItsFlopsWithAWiderRange) {
  Progress progress;
  progress.AddTrial(Trial(1, 1'000, 10));
  progress.AttemptStarted(7, 1, 0);
  progress.TokensArrived(7, 0, 0);
  progress.TokensArrived(7, 1'000, 10'000);
  progress.TrialEnded(1);
  progress.AttemptEnded(7, true, 10'000);
  progress.AddTrial(Trial(2, 1'000, 10));
  const Progress::Left same = progress.LeftOf(1);
  progress.TrialEnded(2);
  progress.AddTrial(Trial(3, 1'000, 30));
  const Progress::Left other = progress.LeftOf(1);
  EXPECT_NEAR(other.seconds, 3 * same.seconds, 1e-9);
  EXPECT_GT(other.high / other.seconds, same.high / same.seconds);
}

TEST(ProgressTest, LostAttemptsAndShortRestsTeachNothing) {
  Progress progress;
  progress.AddTrial(Trial(1, 1'000, 10));
  progress.AttemptStarted(7, 1, 0);
  progress.AttemptEnded(7, /*complete=*/false, 10'000);
  progress.AttemptStarted(8, 1, 0);
  progress.TokensArrived(8, 900, 1'000);  // resumed near its end
  progress.TokensArrived(8, 1'000, 1'500);
  progress.AttemptEnded(8, true, 2'000);
  EXPECT_EQ(progress.LeftOf(1).seconds, 0);
}

TEST(ProgressTest, ASharedTrialCountsInEachSweep) {
  Progress progress;
  progress.AddTrial(Trial(1, 1'000, 10, 1));
  progress.AddTrial(Trial(1, 1'000, 10, 2));
  progress.AddTrial(Trial(1, 1'000, 10, 2));  // once
  progress.AttemptStarted(7, 1, 0);
  progress.TokensArrived(7, 1, 0);
  progress.TokensArrived(7, 101, 1'000);
  EXPECT_NEAR(progress.LeftOf(1).seconds, progress.LeftOf(2).seconds, 1e-9);
  progress.RemoveSweep(1);
  EXPECT_EQ(progress.LeftOf(1).seconds, 0);
  EXPECT_GT(progress.LeftOf(2).seconds, 0);
}

}  // namespace
}  // namespace loglog
