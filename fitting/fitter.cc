#include "fitting/fitter.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "fitting/beside.h"
#include "nlohmann/json.hpp"
#include "plan/spec.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr const char* kKinds[] = {"local_slope",    "power",     "saturating",       "joint",
                                  "equal_exponent", "kaplan",    "data_constrained", "broken",
                                  "isoflop",        "comparison"};

constexpr char kNoUniqueTokens[] =
    "the store does not know how many of a trial's tokens were new: an attempt reports the sha256 "
    "of its data and not how many tokens that has. Add the number by hand: loglog trial list -o "
    "csv, a column unique_tokens, and loglog fit --csv FILE --tokens tokens_planned --params "
    "params_non_embedding --y final_loss --by arm --unique unique_tokens --form data_constrained";

Observation ObservationOf(const ObservationRow& trial) {
  Observation observation;
  observation.n_params = static_cast<double>(trial.params_non_embedding);
  observation.d_tokens = static_cast<double>(trial.tokens);
  observation.c_flops = trial.flops;
  observation.loss = trial.final_loss;
  observation.seed = trial.seed;
  observation.config = trial.cell_sha256;
  if (trial.trunk_task_id != 0) observation.cluster = absl::StrCat("task ", trial.trunk_task_id);
  return observation;
}

absl::StatusOr<FitResult> Run(const FitTarget& target, double confidence,
                              absl::Span<const Observation> a, absl::Span<const Observation> b) {
  const Axis axis = target.axis;
  if (target.kind == "local_slope") {
    return FitLocalSlope(a, {.axis = axis, .confidence = confidence});
  }
  if (target.kind == "saturating") {
    return FitSaturating(a, {.axis = axis, .confidence = confidence});
  }
  if (target.kind == "joint") return FitJoint(a, {.confidence = confidence});
  if (target.kind == "comparison") {
    return CompareArms(a, b, {.axis = axis, .confidence = confidence});
  }
  if (target.kind == "isoflop") {
    LOGLOG_ASSIGN_OR_RETURN(IsoFlopFit fit, FitIsoFlop(a, {.confidence = confidence}));
    return std::move(fit.law);
  }
  LOGLOG_ASSIGN_OR_RETURN(const Law law, ParseLaw(target.kind));
  return FitLaw(a, {.law = law, .axis = axis, .confidence = confidence});
}

// A fit that was not made: what it would have been, and why not.
FitResult Refused(const FitTarget& target, std::string reason, size_t n_trials) {
  absl::StatusOr<FitResult> nothing = Run(target, kFitConfidence, {}, {});
  FitResult result = nothing.ok() ? *std::move(nothing) : FitResult();
  result.verdict = FitVerdict::kRefused;
  // Of no trials it would be too few of them, and more would be the cure.
  result.status = FitStatus::kRefused;
  result.cure.clear();
  result.reason = std::move(reason);
  result.n_trials = static_cast<int>(n_trials);
  return result;
}

// Sizes of the model, which a law in N or D may run over as long as N tells them apart.
bool IsShapePath(absl::string_view path) {
  static constexpr absl::string_view kShapePaths[] = {"model.preset",  "model.layers",
                                                      "model.d_model", "model.d_ff",
                                                      "model.heads",   "model.kv_heads"};
  return std::find(std::begin(kShapePaths), std::end(kShapePaths), path) != std::end(kShapePaths);
}

std::string AxisText(const json& axes, const std::string& name) {
  const auto value = axes.is_object() ? axes.find(name) : axes.end();
  if (!axes.is_object() || value == axes.end()) return "unset";
  return value->is_string() ? value->get<std::string>() : value->dump();
}

// Neither the seed, which is averaged over, nor the scale that a law runs over.
bool MayMix(absl::string_view path) { return path != "seed" && path != "train.tokens"; }

std::vector<json> AxesOf(absl::Span<const ObservationRow* const> trials) {
  std::vector<json> axes;
  for (const ObservationRow* trial : trials) {
    axes.push_back(json::parse(trial->axes_json, nullptr, /*allow_exceptions=*/false));
  }
  return axes;
}

std::string ListOf(const std::set<std::string>& values) {
  constexpr size_t kShown = 6;
  std::vector<std::string> shown(values.begin(), values.end());
  if (shown.size() > kShown) {
    shown.resize(kShown);
    shown.push_back("...");
  }
  return absl::StrJoin(shown, ", ");
}

