#include "fit/next_runs.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "fit/differences.h"
#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "fit/law_fit.h"
#include "fit/means.h"
#include "fit/paired_error.h"
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
  double estimate = 0;
  double half_width = kNoNumber;  // of the goal's interval now
  // Variances of ln L between the seeds of a configuration and, beyond that, between
  // configurations: what their own effects and the bend of the curve leave about the law. More
  // seeds take nothing off the second.
  double seed_variance = 0;
  double config_variance = 0;
  double noise = 0;                                   // root of the first, in the data
  std::map<std::pair<double, double>, double> seeds;  // by (N, ln D)
  Eigen::MatrixXd information;                        // of the trials there are

  // The intercept of a size; -1 when no trial has it.
  int SizeIndex(double n_params) const {
    const auto at = std::find(sizes.begin(), sizes.end(), n_params);
    return at == sizes.end() ? -1 : static_cast<int>(at - sizes.begin());
  }
  // Covariates of the form: ln D, or ln N and ln D.
  std::vector<double> Columns(double n_params, double ln_d) const {
    if (form->columns() == 1) return {ln_d};
    return {std::log(n_params), ln_d};
  }
  Gradient At(double n_params, double ln_d) const {
    if (form == nullptr) {
      Gradient gradient = Gradient::Zero(static_cast<int>(sizes.size()) + 1);
      gradient(SizeIndex(n_params)) = 1;
      gradient(static_cast<int>(sizes.size())) = ln_d - centre;
      return gradient;
    }
    Gradient gradient(form->dim());
    std::vector<double> u = Columns(n_params, ln_d);
    for (int c = 0; c < form->columns(); ++c) u[c] -= form->ln_x_mean(c);
    form->LnLoss(theta.data(), u.data(), 0, gradient.data());
    return gradient;
  }
  // What so many seeds of a configuration say of its ln L.
  double Precision(double n) const { return n > 0 ? 1 / (config_variance + seed_variance / n) : 0; }
  // By how much one more raises that.
  double Gain(double n_params, double ln_d) const {
    const auto there = seeds.find({n_params, ln_d});
    const double n = there == seeds.end() ? 0 : there->second;
    return Precision(n + 1) - Precision(n);
  }
  void Add(double n_params, double ln_d) {
    const Gradient g = At(n_params, ln_d);
    information += Gain(n_params, ln_d) * g * g.transpose();
    ++seeds[{n_params, ln_d}];
  }
  int parameters() const { return static_cast<int>(goal.size()); }
};

struct Mean {
  double n_params = 0;
  double ln_d = 0;
  double seeds = 0;
  double weight = 0;  // in the fit
};

// Fills variances, information and the half-width from the means that were fitted; `variance` is
// that of one trial about the law, with `df`. `pure`: between seeds.
void FillInformation(absl::Span<const Mean> means, double variance, int df, const PureError& pure,
                     double confidence, LinearGoal* linear) {
  std::vector<double> seeds;
  for (const Mean& mean : means) seeds.push_back(mean.seeds);
  const bool told = pure.df >= 1 && pure.squares > 0;
  linear->seed_variance = told ? std::min(variance, pure.squares / pure.df) : variance;
  linear->config_variance = (variance - linear->seed_variance) * VarianceOfTypicalMean(seeds);
  linear->noise = std::sqrt(linear->seed_variance);
  // Without any scatter all that is left to compare is the design.
  if (!(variance > 0)) linear->seed_variance = 1;
  const int n = linear->parameters();
  linear->information = Eigen::MatrixXd::Zero(n, n);
  Eigen::MatrixXd as_fitted = Eigen::MatrixXd::Zero(n, n);
  for (const Mean& mean : means) {
    const Gradient g = linear->At(mean.n_params, mean.ln_d);
    const double seeds = linear->seeds[{mean.n_params, mean.ln_d}] += mean.seeds;
    as_fitted += mean.weight * g * g.transpose();
    linear->information +=
        (linear->Precision(seeds) - linear->Precision(seeds - mean.seeds)) * g * g.transpose();
  }
  if (df < 1) return;
  const double unit = linear->goal.dot(as_fitted.ldlt().solve(linear->goal));
  linear->half_width = TQuantile(0.5 + confidence / 2, df) * std::sqrt(unit * variance);
}

// A line over points whose group is an index into `sizes`; `seeds` of each.
LinearGoal GoalOfLine(const LineData& data, absl::Span<const double> seeds, const PureError& pure,
                      std::vector<double> sizes, double confidence) {
  LinearGoal linear;
  const Line line = FitLine(data);
  linear.sizes = std::move(sizes);
  linear.centre = line.mean_u[0];
  linear.goal = Gradient::Unit(data.n_groups + 1, data.n_groups);
  linear.estimate = line.slope;
  std::vector<Mean> means;
  for (int i = 0; i < data.size(); ++i) {
    means.push_back({linear.sizes[data.group[i]], data.u[i], seeds[i], data.weight[i]});
  }
  FillInformation(means, line.rss / line.df, line.df, pure, confidence, &linear);
  return linear;
}

