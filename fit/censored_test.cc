#include "fit/censored.h"

#include <cmath>

#include "fit/distributions.h"
#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

// Trials whose final loss is above `limit` are stopped early, as a pruner does: what
// finishes is the lucky part, and a fit of it alone is biased down at small D.
TEST(Censored, UndoesWhatStoppingEarlyDoesToTheSlope) {
  constexpr double kSlope = 0.1, kSd = 0.02;
  double naive = 0, tobit = 0;
  constexpr int kRounds = 60;
  int censored_count = 0;
  for (int round = 0; round < kRounds; ++round) {
    Noise noise(round + 1);
    std::vector<Observation> finished;
    std::vector<CensoredTrial> censored;
    for (const double d : LogRange(1e8, 64, 6)) {
      for (int s = 0; s < 10; ++s) {
        const double centre = 30 * std::pow(d, -kSlope);
        const Observation o = At(1e7, d, centre * std::exp(kSd * noise.Next()), s);
        // Diverged above a limit that bites at the smallest D most.
        const double limit = centre * (1 + 0.03 * std::log(d / 1e8) / std::log(64.0));
        CensorAt(limit, /*loss_is_lower=*/true, o, &finished, &censored);
      }
    }
    const CensoredFit fit = *FitCensored(finished, censored, {.law = Law::kPower});
    ASSERT_TRUE(fit.converged);
    naive += (fit.without.Find("beta")->estimate - kSlope) / kRounds;
    tobit += (fit.with.at(0).estimate - kSlope) / kRounds;
    censored_count += fit.n_censored;
    EXPECT_NEAR(fit.residual_sd, kSd, 0.01);
  }
  std::printf("bias of beta: %.5f without, %.5f with %d censored trials\n", naive, tobit,
              censored_count);
  EXPECT_GT(std::fabs(naive), 4 * std::fabs(tobit));
}

TEST(Censored, NothingCensoredChangesNothing) {
  Noise noise(3);
  const auto law = [](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); };
  const std::vector<Observation> trials = Planted(LogRange(1e8, 64, 7), 3, 0.003, &noise, law);
  const CensoredFit fit = *FitCensored(trials, {}, {.law = Law::kSaturating});
  for (size_t i = 0; i < fit.with.size(); ++i) {
    EXPECT_EQ(fit.with[i].name, fit.without.parameters[i].name);
    EXPECT_NEAR(fit.with[i].estimate / fit.without.parameters[i].estimate, 1, 1e-6);
  }
}

TEST(Censored, SharedTrunksHaveNoIntervals) {
  Noise noise(3);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  std::vector<Observation> trials = Planted(LogRange(1e8, 64, 7), 3, 0.003, &noise, law);
  EXPECT_FALSE(std::isnan(FitCensored(trials, {}, {.law = Law::kPower})->with.at(0).low));
  for (Observation& o : trials) o.cluster = absl::StrCat("trunk", o.seed);
  const CensoredFit fit = *FitCensored(trials, {}, {.law = Law::kPower});
  for (const FitParameter& parameter : fit.with) {
    EXPECT_FALSE(std::isnan(parameter.estimate)) << parameter.name;
    EXPECT_TRUE(std::isnan(parameter.low) && std::isnan(parameter.high)) << parameter.name;
  }
}

// Without any, the interval is the one of least squares on single trials.
TEST(Censored, NothingCensoredHasTheIntervalsOfLeastSquares) {
  Noise noise(3);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  const std::vector<Observation> trials = Planted(LogRange(1e8, 64, 7), 3, 0.003, &noise, law);
  const CensoredFit fit = *FitCensored(trials, {}, {.law = Law::kPower});
  std::vector<double> x, y;
  double x_mean = 0, y_mean = 0;
  for (const Observation& o : trials) {
    x.push_back(std::log(o.d_tokens));
    y.push_back(std::log(o.loss));
    x_mean += x.back() / trials.size();
    y_mean += y.back() / trials.size();
  }
  double sxx = 0, sxy = 0, rss = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sxx += (x[i] - x_mean) * (x[i] - x_mean);
    sxy += (x[i] - x_mean) * (y[i] - y_mean);
  }
  const double slope = sxy / sxx;
  for (size_t i = 0; i < x.size(); ++i) {
    rss += std::pow(y[i] - y_mean - slope * (x[i] - x_mean), 2);
  }
  const int df = static_cast<int>(x.size()) - 2;
  const double t = TQuantile(0.975, df), variance = rss / df;
  for (const FitParameter& parameter : fit.with) {
    if (parameter.name == "beta") {
      EXPECT_NEAR(parameter.high - parameter.estimate, t * std::sqrt(variance / sxx), 1e-8);
      EXPECT_NEAR(parameter.estimate - parameter.low, t * std::sqrt(variance / sxx), 1e-8);
    } else {
      const double width = t * std::sqrt(variance * (1.0 / x.size() + x_mean * x_mean / sxx));
      EXPECT_NEAR(std::log(parameter.high / parameter.estimate), width, 1e-6);
      EXPECT_NEAR(std::log(parameter.estimate / parameter.low), width, 1e-6);
    }
  }
}

