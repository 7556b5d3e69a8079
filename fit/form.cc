#include "fit/form.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "Eigen/Core"
#include "absl/container/fixed_array.h"
#include "base/check.h"

namespace loglog {
namespace {

using Columns = Eigen::Map<const Eigen::MatrixXd>;
using Array = Eigen::Map<const Eigen::ArrayXd>;

// Numbers kept on the stack, which is all of them for the fits of a sweep.
constexpr size_t kInline = 256;

// A term that has left the sum altogether: ln of 1e-8 of the smallest loss.
constexpr double kTermGone = -18.4;

}  // namespace

double LogSumExp(const double* z, int n, double* share) {
  const double largest = *std::max_element(z, z + n);
  double sum = 0;
  for (int k = 0; k < n; ++k) {
    share[k] = z[k] == largest ? 1 : std::exp(z[k] - largest);
    sum += share[k];
  }
  const double inverse = 1 / sum;
  for (int k = 0; k < n; ++k) share[k] *= inverse;
  return largest + std::log(sum);
}

std::vector<double> ExponentGrid(int n) {
  std::vector<double> grid(n);
  const double ratio = std::log(kExponentHigh / kExponentLow);
  for (int i = 0; i < n; ++i) grid[i] = kExponentLow * std::exp(ratio * i / (n - 1));
  grid.back() = kExponentHigh;
  return grid;
}

Form::Form(const Sample& sample, std::vector<double> centres)
    : ln_x_mean_(std::move(centres)), y_(sample.y), weight_(sample.weight), arm_(sample.arm) {
  const size_t n = y_.size();
  LOGLOG_CHECK(n > 0 && weight_.size() == n && (arm_.empty() || arm_.size() == n));
  if (ln_x_mean_.empty()) {
    for (const std::vector<double>& column : sample.ln_x) {
      double mean = 0;
      for (const double value : column) mean += value / static_cast<double>(n);
      ln_x_mean_.push_back(mean);
    }
  }
  LOGLOG_CHECK(ln_x_mean_.size() == sample.ln_x.size());
  u_.resize(n * sample.ln_x.size());
  for (size_t c = 0; c < sample.ln_x.size(); ++c) {
    LOGLOG_CHECK(sample.ln_x[c].size() == n);
    for (size_t i = 0; i < n; ++i) {
      u_[i * sample.ln_x.size() + c] = sample.ln_x[c][i] - ln_x_mean_[c];
    }
  }
  FillColumns();
  for (const double w : weight_) total_weight_ += w;
  y_min_ = *std::min_element(y_.begin(), y_.end());
  y_max_ = *std::max_element(y_.begin(), y_.end());
}

void Form::FillColumns() {
  u_columns_.resize(u_.size());
  for (int c = 0; c < columns(); ++c) {
    for (int i = 0; i < size(); ++i) u_columns_[c * size() + i] = u(i)[c];
  }
}

void Form::AddCurvature(const double*, const double*, double*) const { LOGLOG_CHECK(false); }

std::unique_ptr<Form> Form::WithCounts(absl::Span<const int> counts) const {
  LOGLOG_CHECK(counts.size() == y_.size());
  std::unique_ptr<Form> form = Clone();
  size_t kept = 0;
  form->total_weight_ = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    std::copy_n(u_.begin() + i * columns(), columns(), form->u_.begin() + kept * columns());
    form->y_[kept] = y_[i];
    form->weight_[kept] = weight_[i] * counts[i];
    if (!arm_.empty()) form->arm_[kept] = arm_[i];
    form->total_weight_ += form->weight_[kept];
    ++kept;
  }
  LOGLOG_CHECK(kept > 0);
  form->u_.resize(kept * columns());
  form->y_.resize(kept);
  form->weight_.resize(kept);
  if (!arm_.empty()) form->arm_.resize(kept);
  form->FillColumns();
  return form;
}

void Form::AddParameter(FormParameter parameter, double low, double high) {
  LOGLOG_CHECK(dim() < kDimMax && low < high);
  parameters_.push_back(std::move(parameter));
  box_.low.push_back(low);
  box_.high.push_back(high);
}

void Form::AddFloor(const std::string& name) {
  // A loss below the usual floor of E still leaves E some room under it.
  AddParameter({.name = name, .kind = ParameterKind::kFloor},
               std::min(std::log(kFloorLow), y_min_ - 1), y_min_);
}

