#include "cli/predicted_losses.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

constexpr int kDigits = 4;
constexpr int kCurveSteps = 60;
constexpr int kBeyondSteps = 20;

bool HasLoss(const std::string& kind) { return kind != "comparison" && kind != "isoflop"; }

absl::Status BadPlace(const std::string& text, absl::string_view why) {
  return WithHint(absl::InvalidArgumentError(absl::StrCat("--at is `", text, "`: ", why)),
                  "write --at 2.5B for a law in one size, or --at N=124M,D=2.5B");
}

absl::StatusOr<AskedPlace> ParsePlace(const std::string& text) {
  AskedPlace place = {.text = text};
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> named =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const bool bare = part.find('=') == absl::string_view::npos;
    double* const size = bare                 ? &place.bare
                         : named.first == "N" ? &place.n
                         : named.first == "D" ? &place.d
                         : named.first == "C" ? &place.c
                                              : nullptr;
    if (size == nullptr) {
      return BadPlace(text, absl::StrCat("`", named.first, "` is none of N, D and C"));
    }
    if (!std::isnan(*size)) return BadPlace(text, "it says one size twice");
    if (!ReadSize(bare ? part : named.second, size) || !(*size > 0 && std::isfinite(*size))) {
      return BadPlace(
          text, absl::StrCat("`", bare ? part : named.second, "` is no finite positive size"));
    }
  }
  return place;
}

std::string PlaceText(const v1::Fit& fit, const Place& at) {
  return absl::StrCat(at.n_params > 0 ? absl::StrCat("N = ", HumanCount(at.n_params), ", ") : "",
                      fit.axis(), " = ", HumanCount(at.x));
}

}  // namespace

Flag AtFlag() {
  return {.name = "at",
          .value = "PLACE",
          .help =
              "also the loss that each law says at a size: 2.5B, or N=124M,D=2.5B; with -o csv "
              "or json nothing else",
          .repeated = true};
}

absl::StatusOr<std::vector<AskedPlace>> AskedPlaces(const Args& args) {
  std::vector<AskedPlace> places;
  for (const std::string& text : args.All("at")) {
    LOGLOG_ASSIGN_OR_RETURN(AskedPlace place, ParsePlace(text));
    places.push_back(std::move(place));
  }
  return places;
}

absl::StatusOr<std::vector<Place>> PlacesFor(const std::vector<AskedPlace>& asked,
                                             const std::string& kind, Axis axis) {
  std::vector<Place> places;
  if (!HasLoss(kind)) return places;
  LOGLOG_ASSIGN_OR_RETURN(const Law law, LawOfKind(kind));
  const bool joint = IsJointLaw(law);
  const char* symbol = joint ? "D" : AxisSymbol(axis);
  for (const AskedPlace& place : asked) {
    const double named = joint || axis == Axis::kTokens ? place.d
                         : axis == Axis::kParams        ? place.n
                                                        : place.c;
    const double x = std::isnan(named) ? place.bare : named;
    if (std::isnan(x)) {
      return BadPlace(place.text,
                      absl::StrCat("the ", kind, " fit is in ", symbol, ", which it does not say"));
    }
    if (joint && std::isnan(place.n)) {
      return BadPlace(place.text,
                      absl::StrCat("the ", kind, " law is one of N and D; it says no N"));
    }
    places.push_back({.x = x, .n_params = joint ? place.n : 0});
  }
  return places;
}

std::vector<v1::FitPlace> AsMessages(const std::vector<Place>& places) {
  std::vector<v1::FitPlace> messages;
  for (const Place& place : places) {
    v1::FitPlace& message = messages.emplace_back();
    message.set_x(place.x);
    message.set_n_params(place.n_params);
  }
  return messages;
}

LawPredictions PredictionsOf(const v1::Fit& fit) {
  LawPredictions predictions = {.at = {}, .why = fit.why_unpredicted()};
  for (const v1::PredictedLoss& one : fit.predictions()) {
    predictions.at.push_back({.at = {.x = one.x(), .n_params = one.n_params()},
                              .loss = one.loss(),
                              .law_low = one.law_low(),
                              .law_high = one.law_high(),
                              .trial_low = one.trial_low(),
                              .trial_high = one.trial_high(),
                              .band_low = one.band_low(),
                              .band_high = one.band_high(),
                              .extrapolated = one.extrapolated()});
  }
  return predictions;
}

