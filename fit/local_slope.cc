#include "fit/local_slope.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "fit/distributions.h"
#include "fit/line.h"
#include "fit/means.h"
#include "fit/options.h"
#include "fit/status.h"

namespace loglog {
namespace {

constexpr int kConfigsMin = 3;
// Of the move to single trials: the test is weak with few configurations, so it must
// find nothing at all.
constexpr double kSingleTrialsLevel = 0.3;

double LeaveLargestOut(const ConfigMeans& means) {
  const ConfigMeans rest = means.WithoutLargest();
  if (rest.n_distinct_x < 2) return kNoNumber;
  // A size whose only configuration is the largest has no intercept to predict with.
  std::vector<int> seen(means.group_sizes.size(), 0);
  for (const ConfigMean& point : rest.points) seen[point.group] = 1;
  LineData data = AsLine(rest);
  int next = 0;
  for (int& group : seen) group = group != 0 ? next++ : -1;
  for (int& group : data.group) group = seen[group];
  data.n_groups = next;
  const Line line = FitLine(data);
  if (!(line.suu > 0)) return kNoNumber;
  double sum = 0;
  double weight = 0;
  for (const ConfigMean& point : means.points) {
    if (point.x != means.x_max() || seen[point.group] < 0) continue;
    sum += point.weight * std::expm1(line.Predict(seen[point.group], point.ln_x) - point.y);
    weight += point.weight;
  }
  return weight > 0 ? sum / weight : kNoNumber;
}

// As RollingOrigin of a power law, in closed form; for one size.
std::vector<FitFold> RollingOriginOfLine(const ConfigMeans& means, double confidence) {
  std::vector<FitFold> folds;
  for (size_t begin = 0, end = 0; begin < means.points.size(); begin = end) {
    LineData known;
    double weight = 0;
    for (size_t i = 0; i < begin; ++i) {
      known.u.push_back(means.points[i].ln_x);
      known.y.push_back(means.points[i].y);
      known.weight.push_back(means.points[i].weight);
      known.group.push_back(0);
      weight += known.weight.back();
    }
    end = begin + 1;
    while (end < means.points.size() && means.points[end].x == means.points[begin].x) ++end;
    if (begin < kConfigsMin) continue;
    const Line line = FitLine(known);
    if (!(line.suu > 0)) continue;
    const double t = TQuantile(0.5 + confidence / 2, line.df);
    for (size_t i = begin; i < end; ++i) {
      const ConfigMean& point = means.points[i];
      const double off = point.ln_x - line.mean_u[0];
      const double residual = line.Predict(0, point.ln_x) - point.y;
      const double half = t * std::sqrt(line.rss / line.df *
                                        (1 / point.weight + 1 / weight + off * off / line.suu));
      folds.push_back({.n_fitted = static_cast<int>(begin),
                       .x = point.x,
                       .error = std::expm1(residual),
                       .covered = std::fabs(residual) <= half ? 1 : 0});
    }
  }
  return folds;
}

std::string Definition(const ConfigMeans& means) {
  const char* x = AxisSymbol(means.axis);
  if (means.points.empty()) return absl::StrFormat("local log-log slope d ln L / d ln %s", x);
  std::string text = absl::StrFormat(
      "local log-log slope d ln L / d ln %s over %s = %.4g to %.4g (2 parameters; not the "
      "exponent of a form with a floor E)",
      x, x, means.x_min(), means.x_max());
  if (means.group_sizes.size() > 1) {
    absl::StrAppendFormat(&text, ", common to %d values of %s with an intercept each",
                          means.group_sizes.size(), GroupSymbol(means.axis));
  }
  return text;
}

// Slope and intercept with t intervals at `df` and residual variance `variance` (of one
// trial); df < 1 leaves the ends NaN.
void AddParameters(const ConfigMeans& means, const LineData& data, const Line& line,
                   double variance, int df, double confidence, FitResult* result) {
  FitParameter slope{.name = "slope", .estimate = line.slope};
  const double t = df >= 1 ? TQuantile(0.5 + confidence / 2, df) : kNoNumber;
  const double half = t * std::sqrt(variance / line.suu);
  slope.low = line.slope - half;
  slope.high = line.slope + half;
  result->parameters.push_back(slope);
  if (data.n_groups > 1) return;
  double total = 0;
  for (const double w : data.weight) total += w;
  const double ln_b = line.Predict(0, 0);
  const double half_b =
      t * std::sqrt(variance * (1 / total + line.mean_u[0] * line.mean_u[0] / line.suu));
  result->parameters.push_back({.name = means.axis == Axis::kParams ? "A" : "B",
                                .estimate = std::exp(ln_b),
                                .low = std::exp(ln_b - half_b),
                                .high = std::exp(ln_b + half_b)});
}

// "slope[N=1.2e+06]" for each size, from its own configurations alone, and a note when
// the sizes disagree about the slope.
absl::Status AddSlopePerGroup(absl::Span<const Observation> observations, const ConfigMeans& means,
                              const LineData& data, const Line& common,
                              const LocalSlopeOptions& options, FitResult* result) {
  double rss = 0;
  int df = 0;
  const bool has_interval = result->verdict == FitVerdict::kOk;
  for (int g = 0; g < static_cast<int>(means.group_sizes.size()); ++g) {
    std::vector<Observation> own;
    for (const Observation& o : observations) {
      const double size = options.axis == Axis::kParams ? o.d_tokens : o.n_params;
      if (size == means.group_sizes[g]) own.push_back(o);
    }
    absl::StatusOr<FitResult> fit = FitLocalSlope(own, options);
    if (!fit.ok()) return fit.status();
    const FitParameter* slope = fit->Find("slope");
    if (slope == nullptr) continue;
    FitParameter named = *slope;
    named.name = absl::StrFormat("slope[%s=%.6g]", GroupSymbol(options.axis), means.group_sizes[g]);
    if (!has_interval) named.low = named.high = kNoNumber;
    result->parameters.push_back(named);
    // Of the same weights as the common slope's.
    LineData alone;
    for (int i = 0; i < data.size(); ++i) {
      if (data.group[i] != g) continue;
      alone.u.push_back(data.u[i]);
      alone.y.push_back(data.y[i]);
      alone.weight.push_back(data.weight[i]);
      alone.group.push_back(0);
    }
    rss += FitLine(alone).rss;
    df += alone.size() - 2;
  }
  const int extra = common.df - df;
  if (df < 1 || extra < 1 || !(rss > 0)) return absl::OkStatus();
  const double p = FUpperTail(((common.rss - rss) / extra) / (rss / df), extra, df);
  if (p < kLackOfFitLevel) {
    result->notes.push_back(absl::StrFormat(
        "the slope depends on %s (F test, p = %.2g): read the slope of each size, not the common "
        "one",
        GroupSymbol(options.axis), p));
  }
  return absl::OkStatus();
}

// Why there is no interval, or no slope at all, and what would give one.
std::string RefusalReason(const ConfigMeans& means) {
  const char* x = AxisSymbol(means.axis);
  if (means.n_distinct_x < kConfigsMin) {
    return absl::StrFormat(
        "a slope with an interval needs configurations at %d different %s and there are %d; train "
        "%d more",
        kConfigsMin, x, means.n_distinct_x, kConfigsMin - means.n_distinct_x);
  }
  if (means.shared_trunks) {
    return "trials share trunks, so they are not independent and have no t interval; train "
           "separate trials for one";
  }
  return absl::StrFormat(
      "%d configurations leave nothing to judge scatter by beside %d intercepts and a slope; train "
      "more %s at one %s",
      means.points.size(), means.group_sizes.size(), x, GroupSymbol(means.axis));
}

}  // namespace

absl::StatusOr<FitResult> FitLocalSlope(absl::Span<const Observation> observations,
                                        const LocalSlopeOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  absl::StatusOr<ConfigMeans> means_or = MeansOverSeeds(observations, options.axis);
  if (!means_or.ok()) return means_or.status();
  const ConfigMeans& means = *means_or;
  const char* x = AxisSymbol(options.axis);
  FitResult result;
  result.kind = "local_slope";
  FillCounts(means, &result);
  result.definition = Definition(means);
  result.form = absl::StrFormat("L = %s*%s^slope", options.axis == Axis::kParams ? "A" : "B", x);
  result.provenance.confidence = options.confidence;
  result.provenance.huber_delta = options.huber_delta;
  result.provenance.objective =
      "sum of squares of ln residuals of means over seeds, weighted by their precision";
  result.provenance.optimizer_status = "CLOSED_FORM";

  if (means.points.empty()) {
    result.reason = RefusalReason(means);
    SetFitStatus(true, &result);
    return result;
  }
  const Line of_trials = FitLine(AsLineOfTrials(means));
  if (!(of_trials.suu > 0)) {
    result.reason = RefusalReason(means);
    SetFitStatus(true, &result);
    return result;
  }
  result.provenance.lack_of_fit_p =
      LackOfFitP(of_trials.rss, of_trials.df, means.pure_error_ss, means.pure_error_df);
  const bool on_runs =
      options.runs_when_no_lack_of_fit && result.provenance.lack_of_fit_p >= kSingleTrialsLevel;
  const LineData data = on_runs ? AsLineOfTrials(means) : AsLine(means);
  const Line line = FitLine(data);
  result.provenance.objective_value = line.rss;
  const RobustSlopes robust = FitRobustSlopes(data, options.huber_delta);
  result.triples = {{"slope", line.slope, robust.huber, robust.lad}};
  result.leave_largest_out_error = LeaveLargestOut(means);
  if (data.n_groups == 1) result.folds = RollingOriginOfLine(means, options.confidence);
  double total = 0;
  for (const double w : data.weight) total += w;
  result.provenance.in_sample_error = std::sqrt(line.rss / total);

  int df = line.df;
  double rss = line.rss;
  if (on_runs) {
    df += means.pure_error_df;
    rss += means.pure_error_ss;
  }
  const bool refused = means.shared_trunks || line.df < 1 || means.n_distinct_x < kConfigsMin;
  if (refused) df = 0;
  AddParameters(means, data, line, df >= 1 ? rss / df : kNoNumber, df, options.confidence, &result);
  if (refused) {
    result.reason = RefusalReason(means);
  } else {
    result.verdict = FitVerdict::kOk;
    result.provenance.interval_basis = on_runs ? "runs" : "means";
    result.provenance.interval_method =
        absl::StrFormat("t with %d degrees of freedom on %s, %g%%", df,
                        on_runs ? "single trials" : "means over seeds", 100 * options.confidence);
    result.reason =
        absl::StrFormat("%d configurations, %d trials", result.n_configs, result.n_trials);
  }
  if (result.provenance.lack_of_fit_p < kLackOfFitLevel) {
    result.notes.push_back(absl::StrFormat(
        "ln L is not a straight line in ln %s beyond seed noise (lack of fit p = %.2g): the slope "
        "belongs to this range only",
        x, result.provenance.lack_of_fit_p));
  }
  if (data.n_groups > 1) {
    absl::Status status = AddSlopePerGroup(observations, means, data, line, options, &result);
    if (!status.ok()) return status;
  }
  SetFitStatus(refused && !means.shared_trunks, &result);
  return result;
}

}  // namespace loglog
