#include "fit/saturating.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "fit/form_fit.h"
#include "fit/local_slope.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// E + fall at the middle of the range times (D / middle)^-beta.
struct Law {
  double e;
  double fall;
  double beta;
  double middle;
  double operator()(double d) const { return e + fall * std::pow(d / middle, -beta); }
  double b() const { return fall * std::pow(middle, beta); }
};

TEST(Saturating, RecoversPlantedLawsWithoutNoise) {
  Noise noise(1);
  for (const double e : {0.1, 1.7, 3.5}) {
    for (const double fall : {0.3, 1.5}) {
      for (const double beta : {0.05, 0.28, 0.5, 1.2}) {
        for (const double range : {8.0, 64.0}) {
          const Law law = {e, fall, beta, 1e9 * std::sqrt(range)};
          const FitResult fit = *FitSaturating(Planted(LogRange(1e9, range, 5), 2, 0, &noise, law));
          const std::string what =
              absl::StrCat("E ", e, " fall ", fall, " beta ", beta, " range ", range);
          EXPECT_NEAR(fit.Find("beta")->estimate / beta, 1, 1e-8) << what;
          EXPECT_NEAR(fit.Find("E")->estimate / e, 1, 1e-8) << what;
          EXPECT_NEAR(fit.Find("B")->estimate / law.b(), 1, 1e-6) << what;
          EXPECT_TRUE(fit.provenance.active_bounds.empty()) << what;
        }
      }
    }
  }
}

TEST(Saturating, IdentifiedOnAWideRangeWithFullProvenance) {
  Noise noise(11);
  const Law law = {1.9, 1.4, 0.35, 8e8};
  const FitResult fit = *FitSaturating(Planted(LogRange(1e8, 64, 6), 3, 0.002, &noise, law));
  EXPECT_EQ(fit.verdict, FitVerdict::kIdentified) << fit.reason;
  const FitParameter& beta = *fit.Find("beta");
  EXPECT_EQ(&beta, &fit.parameters.front());
  EXPECT_LT(beta.low, 0.35);
  EXPECT_GT(beta.high, 0.35);
  EXPECT_LT(beta.high - beta.low, 0.15);
  EXPECT_EQ(fit.provenance.optimizer_status, "CONVERGED");
  EXPECT_GE(fit.provenance.starts_agreed, 3);
  EXPECT_EQ(fit.provenance.starts_grid, 41);
  EXPECT_LT(fit.provenance.projected_gradient, 1e-3);
  EXPECT_NEAR(fit.leave_largest_out_error, 0, 0.02);
  ASSERT_EQ(fit.triples.size(), 2u);
  EXPECT_EQ(fit.triples[0].name, "beta");
  EXPECT_EQ(fit.triples[0].least_squares, beta.estimate);
  EXPECT_NEAR(fit.triples[0].huber, 0.35, 0.05);
  EXPECT_NEAR(fit.triples[0].lad, 0.35, 0.05);
  EXPECT_NEAR(ElasticityAt(fit, fit.x_max), fit.Find("elasticity")->estimate, 1e-12);
  EXPECT_NEAR(ElasticityAt(fit, 8e8), -0.35 * 1.4 / 3.3, 0.003);
  EXPECT_EQ(fit.form, "L = E + B*D^-beta");
}

TEST(Saturating, ShortRangeIsNotIdentifiedAndSaysSo) {
  Noise noise(12);
  const Law law = {1.9, 0.6, 0.35, 5e8};
  const FitResult fit = *FitSaturating(Planted(LogRange(2e8, 7, 5), 3, 0.003, &noise, law));
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_THAT(fit.reason, HasSubstr("not narrower than 0.15"));
  EXPECT_THAT(fit.reason, HasSubstr("D covers 7x; 64x and more seeds"));
}

