#include "fit/bootstrap.h"

#include <cmath>
#include <set>

#include "fit/fit.h"
#include "fit/fitted_testing.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"
#include "fit/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

std::vector<Observation> Curve(int n, int seeds, double sd, uint64_t seed) {
  Noise noise(seed);
  const auto law = [](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); };
  return Planted(LogRange(1e8, 64, n), seeds, sd, &noise, law);
}

std::vector<double> Numbers(const std::vector<FitParameter>& parameters) {
  std::vector<double> numbers;
  for (const FitParameter& p : parameters) numbers.insert(numbers.end(), {p.low, p.high});
  return numbers;
}

TEST(Bootstrap, SameIdSameIntervalAtAnyNumberOfThreads) {
  const Fitted few = FitTo(Law::kSaturating, Curve(7, 2, 0.003, 1));
  const Fitted many = FitTo(Law::kSaturating, Curve(40, 1, 0.003, 1));
  BootstrapOptions options{.resamples = 199, .fit_id = "sweep/fit-1", .cluster = {}};
  const std::vector<double> wild = Numbers(*WildBootstrap(*few.form, few.theta, options));
  const std::vector<double> pairs =
      Numbers(*PairsBootstrap(*many.form, Loss::Huber(1e-3), many.theta, options));
  for (const int threads : {2, 5}) {
    options.threads = threads;
    EXPECT_EQ(Numbers(*WildBootstrap(*few.form, few.theta, options)), wild);
    EXPECT_EQ(Numbers(*PairsBootstrap(*many.form, Loss::Huber(1e-3), many.theta, options)), pairs);
  }
  options.fit_id = "sweep/fit-2";
  EXPECT_NE(Numbers(*WildBootstrap(*few.form, few.theta, options)), wild);
}

TEST(Bootstrap, PairsRefuseFewPoints) {
  const Fitted few = FitTo(Law::kSaturating, Curve(29, 1, 0.003, 1));
  const auto refused = PairsBootstrap(*few.form, Loss::Squares(), few.theta, {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("needs 30 points and there are 29"));
}

TEST(Bootstrap, ActiveBoundHasNoWildBootstrap) {
  Noise noise(1);
  const auto pure = [](double d) { return 4000 * std::pow(d, -0.3); };
  const Fitted at_bound =
      FitTo(Law::kSaturating, Planted(LogRange(1e8, 64, 6), 2, 0, &noise, pure));
  EXPECT_EQ(WildBootstrap(*at_bound.form, at_bound.theta, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Bootstrap, AgreesWithTheProfileOnManyPoints) {
  const std::vector<Observation> trials = Curve(240, 1, 0.003, 3);
  const Fitted fitted = FitTo(Law::kSaturating, trials);
  const FitResult profile = *FitSaturating(trials);
  const BootstrapOptions options{.resamples = 999, .fit_id = "many", .cluster = {}};
  for (const auto& parameters :
       {*WildBootstrap(*fitted.form, fitted.theta, options),
        *PairsBootstrap(*fitted.form, Loss::Squares(), fitted.theta, options)}) {
    for (const FitParameter& p : parameters) {
      const FitParameter& other = *profile.Find(p.name);
      EXPECT_NEAR((p.high - p.low) / (other.high - other.low), 1, 0.25) << p.name;
    }
  }
}

}  // namespace
}  // namespace loglog