std::string ConfidenceText(const v1::Fit& fit) {
  const nlohmann::json provenance = nlohmann::json::parse(fit.provenance_json(), nullptr, false);
  double confidence = 0.95;
  if (provenance.is_object()) {
    const auto said = provenance.find("confidence");
    if (said != provenance.end() && said->is_number()) confidence = said->get<double>();
  }
  return absl::StrCat(Significant(100 * confidence, 6), "%");
}

std::vector<std::string> PredictionLines(const v1::Fit& fit, const LawPredictions& predictions) {
  std::vector<std::string> lines;
  for (const PredictedLoss& one : predictions.at) {
    std::string line =
        absl::StrCat("loss at ", PlaceText(fit, one.at), "  ", Significant(one.loss, kDigits));
    if (!std::isnan(one.law_low)) {
      absl::StrAppend(&line, "  law ", ConfidenceText(fit), " ",
                      Interval(one.law_low, one.law_high, kDigits), ", a new trial ",
                      Interval(one.trial_low, one.trial_high, kDigits));
    }
    if (one.extrapolated) absl::StrAppend(&line, ", beyond the data");
    lines.push_back(std::move(line));
  }
  if (!predictions.why.empty()) {
    lines.push_back(absl::StrCat(predictions.at.empty() ? "no loss: " : "", predictions.why));
  }
  return lines;
}

Table PredictionTable(const std::vector<v1::Fit>& fits,
                      const std::vector<LawPredictions>& predictions) {
  Table table;
  table.kind = "losses";
  table.columns = {{"kind"},
                   {"axis"},
                   {"arm"},
                   {"x", true},
                   {"n_params", true},
                   {"loss", true},
                   {"law_low", true},
                   {"law_high", true},
                   {"trial_low", true},
                   {"trial_high", true},
                   {"band_low", true, true},
                   {"band_high", true, true},
                   {"extrapolated"},
                   {"verdict"},
                   {"message", false, true, true}};
  for (size_t i = 0; i < fits.size(); ++i) {
    const v1::Fit& fit = fits[i];
    std::vector<PredictedLoss> at = predictions[i].at;
    // A law that says no loss says why.
    if (at.empty() && !predictions[i].why.empty()) at.push_back({.at = {.x = kNoNumber}});
    for (const PredictedLoss& one : at) {
      table.rows.push_back(
          {Cell::Text(fit.kind()), Cell::Text(fit.axis()), Cell::Text(fit.arm()),
           Cell::Count(one.at.x), one.at.n_params > 0 ? Cell::Count(one.at.n_params) : Cell::None(),
           Cell::Real(one.loss, kDigits), Cell::Real(one.law_low, kDigits),
           Cell::Real(one.law_high, kDigits), Cell::Real(one.trial_low, kDigits),
           Cell::Real(one.trial_high, kDigits), Cell::Real(one.band_low, kDigits),
           Cell::Real(one.band_high, kDigits), Cell::Bool(one.extrapolated),
           Cell::Text(VerdictWord(fit.verdict())), Cell::Text(predictions[i].why)});
    }
  }
  return table;
}

std::vector<Place> CurvePlaces(double low, double high, double beyond, double n_params) {
  std::vector<Place> places;
  if (!(low > 0 && high > low)) return places;
  for (const double x : EvenRatios(low, high, kCurveSteps)) {
    places.push_back({.x = x, .n_params = n_params});
  }
  if (beyond <= 1) return places;
  const std::vector<double> after = EvenRatios(high, high * beyond, kBeyondSteps);
  for (size_t i = 1; i < after.size(); ++i) places.push_back({.x = after[i], .n_params = n_params});
  return places;
}

std::vector<PlotCurve> CurvesOf(const LawPredictions& predictions, double high) {
  PlotCurve inside, beyond = {.dashed = true};
  const auto add = [](const PredictedLoss& one, PlotCurve* curve) {
    curve->points.push_back({one.at.x, one.loss});
    if (std::isnan(one.band_low)) return;
    curve->band_low.push_back({one.at.x, one.band_low});
    curve->band_high.push_back({one.at.x, one.band_high});
  };
  for (const PredictedLoss& one : predictions.at) {
    if (!(std::isfinite(one.loss) && one.loss > 0)) return {};
    if (one.at.x <= high) add(one, &inside);
    if (one.at.x >= high) add(one, &beyond);
  }
  std::vector<PlotCurve> curves;
  if (inside.points.size() > 1) curves.push_back(std::move(inside));
  if (beyond.points.size() > 1) curves.push_back(std::move(beyond));
  return curves;
}

}  // namespace loglog::cli
