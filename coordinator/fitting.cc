#include "coordinator/fitting.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "shards/sha256.h"

namespace loglog {
namespace {

using nlohmann::json;

struct ArmData {
  std::vector<Observation> observations;
  int diverged = 0;
  int unfinished = 0;
};

ArmData Collect(absl::Span<const ObservationRow> trials, absl::string_view arm) {
  ArmData data;
  for (const ObservationRow& trial : trials) {
    if (trial.arm != arm) continue;
    if (trial.state == TrialState::kDone) {
      Observation observation;
      observation.n_params = static_cast<double>(trial.params_non_embedding);
      observation.d_tokens = static_cast<double>(trial.tokens);
      observation.c_flops = trial.flops;
      observation.loss = trial.final_loss;
      observation.seed = trial.seed;
      observation.config = trial.cell_sha256;
      data.observations.push_back(std::move(observation));
    } else if (trial.state == TrialState::kDiverged) {
      ++data.diverged;
    } else {
      ++data.unfinished;
    }
  }
  return data;
}

absl::Status CheckArm(absl::Span<const ObservationRow> trials, absl::string_view arm) {
  const std::vector<std::string> arms = ArmsOf(trials);
  if (std::find(arms.begin(), arms.end(), arm) != arms.end()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("arm '", arm, "' is not in this sweep; its arms are ",
                                          arms.empty() ? "none" : absl::StrJoin(arms, ", ")));
}

absl::StatusOr<FitResult> Run(const FitTarget& target, const ArmData& a, const ArmData& b) {
  if (target.kind == "local_slope") {
    LocalSlopeOptions options;
    options.axis = target.axis;
    return FitLocalSlope(a.observations, options);
  }
  if (target.kind == "saturating") {
    SaturatingOptions options;
    options.axis = target.axis;
    return FitSaturating(a.observations, options);
  }
  CompareOptions options;
  options.axis = target.axis;
  return CompareArms(a.observations, b.observations, options);
}

// JSON has no NaN or infinity; as text they survive.
json Number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

json FitJson(const FitResult& result, const ArmData& a, const ArmData& b) {
  json parameters = json::array();
  for (const FitParameter& parameter : result.parameters) {
    parameters.push_back({{"name", parameter.name},
                          {"estimate", Number(parameter.estimate)},
                          {"low", Number(parameter.low)},
                          {"high", Number(parameter.high)}});
  }
  json points = json::array();
  for (const FitMean& point : result.points) {
    points.push_back({{"x", Number(point.x)},
                      {"mean_loss", Number(point.mean_loss)},
                      {"sd_loss", Number(point.sd_loss)},
                      {"n", point.n}});
  }
  return {{"form", result.form},
          {"parameters", std::move(parameters)},
          {"points", std::move(points)},
          {"n_configs", result.n_configs},
          {"n_pairs", result.n_pairs},
          {"n_diverged", a.diverged + b.diverged},
          {"n_unfinished", a.unfinished + b.unfinished},
          {"x_min", Number(result.x_min)},
          {"x_max", Number(result.x_max)},
          {"leave_largest_out_error", Number(result.leave_largest_out_error)},
          {"provenance", ProvenanceJson(result)}};
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

// Diverged trials that differ between the arms are a finding of their own.
std::string DivergedNote(const ArmData& a, const ArmData& b) {
  if (a.diverged + b.diverged == 0) return "";
  const int64_t ended_a = a.diverged + static_cast<int64_t>(a.observations.size());
  const int64_t ended_b = b.diverged + static_cast<int64_t>(b.observations.size());
  return absl::StrCat(
      "diverged: ", a.diverged, " of ", ended_a, " against ", b.diverged, " of ", ended_b,
      " (left out of the fit; Fisher's exact p ",
      absl::StrFormat("%.2g", FisherExactP(a.diverged, ended_a, b.diverged, ended_b)), ")");
}

}  // namespace

std::vector<std::string> ArmsOf(absl::Span<const ObservationRow> trials) {
  std::vector<std::string> arms;
  for (const ObservationRow& trial : trials) {
    if (std::find(arms.begin(), arms.end(), trial.arm) == arms.end()) arms.push_back(trial.arm);
  }
  return arms;
}

std::string FitInputsSha256(const FitTarget& target, absl::Span<const ObservationRow> trials) {
  std::vector<std::string> lines;
  for (const ObservationRow& trial : trials) {
    if (trial.arm != target.arm && trial.arm != target.arm_b) continue;
    lines.push_back(absl::StrCat(trial.arm, "|", trial.cell_sha256, "|", trial.seed, "|",
                                 StateName(trial.state), "|", Number(trial.final_loss).dump()));
  }
  std::sort(lines.begin(), lines.end());
  return Sha256Hex(absl::StrCat(kFitVersion, "\n", target.kind, "|", AxisSymbol(target.axis), "|",
                                target.arm, "|", target.arm_b, "\n", absl::StrJoin(lines, "\n")));
}

absl::StatusOr<FitRow> ComputeFit(const FitTarget& target,
                                  absl::Span<const ObservationRow> trials) {
  const bool comparison = target.kind == "comparison";
  if (!comparison && target.kind != "local_slope" && target.kind != "saturating") {
    return absl::InvalidArgumentError(
        absl::StrCat("kind: '", target.kind,
                     "' is no kind of fit; choose local_slope or saturating, or "
                     "compare two arms"));
  }
  LOGLOG_RETURN_IF_ERROR(CheckArm(trials, target.arm));
  if (comparison) LOGLOG_RETURN_IF_ERROR(CheckArm(trials, target.arm_b));

  const ArmData a = Collect(trials, target.arm);
  const ArmData b = comparison ? Collect(trials, target.arm_b) : ArmData();
  LOGLOG_ASSIGN_OR_RETURN(FitResult result, Run(target, a, b));
  if (comparison) {
    if (std::string note = DivergedNote(a, b); !note.empty()) result.notes.push_back(note);
  }

  FitRow row;
  row.kind = target.kind;
  row.axis = AxisSymbol(target.axis);
  row.arm = target.arm;
  row.arm_b = target.arm_b;
  row.inputs_sha256 = FitInputsSha256(target, trials);
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
  row.fit_json = FitJson(result, a, b).dump();
  return row;
}

}  // namespace loglog
