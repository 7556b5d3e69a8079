// Does an interval hold the truth when its width ended the sweep? With the confidence that each
// look spends it does; with 95% at every look it does not.
#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fit/fit.h"
#include "fit/study/simulate_testing.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

constexpr int kSimulations = 4000;
constexpr double kTruth = -0.1;
constexpr double kBeta = 0.35;
constexpr double kDifference = -0.01;

double Law(double d) { return 30 * std::pow(d, kTruth); }
double OtherLaw(double d) { return 30 * std::pow(d, kTruth - kDifference); }
double LawWithFloor(double d) { return 2 + 1.5 * std::pow(d / 8e8, -kBeta); }

// Trials in the order in which a sweep runs them: one seed of everything first.
std::vector<Observation> BySeed(std::vector<Observation> trials) {
  std::stable_sort(trials.begin(), trials.end(),
                   [](const Observation& a, const Observation& b) { return a.seed < b.seed; });
  return trials;
}

// What a rule waits for, of a sweep's first trials; `settled` says that the rule counts it.
struct Waited {
  FitParameter parameter;
  bool settled = false;
};
using Trials = absl::Span<const Observation>;

Waited Slope(Trials trials, double confidence) {
  const FitResult fit = *FitLocalSlope(trials, {.confidence = confidence});
  const FitParameter* slope = fit.Find("slope");
  return slope == nullptr ? Waited() : Waited{*slope, true};
}

Waited Beta(Trials trials, double confidence) {
  const FitResult fit = *FitSaturating(trials, {.confidence = confidence});
  const FitParameter* beta = fit.Find("beta");
  return beta == nullptr ? Waited() : Waited{*beta, fit.verdict == FitVerdict::kIdentified};
}

// The arms are told apart by their configuration.
Waited Difference(Trials trials, double confidence) {
  std::vector<Observation> a, b;
  for (const Observation& o : trials) (absl::StartsWith(o.config, "b") ? b : a).push_back(o);
  const FitResult fit = *CompareArms(a, b, {.confidence = confidence});
  const FitParameter* difference = fit.Find("slope_difference");
  return difference == nullptr ? Waited() : Waited{*difference, true};
}

// The interval at the first look that is narrow enough, or at the end.
FitParameter AtTheStop(Waited (*waited_for)(Trials, double), const std::vector<Observation>& trials,
                       double below, double confidence, int* looks) {
  Waited last;
  for (*looks = 1; *looks <= kLooks; ++*looks) {
    const int n = TrialsOfLook(*looks, static_cast<int>(trials.size()));
    last = waited_for(absl::MakeConstSpan(trials).first(n), confidence);
    const FitParameter& p = last.parameter;
    if (last.settled && (p.high - p.low) / 2 < below) break;
  }
  *looks = std::min(*looks, kLooks);
  return last.parameter;
}

struct Study {
  const char* quantity;
  Waited (*waited_for)(Trials, double);
  double truth;
  std::vector<double> half_widths;
  uint64_t seed;
  int simulations;
  std::vector<Observation> (*sweep)(const Scatter&, Noise*);
};

void RunStudy(const Study& study) {
  for (const Scatter& scatter : kScatters) {
    for (const double below : study.half_widths) {
      Noise noise(study.seed);
      const std::string what =
          absl::StrFormat("halfwidth(%s) < %g, %s", study.quantity, below, scatter.name);
      Coverage spent("each look spends its part, " + what, study.seed);
      Coverage naive("95% at every look, " + what, study.seed);
      double looks_spent = 0, looks_naive = 0;
      for (int i = 0; i < study.simulations; ++i) {
        const std::vector<Observation> trials = BySeed(study.sweep(scatter, &noise));
        int looks = 0;
        const FitParameter at =
            AtTheStop(study.waited_for, trials, below, LookConfidence(0.95), &looks);
        spent.Count(at.low, at.high, study.truth);
        looks_spent += looks;
        const FitParameter wrong = AtTheStop(study.waited_for, trials, below, 0.95, &looks);
        naive.Count(wrong.low, wrong.high, study.truth);
        looks_naive += looks;
      }
      spent.Check(0.95, 1);
      naive.Print();
      std::printf("  looks until the stop: %.1f and %.1f\n", looks_spent / study.simulations,
                  looks_naive / study.simulations);
    }
  }
}

TEST(StoppingStudy, TheSlopeThatEndedASweepHolds) {
  RunStudy({"slope",
            Slope,
            kTruth,
            {0.002, 0.004, 0.008},
            900,
            kSimulations,
            [](const Scatter& scatter, Noise* noise) {
              return Scattered(LogRange(1e8, 16, 5), 8, scatter, noise, Law);
            }});
}

TEST(StoppingStudy, TheExponentThatEndedASweepHolds) {
  RunStudy({"beta",
            Beta,
            kBeta,
            {0.015, 0.03, 0.06},
            902,
            kSimulations / 2,
            [](const Scatter& scatter, Noise* noise) {
              return Scattered(LogRange(1e8, 64, 6), 8, scatter, noise, LawWithFloor);
            }});
}

// The arms share neither scatter nor the effects of a D: pairing gains nothing, which is its
// worst case.
TEST(StoppingStudy, TheSlopeDifferenceThatEndedASweepHolds) {
  RunStudy({"slope_difference",
            Difference,
            kDifference,
            {0.003, 0.006, 0.012},
            903,
            kSimulations,
            [](const Scatter& scatter, Noise* noise) {
              std::vector<Observation> both =
                  Scattered(LogRange(1e8, 16, 5), 8, scatter, noise, Law);
              for (Observation& o : Scattered(LogRange(1e8, 16, 5), 8, scatter, noise, OtherLaw)) {
                o.config = absl::StrCat("b", o.config);
                both.push_back(std::move(o));
              }
              return both;
            }});
}

TEST(StoppingStudy, WrongWayIntervalsOfOneLookEndSweepsThatTheyMiss) {
  const uint64_t seed = 901;
  Noise noise(seed);
  Coverage naive("95% at every look, half-width below 0.002", seed);
  for (int i = 0; i < kSimulations; ++i) {
    int looks = 0;
    const FitParameter at =
        AtTheStop(Slope, BySeed(Scattered(LogRange(1e8, 16, 5), 8, kScatters[0], &noise, Law)),
                  0.002, 0.95, &looks);
    naive.Count(at.low, at.high, kTruth);
  }
  naive.Print();
  EXPECT_LT(naive.share(), 0.93);
}

}  // namespace
}  // namespace loglog
