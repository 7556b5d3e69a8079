#include "fit/paired_error.h"

#include <cmath>

#include "fit/distributions.h"
#include "fit/planted_testing.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

// The sums of squares whose F has this upper tail.
PairedError WithEffectP(double p, int df, int seeds_df) {
  double low = 0, high = 1e6;
  for (int i = 0; i < 200; ++i) {
    const double f = (low + high) / 2;
    (FUpperTail(f, df, seeds_df) > p ? low : high) = f;
  }
  return PairedError(low * df, df, {.squares = static_cast<double>(seeds_df), .df = seeds_df});
}

TEST(PairedError, WithoutReplicatesItIsPlainT) {
  const PairedError error(6.0, 3, {});
  EXPECT_NEAR(error.HalfWidth(0.95, 4), TQuantile(0.975, 3) * std::sqrt(2.0) / 2, 1e-12);
  EXPECT_TRUE(std::isnan(error.effect_p()));
  EXPECT_NEAR(error.OneSidedP(-1, 4), TCdf(-2 / std::sqrt(2.0), 3), 1e-10);
}

TEST(PairedError, AnEffectMovesItFromPairsToMeans) {
  const PairedError certain = WithEffectP(1e-6, 2, 8), none = WithEffectP(0.9999, 2, 8);
  EXPECT_NEAR(certain.means_part(), 1, 2e-6);
  EXPECT_NEAR(none.means_part(), 0, 2e-4);
  EXPECT_NEAR(WithEffectP(0.5, 2, 8).means_part(), 0.5, 1e-6);
  // The means' end: t with 2 degrees of freedom. The pairs': t with 10 and all the scatter.
  const double f = FQuantile(1 - 1e-6, 2, 8);
  EXPECT_NEAR(certain.HalfWidth(0.95, 1) / (TQuantile(0.9725, 2) * std::sqrt(f)), 1, 1e-5);
  EXPECT_NEAR(none.HalfWidth(0.95, 1), TQuantile(0.955, 10) * std::sqrt(0.8), 1e-3);
}

TEST(PairedError, PIsTheIntervalTurnedAround) {
  for (const double effect_p : {0.02, 0.3, 0.8}) {
    const PairedError error = WithEffectP(effect_p, 3, 10);
    for (const double confidence : {0.5, 0.9, 0.95, 0.999, 1 - 1e-9}) {
      const double edge = error.HalfWidth(confidence, 7);
      EXPECT_NEAR(error.OneSidedP(-edge, 7) / ((1 - confidence) / 2), 1, 1e-6) << confidence;
      EXPECT_NEAR(error.OneSidedP(edge, 7), (1 + confidence) / 2, 1e-9) << confidence;
    }
    EXPECT_EQ(error.OneSidedP(0, 7), 0.5);
  }
  for (const int df : {1, 2, 10, 1000}) {
    const PairedError error = WithEffectP(0.5, df, 4 * df);
    EXPECT_EQ(error.OneSidedP(0, 7), 0.5);
    EXPECT_LT(error.OneSidedP(-1e150, 7), 1e-99);
    EXPECT_EQ(error.OneSidedP(1e150, 7), 1);
  }
}

TEST(PairedError, NoScatterIsCertain) {
  const PairedError error(0, 2, {});
  EXPECT_EQ(error.HalfWidth(0.95, 1), 0);
  EXPECT_EQ(error.OneSidedP(-1e-9, 1), 0);
  EXPECT_EQ(error.OneSidedP(1e-9, 1), 1);
}

// Straight from the distribution of the two scatters, at every size of effect (its variance
// over that of a mean of seeds): no interval misses the band, however many configurations.
TEST(PairedError, CoversWhateverTheEffect) {
  constexpr int kDraws = 20000;
  const auto chi_square = [](Noise* noise, int df) {
    double sum = 0;
    for (int i = 0; i < df; ++i) sum += std::pow(noise->Next(), 2);
    return sum;
  };
  for (const auto& [df, seeds_df] : {std::pair{2, 8}, {2, 4}, {3, 10}, {4, 12}, {6, 16}}) {
    for (const double effect : {0.0, 0.5, 1.0, 2.5, 6.0, 11.0, 30.0}) {
      Noise noise(1000 + df);
      int covered = 0;
      for (int i = 0; i < kDraws; ++i) {
        const double z = std::sqrt(1 + effect) * noise.Next();
        const double rss = (1 + effect) * chi_square(&noise, df);
        const PairedError error(rss, df, {.squares = chi_square(&noise, seeds_df), .df = seeds_df});
        covered += std::fabs(z) <= error.HalfWidth(0.95, 1);
      }
      const double share = static_cast<double>(covered) / kDraws;
      EXPECT_GE(share, 0.93 - 0.003) << df << " and " << seeds_df << " at " << effect;
      EXPECT_LE(share, 0.97 + 0.003) << df << " and " << seeds_df << " at " << effect;
    }
  }
}

}  // namespace
}  // namespace loglog
