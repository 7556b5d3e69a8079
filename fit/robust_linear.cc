#include "fit/robust_linear.h"

#include <algorithm>
#include <cmath>

#include "Eigen/Cholesky"
#include "Eigen/Core"

namespace loglog {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int kStepsMax = 100;
constexpr int kSearchMax = 60;
// Of the slope at a step's beginning, what the line search leaves at its end.
constexpr double kSlopeLeft = 1e-3;
// Of the sum: a step that gains less is the last.
constexpr double kNothingToGain = 1e-15;
// Share of reweighted least squares in a step.
constexpr double kMixFirst = 1e-6;
constexpr double kMixLow = 1e-12;
constexpr double kMixHigh = 1e9;

Eigen::VectorXd Clipped(const Eigen::VectorXd& r, double delta) {
  return r.cwiseMax(-delta).cwiseMin(delta);
}

double Sum(const Eigen::VectorXd& weight, const Eigen::VectorXd& r, double delta) {
  const Eigen::ArrayXd size = r.array().abs();
  const Eigen::ArrayXd inside = size.min(delta);
  return (weight.array() * inside * (size - 0.5 * inside)).sum();
}

// Where along a step the slope, below 0 at its beginning, has all but gone; at most 1. Regula
// falsi in the Illinois way, which a slope that falls in stairs does not stall.
template <typename SlopeAt>
double LineSearch(double slope, SlopeAt slope_at) {
  const double enough = kSlopeLeft * std::fabs(slope);
  double low = 0, at_low = slope, high = 1, at_high = slope_at(1);
  if (at_high <= enough) return 1;
  for (int i = 0; i < kSearchMax; ++i) {
    const double t = (low * at_high - high * at_low) / (at_high - at_low);
    const double at = slope_at(t);
    if (std::fabs(at) <= enough) return t;
    if (at < 0) {
      low = t;
      at_low = at;
      at_high /= 2;
    } else {
      high = t;
      at_high = at;
      at_low /= 2;
    }
  }
  return low;
}

}  // namespace

void MinimizeRobust(const LinearResiduals& residuals, double delta, std::vector<double>* x) {
  const int n = static_cast<int>(residuals.at_0.size());
  const int dim = static_cast<int>(x->size());
  const Eigen::Map<const Matrix> jacobian(residuals.jacobian.data(), n, dim);
  const Eigen::Map<const Eigen::VectorXd> weight(residuals.weight.data(), n);
  Eigen::Map<Eigen::VectorXd> at(x->data(), dim);
  Eigen::VectorXd r = Eigen::Map<const Eigen::VectorXd>(residuals.at_0.data(), n) + jacobian * at;
  Eigen::VectorXd bend(n), along(n);
  double mix = kMixFirst;
  for (int i = 0; i < kStepsMax && mix < kMixHigh; ++i) {
    for (int k = 0; k < n; ++k) {
      const double size = std::fabs(r(k));
      bend(k) = weight(k) * (size <= delta ? 1 + mix : mix * delta / size);
    }
    const Eigen::VectorXd gradient =
        jacobian.transpose() * weight.cwiseProduct(Clipped(r, delta)).eval();
    const Eigen::LLT<Eigen::MatrixXd> factor(jacobian.transpose() * bend.asDiagonal() * jacobian);
    const Eigen::VectorXd step = -factor.solve(gradient);
    const double slope = gradient.dot(step);
    if (factor.info() != Eigen::Success || !(slope <= 0)) {
      mix *= 10;
      continue;
    }
    const bool last = -slope <= kNothingToGain * Sum(weight, r, delta);
    along = jacobian * step;
    const double t = LineSearch(slope, [&](double share) {
      return weight.cwiseProduct(Clipped(r + share * along, delta)).dot(along);
    });
    at += t * step;
    r += t * along;
    if (last) return;
    mix = t == 1 ? std::max(kMixLow, mix / 10) : t < 0.1 ? mix * 10 : mix;
  }
}

}  // namespace loglog
