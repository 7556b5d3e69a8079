#include "fit/form.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "base/check.h"

namespace loglog {
namespace {

// On the stack, size known late.
using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, Form::kDimMax,
                            Form::kDimMax>;
using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, Eigen::ColMajor, Form::kDimMax, 1>;

constexpr int kIterationsMax = 60;
constexpr int kDampingsMax = 20;
constexpr double kNothingToGain = 1e-16;
// A term that has left the sum altogether: ln of 1e-8 of the smallest loss.
constexpr double kTermGone = -18.4;

double HuberValue(double r, double delta) {
  const double size = std::fabs(r);
  return size <= delta ? 0.5 * r * r : delta * (size - 0.5 * delta);
}

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
  for (const double w : weight_) total_weight_ += w;
  y_min_ = *std::min_element(y_.begin(), y_.end());
  y_max_ = *std::max_element(y_.begin(), y_.end());
}

void Form::AddCurvature(const double*, const double*, const double*, double, double*) const {
  LOGLOG_CHECK(false);
}

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
  for (int i = 0; i < size(); ++i) {
    ln_l[i] = LnLoss(theta, u(i), arm(i), jacobian == nullptr ? nullptr : jacobian + i * dim());
  }
}

double Form::ValueOf(Loss loss, const double* ln_l) const {
  double value = 0;
  for (int i = 0; i < size(); ++i) {
    const double r = ln_l[i] - y_[i];
    value += weight_[i] * (loss.squares ? r * r : HuberValue(r, loss.delta));
  }
  return value;
}

void Form::GradientOf(Loss loss, const double* ln_l, const double* jacobian,
                      double* gradient) const {
  const int n = dim();
  std::fill(gradient, gradient + n, 0.0);
  for (int i = 0; i < size(); ++i) {
    const double r = ln_l[i] - y_[i];
    const double slope =
        weight_[i] * (loss.squares ? 2 * r : std::min(std::max(r, -loss.delta), loss.delta));
    for (int j = 0; j < n; ++j) gradient[j] += slope * jacobian[i * n + j];
  }
}

double Form::Value(Loss loss, const double* theta, double* gradient) const {
  std::vector<double> ln_l(size());
  if (gradient == nullptr) {
    LnLosses(theta, ln_l.data(), nullptr);
    return ValueOf(loss, ln_l.data());
  }
  std::vector<double> jacobian(size() * dim());
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

std::vector<double> Form::Information(const double* theta) const {
  const int n = dim();
  std::vector<double> information(n * n, 0.0);
  double jacobian[kDimMax];
  for (int i = 0; i < size(); ++i) {
    LnLoss(theta, u(i), arm(i), jacobian);
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        information[a * n + b] += weight_[i] * jacobian[a] * jacobian[b];
      }
    }
  }
  return information;
}

bool Form::Held(const double* theta, const double* gradient, int i) const {
  return (theta[i] <= box_.low[i] && gradient[i] > 0) ||
         (theta[i] >= box_.high[i] && gradient[i] < 0);
}

namespace {

// ln L and its derivatives at one theta, kept so that a step that is taken is evaluated
// once.
struct Evaluation {
  explicit Evaluation(const Form& of)
      : form(&of), ln_l(of.size()), jacobian(of.size() * of.dim()) {}
  void To(const double* theta) { form->LnLosses(theta, ln_l.data(), jacobian.data()); }

  const Form* form;
  std::vector<double> ln_l;
  std::vector<double> jacobian;
};

}  // namespace

double Form::Refine(uint64_t fixed, double* theta, double* gradient_out) const {
  const int n = dim();
  const Loss loss = Loss::Squares();
  double lambda = 0;
  Evaluation at(*this), trial(*this);
  at.To(theta);
  double value = ValueOf(loss, at.ln_l.data());
  const auto finish = [&] {
    if (gradient_out != nullptr) {
      GradientOf(loss, at.ln_l.data(), at.jacobian.data(), gradient_out);
    }
    return value;
  };
  double gradient[kDimMax];
  double next[kDimMax];
  int free[kDimMax];
  Small hessian(n, n);
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    hessian.setZero();
    std::fill(gradient, gradient + n, 0.0);
    for (int i = 0; i < size(); ++i) {
      const double r = at.ln_l[i] - y_[i];
      const double* jacobian = at.jacobian.data() + i * n;
      for (int a = 0; a < n; ++a) {
        const double wa = weight_[i] * jacobian[a];
        gradient[a] += wa * r;
        for (int b = 0; b <= a; ++b) hessian(a, b) += wa * jacobian[b];
      }
    }
    int n_free = 0;
    double trace = 0;
    for (int a = 0; a < n; ++a) {
      if ((fixed >> a & 1u) != 0 || Held(theta, gradient, a)) continue;
      free[n_free++] = a;
      trace += hessian(a, a);
    }
    if (n_free == 0 || !(trace > 0)) return finish();

    bool moved = false;
    for (int attempt = 0; attempt < kDampingsMax && !moved; ++attempt) {
      Small system(n_free, n_free);
      SmallVector right(n_free);
      for (int i = 0; i < n_free; ++i) {
        for (int j = 0; j <= i; ++j) system(i, j) = hessian(free[i], free[j]);
        system(i, i) += lambda * system(i, i) + 1e-14 * trace;
        right(i) = -gradient[free[i]];
      }
      const Eigen::LLT<Small> factor(system);
      if (factor.info() == Eigen::Success) {
        const SmallVector step = factor.solve(right);
        std::copy(theta, theta + n, next);
        double largest = 0;
        for (int i = 0; i < n_free; ++i) {
          const int a = free[i];
          next[a] = std::min(std::max(theta[a] + step(i), box_.low[a]), box_.high[a]);
          largest = std::max(largest, std::fabs(next[a] - theta[a]) / (1 + std::fabs(theta[a])));
        }
        trial.To(next);
        const double next_value = ValueOf(loss, trial.ln_l.data());
        // A small step changes the value by less than its rounding error and still
        // brings the parameters closer.
        const double rounding = 1e-14 * std::sqrt(value * total_weight_);
        const bool end_game = largest < 1e-6 && next_value <= value + rounding;
        if (next_value < value || end_game) {
          moved = true;
          std::copy(next, next + n, theta);
          std::swap(at, trial);
          value = next_value;
          lambda = lambda < 1e-8 ? 0 : lambda / 10;
          if (largest < 1e-12) return finish();
          break;
        }
        if (largest < 1e-14) return finish();
      }
      lambda = std::max(1e-6, lambda * 10);
    }
    if (!moved) return finish();
  }
  return finish();
}

