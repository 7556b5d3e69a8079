#include "fit/compare.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "fit/differences.h"
#include "fit/distributions.h"
#include "fit/efficiency_ratio.h"
#include "fit/line.h"
#include "fit/means.h"
#include "fit/options.h"
#include "fit/paired_error.h"
#include "fit/pairs.h"
#include "fit/status.h"

namespace loglog {
namespace {

constexpr int kDistinctMin = 3;

// By t on the means; without ends where they are not wanted or there is no scatter to judge by.
FitParameter SlopeOf(const char* name, const LineData& data, bool with_interval,
                     double confidence) {
  const Line line = FitLine(data);
  FitParameter parameter{.name = name, .estimate = line.slope};
  if (!with_interval || line.df < 1) return parameter;
  const double half =
      TQuantile(0.5 + confidence / 2, line.df) * std::sqrt(line.rss / line.df / line.suu);
  parameter.low = line.slope - half;
  parameter.high = line.slope + half;
  return parameter;
}

// "quadratic", and where it is significant the slope difference at both ends.
void AddCurvature(const Pairs& pairs, const Differences& d, double confidence, FitResult* result) {
  const Parabola parabola = FitParabola(d.cells);
  if (!parabola.ok) return;
  const PairedError error(parabola.variance * parabola.df, parabola.df, d.pure);
  const auto interval = [&](const char* name, double estimate, double linear, double quadratic) {
    const double unit = linear * linear * parabola.unit_linear +
                        2 * linear * quadratic * parabola.unit_cross +
                        quadratic * quadratic * parabola.unit_quadratic;
    return error.Interval(name, estimate, 1 / std::max(0.0, unit), confidence);
  };
  const FitParameter quadratic = interval("quadratic", parabola.quadratic, 0, 1);
  result->parameters.push_back(quadratic);
  if (quadratic.low <= 0 && quadratic.high >= 0) return;
  const auto at = [&](const char* name, double x) {
    const double v = std::log(x) - parabola.centre;
    result->parameters.push_back(
        interval(name, parabola.linear + 2 * parabola.quadratic * v, 1, 2 * v));
  };
  at("slope_difference_at_min", pairs.x_min);
  at("slope_difference_at_max", pairs.x_max);
  const char* x = AxisSymbol(result->axis);
  result->notes.push_back(absl::StrFormat(
      "the slope difference depends on %s (its quadratic term is significant): read it at both "
      "ends of the range",
      x));
}

// ln ratio of the losses at the largest x predicted from the rest, less the observed
// one, as a relative error of the ratio.
double LeaveLargestOut(const Pairs& pairs) {
  const LineData cells = WeightedCells(pairs, [](const Pair& p) { return p.y1 - p.y2; });
  const double largest = *std::max_element(cells.u.begin(), cells.u.end());
  if (pairs.n_groups > 1 || pairs.n_distinct_x < kDistinctMin) return kNoNumber;
  LineData rest;
  for (int i = 0; i < cells.size(); ++i) {
    if (cells.u[i] == largest) continue;
    rest.u.push_back(cells.u[i]);
    rest.y.push_back(cells.y[i]);
    rest.weight.push_back(cells.weight[i]);
    rest.group.push_back(0);
  }
  const Line line = FitLine(rest);
  double sum = 0;
  double weight = 0;
  for (int i = 0; i < cells.size(); ++i) {
    if (cells.u[i] != largest) continue;
    sum += cells.weight[i] * std::expm1(line.Predict(0, largest) - cells.y[i]);
    weight += cells.weight[i];
  }
  return sum / weight;
}

std::set<double> SizesOf(absl::Span<const Observation> arm) {
  std::set<double> sizes;
  for (const Observation& o : arm) sizes.insert(o.n_params);
  return sizes;
}

// `with_sizes`: N too.
std::string ListOf(absl::Span<const Observation> arm, Axis axis, bool with_sizes) {
  std::set<double> values;
  std::set<int64_t> seeds;
  for (const Observation& o : arm) {
    values.insert(AxisValue(o, axis));
    seeds.insert(o.seed);
  }
  if (arm.empty()) return "no trials";
  const auto number = [](std::string* out, double value) {
    absl::StrAppendFormat(out, "%.4g", value);
  };
  const std::string sizes =
      with_sizes ? absl::StrFormat("N = %s, ", absl::StrJoin(SizesOf(arm), ", ", number)) : "";
  return absl::StrFormat("%s%s = %s at seeds %s", sizes, AxisSymbol(axis),
                         absl::StrJoin(values, ", ", number), absl::StrJoin(seeds, ", "));
}

std::string Refusal(const Pairs& pairs, absl::Span<const Observation> arm1,
                    absl::Span<const Observation> arm2, bool shared_trunks, Axis axis) {
  const char* x = AxisSymbol(axis);
  if (pairs.n_distinct_x < kDistinctMin) {
    const bool with_sizes = axis != Axis::kParams && SizesOf(arm1) != SizesOf(arm2);
    const std::string arms =
        absl::StrFormat("arm 1 has %s; arm 2 has %s", ListOf(arm1, axis, with_sizes),
                        ListOf(arm2, axis, with_sizes));
    if (pairs.pairs.empty()) {
      return absl::StrFormat(
          "IMBALANCE: no trial of one arm has a partner at the same N, D and seed in the other: %s",
          arms);
    }
    return absl::StrFormat(
        "IMBALANCE: pairs at %d value%s of %s and %d are needed (%s); train both arms at the same "
        "%s and seeds",
        pairs.n_distinct_x, pairs.n_distinct_x == 1 ? "" : "s", x, kDistinctMin, arms, x);
  }
  if (shared_trunks) {
    return "trials share trunks, so pairs are not independent and have no t interval; train "
           "separate trials for one";
  }
  return absl::StrFormat(
      "IMBALANCE: %d configurations with pairs leave nothing to judge scatter by beside %d "
      "intercepts and a slope; train both arms at more %s of one size",
      pairs.n_cells, pairs.n_groups, x);
}

std::string Definition(const Pairs& pairs, Axis axis) {
  const char* x = AxisSymbol(axis);
  if (pairs.pairs.empty()) {
    return absl::StrFormat("difference of local log-log slopes in %s, arm 1 less arm 2", x);
  }
  return absl::StrFormat(
      "difference of local log-log slopes d ln L / d ln %s, arm 1 less arm 2, paired by (N, D, "
      "seed) over %s = %.4g to %.4g; negative: arm 1 is steeper. efficiency_ratio: in the middle "
      "of "
      "that range arm 1 reaches arm 2's loss with this many times the %s",
      x, x, pairs.x_min, pairs.x_max, AxisWord(axis));
}

void FillPairCounts(const Pairs& pairs, FitResult* result) {
  result->n_pairs = static_cast<int>(pairs.pairs.size());
  result->n_configs = pairs.n_cells;
  result->n_distinct_x = pairs.n_distinct_x;
  if (pairs.pairs.empty()) return;
  result->x_min = pairs.x_min;
  result->x_max = pairs.x_max;
  const LineData cells = MeansOfCells(pairs, [](const Pair& p) { return p.y1 - p.y2; });
  std::vector<double> squares(cells.size(), 0.0);
  result->points.resize(cells.size());
  for (const Pair& pair : pairs.pairs) {
    const double deviation = pair.y1 - pair.y2 - cells.y[pair.cell];
    squares[pair.cell] += deviation * deviation;
    FitMean& point = result->points[pair.cell];
    point.x = std::exp(pair.ln_x);
    point.other = result->axis == Axis::kTokens   ? pair.n_params
                  : result->axis == Axis::kParams ? pair.d_tokens
                                                  : 0;
    point.mean_loss = cells.y[pair.cell];
    ++point.n;
  }
  for (int i = 0; i < cells.size(); ++i) {
    FitMean& point = result->points[i];
    if (point.n > 1) point.sd_loss = std::sqrt(squares[i] / (point.n - 1));
  }
  if (pairs.unpaired1.empty() && pairs.unpaired2.empty()) return;
  const std::string& example =
      pairs.unpaired1.empty() ? pairs.unpaired2.front() : pairs.unpaired1.front();
  result->notes.push_back(absl::StrFormat(
      "IMBALANCE: %d trials of arm 1 and %d of arm 2 have no partner (first: %s) and are left out",
      pairs.unpaired1.size(), pairs.unpaired2.size(), example));
}

void FillIntervalMethod(const PairedError& error, FitProvenance* provenance) {
  provenance->interval_basis = "means";
  provenance->interval_method = absl::StrFormat(
      "t with %d degrees of freedom on means over seeds of the differences", error.means_df());
  if (error.pairs_df() > 0) {
    provenance->interval_basis = "means and runs";
    absl::StrAppendFormat(&provenance->interval_method,
                          " (%.3g%% of the half-width) and %d on pairs", 100 * error.means_part(),
                          error.pairs_df());
  }
  absl::StrAppendFormat(
      &provenance->interval_method,
      ", %g%%; the ratio where the difference and arm 1's curve are not told apart",
      100 * provenance->confidence);
}

}  // namespace

absl::StatusOr<FitResult> CompareArms(absl::Span<const Observation> arm1,
                                      absl::Span<const Observation> arm2,
                                      const CompareOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  const absl::StatusOr<ConfigMeans> means1 = MeansOverSeeds(arm1, options.axis);
  if (!means1.ok()) return means1.status();
  const absl::StatusOr<ConfigMeans> means2 = MeansOverSeeds(arm2, options.axis);
  if (!means2.ok()) return means2.status();
  const absl::StatusOr<Pairs> pairs_or = MakePairs(arm1, arm2, options.axis);
  if (!pairs_or.ok()) return pairs_or.status();
  const Pairs& pairs = *pairs_or;
  const double confidence = options.confidence;

  FitResult result;
  result.kind = "comparison";
  result.axis = options.axis;
  result.definition = Definition(pairs, options.axis);
  result.form =
      absl::StrFormat("ln L1 - ln L2 = a + slope_difference*ln %s", AxisSymbol(options.axis));
  result.n_trials = static_cast<int>(arm1.size() + arm2.size());
  FillPairCounts(pairs, &result);
  FitProvenance& provenance = result.provenance;
  provenance.confidence = confidence;
  provenance.huber_delta = options.huber_delta;
  provenance.objective = "sum of squares of paired differences of ln L";
  provenance.optimizer_status = "CLOSED_FORM";
  const bool shared_trunks = means1->shared_trunks || means2->shared_trunks;
  const auto refusal = [&] { return Refusal(pairs, arm1, arm2, shared_trunks, options.axis); };
  if (pairs.n_distinct_x < 2) {
    result.reason = refusal();
    SetFitStatus(!shared_trunks, &result);
    return result;
  }
  const Differences d(pairs);
  const Line& line = d.line;
  if (!(line.suu > 0)) {
    result.reason = refusal();
    SetFitStatus(!shared_trunks, &result);
    return result;
  }
  std::optional<PairedError> error;
  if (pairs.n_distinct_x >= kDistinctMin && line.df >= 1 && !shared_trunks) {
    error.emplace(line.rss, line.df, d.pure);
  }
  result.parameters.push_back(
      error ? error->Interval("slope_difference", line.slope, line.suu, confidence)
            : FitParameter{.name = "slope_difference", .estimate = line.slope});
  result.parameters.push_back(EfficiencyRatio(pairs, d, error ? &*error : nullptr, options.axis,
                                              confidence, &result.notes));
  if (error) AddCurvature(pairs, d, confidence, &result);
  const LineData y1 = WeightedCells(pairs, [](const Pair& p) { return p.y1; });
  const LineData y2 = WeightedCells(pairs, [](const Pair& p) { return p.y2; });
  result.parameters.push_back(SlopeOf("slope_1", y1, error.has_value(), confidence));
  result.parameters.push_back(SlopeOf("slope_2", y2, error.has_value(), confidence));
  const RobustSlopes robust = FitRobustSlopes(DifferencesOfPairs(pairs), options.huber_delta);
  result.triples = {{"slope_difference", line.slope, robust.huber, robust.lad}};
  result.leave_largest_out_error = LeaveLargestOut(pairs);
  provenance.objective_value = line.rss + d.pure.squares;
  if (!error) {
    result.reason = refusal();
    SetFitStatus(!shared_trunks, &result);
    return result;
  }
  provenance.lack_of_fit_p = error->effect_p();
  result.verdict = FitVerdict::kOk;
  result.reason = absl::StrFormat("%d pairs at %d values of %s", result.n_pairs, pairs.n_distinct_x,
                                  AxisSymbol(options.axis));
  result.p_value = error->OneSidedP(line.slope, line.suu);
  FillIntervalMethod(*error, &provenance);
  SetFitStatus(false, &result);
  return result;
}

}  // namespace loglog