// The differences of pairs as a line.
absl::StatusOr<LinearGoal> DifferenceGoal(absl::Span<const Observation> arm,
                                          absl::Span<const Observation> arm_b, double confidence,
                                          std::string* reason) {
  LOGLOG_ASSIGN_OR_RETURN(const Pairs pairs, MakePairs(arm, arm_b, Axis::kTokens));
  if (pairs.n_distinct_x < 3 || pairs.n_cells < pairs.n_groups + 2) {
    *reason = absl::StrFormat(
        "a slope difference needs pairs at 3 different D and 2 more than there are sizes; there "
        "are %d D and %d sizes in pairs; train those first",
        pairs.n_distinct_x, pairs.n_groups);
    return LinearGoal();
  }
  std::vector<double> sizes(pairs.n_groups), seeds(pairs.n_cells, 0.0);
  for (const Pair& pair : pairs.pairs) {
    sizes[pair.group] = pair.n_params;
    ++seeds[pair.cell];
  }
  const Differences d(pairs);
  const PureError pure = PureErrorOf(pairs, [](const Pair& p) { return p.y1 - p.y2; });
  LinearGoal linear = GoalOfLine(d.cells, seeds, pure, std::move(sizes), confidence);
  // As CompareArms has it.
  linear.half_width = PairedError(d.line.rss, d.line.df, d.pure).HalfWidth(confidence, d.line.suu);
  return linear;
}

// The slope that several sizes share.
LinearGoal SlopeOverSizes(const ConfigMeans& means, double confidence, std::string* reason) {
  const LineData data = AsLine(means);
  if (data.size() < data.n_groups + 2 || !(FitLine(data).suu > 0)) {
    *reason = absl::StrFormat(
        "a slope over %d sizes needs %d configurations, several D at one size, and there are %d; "
        "train more D at one size first",
        data.n_groups, data.n_groups + 2, data.size());
    return LinearGoal();
  }
  std::vector<double> seeds;
  for (const ConfigMean& point : means.points) seeds.push_back(point.n_seeds);
  return GoalOfLine(data, seeds, {means.pure_error_ss, means.pure_error_df}, means.group_sizes,
                    confidence);
}

// The goal as a function of a form's parameters.
void SetGoal(const NextOptions& options, LinearGoal* linear) {
  const Form& form = *linear->form;
  const std::vector<double>& theta = linear->theta;
  if (options.goal == NextGoal::kExponent) {
    const std::vector<FormParameter>& parameters = form.parameters();
    const auto beta = std::find_if(parameters.begin(), parameters.end(),
                                   [](const FormParameter& p) { return p.name == "beta"; });
    const int index = static_cast<int>(beta - parameters.begin());
    linear->goal = Gradient::Unit(form.dim(), index);
    linear->estimate = theta[index];
    return;
  }
  if (options.goal == NextGoal::kSlope) {
    // theta = (ln B in the middle, beta); the slope is -beta.
    linear->goal = Eigen::Vector2d(0, -1);
    linear->estimate = -theta[1];
    return;
  }
  const double largest = *std::max_element(linear->sizes.begin(), linear->sizes.end());
  const double n = options.target_params > 0 ? options.target_params : largest;
  const double ln_d = std::log(options.target);
  linear->goal = linear->At(n, ln_d);
  linear->estimate = form.Predict(theta.data(), linear->Columns(n, ln_d));
}

absl::StatusOr<LinearGoal> ArmGoal(absl::Span<const Observation> arm, const NextOptions& options,
                                   Law* law, std::string* reason) {
  LinearGoal linear;
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(arm, Axis::kTokens));
  const bool prediction = options.goal == NextGoal::kPrediction;
  const bool exponent = options.goal == NextGoal::kExponent;
  const bool several = means.group_sizes.size() > 1;
  if (several && options.goal == NextGoal::kSlope) {
    return SlopeOverSizes(means, options.confidence, reason);
  }
  const bool floor = exponent || (prediction && WhyTooFew(Law::kSaturating, means).empty());
  *law = several ? Law::kJoint : floor ? Law::kSaturating : Law::kPower;
  *reason = WhyTooFew(*law, means);
  if (!reason->empty()) {
    if (several) {
      *reason = absl::StrCat(exponent ? "beta" : "a prediction", " over several sizes: ", *reason);
    }
    return linear;
  }
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
  SetGoal(options, &linear);
  std::vector<Mean> fitted;
  for (const ConfigMean& point : means.points) {
    fitted.push_back(
        {point.n_params, point.ln_x, static_cast<double>(point.n_seeds), point.weight});
  }
  const int df = form.size() - form.dim();
  FillInformation(fitted, minimum.value / df, df, {means.pure_error_ss, means.pure_error_df},
                  options.confidence, &linear);
  return linear;
}

