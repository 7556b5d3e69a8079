#ifndef LOGLOG_FITTING_STOP_LOOK_H_
#define LOGLOG_FITTING_STOP_LOOK_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/fit.h"
#include "fitting/fitter.h"
#include "plan/stop_rule.h"
#include "store/rows.h"

namespace loglog {

// One look at whether a sweep's stop rule holds.
struct StopLook {
  int look = 0;      // from 1, of kLooks
  int n_trials = 0;  // the sweep's first ones, which have all ended
  bool met = false;
  double widest = kNoNumber;  // half-width; NaN where an arm has no interval
  // "stop_when: halfwidth(slope) < 0.003 holds at look 5 of 8 (the first 60 of 96 trials): at
  // most 0.0027 (arm small), at 99.375%"
  std::string reason;
};

// The newest look at these trials, which are all of the sweep, by number: the look number k is
// made of the first k eighths of them once these have ended. So a look depends on what the
// trials found and not on when they ended, and is the same after a restart. nullopt before the
// first one.
absl::StatusOr<std::optional<StopLook>> LookAtRule(const StopRule& rule, const FitPlan& plan,
                                                   absl::Span<const ObservationRow> trials);

}  // namespace loglog

#endif  // LOGLOG_FITTING_STOP_LOOK_H_
