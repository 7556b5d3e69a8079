#include "fit/form_fit.h"

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
#include "fit/status.h"

namespace loglog {
namespace {

// Residuals of ln L that are nothing but rounding: an exact fit's objective is compared
// and its intervals are drawn at this size.
constexpr double kRoundingResidual = 1e-9;
constexpr double kExactResidual = 1e-13;
constexpr double kLadAgreement = 1e-6;
// Of the sum of weights: the least gradient of the sum of |r| that is asked for, and what
// rounding of ln L leaves of it when all of it falls on residuals inside delta.
constexpr double kLadGradient = 1e-6;
constexpr double kLadRounding = 1e-15;
constexpr int kExponentGrid = 17;
constexpr double kSingular = 1e-13;  // reciprocal condition after scaling to unit diagonal

double ValueNoise(const Form& form) {
  return form.total_weight() * kRoundingResidual * kRoundingResidual;
}

double AbsoluteDeviations(const Form& form, const std::vector<double>& theta) {
  const double tiny = 1e-12;
  return form.Value(Loss::Huber(tiny), theta.data(), nullptr) / tiny;
}

// The best `count` of the starts by the objective, best first.
std::vector<int> BestStarts(const Form& form, Loss loss,
                            absl::Span<const std::vector<double>> starts,
                            int count = kStartsPolished) {
  LOGLOG_CHECK(!starts.empty());
  std::vector<std::pair<double, int>> ranked;
  for (int i = 0; i < static_cast<int>(starts.size()); ++i) {
    ranked.push_back({form.Value(loss, starts[i].data(), nullptr), i});
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<int> best;
  for (int i = 0; i < std::min(count, static_cast<int>(ranked.size())); ++i) {
    best.push_back(ranked[i].second);
  }
  return best;
}

Minimum MinimizeLoss(const Form& form, absl::Span<const std::vector<double>> starts, Loss loss,
                     int polished_max) {
  Minimum best;
  best.starts_ranked = form.starts_ranked();
  std::vector<double> ends;
  for (const int i : BestStarts(form, loss, starts, polished_max)) {
    Polished polished = Descend(form, loss, starts[i]);
    ends.push_back(polished.value);
    if (ends.size() > 1 && !(polished.value < best.value)) continue;
    best.theta = std::move(polished.theta);
    best.value = polished.value;
    best.projected_gradient = polished.projected_gradient;
  }
  best.starts_polished = static_cast<int>(ends.size());
  CountAgreement(ends, ValueNoise(form), &best);
  SetStatus(&best);
  return best;
}

bool AtBound(double value, double bound) {
  return std::fabs(value - bound) <= 1e-9 * (1 + std::fabs(bound));
}

// Both bounds of E and points between them, denser near the estimate's two sides.
std::vector<double> FloorGrid(const Box& box, double estimate, int index) {
  constexpr int kEachSide = 12;
  std::vector<double> grid;
  const double low = std::exp(box.low[index]);
  const double high = std::exp(box.high[index]);
  const double middle = std::exp(estimate);
  for (int i = 0; i < kEachSide; ++i) {
    grid.push_back(std::log(low + (middle - low) * i / kEachSide));
  }
  for (int i = 1; i <= kEachSide; ++i) {
    grid.push_back(std::log(middle + (high - middle) * i / kEachSide));
  }
  grid.front() = box.low[index];
  grid.back() = box.high[index];
  return grid;
}

std::vector<double> EvenGrid(double low, double high) {
  constexpr int kPoints = 25;
  std::vector<double> grid;
  for (int i = 0; i < kPoints; ++i) grid.push_back(low + (high - low) * i / (kPoints - 1));
  grid.back() = high;
  return grid;
}

}  // namespace

Polished Descend(const Form& form, Loss loss, absl::Span<const double> start) {
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(loss, theta, gradient);
  };
  Polished end;
  end.theta.assign(start.begin(), start.end());
  std::vector<double> gradient(form.dim());
  const auto projected = [&](const std::vector<double>& theta) {
    for (double& component : gradient) component *= kObjectiveScale;
    return ProjectedGradient(theta, gradient, form.box());
  };
  if (loss.squares || form.HasCurvature()) {
    end.value = loss.squares ? form.Refine(0, end.theta.data(), gradient.data())
                             : form.Newton(loss, end.theta.data(), gradient.data());
    end.projected_gradient = projected(end.theta);
    if (end.projected_gradient <= kGradientTolerance) return end;
  }
  Polished polished = Polish(objective, form.box(), end.theta);
  if (!loss.squares) return polished;
  polished.value = form.Refine(0, polished.theta.data(), gradient.data());
  polished.projected_gradient = projected(polished.theta);
  return polished;
}

Minimum MinimizeSquares(const Form& form, absl::Span<const std::vector<double>> starts,
                        int polished) {
  return MinimizeLoss(form, starts, Loss::Squares(), polished);
}

Minimum MinimizeHuber(const Form& form, absl::Span<const std::vector<double>> starts,
                      double delta) {
  return MinimizeLoss(form, starts, Loss::Huber(delta), kStartsPolished);
}

Minimum MinimizeHuber(const Form& form, absl::Span<const std::vector<double>> starts, double delta,
                      const std::vector<double>& squares) {
  std::vector<std::vector<double>> best = {squares};
  for (const int i : BestStarts(form, Loss::Huber(delta), starts, kStartsToAgree - 1)) {
    best.push_back(starts[i]);
  }
  return MinimizeLoss(form, best, Loss::Huber(delta), kStartsToAgree);
}

std::vector<double> LadFrom(const Form& form, std::vector<double> theta) {
  ForEachLadDelta([&](double delta) {
    const double tolerance = form.total_weight() * (kLadGradient + kLadRounding / delta);
    const Loss loss = Loss::Huber(delta);
    const auto objective = [&](const double* at, double* gradient) {
      return form.Value(loss, at, gradient);
    };
    if (form.HasCurvature()) {
      std::vector<double> gradient(form.dim());
      form.Newton(loss, theta.data(), gradient.data());
      for (double& component : gradient) component /= delta;
      if (ProjectedGradient(theta, gradient, form.box()) <= tolerance) return;
    }
    theta = Polish(objective, form.box(), theta, 1 / delta).theta;
  });
  return theta;
}

Minimum MinimizeLad(const Form& form, absl::Span<const std::vector<double>> starts, double delta) {
  const Loss loss = Loss::Huber(delta);
  Minimum best;
  best.starts_ranked = form.starts_ranked();
  best.value = std::numeric_limits<double>::infinity();
  best.projected_gradient = kNoNumber;
  std::vector<double> ends;
  for (const int i : BestStarts(form, loss, starts)) {
    std::vector<double> theta = LadFrom(form, Descend(form, loss, starts[i]).theta);
    ends.push_back(AbsoluteDeviations(form, theta));
    if (!(ends.back() < best.value)) continue;
    best.value = ends.back();
    best.theta = std::move(theta);
  }
  best.starts_polished = static_cast<int>(ends.size());
  const double slack = kLadAgreement * best.value + form.total_weight() * kRoundingResidual;
  for (const double end : ends) best.starts_agreed += end - best.value <= slack;
  best.status = best.starts_agreed >= kStartsToAgree ? "CONVERGED" : "MULTIMODAL";
  return best;
}

std::vector<std::string> ActiveBounds(const Form& form, const std::vector<double>& theta) {
  std::vector<std::string> active;
  for (int i = 0; i < form.dim(); ++i) {
    const bool low = AtBound(theta[i], form.box().low[i]);
    const bool high = AtBound(theta[i], form.box().high[i]);
    if (!low && !high) continue;
    const FormParameter& parameter = form.parameters()[i];
    if (parameter.kind == ParameterKind::kTerm) {
      active.push_back(parameter.name +
                       (low ? " at 0: this term has left the sum" : " at its upper bound"));
    } else {
      const bool floor = parameter.kind == ParameterKind::kFloor;
      active.push_back(absl::StrFormat("%s at its %s bound %.4g%s", parameter.name,
                                       low ? "lower" : "upper", form.Natural(theta.data(), i),
                                       floor && high ? " (the smallest mean loss)" : ""));
    }
  }
  return active;
}

std::vector<double> InverseInformation(const std::vector<double>& information, int dim) {
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

double Aicc(double rss, int n, int k) {
  const int parameters = k + 1;  // the variance is one
  if (n - parameters - 1 < 1) return std::numeric_limits<double>::infinity();
  return n * std::log(rss / n) + 2.0 * parameters * n / (n - parameters - 1.0);
}

FormIntervals::FormIntervals(const Form& form, std::vector<double> theta, double rss,
                             double confidence)
    : form_(form),
      theta_(std::move(theta)),
      least_(rss),
      rss_(std::max(rss, form.total_weight() * kExactResidual * kExactResidual)),
      df_(form.size() - form.dim()),
      confidence_(confidence) {
  LOGLOG_CHECK(df_ >= 1);
  for (int i = 0; i < form.dim(); ++i) {
    if (AtBound(theta_[i], form.box().low[i]) || AtBound(theta_[i], form.box().high[i])) return;
  }
  covariance_ = InverseInformation(form.Information(theta_.data()), form.dim());
}

FitParameter FormIntervals::ProfileOf(int index, std::vector<std::string>* notes,
                                      absl::Span<const std::vector<double>> starts) {
  const FormParameter& about = form_.parameters()[index];
  LOGLOG_CHECK(about.kind != ParameterKind::kTerm);
  const bool is_floor = about.kind == ParameterKind::kFloor;
  const bool is_exponent = about.kind == ParameterKind::kExponent;
  const double threshold = rss_ * (1 + FQuantile(confidence_, 1, df_) / df_);
  const std::vector<double> grid = is_floor          ? FloorGrid(form_.box(), theta_[index], index)
                                   : !starts.empty() ? ExponentGrid(static_cast<int>(starts.size()))
                                   : is_exponent && form_.box().low[index] > 0
                                       ? ExponentGrid(kExponentGrid)
                                       : EvenGrid(form_.box().low[index], form_.box().high[index]);
  const ProfileInterval interval = Profile(form_, theta_, least_, threshold, index, grid, starts);
  found_lower_ = found_lower_ || interval.found_lower;
  const auto natural = [&](double value) {
    std::vector<double> theta = theta_;
    theta[index] = value;
    return form_.Natural(theta.data(), index);
  };
  FitParameter parameter{.name = about.name, .estimate = form_.Natural(theta_.data(), index)};
  parameter.low = natural(interval.low);
  parameter.high = natural(interval.high);
  if (interval.low_open) {
    const bool signed_exponent = is_exponent && form_.box().low[index] < 0;
    notes->push_back(absl::StrFormat("%s has no lower end above %.4g in these data", about.name,
                                     signed_exponent ? parameter.low : 0.0));
    parameter.low = signed_exponent ? -std::numeric_limits<double>::infinity() : 0;
  }
  if (interval.high_open && is_floor) {
    notes->push_back("E has no upper end below the smallest mean loss in these data");
  } else if (interval.high_open) {
    notes->push_back(absl::StrFormat("%s has no upper end below %.4g in these data", about.name,
                                     parameter.high));
    parameter.high = std::numeric_limits<double>::infinity();
  }
  return parameter;
}

FitParameter FormIntervals::DeltaOfTerm(int index) const {
  const FormParameter& about = form_.parameters()[index];
  LOGLOG_CHECK(about.kind == ParameterKind::kTerm);
  // ln B = b + beta * (mean of ln x)
  std::vector<double> gradient(form_.dim(), 0.0);
  gradient[index] = 1;
  gradient[about.exponent] = form_.ln_x_mean(about.column);
  const double natural = form_.Natural(theta_.data(), index);
  FitParameter parameter = Delta(about.name, std::log(natural), gradient);
  parameter.estimate = natural;
  parameter.low = std::exp(parameter.low);
  parameter.high = std::exp(parameter.high);
  return parameter;
}

FitParameter FormIntervals::Delta(const std::string& name, double estimate,
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

double FormIntervals::Correlation(int i, int j) const {
  if (covariance_.empty()) return kNoNumber;
  const int n = form_.dim();
  return covariance_[i * n + j] / std::sqrt(covariance_[i * n + i] * covariance_[j * n + j]);
}

void RecordLackOfFit(const Form& form, const std::vector<double>& theta, const ConfigMeans& means,
                     FitResult* result) {
  std::vector<double> ln_l(form.size());
  form.LnLosses(theta.data(), ln_l.data(), nullptr);
  double squares = 0;
  for (int i = 0; i < form.size(); ++i) {
    const double residual = means.points[i].y - ln_l[i];
    squares += means.points[i].n_seeds * residual * residual;
  }
  const double p =
      LackOfFitP(squares, form.size() - form.dim(), means.pure_error_ss, means.pure_error_df);
  result->provenance.lack_of_fit_p = p;
  if (!(p < kLackOfFitLevel)) return;
  result->notes.push_back(absl::StrFormat(
      "the means depart from this form beyond seed noise (lack of fit p = %.2g): configurations "
      "have effects of their own, or the form is not their law and says nothing beyond the data",
      p));
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
