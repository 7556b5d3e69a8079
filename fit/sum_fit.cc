#include "fit/sum_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "fit/distributions.h"
#include "fit/profile.h"

namespace loglog {
namespace {

// Residuals of ln L that are nothing but rounding: an exact fit's objective is compared
// and its intervals are drawn at this size.
constexpr double kRoundingResidual = 1e-9;
constexpr double kExactResidual = 1e-13;
constexpr double kLadAgreement = 1e-6;
constexpr double kSingular = 1e-13;  // reciprocal condition after scaling to unit diagonal

double ValueNoise(const PowerSum& form) {
  return form.total_weight() * kRoundingResidual * kRoundingResidual;
}

double AbsoluteDeviations(const PowerSum& form, const std::vector<double>& theta) {
  const double tiny = 1e-12;
  return form.Value(Loss::Huber(tiny), theta.data(), nullptr) / tiny;
}

Minimum MinimizeLoss(const PowerSum& form, absl::Span<const std::vector<double>> starts,
                     Loss loss) {
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(loss, theta, gradient);
  };
  return MinimizeFromStarts(objective, form.box(), starts, kStartsPolished, ValueNoise(form));
}

bool AtBound(double value, double bound) {
  return std::fabs(value - bound) <= 1e-9 * (1 + std::fabs(bound));
}

// Inverse of the information matrix after scaling its diagonal to 1; empty when that
// is singular.
std::vector<double> Inverse(const std::vector<double>& information, int dim) {
  Eigen::MatrixXd scaled(dim, dim);
  std::vector<double> root(dim);
  for (int i = 0; i < dim; ++i) {
    root[i] = std::sqrt(information[i * dim + i]);
    if (!(root[i] > 0)) return {};
  }
  for (int i = 0; i < dim; ++i) {
    for (int j = 0; j < dim; ++j) scaled(i, j) = information[i * dim + j] / (root[i] * root[j]);
  }
  const Eigen::LLT<Eigen::MatrixXd> factor(scaled);
  if (factor.info() != Eigen::Success || factor.rcond() < kSingular) return {};
  const Eigen::MatrixXd inverse = factor.solve(Eigen::MatrixXd::Identity(dim, dim));
  std::vector<double> covariance(dim * dim);
  for (int i = 0; i < dim; ++i) {
    for (int j = 0; j < dim; ++j) covariance[i * dim + j] = inverse(i, j) / (root[i] * root[j]);
  }
  return covariance;
}

// Both bounds of E and points between them, denser near the estimate's two sides.
std::vector<double> FloorGrid(const Box& box, double estimate) {
  constexpr int kEachSide = 12;
  std::vector<double> grid;
  const double low = std::exp(box.low[0]);
  const double high = std::exp(box.high[0]);
  const double middle = std::exp(estimate);
  for (int i = 0; i < kEachSide; ++i) {
    grid.push_back(std::log(low + (middle - low) * i / kEachSide));
  }
  for (int i = 1; i <= kEachSide; ++i) {
    grid.push_back(std::log(middle + (high - middle) * i / kEachSide));
  }
  grid.front() = box.low[0];
  grid.back() = box.high[0];
  return grid;
}

}  // namespace

Minimum MinimizeSquares(const PowerSum& form, absl::Span<const std::vector<double>> starts) {
  Minimum minimum = MinimizeLoss(form, starts, Loss::Squares());
  minimum.value = form.Refine(0, minimum.theta.data());
  std::vector<double> gradient(form.dim());
  form.Value(Loss::Squares(), minimum.theta.data(), gradient.data());
  for (double& component : gradient) component *= kObjectiveScale;
  minimum.projected_gradient = ProjectedGradient(minimum.theta, gradient, form.box());
  SetStatus(&minimum);
  return minimum;
}

Minimum MinimizeHuber(const PowerSum& form, absl::Span<const std::vector<double>> starts,
                      double delta) {
  return MinimizeLoss(form, starts, Loss::Huber(delta));
}

std::vector<double> LadFrom(const PowerSum& form, std::vector<double> theta) {
  ForEachLadDelta([&](double delta) {
    const auto objective = [&](const double* at, double* gradient) {
      return form.Value(Loss::Huber(delta), at, gradient);
    };
    theta = Polish(objective, form.box(), theta, 1 / delta).theta;
  });
  return theta;
}

Minimum MinimizeLad(const PowerSum& form, absl::Span<const std::vector<double>> starts,
                    double delta) {
  const Loss loss = Loss::Huber(delta);
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(loss, theta, gradient);
  };
  std::vector<std::pair<double, int>> ranked;
  for (int i = 0; i < static_cast<int>(starts.size()); ++i) {
    ranked.push_back({objective(starts[i].data(), nullptr), i});
  }
  std::sort(ranked.begin(), ranked.end());
  Minimum best;
  best.starts_ranked = static_cast<int>(starts.size());
  best.starts_polished = std::min(kStartsPolished, best.starts_ranked);
  best.value = std::numeric_limits<double>::infinity();
  best.projected_gradient = kNoNumber;
  std::vector<double> ends;
  for (int i = 0; i < best.starts_polished; ++i) {
    std::vector<double> theta =
        LadFrom(form, Polish(objective, form.box(), starts[ranked[i].second]).theta);
    ends.push_back(AbsoluteDeviations(form, theta));
    if (!(ends.back() < best.value)) continue;
    best.value = ends.back();
    best.theta = std::move(theta);
  }
  const double slack = kLadAgreement * best.value + form.total_weight() * kRoundingResidual;
  for (const double end : ends) best.starts_agreed += end - best.value <= slack;
  best.status = best.starts_agreed >= kStartsToAgree ? "CONVERGED" : "MULTIMODAL";
  return best;
}

