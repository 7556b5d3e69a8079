#include "fit/bootstrap.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "Eigen/LU"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status.h"
#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "fit/random.h"

namespace loglog {
namespace {

constexpr int kPairsMin = 30;
constexpr double kSingular = 1e-10;  // of a cluster's block of 1 - H

// Every parameter is spoken of by a linear function of theta, of whose value the natural
// one is the exponential, but for exponents.
Eigen::MatrixXd LinearOf(const Form& form) {
  Eigen::MatrixXd linear = Eigen::MatrixXd::Identity(form.dim(), form.dim());
  for (int i = 0; i < form.dim(); ++i) {
    const FormParameter& about = form.parameters()[i];
    if (about.kind == ParameterKind::kTerm) {
      linear(i, about.exponent) += form.ln_x_mean(about.column);
    }
  }
  return linear;
}

double Spoken(const Form& form, int i, double linear) {
  const FormParameter& about = form.parameters()[i];
  if (about.kind == ParameterKind::kExponent) return linear;
  if (about.kind == ParameterKind::kSize) return std::exp(linear + form.ln_x_mean(about.column));
  return std::exp(linear);
}

// The linear model at a minimum: rows are points, scaled by the root of their weight.
struct Linear {
  Eigen::MatrixXd jacobian;
  Eigen::VectorXd residual;  // y - ln L
  Eigen::MatrixXd inverse;   // of J'J
};

bool Linearize(const Form& form, const std::vector<double>& theta, Linear* linear) {
  const int n = form.size(), p = form.dim();
  linear->jacobian.resize(n, p);
  linear->residual.resize(n);
  std::vector<double> row(p);
  for (int i = 0; i < n; ++i) {
    const double root = std::sqrt(form.weight(i));
    const double ln_l = form.LnLoss(theta.data(), form.u(i), form.arm(i), row.data());
    linear->residual(i) = root * (form.y(i) - ln_l);
    for (int j = 0; j < p; ++j) linear->jacobian(i, j) = root * row[j];
  }
  const std::vector<double> inverse = InverseInformation(form.Information(theta.data()), p);
  if (inverse.empty()) return false;
  linear->inverse =
      Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
          inverse.data(), p, p);
  return true;
}

using Clusters = std::vector<std::vector<int>>;

// Residuals freed of what the fit took from them; false when a cluster's block is singular.
bool Freed(const Linear& linear, const Clusters& clusters, Eigen::VectorXd* freed) {
  freed->resize(linear.residual.size());
  for (const std::vector<int>& points : clusters) {
    const int n = static_cast<int>(points.size());
    Eigen::MatrixXd block = Eigen::MatrixXd::Identity(n, n);
    Eigen::VectorXd residual(n);
    for (int a = 0; a < n; ++a) {
      residual(a) = linear.residual(points[a]);
      for (int b = 0; b < n; ++b) {
        block(a, b) -= linear.jacobian.row(points[a]) * linear.inverse *
                       linear.jacobian.row(points[b]).transpose();
      }
    }
    const Eigen::PartialPivLU<Eigen::MatrixXd> factor(block);
    if (!(std::fabs(factor.determinant()) > kSingular)) return false;
    const Eigen::VectorXd solved = factor.solve(residual);
    for (int a = 0; a < n; ++a) (*freed)(points[a]) = solved(a);
  }
  return true;
}

double UpperQuantile(std::vector<double> values, double share) {
  // The ceil((R+1)*share)-th smallest of R.
  const size_t rank = static_cast<size_t>(std::ceil((values.size() + 1) * share));
  if (rank > values.size()) return std::numeric_limits<double>::infinity();
  std::nth_element(values.begin(), values.begin() + (rank - 1), values.end());
  return values[rank - 1];
}

}  // namespace

void ForEachIndex(int n, int threads, absl::FunctionRef<void(int)> fn) {
  if (threads <= 1) {
    for (int i = 0; i < n; ++i) fn(i);
    return;
  }
  std::atomic<int> next{0};
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&] {
      for (int i = next.fetch_add(1); i < n; i = next.fetch_add(1)) fn(i);
    });
  }
  for (std::thread& thread : pool) thread.join();
}

