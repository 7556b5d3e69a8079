#include "fit/next_runs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "fit/law_fit.h"
#include "fit/means.h"
#include "fit/pairs.h"

namespace loglog {
namespace {

using Gradient = Eigen::VectorXd;

// A law linearized at its estimate: what a trial says of the parameters, and what the goal
// asks of them.
struct LinearGoal {
  std::unique_ptr<Form> form;  // null: a line with an intercept for each size
  std::vector<double> theta;
  double centre = 0;          // of ln D, of the line
  std::vector<double> sizes;  // N, of the line's intercepts
  Gradient goal;
  Eigen::MatrixXd information;                  // of the trials there are, in units of one trial
  std::set<std::pair<double, double>> configs;  // (N, ln D) of the trials there are
  double variance = 0;                          // of one trial
  double estimate = 0;

  // The intercept of a size; -1 when no trial has it.
  int SizeIndex(double n_params) const {
    const auto at = std::find(sizes.begin(), sizes.end(), n_params);
    return at == sizes.end() ? -1 : static_cast<int>(at - sizes.begin());
  }
  Gradient At(double n_params, double ln_d) const {
    if (form == nullptr) {
      Gradient gradient = Gradient::Zero(static_cast<int>(sizes.size()) + 1);
      gradient(SizeIndex(n_params)) = 1;
      gradient(static_cast<int>(sizes.size())) = ln_d - centre;
      return gradient;
    }
    Gradient gradient(form->dim());
    const double u = ln_d - form->ln_x_mean(0);
    form->LnLoss(theta.data(), &u, 0, gradient.data());
    return gradient;
  }
  void Add(double n_params, double ln_d, double weight) {
    const Gradient g = At(n_params, ln_d);
    if (information.size() == 0) information = Eigen::MatrixXd::Zero(g.size(), g.size());
    information += weight * g * g.transpose();
    configs.insert({n_params, ln_d});
  }
  int parameters() const { return static_cast<int>(goal.size()); }
};

// A line over points whose group is an index into `sizes`.
LinearGoal GoalOfLine(const LineData& data, std::vector<double> sizes) {
  LinearGoal linear;
  const Line line = FitLine(data);
  linear.sizes = std::move(sizes);
  linear.centre = line.mean_u[0];
  linear.goal = Gradient::Unit(data.n_groups + 1, data.n_groups);
  linear.estimate = line.slope;
  linear.variance = line.rss / line.df;
  for (int i = 0; i < data.size(); ++i) {
    linear.Add(linear.sizes[data.group[i]], data.u[i], data.weight[i]);
  }
  return linear;
}

// The differences of pairs as a line.
absl::StatusOr<LinearGoal> DifferenceGoal(absl::Span<const Observation> arm,
                                          absl::Span<const Observation> arm_b,
                                          std::string* reason) {
  LOGLOG_ASSIGN_OR_RETURN(const Pairs pairs, MakePairs(arm, arm_b, Axis::kTokens));
  const LineData cells = MeansOfCells(pairs, [](const Pair& p) { return p.y1 - p.y2; });
  if (pairs.n_distinct_x < 3 || cells.size() < pairs.n_groups + 2) {
    *reason = absl::StrFormat(
        "a slope difference needs pairs at 3 different D and 2 more than there are sizes; there "
        "are %d D and %d sizes in pairs; train those first",
        pairs.n_distinct_x, pairs.n_groups);
    return LinearGoal();
  }
  std::vector<double> sizes(pairs.n_groups);
  for (const Pair& pair : pairs.pairs) sizes[pair.group] = pair.n_params;
  return GoalOfLine(cells, std::move(sizes));
}

// The slope that several sizes share.
LinearGoal SlopeOverSizes(const ConfigMeans& means, std::string* reason) {
  const LineData data = AsLine(means);
  if (data.size() < data.n_groups + 2 || !(FitLine(data).suu > 0)) {
    *reason = absl::StrFormat(
        "a slope over %d sizes needs %d configurations, several D at one size, and there are %d; "
        "train more D at one size first",
        data.n_groups, data.n_groups + 2, data.size());
    return LinearGoal();
  }
  return GoalOfLine(data, means.group_sizes);
}

absl::StatusOr<LinearGoal> ArmGoal(absl::Span<const Observation> arm, const NextOptions& options,
                                   Law* law, std::string* reason) {
  LinearGoal linear;
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(arm, Axis::kTokens));
  const bool floor =
      options.goal == NextGoal::kPrediction && WhyTooFew(Law::kSaturating, means).empty();
  *law = floor ? Law::kSaturating : Law::kPower;
  if (means.group_sizes.size() > 1 && options.goal == NextGoal::kSlope) {
    return SlopeOverSizes(means, reason);
  }
  *reason = WhyTooFew(*law, means);
  if (reason->empty() && means.group_sizes.size() > 1) {
    *reason = absl::StrFormat("the arm mixes %d sizes, and a prediction is of one; name its trials",
                              means.group_sizes.size());
  }
  if (!reason->empty()) return linear;
  linear.form = MakeForm(*law, means);
  const Form& form = *linear.form;
  const Minimum minimum = MinimizeSquares(form, form.Starts());
  linear.theta = minimum.theta;
  linear.sizes = means.group_sizes;
  const std::vector<std::string> bounds = ActiveBounds(form, minimum.theta);
  if (!bounds.empty()) {
    *reason = absl::StrFormat("%s: there is no slope of the goal to follow; widen D first",
                              bounds.front());
    return linear;
  }
  const double n = means.group_sizes[0];
  linear.variance = minimum.value / (form.size() - form.dim());
  for (const ConfigMean& point : means.points) linear.Add(n, point.ln_x, point.weight);
  if (options.goal == NextGoal::kSlope) {
    // theta = (ln B in the middle, beta); the slope is -beta.
    linear.goal = Eigen::Vector2d(0, -1);
    linear.estimate = -minimum.theta[1];
  } else {
    linear.goal = linear.At(n, std::log(options.target));
    linear.estimate = form.Predict(minimum.theta.data(), {std::log(options.target)});
  }
  return linear;
}

// t quantile times the standard error of the goal.
double HalfWidth(const LinearGoal& linear, double confidence) {
  const int df = static_cast<int>(linear.configs.size()) - linear.parameters();
  if (df < 1) return kNoNumber;
  const double variance = linear.goal.dot(linear.information.ldlt().solve(linear.goal));
  return TQuantile(0.5 + confidence / 2, df) * std::sqrt(variance * linear.variance);
}

}  // namespace

