#ifndef LOGLOG_FIT_LOCAL_SLOPE_H_
#define LOGLOG_FIT_LOCAL_SLOPE_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

struct LocalSlopeOptions {
  Axis axis = Axis::kTokens;
  double confidence = 0.95;
  double huber_delta = 1e-3;
  // Base the interval on single runs when replicates show no per-configuration effect
  // (lack-of-fit F test); otherwise always on means over seeds.
  bool runs_when_no_lack_of_fit = false;
};

// s = d ln L / d ln x over the range of the observations of one arm: least squares on
// means over seeds (weight: number of seeds), t interval. Parameters: "slope", "B" of
// L = B*x^slope (one size only). Several sizes (N on the D axis) share the slope and
// have an intercept each; each one's own slope follows as "slope[N=...]".
// Refused with a reason under 3 configurations; with 2, a point estimate only.
// INVALID_ARGUMENT: an observation that no fit can use (loss not finite and positive,
// a configuration with two sizes, the same configuration and seed twice), or an option
// out of its range (confidence in (0, 1), huber_delta above 0).
absl::StatusOr<FitResult> FitLocalSlope(absl::Span<const Observation> observations,
                                        const LocalSlopeOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_FIT_LOCAL_SLOPE_H_
