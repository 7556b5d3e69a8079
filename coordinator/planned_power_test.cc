#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "fit/compare.h"
#include "fit/planted_testing.h"
#include "plan/check.h"

namespace loglog {
namespace {

constexpr double kNoise = 0.003;

struct PowerCase {
  std::string name;
  std::vector<double> sizes;   // N
  std::vector<double> tokens;  // D
  int seeds = 1;
  double slope_difference = 0.007;
};

std::vector<PlannedPair> PairsOf(const PowerCase& design) {
  std::vector<PlannedPair> pairs;
  for (size_t line = 0; line < design.sizes.size(); ++line) {
    for (const double d : design.tokens) {
      for (int seed = 0; seed < design.seeds; ++seed) {
        pairs.push_back({static_cast<int>(line), std::log(d)});
      }
    }
  }
  return pairs;
}

std::vector<Observation> Train(const PowerCase& design, double slope, Noise* noise) {
  std::vector<Observation> trials;
  for (const double n : design.sizes) {
    for (const double d : design.tokens) {
      for (int seed = 0; seed < design.seeds; ++seed) {
        trials.push_back(
            At(n, d, 30 * std::pow(d, slope) * std::exp(kNoise * noise->Next()), seed));
      }
    }
  }
  return trials;
}

// Share of simulated sweeps whose comparison gives an interval without 0.
double FoundBy(const PowerCase& design, int sweeps) {
  Noise noise(20);
  int found = 0;
  for (int i = 0; i < sweeps; ++i) {
    const FitResult fit = *CompareArms(Train(design, -0.1 - design.slope_difference, &noise),
                                       Train(design, -0.1, &noise));
    const FitParameter* slope = fit.Find("slope_difference");
    if (slope != nullptr && (slope->low > 0 || slope->high < 0)) ++found;
  }
  return static_cast<double>(found) / sweeps;
}

class PowerTest : public ::testing::TestWithParam<PowerCase> {};

TEST_P(PowerTest, IsThatOfTheComparisonItself) {
  const PowerCase& design = GetParam();
  constexpr int kSweeps = 2000;
  const double planned = PairedPower(PairsOf(design), kNoise, design.slope_difference);
  const double error = std::sqrt(planned * (1 - planned) / kSweeps);
  EXPECT_NEAR(FoundBy(design, kSweeps), planned, 4 * error + 1e-9);
}

INSTANTIATE_TEST_SUITE_P(
    Designs, PowerTest,
    ::testing::Values(PowerCase{"FourByThree", {1e7}, LogRange(1e8, 7, 4), 3},
                      PowerCase{"OneSeed", {1e7}, LogRange(1e8, 16, 4), 1, 0.02},
                      PowerCase{"ThreeByTwo", {1e7}, LogRange(1e8, 16, 3), 2, 0.01},
                      PowerCase{"TwoSizes", {1e6, 1e7}, LogRange(1e8, 7, 3), 2},
                      PowerCase{"NoDifference", {1e7}, LogRange(1e8, 7, 4), 3, 0},
                      PowerCase{"TwoValues", {1e7}, LogRange(1e8, 7, 2), 3, 0.05}),
    [](const ::testing::TestParamInfo<PowerCase>& info) { return info.param.name; });

}  // namespace
}  // namespace loglog
