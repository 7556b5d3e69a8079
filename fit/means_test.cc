#include "fit/means.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Means, AveragesLogLossOverSeedsAndKeepsScatterApart) {
  const std::vector<Observation> trials = {At(1e7, 2e8, 3.0, 1), At(1e7, 1e8, 4.0, 0),
                                           At(1e7, 2e8, 3.2, 0)};
  const ConfigMeans means = *MeansOverSeeds(trials, Axis::kTokens);
  ASSERT_EQ(means.points.size(), 2u);
  EXPECT_EQ(means.points[0].x, 1e8);
  EXPECT_TRUE(std::isnan(means.points[0].sd_loss));
  EXPECT_DOUBLE_EQ(means.points[1].y, 0.5 * (std::log(3.0) + std::log(3.2)));
  EXPECT_DOUBLE_EQ(means.points[1].mean_loss, 3.1);
  EXPECT_NEAR(means.points[1].sd_loss, 0.2 / std::sqrt(2), 1e-12);
  EXPECT_EQ(means.points[1].n_seeds, 2);
  // 1 / (1/n + 3/4), times 2: a typical mean has a variance of (1 + 1/2) / 2.
  EXPECT_DOUBLE_EQ(means.points[0].weight, 2 / 1.75);
  EXPECT_DOUBLE_EQ(means.points[1].weight, 2 / 1.25);
  EXPECT_EQ(means.pure_error_df, 1);
  EXPECT_NEAR(means.pure_error_ss, 0.5 * std::pow(std::log(3.2 / 3.0), 2), 1e-15);
}

TEST(Means, OrderOfTrialsChangesNoBit) {
  Noise noise(1);
  std::vector<Observation> trials = Planted(LogRange(1e8, 16, 20), 7, 0.1, &noise,
                                            [](double d) { return 30 * std::pow(d, -0.1); });
  const ConfigMeans means = *MeansOverSeeds(trials, Axis::kTokens);
  std::reverse(trials.begin(), trials.end());
  const ConfigMeans reversed = *MeansOverSeeds(trials, Axis::kTokens);
  EXPECT_EQ(means.pure_error_ss, reversed.pure_error_ss);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(means.points[i].y, reversed.points[i].y);
    EXPECT_EQ(means.points[i].mean_loss, reversed.points[i].mean_loss);
  }
}

TEST(Means, GroupsBySizeHeldFixed) {
  const std::vector<Observation> trials = {At(2e7, 1e8, 3.5), At(1e7, 1e8, 4.0), At(1e7, 2e8, 3.0)};
  EXPECT_EQ(MeansOverSeeds(trials, Axis::kTokens)->group_sizes, (std::vector<double>{1e7, 2e7}));
  EXPECT_EQ(MeansOverSeeds(trials, Axis::kParams)->group_sizes, (std::vector<double>{1e8, 2e8}));
  // A size with several budgets: C alone does not say which.
  EXPECT_EQ(MeansOverSeeds(trials, Axis::kFlops)->group_sizes, (std::vector<double>{1e7, 2e7}));
  const std::vector<Observation> frontier = {At(1e7, 1e8, 4.0), At(2e7, 2e8, 3.0)};
  EXPECT_EQ(MeansOverSeeds(frontier, Axis::kFlops)->group_sizes, (std::vector<double>{0}));
}

// One diverged trial among good ones must stop the fit by name, not bend it.
TEST(Means, T21_loss_that_is_no_number_is_refused_by_name) {
  for (const double loss : {std::numeric_limits<double>::quiet_NaN(),
                            std::numeric_limits<double>::infinity(), 0.0, -1.0}) {
    std::vector<Observation> trials = {At(1e7, 1e8, 4.0), At(1e7, 2e8, 3.0)};
    trials[1].loss = loss;
    trials[1].seed = 7;
    for (const absl::Status& status :
         {FitLocalSlope(trials).status(), FitSaturating(trials).status(), FitJoint(trials).status(),
          CompareArms(trials, {}).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(status.message(), AllOf(HasSubstr("configuration n1e+07d2e+08, seed 7"),
                                          HasSubstr("leave diverged")));
    }
  }
}

TEST(Means, NamesWhatNoFitCanUse) {
  const auto message = [](const std::vector<Observation>& trials, Axis axis) {
    return std::string(MeansOverSeeds(trials, axis).status().message());
  };
  Observation good = At(1e7, 1e8, 4.0);
  Observation bad = good;
  bad.seed = 1;
  bad.n_params = 2e7;
  EXPECT_THAT(message({good, bad}, Axis::kTokens), HasSubstr("one configuration has one size"));
  EXPECT_THAT(message({good, good}, Axis::kTokens), HasSubstr("given twice"));
  bad = good;
  bad.d_tokens = 0;
  EXPECT_THAT(message({bad}, Axis::kTokens), HasSubstr("D (tokens) is 0"));
  bad = good;
  bad.c_flops = 0;
  EXPECT_THAT(message({bad}, Axis::kFlops), HasSubstr("C (FLOPs) is 0"));
  EXPECT_EQ(message({bad}, Axis::kTokens), "");
}

TEST(Axis, ParsesItsSymbols) {
  EXPECT_EQ(*ParseAxis(""), Axis::kTokens);
  EXPECT_EQ(*ParseAxis("N"), Axis::kParams);
  EXPECT_EQ(*ParseAxis("C"), Axis::kFlops);
  EXPECT_THAT(ParseAxis("tokens").status().message(), HasSubstr("choose D"));
}

}  // namespace
}  // namespace loglog
