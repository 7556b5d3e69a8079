#ifndef LOGLOG_CLI_PREDICTED_LOSSES_H_
#define LOGLOG_CLI_PREDICTED_LOSSES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/args.h"
#include "cli/render/plot.h"
#include "cli/render/style.h"
#include "cli/render/table.h"
#include "fit/law_prediction.h"
#include "loglog/v1/common.pb.h"
#include "loglog/v1/sweep_service.pb.h"

// Losses of fitted laws at places that a user names, and along curves.
namespace loglog::cli {

// --at, repeated.
Flag AtFlag();

// A value of --at: "2.5B" on whatever axis a law has, or "N=124M,D=2.5B" by name. NaN: not said.
struct AskedPlace {
  std::string text;
  double bare = kNoNumber;
  double n = kNoNumber;
  double d = kNoNumber;
  double c = kNoNumber;
};
// INVALID_ARGUMENT: no size, an unknown name, a name twice.
absl::StatusOr<std::vector<AskedPlace>> AskedPlaces(const Args& args);
// For the law of `kind` in `axis`; none for a kind that has no loss. INVALID_ARGUMENT: a
// place does not say the size that the law is in.
absl::StatusOr<std::vector<Place>> PlacesFor(const std::vector<AskedPlace>& asked,
                                             const std::string& kind, Axis axis);

std::vector<v1::FitPlace> AsMessages(const std::vector<Place>& places);
// Of a fit that was asked for them.
LawPredictions PredictionsOf(const v1::Fit& fit);

// "loss at D = 4B   3.214  law 95% [3.2, 3.23], a new trial [3.18, 3.25], beyond the data",
// a line each, and why there is no more.
std::vector<std::string> PredictionLines(const v1::Fit& fit, const LawPredictions& predictions);
// The same as columns, of all fits; `predictions` runs beside `fits`.
Table PredictionTable(const std::vector<v1::Fit>& fits,
                      const std::vector<LawPredictions>& predictions);

// "95%": of a fit's intervals.
std::string ConfidenceText(const v1::Fit& fit);

// Where a curve is drawn from `low` to `high`, and on to `beyond` times `high`.
std::vector<Place> CurvePlaces(double low, double high, double beyond, double n_params);
// The curve through predictions in order of x, with its band; dashed beyond `high`. None where
// there are no losses.
std::vector<PlotCurve> CurvesOf(const LawPredictions& predictions, double high);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_PREDICTED_LOSSES_H_
