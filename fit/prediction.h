#ifndef LOGLOG_FIT_PREDICTION_H_
#define LOGLOG_FIT_PREDICTION_H_

#include <vector>

#include "absl/types/span.h"
#include "fit/form.h"
#include "fit/form_fit.h"

namespace loglog {

// ln L at one place, with three intervals that answer three questions.
struct Prediction {
  double ln_loss = 0;
  // Where the law is: parameters alone (delta and t).
  double law_low = kNoNumber;
  double law_high = kNoNumber;
  // Where a new mean of `seeds` trials will be: parameters and residual noise.
  double new_low = kNoNumber;
  double new_high = kNoNumber;
  // Of a band that holds the whole law at once (Scheffe: p times F(p, df)).
  double band_low = kNoNumber;
  double band_high = kNoNumber;
  // Some covariate lies outside the fitted points'.
  bool extrapolated = false;
};

// `band`: with one; its quantile takes longer than all the rest.
// `theta` and `intervals` of a least-squares minimum of `form`; ends are NaN without
// intervals, when a bound is active or the information singular.
Prediction PredictAt(const Form& form, const std::vector<double>& theta,
                     const FormIntervals* intervals, absl::Span<const double> ln_x, double seeds,
                     double confidence, bool band = true);

}  // namespace loglog

#endif  // LOGLOG_FIT_PREDICTION_H_
