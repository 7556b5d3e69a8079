// The paired comparison: coverage of its intervals, and whether it finds what it should.
#include <cmath>
#include <cstdio>

#include "fit/fit.h"
#include "fit/study/simulate_testing.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

constexpr int kSimulations = 8000;
// Coverages near the ends of the band need a standard error of .0013.
constexpr int kManySimulations = 30000;
constexpr double kFirst = 1e8;
constexpr double kDifference = -0.007;
constexpr double kShift = -0.01;  // of ln L between the arms in the middle

// Both arms share each (D, seed)'s luck of .3%; d scatters by a third of that besides. The
// law is a line, so that the ratio has an exact answer: ln r = -shift / s1.
TEST(ComparisonStudy, Coverage) {
  for (Scatter scatter : kScatters) {
    scatter.sd /= 3;
    scatter.config_effect /= 3;
    for (const int n : {4, 5, 6, 8}) {
      const uint64_t seed = 600 + n;
      Noise noise(seed);
      const std::string where = absl::StrFormat(", %d D, %s", n, scatter.name);
      Coverage slope("the paired difference" + where, seed), ratio("r" + where, seed);
      const double middle = kFirst * 4;
      const auto one = [](double) { return 1.0; };
      for (int i = 0; i < kManySimulations; ++i) {
        std::vector<Observation> arm1 = Scattered(LogRange(kFirst, 16, n), 3, scatter, &noise, one);
        std::vector<Observation> arm2 = arm1;
        for (size_t k = 0; k < arm1.size(); ++k) {
          const double ln_d = std::log(arm1[k].d_tokens / middle);
          const double base = 3 * std::exp(-0.1 * ln_d + 0.003 * noise.Next());
          arm1[k].loss *= base * std::exp(kShift + kDifference * ln_d);
          arm2[k].loss = base;
        }
        const FitResult fit = *CompareArms(arm1, arm2);
        slope.Count(fit.Find("slope_difference"), kDifference);
        ratio.Count(fit.Find("efficiency_ratio"), std::exp(kShift / (0.1 - kDifference)));
      }
      slope.Check();
      ratio.Check(0.93, 0.971);  // .9703 with a standard error of .001 at 4 D with growing noise
    }
  }
}

// Arm 2 is arm 1 with r times the tokens, on a curve with a floor: the ratio is r everywhere, and
// what a straight line through arm 1 would say is not.
TEST(ComparisonStudy, RatioOnACurve) {
  for (const double r : {1.2, 1.6}) {
    for (const auto& [n, range] : {std::pair{5, 16.0}, {6, 64.0}}) {
      const uint64_t seed = 702;
      Noise noise(seed);
      Coverage ratio(absl::StrFormat("r = %g on a curve, %d D over %gx", r, n, range), seed);
      const std::vector<double> tokens = LogRange(kFirst, range, n);
      const auto law = [&](double d) {
        return 2 + 1.5 * std::pow(d / (kFirst * std::sqrt(range)), -0.35);
      };
      for (int i = 0; i < kSimulations / 4; ++i) {
        const std::vector<Observation> arm1 = Planted(tokens, 3, 0.003, &noise, law);
        const std::vector<Observation> arm2 =
            Planted(tokens, 3, 0.003, &noise, [&](double d) { return law(r * d); });
        ratio.Count(CompareArms(arm1, arm2)->Find("efficiency_ratio"), r);
      }
      ratio.Check(0.9, 0.985);
    }
  }
}

// Pairs added where they were wanted, with and without an effect of each D on the difference.
TEST(ComparisonStudy, CoverageWithUnequalSeeds) {
  const std::vector<double> tokens = LogRange(kFirst, 16, 5);
  for (const std::vector<int>& seeds :
       {std::vector<int>{14, 2, 2, 2, 2}, {8, 1, 1, 1, 8}, {1, 8, 8, 8, 1}}) {
    for (const double effect : {0.0, 0.003}) {
      const uint64_t random_seed = 703;
      Noise noise(random_seed);
      Coverage slope(absl::StrFormat("the difference, %d %d %d pairs, effect %g", seeds[0],
                                     seeds[1], seeds[4], effect),
                     random_seed);
      for (int i = 0; i < kSimulations; ++i) {
        std::vector<Observation> arm1, arm2;
        for (size_t k = 0; k < tokens.size(); ++k) {
          const double own = std::exp(effect * noise.Next());
          for (int s = 0; s < seeds[k]; ++s) {
            arm2.push_back(At(1e7, tokens[k], 3, s));
            arm1.push_back(At(1e7, tokens[k], 3 * own * std::exp(0.003 * noise.Next()), s));
          }
        }
        slope.Count(CompareArms(arm1, arm2)->Find("slope_difference"), 0);
      }
      slope.Check(0.93, 0.992);
    }
  }
}

