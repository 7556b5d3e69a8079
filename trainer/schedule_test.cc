#include "trainer/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace loglog {
namespace {

TrainConfig HundredSteps(Schedule schedule) {
  TrainConfig train;
  train.batch_tokens = 10;
  train.tokens = 1000;
  train.lr = 0.5;
  train.schedule = schedule;
  train.warmup = 0.05;
  train.cooldown = 0.2;
  train.min_lr_ratio = 0.1;
  return train;
}

TEST(Schedule, WarmUpIsLinearAndEndsAtThePeak) {
  for (const Schedule schedule : {Schedule::kCosine, Schedule::kWsd, Schedule::kConstant}) {
    const TrainConfig train = HundredSteps(schedule);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 0), 0.2);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 3), 0.8);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 4), 1);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 5), 1);
    EXPECT_DOUBLE_EQ(LearningRate(train, 0), 0.1);
  }
}

TEST(Schedule, CosineFallsToTheRatio) {
  const TrainConfig train = HundredSteps(Schedule::kCosine);
  // Half way of the 95 steps after warm-up lies between steps 52 and 53.
  const double middle = (LearningRateShare(train, 52) + LearningRateShare(train, 53)) / 2;
  EXPECT_NEAR(middle, 0.55, 1e-12);
  const double last = 0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI * 94 / 95));
  EXPECT_NEAR(LearningRateShare(train, 99), last, 1e-12);
  for (int64_t step = 5; step < 99; ++step) {
    EXPECT_GT(LearningRateShare(train, step), LearningRateShare(train, step + 1));
  }
}

TEST(Schedule, WsdHoldsThenCoolsByTheSquareRoot) {
  const TrainConfig train = HundredSteps(Schedule::kWsd);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 79), 1);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 80), 1);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 85), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 99), 1 - std::sqrt(0.95));
}

TEST(Schedule, WsdCoolsAlongALine) {
  TrainConfig train = HundredSteps(Schedule::kWsd);
  train.cooldown_shape = CooldownShape::kLinear;
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 80), 1);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 85), 0.75);
  EXPECT_DOUBLE_EQ(LearningRateShare(train, 99), 1 - 0.95);
}

TEST(Schedule, WarmUpInTokensDoesNotFollowTheLengthOfTheRun) {
  TrainConfig train = HundredSteps(Schedule::kCosine);
  train.warmup_tokens = 40;
  for (const int64_t tokens : {1000, 5000}) {
    train.tokens = tokens;
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 0), 0.25);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 3), 1);
    EXPECT_DOUBLE_EQ(LearningRateShare(train, 4), 1);
    EXPECT_LT(LearningRateShare(train, 5), 1);
  }
}

TEST(Schedule, DecayHasAWindow) {
  TrainConfig train = HundredSteps(Schedule::kConstant);
  train.warmup = 0;
  train.weight_decay = 0.4;
  train.decay_begin = 0.25;
  train.decay_end = 0.5;
  EXPECT_EQ(DecayRate(train, 24), 0);
  EXPECT_DOUBLE_EQ(DecayRate(train, 25), 0.2);
  EXPECT_DOUBLE_EQ(DecayRate(train, 49), 0.2);
  EXPECT_EQ(DecayRate(train, 50), 0);
  EXPECT_NEAR(LrLambdaIntegral(train, 100), 25 * 0.2, 1e-12);
}

