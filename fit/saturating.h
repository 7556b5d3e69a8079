#ifndef LOGLOG_FIT_SATURATING_H_
#define LOGLOG_FIT_SATURATING_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

struct SaturatingOptions {
  Axis axis = Axis::kTokens;
  double confidence = 0.95;
  double huber_delta = 1e-3;
};

// L = E + B*x^-beta with E free, for one arm at one size: least squares of ln residuals
// on means over seeds, profile F intervals of beta and E, delta intervals of B and of
// the elasticity -beta*(L-E)/L at the largest x. Parameters: "beta", "E", "B",
// "elasticity" ("alpha", "E", "A" on the N axis). Verdict identified / not identified;
// refused with a reason under 4 configurations or when several sizes are mixed.
// INVALID_ARGUMENT: as FitLocalSlope.
absl::StatusOr<FitResult> FitSaturating(absl::Span<const Observation> observations,
                                        const SaturatingOptions& options = {});

// Elasticity d ln L / d ln x of a saturating fit at x; NaN for a fit without parameters.
double ElasticityAt(const FitResult& saturating, double x);

}  // namespace loglog

#endif  // LOGLOG_FIT_SATURATING_H_
