#include "fit/compare.h"

#include <algorithm>
#include <cmath>

#include "fit/distributions.h"
#include "fit/local_slope.h"
#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Arms {
  std::vector<Observation> arm1;
  std::vector<Observation> arm2;
};

// Arm 2 follows a curved law with noise shared by both arms (same seed, same batches);
// arm 1 differs from it by `difference(D)` in ln L and noise of its own.
template <typename Difference>
Arms PairedArms(const std::vector<double>& tokens, int seeds, double shared_sd, double own_sd,
                uint64_t random_seed, Difference difference) {
  Noise noise(random_seed);
  Arms arms;
  for (const double d : tokens) {
    for (int seed = 0; seed < seeds; ++seed) {
      const double base = (2 + 1.5 * std::pow(d / 1e9, -0.35)) * std::exp(shared_sd * noise.Next());
      arms.arm2.push_back(At(1e7, d, base, seed));
      arms.arm1.push_back(At(1e7, d, base * std::exp(difference(d) + own_sd * noise.Next()), seed));
      arms.arm1.back().config += "-one";
    }
  }
  return arms;
}

double SteeperBySeven(double d) { return -0.01 - 0.007 * std::log(d / 4e8); }

TEST(Compare, SharedCurvatureAndNoiseCancel) {
  const Arms arms = PairedArms(LogRange(1e8, 16, 4), 3, 0.05, 0, 1, SteeperBySeven);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(fit.verdict, FitVerdict::kOk);
  EXPECT_NEAR(fit.Find("slope_difference")->estimate, -0.007, 1e-10);
  EXPECT_NEAR(fit.Find("slope_1")->estimate - fit.Find("slope_2")->estimate, -0.007, 1e-10);
  EXPECT_LT(fit.p_value, 1e-6);
  EXPECT_EQ(fit.n_pairs, 12);
  EXPECT_EQ(fit.n_configs, 4);
  EXPECT_EQ(fit.n_trials, 24);
  EXPECT_NEAR(fit.leave_largest_out_error, 0, 1e-10);
  EXPECT_EQ(fit.Find("slope_difference_at_min"), nullptr);
  EXPECT_THAT(fit.definition, HasSubstr("negative: arm 1 is steeper"));
}

TEST(Compare, OneSidedPTurnsWithTheArms) {
  const Arms arms = PairedArms(LogRange(1e8, 16, 4), 3, 0.01, 0.002, 2, SteeperBySeven);
  const FitResult forth = *CompareArms(arms.arm1, arms.arm2);
  const FitResult back = *CompareArms(arms.arm2, arms.arm1);
  EXPECT_NEAR(forth.p_value + back.p_value, 1, 1e-12);
  EXPECT_LT(forth.p_value, 0.01);
  EXPECT_NEAR(forth.Find("slope_difference")->low, -back.Find("slope_difference")->high, 1e-12);
}

TEST(Compare, EfficiencyRatioIsTheTokensForTheSameLoss) {
  // Arm 1 is arm 2 with 1.25 times the tokens: it needs 0.8 times as many.
  const double b = 1.5, beta = 0.35, e = 2;
  const auto better = [&](double d) {
    return std::log((e + b * std::pow(1.25 * d / 1e9, -beta)) / (e + b * std::pow(d / 1e9, -beta)));
  };
  const Arms arms = PairedArms(LogRange(1e8, 16, 5), 3, 0.003, 0.001, 3, better);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  const FitParameter& ratio = *fit.Find("efficiency_ratio");
  EXPECT_NEAR(ratio.estimate, 0.8, 0.01);
  EXPECT_LT(ratio.low, 0.8);
  EXPECT_GT(ratio.high, 0.8);
  EXPECT_LT(ratio.high - ratio.low, 0.03);
  // The other way round it is the reciprocal, up to the bend of the curves.
  EXPECT_NEAR(CompareArms(arms.arm2, arms.arm1)->Find("efficiency_ratio")->estimate, 1.25, 0.02);
}

