#ifndef LOGLOG_FIT_NEXT_RUNS_H_
#define LOGLOG_FIT_NEXT_RUNS_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

// What the next trials are to tell.
enum class NextGoal {
  kSlope,       // the local slope of an arm, common to its sizes
  kDifference,  // the difference of two arms' slopes; a step is a pair of trials
  // ln L of an arm at `target` tokens: of one size with a floor where 4 token counts carry one,
  // of several by the joint form E + A*N^-alpha + B*D^-beta
  kPrediction,
  // beta of B*D^-beta beside a free floor, of the same two forms
  kExponent,
};

struct NextOptions {
  NextGoal goal = NextGoal::kSlope;
  double target = 0;         // tokens D, for kPrediction
  double target_params = 0;  // N of a prediction over several sizes; 0: the largest there is
  double budget = 0;         // in units of the cost; steps that would exceed it are not taken
  int steps_max = 12;
  double confidence = 0.95;
};

// A trial that could be added.
struct NextCandidate {
  double n_params = 0;  // one of the sizes there are
  double d_tokens = 0;
};

struct NextStep {
  double n_params = 0;
  double d_tokens = 0;
  double cost = 0;        // of this step: both trials of a pair
  double spent = 0;       // up to and with it
  double half_width = 0;  // expected, of the goal's interval after it
};

struct NextPlan {
  double estimate = kNoNumber;  // of the goal now; a prediction's in ln L
  double half_width = kNoNumber;
  // sd of one trial's ln L, or of one pair's difference, between the seeds of the data.
  double noise = kNoNumber;
  std::string law;  // that the expectation is about
  std::vector<NextStep> steps;
  std::string reason;  // why there are no steps
};

// Chooses, one after another, the trial among `candidates` (each as often as wanted) that
// takes most off c'Cov(theta)c per unit of cost, where c is the goal as a function of the
// law's parameters: greedy, at the noise and the estimates of the data. What configurations
// scatter about the law beyond seeds, the bend of a curve about a line included, no
// repetition takes away. The half-width now is that of the fit, and `half_width` of a
// difference CompareArms'. Slopes over several
// sizes have an intercept for each, as in FitLocalSlope. `cost` is that of one trial, above 0.
// Pure, thread-safe. Without steps and with a reason: too few token counts or sizes, an
// estimate at a bound. INVALID_ARGUMENT: as FitLocalSlope and CompareArms; a target or
// candidate that is no positive number, a size that no trial has.
absl::StatusOr<NextPlan> ChooseNextRuns(absl::Span<const Observation> arm,
                                        absl::Span<const Observation> arm_b,
                                        absl::Span<const NextCandidate> candidates,
                                        absl::FunctionRef<double(const NextCandidate&)> cost,
                                        const NextOptions& options);

// Where trials could be added: at each size its own token counts, between each two in the
// middle of ln D, and 2 and 4 times the largest.
std::vector<NextCandidate> NextCandidates(absl::Span<const Observation> arm);

}  // namespace loglog

#endif  // LOGLOG_FIT_NEXT_RUNS_H_