// "12 trials 3fa9c1d2.. (trial 1 first), 4 trials 77ab0c11.. (trial 9 first)"; empty when
// all saw the same data.
std::string DifferentData(absl::Span<const ObservationRow* const> trials) {
  std::map<std::string, std::vector<int64_t>> by_data;
  for (const ObservationRow* trial : trials) by_data[trial->data_sha256].push_back(trial->number);
  if (by_data.size() < 2) return "";
  std::vector<std::string> parts;
  for (const auto& [sha256, numbers] : by_data) {
    parts.push_back(
        absl::StrCat(numbers.size(), numbers.size() == 1 ? " trial " : " trials ",
                     sha256.empty() ? "unknown data" : absl::StrCat(sha256.substr(0, 8), ".."),
                     " (trial ", *std::min_element(numbers.begin(), numbers.end()), " first)"));
  }
  return absl::StrCat(
      "the trials saw different data, by sha256: ", absl::StrJoin(parts, ", "),
      "; losses on different data are not compared. Give changed data another path in data.train "
      "or data.val, so that its trials are trained anew, and fit those");
}

// A contrast is the same the other way round.
ContrastKey KeyOf(const FitTarget& target) {
  return {target.axis, {std::min(target.arm, target.arm_b), std::max(target.arm, target.arm_b)}};
}

// JSON has no NaN or infinity; as text they survive.
json Number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

json ParametersJson(const FitResult& result) {
  json parameters = json::array();
  for (const FitParameter& parameter : result.parameters) {
    parameters.push_back({{"name", parameter.name},
                          {"estimate", Number(parameter.estimate)},
                          {"low", Number(parameter.low)},
                          {"high", Number(parameter.high)}});
  }
  return parameters;
}

json PointsJson(const FitResult& result) {
  json points = json::array();
  for (const FitMean& point : result.points) {
    points.push_back({{"x", Number(point.x)},
                      {"mean_loss", Number(point.mean_loss)},
                      {"sd_loss", Number(point.sd_loss)},
                      {"n", point.n}});
  }
  return points;
}

// With these a fit can be made again from the store and checked.
void AddTrials(absl::Span<const ObservationRow* const> trials, json* list) {
  for (const ObservationRow* trial : trials) {
    list->push_back({{"trial_sha256", trial->trial_sha256},
                     {"final_loss", Number(trial->final_loss)},
                     {"data_sha256", trial->data_sha256},
                     {"trainer_version", trial->trainer_version}});
  }
}

absl::StatusOr<std::set<std::pair<std::string, Axis>>> CensoredOf(
    const std::vector<FitRequest>& requests) {
  std::set<std::pair<std::string, Axis>> censored;
  for (const FitRequest& request : requests) {
    if (!request.censored) continue;
    LOGLOG_ASSIGN_OR_RETURN(const Axis axis, ParseAxis(request.axis));
    censored.insert({request.kind, axis});
  }
  return censored;
}

const char* VerdictName(FitVerdict verdict) {
  switch (verdict) {
    case FitVerdict::kOk:
      return "OK";
    case FitVerdict::kIdentified:
      return "IDENTIFIED";
    case FitVerdict::kNotIdentified:
      return "NOT_IDENTIFIED";
    case FitVerdict::kRefused:
      return "REFUSED";
  }
  return "REFUSED";
}

}  // namespace

