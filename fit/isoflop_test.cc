#include "fit/isoflop.h"

#include <cmath>

#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

constexpr double kE = 1.8, kA = 480, kAlpha = 0.35, kB = 2100, kBeta = 0.37;

double BestSize(double c) {
  // alpha*A*N^-alpha = beta*B*D^-beta with D = C / 6N
  const double g = std::pow(kAlpha * kA / (kBeta * kB), 1 / (kAlpha + kBeta));
  return g * std::pow(c / 6, kBeta / (kAlpha + kBeta));
}

Observation Trial(double n, double c, double sd, Noise* noise) {
  const double d = c / (6 * n);
  return At(
      n, d,
      (kE + kA * std::pow(n, -kAlpha) + kB * std::pow(d, -kBeta)) * std::exp(sd * noise->Next()));
}

// Sizes from best/spread to best*spread at each budget.
std::vector<Observation> Sweep(int sizes, double spread, double sd, uint64_t seed) {
  Noise noise(seed);
  std::vector<Observation> trials;
  for (const double c : LogRange(1e18, 1000, 5)) {
    for (const double n : LogRange(BestSize(c) / spread, spread * spread, sizes)) {
      trials.push_back(Trial(n, c, sd, &noise));
    }
  }
  return trials;
}

TEST(IsoFlop, FindsTheComputeOptimalLaw) {
  // Narrow enough for a parabola to be the curve.
  const IsoFlopFit fit = *FitIsoFlop(Sweep(5, 1.5, 0, 1));
  ASSERT_EQ(fit.budgets.size(), 5u);
  for (const IsoFlopBudget& budget : fit.budgets) {
    EXPECT_EQ(budget.fault, "");
    EXPECT_NEAR(budget.n_best / BestSize(budget.c_flops), 1, 0.005);
    EXPECT_NEAR(6 * budget.n_best * budget.d_best / budget.c_flops, 1, 1e-9);
  }
  EXPECT_EQ(fit.law.verdict, FitVerdict::kOk);
  EXPECT_NEAR(fit.law.Find("a")->estimate, kBeta / (kAlpha + kBeta), 1e-4);
  EXPECT_NEAR(fit.law.Find("b")->estimate, kAlpha / (kAlpha + kBeta), 1e-4);
  EXPECT_NEAR(fit.law.Find("a")->estimate + fit.law.Find("b")->estimate, 1, 1e-9);
  EXPECT_EQ(fit.law.points.size(), 5u);
}

TEST(IsoFlop, MinimumOutsideTheSizesIsLeftOutAndNamed) {
  Noise noise(1);
  std::vector<Observation> trials = Sweep(5, 1.5, 0, 1);
  const double c = 1e20 / 31;  // between two budgets of the sweep
  for (const double n : LogRange(BestSize(c) * 1.3, 4, 4)) trials.push_back(Trial(n, c, 0, &noise));
  const IsoFlopFit fit = *FitIsoFlop(trials);
  ASSERT_EQ(fit.budgets.size(), 6u);
  int faults = 0;
  for (const IsoFlopBudget& budget : fit.budgets) {
    if (budget.fault.empty()) continue;
    ++faults;
    EXPECT_THAT(budget.fault, HasSubstr("not inside the trained sizes; train one below N = "));
  }
  EXPECT_EQ(faults, 1);
  EXPECT_EQ(fit.law.points.size(), 5u);
  ASSERT_EQ(fit.law.notes.size(), 1u);
  EXPECT_THAT(fit.law.notes[0], HasSubstr("C = 3.23e+18: the minimum"));
}

TEST(IsoFlop, SharedTrunksHaveNoIntervals) {
  std::vector<Observation> trials = Sweep(5, 1.5, 0.0001, 1);
  const IsoFlopFit apart = *FitIsoFlop(trials);
  ASSERT_EQ(apart.law.verdict, FitVerdict::kOk);
  EXPECT_LT(apart.law.Find("a")->low, apart.law.Find("a")->high);
  for (Observation& o : trials) o.cluster = "task 1";
  const IsoFlopFit fit = *FitIsoFlop(trials);
  EXPECT_EQ(fit.law.verdict, FitVerdict::kRefused);
  EXPECT_EQ(fit.law.status, FitStatus::kRefused);
  EXPECT_THAT(fit.law.reason, HasSubstr("share trunks"));
  EXPECT_EQ(fit.law.provenance.interval_basis, "");
  for (const FitParameter& parameter : fit.law.parameters) {
    EXPECT_EQ(parameter.estimate, apart.law.Find(parameter.name)->estimate);
    EXPECT_TRUE(std::isnan(parameter.low) && std::isnan(parameter.high)) << parameter.name;
  }
  for (const IsoFlopBudget& budget : fit.budgets) EXPECT_TRUE(std::isnan(budget.n_low));
  // Too few budgets stay what is missing first.
  trials.resize(10);
  EXPECT_THAT(FitIsoFlop(trials)->law.reason, HasSubstr("needs 3"));
}

TEST(IsoFlop, RefusesWhatHasNoMinimumOrTooFewBudgets) {
  std::vector<Observation> outside;
  for (const double n : LogRange(1e7, 16, 5)) {
    const double u = std::log(n / 1e9);
    outside.push_back(At(n, 1e18 / (6 * n), 3 * std::exp(0.01 * u * u)));
  }
  const IsoFlopFit one = *FitIsoFlop(outside);
  EXPECT_EQ(one.law.verdict, FitVerdict::kRefused);
  EXPECT_EQ(one.law.status, FitStatus::kTooFewPoints);
  EXPECT_THAT(one.law.reason, HasSubstr("needs 3 with a minimum inside their sizes and there are "
                                        "0 of 1"));
  std::vector<Observation> dome;
  for (const double n : LogRange(1e7, 16, 5)) {
    const double u = std::log(n / 4e7);
    dome.push_back(At(n, 1e18 / (6 * n), 3 * std::exp(-0.02 * u * u)));
  }
  EXPECT_THAT(FitIsoFlop(dome)->budgets[0].fault, HasSubstr("FLAT"));
  EXPECT_EQ(FitIsoFlop({})->law.verdict, FitVerdict::kRefused);
}

}  // namespace
}  // namespace loglog