absl::StatusOr<std::vector<FitParameter>> WildBootstrap(const Form& form,
                                                        const std::vector<double>& theta,
                                                        const BootstrapOptions& options) {
  const int n = form.size(), p = form.dim();
  Clusters clusters;
  for (int i = 0; i < n; ++i) {
    const size_t g = options.cluster.empty() ? i : options.cluster[i];
    if (clusters.size() <= g) clusters.resize(g + 1);
    clusters[g].push_back(i);
  }
  Linear linear;
  Eigen::VectorXd freed;
  if (static_cast<int>(clusters.size()) <= p || !ActiveBounds(form, theta).empty() ||
      !Linearize(form, theta, &linear) || !Freed(linear, clusters, &freed)) {
    return absl::FailedPreconditionError(
        "a wild bootstrap needs more clusters than parameters and a minimum inside the bounds that "
        "no single cluster fixes; read the profile interval");
  }
  const Eigen::MatrixXd spoken = LinearOf(form);
  const Eigen::VectorXd estimate = spoken * Eigen::Map<const Eigen::VectorXd>(theta.data(), p);
  std::vector<double> fitted(n);
  for (int i = 0; i < n; ++i) {
    fitted[i] = form.y(i) - linear.residual(i) / std::sqrt(form.weight(i));
  }

  const uint64_t key = RandomStream::KeyOf(options.fit_id);
  std::vector<std::vector<double>> shifts(p, std::vector<double>(options.resamples));
  ForEachIndex(options.resamples, options.threads, [&](int r) {
    RandomStream random(key, r);
    std::vector<double> y = fitted;
    for (const std::vector<int>& points : clusters) {
      const double multiplier = random.Normal();
      for (const int i : points) y[i] += multiplier * freed(i) / std::sqrt(form.weight(i));
    }
    const std::unique_ptr<Form> resample = form.WithY(std::move(y));
    std::vector<double> at = theta;
    resample->Refine(0, at.data());
    const Eigen::VectorXd shift =
        spoken * Eigen::Map<const Eigen::VectorXd>(at.data(), p) - estimate;
    for (int i = 0; i < p; ++i) shifts[i][r] = std::fabs(shift(i));
  });
  const double tail = 0.5 + options.confidence / 2;
  const int df = static_cast<int>(clusters.size()) - p;
  const double widening = TQuantile(tail, df) / NormalQuantile(tail);
  std::vector<FitParameter> parameters;
  for (int i = 0; i < p; ++i) {
    const double half = widening * UpperQuantile(shifts[i], options.confidence);
    parameters.push_back({.name = form.parameters()[i].name,
                          .estimate = form.Natural(theta.data(), i),
                          .low = Spoken(form, i, estimate(i) - half),
                          .high = Spoken(form, i, estimate(i) + half)});
  }
  return parameters;
}

Refit RefitResample(const Form& form, Loss loss, const std::vector<double>& theta,
                    absl::Span<const int> counts) {
  const std::unique_ptr<Form> resample = form.WithCounts(counts);
  const Polished end = Descend(*resample, loss, theta);
  if (end.projected_gradient <= kGradientTolerance) return {end.theta, end.value, true};
  const std::vector<std::vector<double>> starts = resample->Starts();
  const Minimum minimum = loss.squares ? MinimizeSquares(*resample, starts)
                                       : MinimizeHuber(*resample, starts, loss.delta);
  const bool better = minimum.value < end.value;
  return {better ? minimum.theta : end.theta, better ? minimum.value : end.value,
          minimum.status == "CONVERGED"};
}

absl::StatusOr<std::vector<FitParameter>> PairsBootstrap(const Form& form, Loss loss,
                                                         const std::vector<double>& theta,
                                                         const BootstrapOptions& options) {
  const int n = form.size();
  if (n < kPairsMin) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "a pairs bootstrap needs %d points and there are %d, where its intervals are several "
        "times too wide; use the wild bootstrap or read the profile interval",
        kPairsMin, n));
  }
  const uint64_t key = RandomStream::KeyOf(options.fit_id);
  std::vector<std::vector<double>> values(form.dim(), std::vector<double>(options.resamples));
  ForEachIndex(options.resamples, options.threads, [&](int r) {
    RandomStream random(key, r);
    std::vector<int> counts(n, 0);
    for (int draw = 0; draw < n; ++draw) ++counts[random.Below(static_cast<uint32_t>(n))];
    const Refit refit = RefitResample(form, loss, theta, counts);
    for (int i = 0; i < form.dim(); ++i) values[i][r] = form.Natural(refit.theta.data(), i);
  });
  std::vector<FitParameter> parameters;
  for (int i = 0; i < form.dim(); ++i) {
    std::vector<double> negative = values[i];
    for (double& value : negative) value = -value;
    const double share = 0.5 + options.confidence / 2;
    parameters.push_back({.name = form.parameters()[i].name,
                          .estimate = form.Natural(theta.data(), i),
                          .low = -UpperQuantile(std::move(negative), share),
                          .high = UpperQuantile(values[i], share)});
  }
  return parameters;
}

}  // namespace loglog
