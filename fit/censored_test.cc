#include "fit/censored.h"

#include <cmath>

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
        Observation o = At(1e7, d, centre * std::exp(kSd * noise.Next()), s);
        // Diverged above a limit that bites at the smallest D most.
        const double limit = centre * (1 + 0.03 * std::log(d / 1e8) / std::log(64.0));
        if (o.loss < limit) {
          finished.push_back(o);
        } else {
          o.loss = limit;
          censored.push_back({o, true});
        }
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
