#ifndef LOGLOG_FIT_COMPARE_H_
#define LOGLOG_FIT_COMPARE_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

struct CompareOptions {
  Axis axis = Axis::kTokens;
  double confidence = 0.95;
  double huber_delta = 1e-3;
};

// Is arm 1 steeper than arm 2? Pairs by (N, D, seed), d = ln L1 - ln L2 regressed on
// ln x: the slope is s1 - s2, negative when arm 1 is steeper. Intervals by t, between
// that on pairs and that on means over seeds by how much d shows an effect of
// configurations (PairedError).
// Parameters: "slope_difference"; "efficiency_ratio" (in the middle of the range arm 1
// reaches arm 2's loss with r times the x); "quadratic" (curvature of d in ln x), and
// when that is significant "slope_difference_at_min" and "slope_difference_at_max";
// "slope_1", "slope_2" (each arm's own, on means over seeds of the pairs).
// FitResult::points hold the means of d, in mean_loss, not losses.
// FitResult::p_value is one-sided. Refused with a reason (IMBALANCE) without pairs or
// with fewer than 3 distinct x among the pairs.
// INVALID_ARGUMENT: as FitLocalSlope, and two trials of an arm at one (N, D, seed).
absl::StatusOr<FitResult> CompareArms(absl::Span<const Observation> arm1,
                                      absl::Span<const Observation> arm2,
                                      const CompareOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_FIT_COMPARE_H_
