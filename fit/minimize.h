#ifndef LOGLOG_FIT_MINIMIZE_H_
#define LOGLOG_FIT_MINIMIZE_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace loglog {

// Value at theta; writes the gradient unless it is null.
using ObjectiveFn = absl::FunctionRef<double(const double* theta, double* gradient)>;

struct Box {
  std::vector<double> low;
  std::vector<double> high;
};

// The optimizer's stopping rules are absolute, so an objective of 1e-5 that is not
// scaled up looks converged wherever it starts.
inline constexpr double kObjectiveScale = 1e6;
// Of the scaled objective: leaves less than about 1e-8 of a typical objective to gain.
inline constexpr double kGradientTolerance = 1e-3;
// So many starts must end at the best objective.
inline constexpr int kStartsToAgree = 3;

struct Polished {
  std::vector<double> theta;
  double value = 0;               // unscaled
  double projected_gradient = 0;  // largest component of the scaled objective's
  int evaluations = 0;
  // What the optimizer says of itself. Kept for tests; nothing is selected by it.
  bool claims_success = false;
};

// One local minimization (NLopt LD_LBFGS) from `start`, which is clamped into the box.
Polished Polish(ObjectiveFn objective, const Box& box, absl::Span<const double> start,
                double scale = kObjectiveScale);

// Largest component of the gradient that does not push against an active bound.
double ProjectedGradient(absl::Span<const double> theta, absl::Span<const double> gradient,
                         const Box& box);

struct Minimum {
  std::vector<double> theta;
  double value = 0;
  double projected_gradient = 0;
  int starts_ranked = 0;
  int starts_polished = 0;
  int starts_agreed = 0;  // ended within 1e-9 (relative) of the best objective
  // "CONVERGED"; "MULTIMODAL": fewer than 3 starts agree; "NOT_CONVERGED": the
  // gradient at the best point is not small.
  std::string status;
};

// Ranks `starts` by the objective, polishes the best `polish`, keeps the best end.
// Values closer than `value_noise` count as equal: what rounding leaves of an exact fit.
Minimum MinimizeFromStarts(ObjectiveFn objective, const Box& box,
                           absl::Span<const std::vector<double>> starts, int polish,
                           double value_noise, double scale = kObjectiveScale);

// Counts the ends within 1e-9 (relative), or within `value_noise`, of the best.
void CountAgreement(absl::Span<const double> ends, double value_noise, Minimum* minimum);
// Fills the status from the gradient and the count of agreeing starts.
void SetStatus(Minimum* minimum);

// Least absolute deviations by continuation: Huber's loss, starting each delta where
// the last one ended. Scaled by 1/delta the objective tends to the sum of |r|.
template <typename MinimizeAtDelta>
void ForEachLadDelta(MinimizeAtDelta minimize_at_delta) {
  for (const double delta : {1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9}) minimize_at_delta(delta);
}

}  // namespace loglog

#endif  // LOGLOG_FIT_MINIMIZE_H_