TEST(Saturating, OpenEndsAreZeroAndInfinity) {
  Noise noise(13);
  // Noise drowns the law: no exponent can be excluded on either side.
  const Law law = {3, 0.02, 0.3, 2e8};
  const FitResult fit = *FitSaturating(Planted(LogRange(1e8, 4, 4), 2, 0.02, &noise, law));
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_EQ(fit.Find("beta")->low, 0);
  EXPECT_EQ(fit.Find("beta")->high, std::numeric_limits<double>::infinity());
  EXPECT_EQ(fit.Find("E")->low, 0);
  EXPECT_THAT(fit.notes, Contains("beta has no lower end above 0 in these data"));
  EXPECT_THAT(fit.notes, Contains("beta has no upper end below 3 in these data"));
}

TEST(Saturating, ActiveBoundIsReported) {
  Noise noise(14);
  // A pure power law: the best floor is none at all.
  const auto pure = [](double d) { return 4000 * std::pow(d, -0.3); };
  const FitResult power = *FitSaturating(Planted(LogRange(1e8, 64, 5), 2, 0, &noise, pure));
  EXPECT_THAT(power.provenance.active_bounds, Contains(HasSubstr("E at its lower bound 0.05")));
  EXPECT_EQ(power.verdict, FitVerdict::kNotIdentified);
  EXPECT_EQ(power.Find("E")->low, 0);
  EXPECT_TRUE(std::isnan(power.Find("B")->low));
  // A loss that grows with D cannot be this form.
  const auto growing = [](double d) { return 2 * std::pow(d / 1e8, 0.05); };
  const FitResult wrong = *FitSaturating(Planted(LogRange(1e8, 64, 5), 2, 0.001, &noise, growing));
  EXPECT_FALSE(wrong.provenance.active_bounds.empty());
  EXPECT_EQ(wrong.verdict, FitVerdict::kNotIdentified);
}

// Grids that drop their end point miss the optimum at a bound.
TEST(Saturating, WrongWayGridWithoutItsEnds) {
  for (const int terms : {1, 2}) {
    const std::vector<double> grid = PowerSum::Grid(terms);
    EXPECT_EQ(grid.front(), 0.01);
    EXPECT_EQ(grid.back(), 3.0);
    EXPECT_TRUE(std::is_sorted(grid.begin(), grid.end()));
  }
  Noise noise(15);
  const Law steep = {1.9, 1, 4.0, 1.5e8};
  const FitResult fit = *FitSaturating(Planted(LogRange(1e8, 3, 5), 2, 0.0005, &noise, steep));
  EXPECT_EQ(fit.Find("beta")->estimate, 3.0);
  EXPECT_THAT(fit.provenance.active_bounds, Contains("beta at its upper bound 3"));
  EXPECT_EQ(fit.Find("beta")->high, std::numeric_limits<double>::infinity());
}

// The starts all end at one point, so their spread says nothing; the interval must come
// from the data's scatter and grow with it.
TEST(Saturating, WrongWayErrorsFromTheSpreadOverStarts) {
  const Law law = {1.9, 1.4, 0.35, 8e8};
  double width[2];
  for (int i = 0; i < 2; ++i) {
    Noise noise(16);
    const double sd = i == 0 ? 0.0005 : 0.001;
    const FitResult fit = *FitSaturating(Planted(LogRange(1e8, 64, 6), 3, sd, &noise, law));
    EXPECT_EQ(fit.provenance.starts_agreed, kStartsPolished);
    width[i] = fit.Find("beta")->high - fit.Find("beta")->low;
  }
  EXPECT_GT(width[0], 1e-3);
  EXPECT_NEAR(width[1] / width[0], 2, 0.1);
}

TEST(Saturating, RefusesTooFewConfigurationsAndMixedSizes) {
  Noise noise(1);
  const Law law = {1.9, 1.4, 0.35, 8e8};
  FitResult fit = *FitSaturating(Planted(LogRange(1e8, 8, 3), 5, 0.001, &noise, law));
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_TRUE(fit.parameters.empty());
  EXPECT_EQ(fit.reason,
            "a floor, a size and an exponent need 4 configurations at different D and there are 3; "
            "train 1 more");
  std::vector<Observation> mixed;
  for (const double n : {1e6, 2e6}) {
    for (const double d : LogRange(1e8, 8, 4)) mixed.push_back(At(n, d, 3));
  }
  fit = *FitSaturating(mixed);
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_THAT(fit.reason, HasSubstr("mix 2 values of N"));
}

