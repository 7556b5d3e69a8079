#include "cli/csv_fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/context.h"
#include "cli/csv_source.h"
#include "cli/exit_codes.h"
#include "cli/fit_report.h"
#include "cli/predicted_losses.h"
#include "cli/render/plot.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "fit/csv_points.h"
#include "fit/fit.h"
#include "fit/means.h"
#include "fitting/beside.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

// How far beyond the points a curve is drawn, dashed.
constexpr double kExtrapolation = 4;
constexpr size_t kComparedMax = 4;  // arms

v1::Fit::Verdict ProtoVerdict(FitVerdict verdict) {
  switch (verdict) {
    case FitVerdict::kOk:
      return v1::Fit::OK;
    case FitVerdict::kIdentified:
      return v1::Fit::IDENTIFIED;
    case FitVerdict::kNotIdentified:
      return v1::Fit::NOT_IDENTIFIED;
    case FitVerdict::kRefused:
      return v1::Fit::REFUSED;
  }
  return v1::Fit::REFUSED;
}

// As a coordinator would hand it out; nothing is stored.
v1::Fit ProtoOf(FitResult result, const CsvArm& arm, const CsvArm* arm_b) {
  std::vector<ArmEnds> ends;
  for (const CsvArm* own : {&arm, arm_b}) {
    if (own == nullptr) continue;
    ends.push_back({own->name, static_cast<int64_t>(own->trials.size()), own->diverged});
  }
  for (std::string& note : DivergedNotes(ends)) result.notes.push_back(std::move(note));
  v1::Fit fit;
  fit.set_kind(result.kind);
  fit.set_axis(AxisSymbol(result.axis));
  fit.set_arm(arm.name);
  if (arm_b != nullptr) fit.set_arm_b(arm_b->name);
  fit.set_definition(result.definition);
  fit.set_form(result.form);
  for (const FitParameter& p : result.parameters) {
    v1::Parameter* parameter = fit.add_parameters();
    parameter->set_name(p.name);
    parameter->set_estimate(p.estimate);
    parameter->set_low(p.low);
    parameter->set_high(p.high);
  }
  fit.set_verdict(ProtoVerdict(result.verdict));
  fit.set_message(result.cure.empty() || result.verdict == FitVerdict::kOk
                      ? result.reason
                      : absl::StrCat(result.reason, ". To cure it: ", result.cure));
  fit.set_n_trials(result.n_trials);
  fit.set_n_configs(result.n_configs);
  fit.set_n_pairs(result.n_pairs);
  fit.set_n_diverged(arm.diverged + (arm_b != nullptr ? arm_b->diverged : 0));
  fit.set_n_unfinished(arm.empty + (arm_b != nullptr ? arm_b->empty : 0));
  fit.set_x_min(result.x_min);
  fit.set_x_max(result.x_max);
  fit.set_p_value(result.p_value);
  nlohmann::json provenance = ProvenanceJson(result);
  if (arm_b == nullptr && !arm.censored.empty()) {
    const absl::StatusOr<CensoredFit> censored =
        FitCensoredKind(result.kind, result.axis, arm.trials, arm.censored);
    provenance["censored"] =
        censored.ok() ? CensoredJson(*censored)
                      : nlohmann::json{{"n", arm.censored.size()},
                                       {"why_not", std::string(censored.status().message())}};
  }
  fit.set_provenance_json(provenance.dump());
  fit.set_leave_largest_out_error(result.leave_largest_out_error);
  for (const FitMean& mean : result.points) {
    v1::FitPoint* point = fit.add_points();
    point->set_x(mean.x);
    point->set_mean_loss(mean.mean_loss);
    point->set_sd_loss(mean.sd_loss);
    point->set_n(mean.n);
  }
  return fit;
}

// Leaves out the rows with the highest losses over all arms, as published fits do.
absl::Status DropHighest(int64_t count, CsvPoints* points) {
  size_t rows = 0;
  for (const CsvArm& arm : points->arms) rows += arm.trials.size();
  if (count > 0 && static_cast<size_t>(count) >= rows) {
    return absl::InvalidArgumentError(absl::StrCat("--drop-highest ", count, " leaves nothing of ",
                                                   Plural(static_cast<int64_t>(rows), "row"),
                                                   " with a loss"));
  }
  for (; count > 0; --count) {
    std::vector<Observation>* from = nullptr;
    size_t at = 0;
    for (CsvArm& arm : points->arms) {
      for (size_t i = 0; i < arm.trials.size(); ++i) {
        if (from != nullptr && arm.trials[i].loss <= (*from)[at].loss) continue;
        from = &arm.trials;
        at = i;
      }
    }
    from->erase(from->begin() + static_cast<int64_t>(at));
  }
  return absl::OkStatus();
}