absl::StatusOr<FitPlan> FitPlanOf(absl::string_view spec_json,
                                  const std::vector<FitRequest>* requests) try {
  // Not by ParseSpec, which walks the whole grid to check it again, unless it has to be: only
  // a whole spec tells the axis of a form.
  const json spec = json::parse(spec_json);
  FitPlan plan;
  for (const auto& [name, axis] : spec.at("axes").items()) {
    plan.axis_paths[name] = axis.at("path").get<std::string>();
  }
  const json& arms = spec.at("arms");
  if (arms.is_object()) {
    std::set<std::string> arm_paths;
    for (const auto& [name, fields] : arms.items()) {
      plan.arms.insert(name);
      for (const auto& [path, value] : fields.items()) arm_paths.insert(path);
    }
    for (const auto& [name, path] : plan.axis_paths) {
      if (arm_paths.contains(path)) plan.arm_axes.insert(name);
    }
  } else {
    for (const json& name : arms) plan.arm_axes.insert(name.get<std::string>());
  }
  std::set<ContrastKey> known;
  for (const json& fit : spec.at("fit")) {
    if (fit.contains("stop_when")) {
      LOGLOG_ASSIGN_OR_RETURN(plan.stop_rule, ParseStopRule(fit["stop_when"].get<std::string>()));
    }
    if (fit.value("censored", false) && plan.censored.empty()) {
      if (requests != nullptr) {
        LOGLOG_ASSIGN_OR_RETURN(plan.censored, CensoredOf(*requests));
      } else {
        LOGLOG_ASSIGN_OR_RETURN(const SweepSpec whole, ParseSpec(spec_json, "stored spec"));
        LOGLOG_ASSIGN_OR_RETURN(plan.censored, CensoredOf(whole.fit));
      }
    }
    if (!fit.contains("compare")) continue;
    FitTarget target = {"comparison", Axis::kTokens, fit.at("compare").at(0).get<std::string>(),
                        fit.at("compare").at(1).get<std::string>()};
    LOGLOG_ASSIGN_OR_RETURN(target.axis, ParseAxis(fit.at("axis").get<std::string>()));
    plan.arms.insert({target.arm, target.arm_b});
    if (known.insert(KeyOf(target)).second) plan.comparisons.push_back(std::move(target));
  }
  return plan;
} catch (const json::exception& error) {
  return absl::DataLossError(
      absl::StrCat("the stored spec cannot be read (", error.what(), "); submit the sweep again"));
}

absl::StatusOr<std::vector<ObservationRow>> ReadFitTrials(const ReadStore& store, int64_t sweep_id,
                                                          const FitPlan& plan) {
  LOGLOG_ASSIGN_OR_RETURN(std::vector<ObservationRow> trials, store.ListObservations(sweep_id));
  if (!plan.censored.empty()) LOGLOG_RETURN_IF_ERROR(store.ReadStoppedLosses(&trials));
  return trials;
}

std::vector<std::string> ArmsOf(absl::Span<const ObservationRow> trials) {
  std::vector<std::string> arms;
  for (const ObservationRow& trial : trials) {
    if (std::find(arms.begin(), arms.end(), trial.arm) == arms.end()) arms.push_back(trial.arm);
  }
  return arms;
}

Axis DefaultAxis(absl::Span<const ObservationRow> trials) {
  std::set<int64_t> tokens, params;
  for (const ObservationRow& trial : trials) {
    tokens.insert(trial.tokens);
    params.insert(trial.params_non_embedding);
  }
  return tokens.size() < 2 && params.size() > 1 ? Axis::kParams : Axis::kTokens;
}

bool Fitter::IsPlanned(const FitTarget& target) const {
  return target.kind == "comparison" &&
         std::any_of(plan_.comparisons.begin(), plan_.comparisons.end(),
                     [&](const FitTarget& planned) { return KeyOf(planned) == KeyOf(target); });
}

const Fitter::ArmData& Fitter::DataOf(const std::string& arm) {
  const auto known = arms_.find(arm);
  if (known != arms_.end()) return known->second;
  ArmData& data = arms_[arm];
  std::vector<std::string> lines;
  for (const ObservationRow& trial : trials_) {
    if (trial.arm != arm) continue;
    lines.push_back(
        absl::StrJoin({trial.cell_sha256, absl::StrCat(trial.seed),
                       std::string(StateName(trial.state)), Number(trial.final_loss).dump(),
                       trial.data_sha256, trial.trainer_version, trial.axes_json},
                      "|"));
    if (trial.trunk_task_id != 0) absl::StrAppend(&lines.back(), "|trunk ", trial.trunk_task_id);
    if (trial.trials != 1) absl::StrAppend(&lines.back(), "|", trial.trials, " trials");
    if (trial.state == TrialState::kDone) {
      data.observations.push_back(ObservationOf(trial));
      data.done.push_back(&trial);
    } else if (trial.state == TrialState::kDiverged) {
      ++data.diverged;
    } else {
      data.unfinished += static_cast<int>(trial.trials);
      if (trial.state != TrialState::kStopped) continue;
      ++data.stopped;
      if (!(std::isfinite(trial.stopped_loss) && trial.stopped_loss > 0)) continue;
      Observation stopped = ObservationOf(trial);
      stopped.loss = trial.stopped_loss;
      data.censored.push_back({.trial = std::move(stopped), .loss_is_lower = false});
      data.stopped_at.push_back(&trial);
    }
  }
  std::sort(lines.begin(), lines.end());
  data.sha256 = Sha256Hex(absl::StrJoin(lines, "\n"));
  return data;
}

