#include "fit/pairs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_format.h"

namespace loglog {
namespace {

using Key = std::tuple<double, double, double, int64_t>;  // group size, x, N, seed

Key KeyOf(const Observation& o, const Grouping& grouping, Axis axis) {
  return {grouping.SizeOf(o), axis == Axis::kParams ? o.n_params : o.d_tokens, o.n_params, o.seed};
}

absl::StatusOr<std::map<Key, const Observation*>> Index(absl::Span<const Observation> arm,
                                                        const Grouping& grouping, Axis axis) {
  std::map<Key, const Observation*> index;
  for (const Observation& o : arm) {
    const auto [place, inserted] = index.emplace(KeyOf(o, grouping, axis), &o);
    if (!inserted) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s and %s are one arm's trials at the same N, D and seed; an arm has one of each, so "
          "split it",
          Describe(*place->second), Describe(o)));
    }
  }
  return index;
}

std::string Place(const Observation& o) {
  return absl::StrFormat("N=%.4g D=%.4g seed %d", o.n_params, o.d_tokens, o.seed);
}

}  // namespace

absl::StatusOr<Pairs> MakePairs(absl::Span<const Observation> arm1,
                                absl::Span<const Observation> arm2, Axis axis) {
  const Grouping grouping(axis, arm1, arm2);
  const auto index1 = Index(arm1, grouping, axis);
  if (!index1.ok()) return index1.status();
  const auto index2 = Index(arm2, grouping, axis);
  if (!index2.ok()) return index2.status();
  Pairs result;
  std::set<double> groups, distinct_x;
  std::set<std::pair<double, double>> cells;
  for (const auto& [key, o1] : *index1) {
    const auto found = index2->find(key);
    if (found == index2->end()) {
      result.unpaired1.push_back(Place(*o1));
      continue;
    }
    const Observation& o2 = *found->second;
    const double x = AxisValue(*o1, axis);
    if (x != AxisValue(o2, axis)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s has %s = %.17g and its partner %.17g at the same N and D; the arms count FLOPs "
          "differently, so compare them on D or N",
          Describe(*o1), AxisSymbol(axis), x, AxisValue(o2, axis)));
    }
    groups.insert(std::get<0>(key));
    distinct_x.insert(x);
    cells.insert({o1->n_params, o1->d_tokens});
    // Keys come sorted, so groups and cells of equal pairs are neighbours.
    result.pairs.push_back({.n_params = o1->n_params,
                            .d_tokens = o1->d_tokens,
                            .seed = o1->seed,
                            .ln_x = std::log(x),
                            .y1 = std::log(o1->loss),
                            .y2 = std::log(o2.loss),
                            .group = static_cast<int>(groups.size()) - 1,
                            .cell = static_cast<int>(cells.size()) - 1});
  }
  for (const auto& [key, o2] : *index2) {
    if (index1->count(key) == 0) result.unpaired2.push_back(Place(*o2));
  }
  result.n_groups = static_cast<int>(groups.size());
  result.n_cells = static_cast<int>(cells.size());
  result.n_distinct_x = static_cast<int>(distinct_x.size());
  if (!distinct_x.empty()) {
    result.x_min = *distinct_x.begin();
    result.x_max = *distinct_x.rbegin();
  }
  return result;
}

LineData DifferencesOfPairs(const Pairs& pairs) {
  LineData data;
  for (const Pair& pair : pairs.pairs) {
    data.u.push_back(pair.ln_x);
    data.y.push_back(pair.y1 - pair.y2);
    data.weight.push_back(1);
    data.group.push_back(pair.group);
  }
  data.n_groups = pairs.n_groups;
  return data;
}

LineData MeansOfCells(const Pairs& pairs, PairValue value) {
  LineData data;
  data.u.assign(pairs.n_cells, 0);
  data.y.assign(pairs.n_cells, 0);
  data.weight.assign(pairs.n_cells, 0);
  data.group.assign(pairs.n_cells, 0);
  data.n_groups = pairs.n_groups;
  for (const Pair& pair : pairs.pairs) {
    data.u[pair.cell] = pair.ln_x;
    data.group[pair.cell] = pair.group;
    data.weight[pair.cell] += 1;
    data.y[pair.cell] += value(pair);
  }
  for (int i = 0; i < pairs.n_cells; ++i) data.y[i] /= data.weight[i];
  return data;
}

LineData WeightedCells(const Pairs& pairs, PairValue value) {
  LineData data = MeansOfCells(pairs, value);
  data.weight = WeightsOfMeans(data.weight);
  return data;
}

PureError PureErrorOf(const Pairs& pairs, PairValue value) {
  const LineData cells = MeansOfCells(pairs, value);
  PureError result;
  for (const Pair& pair : pairs.pairs) {
    const double deviation = value(pair) - cells.y[pair.cell];
    result.squares += deviation * deviation;
  }
  result.df = static_cast<int>(pairs.pairs.size()) - pairs.n_cells;
  return result;
}

}  // namespace loglog
