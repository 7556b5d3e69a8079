#include "fit/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "fit/fit.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What each kind of fit says to these options, on no data: they are looked at first.
template <typename Check>
void ForEveryFit(double confidence, double delta, Check check) {
  check(FitLocalSlope({}, {.confidence = confidence, .huber_delta = delta}).status());
  check(FitSaturating({}, {.confidence = confidence, .huber_delta = delta}).status());
  check(FitJoint({}, {.confidence = confidence, .huber_delta = delta}).status());
  check(CompareArms({}, {}, {.confidence = confidence, .huber_delta = delta}).status());
}

TEST(Options, ConfidenceIsAShare) {
  for (const double confidence : {0.0, 1.0, -0.5, 95.0, kNan, kInfinity}) {
    ForEveryFit(confidence, 1e-3, [&](const absl::Status& status) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << confidence << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("such as 0.95"));
    });
  }
}

TEST(Options, DeltaIsAboveZero) {
  for (const double delta : {0.0, -1e-3, kNan, kInfinity}) {
    ForEveryFit(0.95, delta, [&](const absl::Status& status) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << delta << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("huber_delta"));
    });
  }
  ForEveryFit(0.9, 1, [](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; });
}

}  // namespace
}  // namespace loglog
