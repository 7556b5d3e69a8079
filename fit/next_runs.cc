#include "fit/next_runs.h"

#include <cmath>
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

// A law linearized at its estimate: what a trial at D says of the parameters, and what the
// goal asks of them.
struct LinearGoal {
  std::unique_ptr<Form> form;  // null: the line of paired differences
  std::vector<double> theta;
  double centre = 0;  // of ln D, of the line
  Gradient goal;
  Eigen::MatrixXd information;  // of the trials there are, in units of one trial
  std::set<double> ln_d;        // of the trials there are
  double variance = 0;          // of one trial
  double estimate = 0;

  Gradient At(double ln_d_value) const {
    if (form == nullptr) return Eigen::Vector2d(1, ln_d_value - centre);
    Gradient gradient(form->dim());
    const double u = ln_d_value - form->ln_x_mean(0);
    form->LnLoss(theta.data(), &u, 0, gradient.data());
    return gradient;
  }
  int parameters() const { return static_cast<int>(goal.size()); }
};

// The differences of pairs as a line.
absl::StatusOr<LinearGoal> DifferenceGoal(absl::Span<const Observation> arm,
                                          absl::Span<const Observation> arm_b,
                                          std::string* reason) {
  LinearGoal linear;
  LOGLOG_ASSIGN_OR_RETURN(const Pairs pairs, MakePairs(arm, arm_b, Axis::kTokens));
  if (pairs.n_distinct_x < 3 || pairs.n_groups != 1) {
    *reason = absl::StrFormat(
        "a slope difference needs pairs of one size at 3 different D, and there are %d at %d "
        "sizes; train those first",
        pairs.n_distinct_x, pairs.n_groups);
    return linear;
  }
  const LineData cells = MeansOfCells(pairs, [](const Pair& p) { return p.y1 - p.y2; });
  const Line line = FitLine(cells);
  linear.centre = line.mean_u[0];
  linear.goal = Eigen::Vector2d(0, 1);
  linear.estimate = line.slope;
  linear.variance = line.rss / line.df;
  linear.information = Eigen::Matrix2d::Zero();
  for (int i = 0; i < cells.size(); ++i) {
    const Gradient g = linear.At(cells.u[i]);
    linear.information += cells.weight[i] * g * g.transpose();
    linear.ln_d.insert(cells.u[i]);
  }
  return linear;
}

absl::StatusOr<LinearGoal> ArmGoal(absl::Span<const Observation> arm, const NextOptions& options,
                                   Law* law, std::string* reason) {
  LinearGoal linear;
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(arm, Axis::kTokens));
  const bool floor =
      options.goal == NextGoal::kPrediction && WhyTooFew(Law::kSaturating, means).empty();
  *law = floor ? Law::kSaturating : Law::kPower;
  *reason = WhyTooFew(*law, means);
  if (reason->empty() && means.group_sizes.size() > 1) {
    *reason =
        absl::StrFormat("the arm mixes %d sizes; name trials of one", means.group_sizes.size());
  }
  if (!reason->empty()) return linear;
  linear.form = MakeForm(*law, means);
  const Form& form = *linear.form;
  const Minimum minimum = MinimizeSquares(form, form.Starts());
  linear.theta = minimum.theta;
  const std::vector<std::string> bounds = ActiveBounds(form, minimum.theta);
  if (!bounds.empty()) {
    *reason = absl::StrFormat("%s: there is no slope of the goal to follow; widen D first",
                              bounds.front());
    return linear;
  }
  linear.variance = minimum.value / (form.size() - form.dim());
  linear.information = Eigen::MatrixXd::Zero(form.dim(), form.dim());
  for (const ConfigMean& point : means.points) {
    const Gradient g = linear.At(point.ln_x);
    linear.information += point.weight * g * g.transpose();
    linear.ln_d.insert(point.ln_x);
  }
  if (options.goal == NextGoal::kSlope) {
    // theta = (ln B in the middle, beta); the slope is -beta.
    linear.goal = Eigen::Vector2d(0, -1);
    linear.estimate = -minimum.theta[1];
  } else {
    linear.goal = linear.At(std::log(options.target));
    linear.estimate = form.Predict(minimum.theta.data(), {std::log(options.target)});
  }
  return linear;
}

// t quantile times the standard error of the goal.
double HalfWidth(const LinearGoal& linear, const Eigen::MatrixXd& information, size_t configs,
                 double confidence) {
  const int df = static_cast<int>(configs) - linear.parameters();
  if (df < 1) return kNoNumber;
  const double variance = linear.goal.dot(information.ldlt().solve(linear.goal));
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

absl::StatusOr<NextPlan> ChooseNextRuns(absl::Span<const Observation> arm,
                                        absl::Span<const Observation> arm_b,
                                        absl::Span<const double> candidates,
                                        absl::FunctionRef<double(double d_tokens)> cost,
                                        const NextOptions& options) {
  const bool pairs = options.goal == NextGoal::kDifference;
  const auto usable = [](double d) { return std::isfinite(d) && d > 0; };
  if (options.goal == NextGoal::kPrediction && !usable(options.target)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("target is %g tokens; it must be finite and above 0", options.target));
  }
  for (const double d : candidates) {
    if (!usable(d) || !usable(cost(d))) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "candidate D = %g costs %g; both must be finite and above 0", d, cost(d)));
    }
  }
  NextPlan plan;
  Law law = Law::kPower;
  LOGLOG_ASSIGN_OR_RETURN(LinearGoal linear, pairs ? DifferenceGoal(arm, arm_b, &plan.reason)
                                                   : ArmGoal(arm, options, &law, &plan.reason));
  plan.law = pairs ? "paired differences on a line" : LawName(law);
  if (!plan.reason.empty()) return plan;
  plan.estimate = linear.estimate;
  plan.noise = std::sqrt(linear.variance);
  std::set<double> configs = linear.ln_d;
  plan.half_width = HalfWidth(linear, linear.information, configs.size(), options.confidence);
  double spent = 0;
  Eigen::MatrixXd information = linear.information;
  while (static_cast<int>(plan.steps.size()) < options.steps_max) {
    const Gradient toward = information.ldlt().solve(linear.goal);
    double best_gain = 0;
    NextStep best;
    for (const double d : candidates) {
      const double price = cost(d) * (pairs ? 2 : 1);
      if (spent + price > options.budget) continue;
      // What adding g*g' takes off c'M^-1 c (Sherman and Morrison).
      const Gradient g = linear.At(std::log(d));
      const double along = g.dot(toward);
      const double gain = along * along / (1 + g.dot(information.ldlt().solve(g))) / price;
      if (!(gain > best_gain)) continue;
      best_gain = gain;
      best = {.d_tokens = d, .cost = price};
    }
    if (!(best_gain > 0)) break;
    const Gradient g = linear.At(std::log(best.d_tokens));
    information += g * g.transpose();
    configs.insert(std::log(best.d_tokens));
    spent += best.cost;
    best.spent = spent;
    best.half_width = HalfWidth(linear, information, configs.size(), options.confidence);
    plan.steps.push_back(best);
  }
  if (plan.steps.empty()) {
    plan.reason = absl::StrFormat("no trial fits into a budget of %g", options.budget);
  }
  return plan;
}

}  // namespace loglog
