#ifndef LOGLOG_FIT_LAW_PREDICTION_H_
#define LOGLOG_FIT_LAW_PREDICTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/no_number.h"
#include "fit/law_fit.h"
#include "fit/observation.h"

namespace loglog {

// Where a law is asked for its loss.
struct Place {
  double x = 0;         // on the law's axis; tokens D for laws of N and D
  double n_params = 0;  // of laws of N and D; others take no notice
};

// The loss there, with three intervals that answer three questions; NaN where there is none.
struct PredictedLoss {
  Place at;
  double loss = kNoNumber;
  // Where the law is: parameters alone.
  double law_low = kNoNumber;
  double law_high = kNoNumber;
  // Where one new trial will end: parameters and residual noise.
  double trial_low = kNoNumber;
  double trial_high = kNoNumber;
  // Of a band that holds the whole law at once, for pictures.
  double band_low = kNoNumber;
  double band_high = kNoNumber;
  bool extrapolated = false;  // outside the fitted points
};

struct LawPredictions {
  std::vector<PredictedLoss> at;  // as asked for; empty where the law could not be fitted
  std::string why;                // there is no loss, or no interval of it; else empty
};

// The law whose losses a kind of fit speaks of: a local slope's is the power law.
// INVALID_ARGUMENT: a kind that has none, with what to ask instead.
absl::StatusOr<Law> LawOfKind(absl::string_view kind);

// Losses of the least-squares law over means (FitLaw's; of a local slope its line) by the
// delta method with t, the band by Scheffe. Points that are as many as the parameters give
// losses without intervals. INVALID_ARGUMENT: a place that is no finite positive size, one
// without N for a law of N and D; the data-constrained law, which hangs on unique tokens too;
// and as FitLaw.
absl::StatusOr<LawPredictions> PredictLaw(absl::Span<const Observation> observations,
                                          const LawOptions& options,
                                          absl::Span<const Place> places);

// `n` + 1 values from `low` to `high` at equal ratios; for curves.
std::vector<double> EvenRatios(double low, double high, int n);

}  // namespace loglog

#endif  // LOGLOG_FIT_LAW_PREDICTION_H_
