#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "plan/plan_checks.h"

namespace loglog {
namespace {

constexpr double kPowerWanted = 0.9;
constexpr double kPowerLow = 0.8;
constexpr int kSeedsMax = 64;

// A scaling quantity: its letter, its exponent's name, its value in a cell.
struct Quantity {
  std::string symbol;
  std::string exponent;
  std::string form;

  double Of(const Cell& cell) const {
    if (symbol == "N") return static_cast<double>(cell.cost.params.non_embedding);
    return symbol == "C" ? cell.cost.flops : static_cast<double>(cell.cost.tokens);
  }
  std::string Show(double value) const {
    return symbol == "C" ? absl::StrFormat("%.3g", value) : ApproximateCount(value);
  }
};

Quantity QuantityOf(const std::string& symbol) {
  if (symbol == "N") return {"N", "alpha", "L = E + A*N^-alpha"};
  if (symbol == "C") return {"C", "gamma", "L = E + G*C^-gamma"};
  return {"D", "beta", "L = E + B*D^-beta"};
}

// Axes whose values tell configurations of one arm apart, those behind `symbol` aside.
bool SetsApart(const SweepSpec& spec, const std::string& axis, const std::string& symbol) {
  const auto& arms = spec.arm_axes;
  if (std::find(arms.begin(), arms.end(), axis) != arms.end()) return false;
  const std::string& path = spec.FindAxis(axis)->path;
  const bool tokens = path == "train.tokens", model = absl::StartsWith(path, "model.");
  if (symbol == "D") return !tokens;
  if (symbol == "N") return !model;
  if (symbol == "C") return !tokens && !model;
  return true;
}

std::string GroupOf(const SweepSpec& spec, const Cell& cell, const std::string& symbol) {
  std::string group;
  for (const auto& [axis, value] : cell.axes) {
    if (SetsApart(spec, axis, symbol)) absl::StrAppend(&group, axis, "=", value, " ");
  }
  return group;
}

// Trials as points of a design along one quantity.
struct DesignPoint {
  std::string group;
  double x = 0;
  int64_t seed = 0;
  int64_t params = 0;  // N, which trials of a pair share