absl::Status Fitter::CheckArm(const std::string& arm) const {
  const std::vector<std::string> arms = ArmsOf(trials_);
  if (plan_.arms.contains(arm) || std::find(arms.begin(), arms.end(), arm) != arms.end()) {
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat("arm '", arm, "' is not in this sweep; its arms are ",
                                          arms.empty() ? "none" : absl::StrJoin(arms, ", ")));
}

// An axis of the spec that is neither arm nor scale and whose values this arm mixes:
// pooled, they would pass for scatter or bend the law.
std::string Fitter::MixedAxis(const ArmData& data, absl::string_view arm) const {
  const std::vector<json> axes = AxesOf(data.done);
  for (const auto& [name, path] : plan_.axis_paths) {
    if (!MayMix(path)) continue;
    const bool shape = IsShapePath(path);
    std::map<int64_t, std::set<std::string>> by_size;  // one entry unless a shape
    for (size_t i = 0; i < axes.size(); ++i) {
      by_size[shape ? data.done[i]->params_non_embedding : 0].insert(AxisText(axes[i], name));
    }
    for (const auto& [size, values] : by_size) {
      if (values.size() < 2) continue;
      return absl::StrCat("arm ", arm, " mixes ", name, " = ", ListOf(values), " (", path,
                          shape ? absl::StrCat(", at one N = ", size) : "",
                          "), and a fit takes one value of it; make ", name,
                          " part of the arms, or keep one value with exclude");
    }
  }
  return "";
}

// Axes that are no part of the arms and yet differ between them at one size, of arms that each
// have one value there: the comparison cannot tell them from the arms.
std::vector<std::string> Fitter::OtherDifferences(const ArmData& a, const ArmData& b) const {
  const bool may_differ =
      std::any_of(plan_.axis_paths.begin(), plan_.axis_paths.end(), [&](const auto& axis) {
        return MayMix(axis.second) && !plan_.arm_axes.contains(axis.first);
      });
  if (!may_differ) return {};
  const std::vector<json> axes_a = AxesOf(a.done), axes_b = AxesOf(b.done);
  std::map<int64_t, size_t> of_size;  // a trial of `a` for each
  for (size_t i = 0; i < a.done.size(); ++i) of_size[a.done[i]->params_non_embedding] = i;
  std::vector<std::string> notes;
  for (const auto& [name, path] : plan_.axis_paths) {
    if (!MayMix(path) || plan_.arm_axes.contains(name)) continue;
    std::map<int64_t, std::pair<std::string, std::string>> differ;
    for (size_t i = 0; i < b.done.size(); ++i) {
      const int64_t size = b.done[i]->params_non_embedding;
      const auto partner = of_size.find(size);
      if (partner == of_size.end()) continue;
      const std::string value_a = AxisText(axes_a[partner->second], name);
      const std::string value_b = AxisText(axes_b[i], name);
      if (value_a != value_b) differ[size] = {value_a, value_b};
    }
    if (differ.empty()) continue;
    const auto& [size, values] = *differ.begin();
    notes.push_back(absl::StrCat("the arms differ in ", name, " too (", values.first, " against ",
                                 values.second,
                                 IsShapePath(path) ? absl::StrCat(" at N = ", size) : "",
                                 "), so the difference is of both"));
  }
  return notes;
}

std::string Fitter::WhyRefused(absl::Span<const std::string> arms) {
  std::vector<const ObservationRow*> done;
  for (const std::string& arm : arms) {
    const ArmData& data = DataOf(arm);
    if (data.done.empty() && data.diverged + data.unfinished == 0) {
      return absl::StrCat("arm ", arm,
                          " has no trials in this sweep: its cells are excluded, or are all cells "
                          "of another arm too; let it differ from the others");
    }
    if (std::string mixed = MixedAxis(data, arm); !mixed.empty()) return mixed;
    done.insert(done.end(), data.done.begin(), data.done.end());
  }
  return DifferentData(done);
}