std::vector<std::string> ActiveBounds(const PowerSum& form, const std::vector<double>& theta,
                                      const ThetaNames& names) {
  std::vector<std::string> active;
  for (int i = 0; i < form.dim(); ++i) {
    const bool low = AtBound(theta[i], form.box().low[i]);
    const bool high = AtBound(theta[i], form.box().high[i]);
    if (!low && !high) continue;
    const bool term = i % 2 == 1;
    if (term) {
      active.push_back(names[i] +
                       (low ? " at 0: this term has left the sum" : " at its upper bound"));
    } else {
      active.push_back(absl::StrFormat("%s at its %s bound %.4g%s", names[i],
                                       low ? "lower" : "upper",
                                       i == 0 ? std::exp(theta[i]) : theta[i],
                                       i == 0 && high ? " (the smallest mean loss)" : ""));
    }
  }
  return active;
}

double Natural(const PowerSum& form, const std::vector<double>& theta, int i) {
  if (i == 0) return std::exp(theta[0]);
  if (i % 2 == 0) return theta[i];
  return std::exp(theta[i] + theta[i + 1] * form.ln_x_mean((i - 1) / 2));
}

SumIntervals::SumIntervals(const PowerSum& form, std::vector<double> theta, double rss,
                           double confidence)
    : form_(form),
      theta_(std::move(theta)),
      rss_(std::max(rss, form.total_weight() * kExactResidual * kExactResidual)),
      df_(form.size() - form.dim()),
      confidence_(confidence) {
  LOGLOG_CHECK(df_ >= 1);
  for (int i = 0; i < form.dim(); ++i) {
    if (AtBound(theta_[i], form.box().low[i]) || AtBound(theta_[i], form.box().high[i])) return;
  }
  covariance_ = Inverse(form.Information(theta_.data()), form.dim());
}

FitParameter SumIntervals::ProfileOf(int index, const std::string& name,
                                     std::vector<std::string>* notes) {
  LOGLOG_CHECK(index % 2 == 0);
  const bool is_floor = index == 0;
  const double threshold = rss_ * (1 + FQuantile(confidence_, 1, df_) / df_);
  const std::vector<double> grid =
      is_floor ? FloorGrid(form_.box(), theta_[0]) : PowerSum::ExponentGrid(form_.terms());
  const ProfileInterval interval = Profile(form_, theta_, rss_, threshold, index, grid);
  found_lower_ = found_lower_ || interval.found_lower;
  FitParameter parameter{.name = name, .estimate = Natural(form_, theta_, index)};
  parameter.low = is_floor ? std::exp(interval.low) : interval.low;
  parameter.high = is_floor ? std::exp(interval.high) : interval.high;
  if (interval.low_open) {
    parameter.low = 0;
    notes->push_back(name + " has no lower end above 0 in these data");
  }
  if (interval.high_open && is_floor) {
    notes->push_back("E has no upper end below the smallest mean loss in these data");
  } else if (interval.high_open) {
    parameter.high = std::numeric_limits<double>::infinity();
    notes->push_back(absl::StrFormat("%s has no upper end below %g in these data", name,
                                     PowerSum::kExponentHigh));
  }
  return parameter;
}

FitParameter SumIntervals::DeltaOfTerm(int index, const std::string& name) const {
  LOGLOG_CHECK(index % 2 == 1);
  // ln B = b + beta * (mean of ln x)
  std::vector<double> gradient(form_.dim(), 0.0);
  gradient[index] = 1;
  gradient[index + 1] = form_.ln_x_mean((index - 1) / 2);
  FitParameter parameter = Delta(name, std::log(Natural(form_, theta_, index)), gradient);
  parameter.estimate = Natural(form_, theta_, index);
  parameter.low = std::exp(parameter.low);
  parameter.high = std::exp(parameter.high);
  return parameter;
}

FitParameter SumIntervals::Delta(const std::string& name, double estimate,
                                 const std::vector<double>& gradient) const {
  FitParameter parameter{.name = name, .estimate = estimate};
  if (covariance_.empty()) return parameter;
  double variance = 0;
  for (int i = 0; i < form_.dim(); ++i) {
    for (int j = 0; j < form_.dim(); ++j) {
      variance += gradient[i] * covariance_[i * form_.dim() + j] * gradient[j];
    }
  }
  const double half =
      TQuantile(0.5 + confidence_ / 2, df_) * std::sqrt(std::max(0.0, variance) * rss_ / df_);
  parameter.low = estimate - half;
  parameter.high = estimate + half;
  return parameter;
}

double SumIntervals::Correlation(int i, int j) const {
  if (covariance_.empty()) return kNoNumber;
  const int n = form_.dim();
  return covariance_[i * n + j] / std::sqrt(covariance_[i * n + i] * covariance_[j * n + j]);
}

void RecordMinimum(const Minimum& minimum, FitProvenance* provenance) {
  provenance->starts_grid = minimum.starts_ranked;
  provenance->starts_polished = minimum.starts_polished;
  provenance->starts_agreed = minimum.starts_agreed;
  provenance->objective_value = minimum.value;
  provenance->projected_gradient = minimum.projected_gradient;
  provenance->optimizer_status = minimum.status;
}

}  // namespace loglog