// The decay that each way of decaying applies, and its integral, by the formulas alone: windows
// with factors of their own under a learning rate that moves too.
TEST(Schedule, DecayFollowsWindowsAndTheirCurves) {
  TrainConfig train = HundredSteps(Schedule::kWsd);
  train.weight_decay = 0.4;
  std::string error;
  train.decay_windows =
      ParseDecayWindows("0% 10% 0.5; 20 30; 40% 60% 1 0 linear; 70 100% 2 1 cosine", &error);
  ASSERT_EQ(error, "");
  double integral = 0;
  for (int64_t t = 0; t < 100; ++t) {
    const double lr_share = t < 5    ? (static_cast<double>(t) + 1) / 5
                            : t < 80 ? 1
                                     : 1 - std::sqrt((static_cast<double>(t) - 80) / 20);
    double factor = 0;
    if (t < 10) factor = 0.5;
    if (t >= 20 && t < 30) factor = 1;
    if (t >= 40 && t < 60) factor = 1 - (static_cast<double>(t) - 40) / 20;
    if (t >= 70) factor = 1.5 + 0.5 * std::cos(M_PI * (static_cast<double>(t) - 70) / 30);
    train.decay = DecayMode::kCoupled;
    EXPECT_NEAR(DecayRate(train, t), 0.5 * lr_share * 0.4 * factor, 1e-15) << t;
    integral += 0.5 * lr_share * 0.4 * factor;
    train.decay = DecayMode::kIndependent;
    EXPECT_NEAR(DecayRate(train, t), lr_share * 0.4 * factor, 1e-15) << t;
    train.decay = DecayMode::kGradient;
    EXPECT_NEAR(DecayRate(train, t), 0.4 * factor, 1e-15) << t;
  }
  train.decay = DecayMode::kCoupled;
  EXPECT_NEAR(LrLambdaIntegral(train, 100), integral, 1e-14);
  EXPECT_GT(integral, 0);
}

// One window of factor 1 is the older pair of fields, to the bit.
TEST(Schedule, OneWindowIsTheSameWhicheverWayItIsSaid) {
  TrainConfig pair = HundredSteps(Schedule::kCosine), windows = pair;
  pair.decay_begin = 0.25;
  pair.decay_end = 0.5;
  std::string error;
  windows.decay_windows = ParseDecayWindows("25% 50%", &error);
  for (int64_t t = 0; t < 100; ++t) EXPECT_EQ(DecayRate(windows, t), DecayRate(pair, t)) << t;
}

TEST(Schedule, ConstantStaysAtThePeak) {
  EXPECT_EQ(LearningRateShare(HundredSteps(Schedule::kConstant), 99), 1);
}

TEST(Schedule, NoWarmUpStartsAtThePeak) {
  for (const Schedule schedule : {Schedule::kCosine, Schedule::kWsd, Schedule::kConstant}) {
    TrainConfig train = HundredSteps(schedule);
    train.warmup = 0;
    EXPECT_EQ(LearningRateShare(train, 0), 1);
  }
}

TEST(Schedule, WarmUpOfTheWholeRunNeverDividesByZero) {
  for (const Schedule schedule : {Schedule::kCosine, Schedule::kWsd}) {
    TrainConfig train = HundredSteps(schedule);
    train.warmup = 1;
    train.cooldown = 0;
    EXPECT_EQ(LearningRateShare(train, 99), 1);
  }
}

TEST(Schedule, DecayFollowsTheRateCoupledOrIndependent) {
  TrainConfig train = HundredSteps(Schedule::kWsd);
  train.weight_decay = 0.4;
  EXPECT_DOUBLE_EQ(DecayRate(train, 0), 0.2 * 0.5 * 0.4);
  EXPECT_DOUBLE_EQ(TauEma(train), 10 / (0.5 * 0.4 * 1000));
  train.decay = DecayMode::kIndependent;
  EXPECT_DOUBLE_EQ(DecayRate(train, 0), 0.2 * 0.4);
  EXPECT_DOUBLE_EQ(TauEma(train), 10 / (0.4 * 1000));
  train.weight_decay = 0;
  EXPECT_EQ(TauEma(train), std::numeric_limits<double>::infinity());
}

TEST(Schedule, IntegralAddsUpTheSteps) {
  TrainConfig train = HundredSteps(Schedule::kConstant);
  train.weight_decay = 0.4;
  EXPECT_NEAR(LrLambdaIntegral(train, 100), 0.2 * (0.2 + 0.4 + 0.6 + 0.8 + 96), 1e-12);
  EXPECT_EQ(LrLambdaIntegral(train, 0), 0);
}

}  // namespace
}  // namespace loglog
