#ifndef LOGLOG_COORDINATOR_FITTING_H_
#define LOGLOG_COORDINATOR_FITTING_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fit/fit.h"
#include "store/rows.h"

// From the trials of a sweep to fits as they are stored. Pure; runs in the compute pool.
namespace loglog {

// Which fit of which arms.
struct FitTarget {
  std::string kind;  // "local_slope", "saturating" or "comparison"
  Axis axis = Axis::kTokens;
  std::string arm;
  std::string arm_b;  // comparisons
};

// The arms of these trials, in order of their first trial.
std::vector<std::string> ArmsOf(absl::Span<const ObservationRow> trials);

// Fits what `target` asks for from the DONE trials; diverged and unfinished ones are
// counted in the result. `sweep_id` and `create_ms` are the caller's to fill in.
// A fit that the data cannot carry comes back with verdict REFUSED and its reason.
// INVALID_ARGUMENT: an unknown kind. NOT_FOUND: no such arm; names those that exist.
absl::StatusOr<FitRow> ComputeFit(const FitTarget& target, absl::Span<const ObservationRow> trials);

// SHA-256 over everything that ComputeFit's answer depends on, this code's version
// included: equal hashes mean an equal answer.
std::string FitInputsSha256(const FitTarget& target, absl::Span<const ObservationRow> trials);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_FITTING_H_