double Found(const std::vector<Observation>& arm1, const std::vector<Observation>& arm2) {
  const FitParameter slope = *CompareArms(arm1, arm2)->Find("slope_difference");
  return slope.high < 0 || slope.low > 0 ? 1 : 0;
}

// 4 D, 3 seeds, 2 arms: 24 runs at .3% noise, none of it shared by the arms. The range of D
// decides. A test on pairs whatever they show would find .96 at 7x, and be wrong where
// configurations have effects of their own; no interval that covers 93% whatever these are finds
// more than .75 there and .93 at 16x (docs/decisions/fit-intervals.md).
TEST(ComparisonStudy, TwentyFourRunsFindADifferenceOfSevenThousandths) {
  for (const double range : {7.0, 16.0, 64.0}) {
    const uint64_t seed = 700;
    Noise noise(seed);
    const std::vector<double> tokens = LogRange(kFirst, range, 4);
    const auto arm = [&](double slope) {
      return Planted(tokens, 3, 0.003, &noise, [=](double d) { return 30 * std::pow(d, slope); });
    };
    double paired = 0, unpaired = 0, false_alarms = 0;
    for (int i = 0; i < kSimulations; ++i) {
      const std::vector<Observation> steep = arm(-0.1 + kDifference), other = arm(-0.1);
      paired += Found(steep, other) / kSimulations;
      false_alarms += Found(arm(-0.1), other) / kSimulations;
      const FitParameter a = *FitLocalSlope(steep)->Find("slope");
      const FitParameter b = *FitLocalSlope(other)->Find("slope");
      unpaired += (a.high < b.low) / static_cast<double>(kSimulations);
    }
    std::printf(
        "24 runs over %gx: a difference of .007 is found %.3f paired, %.3f by intervals that do "
        "not touch; of 0: %.3f (seed %llu)\n",
        range, paired, unpaired, false_alarms, static_cast<unsigned long long>(seed));
    EXPECT_GE(paired, range >= 16 ? 0.9 : 0.7);
    EXPECT_GT(paired, unpaired);
    EXPECT_LE(false_alarms, 0.06);
    EXPECT_GE(false_alarms, 0.025);
  }
}

// Three comparisons of arms that do not differ, by one arm: Holm holds the family's error.
TEST(ComparisonStudy, HolmHoldsTheErrorOfTheFamily) {
  const uint64_t seed = 701;
  Noise noise(seed);
  double any = 0, any_unadjusted = 0;
  for (int i = 0; i < kSimulations; ++i) {
    std::vector<Observation> arms[4];
    for (std::vector<Observation>& arm : arms) {
      arm = Planted(LogRange(kFirst, 16, 5), 2, 0.003, &noise,
                    [](double d) { return 30 * std::pow(d, -0.1); });
    }
    std::vector<double> p;
    for (int arm = 1; arm < 4; ++arm) {
      const double one_sided = CompareArms(arms[arm], arms[0])->p_value;
      p.push_back(2 * std::min(one_sided, 1 - one_sided));
    }
    const std::vector<double> adjusted = HolmAdjusted(p);
    any += (*std::min_element(adjusted.begin(), adjusted.end()) <= 0.05) /
           static_cast<double>(kSimulations);
    any_unadjusted +=
        (*std::min_element(p.begin(), p.end()) <= 0.05) / static_cast<double>(kSimulations);
  }
  std::printf("any of 3 equal arms called different: %.3f by Holm, %.3f without (seed %llu)\n", any,
              any_unadjusted, static_cast<unsigned long long>(seed));
  EXPECT_LE(any, 0.06);
  EXPECT_GT(any_unadjusted, 0.08);
}

}  // namespace
}  // namespace loglog
