#include "fit/contrasts.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

TEST(Holm, StepsDownInTheOrderGiven) {
  EXPECT_THAT(HolmAdjusted({0.01, 0.04, 0.03, 0.005}),
              ElementsAre(DoubleNear(0.03, 1e-15), DoubleNear(0.06, 1e-15), DoubleNear(0.06, 1e-15),
                          DoubleNear(0.02, 1e-15)));
  EXPECT_THAT(HolmAdjusted({0.7, 0.9}), ElementsAre(1, 1));
  EXPECT_TRUE(HolmAdjusted({}).empty());
}

TEST(Holm, RefusedContrastsDoNotCount) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> adjusted = HolmAdjusted({nan, 0.02});
  EXPECT_TRUE(std::isnan(adjusted[0]));
  EXPECT_EQ(adjusted[1], 0.02);
}

TEST(FisherExact, KnownTables) {
  // Fisher's tea: 3 of 4 against 1 of 4.
  EXPECT_NEAR(FisherExactP(3, 4, 1, 4), 34.0 / 70, 1e-12);
  // 1 of 10 against 11 of 14: the textbook's 0.0027594562.
  EXPECT_NEAR(FisherExactP(1, 10, 11, 14), 0.0027594561852200836, 1e-12);
  EXPECT_NEAR(FisherExactP(11, 14, 1, 10), 0.0027594561852200836, 1e-12);
  EXPECT_EQ(FisherExactP(0, 12, 0, 12), 1);
  EXPECT_EQ(FisherExactP(12, 12, 12, 12), 1);
  EXPECT_EQ(FisherExactP(0, 0, 3, 12), 1);
}

}  // namespace
}  // namespace loglog
