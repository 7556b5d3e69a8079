#include "fit/law_prediction.h"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "fit/form_fit.h"
#include "fit/identified.h"
#include "fit/options.h"
#include "fit/prediction.h"

namespace loglog {
namespace {

absl::Status CheckPlace(const LawOptions& options, const Place& place) {
  const auto is_size = [](double size) { return std::isfinite(size) && size > 0; };
  const char* x = IsJointLaw(options.law) ? "D" : AxisSymbol(options.axis);
  if (!is_size(place.x)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a loss is predicted at a finite positive %s, not at %g", x, place.x));
  }
  if (IsJointLaw(options.law) && !is_size(place.n_params)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ", LawName(options.law), " law is one of N and D: say both, as in N=124M,D=2.5B"));
  }
  return absl::OkStatus();
}

PredictedLoss InLoss(const Place& place, const Prediction& ln) {
  return {.at = place,
          .loss = std::exp(ln.ln_loss),
          .law_low = std::exp(ln.law_low),
          .law_high = std::exp(ln.law_high),
          .trial_low = std::exp(ln.new_low),
          .trial_high = std::exp(ln.new_high),
          .band_low = std::exp(ln.band_low),
          .band_high = std::exp(ln.band_high),
          .extrapolated = ln.extrapolated};
}

}  // namespace

absl::StatusOr<Law> LawOfKind(absl::string_view kind) {
  if (kind == "local_slope") return Law::kPower;
  if (kind == "isoflop" || kind == "comparison") {
    return absl::InvalidArgumentError(absl::StrCat(
        "a fit of kind ", kind, " says no loss; ask one of a law, such as saturating"));
  }
  return ParseLaw(kind);
}

absl::StatusOr<LawPredictions> PredictLaw(absl::Span<const Observation> observations,
                                          const LawOptions& options,
                                          absl::Span<const Place> places) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  if (options.law == Law::kDataConstrained) {
    return absl::InvalidArgumentError(
        "the data_constrained law hangs on unique tokens, which a place does not say; ask the "
        "joint law");
  }
  for (const Place& place : places) LOGLOG_RETURN_IF_ERROR(CheckPlace(options, place));
  const Axis axis = IsJointLaw(options.law) ? Axis::kTokens : options.axis;
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(observations, axis));
  LawPredictions predictions;
  predictions.why = WhyMixed(options.law, means);
  if (!predictions.why.empty()) return predictions;
  predictions.why = WhyTooFew(options.law, means);
  const std::unique_ptr<Form> form = means.points.empty() ? nullptr : MakeForm(options.law, means);
  // A line through two points is a line, if one that nothing is known of.
  const bool some =
      form != nullptr && !IsJointLaw(options.law) && means.n_distinct_x >= form->dim();
  if (!predictions.why.empty() && !some) return predictions;
  const Minimum squares = MinimizeSquares(*form, form->Starts());
  std::optional<FormIntervals> intervals;
  if (predictions.why.empty()) {
    intervals.emplace(*form, squares.theta, squares.value, options.confidence);
    if (means.shared_trunks) {
      predictions.why = kTrunksFault;
      intervals.reset();
    } else if (const auto bounds = ActiveBounds(*form, squares.theta); !bounds.empty()) {
      predictions.why = absl::StrCat("no interval of a loss: ", absl::StrJoin(bounds, "; "));
    } else if (intervals->covariance().empty()) {
      predictions.why = "no interval of a loss: the points do not tell the parameters apart";
    }
  }
  for (const Place& place : places) {
    const std::vector<double> ln_x =
        IsJointLaw(options.law) ? std::vector<double>{std::log(place.n_params), std::log(place.x)}
                                : std::vector<double>{std::log(place.x)};
    predictions.at.push_back(
        InLoss(place, PredictAt(*form, squares.theta, intervals.has_value() ? &*intervals : nullptr,
                                ln_x, /*seeds=*/1, options.confidence)));
  }
  return predictions;
}

std::vector<double> EvenRatios(double low, double high, int n) {
  std::vector<double> values;
  for (int i = 0; i <= n; ++i) {
    values.push_back(i == n ? high : low * std::pow(high / low, static_cast<double>(i) / n));
  }
  return values;
}

}  // namespace loglog