TEST(Compare, RatioHasNoEndsWhereTheLossDoesNotFall) {
  Noise noise(4);
  Arms arms;
  for (const double d : LogRange(1e8, 16, 4)) {
    for (int seed = 0; seed < 2; ++seed) {
      arms.arm1.push_back(At(1e7, d, std::exp(1 - 1e-6 * std::log(d) + 0.01 * noise.Next()), seed));
      arms.arm2.push_back(At(1e7, d, std::exp(1 - 1e-6 * std::log(d) + 0.01 * noise.Next()), seed));
    }
  }
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_THAT(fit.notes, Contains(AllOf(HasSubstr("efficiency_ratio"), HasSubstr("arm 1"))));
}

// Arm 1's curve is followed to the ends of the data and no further.
TEST(Compare, RatioOnACurveAndBeyondTheData) {
  const auto law = [](double d) { return 2 + 1.5 * std::pow(d / 1e9, -0.35); };
  // Arm 1 is as good as arm 2 with 1 / 1.5 of its tokens.
  const Arms near = PairedArms(LogRange(1e8, 64, 6), 3, 0.001, 0.0005, 9,
                               [&](double d) { return std::log(law(d / 1.5) / law(d)); });
  const FitResult inside = *CompareArms(near.arm1, near.arm2);
  EXPECT_NEAR(inside.Find("efficiency_ratio")->estimate, 1.5, 0.03);
  const auto far = [](double) { return 0.3; };
  const Arms apart = PairedArms(LogRange(1e8, 64, 6), 3, 0.001, 0.0005, 10, far);
  const FitResult beyond = *CompareArms(apart.arm1, apart.arm2);
  EXPECT_TRUE(std::isnan(beyond.Find("efficiency_ratio")->estimate));
  EXPECT_THAT(beyond.notes, Contains(HasSubstr("efficiency_ratio lies beyond the data")));
}

// An effect of each configuration on d (data order, say) makes pairs of one D alike.
TEST(Compare, PerConfigurationEffectMovesTheIntervalToMeans) {
  const std::vector<double> tokens = LogRange(1e8, 16, 5);
  const auto bumpy = [&](double d) {
    const int i =
        static_cast<int>(std::lower_bound(tokens.begin(), tokens.end(), d) - tokens.begin());
    return SteeperBySeven(d) + (i % 2 == 0 ? 0.004 : -0.004);
  };
  const Arms bumps = PairedArms(tokens, 3, 0.003, 0.0005, 5, bumpy);
  const FitResult on_means = *CompareArms(bumps.arm1, bumps.arm2);
  EXPECT_EQ(on_means.provenance.interval_basis, "means and runs");
  EXPECT_LT(on_means.provenance.lack_of_fit_p, 1e-3);
  EXPECT_THAT(
      on_means.provenance.interval_method,
      HasSubstr("t with 3 degrees of freedom on means over seeds of the differences (100% of "
                "the half-width)"));

  const Arms smooth = PairedArms(tokens, 3, 0.003, 0.002, 7, SteeperBySeven);
  const FitResult on_pairs = *CompareArms(smooth.arm1, smooth.arm2);
  ASSERT_GT(on_pairs.provenance.lack_of_fit_p, 0.3) << "choose another seed";
  EXPECT_EQ(on_pairs.provenance.interval_basis, "means and runs");
  EXPECT_THAT(on_pairs.provenance.interval_method,
              AllOf(HasSubstr("t with 3 degrees"), HasSubstr("and 13 on pairs")));
  EXPECT_LT(on_pairs.Find("slope_difference")->high - on_pairs.Find("slope_difference")->low,
            2 * TQuantile(0.975, 3) * 0.0025 / std::sqrt(15 * 0.96));
}