void Form::AddTerm(const std::string& name, int column, int exponent) {
  const double reach = kExponentHigh * std::max(-u_min(column), u_max(column));
  AddParameter({.name = name, .kind = ParameterKind::kTerm, .exponent = exponent, .column = column},
               y_min_ + kTermGone - reach, y_max_ + 2 + reach);
}

void Form::AddExponent(const std::string& name, double low) {
  AddParameter({.name = name, .kind = ParameterKind::kExponent}, low, kExponentHigh);
}

std::unique_ptr<Form> Form::WithY(std::vector<double> y) const {
  LOGLOG_CHECK(y.size() == y_.size());
  std::unique_ptr<Form> form = Clone();
  form->y_ = std::move(y);
  return form;
}

double Form::u_min(int column) const {
  double result = u_[column];
  for (int i = 1; i < size(); ++i) result = std::min(result, u(i)[column]);
  return result;
}

double Form::u_max(int column) const {
  double result = u_[column];
  for (int i = 1; i < size(); ++i) result = std::max(result, u(i)[column]);
  return result;
}

void Form::LnLosses(const double* theta, double* ln_l, double* jacobian) const {
  double row[kDimMax];
  for (int i = 0; i < size(); ++i) {
    ln_l[i] = LnLoss(theta, u(i), arm(i), jacobian == nullptr ? nullptr : row);
    for (int j = 0; j < dim() && jacobian != nullptr; ++j) jacobian[j * size() + i] = row[j];
  }
}

double Form::ValueOf(Loss loss, const double* ln_l) const {
  const Array w(weight_.data(), size());
  const auto r = Array(ln_l, size()) - Array(y_.data(), size());
  if (loss.squares) return (w * r.square()).sum();
  const auto inside = r.abs().min(loss.delta);
  return (w * inside * (r.abs() - 0.5 * inside)).sum();
}

void Form::GradientOf(Loss loss, const double* ln_l, const double* jacobian,
                      double* gradient) const {
  absl::FixedArray<double, kInline> slope(size());
  for (int i = 0; i < size(); ++i) {
    const double r = ln_l[i] - y_[i];
    slope[i] = weight_[i] * (loss.squares ? 2 * r : std::min(std::max(r, -loss.delta), loss.delta));
  }
  const Eigen::Map<const Eigen::MatrixXd> columns(jacobian, size(), dim());
  for (int j = 0; j < dim(); ++j) {
    gradient[j] = (Array(slope.data(), size()) * columns.col(j).array()).sum();
  }
}

double Form::Value(Loss loss, const double* theta, double* gradient) const {
  absl::FixedArray<double, kInline> ln_l(size());
  if (gradient == nullptr) {
    LnLosses(theta, ln_l.data(), nullptr);
    return ValueOf(loss, ln_l.data());
  }
  absl::FixedArray<double, kInline> jacobian(size() * dim());
  LnLosses(theta, ln_l.data(), jacobian.data());
  GradientOf(loss, ln_l.data(), jacobian.data(), gradient);
  return ValueOf(loss, ln_l.data());
}

double Form::Predict(const double* theta, absl::Span<const double> ln_x, int arm) const {
  LOGLOG_CHECK(static_cast<int>(ln_x.size()) == columns());
  std::vector<double> centred(ln_x.begin(), ln_x.end());
  for (int c = 0; c < columns(); ++c) centred[c] -= ln_x_mean_[c];
  return LnLoss(theta, centred.data(), arm, nullptr);
}

double Form::Natural(const double* theta, int i) const {
  const FormParameter& parameter = parameters_[i];
  switch (parameter.kind) {
    case ParameterKind::kExponent:
      return theta[i];
    case ParameterKind::kTerm:
      return std::exp(theta[i] + theta[parameter.exponent] * ln_x_mean_[parameter.column]);
    case ParameterKind::kSize:
      return std::exp(theta[i] + ln_x_mean_[parameter.column]);
    case ParameterKind::kFloor:
    case ParameterKind::kLog:
      return std::exp(theta[i]);
  }
  return theta[i];
}

bool Form::Held(const double* theta, const double* gradient, int i) const {
  return (theta[i] <= box_.low[i] && gradient[i] > 0) ||
         (theta[i] >= box_.high[i] && gradient[i] < 0);
}

}  // namespace loglog
