#include "fit/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fit/distributions.h"
#include "fit/line.h"
#include "fit/means.h"
#include "fit/pairs.h"

namespace loglog {
namespace {

constexpr int kDistinctMin = 3;
// At what p scatter between configurations, beyond that between seeds, moves the
// interval from pairs to means over seeds. Well above 5%: with few configurations the
// test is weak, and an effect it misses makes an interval on pairs too narrow.
constexpr double kEffectLevel = 0.25;

// The pairs as the interval uses them: single pairs, or means over seeds of each cell.
struct Sample {
  LineData d;
  LineData y1;  // same points, ln L of arm 1
  LineData y2;
  bool on_pairs = false;
  double effect_p = kNoNumber;  // of the per-configuration effect in d
};

LineData WithY(const Pairs& pairs, const LineData& shape, bool per_pair, double Pair::*value) {
  LineData data = shape;
  std::fill(data.y.begin(), data.y.end(), 0.0);
  for (int i = 0; i < static_cast<int>(pairs.pairs.size()); ++i) {
    const Pair& pair = pairs.pairs[i];
    const int at = per_pair ? i : pair.cell;
    data.y[at] += pair.*value / data.weight[at];
  }
  return data;
}

Sample ChooseSample(const Pairs& pairs) {
  const LineData cells = DifferencesOfCells(pairs);
  const LineData single = DifferencesOfPairs(pairs);
  const Line line = FitLine(cells);
  double pure_error = 0;
  for (int i = 0; i < single.size(); ++i) {
    const double deviation = single.y[i] - cells.y[pairs.pairs[i].cell];
    pure_error += deviation * deviation;
  }
  const int pure_df = single.size() - cells.size();
  Sample sample;
  if (line.df >= 1 && pure_df >= 1 && pure_error > 0) {
    sample.effect_p = FUpperTail((line.rss / line.df) / (pure_error / pure_df), line.df, pure_df);
  }
  sample.on_pairs = sample.effect_p >= kEffectLevel;
  sample.d = sample.on_pairs ? single : cells;
  sample.y1 = WithY(pairs, sample.d, sample.on_pairs, &Pair::y1);
  sample.y2 = WithY(pairs, sample.d, sample.on_pairs, &Pair::y2);
  return sample;
}

FitParameter TInterval(const std::string& name, double estimate, double standard_error, int df,
                       double confidence) {
  FitParameter parameter{.name = name, .estimate = estimate};
  if (df < 1) return parameter;
  const double half = TQuantile(0.5 + confidence / 2, df) * standard_error;
  parameter.low = estimate - half;
  parameter.high = estimate + half;
  return parameter;
}

FitParameter SlopeOf(const std::string& name, const LineData& data, bool with_interval,
                     double confidence) {
  const Line line = FitLine(data);
  const int df = with_interval ? line.df : 0;
  const double variance = df >= 1 ? line.rss / df : kNoNumber;
  return TInterval(name, line.slope, std::sqrt(variance / line.suu), df, confidence);
}

// r with L1(r*x) = L2(x) at the distance u from the middle of ln x: both lines are fitted
// together (same points, correlated residuals) and the interval is Fieller's, exact for
// lines: the ln r for which a t test does not tell y1(u + ln r) from y2(u).
FitParameter EfficiencyRatio(const std::string& name, const Sample& sample, double u, int df,
                             double confidence, FitResult* result) {
  const Line line1 = FitLine(sample.y1);
  const Line line2 = FitLine(sample.y2);
  FitParameter parameter{.name = name};
  if (!(line1.slope < 0)) {
    result->notes.push_back(name + " is not defined: the loss of arm 1 does not fall");
    return parameter;
  }
  double weight = 0, middle = 0, s11 = 0, s12 = 0, s22 = 0;
  for (int i = 0; i < sample.d.size(); ++i) {
    const double w = sample.d.weight[i];
    const int g = sample.d.group[i];
    const double r1 = sample.y1.y[i] - line1.Predict(g, sample.y1.u[i]);
    const double r2 = sample.y2.y[i] - line2.Predict(g, sample.y2.u[i]);
    weight += w;
    middle += w * sample.d.y[i];
    s11 += w * r1 * r1;
    s12 += w * r1 * r2;
    s22 += w * r2 * r2;
  }
  middle /= weight;
  const double d = middle + (line1.slope - line2.slope) * u;
  parameter.estimate = std::exp(-d / line1.slope);
  if (df < 1) return parameter;
  const double t2 = std::pow(TQuantile(0.5 + confidence / 2, df), 2) / df;
  const double suu = line1.suu;
  const double a = line1.slope * line1.slope - t2 * s11 / suu;
  const double b = 2 * d * line1.slope - t2 * 2 * u * (s11 - s12) / suu;
  const double c = d * d - t2 * (s11 - 2 * s12 + s22) * (1 / weight + u * u / suu);
  if (!(a > 0)) {
    parameter.low = 0;
    parameter.high = std::numeric_limits<double>::infinity();
    result->notes.push_back(name + " has no ends: the slope of arm 1 is not told from 0");
    return parameter;
  }
  const double root = std::sqrt(std::max(0.0, b * b - 4 * a * c));
  parameter.low = std::exp((-b - root) / (2 * a));
  parameter.high = std::exp((-b + root) / (2 * a));
  return parameter;
}

// "quadratic", and where it is significant the slope difference at both ends.
void AddCurvature(const Pairs& pairs, const Sample& sample, double confidence, FitResult* result) {
  const Parabola parabola = FitParabola(sample.d);
  if (!parabola.ok) return;
  const double error = std::sqrt(parabola.var_quadratic);
  const FitParameter quadratic =
      TInterval("quadratic", parabola.quadratic, error, parabola.df, confidence);
  result->parameters.push_back(quadratic);
  if (quadratic.low <= 0 && quadratic.high >= 0) return;
  const auto at = [&](const std::string& name, double x) {
    const double v = std::log(x) - parabola.centre;
    const double variance =
        parabola.var_linear + 4 * v * parabola.covariance + 4 * v * v * parabola.var_quadratic;
    result->parameters.push_back(TInterval(name, parabola.linear + 2 * parabola.quadratic * v,
                                           std::sqrt(std::max(0.0, variance)), parabola.df,
                                           confidence));
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
  const LineData cells = DifferencesOfCells(pairs);
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

std::string ListOf(absl::Span<const Observation> arm, Axis axis) {
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
  return absl::StrFormat("%s = %s at seeds %s", AxisSymbol(axis),
                         absl::StrJoin(values, ", ", number), absl::StrJoin(seeds, ", "));
}

std::string Refusal(const Pairs& pairs, absl::Span<const Observation> arm1,
                    absl::Span<const Observation> arm2, bool shared_trunks, Axis axis) {
  const char* x = AxisSymbol(axis);
  if (pairs.n_distinct_x < kDistinctMin) {
    const std::string arms =
        absl::StrFormat("arm 1 has %s; arm 2 has %s", ListOf(arm1, axis), ListOf(arm2, axis));
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
      "seed) over %s = %.4g to %.4g; negative: arm 1 is steeper. efficiency_ratio: arm 1 reaches "
      "arm 2's loss with that many times the %s",
      x, x, pairs.x_min, pairs.x_max, AxisWord(axis));
}

void FillPairCounts(const Pairs& pairs, FitResult* result) {
  result->n_pairs = static_cast<int>(pairs.pairs.size());
  result->n_configs = pairs.n_cells;
  if (pairs.pairs.empty()) return;
  result->x_min = pairs.x_min;
  result->x_max = pairs.x_max;
  const LineData cells = DifferencesOfCells(pairs);
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

}  // namespace

absl::StatusOr<FitResult> CompareArms(absl::Span<const Observation> arm1,
                                      absl::Span<const Observation> arm2,
                                      const CompareOptions& options) {
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
    return result;
  }
  const Sample sample = ChooseSample(pairs);
  const Line line = FitLine(sample.d);
  if (!(line.suu > 0)) {
    result.reason = refusal();
    return result;
  }
  const bool usable = pairs.n_distinct_x >= kDistinctMin && line.df >= 1 && !shared_trunks;
  const int df = usable ? line.df : 0;
  const double error = usable ? std::sqrt(line.rss / df / line.suu) : kNoNumber;
  result.parameters.push_back(TInterval("slope_difference", line.slope, error, df, confidence));
  const double at_max = pairs.n_groups > 1 ? kNoNumber : std::log(pairs.x_max) - line.mean_u[0];
  result.parameters.push_back(
      EfficiencyRatio("efficiency_ratio", sample, 0, df, confidence, &result));
  if (pairs.n_groups == 1) {
    result.parameters.push_back(
        EfficiencyRatio("efficiency_ratio_at_max", sample, at_max, df, confidence, &result));
  }
  if (usable) AddCurvature(pairs, sample, confidence, &result);
  const LineData cells = DifferencesOfCells(pairs);
  result.parameters.push_back(
      SlopeOf("slope_1", WithY(pairs, cells, false, &Pair::y1), usable, confidence));
  result.parameters.push_back(
      SlopeOf("slope_2", WithY(pairs, cells, false, &Pair::y2), usable, confidence));
  const RobustSlopes robust = FitRobustSlopes(sample.d, options.huber_delta);
  result.triples = {{"slope_difference", line.slope, robust.huber, robust.lad}};
  result.leave_largest_out_error = LeaveLargestOut(pairs);
  provenance.objective_value = line.rss;
  provenance.lack_of_fit_p = sample.effect_p;
  if (!usable) {
    result.reason = refusal();
    return result;
  }
  result.verdict = FitVerdict::kOk;
  result.reason = absl::StrFormat("%d pairs at %d values of %s", result.n_pairs, pairs.n_distinct_x,
                                  AxisSymbol(options.axis));
  result.p_value = TCdf(line.slope / error, df);
  provenance.interval_basis = sample.on_pairs ? "runs" : "means";
  provenance.interval_method = absl::StrFormat(
      "t with %d degrees of freedom on %s, %g%%; Fieller for the ratio", df,
      sample.on_pairs ? "pairs" : "means over seeds of the differences", 100 * confidence);
  return result;
}

}  // namespace loglog
