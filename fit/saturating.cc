#include "fit/saturating.h"

#include <algorithm>
#include <cmath>
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

constexpr int kConfigsMin = 4;
// Beyond this range more D tells E and the exponent apart no better.
constexpr double kRangeThatIdentifies = 64;

struct Names {
  const char* term;
  const char* exponent;
};

Names NamesOf(Axis axis) {
  if (axis == Axis::kParams) return {"A", "alpha"};
  return {"B", "beta"};
}

PowerSum FormOf(const ConfigMeans& means) {
  std::vector<double> ln_x, y, weight;
  for (const ConfigMean& point : means.points) {
    ln_x.push_back(point.ln_x);
    y.push_back(point.y);
    weight.push_back(point.weight);
  }
  const Names names = NamesOf(means.axis);
  return PowerSum({.ln_x = {std::move(ln_x)}, .y = std::move(y), .weight = std::move(weight)},
                  {.term_names = {names.term}, .exponent_names = {names.exponent}});
}

// -beta * (share of the term in L) at the largest x, by the delta method.
FitParameter ElasticityAtLargest(const PowerSum& form, const FormIntervals& intervals,
                                 const std::vector<double>& theta, double ln_x) {
  const double u = ln_x - form.ln_x_mean(0);
  const double beta = theta[2];
  const double share = std::exp(theta[1] - beta * u - form.Predict(theta.data(), {ln_x}));
  const double curve = beta * share * (1 - share);
  return intervals.Delta("elasticity", -beta * share, {curve, -curve, -share + curve * u});
}

std::string Refusal(const ConfigMeans& means) {
  const char* x = AxisSymbol(means.axis);
  if (std::string mixed = WhyMixed(Law::kSaturating, means); !mixed.empty()) return mixed;
  return absl::StrFormat(
      "a floor, a size and an exponent need %d configurations at different %s and there are %d; "
      "train %d more",
      kConfigsMin, x, means.n_distinct_x, kConfigsMin - means.n_distinct_x);
}

// Fills verdict and reason from the exponent's interval.
void Judge(const ConfigMeans& means, const FitParameter& exponent, FitResult* result) {
  const FitProvenance& provenance = result->provenance;
  std::vector<std::string> faults = OptimizerFaults(provenance);
  if (means.shared_trunks) {
    faults.push_back(kTrunksFault);
    result->verdict = FitVerdict::kNotIdentified;
    result->reason =
        absl::StrFormat("%s is not identified: %s", exponent.name, absl::StrJoin(faults, "; "));
    return;
  }
  const std::vector<std::string> wide =
      IdentificationFaults(exponent, provenance.correlation_e_exponent);
  faults.insert(faults.end(), wide.begin(), wide.end());
  if (faults.empty()) {
    result->verdict = FitVerdict::kIdentified;
    result->reason =
        absl::StrFormat("%d configurations, %d trials", result->n_configs, result->n_trials);
    return;
  }
  result->verdict = FitVerdict::kNotIdentified;
  const char* x = AxisSymbol(means.axis);
  const double range = means.x_max() / means.x_min();
  result->reason = absl::StrFormat(
      "%s is not identified: %s. %s covers %.3gx; %s. Until then read the local slope",
      exponent.name, absl::StrJoin(faults, "; "), x, range,
      range < kRangeThatIdentifies ? absl::StrFormat("%gx and more seeds would tell E and %s apart",
                                                     kRangeThatIdentifies, exponent.name)
                                   : "more seeds would narrow it");
}

}  // namespace

absl::StatusOr<FitResult> FitSaturating(absl::Span<const Observation> observations,
                                        const SaturatingOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  absl::StatusOr<ConfigMeans> means_or = MeansOverSeeds(observations, options.axis);
  if (!means_or.ok()) return means_or.status();
  const ConfigMeans& means = *means_or;
  const char* x = AxisSymbol(options.axis);
  const Names names = NamesOf(options.axis);
  FitResult result;
  result.kind = "saturating";
  FillCounts(means, &result);
  result.definition = absl::StrFormat(
      "exponent %s of a form with a free floor E (3 parameters; not the local log-log slope)",
      names.exponent);
  result.form = absl::StrFormat("L = E + %s*%s^-%s", names.term, x, names.exponent);
  FitProvenance& provenance = result.provenance;
  provenance.confidence = options.confidence;
  provenance.huber_delta = options.huber_delta;
  provenance.objective =
      "sum of squares of ln residuals of means over seeds, weighted by their precision";
  if (means.n_distinct_x < kConfigsMin || means.group_sizes.size() > 1) {
    result.reason = Refusal(means);
    SetFitStatus(means.group_sizes.size() < 2, &result);
    return result;
  }

  const PowerSum form = FormOf(means);
  const std::vector<std::vector<double>> starts = form.Starts();
  const Minimum minimum = MinimizeSquares(form, starts);
  const std::vector<double>& theta = minimum.theta;
  RecordMinimum(minimum, &provenance);
  provenance.active_bounds = ActiveBounds(form, theta);
  provenance.aicc = Aicc(minimum.value, form.size(), form.dim());
  provenance.in_sample_error = std::sqrt(minimum.value / form.total_weight());

  FormIntervals intervals(form, theta, minimum.value, options.confidence);
  std::vector<std::string> of_ends;
  const FitParameter exponent = intervals.ProfileOf(2, &of_ends, starts);
  result.parameters = {exponent, intervals.ProfileOf(0, &of_ends), intervals.DeltaOfTerm(1),
                       ElasticityAtLargest(form, intervals, theta, std::log(means.x_max()))};
  if (!means.shared_trunks) result.notes = std::move(of_ends);
  if (intervals.found_lower()) provenance.optimizer_status = "MULTIMODAL";
  provenance.correlation_e_exponent = intervals.Correlation(0, 2);
  provenance.interval_basis = "means";
  provenance.interval_method = absl::StrFormat(
      "profile F(1, %d) on means over seeds for %s and E, delta and t for the others, %g%%",
      intervals.df(), names.exponent, 100 * options.confidence);

  const Minimum huber = MinimizeHuber(form, starts, options.huber_delta, theta);
  const std::vector<double> lad = LadFrom(form, huber.theta);
  for (const auto& [index, name] : {std::pair<int, const char*>{2, names.exponent}, {0, "E"}}) {
    result.triples.push_back({name, form.Natural(theta.data(), index),
                              form.Natural(huber.theta.data(), index),
                              form.Natural(lad.data(), index)});
  }
  RecordLackOfFit(form, theta, means, &result);
  result.folds = RollingOrigin(Law::kSaturating, means, options.confidence);
  result.leave_largest_out_error = LeaveLargestOutError(Law::kSaturating, means, result.folds);
  Judge(means, exponent, &result);
  SetFitStatus(false, &result);
  if (means.shared_trunks) RemoveIntervals(&result);
  return result;
}

double ElasticityAt(const FitResult& saturating, double x) {
  const Names names = NamesOf(saturating.axis);
  const FitParameter* exponent = saturating.Find(names.exponent);
  const FitParameter* e = saturating.Find("E");
  const FitParameter* term = saturating.Find(names.term);
  if (exponent == nullptr || e == nullptr || term == nullptr) return kNoNumber;
  const double fall = term->estimate * std::pow(x, -exponent->estimate);
  return -exponent->estimate * fall / (e->estimate + fall);
}

}  // namespace loglog
