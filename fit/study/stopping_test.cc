// Does an interval hold the truth when its width ended the sweep? With the confidence that each
// look spends it does; with 95% at every look it does not.
#include <algorithm>
#include <cmath>

#include "fit/fit.h"
#include "fit/study/simulate_testing.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

constexpr int kSimulations = 4000;
constexpr double kTruth = -0.1;

double Law(double d) { return 30 * std::pow(d, kTruth); }

// Trials in the order in which a sweep runs them: one seed of everything first.
std::vector<Observation> BySeed(std::vector<Observation> trials) {
  std::stable_sort(trials.begin(), trials.end(),
                   [](const Observation& a, const Observation& b) { return a.seed < b.seed; });
  return trials;
}

// The slope's interval at the first look that is narrow enough, or at the end.
FitParameter AtTheStop(const std::vector<Observation>& trials, double below, double confidence,
                       int* looks) {
  FitParameter slope;
  for (*looks = 1; *looks <= kLooks; ++*looks) {
    const int n = TrialsOfLook(*looks, static_cast<int>(trials.size()));
    const FitResult fit =
        *FitLocalSlope(absl::MakeConstSpan(trials).first(n), {.confidence = confidence});
    if (const FitParameter* found = fit.Find("slope"); found != nullptr) slope = *found;
    if ((slope.high - slope.low) / 2 < below) break;
  }
  return slope;
}

TEST(StoppingStudy, TheIntervalThatEndedASweepHolds) {
  for (const Scatter& scatter : kScatters) {
    for (const double below : {0.002, 0.004, 0.008}) {
      const uint64_t seed = 900;
      Noise noise(seed);
      const std::string what = absl::StrFormat("half-width below %g, %s", below, scatter.name);
      Coverage spent("each look spends its part, " + what, seed);
      Coverage naive("95% at every look, " + what, seed);
      double looks_spent = 0, looks_naive = 0;
      for (int i = 0; i < kSimulations; ++i) {
        const std::vector<Observation> trials =
            BySeed(Scattered(LogRange(1e8, 16, 5), 8, scatter, &noise, Law));
        int looks = 0;
        const FitParameter at = AtTheStop(trials, below, LookConfidence(0.95), &looks);
        spent.Count(at.low, at.high, kTruth);
        looks_spent += looks;
        const FitParameter wrong = AtTheStop(trials, below, 0.95, &looks);
        naive.Count(wrong.low, wrong.high, kTruth);
        looks_naive += looks;
      }
      spent.Check(0.95, 1);
      naive.Print();
      std::printf("  looks until the stop: %.1f and %.1f\n", looks_spent / kSimulations,
                  looks_naive / kSimulations);
    }
  }
}

TEST(StoppingStudy, WrongWayIntervalsOfOneLookEndSweepsThatTheyMiss) {
  const uint64_t seed = 901;
  Noise noise(seed);
  Coverage naive("95% at every look, half-width below 0.002", seed);
  for (int i = 0; i < kSimulations; ++i) {
    int looks = 0;
    const FitParameter at = AtTheStop(
        BySeed(Scattered(LogRange(1e8, 16, 5), 8, kScatters[0], &noise, Law)), 0.002, 0.95, &looks);
    naive.Count(at.low, at.high, kTruth);
  }
  naive.Print();
  EXPECT_LT(naive.share(), 0.93);
}

}  // namespace
}  // namespace loglog
