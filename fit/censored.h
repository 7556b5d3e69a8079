#ifndef LOGLOG_FIT_CENSORED_H_
#define LOGLOG_FIT_CENSORED_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/law_fit.h"

namespace loglog {

// A trial whose final loss is known from one side only.
struct CensoredTrial {
  Observation trial;           // `loss` is the known end
  bool loss_is_lower = false;  // true: it ended above (diverged); false: below (stopped early)
};

// A law with and without what stopped and diverged trials say.
struct CensoredFit {
  FitResult without;               // FitLaw on the finished trials
  std::vector<FitParameter> with;  // estimates with the censored trials; no intervals
  double residual_sd = kNoNumber;  // of one trial's ln L, with them
  int n_censored = 0;
  bool converged = false;
};

// Normal errors of ln L; maximum likelihood by expectation-maximization (Tobit). It bounds
// what leaving those trials out may have done to the answer; the default fit leaves them
// out and counts them. INVALID_ARGUMENT: as FitLaw. A refused fit has no `with`.
absl::StatusOr<CensoredFit> FitCensored(absl::Span<const Observation> finished,
                                        absl::Span<const CensoredTrial> censored,
                                        const LawOptions& options);

}  // namespace loglog

#endif  // LOGLOG_FIT_CENSORED_H_
