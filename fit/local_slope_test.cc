#include "fit/local_slope.h"

#include <cmath>

#include "fit/distributions.h"
#include "fit/line.h"
#include "fit/planted_testing.h"
#include "fit/saturating.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

double PowerLaw(double d) { return 30 * std::pow(d, -0.11); }

TEST(LocalSlope, RecoversAPlantedPowerLawExactly) {
  Noise noise(1);
  const FitResult fit = *FitLocalSlope(Planted(LogRange(1e8, 16, 5), 2, 0, &noise, PowerLaw));
  EXPECT_EQ(fit.verdict, FitVerdict::kOk);
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.11, 1e-12);
  EXPECT_NEAR(fit.Find("B")->estimate, 30, 1e-9);
  EXPECT_NEAR(fit.leave_largest_out_error, 0, 1e-12);
  EXPECT_EQ(fit.n_trials, 10);
  EXPECT_EQ(fit.n_configs, 5);
  EXPECT_EQ(fit.x_min, 1e8);
  EXPECT_NEAR(fit.x_max, 1.6e9, 1);
  EXPECT_THAT(fit.definition, HasSubstr("d ln L / d ln D over D = 1e+08 to 1.6e+09"));
}

// Textbook numbers: x = ln D = 0..3 after scaling, y chosen by hand.
TEST(LocalSlope, IntervalIsTheTextbookOne) {
  const std::vector<double> y = {1.30, 1.21, 1.08, 1.01};
  std::vector<Observation> trials;
  for (int i = 0; i < 4; ++i) trials.push_back(At(1e7, std::exp(i), std::exp(y[i])));
  const FitResult fit = *FitLocalSlope(trials);
  // slope = sum (x - 1.5) y / 5 = -0.1, residual sum of squares 0.0006, 2 degrees.
  const double half = 4.302652729911275 * std::sqrt(0.0006 / 2 / 5);
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.1, 1e-12);
  EXPECT_NEAR(fit.Find("slope")->low, -0.1 - half, 1e-9);
  EXPECT_NEAR(fit.Find("slope")->high, -0.1 + half, 1e-9);
  EXPECT_NEAR(fit.provenance.objective_value, 0.0006, 1e-12);
  EXPECT_EQ(fit.provenance.interval_basis, "means");
}

// Mid-sweep some configurations have more seeds than others. A mean of more seeds counts more,
// the less so the more it has.
TEST(LocalSlope, WrongWayInvertedWeights) {
  std::vector<Observation> trials;
  LineData means, inverted;
  const std::vector<int> seeds = {4, 3, 2, 1};
  for (int i = 0; i < 4; ++i) {
    double mean = 0;
    for (int s = 0; s < seeds[i]; ++s) {
      const double y = 1.3 - 0.1 * i + (i == 3 ? 0.03 : 0.001 * s);
      trials.push_back(At(1e7, std::exp(i), std::exp(y), s));
      mean += y / seeds[i];
    }
    const double typical = (1 / 4.0 + 1 / 3.0 + 1 / 2.0 + 1) / 4;
    means.u.push_back(i);
    means.y.push_back(mean);
    means.weight.push_back(1 / (1.0 / seeds[i] + typical));
    means.group.push_back(0);
    inverted.u.push_back(i);
    inverted.y.push_back(mean);
    inverted.weight.push_back(1.0 / seeds[i]);
    inverted.group.push_back(0);
  }
  const double slope = FitLocalSlope(trials)->Find("slope")->estimate;
  EXPECT_NEAR(slope, FitLine(means).slope, 1e-12);
  EXPECT_GT(std::fabs(slope - FitLine(inverted).slope), 1e-3);
}

TEST(LocalSlope, TwoConfigurationsGiveAnEstimateAndNoInterval) {
  Noise noise(1);
  const FitResult fit = *FitLocalSlope(Planted({1e8, 2e8}, 3, 0.001, &noise, PowerLaw));
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.11, 0.01);
  EXPECT_TRUE(std::isnan(fit.Find("slope")->low));
  EXPECT_TRUE(std::isnan(fit.Find("slope")->high));
  EXPECT_TRUE(std::isnan(fit.Find("B")->low));
  EXPECT_TRUE(std::isnan(fit.leave_largest_out_error));
  EXPECT_EQ(fit.reason,
            "a slope with an interval needs configurations at 3 different D and there are 2; "
            "train 1 more");
}

TEST(LocalSlope, OneOrNoConfigurationGivesNothing) {
  for (const std::vector<Observation>& trials :
       {std::vector<Observation>{}, {At(1e7, 1e8, 3.0, 0), At(1e7, 1e8, 3.1, 1)}}) {
    const FitResult fit = *FitLocalSlope(trials);
    EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
    EXPECT_TRUE(fit.parameters.empty());
    EXPECT_THAT(fit.reason, HasSubstr("needs configurations at 3 different D"));
  }
}

TEST(LocalSlope, SharedTrunksHaveNoInterval) {
  Noise noise(2);
  std::vector<Observation> trials = Planted(LogRange(1e8, 16, 5), 1, 0.001, &noise, PowerLaw);
  for (Observation& o : trials) o.cluster = "trunk-1";
  const FitResult fit = *FitLocalSlope(trials);
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_TRUE(std::isnan(fit.Find("slope")->low));
  EXPECT_THAT(fit.reason, HasSubstr("share trunks"));
}