TEST(Saturating, LeaveLargestOutIsSigned) {
  Noise noise(1);
  const Law law = {1.9, 1.4, 0.35, 8e8};
  std::vector<Observation> trials = Planted(LogRange(1e8, 64, 6), 2, 0, &noise, law);
  // The largest trials ended 1% above what the others promise.
  for (Observation& o : trials) o.loss *= o.d_tokens > 6.3e9 ? 1.01 : 1;
  EXPECT_NEAR(FitSaturating(trials)->leave_largest_out_error, 1 / 1.01 - 1, 1e-8);
  // Four configurations less one leave nothing over to fit.
  EXPECT_TRUE(std::isnan(
      FitSaturating(Planted(LogRange(1e8, 64, 4), 2, 0, &noise, law))->leave_largest_out_error));
}

TEST(Saturating, SharedTrunksAreNeverIdentified) {
  Noise noise(11);
  const Law law = {1.9, 1.4, 0.35, 8e8};
  std::vector<Observation> trials = Planted(LogRange(1e8, 64, 6), 3, 0.002, &noise, law);
  const FitResult apart = *FitSaturating(trials);
  for (Observation& o : trials) o.cluster = absl::StrCat("trunk", o.seed);
  const FitResult fit = *FitSaturating(trials);
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_THAT(fit.reason, HasSubstr("share trunks, so they are not independent and there are no"));
  EXPECT_THAT(fit.cure, HasSubstr("separate trials"));
  EXPECT_EQ(fit.provenance.interval_basis, "");
  EXPECT_EQ(fit.provenance.interval_method, "");
  ASSERT_EQ(fit.parameters.size(), apart.parameters.size());
  for (size_t i = 0; i < fit.parameters.size(); ++i) {
    EXPECT_EQ(fit.parameters[i].estimate, apart.parameters[i].estimate);
    EXPECT_TRUE(std::isnan(fit.parameters[i].low) && std::isnan(fit.parameters[i].high))
        << fit.parameters[i].name;
  }
}

// Sizes of real sweeps raised to exponents of 3 overflow or vanish unless everything is
// centred and summed as logarithms.
TEST(Saturating, WrongWayOverflowOutsideLogSumExp) {
  Noise noise(17);
  for (const double first : {1e-200, 1e12, 1e26, 1e250}) {
    const Law law = {1.9, 1.4, 2.5, first * 3};
    std::vector<Observation> trials;
    for (const double x : LogRange(first, 9, 5)) {
      Observation o = At(1e9, 1e9, law(x) * std::exp(1e-4 * noise.Next()));
      o.c_flops = x;
      o.config = absl::StrCat(x);
      trials.push_back(o);
    }
    const FitResult fit = *FitSaturating(trials, {.axis = Axis::kFlops});
    EXPECT_NEAR(fit.Find("beta")->estimate, 2.5, 0.01) << first;
    EXPECT_NEAR(fit.Find("E")->estimate, 1.9, 0.01) << first;
    EXPECT_TRUE(std::isfinite(fit.provenance.objective_value)) << first;
  }
}

TEST(Saturating, SizeAxisUsesItsOwnNames) {
  std::vector<Observation> trials;
  for (const double n : LogRange(1e6, 64, 5)) {
    trials.push_back(At(n, 1e9, 2 + 50 * std::pow(n, -0.3)));
  }
  const FitResult fit = *FitSaturating(trials, {.axis = Axis::kParams});
  EXPECT_EQ(fit.form, "L = E + A*N^-alpha");
  EXPECT_NEAR(fit.Find("alpha")->estimate, 0.3, 1e-8);
  EXPECT_NEAR(fit.Find("A")->estimate, 50, 1e-4);
}

