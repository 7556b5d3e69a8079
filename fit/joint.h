#ifndef LOGLOG_FIT_JOINT_H_
#define LOGLOG_FIT_JOINT_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

enum class JointObjective { kLeastSquares, kHuber, kLad };

struct JointOptions {
  JointObjective objective = JointObjective::kLeastSquares;
  double confidence = 0.95;
  double huber_delta = 1e-3;
};

// L = E + A*N^-alpha + B*D^-beta for one arm over several sizes and token counts, on
// means over seeds. Parameters: "beta", "alpha", "E", "B", "A"; profile F intervals of
// the first three under least squares, with a verdict as FitSaturating's on both
// exponents; no intervals (hence refused for them) under the other objectives.
// Refused with a reason under 6 configurations, 3 sizes or 3 token counts.
// INVALID_ARGUMENT: as FitLocalSlope.
absl::StatusOr<FitResult> FitJoint(absl::Span<const Observation> observations,
                                   const JointOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_FIT_JOINT_H_