FitResult Fitter::Result(const FitTarget& target) {
  std::vector<std::string> arms = {target.arm};
  if (target.kind == "comparison") arms.push_back(target.arm_b);
  const ArmData& a = DataOf(target.arm);
  const ArmData none;
  const ArmData& b = target.kind == "comparison" ? DataOf(target.arm_b) : none;
  const size_t n_trials = a.done.size() + b.done.size();
  if (std::string why = WhyRefused(arms); !why.empty()) {
    return Refused(target, std::move(why), n_trials);
  }
  if (target.kind == "data_constrained") return Refused(target, kNoUniqueTokens, n_trials);
  absl::StatusOr<FitResult> result = Run(target, confidence_, a.observations, b.observations);
  // What a fit cannot use is a fact about the data, as too few of them would be.
  if (!result.ok()) return Refused(target, std::string(result.status().message()), n_trials);
  std::vector<ArmEnds> ends;
  for (const std::string& arm : arms) {
    const ArmData& data = DataOf(arm);
    ends.push_back({arm, static_cast<int64_t>(data.done.size()), data.diverged});
  }
  std::vector<std::string> notes = DivergedNotes(ends);
  if (target.kind == "comparison") {
    for (std::string& note : OtherDifferences(a, b)) notes.push_back(std::move(note));
  }
  for (std::string& note : notes) result->notes.push_back(std::move(note));
  return *std::move(result);
}

const FitResult& Fitter::Comparison(const FitTarget& target) {
  // In the order asked for: the other way round the signs are other.
  const ContrastKey key = {target.axis, {target.arm, target.arm_b}};
  const auto known = comparisons_.find(key);
  if (known != comparisons_.end()) return known->second;
  return comparisons_.emplace(key, Result(target)).first->second;
}

Fitter::Adjusted Fitter::AdjustedP(const FitTarget& target) {
  Adjusted adjusted;
  if (!IsPlanned(target)) return adjusted;
  std::vector<double> p_values;
  size_t own = 0;
  for (const FitTarget& planned : plan_.comparisons) {
    const double p = TwoSidedP(Comparison(planned).p_value);
    if (KeyOf(planned) == KeyOf(target)) own = p_values.size();
    adjusted.tested += std::isnan(p) ? 0 : 1;
    p_values.push_back(p);
  }
  adjusted.planned = static_cast<int>(p_values.size());
  adjusted.p = AdjustedOverFamily(p_values)[own];
  return adjusted;
}

json Fitter::CensoredJsonOf(const FitTarget& target, const FitResult& result) {
  const ArmData& data = DataOf(target.arm);
  // What may not stand beside the finished trials may not bound them either.
  ArmData all = data;
  all.done.insert(all.done.end(), data.stopped_at.begin(), data.stopped_at.end());
  std::string why_not =
      result.verdict == FitVerdict::kRefused ? result.reason : MixedAxis(all, target.arm);
  absl::StatusOr<CensoredFit> fit = CensoredFit();
  if (why_not.empty()) {
    fit = FitCensoredKind(target.kind, target.axis, data.observations, data.censored);
  }
  if (!fit.ok()) why_not = std::string(fit.status().message());
  json censored = why_not.empty() ? CensoredJson(*fit)
                                  : json{{"n", data.censored.size()}, {"why_not", why_not}};
  censored["trials"] = json::array();
  for (const ObservationRow* trial : data.stopped_at) {
    censored["trials"].push_back(
        {{"trial_sha256", trial->trial_sha256}, {"loss_below", Number(trial->stopped_loss)}});
  }
  return censored;
}