// A trial known to end below a loss far above the law says nothing; one known to end
// below where the law already is pulls it down.
TEST(Censored, OneSidedLossesPullOneWayOnly) {
  Noise noise(4);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  const std::vector<Observation> trials = Planted(LogRange(1e8, 64, 6), 2, 0.003, &noise, law);
  const auto with = [&](double factor, bool lower) {
    std::vector<CensoredTrial> censored;
    for (int s = 5; s < 9; ++s) censored.push_back({At(1e7, 6.4e9, law(6.4e9) * factor, s), lower});
    return FitCensored(trials, censored, {.law = Law::kPower})->with.at(0).estimate;
  };
  const double alone = FitLaw(trials, {.law = Law::kPower})->Find("beta")->estimate;
  EXPECT_NEAR(with(1.5, false), alone, 1e-4);
  EXPECT_GT(with(0.99, false), alone + 5e-4);
  EXPECT_LT(with(1.01, true), alone - 5e-4);
  EXPECT_NEAR(with(0.5, true), alone, 1e-4);
}

TEST(Censored, KindsAsTheyAreStored) {
  Noise noise(5);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  const std::vector<Observation> trials = Planted(LogRange(1e8, 64, 6), 2, 0.003, &noise, law);
  const std::vector<CensoredTrial> low = {{At(1e7, 6.4e9, 0.99 * law(6.4e9), 7), false}};
  const CensoredFit slope = *FitCensoredKind("local_slope", Axis::kTokens, trials, low);
  ASSERT_EQ(slope.with.size(), 2u);
  EXPECT_EQ(slope.with[0].name, "slope");
  EXPECT_NEAR(slope.without.Find("slope")->estimate, FitLocalSlope(trials)->Find("slope")->estimate,
              1e-9);
  // A trial that would have ended lower still at the largest D: steeper.
  EXPECT_LT(slope.with[0].estimate, slope.without.Find("slope")->estimate);
  const nlohmann::json json = CensoredJson(slope);
  EXPECT_EQ(json["n"], 1);
  EXPECT_EQ(json["parameters"]["slope"]["with"], slope.with[0].estimate);
  EXPECT_LT(slope.with[0].low, slope.with[0].estimate);
  EXPECT_LT(slope.with[0].estimate, slope.with[0].high);
  EXPECT_EQ(json["parameters"]["slope"]["low"], slope.with[0].low);
  EXPECT_EQ(json["parameters"]["slope"]["high"], slope.with[0].high);
  EXPECT_EQ(json["converged"], true);

  const CensoredFit isoflop = *FitCensoredKind("isoflop", Axis::kFlops, trials, low);
  EXPECT_TRUE(isoflop.with.empty());
  EXPECT_EQ(CensoredJson(isoflop)["why_not"],
            "censored trials go into laws of one arm, and isoflop is none");
  std::vector<Observation> sizes = trials;
  for (const Observation& o : trials) sizes.push_back(At(1e8, o.d_tokens, o.loss, o.seed));
  EXPECT_NE(FitCensoredKind("local_slope", Axis::kTokens, sizes, low)->why_not, "");
}

TEST(Censored, ARefusedFitHasNoEstimates) {
  const CensoredFit fit = *FitCensored({At(1e7, 1e8, 3)}, {}, {.law = Law::kPower});
  EXPECT_EQ(fit.without.verdict, FitVerdict::kRefused);
  EXPECT_TRUE(fit.with.empty());
}

}  // namespace
}  // namespace loglog