TEST(Compare, SignificantCurvatureGivesTheDifferenceAtBothEnds) {
  const auto bent = [](double d) {
    const double u = std::log(d / 4e8);
    return -0.01 - 0.007 * u + 0.004 * u * u;
  };
  const Arms arms = PairedArms(LogRange(1e8, 16, 5), 3, 0.003, 0.0003, 8, bent);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_NEAR(fit.Find("quadratic")->estimate, 0.004, 0.0005);
  EXPECT_GT(fit.Find("quadratic")->low, 0);
  const double half_range = std::log(16) / 2;
  const FitParameter& at_min = *fit.Find("slope_difference_at_min");
  const FitParameter& at_max = *fit.Find("slope_difference_at_max");
  EXPECT_NEAR(at_min.estimate, -0.007 - 0.008 * half_range, 0.001);
  EXPECT_NEAR(at_max.estimate, -0.007 + 0.008 * half_range, 0.001);
  EXPECT_LT(at_min.low, at_min.estimate);
  EXPECT_GT(at_max.high, at_max.estimate);
  EXPECT_THAT(fit.notes, Contains(HasSubstr("depends on D")));
}

TEST(Compare, RefusesWithoutPairs) {
  const std::vector<Observation> arm1 = {At(1e7, 1e8, 3.0, 0), At(1e7, 2e8, 2.9, 0)};
  const std::vector<Observation> arm2 = {At(1e7, 1e8, 3.0, 1), At(1e7, 4e8, 2.9, 0)};
  const FitResult fit = *CompareArms(arm1, arm2);
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_TRUE(fit.parameters.empty());
  EXPECT_EQ(fit.reason,
            "IMBALANCE: no trial of one arm has a partner at the same N, D and seed in the other: "
            "arm 1 has D = 1e+08, 2e+08 at seeds 0; arm 2 has D = 1e+08, 4e+08 at seeds 0, 1");
  // Where sizes keep them apart, the sizes are named.
  const std::vector<Observation> wide = {At(2e7, 1e8, 3.0, 0), At(2e7, 2e8, 2.9, 0)};
  EXPECT_THAT(CompareArms(arm1, wide)->reason,
              AllOf(HasSubstr("arm 1 has N = 1e+07, D = 1e+08, 2e+08 at seeds 0"),
                    HasSubstr("arm 2 has N = 2e+07, D = 1e+08")));
  EXPECT_EQ(CompareArms(arm1, {})->verdict, FitVerdict::kRefused);
  EXPECT_THAT(CompareArms(arm1, {})->reason, HasSubstr("arm 2 has no trials"));
}

TEST(Compare, RefusesAnIntervalUnderThreeDistinctD) {
  const Arms arms = PairedArms({1e8, 4e8}, 3, 0.003, 0.001, 9, SteeperBySeven);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_THAT(fit.reason, HasSubstr("IMBALANCE: pairs at 2 values of D and 3 are needed"));
  EXPECT_TRUE(std::isfinite(fit.Find("slope_difference")->estimate));
  EXPECT_TRUE(std::isnan(fit.Find("slope_difference")->low));
  EXPECT_TRUE(std::isnan(fit.Find("slope_1")->low));
  EXPECT_TRUE(std::isnan(fit.p_value));
}

TEST(Compare, TrialsWithoutPartnerAreLeftOutAndCounted) {
  Arms arms = PairedArms(LogRange(1e8, 16, 4), 3, 0.003, 0.001, 10, SteeperBySeven);
  const FitResult full = *CompareArms(arms.arm1, arms.arm2);
  Observation extra = At(1e7, 3.2e9, 1.0, 0);
  arms.arm1.push_back(extra);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(fit.Find("slope_difference")->estimate, full.Find("slope_difference")->estimate);
  EXPECT_EQ(fit.n_pairs, 12);
  EXPECT_EQ(fit.n_trials, 25);
  EXPECT_THAT(fit.notes, Contains(HasSubstr("1 trials of arm 1 and 0 of arm 2 have no partner "
                                            "(first: N=1e+07 D=3.2e+09 seed 0)")));
}