std::string Fitter::FitJson(const FitTarget& target, const FitResult& result) {
  const bool comparison = target.kind == "comparison";
  const ArmData& a = DataOf(target.arm);
  const ArmData none;
  const ArmData& b = comparison ? DataOf(target.arm_b) : none;
  json trials = json::array();
  AddTrials(a.done, &trials);
  AddTrials(b.done, &trials);
  json provenance = ProvenanceJson(result);
  if (comparison) provenance["p_two_sided"] = Number(TwoSidedP(result.p_value));
  if (const Adjusted adjusted = AdjustedP(target); adjusted.planned > 0) {
    provenance["holm"] = {
        {"m", adjusted.planned}, {"tested", adjusted.tested}, {"p_adjusted", Number(adjusted.p)}};
  }
  if (IsCensored(target)) provenance["censored"] = CensoredJsonOf(target, result);
  const json all = {{"form", result.form},
                    {"parameters", ParametersJson(result)},
                    {"points", PointsJson(result)},
                    {"n_configs", result.n_configs},
                    {"n_distinct_x", result.n_distinct_x},
                    {"n_pairs", result.n_pairs},
                    {"n_diverged", a.diverged + b.diverged},
                    {"n_unfinished", a.unfinished + b.unfinished},
                    {"n_stopped", a.stopped + b.stopped},
                    {"x_min", Number(result.x_min)},
                    {"x_max", Number(result.x_max)},
                    {"leave_largest_out_error", Number(result.leave_largest_out_error)},
                    {"trials", std::move(trials)},
                    {"provenance", std::move(provenance)}};
  return all.dump();
}

bool Fitter::IsCensored(const FitTarget& target) const {
  return plan_.censored.contains({target.kind, target.axis});
}

std::string Fitter::InputsSha256(const FitTarget& target) {
  std::string text =
      absl::StrJoin({std::string(kFitVersion), target.kind, std::string(AxisSymbol(target.axis)),
                     target.arm, target.arm_b, DataOf(target.arm).sha256},
                    "|");
  if (target.kind == "comparison") absl::StrAppend(&text, "|", DataOf(target.arm_b).sha256);
  if (IsCensored(target)) {
    std::vector<std::string> lines;
    for (const ObservationRow* trial : DataOf(target.arm).stopped_at) {
      lines.push_back(absl::StrCat(trial->trial_sha256, "|", Number(trial->stopped_loss).dump()));
    }
    std::sort(lines.begin(), lines.end());
    absl::StrAppend(&text, "\ncensored|", absl::StrJoin(lines, "|"));
  }
  // Its adjusted p-value hangs on all planned contrasts.
  if (IsPlanned(target)) {
    for (const FitTarget& planned : plan_.comparisons) {
      absl::StrAppend(&text, "\n", AxisSymbol(planned.axis), "|", planned.arm, "|", planned.arm_b,
                      "|", DataOf(planned.arm).sha256, "|", DataOf(planned.arm_b).sha256);
    }
  }
  return Sha256Hex(text);
}

absl::StatusOr<LawPredictions> Fitter::Predict(const FitTarget& target,
                                               absl::Span<const Place> at) {
  LOGLOG_RETURN_IF_ERROR(CheckArm(target.arm));
  LOGLOG_ASSIGN_OR_RETURN(const Law law, LawOfKind(target.kind));
  LawPredictions refused;
  refused.why = WhyRefused({&target.arm, 1});
  if (!refused.why.empty()) return refused;
  return PredictLaw(DataOf(target.arm).observations,
                    {.law = law, .axis = target.axis, .confidence = confidence_}, at);
}

absl::StatusOr<FitRow> Fitter::Compute(const FitTarget& target) {
  if (std::find(std::begin(kKinds), std::end(kKinds), target.kind) == std::end(kKinds)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kind: '", target.kind, "' is no kind of fit; choose one of ",
        absl::StrJoin(std::begin(kKinds), std::end(kKinds) - 1, ", "), ", or compare two arms"));
  }
  const bool comparison = target.kind == "comparison";
  LOGLOG_RETURN_IF_ERROR(CheckArm(target.arm));
  if (comparison) LOGLOG_RETURN_IF_ERROR(CheckArm(target.arm_b));
  const FitResult result = comparison ? Comparison(target) : Result(target);

  FitRow row;
  row.kind = target.kind;
  row.axis = AxisSymbol(target.axis);
  row.arm = target.arm;
  row.arm_b = target.arm_b;
  row.inputs_sha256 = InputsSha256(target);
  row.verdict = VerdictName(result.verdict);
  row.definition = result.definition;
  row.p_value = result.p_value;
  row.n_trials = result.n_trials;
  row.message = result.reason;
  if (!result.parameters.empty()) {
    const FitParameter& main = result.parameters.front();
    row.parameter = main.name;
    row.estimate = main.estimate;
    row.low = main.low;
    row.high = main.high;
  }
  row.fit_json = FitJson(target, result);
  return row;
}

}  // namespace loglog
