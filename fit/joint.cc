#include "fit/joint.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "fit/form_fit.h"
#include "fit/identified.h"
#include "fit/means.h"
#include "fit/options.h"
#include "fit/power_sum.h"
#include "fit/status.h"
#include "fit/validation.h"

namespace loglog {
namespace {

constexpr int kConfigsMin = 6;
constexpr int kDistinctMin = 3;
// theta of the form: E, then A and alpha of N, B and beta of D.
constexpr int kAlpha = 2;
constexpr int kBeta = 4;

PowerSum FormOf(const ConfigMeans& means) {
  std::vector<std::vector<double>> ln_x(2);
  std::vector<double> y, weight;
  for (const ConfigMean& point : means.points) {
    ln_x[0].push_back(std::log(point.n_params));
    ln_x[1].push_back(std::log(point.d_tokens));
    y.push_back(point.y);
    weight.push_back(point.weight);
  }
  return PowerSum(std::move(ln_x), std::move(y), std::move(weight));
}

std::string Refusal(const ConfigMeans& means) {
  std::set<double> sizes, tokens;
  for (const ConfigMean& point : means.points) {
    sizes.insert(point.n_params);
    tokens.insert(point.d_tokens);
  }
  if (means.points.size() >= kConfigsMin && sizes.size() >= kDistinctMin &&
      tokens.size() >= kDistinctMin) {
    return "";
  }
  return absl::StrFormat(
      "five parameters need %d configurations with %d values of N and %d of D; there are %d with "
      "%d and %d",
      kConfigsMin, kDistinctMin, kDistinctMin, means.points.size(), sizes.size(), tokens.size());
}

const char* ObjectiveWords(JointObjective objective) {
  switch (objective) {
    case JointObjective::kLeastSquares:
      return "sum of squares of ln residuals of means over seeds, weighted by their precision";
    case JointObjective::kHuber:
      return "sum of Huber losses of ln residuals of means over seeds, weighted by their "
             "precision";
    case JointObjective::kLad:
      return "sum of absolute ln residuals of means over seeds, weighted by their precision";
  }
  return "";
}

}  // namespace

absl::StatusOr<FitResult> FitJoint(absl::Span<const Observation> observations,
                                   const JointOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  absl::StatusOr<ConfigMeans> means_or = MeansOverSeeds(observations, Axis::kTokens);
  if (!means_or.ok()) return means_or.status();
  const ConfigMeans& means = *means_or;
  FitResult result;
  result.kind = "joint";
  FillCounts(means, &result);
  result.definition = "exponents alpha of N and beta of D of a form with a free floor E";
  result.form = "L = E + A*N^-alpha + B*D^-beta";
  FitProvenance& provenance = result.provenance;
  provenance.confidence = options.confidence;
  provenance.huber_delta = options.huber_delta;
  provenance.objective = ObjectiveWords(options.objective);
  result.reason = Refusal(means);
  if (!result.reason.empty()) {
    SetFitStatus(true, &result);
    return result;
  }

  const PowerSum form = FormOf(means);
  const std::vector<std::vector<double>> starts = form.Starts();
  const Minimum squares = MinimizeSquares(form, starts);
  const Minimum huber = MinimizeHuber(form, starts, options.huber_delta);
  Minimum lad;
  if (options.objective == JointObjective::kLad) {
    lad = MinimizeLad(form, starts, options.huber_delta);
  } else {
    lad.theta = LadFrom(form, huber.theta);
  }
  const Minimum& chosen = options.objective == JointObjective::kLeastSquares ? squares
                          : options.objective == JointObjective::kHuber      ? huber
                                                                             : lad;
  RecordMinimum(chosen, &provenance);
  const std::vector<std::string> names = {"E", "A", "alpha", "B", "beta"};
  provenance.active_bounds = ActiveBounds(form, chosen.theta);
  for (const int index : {kBeta, kAlpha, 0}) {
    result.triples.push_back({names[index], form.Natural(squares.theta.data(), index),
                              form.Natural(huber.theta.data(), index),
                              form.Natural(lad.theta.data(), index)});
  }

  if (options.objective != JointObjective::kLeastSquares) {
    for (const int index : {kBeta, kAlpha, 0, 3, 1}) {
      result.parameters.push_back(
          {.name = names[index], .estimate = form.Natural(chosen.theta.data(), index)});
    }
    result.reason = "this objective gives estimates without intervals; least squares gives both";
    SetFitStatus(false, &result);
    return result;
  }
  provenance.aicc = Aicc(squares.value, form.size(), form.dim());
  provenance.in_sample_error = std::sqrt(squares.value / form.total_weight());
  RecordLackOfFit(form, squares.theta, means, &result);
  result.folds = RollingOrigin(Law::kJoint, means, options.confidence);
  result.leave_largest_out_error = LeaveLargestOutError(Law::kJoint, means, result.folds);
  FormIntervals intervals(form, squares.theta, squares.value, options.confidence);
  std::vector<std::string> of_ends;
  for (const int index : {kBeta, kAlpha, 0}) {
    result.parameters.push_back(intervals.ProfileOf(index, &of_ends));
  }
  for (const int index : {3, 1}) {
    result.parameters.push_back(intervals.DeltaOfTerm(index));
  }
  if (!means.shared_trunks) {
    result.notes.insert(result.notes.end(), of_ends.begin(), of_ends.end());
  }
  if (intervals.found_lower()) provenance.optimizer_status = "MULTIMODAL";
  provenance.correlation_e_exponent = intervals.Correlation(0, kBeta);
  provenance.interval_basis = "means";
  provenance.interval_method = absl::StrFormat(
      "profile F(1, %d) on means over seeds for beta, alpha and E, delta and t for the others, "
      "%g%%",
      intervals.df(), 100 * options.confidence);
  std::vector<std::string> faults = OptimizerFaults(provenance);
  if (means.shared_trunks) {
    faults.push_back(kTrunksFault);
  } else {
    for (const int index : {kBeta, kAlpha}) {
      const std::vector<std::string> wide =
          IdentificationFaults(*result.Find(names[index]), intervals.Correlation(0, index));
      for (const std::string& fault : wide) faults.push_back(names[index] + ": " + fault);
    }
  }
  result.verdict = faults.empty() ? FitVerdict::kIdentified : FitVerdict::kNotIdentified;
  result.reason = faults.empty() ? absl::StrFormat("%d configurations, %d trials", result.n_configs,
                                                   result.n_trials)
                                 : "not identified: " + absl::StrJoin(faults, "; ");
  SetFitStatus(false, &result);
  if (means.shared_trunks) RemoveIntervals(&result);
  return result;
}

}  // namespace loglog