std::vector<double> NextCandidates(absl::Span<const Observation> arm) {
  std::set<double> tokens;
  for (const Observation& o : arm) tokens.insert(o.d_tokens);
  std::vector<double> candidates(tokens.begin(), tokens.end());
  for (size_t i = 1; i < tokens.size(); ++i) {
    candidates.push_back(std::sqrt(candidates[i - 1] * candidates[i]));
  }
  if (!tokens.empty()) {
    candidates.push_back(2 * *tokens.rbegin());
    candidates.push_back(4 * *tokens.rbegin());
  }
  return candidates;
}

std::vector<NextCandidate> NextCandidatesBySize(absl::Span<const Observation> arm) {
  std::map<double, std::vector<Observation>> by_size;
  for (const Observation& o : arm) by_size[o.n_params].push_back(o);
  std::vector<NextCandidate> candidates;
  for (const auto& [n_params, trials] : by_size) {
    for (const double d : NextCandidates(trials)) candidates.push_back({n_params, d});
  }
  return candidates;
}

absl::StatusOr<NextPlan> ChooseNextRuns(absl::Span<const Observation> arm,
                                        absl::Span<const Observation> arm_b,
                                        absl::Span<const double> candidates,
                                        absl::FunctionRef<double(double d_tokens)> cost,
                                        const NextOptions& options) {
  std::vector<NextCandidate> of_one_size;
  for (const double d : candidates) of_one_size.push_back({arm.empty() ? 1 : arm[0].n_params, d});
  return ChooseNextRuns(
      arm, arm_b, of_one_size, [&](const NextCandidate& c) { return cost(c.d_tokens); }, options);
}

absl::StatusOr<NextPlan> ChooseNextRuns(absl::Span<const Observation> arm,
                                        absl::Span<const Observation> arm_b,
                                        absl::Span<const NextCandidate> candidates,
                                        absl::FunctionRef<double(const NextCandidate&)> cost,
                                        const NextOptions& options) {
  const bool pairs = options.goal == NextGoal::kDifference;
  const auto usable = [](double d) { return std::isfinite(d) && d > 0; };
  if (options.goal == NextGoal::kPrediction && !usable(options.target)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("target is %g tokens; it must be finite and above 0", options.target));
  }
  for (const NextCandidate& c : candidates) {
    if (!usable(c.d_tokens) || !usable(cost(c))) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "candidate D = %g costs %g; both must be finite and above 0", c.d_tokens, cost(c)));
    }
  }
  NextPlan plan;
  Law law = Law::kPower;
  LOGLOG_ASSIGN_OR_RETURN(LinearGoal linear, pairs ? DifferenceGoal(arm, arm_b, &plan.reason)
                                                   : ArmGoal(arm, options, &law, &plan.reason));
  plan.law = pairs                     ? "paired differences on a line"
             : linear.sizes.size() > 1 ? "a line with one slope for all sizes"
                                       : LawName(law);
  if (!plan.reason.empty()) return plan;
  for (const NextCandidate& c : candidates) {
    if (linear.SizeIndex(c.n_params) >= 0) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("candidate N = %g: no trial%s has this size, so its intercept is not known",
                        c.n_params, pairs ? " in a pair" : ""));
  }
  plan.estimate = linear.estimate;
  plan.noise = std::sqrt(linear.variance);
  plan.half_width = HalfWidth(linear, options.confidence);
  double spent = 0;
  while (static_cast<int>(plan.steps.size()) < options.steps_max) {
    const Eigen::LDLT<Eigen::MatrixXd> factor(linear.information);
    const Gradient toward = factor.solve(linear.goal);
    double best_gain = 0;
    NextStep best;
    for (const NextCandidate& c : candidates) {
      const double price = cost(c) * (pairs ? 2 : 1);
      if (spent + price > options.budget) continue;
      // What adding g*g' takes off c'M^-1 c (Sherman and Morrison).
      const Gradient g = linear.At(c.n_params, std::log(c.d_tokens));
      const double along = g.dot(toward);
      const double gain = along * along / (1 + g.dot(factor.solve(g))) / price;
      if (!(gain > best_gain)) continue;
      best_gain = gain;
      best = {.n_params = c.n_params, .d_tokens = c.d_tokens, .cost = price};
    }
    if (!(best_gain > 0)) break;
    linear.Add(best.n_params, std::log(best.d_tokens), 1);
    spent += best.cost;
    best.spent = spent;
    best.half_width = HalfWidth(linear, options.confidence);
    plan.steps.push_back(best);
  }
  if (plan.steps.empty()) {
    plan.reason = absl::StrFormat("no trial fits into a budget of %g", options.budget);
  }
  return plan;
}

}  // namespace loglog
