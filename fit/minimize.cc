#include "fit/minimize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "nlopt.h"

namespace loglog {
namespace {

constexpr double kAgreement = 1e-9;
constexpr int kEvaluationsMax = 2000;

struct Scaled {
  ObjectiveFn objective;
  double scale;
  int evaluations = 0;
};

double Evaluate(unsigned dim, const double* theta, double* gradient, void* data) {
  Scaled* scaled = static_cast<Scaled*>(data);
  ++scaled->evaluations;
  const double value = scaled->objective(theta, gradient);
  if (gradient != nullptr) {
    for (unsigned i = 0; i < dim; ++i) gradient[i] *= scaled->scale;
  }
  return value * scaled->scale;
}

void Clamp(const Box& box, std::vector<double>* theta) {
  for (size_t i = 0; i < theta->size(); ++i) {
    (*theta)[i] = std::min(std::max((*theta)[i], box.low[i]), box.high[i]);
  }
}

}  // namespace

double ProjectedGradient(absl::Span<const double> theta, absl::Span<const double> gradient,
                         const Box& box) {
  double largest = 0;
  for (size_t i = 0; i < theta.size(); ++i) {
    const bool held_low = theta[i] <= box.low[i] && gradient[i] > 0;
    const bool held_high = theta[i] >= box.high[i] && gradient[i] < 0;
    if (!held_low && !held_high) largest = std::max(largest, std::fabs(gradient[i]));
  }
  return largest;
}

Polished Polish(ObjectiveFn objective, const Box& box, absl::Span<const double> start,
                double scale) {
  const unsigned dim = static_cast<unsigned>(start.size());
  Scaled scaled{objective, scale};
  Polished result;
  result.theta.assign(start.begin(), start.end());
  Clamp(box, &result.theta);

  const std::unique_ptr<nlopt_opt_s, void (*)(nlopt_opt)> optimizer(
      nlopt_create(NLOPT_LD_LBFGS, dim), nlopt_destroy);
  LOGLOG_CHECK(optimizer != nullptr);
  nlopt_set_lower_bounds(optimizer.get(), box.low.data());
  nlopt_set_upper_bounds(optimizer.get(), box.high.data());
  nlopt_set_min_objective(optimizer.get(), Evaluate, &scaled);
  nlopt_set_ftol_rel(optimizer.get(), 1e-15);
  nlopt_set_maxeval(optimizer.get(), kEvaluationsMax);
  double scaled_value = 0;
  const nlopt_result code = nlopt_optimize(optimizer.get(), result.theta.data(), &scaled_value);

  result.claims_success = code > 0;
  Clamp(box, &result.theta);
  std::vector<double> gradient(dim);
  result.value = objective(result.theta.data(), gradient.data());
  for (double& component : gradient) component *= kObjectiveScale;
  result.projected_gradient = ProjectedGradient(result.theta, gradient, box);
  result.evaluations = scaled.evaluations;
  return result;
}

Minimum MinimizeFromStarts(ObjectiveFn objective, const Box& box,
                           absl::Span<const std::vector<double>> starts, int polish,
                           double value_noise, double scale) {
  LOGLOG_CHECK(!starts.empty());
  std::vector<double> start_values(starts.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    std::vector<double> theta = starts[i];
    Clamp(box, &theta);
    start_values[i] = objective(theta.data(), nullptr);
  }
  std::vector<int> order(starts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return start_values[a] < start_values[b]; });

  Minimum best;
  best.starts_ranked = static_cast<int>(starts.size());
  best.starts_polished = std::min(polish, best.starts_ranked);
  std::vector<double> ends;
  for (int i = 0; i < best.starts_polished; ++i) {
    const Polished polished = Polish(objective, box, starts[order[i]], scale);
    ends.push_back(polished.value);
    if (i > 0 && !(polished.value < best.value)) continue;
    best.theta = polished.theta;
    best.value = polished.value;
    best.projected_gradient = polished.projected_gradient;
  }
  CountAgreement(ends, value_noise, &best);
  SetStatus(&best);
  return best;
}

void CountAgreement(absl::Span<const double> ends, double value_noise, Minimum* minimum) {
  const double slack = kAgreement * std::fabs(minimum->value) + value_noise;
  minimum->starts_agreed = 0;
  for (const double end : ends) minimum->starts_agreed += end - minimum->value <= slack;
}

void SetStatus(Minimum* minimum) {
  if (!(minimum->projected_gradient <= kGradientTolerance)) {
    minimum->status = "NOT_CONVERGED";
  } else if (minimum->starts_agreed < kStartsToAgree) {
    minimum->status = "MULTIMODAL";
  } else {
    minimum->status = "CONVERGED";
  }
}

}  // namespace loglog
