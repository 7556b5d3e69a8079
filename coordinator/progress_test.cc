#include "coordinator/progress.h"

#include <gtest/gtest.h>

namespace loglog {
namespace {

using Tokens = std::map<float, int64_t>;

// Of 10 FLOPs per token.
constexpr Work kWork{.shape = 10, .tokens = 1'000};

// An attempt at kWork that took ten seconds.
void TenSeconds(Progress* progress) {
  progress->AttemptStarted(7, kWork, 0);
  progress->TokensArrived(7, 0, 2'000);
  progress->TokensArrived(7, 1'000, 9'000);
  progress->AttemptEnded(7, /*complete=*/true, 10'000);
}

TEST(ProgressTest, NothingMeasuredNothingSaid) {
  const Progress progress;
  EXPECT_EQ(progress.LeftOf(Tokens{{10, 1'000}}, {}).seconds, 0);
  EXPECT_EQ(progress.LeftOf({}, {}).seconds, 0);
}

TEST(ProgressTest, ARunningTrialIsMeasuredByWhatArrives) {
  Progress progress;
  progress.AttemptStarted(7, {.shape = 10, .tokens = 10'000}, 0);
  EXPECT_EQ(progress.TokensArrived(7, 100, 5'000), 0);
  EXPECT_EQ(progress.TokensArrived(7, 500, 5'500), 0);  // too short to tell
  EXPECT_DOUBLE_EQ(progress.TokensArrived(7, 2'100, 7'000), 1'000);
  EXPECT_DOUBLE_EQ(progress.TokensPerSecond(7), 1'000);
  const Progress::Left left = progress.LeftOf(Tokens{{10, 10'000}}, {7});
  EXPECT_DOUBLE_EQ(left.seconds, 7.9);
  EXPECT_DOUBLE_EQ(left.tokens_per_second, 1'000);
  EXPECT_LT(left.low, left.seconds);
  EXPECT_GT(left.high, left.seconds);
}

TEST(ProgressTest, AFinishedTrialTellsWhatItsShapeTakes) {
  Progress progress;
  TenSeconds(&progress);
  // Start-up included.
  EXPECT_NEAR(progress.LeftOf(Tokens{{10, 3'000}}, {}).seconds, 30, 1e-9);
}

TEST(ProgressTest, AnotherShapeIsReckonedByItsFlopsWithAWiderRange) {
  Progress progress;
  TenSeconds(&progress);
  const Progress::Left same = progress.LeftOf(Tokens{{10, 1'000}}, {});
  const Progress::Left other = progress.LeftOf(Tokens{{30, 1'000}}, {});
  EXPECT_NEAR(other.seconds, 3 * same.seconds, 1e-9);
  EXPECT_GT(other.high / other.seconds, same.high / same.seconds);
}

TEST(ProgressTest, LostAttemptsAndShortRestsTeachNothing) {
  Progress progress;
  progress.AttemptStarted(7, kWork, 0);
  progress.AttemptEnded(7, /*complete=*/false, 10'000);
  progress.AttemptStarted(8, kWork, 0);
  progress.TokensArrived(8, 900, 1'000);  // resumed near its end
  progress.TokensArrived(8, 1'000, 1'500);
  progress.AttemptEnded(8, true, 2'000);
  EXPECT_EQ(progress.LeftOf(Tokens{{10, 1'000}}, {}).seconds, 0);
}

TEST(ProgressTest, OnlyAttemptsAtTheTrialsThatAreLeftCount) {
  Progress progress;
  TenSeconds(&progress);
  progress.AttemptStarted(8, kWork, 10'000);
  progress.TokensArrived(8, 0, 11'000);
  progress.TokensArrived(8, 400, 15'000);
  EXPECT_NEAR(progress.LeftOf(Tokens{{10, 1'000}}, {8}).seconds, 6, 1e-9);
  EXPECT_NEAR(progress.LeftOf(Tokens{{10, 1'000}}, {}).seconds, 10, 1e-9);
  EXPECT_EQ(progress.LeftOf(Tokens{{10, 1'000}}, {}).tokens_per_second, 0);
}

}  // namespace
}  // namespace loglog
