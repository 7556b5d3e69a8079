#include "fit/means.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_format.h"

namespace loglog {
namespace {

absl::Status CheckOne(const Observation& o, Axis axis) {
  if (!std::isfinite(o.loss) || o.loss <= 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: loss is %g, and a fit needs a finite positive loss; leave diverged and "
        "unfinished trials out",
        Describe(o), o.loss));
  }
  for (const Axis size : {Axis::kTokens, Axis::kParams, axis}) {
    const double value = AxisValue(o, size);
    if (!std::isfinite(value) || value <= 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: %s (%s) is %g; it must be finite and positive", Describe(o),
                          AxisSymbol(size), AxisWord(size), value));
    }
  }
  if (!std::isfinite(o.d_unique) || o.d_unique < 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: unique tokens are %g; they must be finite and positive, or 0 for as many as D",
        Describe(o), o.d_unique));
  }
  return absl::OkStatus();
}

// Sorted by seed.
absl::Status CheckReplicates(absl::Span<const Observation* const> replicates) {
  const Observation& first = *replicates.front();
  const Observation* before = nullptr;
  for (const Observation* o : replicates) {
    if (o->n_params != first.n_params || o->d_tokens != first.d_tokens ||
        o->c_flops != first.c_flops || o->d_unique != first.d_unique) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: N, D, C, unique D are %g, %g, %g, %g here and %g, %g, %g, %g at seed %d; one "
          "configuration has one size",
          Describe(*o), o->n_params, o->d_tokens, o->c_flops, o->d_unique, first.n_params,
          first.d_tokens, first.c_flops, first.d_unique, first.seed));
    }
    if (before != nullptr && before->seed == o->seed) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: given twice; each trial counts once, so keep one of them", Describe(*o)));
    }
    before = o;
  }
  return absl::OkStatus();
}

// Appends the mean of one configuration's replicates, which are sorted by seed.
void Average(absl::Span<const Observation* const> replicates, const Grouping& grouping,
             ConfigMeans* means) {
  const Observation& first = *replicates.front();
  ConfigMean point;
  point.config = first.config;
  point.n_params = first.n_params;
  point.d_tokens = first.d_tokens;
  point.d_unique = first.d_unique > 0 ? std::min(first.d_unique, first.d_tokens) : first.d_tokens;
  point.c_flops = first.c_flops;
  point.x = AxisValue(first, means->axis);
  point.ln_x = std::log(point.x);
  point.n_seeds = static_cast<int>(replicates.size());
  for (const Observation* o : replicates) {
    point.y += std::log(o->loss) / point.n_seeds;
    point.mean_loss += o->loss / point.n_seeds;
  }
  double squares = 0;
  for (const Observation* o : replicates) {
    const double deviation = std::log(o->loss) - point.y;
    means->pure_error_ss += deviation * deviation;
    squares += (o->loss - point.mean_loss) * (o->loss - point.mean_loss);
  }
  means->pure_error_df += static_cast<int>(replicates.size()) - 1;
  if (replicates.size() > 1) point.sd_loss = std::sqrt(squares / (point.n_seeds - 1));
  const double size = grouping.SizeOf(first);
  if (means->group_sizes.empty() || means->group_sizes.back() != size) {
    means->group_sizes.push_back(size);
  }
  point.group = static_cast<int>(means->group_sizes.size()) - 1;
  means->points.push_back(std::move(point));
}

int CountDistinctX(const std::vector<ConfigMean>& points) {
  std::set<double> values;
  for (const ConfigMean& point : points) values.insert(point.x);
  return static_cast<int>(values.size());
}

}  // namespace

Grouping::Grouping(Axis axis, absl::Span<const Observation> observations,
                   absl::Span<const Observation> more)
    : axis_(axis) {
  if (axis != Axis::kFlops) return;
  std::map<double, std::set<double>> budgets;
  for (const Observation& o : observations) budgets[o.n_params].insert(o.d_tokens);
  for (const Observation& o : more) budgets[o.n_params].insert(o.d_tokens);
  by_size_ = budgets.size() > 1 && std::any_of(budgets.begin(), budgets.end(),
                                               [](const auto& of) { return of.second.size() > 1; });
}

double Grouping::SizeOf(const Observation& o) const {
  if (axis_ == Axis::kTokens || by_size_) return o.n_params;
  return axis_ == Axis::kParams ? o.d_tokens : 0;
}

double ConfigMeans::x_min() const {
  double result = points.empty() ? kNoNumber : points.front().x;
  for (const ConfigMean& point : points) result = std::min(result, point.x);
  return result;
}