// t quantile times the standard error of the goal, by the two variances.
double ModelHalfWidth(const LinearGoal& linear, double confidence) {
  const int df = static_cast<int>(linear.seeds.size()) - linear.parameters();
  if (df < 1) return kNoNumber;
  const double variance = linear.goal.dot(linear.information.ldlt().solve(linear.goal));
  return TQuantile(0.5 + confidence / 2, df) * std::sqrt(variance);
}

}  // namespace

std::vector<NextCandidate> NextCandidates(absl::Span<const Observation> arm) {
  std::map<double, std::set<double>> by_size;
  for (const Observation& o : arm) by_size[o.n_params].insert(o.d_tokens);
  std::vector<NextCandidate> candidates;
  for (const auto& [n_params, tokens] : by_size) {
    for (const double d : tokens) candidates.push_back({n_params, d});
    for (auto d = std::next(tokens.begin()); d != tokens.end(); ++d) {
      candidates.push_back({n_params, std::sqrt(*std::prev(d)) * std::sqrt(*d)});
    }
    for (const double times : {2, 4}) candidates.push_back({n_params, times * *tokens.rbegin()});
  }
  return candidates;
}

absl::StatusOr<NextPlan> ChooseNextRuns(absl::Span<const Observation> arm,
                                        absl::Span<const Observation> arm_b,
                                        absl::Span<const NextCandidate> candidates,
                                        absl::FunctionRef<double(const NextCandidate&)> cost,
                                        const NextOptions& options) {
  const bool pairs = options.goal == NextGoal::kDifference;
  const auto usable = [](double d) { return std::isfinite(d) && d > 0; };
  if (options.goal == NextGoal::kPrediction &&
      !(usable(options.target) && (options.target_params == 0 || usable(options.target_params)))) {
    return absl::InvalidArgumentError(
        absl::StrFormat("target is D = %g and N = %g; they must be finite and above 0",
                        options.target, options.target_params));
  }
  for (const NextCandidate& c : candidates) {
    if (!usable(c.d_tokens) || !usable(cost(c))) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "candidate D = %g costs %g; both must be finite and above 0", c.d_tokens, cost(c)));
    }
  }
  NextPlan plan;
  Law law = Law::kPower;
  LOGLOG_ASSIGN_OR_RETURN(LinearGoal linear,
                          pairs ? DifferenceGoal(arm, arm_b, options.confidence, &plan.reason)
                                : ArmGoal(arm, options, &law, &plan.reason));
  const bool one_slope = options.goal == NextGoal::kSlope && linear.sizes.size() > 1;
  plan.law = pairs       ? "paired differences on a line"
             : one_slope ? "a line with one slope for all sizes"
                         : LawName(law);
  if (!plan.reason.empty()) return plan;
  for (const NextCandidate& c : candidates) {
    if (linear.SizeIndex(c.n_params) >= 0) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("candidate N = %g: no trial%s has this size, so its intercept is not known",
                        c.n_params, pairs ? " in a pair" : ""));
  }
  plan.estimate = linear.estimate;
  plan.noise = linear.noise;
  plan.half_width = linear.half_width;
  const double model_now = ModelHalfWidth(linear, options.confidence);
  double spent = 0;
  while (static_cast<int>(plan.steps.size()) < options.steps_max) {
    const Eigen::LDLT<Eigen::MatrixXd> factor(linear.information);
    const Gradient toward = factor.solve(linear.goal);
    double best_gain = 0;
    NextStep best;
    for (const NextCandidate& c : candidates) {
      const double price = cost(c) * (pairs ? 2 : 1);
      if (spent + price > options.budget) continue;
      // What adding more*g*g' takes off c'M^-1 c (Sherman and Morrison).
      const Gradient g = linear.At(c.n_params, std::log(c.d_tokens));
      const double along = g.dot(toward);
      const double more = linear.Gain(c.n_params, std::log(c.d_tokens));
      const double gain = more * along * along / (1 + more * g.dot(factor.solve(g))) / price;
      if (!(gain > best_gain)) continue;
      best_gain = gain;
      best = {.n_params = c.n_params, .d_tokens = c.d_tokens, .cost = price};
    }
    if (!(best_gain > 0)) break;
    linear.Add(best.n_params, std::log(best.d_tokens));
    spent += best.cost;
    best.spent = spent;
    // From what the fit shows now, so that the first step is held against that.
    best.half_width = plan.half_width * ModelHalfWidth(linear, options.confidence) / model_now;
    plan.steps.push_back(best);
  }
  if (plan.steps.empty()) {
    plan.reason = absl::StrFormat("no trial fits into a budget of %g", options.budget);
  }
  return plan;
}

}  // namespace loglog