// Those that are asked for; all when none is.
absl::Status KeepArms(const std::vector<std::string>& asked, const std::string& path,
                      std::vector<CsvArm>* arms) {
  if (asked.empty()) return absl::OkStatus();
  for (const std::string& name : asked) {
    if (std::none_of(arms->begin(), arms->end(),
                     [&](const CsvArm& arm) { return arm.name == name; })) {
      return absl::NotFoundError(absl::StrCat("no row of ", path, " has arm `", name, "`"));
    }
  }
  std::erase_if(*arms, [&](const CsvArm& arm) {
    return std::find(asked.begin(), asked.end(), arm.name) == asked.end();
  });
  return absl::OkStatus();
}

// The same for another law.
LawOptions With(LawOptions options, Law law) {
  options.law = law;
  return options;
}

// `options` say how, whatever the form.
absl::StatusOr<std::vector<FitResult>> FitsOf(const CsvArm& arm, const std::string& form,
                                              const LawOptions& options) {
  const Axis axis = options.axis;
  const double confidence = options.confidence;
  const double huber_delta = options.huber_delta;
  std::vector<FitResult> fits;
  const auto add = [&](absl::StatusOr<FitResult> fit) {
    if (!fit.ok()) return fit.status();
    fits.push_back(*std::move(fit));
    return absl::OkStatus();
  };
  if (form == "isoflop") {
    LOGLOG_ASSIGN_OR_RETURN(IsoFlopFit fit, FitIsoFlop(arm.trials, {.confidence = confidence}));
    fits.push_back(std::move(fit.law));
  } else if (form == "local_slope") {
    LOGLOG_RETURN_IF_ERROR(add(FitLocalSlope(
        arm.trials, {.axis = axis, .confidence = confidence, .huber_delta = huber_delta})));
  } else if (!form.empty()) {
    LOGLOG_ASSIGN_OR_RETURN(const Law law, ParseLaw(form));
    LOGLOG_RETURN_IF_ERROR(add(FitLaw(arm.trials, With(options, law))));
  } else if (CarriesJointForm(arm.trials)) {
    LOGLOG_RETURN_IF_ERROR(
        add(FitJoint(arm.trials, {.confidence = confidence, .huber_delta = huber_delta})));
  } else {
    LOGLOG_RETURN_IF_ERROR(add(FitLocalSlope(
        arm.trials, {.axis = axis, .confidence = confidence, .huber_delta = huber_delta})));
    LOGLOG_RETURN_IF_ERROR(add(FitSaturating(
        arm.trials, {.axis = axis, .confidence = confidence, .huber_delta = huber_delta})));
  }
  return fits;
}

// Every pair of arms, p-values adjusted over all of them.
absl::StatusOr<std::vector<v1::Fit>> Comparisons(const CsvPoints& points,
                                                 const LawOptions& options) {
  std::vector<v1::Fit> fits;
  std::vector<double> p_values;
  for (size_t a = 0; a < points.arms.size(); ++a) {
    for (size_t b = a + 1; b < points.arms.size(); ++b) {
      const CsvArm& arm = points.arms[a];
      const CsvArm& arm_b = points.arms[b];
      LOGLOG_ASSIGN_OR_RETURN(
          FitResult result, CompareArms(CsvComparable(points, arm), CsvComparable(points, arm_b),
                                        {.axis = options.axis, .confidence = options.confidence}));
      result.n_trials = static_cast<int>(arm.trials.size() + arm_b.trials.size());
      if (!points.has_seeds) result.notes.push_back(kNoSeeds);
      p_values.push_back(TwoSidedP(result.p_value));
      fits.push_back(ProtoOf(std::move(result), arm, &arm_b));
    }
  }
  const std::vector<double> adjusted = AdjustedOverFamily(p_values);
  for (size_t i = 0; i < fits.size(); ++i) {
    if (std::isnan(adjusted[i])) continue;
    nlohmann::json provenance = nlohmann::json::parse(fits[i].provenance_json());
    provenance["holm"] = {{"m", p_values.size()}, {"p_adjusted", adjusted[i]}};
    fits[i].set_provenance_json(provenance.dump());
  }
  return fits;
}