// The model of each step is the exact Hessian plus lambda times the diagonal of
// sum w*min(1, delta/|r|)*J*J', which alone would always lead down for a linear law.
double Form::Newton(Loss loss, double* theta, double* gradient_out) const {
  LOGLOG_CHECK(HasCurvature());
  const int n = dim();
  double lambda = 0;
  Evaluation at(*this), trial(*this);
  at.To(theta);
  double value = ValueOf(loss, at.ln_l.data());
  const auto finish = [&] {
    if (gradient_out != nullptr) {
      GradientOf(loss, at.ln_l.data(), at.jacobian.data(), gradient_out);
    }
    return value;
  };
  double gradient[kDimMax];
  double damping[kDimMax];
  double next[kDimMax];
  int free[kDimMax];
  std::vector<double> hessian(n * n);
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    std::fill(hessian.begin(), hessian.end(), 0.0);
    std::fill(gradient, gradient + n, 0.0);
    std::fill(damping, damping + n, 0.0);
    for (int i = 0; i < size(); ++i) {
      const double r = at.ln_l[i] - y_[i];
      const double* jacobian = at.jacobian.data() + i * n;
      const bool inside = loss.squares || std::fabs(r) <= loss.delta;
      const double factor = loss.squares ? 2 : 1;
      const double slope = weight_[i] * (inside ? factor * r : (r > 0 ? loss.delta : -loss.delta));
      const double majorant = weight_[i] * (inside ? factor : loss.delta / std::fabs(r));
      for (int a = 0; a < n; ++a) {
        gradient[a] += slope * jacobian[a];
        damping[a] += majorant * jacobian[a] * jacobian[a];
        if (!inside) continue;
        const double wa = weight_[i] * factor * jacobian[a];
        for (int b = 0; b <= a; ++b) hessian[a * n + b] += wa * jacobian[b];
      }
      AddCurvature(theta, u(i), jacobian, slope, hessian.data());
    }
    int n_free = 0;
    for (int a = 0; a < n; ++a) {
      if (!Held(theta, gradient, a) && damping[a] > 0) free[n_free++] = a;
    }
    if (n_free == 0) return finish();

    bool moved = false;
    for (int attempt = 0; attempt < kDampingsMax && !moved; ++attempt) {
      Small system(n_free, n_free);
      SmallVector right(n_free);
      for (int i = 0; i < n_free; ++i) {
        for (int j = 0; j <= i; ++j) system(i, j) = hessian[free[i] * n + free[j]];
        system(i, i) += (lambda + 1e-12) * damping[free[i]];
        right(i) = -gradient[free[i]];
      }
      const Eigen::LLT<Small> factor(system);
      if (factor.info() == Eigen::Success) {
        const SmallVector step = factor.solve(right);
        // What a full step can gain at most twice; below rounding there is none to be had.
        if (right.dot(step) <= kNothingToGain * value) return finish();
        std::copy(theta, theta + n, next);
        double largest = 0;
        for (int i = 0; i < n_free; ++i) {
          const int a = free[i];
          next[a] = std::min(std::max(theta[a] + step(i), box_.low[a]), box_.high[a]);
          largest = std::max(largest, std::fabs(next[a] - theta[a]) / (1 + std::fabs(theta[a])));
        }
        trial.To(next);
        const double next_value = ValueOf(loss, trial.ln_l.data());
        if (next_value < value) {
          moved = true;
          const bool done = largest < 1e-9;
          std::copy(next, next + n, theta);
          std::swap(at, trial);
          value = next_value;
          lambda = lambda < 1e-6 ? 0 : lambda / 10;
          if (done) return finish();
          break;
        }
        if (largest < 1e-11) return finish();
      }
      lambda = std::max(1e-3, lambda * 10);
    }
    if (!moved) return finish();
  }
  return finish();
}

}  // namespace loglog
