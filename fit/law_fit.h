#ifndef LOGLOG_FIT_LAW_FIT_H_
#define LOGLOG_FIT_LAW_FIT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fit/form.h"
#include "fit/means.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

enum class Law {
  kPower,            // L = B*x^-beta
  kSaturating,       // L = E + B*x^-beta
  kJoint,            // L = E + A*N^-alpha + B*D^-beta
  kEqualExponent,    // the same with alpha = beta
  kKaplan,           // L = ((A*N^-alpha)^(1/beta) + (B*D^-beta)^(1/beta))^beta
  kDataConstrained,  // the joint form with repeated data, see RepeatedDataForm
  kBroken,           // a power law with one break; to be asked for, never chosen by itself
};

// "power", "saturating", "joint", "equal_exponent", "kaplan", "data_constrained", "broken".
const char* LawName(Law law);
// INVALID_ARGUMENT: lists the names.
absl::StatusOr<Law> ParseLaw(absl::string_view name);
// Of N and D together; such a law has no axis.
bool IsJointLaw(Law law);

struct LawOptions {
  Law law = Law::kSaturating;
  Axis axis = Axis::kTokens;  // of laws in one variable
  double confidence = 0.95;
  double huber_delta = 1e-3;
};

// Any form, for one arm: least squares of ln residuals on means over seeds, profile F
// intervals (delta and t for terms), every parameter under all three objectives, AICc,
// rolling-origin and leave-largest-out errors, status and verdict.
// A law's exponents must each be identified, as FitSaturating's.
// Refused with a reason and status TOO_FEW_POINTS when the form has more parameters than
// the points carry. INVALID_ARGUMENT: as FitLocalSlope.
absl::StatusOr<FitResult> FitLaw(absl::Span<const Observation> observations,
                                 const LawOptions& options);

// The form of a law over these points. Needs at least one point.
std::unique_ptr<Form> MakeForm(Law law, const ConfigMeans& means);
// The covariates of a point, as the law's form has its columns.
std::vector<double> ColumnsOf(Law law, const ConfigMean& point);
// Why the trials are not those of one law in one variable: they mix sizes that it does not
// know of. Empty when they do not.
std::string WhyMixed(Law law, const ConfigMeans& means);
// Why these points cannot carry the law; empty when they can.
std::string WhyTooFew(Law law, const ConfigMeans& means);

}  // namespace loglog

#endif  // LOGLOG_FIT_LAW_FIT_H_