// What the arms may share, with both criteria; empty where the form has nothing to share.
absl::StatusOr<std::string> SharingReport(const CsvPoints& points, const std::string& form,
                                          Axis axis) {
  std::vector<ArmTrials> arms;
  for (const CsvArm& arm : points.arms) arms.push_back({arm.name, arm.trials});
  const Law law = SharedLaw(form, arms);
  if (arms.size() < 2 || arms.size() > kComparedMax || !(form.empty() || form == LawName(law))) {
    return std::string();
  }
  LOGLOG_ASSIGN_OR_RETURN(const ArmsFit fit, FitArms(arms, {.law = law, .axis = axis}));
  std::string out = absl::StrCat("What the arms share (", LawName(law), " form)\n");
  for (size_t i = 0; i < fit.choices.size(); ++i) {
    const ArmsChoice& choice = fit.choices[i];
    const bool aicc = static_cast<int>(i) == fit.best_by_aicc;
    const bool held_out = static_cast<int>(i) == fit.best_by_held_out;
    absl::StrAppend(&out, "  ", PadRight(choice.sharing, 18),
                    Plural(choice.n_parameters, "parameter"), ", AICc ",
                    Significant(choice.aicc, 4), aicc ? " (least)" : "", ", largest ",
                    AxisSymbol(axis), " held out ",
                    std::isnan(choice.held_out_error)
                        ? "-"
                        : absl::StrCat(Significant(100 * choice.held_out_error, 3), "%"),
                    held_out ? " (least)" : "", "\n");
  }
  if (!fit.reason.empty()) absl::StrAppend(&out, "  ", Printable(fit.reason), "\n");
  return out;
}

// Sizes whose curves of a law of N and D are drawn: smallest, middle and largest.
std::vector<double> SizesToDraw(const CsvArm& arm, Law law) {
  if (!IsJointLaw(law)) return {0};
  std::set<double> all;
  for (const Observation& o : arm.trials) all.insert(o.n_params);
  const std::vector<double> sizes(all.begin(), all.end());
  return {sizes.front(), sizes[sizes.size() / 2], sizes.back()};
}

// Points, and each fitted curve with its band, dashed beyond their range.
absl::StatusOr<PlotSeries> SeriesOf(const CsvArm& arm, const LawOptions& options,
                                    const std::vector<FitResult>& fits) {
  const Axis axis = options.axis;
  PlotSeries series;
  const Grouping grouping(axis, arm.trials);
  std::map<std::pair<double, double>, std::vector<double>> by_x;  // and by what is held fixed
  for (const Observation& o : arm.trials) {
    series.trials.push_back({AxisValue(o, axis), o.loss});
    by_x[{AxisValue(o, axis), grouping.SizeOf(o)}].push_back(o.loss);
  }
  for (const auto& [at, losses] : by_x) {
    double mean = 0;
    for (const double loss : losses) mean += loss / static_cast<double>(losses.size());
    series.means.push_back({at.first, mean});
  }
  std::vector<std::string> legend;
  for (const FitResult& fit : fits) {
    if (!(fit.x_max > fit.x_min) || fit.parameters.empty()) continue;
    const FitParameter& p = fit.parameters.front();
    legend.push_back(
        absl::StrCat(p.name, " ", Significant(p.estimate, 3), " ", Interval(p.low, p.high, 3)));
    const absl::StatusOr<Law> law = LawOfKind(fit.kind);
    // What hangs on more than the picture has axes for is told in numbers.
    if (!law.ok() || *law == Law::kDataConstrained) continue;
    for (const double n : SizesToDraw(arm, *law)) {
      LOGLOG_ASSIGN_OR_RETURN(const LawPredictions predictions,
                              PredictLaw(arm.trials, With(options, *law),
                                         CurvePlaces(fit.x_min, fit.x_max, kExtrapolation, n)));
      for (PlotCurve& curve : CurvesOf(predictions, fit.x_max)) {
        series.curves.push_back(std::move(curve));
      }
    }
  }
  series.name = absl::StrCat(arm.name, arm.name.empty() ? "" : ": ", absl::StrJoin(legend, ", "));
  return series;
}

absl::Status WriteSvg(const Plot& plot, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  file << RenderSvgPlot(plot);
  file.close();
  if (file) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot write ", path, ": check the folder and the disk"));
}

}  // namespace

std::vector<Flag> CsvFitFlags() {
  std::vector<Flag> flags = CsvSourceFlags();
  flags.insert(flags.end(),
               {{.name = "form",
                 .value = "FORM",
                 .help = "csv: one form instead of slope and floor",
                 .choices = {"local_slope", "power", "saturating", "joint", "equal_exponent",
                             "kaplan", "data_constrained", "broken", "isoflop"}},
                {.name = "drop-highest",
                 .value = "COUNT",
                 .help = "csv: leave out the rows with the highest losses",
                 .default_value = "0"},
                {.name = "confidence",
                 .value = "SHARE",
                 .help = "csv: of all intervals",
                 .default_value = "0.95"},
                {.name = "delta",
                 .value = "DELTA",
                 .help = "csv: Huber's delta, of the estimates under that objective (-o wide)",
                 .default_value = "1e-3"},
                {.name = "svg", .value = "FILE", .help = "csv: also draw points and curves"}});
  return flags;
}

