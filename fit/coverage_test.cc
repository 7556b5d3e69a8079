// Do 95% intervals cover 95% of the time? 5 token counts, 3 seeds each. Each test
// prints its seed; the same seed gives the same figure.
#include <cmath>
#include <cstdio>

#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

constexpr double kNoiseSd = 0.003;
const double kFirst = 1e8;

class Coverage {
 public:
  Coverage(const char* what, int simulations, uint64_t seed)
      : what_(what), simulations_(simulations), seed_(seed) {}
  void Count(const FitParameter* parameter, double truth) {
    ASSERT_NE(parameter, nullptr);
    covered_ += parameter->low <= truth && truth <= parameter->high;
    width_ += (parameter->high - parameter->low) / simulations_;
  }
  // 1,000 simulations have a standard error of 0.007 here.
  void Check() const {
    const double share = static_cast<double>(covered_) / simulations_;
    std::printf("coverage of %s: %.4f over %d simulations, mean width %.4g (seed %llu)\n", what_,
                share, simulations_, width_, static_cast<unsigned long long>(seed_));
    EXPECT_GE(share, 0.93) << what_;
    EXPECT_LE(share, 0.97) << what_;
  }

 private:
  const char* what_;
  int simulations_;
  uint64_t seed_;
  int covered_ = 0;
  double width_ = 0;
};

TEST(Coverage, LocalSlope) {
  const int simulations = 2000;
  const uint64_t seed = 101;
  Noise noise(seed);
  Coverage on_means("the local slope on means", simulations, seed);
  Coverage on_runs("the local slope on runs where they fit", simulations, seed);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  for (int i = 0; i < simulations; ++i) {
    const std::vector<Observation> trials =
        Planted(LogRange(kFirst, 16, 5), 3, kNoiseSd, &noise, law);
    on_means.Count(FitLocalSlope(trials)->Find("slope"), -0.1);
    on_runs.Count(FitLocalSlope(trials, {.runs_when_no_lack_of_fit = true})->Find("slope"), -0.1);
  }
  on_means.Check();
  on_runs.Check();
}

// Some configurations have all their seeds, others the first only.
TEST(Coverage, LocalSlopeMidSweep) {
  const int simulations = 2000;
  const uint64_t seed = 102;
  Noise noise(seed);
  Coverage coverage("the local slope with 3, 3, 3, 1, 1 seeds", simulations, seed);
  const auto law = [](double d) { return 30 * std::pow(d, -0.1); };
  for (int i = 0; i < simulations; ++i) {
    std::vector<Observation> trials = Planted(LogRange(kFirst, 16, 5), 3, kNoiseSd, &noise, law);
    trials.erase(trials.begin() + 13, trials.end());
    trials.erase(trials.begin() + 10, trials.begin() + 12);
    coverage.Count(FitLocalSlope(trials)->Find("slope"), -0.1);
  }
  coverage.Check();
}

TEST(Coverage, SaturatingWithEFree) {
  const int simulations = 1000;
  const uint64_t seed = 103;
  Noise noise(seed);
  Coverage beta("beta, E free, 64x", simulations, seed);
  Coverage e("E, 64x", simulations, seed);
  Coverage b("B, 64x", simulations, seed);
  Coverage elasticity("the elasticity at the largest D, 64x", simulations, seed);
  const double fall = 1.5;
  const double middle = kFirst * 8;
  const auto law = [&](double d) { return 2 + fall * std::pow(d / middle, -0.35); };
  const double largest = kFirst * 64;
  const double at_largest = -0.35 * (law(largest) - 2) / law(largest);
  int identified = 0;
  for (int i = 0; i < simulations; ++i) {
    const FitResult fit =
        *FitSaturating(Planted(LogRange(kFirst, 64, 5), 3, kNoiseSd, &noise, law));
    beta.Count(fit.Find("beta"), 0.35);
    e.Count(fit.Find("E"), 2);
    b.Count(fit.Find("B"), fall * std::pow(middle, 0.35));
    elasticity.Count(fit.Find("elasticity"), at_largest);
    identified += fit.verdict == FitVerdict::kIdentified;
    ASSERT_EQ(fit.provenance.optimizer_status, "CONVERGED");
  }
  beta.Check();
  e.Check();
  b.Check();
  elasticity.Check();
  EXPECT_GT(identified, simulations * 95 / 100);
}

// d carries noise of its own and, in the second round, an effect of each configuration
// that all its seeds share: the hardest size, where the lack-of-fit test often misses it.
TEST(Coverage, PairedDifference) {
  const int simulations = 8000;
  for (const double effect : {0.0, 0.001}) {
    const uint64_t seed = 104;
    Noise noise(seed);
    Coverage slope(
        effect > 0 ? "the paired difference with an effect per D" : "the paired difference",
        simulations, seed);
    Coverage ratio("the efficiency ratio", simulations, seed);
    const double middle = kFirst * 4;
    // The law is a line, so that the ratio has an exact answer: ln r = -d / s1 = -0.01 / 0.107.
    for (int i = 0; i < simulations; ++i) {
      std::vector<Observation> arm1, arm2;
      for (const double d : LogRange(kFirst, 16, 5)) {
        const double shift = -0.01 - 0.007 * std::log(d / middle) + effect * noise.Next();
        for (int s = 0; s < 3; ++s) {
          const double base = 3 * std::pow(d / middle, -0.1) * std::exp(kNoiseSd * noise.Next());
          arm1.push_back(At(1e7, d, base * std::exp(shift + 0.001 * noise.Next()), s));
          arm2.push_back(At(1e7, d, base * std::exp(0.001 * noise.Next()), s));
        }
      }
      const FitResult fit = *CompareArms(arm1, arm2);
      slope.Count(fit.Find("slope_difference"), -0.007);
      ratio.Count(fit.Find("efficiency_ratio"), std::exp(-0.01 / 0.107));
    }
    slope.Check();
    ratio.Check();
  }
}

}  // namespace
}  // namespace loglog
