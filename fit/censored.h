#ifndef LOGLOG_FIT_CENSORED_H_
#define LOGLOG_FIT_CENSORED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fit/law_fit.h"
#include "nlohmann/json_fwd.hpp"

namespace loglog {

// A trial whose final loss is known from one side only.
struct CensoredTrial {
  Observation trial;           // `loss` is the known end
  bool loss_is_lower = false;  // true: it ended above (diverged); false: below (stopped early)
};

// A law with and without what stopped and diverged trials say.
struct CensoredFit {
  FitResult without;               // FitLaw on the finished trials
  std::vector<FitParameter> with;  // with the censored trials; intervals are delta-t
  double residual_sd = kNoNumber;  // of one trial's ln L, with them
  int n_censored = 0;
  bool converged = false;
  std::string why_not;  // why there is no `with`
};

// Normal errors of ln L; maximum likelihood by expectation-maximization (Tobit). It bounds
// what leaving those trials out may have done to the answer; the default fit leaves them
// out and counts them. Intervals come from the observed information of the parameters and
// ln sd, with t on all trials less the parameters; each trial counts by itself, so where the
// seeds of a configuration share an effect they are too narrow. They are NaN where a bound is
// active or the information is singular.
// INVALID_ARGUMENT: as FitLaw. A refused fit has no `with`.
absl::StatusOr<CensoredFit> FitCensored(absl::Span<const Observation> finished,
                                        absl::Span<const CensoredTrial> censored,
                                        const LawOptions& options);

// The same for a kind of fit as it is stored: the name of a law, or "local_slope", which with
// one size is a power law whose slope is -beta. Kinds that no law is for, and slopes over
// several sizes, have a `why_not`.
absl::StatusOr<CensoredFit> FitCensoredKind(absl::string_view kind, Axis axis,
                                            absl::Span<const Observation> finished,
                                            absl::Span<const CensoredTrial> censored);

// {"n", "parameters": {name: {"without", "with", "low", "high"}}, "residual_sd", "converged"},
// or {"n", "why_not"}.
nlohmann::json CensoredJson(const CensoredFit& fit);

}  // namespace loglog

#endif  // LOGLOG_FIT_CENSORED_H_