absl::StatusOr<int> FitCsv(Context& context) {
  const Args& args = context.args();
  LOGLOG_ASSIGN_OR_RETURN(const int64_t drop, args.Int("drop-highest", 0, 1000000));
  LawOptions options;
  LOGLOG_ASSIGN_OR_RETURN(options.confidence, args.Number("confidence", 0.5, 0.9999));
  LOGLOG_ASSIGN_OR_RETURN(options.huber_delta, args.Number("delta", 1e-9, 1e3));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<AskedPlace> at, AskedPlaces(args));
  LOGLOG_ASSIGN_OR_RETURN(CsvSource source, ReadCsvSource(args));
  const std::string form = args.Get("form");
  const Axis axis = options.axis = source.axis;
  CsvPoints& points = source.points;
  LOGLOG_RETURN_IF_ERROR(KeepArms(args.All("arm"), source.path, &points.arms));
  LOGLOG_RETURN_IF_ERROR(DropHighest(drop, &points));

  Plot plot = {.title = source.path,
               .x_label = absl::StrCat(AxisSymbol(axis), ": ", AxisWord(axis)),
               .y_label = source.columns.loss};
  struct OfKind {
    std::vector<v1::Fit> fits;
    std::vector<LawPredictions> predictions;
  };
  std::map<std::string, OfKind> by_kind;
  std::vector<std::string> kinds;
  for (const CsvArm& arm : points.arms) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<FitResult> own, FitsOf(arm, form, options));
    for (const FitResult& fit : own) {
      OfKind& kind = by_kind[fit.kind];
      if (kind.fits.empty()) kinds.push_back(fit.kind);
      kind.fits.push_back(ProtoOf(fit, arm, nullptr));
      LawPredictions& predictions = kind.predictions.emplace_back();
      LOGLOG_ASSIGN_OR_RETURN(const std::vector<Place> places, PlacesFor(at, fit.kind, axis));
      if (places.empty()) continue;
      LOGLOG_ASSIGN_OR_RETURN(const Law law, LawOfKind(fit.kind));
      LOGLOG_ASSIGN_OR_RETURN(predictions, PredictLaw(arm.trials, With(options, law), places));
    }
    LOGLOG_ASSIGN_OR_RETURN(plot.series.emplace_back(), SeriesOf(arm, options, own));
  }
  std::vector<v1::Fit> fits;
  std::vector<LawPredictions> predictions;
  for (const std::string& kind : kinds) {
    const OfKind& own = by_kind[kind];
    fits.insert(fits.end(), own.fits.begin(), own.fits.end());
    predictions.insert(predictions.end(), own.predictions.begin(), own.predictions.end());
  }
  const size_t n_arms = points.arms.size();
  if (n_arms > kComparedMax && form.empty()) {
    points.notes.push_back(absl::StrCat(n_arms, " arms would be ", n_arms * (n_arms - 1) / 2,
                                        " comparisons, and no more than ", kComparedMax,
                                        " arms are compared: name those with --arm A --arm B"));
  }
  if (n_arms > 1 && n_arms <= kComparedMax && form.empty()) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Fit> compared, Comparisons(points, options));
    fits.insert(fits.end(), compared.begin(), compared.end());
    predictions.resize(fits.size());
  }
  if (context.machine_output()) {
    context.Print(at.empty() ? FitTable(fits) : PredictionTable(fits, predictions));
  } else {
    context.Print(RenderFitReport(
        fits,
        {.detailed = context.format() == Format::kWide, .lost = {}, .predictions = predictions},
        context.style()));
    LOGLOG_ASSIGN_OR_RETURN(const std::string sharing, SharingReport(points, form, axis));
    if (!sharing.empty()) context.Print(absl::StrCat("\n", sharing));
  }
  std::string counted = CountedRows(points);
  if (drop > 0) absl::StrAppend(&counted, "; the ", drop, " highest losses are left out");
  plot.note = absl::StrCat(counted, "; bands: the whole law, ",
                           Significant(100 * options.confidence, 6), "%");
  if (!context.machine_output()) {
    context.Note(counted);
    for (const std::string& note : points.notes) context.Note(Printable(note));
  }
  if (const std::string svg = args.Get("svg"); !svg.empty()) {
    LOGLOG_RETURN_IF_ERROR(WriteSvg(plot, svg));
    context.Note(absl::StrCat("wrote ", svg));
  }
  return kExitOk;
}

}  // namespace loglog::cli
