// The bootstraps of choice and the wrong ways beside them.
#include "fit/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "fit/fit.h"
#include "fit/fitted_testing.h"
#include "fit/planted_testing.h"
#include "fit/random.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

constexpr int kSimulations = 4000;

// 6 token counts, means over 3 seeds: what the default intervals must do, and what the
// wrong ways do.
class BootstrapStudy : public testing::Test {
 protected:
  static constexpr double kSlope = 0.1;
  // Single trials' noise grows fourfold over D where `unequal`.
  static std::vector<Observation> Trials(bool unequal, double effect, uint64_t seed) {
    Noise noise(seed);
    std::vector<Observation> trials;
    for (const double d : LogRange(1e8, 16, 6)) {
      const double shift = effect * noise.Next();
      const double sd = unequal ? 0.0015 * std::pow(d / 1e8, 0.5) : 0.003;
      for (int s = 0; s < 3; ++s) {
        trials.push_back(
            At(1e7, d, 30 * std::pow(d, -kSlope) * std::exp(shift + sd * noise.Next()), s));
      }
    }
    return trials;
  }
  static bool Holds(const std::vector<FitParameter>& parameters, const std::string& name,
                    double truth) {
    for (const FitParameter& p : parameters) {
      if (p.name == name) return p.low <= truth && truth <= p.high;
    }
    ADD_FAILURE() << name;
    return false;
  }
};

TEST_F(BootstrapStudy, WildOnMeans) {
  for (const bool unequal : {false, true}) {
    int covered = 0, profile = 0;
    for (int i = 0; i < kSimulations; ++i) {
      const std::vector<Observation> trials = Trials(unequal, 0, 20000 + i);
      const Fitted fitted = FitTo(Law::kPower, trials);
      const BootstrapOptions options{.resamples = 199, .fit_id = std::to_string(i), .cluster = {}};
      covered += Holds(*WildBootstrap(*fitted.form, fitted.theta, options), "beta", kSlope);
      const FitParameter slope = *FitLocalSlope(trials)->Find("slope");
      profile += slope.low <= -kSlope && -kSlope <= slope.high;
    }
    const double share = covered / static_cast<double>(kSimulations);
    std::printf("coverage of the slope, noise %s: wild bootstrap on means %.4f, t on means %.4f\n",
                unequal ? "growing 4x over D" : "equal", share,
                profile / static_cast<double>(kSimulations));
    EXPECT_GE(share, 0.93);
    EXPECT_LE(share, 0.97);
  }
}

// Single trials with an effect of each D that its seeds share: clusters must be whole D.
// Resampling seeds within D, or single trials, is blind to it.
TEST_F(BootstrapStudy, WrongWayResamplingSeedsWithinD) {
  int cluster = 0, within = 0, single = 0;
  for (int i = 0; i < kSimulations; ++i) {
    const std::vector<Observation> trials = Trials(false, 0.003, 5000 + i);
    std::vector<Observation> alone = trials;
    std::vector<int> of;
    for (size_t k = 0; k < alone.size(); ++k) {
      alone[k].config = absl::StrCat(k);
      of.push_back(static_cast<int>(k) / 3);
    }
    const Fitted fitted = FitTo(Law::kPower, alone);
    const BootstrapOptions by_d{
        .resamples = 199, .fit_id = std::to_string(i), .threads = 1, .cluster = of};
    cluster += Holds(*WildBootstrap(*fitted.form, fitted.theta, by_d), "beta", kSlope);
    const BootstrapOptions by_trial{.resamples = 199, .fit_id = std::to_string(i), .cluster = {}};
    single += Holds(*WildBootstrap(*fitted.form, fitted.theta, by_trial), "beta", kSlope);

    RandomStream random(RandomStream::KeyOf("within"), i);
    std::vector<double> slopes;
    for (int r = 0; r < 199; ++r) {
      std::vector<int> counts(alone.size(), 0);
      for (size_t k = 0; k < alone.size(); ++k) ++counts[k / 3 * 3 + random.Below(3)];
      slopes.push_back(RefitResample(*fitted.form, Loss::Squares(), fitted.theta, counts).theta[1]);
    }
    std::sort(slopes.begin(), slopes.end());
    within += slopes[4] <= kSlope && kSlope <= slopes[194];
  }
  const double n = kSimulations;
  std::printf("coverage with an effect per D: clusters %.3f, single trials %.3f, within D %.3f\n",
              cluster / n, single / n, within / n);
  EXPECT_GE(cluster / n, 0.93);
  EXPECT_LE(cluster / n, 0.97);
  EXPECT_LT(single / n, 0.9);
  EXPECT_LT(within / n, 0.88);
}

}  // namespace
}  // namespace loglog