TEST(Saturating, SameBitsWhateverTheOrderAndTheThreads) {
  Noise noise(18);
  const Law law = {1.9, 1.4, 0.35, 8e8};
  std::vector<Observation> trials = Planted(LogRange(1e8, 32, 5), 3, 0.003, &noise, law);
  const auto text = [](const FitResult& fit) {
    std::string all = ProvenanceJson(fit).dump();
    for (const FitParameter& p : fit.parameters) {
      absl::StrAppend(&all, p.name, nlohmann::json({p.estimate, p.low, p.high}).dump());
    }
    return all;
  };
  const std::string expected = text(*FitSaturating(trials));
  std::reverse(trials.begin(), trials.end());
  EXPECT_EQ(text(*FitSaturating(trials)), expected);
  std::vector<std::string> answers(4);
  std::vector<std::thread> threads;
  for (std::string& answer : answers) {
    threads.emplace_back([&] { answer = text(*FitSaturating(trials)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) EXPECT_EQ(answer, expected);
}

TEST(Provenance, HoldsNoNullWhereAFitHasNoNumber) {
  Noise noise(1);
  const FitResult refused = *FitSaturating(Planted({1e8, 2e8}, 1, 0, &noise, Law{2, 1, 0.3, 1e8}));
  const nlohmann::json json = ProvenanceJson(refused);
  EXPECT_EQ(json["objective_value"], "nan");
  EXPECT_EQ(json["version"], kFitVersion);
  EXPECT_THAT(json.dump(), testing::Not(HasSubstr("null")));
}

// The cheapest 4, 5 and 6 configurations predict the next; the last fold is the largest left
// out, and is what leave_largest_out_error says.
TEST(Saturating, RollingOriginIsStored) {
  Noise noise(5);
  const std::vector<Observation> trials =
      Planted(LogRange(1e8, 64, 7), 2, 0.001, &noise,
              [](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); });
  const FitResult fit = *FitSaturating(trials);
  ASSERT_EQ(fit.folds.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(fit.folds[i].n_fitted, 4 + i);
  EXPECT_NEAR(fit.folds[2].error, fit.leave_largest_out_error, 1e-12);
  EXPECT_NEAR(fit.folds[2].error, 0, 0.01);
  EXPECT_GT(fit.provenance.in_sample_error, 0);
  EXPECT_LT(fit.provenance.in_sample_error, 0.002);
  const FitResult slope = *FitLocalSlope(trials);
  ASSERT_EQ(slope.folds.size(), 4u);
  EXPECT_NEAR(slope.folds[3].error, slope.leave_largest_out_error, 1e-12);
  // A line promises too little fall at first and too much later: all errors are low.
  for (const FitFold& fold : slope.folds) EXPECT_LT(fold.error, 0);
}

TEST(Saturating, SaysWhereTheFormMissesThePointsBeyondNoise) {
  const std::vector<double> tokens = LogRange(1e8, 64, 8);
  const auto p_of = [&](double wave) {
    Noise noise(21);
    const auto law = [&](double d) {
      const double u = std::log(d / 8e8);
      return (2 + 1.5 * std::exp(-0.35 * u)) * std::exp(wave * std::sin(3 * u));
    };
    return *FitSaturating(Planted(tokens, 3, 0.001, &noise, law));
  };
  const FitResult straight = p_of(0), waving = p_of(0.01);
  EXPECT_GT(straight.provenance.lack_of_fit_p, 0.05);
  EXPECT_LT(waving.provenance.lack_of_fit_p, 1e-6);
  EXPECT_THAT(waving.notes, Contains(HasSubstr("depart from this form beyond seed noise")));
  EXPECT_THAT(straight.notes, Not(Contains(HasSubstr("depart from this form"))));
  EXPECT_THAT(waving.cure, Not(HasSubstr("more seeds at each")));
}

}  // namespace
}  // namespace loglog