TEST(LocalSlope, SeveralSizesShareTheSlopeAndShowTheirOwn) {
  Noise noise(3);
  std::vector<Observation> trials;
  for (const double n : {1e6, 4e6, 1.6e7}) {
    for (const double d : LogRange(1e8, 16, 4)) {
      for (int seed = 0; seed < 2; ++seed) {
        const double loss = PowerLaw(d) * std::pow(n / 1e6, -0.05);
        trials.push_back(At(n, d, loss * std::exp(0.001 * noise.Next()), seed));
      }
    }
  }
  const FitResult fit = *FitLocalSlope(trials);
  EXPECT_EQ(fit.verdict, FitVerdict::kOk);
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.11, 0.002);
  EXPECT_EQ(fit.Find("B"), nullptr);
  ASSERT_NE(fit.Find("slope[N=4e+06]"), nullptr);
  EXPECT_LT(fit.Find("slope[N=4e+06]")->low, -0.11);
  EXPECT_TRUE(fit.notes.empty());
  EXPECT_NEAR(fit.leave_largest_out_error, 0, 0.005);

  for (Observation& o : trials) {
    if (o.n_params == 1e6) o.loss *= std::pow(o.d_tokens / 1e8, -0.03);
  }
  EXPECT_THAT(FitLocalSlope(trials)->notes, testing::Contains(HasSubstr("slope depends on N")));
}

TEST(LocalSlope, RunsServeAsBasisOnlyWithoutLackOfFit) {
  Noise noise(4);
  const LocalSlopeOptions allow = {.runs_when_no_lack_of_fit = true};
  std::vector<Observation> trials = Planted(LogRange(1e8, 16, 5), 3, 0.003, &noise, PowerLaw);
  const FitResult straight = *FitLocalSlope(trials, allow);
  ASSERT_GT(straight.provenance.lack_of_fit_p, 0.3) << "choose another seed";
  EXPECT_EQ(straight.provenance.interval_basis, "runs");
  EXPECT_EQ(FitLocalSlope(trials)->provenance.interval_basis, "means");
  EXPECT_EQ(straight.Find("slope")->estimate, FitLocalSlope(trials)->Find("slope")->estimate);

  const auto bent = [](double d) { return 2 + 30 * std::pow(d / 1e7, -0.9); };
  trials = Planted(LogRange(1e8, 16, 5), 3, 0.003, &noise, bent);
  const FitResult curved = *FitLocalSlope(trials, allow);
  EXPECT_LT(curved.provenance.lack_of_fit_p, 1e-6);
  EXPECT_EQ(curved.provenance.interval_basis, "means");
  EXPECT_THAT(curved.notes, testing::Contains(HasSubstr("not a straight line")));
}

TEST(LocalSlope, RobustTripleIgnoresAnOutlier) {
  Noise noise(6);
  std::vector<Observation> trials = Planted(LogRange(1e8, 16, 9), 1, 0, &noise, PowerLaw);
  trials[7].loss *= 1.05;
  const FitResult fit = *FitLocalSlope(trials);
  EXPECT_GT(std::fabs(fit.triples[0].least_squares + 0.11), 1e-3);
  EXPECT_NEAR(fit.triples[0].huber, -0.11, 3e-4);
  EXPECT_NEAR(fit.triples[0].lad, -0.11, 1e-8);
}

TEST(LocalSlope, LeaveLargestOutIsSigned) {
  Noise noise(1);
  const auto floor = [](double d) { return 2 + 30 * std::pow(d / 1e7, -0.5); };
  // A line through the steep part predicts too little loss at the flat end.
  EXPECT_LT(
      FitLocalSlope(Planted(LogRange(1e8, 64, 5), 1, 0, &noise, floor))->leave_largest_out_error,
      -0.01);
}

TEST(LocalSlope, OtherAxes) {
  std::vector<Observation> trials;
  for (const double n : LogRange(1e6, 64, 4)) trials.push_back(At(n, 1e9, 9 * std::pow(n, -0.08)));
  const FitResult fit = *FitLocalSlope(trials, {.axis = Axis::kParams});
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.08, 1e-12);
  EXPECT_NEAR(fit.Find("A")->estimate, 9, 1e-9);
  EXPECT_EQ(fit.form, "L = A*N^slope");
  EXPECT_NEAR(FitLocalSlope(trials, {.axis = Axis::kFlops})->Find("slope")->estimate, -0.08, 1e-12);
}

// The law is steep in D and flat in N. A line through the grid in C alone would be
// neither; at one size, C is D.
TEST(LocalSlope, AGridOfSizesIsNotPooledInFlops) {
  std::vector<Observation> trials;
  for (const double n : LogRange(1e6, 64, 4)) {
    for (const double d : LogRange(1e8, 16, 4)) {
      trials.push_back(At(n, d, 9 * std::pow(d, -0.1) * std::pow(n, -0.01)));
    }
  }
  const FitResult fit = *FitLocalSlope(trials, {.axis = Axis::kFlops});
  EXPECT_NEAR(fit.Find("slope")->estimate, -0.1, 1e-12);
  EXPECT_NE(fit.Find("slope[N=1e+06]"), nullptr);
  EXPECT_THAT(fit.definition, testing::HasSubstr("common to 4 values of N"));
  EXPECT_EQ(FitSaturating(trials, {.axis = Axis::kFlops})->verdict, FitVerdict::kRefused);
}

}  // namespace
}  // namespace loglog
