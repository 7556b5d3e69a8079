#ifndef LOGLOG_FIT_ARMS_H_
#define LOGLOG_FIT_ARMS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/law_fit.h"

namespace loglog {

struct ArmTrials {
  std::string name;
  std::vector<Observation> trials;
};

// One way of sharing parameters between arms.
struct ArmsChoice {
  std::string sharing;  // "all free", "shared E", "shared A, alpha", "shared E, A, alpha"
  int n_parameters = 0;
  double rss = 0;
  double aicc = 0;
  // Root mean square of ln(predicted / observed) at each arm's largest x, predicted from
  // the rest; NaN when the rest cannot carry the form.
  double held_out_error = kNoNumber;
  std::string optimizer_status;
  // "beta[arm]" for each arm's own, "E" for a shared one; estimates with profile
  // intervals for exponents and floors.
  std::vector<FitParameter> parameters;
};

struct ArmsFit {
  std::vector<ArmsChoice> choices;  // all free first
  int best_by_aicc = -1;            // indices into choices; -1 when refused
  int best_by_held_out = -1;
  // When AICc and held-out error disagree, or why there is no fit.
  std::string reason;
};

// Fits all arms at once under every way of sharing that the law has: saturating (E), joint
// (E; A and alpha; all three). Least squares on means over seeds. Both criteria are shown;
// neither decides alone. INVALID_ARGUMENT: as FitLocalSlope, another law, an arm named twice,
// or more arms than kArmsMax.
inline constexpr int kArmsMax = 12;
absl::StatusOr<ArmsFit> FitArms(absl::Span<const ArmTrials> arms, const LawOptions& options);

}  // namespace loglog

#endif  // LOGLOG_FIT_ARMS_H_