  bool operator<(const DesignPoint& other) const {
    return std::tie(group, x, seed, params) <
           std::tie(other.group, other.x, other.seed, other.params);
  }
};

using Design = std::map<std::string, std::set<DesignPoint>>;  // by arm

// Several sizes, some of them with several budgets: then a fit along C holds N fixed.
bool IsGrid(const Expansion& expansion) {
  std::map<int64_t, std::set<int64_t>> budgets;
  for (const Cell& cell : expansion.cells) {
    budgets[cell.cost.params.non_embedding].insert(cell.cost.tokens);
  }
  return budgets.size() > 1 && std::any_of(budgets.begin(), budgets.end(),
                                           [](const auto& of) { return of.second.size() > 1; });
}

Design DesignAlong(const SweepSpec& spec, const Expansion& expansion, const Quantity& quantity) {
  std::vector<std::string> groups;
  const bool by_size = quantity.symbol == "C" && IsGrid(expansion);
  for (const Cell& cell : expansion.cells) {
    groups.push_back(GroupOf(spec, cell, quantity.symbol));
    if (by_size) absl::StrAppend(&groups.back(), "N=", cell.cost.params.non_embedding);
  }
  Design design;
  for (const PlannedTrial& trial : expansion.trials) {
    const Cell& cell = expansion.cells[trial.cell];
    design[cell.arm].insert(
        {groups[trial.cell], quantity.Of(cell), trial.seed, cell.cost.params.non_embedding});
  }
  return design;
}

// The line along which one saturating fit is made, with the shortest span.
struct NarrowLine {
  std::string arm;
  std::vector<double> x;  // of each trial, ascending
  double span = 0;
  int distinct = 0;
};

NarrowLine NarrowestLine(const Design& design) {
  NarrowLine narrowest;
  for (const auto& [arm, points] : design) {
    std::map<std::string, std::vector<double>> lines;
    for (const DesignPoint& point : points) lines[point.group].push_back(point.x);
    for (auto& [group, x] : lines) {
      std::sort(x.begin(), x.end());
      NarrowLine line{arm, x, x.back() / x.front(), 1};
      for (size_t i = 1; i < x.size(); ++i) line.distinct += x[i] > x[i - 1] ? 1 : 0;
      if (narrowest.x.empty() || line.span < narrowest.span) narrowest = std::move(line);
    }
  }
  return narrowest;
}

void CheckRange(const Quantity& quantity, const Design& design, const PlanContext& context,
                std::vector<PlanWarning>* warnings) {
  const NarrowLine line = NarrowestLine(design);
  if (line.x.empty()) return;
  const char* symbol = quantity.symbol.c_str();
  const std::string range =
      absl::StrFormat("%s to %s", quantity.Show(line.x.front()), quantity.Show(line.x.back()));
  constexpr int kPointsMin = 4;
  constexpr double kDecade = 10;
  if (line.distinct < kPointsMin) {
    warnings->push_back(
        {"RANGE",
         absl::StrFormat(
             "arm %s has %d value%s of %s; %s of %s takes at least %d, and a slope with "
             "an interval 3",
             line.arm, line.distinct, line.distinct == 1 ? "" : "s", symbol, quantity.exponent,
             quantity.form, kPointsMin),
         absl::StrFormat("add values of %s, log-uniform over 16 to 64x", symbol)});
  } else if (line.span < kDecade) {
    std::vector<double> wider;
    for (const double x : line.x) {
      wider.push_back(
          std::exp(std::log(x / line.x.front()) / std::log(line.span) * std::log(16.0)));
    }
    warnings->push_back(
        {"RANGE",
         absl::StrFormat("%s spans %.3gx (%s), under a decade: %s of %s is not identifiable with E "
                         "free (standard error about %.2g at %.2g%% noise)",
                         symbol, line.span, range, quantity.exponent, quantity.form,
                         BetaStandardError(line.x, context.seed_noise), 100 * context.seed_noise),
         absl::StrFormat("span 16 to 64x (about %.2g at 16x), or read the local slope only",
                         BetaStandardError(wider, context.seed_noise))});
  }
}

std::vector<PlannedPair> PairsOf(const std::set<DesignPoint>& a, const std::set<DesignPoint>& b) {
  std::map<std::string, int> lines;
  std::vector<PlannedPair> pairs;
  for (const DesignPoint& point : a) {
    if (b.count(point) == 0) continue;
    const int line = lines.emplace(point.group, static_cast<int>(lines.size())).first->second;
    pairs.push_back({line, std::log(point.x)});
  }
  return pairs;
}

void CheckNoise(const std::string& arm, const std::string& arm_b, const Quantity& quantity,
                const Design& design, const PlanContext& context,
                std::vector<PlanWarning>* warnings) {
  const auto a = design.find(arm), b = design.find(arm_b);
  if (a == design.end() || b == design.end()) return;
  const std::vector<PlannedPair> pairs = PairsOf(a->second, b->second);
  if (pairs.empty()) {
    const int64_t n = a->second.begin()->params, n_b = b->second.begin()->params;
    warnings->push_back(
        {"PAIRS",
         absl::StrFormat("%s and %s have no trials at one N, D and seed%s, so they will not be "
                         "compared",
                         arm, arm_b, n == n_b ? "" : absl::StrFormat(" (N = %d and %d)", n, n_b)),
         "give both arms the same sizes, tokens and seeds, or read each arm's own slope"});
    return;
  }
  const double power = PairedPower(pairs, context.seed_noise, context.slope_difference);
  if (power >= kPowerLow) return;
  std::set<int64_t> seeds;
  for (const DesignPoint& point : a->second) seeds.insert(point.seed);
  int wanted = 0;
  std::vector<PlannedPair> more = pairs;
  for (int times = 2; times <= kSeedsMax && wanted == 0; ++times) {
    more.insert(more.end(), pairs.begin(), pairs.end());
    if (PairedPower(more, context.seed_noise, context.slope_difference) >= kPowerWanted) {
      wanted = times;
    }
  }
  const std::string fix =
      wanted == 0
          ? absl::StrFormat("give %s more values and a wider range first", quantity.symbol)
          : absl::StrFormat(
                "%d times as many seeds (%d, %d pairs) give 90%%; more values or a wider "
                "range of %s are cheaper",
                wanted, wanted * static_cast<int>(seeds.size()), more.size(), quantity.symbol);
  warnings->push_back(
      {"NOISE",
       absl::StrFormat("%s and %s share %d pairs (%s, seed): a slope difference of %.2g at %.2g%% "
                       "noise would be seen with probability %.2g",
                       arm, arm_b, pairs.size(), quantity.symbol, context.slope_difference,
                       100 * context.seed_noise, power),
       fix});
}

// The difference that PairedPower finds with probability `kPowerWanted`.
double DetectableDifference(const std::vector<PlannedPair>& pairs, double noise) {
  double low = 0, high = 1e-4;
  while (PairedPower(pairs, noise, high) < kPowerWanted) {
    low = high;
    high *= 2;
    if (high > 10) return std::numeric_limits<double>::infinity();
  }
  for (int i = 0; i < 30; ++i) {
    const double middle = (low + high) / 2;
    (PairedPower(pairs, noise, middle) < kPowerWanted ? low : high) = middle;
  }
  return high;
}

// Standard error of a common slope over points on lines, each with its intercept.
double SlopeErrorOnLines(const std::vector<PlannedPair>& points, double noise) {
  std::map<int, std::pair<double, int>> lines;
  for (const PlannedPair& point : points) {
    lines[point.line].first += point.log_x;
    ++lines[point.line].second;
  }
  double squares = 0;
  for (const PlannedPair& point : points) {
    const auto& [sum, count] = lines[point.line];
    squares += (point.log_x - sum / count) * (point.log_x - sum / count);
  }
  return squares > 0 ? noise / std::sqrt(squares) : std::numeric_limits<double>::infinity();
}

DesignForecast ForecastArm(const std::string& arm, const Quantity& quantity, const Design& design,
                           double noise) {
  const std::set<DesignPoint>& points = design.at(arm);
  DesignForecast forecast{.arm = arm, .axis = quantity.symbol};
  forecast.trials = static_cast<int>(points.size());
  const NarrowLine line = NarrowestLine({{arm, points}});
  forecast.distinct_x = line.distinct;
  forecast.span = line.span;
  forecast.slope_se = SlopeErrorOnLines(PairsOf(points, points), noise);
  forecast.beta_se = line.distinct < 4 ? std::numeric_limits<double>::infinity()
                                       : BetaStandardError(line.x, noise);
  return forecast;
}

DesignForecast ForecastContrast(const std::string& arm, const std::string& arm_b,
                                const Quantity& quantity, const Design& design, double noise) {
  const std::vector<PlannedPair> pairs = PairsOf(design.at(arm), design.at(arm_b));
  std::set<double> distinct;
  for (const PlannedPair& pair : pairs) distinct.insert(pair.log_x);
  DesignForecast forecast{.arm = arm, .arm_b = arm_b, .axis = quantity.symbol};
  forecast.trials = static_cast<int>(pairs.size());
  forecast.distinct_x = static_cast<int>(distinct.size());
  if (!distinct.empty()) forecast.span = std::exp(*distinct.rbegin() - *distinct.begin());
  forecast.slope_se = SlopeErrorOnLines(pairs, noise * std::sqrt(2.0));
  forecast.detectable = DetectableDifference(pairs, noise);
  return forecast;
}

void CheckImbalance(const SweepSpec& spec, const Expansion& expansion,
                    std::vector<PlanWarning>* warnings) {
  std::map<std::string, std::set<std::string>> points;
  std::set<std::string> all;
  std::vector<std::string> groups;
  for (const Cell& cell : expansion.cells) groups.push_back(GroupOf(spec, cell, ""));
  for (const PlannedTrial& trial : expansion.trials) {
    std::string point = absl::StrCat(groups[trial.cell], "seed=", trial.seed);
    points[expansion.cells[trial.cell].arm].insert(point);
    all.insert(std::move(point));
  }
  size_t lacking = 0, worst = 0;
  std::string worst_arm, example;
  for (const auto& [arm, points_of_arm] : points) {
    const std::set<std::string>& has = points_of_arm;  // clang 14 cannot capture the binding
    const size_t lacks = all.size() - has.size();
    lacking += lacks > 0 ? 1 : 0;
    if (lacks <= worst) continue;
    worst = lacks;
    worst_arm = arm;
    example = *std::find_if(all.begin(), all.end(),
                            [&](const std::string& point) { return has.count(point) == 0; });
  }
  if (lacking == 0) return;
  warnings->push_back(
      {"IMBALANCE",
       absl::StrFormat("%d of %d arms lack points that others have: %s lacks %d of %d, such as %s",
                       lacking, points.size(), worst_arm, worst, all.size(), example),
       "compare arms on the same points: unpaired trials are left out of comparisons"});
}

}  // namespace

void CheckDesign(const SweepSpec& spec, const Expansion& expansion, const PlanContext& context,
                 std::vector<PlanWarning>* warnings) {
  std::map<std::string, Design> designs;
  const auto along = [&](const Quantity& quantity) -> const Design& {
    const auto it = designs.find(quantity.symbol);
    if (it != designs.end()) return it->second;
    return designs.emplace(quantity.symbol, DesignAlong(spec, expansion, quantity)).first->second;
  };
  std::set<std::string> ranged;
  bool compared = false;
  for (const FitRequest& fit : spec.fit) {
    if (fit.kind == "comparison") {
      compared = true;
      const Quantity quantity = QuantityOf(fit.axis);
      CheckNoise(fit.arm, fit.arm_b, quantity, along(quantity), context, warnings);
    } else if (fit.kind == "saturating" && ranged.insert(fit.axis).second) {
      const Quantity quantity = QuantityOf(fit.axis);
      CheckRange(quantity, along(quantity), context, warnings);
    }
  }
  if (!compared && expansion.arms.size() > 1 && !spec.fit.empty() && !spec.fit[0].axis.empty()) {
    const Quantity quantity = QuantityOf(spec.fit[0].axis);
    CheckNoise(expansion.arms[0], expansion.arms[1], quantity, along(quantity), context, warnings);
  }
  CheckImbalance(spec, expansion, warnings);
}

std::vector<DesignForecast> ForecastDesign(const SweepSpec& spec, const Expansion& expansion,
                                           const PlanContext& context) {
  constexpr size_t kShownMax = 8;
  std::vector<DesignForecast> forecasts;
  if (spec.fit.empty() || expansion.arms.empty()) return forecasts;
  std::map<std::string, Design> designs;
  const auto along = [&](const Quantity& quantity) -> const Design& {
    const auto it = designs.find(quantity.symbol);
    if (it != designs.end()) return it->second;
    return designs.emplace(quantity.symbol, DesignAlong(spec, expansion, quantity)).first->second;
  };
  std::set<std::string> axes;
  for (const FitRequest& fit : spec.fit) {
    const bool line = fit.kind == "local_slope" || fit.kind == "saturating";
    if (!line || !axes.insert(fit.axis).second) continue;
    const Quantity quantity = QuantityOf(fit.axis);
    if (along(quantity).count(expansion.arms[0]) == 0) continue;
    forecasts.push_back(
        ForecastArm(expansion.arms[0], quantity, along(quantity), context.seed_noise));
  }
  const auto contrast = [&](const std::string& arm, const std::string& arm_b,
                            const std::string& axis) {
    const Quantity quantity = QuantityOf(axis);
    const Design& design = along(quantity);
    if (design.count(arm) == 0 || design.count(arm_b) == 0) return;
    forecasts.push_back(ForecastContrast(arm, arm_b, quantity, design, context.seed_noise));
  };
  bool compared = false;
  for (const FitRequest& fit : spec.fit) {
    if (fit.kind != "comparison" || forecasts.size() >= kShownMax) continue;
    compared = true;
    contrast(fit.arm, fit.arm_b, fit.axis);
  }
  if (!compared && expansion.arms.size() > 1 && !spec.fit[0].axis.empty()) {
    contrast(expansion.arms[0], expansion.arms[1], spec.fit[0].axis);
  }
  return forecasts;
}

double SlopeStandardError(const std::vector<double>& x, double noise) {
  std::vector<PlannedPair> points;
  for (const double value : x) points.push_back({0, std::log(value)});
  return SlopeErrorOnLines(points, noise);
}

BetterGrid FindBetterGrid(const std::vector<double>& tokens, double noise) {
  constexpr int kSeedsPerPointMax = 8;
  BetterGrid best;
  if (tokens.empty()) return best;
  double cost = 0;
  for (const double d : tokens) cost += d;
  const double first = *std::min_element(tokens.begin(), tokens.end());
  const double slope_now = SlopeStandardError(tokens, noise);
  double beta_best = 0.8 * BetaStandardError(tokens, noise);
  for (const double span : {8.0, 16.0, 32.0, 64.0}) {
    for (const int n : {5, 6}) {
      BetterGrid grid;
      std::vector<double> all;
      double spent = 0;
      for (int i = 0; i < n; ++i) {
        const double d = first * std::pow(span, i / (n - 1.0));
        const int seeds = std::clamp(static_cast<int>(cost / n / d), 1, kSeedsPerPointMax);
        grid.tokens.push_back(d);
        grid.seeds.push_back(seeds);
        all.insert(all.end(), seeds, d);
        spent += seeds * d;
      }
      if (spent > cost) continue;
      grid.slope_se = SlopeStandardError(all, noise);
      grid.beta_se = BetaStandardError(all, noise);
      if (!(grid.beta_se < beta_best) || grid.slope_se > slope_now) continue;
      beta_best = grid.beta_se;
      best = std::move(grid);
    }
  }
  return best;
}

}  // namespace loglog