double ConfigMeans::x_max() const {
  double result = points.empty() ? kNoNumber : points.front().x;
  for (const ConfigMean& point : points) result = std::max(result, point.x);
  return result;
}

ConfigMeans ConfigMeans::WithoutLargest() const {
  ConfigMeans rest = *this;
  const double largest = x_max();
  rest.points.erase(std::remove_if(rest.points.begin(), rest.points.end(),
                                   [&](const ConfigMean& p) { return p.x == largest; }),
                    rest.points.end());
  rest.n_distinct_x = CountDistinctX(rest.points);
  return rest;
}

absl::StatusOr<ConfigMeans> MeansOverSeeds(absl::Span<const Observation> observations, Axis axis) {
  using Key = std::tuple<double, double, std::string>;
  std::map<std::string, std::vector<const Observation*>> by_config;
  std::map<std::string, int> trunks;
  ConfigMeans means;
  means.axis = axis;
  const Grouping grouping(axis, observations);
  for (const Observation& o : observations) {
    if (absl::Status status = CheckOne(o, axis); !status.ok()) return status;
    by_config[o.config].push_back(&o);
    if (!o.cluster.empty() && ++trunks[o.cluster] > 1) means.shared_trunks = true;
  }
  std::map<Key, std::vector<const Observation*>> sorted;
  for (auto& [config, replicates] : by_config) {
    std::sort(replicates.begin(), replicates.end(),
              [](const Observation* a, const Observation* b) { return a->seed < b->seed; });
    if (absl::Status status = CheckReplicates(replicates); !status.ok()) return status;
    const Observation& first = *replicates.front();
    sorted[{grouping.SizeOf(first), AxisValue(first, axis), config}] = std::move(replicates);
  }
  std::vector<double> seeds;
  for (const auto& [key, replicates] : sorted) {
    Average(replicates, grouping, &means);
    seeds.push_back(static_cast<double>(replicates.size()));
  }
  const std::vector<double> weights = WeightsOfMeans(seeds);
  for (size_t i = 0; i < weights.size(); ++i) means.points[i].weight = weights[i];
  means.n_trials = static_cast<int>(observations.size());
  means.n_distinct_x = CountDistinctX(means.points);
  return means;
}

double VarianceOfTypicalMean(absl::Span<const double> seeds) {
  double variance = 0;
  for (const double n : seeds) variance += 1 / (n * static_cast<double>(seeds.size()));
  return variance;
}

std::vector<double> WeightsOfMeans(absl::Span<const double> seeds) {
  std::vector<double> weights(seeds.begin(), seeds.end());
  if (std::adjacent_find(seeds.begin(), seeds.end(), std::not_equal_to<>()) == seeds.end()) {
    return weights;
  }
  const double noise = VarianceOfTypicalMean(seeds);
  for (double& weight : weights) weight *= 2 / (1 + weight * noise);
  return weights;
}

std::string Describe(const Observation& o) {
  const bool long_name = o.config.size() > 16;
  return absl::StrFormat("configuration %s%s, seed %d", o.config.substr(0, long_name ? 12 : 16),
                         long_name ? ".." : "", o.seed);
}

void FillCounts(const ConfigMeans& means, FitResult* result) {
  result->axis = means.axis;
  result->n_trials = means.n_trials;
  result->n_configs = static_cast<int>(means.points.size());
  result->n_distinct_x = means.n_distinct_x;
  result->x_min = means.x_min();
  result->x_max = means.x_max();
  result->points.clear();
  for (const ConfigMean& point : means.points) {
    result->points.push_back({.x = point.x,
                              .mean_loss = point.mean_loss,
                              .sd_loss = point.sd_loss,
                              .n = point.n_seeds,
                              .other = means.group_sizes[point.group]});
  }
}

const char* GroupSymbol(Axis axis) { return axis == Axis::kParams ? "D" : "N"; }

LineData AsLineOfTrials(const ConfigMeans& means) {
  LineData data = AsLine(means);
  for (size_t i = 0; i < means.points.size(); ++i) data.weight[i] = means.points[i].n_seeds;
  return data;
}

LineData AsLine(const ConfigMeans& means) {
  LineData data;
  for (const ConfigMean& point : means.points) {
    data.u.push_back(point.ln_x);
    data.y.push_back(point.y);
    data.weight.push_back(point.weight);
    data.group.push_back(point.group);
  }
  data.n_groups = static_cast<int>(means.group_sizes.size());
  return data;
}

}  // namespace loglog