TEST(Compare, SeveralSizesHaveAnInterceptEach) {
  Arms arms;
  Noise noise(11);
  for (const double n : {1e6, 4e6}) {
    for (const double d : LogRange(1e8 * n / 1e6, 16, 4)) {
      for (int seed = 0; seed < 2; ++seed) {
        const double base = 3 * std::pow(d / 1e8, -0.1) * std::exp(0.003 * noise.Next());
        // The gap depends on the size, the slope difference does not.
        const double gap = -0.05 * std::log(n / 1e6) - 0.007 * std::log(d / 1e8);
        arms.arm1.push_back(At(n, d, base * std::exp(gap), seed));
        arms.arm2.push_back(At(n, d, base, seed));
      }
    }
  }
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(fit.verdict, FitVerdict::kOk);
  EXPECT_NEAR(fit.Find("slope_difference")->estimate, -0.007, 1e-10);
}

TEST(Compare, TwoTrialsAtOnePlaceAreNoArm) {
  Arms arms = PairedArms(LogRange(1e8, 16, 4), 2, 0.003, 0.001, 12, SteeperBySeven);
  Observation other = arms.arm1[0];
  other.config = "another-rate";
  arms.arm1.push_back(other);
  EXPECT_THAT(CompareArms(arms.arm1, arms.arm2).status().message(),
              AllOf(HasSubstr("another-rate"), HasSubstr("an arm has one of each")));
}

// Each arm's slope is what the arm's own paired trials give, and the difference that of the two.
TEST(Compare, UnequalSeedsWeighAlikeInAllSlopes) {
  const Arms all = PairedArms(LogRange(1e8, 16, 5), 3, 0.003, 0.002, 15, SteeperBySeven);
  Arms arms;
  for (size_t i = 0; i < all.arm1.size(); ++i) {
    if (all.arm1[i].d_tokens > 5e8 && all.arm1[i].seed > 0) continue;
    arms.arm1.push_back(all.arm1[i]);
    arms.arm2.push_back(all.arm2[i]);
  }
  ASSERT_EQ(arms.arm1.size(), 11u);  // 3 3 3 1 1
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  const FitParameter slope1 = *fit.Find("slope_1"), slope2 = *fit.Find("slope_2");
  for (const auto& [slope, arm] : {std::pair(slope1, arms.arm1), std::pair(slope2, arms.arm2)}) {
    const FitResult own = *FitLocalSlope(arm);
    EXPECT_NEAR(slope.estimate, own.Find("slope")->estimate, 1e-12) << slope.name;
    EXPECT_NEAR(slope.low, own.Find("slope")->low, 1e-12) << slope.name;
    EXPECT_NEAR(slope.high, own.Find("slope")->high, 1e-12) << slope.name;
  }
  EXPECT_NEAR(slope1.estimate - slope2.estimate, fit.Find("slope_difference")->estimate, 1e-12);
}

TEST(Compare, SharedTrunksHaveNoInterval) {
  Arms arms = PairedArms(LogRange(1e8, 16, 4), 2, 0.003, 0.001, 13, SteeperBySeven);
  for (Observation& o : arms.arm1) o.cluster = absl::StrCat("trunk", o.seed);
  const FitResult fit = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(fit.verdict, FitVerdict::kRefused);
  EXPECT_THAT(fit.reason, HasSubstr("share trunks"));
}

TEST(Compare, OrderOfTrialsChangesNoBit) {
  Arms arms = PairedArms(LogRange(1e8, 16, 5), 3, 0.003, 0.001, 14, SteeperBySeven);
  const FitResult one = *CompareArms(arms.arm1, arms.arm2);
  std::reverse(arms.arm1.begin(), arms.arm1.end());
  const FitResult two = *CompareArms(arms.arm1, arms.arm2);
  EXPECT_EQ(one.p_value, two.p_value);
  EXPECT_EQ(one.Find("slope_difference")->low, two.Find("slope_difference")->low);
  EXPECT_EQ(one.triples[0].lad, two.triples[0].lad);
}

}  // namespace
}  // namespace loglog
