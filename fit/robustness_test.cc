// Whatever a half-finished sweep hands over, a fit answers or refuses: no exception, no
// interval that does not hold its estimate, no verdict without a reason.
#include <cmath>
#include <cstdio>
#include <random>

#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

void CheckSound(const FitResult& fit) {
  EXPECT_FALSE(fit.reason.empty());
  EXPECT_FALSE(fit.definition.empty());
  EXPECT_EQ(ProvenanceJson(fit).dump().find("null"), std::string::npos);
  for (const FitParameter& p : fit.parameters) {
    if (std::isnan(p.low) || !std::isfinite(p.estimate)) continue;
    const double slack = 1e-9 * (1 + std::fabs(p.estimate));
    EXPECT_LE(p.low, p.estimate + slack) << fit.kind << " " << p.name;
    EXPECT_GE(p.high, p.estimate - slack) << fit.kind << " " << p.name;
  }
  if (fit.verdict != FitVerdict::kRefused) {
    EXPECT_FALSE(std::isnan(fit.parameters.at(0).low));
  }
}

std::vector<Observation> RandomArm(std::mt19937_64* engine, Noise* noise) {
  const auto pick = [&](std::initializer_list<double> values) {
    return values.begin()[(*engine)() % values.size()];
  };
  const int n_tokens = static_cast<int>((*engine)() % 7);
  const int n_sizes = 1 + static_cast<int>((*engine)() % 3);
  const int n_seeds = 1 + static_cast<int>((*engine)() % 3);
  const double sd = pick({0, 1e-6, 0.003, 0.3});
  const double fall = pick({0, 0.01, 1.5, 1e4});
  const double beta = pick({0.001, 0.3, 5});
  const double floor = pick({1e-3, 0.06, 2, 1e3});
  const double range = pick({1.01, 8, 1e6});
  std::vector<Observation> trials;
  for (int s = 0; s < n_sizes; ++s) {
    for (int i = 0; i < n_tokens; ++i) {
      const double d = 1e6 * std::pow(range, i / 6.0);
      for (int seed = 0; seed < n_seeds; ++seed) {
        if ((*engine)() % 4 == 0) continue;
        const double loss = floor + fall * std::pow(d / 1e6, -beta) / (1 + s);
        trials.push_back(At(1e6 * (1 + s), d, loss * std::exp(sd * noise->Next()), seed));
      }
    }
  }
  return trials;
}

TEST(Robustness, RandomHalfFinishedSweeps) {
  const uint64_t seed = 20240501;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 engine(seed);
  Noise noise(seed);
  for (int round = 0; round < 80; ++round) {
    SCOPED_TRACE(round);
    const std::vector<Observation> arm1 = RandomArm(&engine, &noise);
    const std::vector<Observation> arm2 = RandomArm(&engine, &noise);
    for (const Axis axis : {Axis::kTokens, Axis::kParams, Axis::kFlops}) {
      CheckSound(*FitLocalSlope(arm1, {.axis = axis, .runs_when_no_lack_of_fit = true}));
      CheckSound(*FitSaturating(arm1, {.axis = axis}));
      CheckSound(*CompareArms(arm1, arm2, {.axis = axis}));
      CheckSound(*CompareArms(arm1, arm1, {.axis = axis}));
    }
    if (round % 5 == 0) CheckSound(*FitJoint(arm1));
  }
}

}  // namespace
}  // namespace loglog
