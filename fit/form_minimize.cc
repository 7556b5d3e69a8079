// What minimizes a form: the parts of Form that need its Hessian.
#include <algorithm>
#include <cmath>
#include <utility>

#include "Eigen/Core"
#include "absl/container/fixed_array.h"
#include "base/check.h"
#include "fit/form.h"

namespace loglog {
namespace {

// On the stack, size known late.
using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, Form::kDimMax,
                            Form::kDimMax>;
using Columns = Eigen::Map<const Eigen::MatrixXd>;
using Array = Eigen::Map<const Eigen::ArrayXd>;

// Numbers kept on the stack, which is all of them for the fits of a sweep.
constexpr size_t kInline = 256;

constexpr int kIterationsMax = 60;
constexpr int kDampingsMax = 20;
constexpr double kNothingToGain = 1e-16;
// Newton's steps, in units of delta: one that is taken and ends the search, and one that led
// up, which only rounding explains.
constexpr double kStepDone = 1e-6;
constexpr double kStepLost = 1e-8;

// ln L and its derivatives at one theta, kept so that a step that is taken is evaluated
// once.
class Evaluation {
 public:
  explicit Evaluation(const Form& form) : form_(form), numbers_(form.size() * (form.dim() + 1)) {}
  void To(const double* theta) {
    form_.LnLosses(theta, numbers_.data(), numbers_.data() + form_.size());
  }
  const double* LnLosses() const { return numbers_.data(); }
  const double* Derivatives() const { return numbers_.data() + form_.size(); }
  Columns Jacobian() const { return {Derivatives(), form_.size(), form_.dim()}; }

 private:
  const Form& form_;
  absl::FixedArray<double, kInline> numbers_;
};

// Adds sum factor*J*J' over the points to the lower triangle.
void AddProducts(const Columns& jacobian, const Array& factor, Small* sum) {
  for (int a = 0; a < jacobian.cols(); ++a) {
    for (int b = 0; b <= a; ++b) {
      (*sum)(a, b) += (factor * jacobian.col(a).array() * jacobian.col(b).array()).sum();
    }
  }
}

// Which components may move, and a step over them.
struct Step {
  int free[Form::kDimMax];
  int n_free = 0;
  double next[Form::kDimMax];  // theta after the step, in the box
  double fall = 0;             // of the model's gradient: at most twice what it gains
  double largest = 0;          // change of a component, relative to it
};

// Solves a*x = b in place by Cholesky's method; systems are too small for a library's blocks.
// False when `a` (lower triangle) is not positive definite.
bool SolveInPlace(Small* a, double* b) {
  const int n = static_cast<int>(a->rows());
  for (int j = 0; j < n; ++j) {
    double pivot = (*a)(j, j);
    for (int k = 0; k < j; ++k) pivot -= (*a)(j, k) * (*a)(j, k);
    if (!(pivot > 0)) return false;
    const double root = std::sqrt(pivot);
    (*a)(j, j) = root;
    for (int i = j + 1; i < n; ++i) {
      double entry = (*a)(i, j);
      for (int k = 0; k < j; ++k) entry -= (*a)(i, k) * (*a)(j, k);
      (*a)(i, j) = entry / root;
    }
    for (int k = 0; k < j; ++k) b[j] -= (*a)(j, k) * b[k];
    b[j] /= root;
  }
  for (int j = n - 1; j >= 0; --j) {
    for (int k = j + 1; k < n; ++k) b[j] -= (*a)(k, j) * b[k];
    b[j] /= (*a)(j, j);
  }
  return true;
}

// The step to the minimum of the model with this Hessian (lower triangle), cut off at the
// box. False when the model has none.
bool FindStep(const Small& hessian, const double* gradient, const double* theta, const Box& box,
              Step* step) {
  const int n = step->n_free;
  Small system(n, n);
  double x[Form::kDimMax];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) system(i, j) = hessian(step->free[i], step->free[j]);
    x[i] = -gradient[step->free[i]];
  }
  if (!SolveInPlace(&system, x)) return false;
  std::copy(theta, theta + box.low.size(), step->next);
  step->fall = step->largest = 0;
  for (int i = 0; i < n; ++i) {
    const int a = step->free[i];
    step->next[a] = std::min(std::max(theta[a] + x[i], box.low[a]), box.high[a]);
    step->fall -= gradient[a] * x[i];
    step->largest =
        std::max(step->largest, std::fabs(step->next[a] - theta[a]) / (1 + std::fabs(theta[a])));
  }
  return true;
}

}  // namespace

std::vector<double> Form::Information(const double* theta) const {
  const int n = dim();
  Evaluation at(*this);
  at.To(theta);
  Small sum = Small::Zero(n, n);
  AddProducts(at.Jacobian(), Array(weight_.data(), size()), &sum);
  std::vector<double> information(n * n);
  for (int a = 0; a < n; ++a) {
    for (int b = 0; b < n; ++b) information[a * n + b] = sum(std::max(a, b), std::min(a, b));
  }
  return information;
}

double Form::Refine(uint64_t fixed, double* theta, double* gradient_out) const {
  const int n = dim();
  const Loss loss = Loss::Squares();
  double lambda = 0;
  Evaluation first(*this), second(*this);
  Evaluation* at = &first;
  Evaluation* trial = &second;
  at->To(theta);
  double value = ValueOf(loss, at->LnLosses());
  double gradient[kDimMax];
  const auto finish = [&] {
    if (gradient_out != nullptr) {
      GradientOf(loss, at->LnLosses(), at->Derivatives(), gradient_out);
    }
    return value;
  };
  Step step;
  Small hessian(n, n), damped(n, n);
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    hessian.setZero();
    AddProducts(at->Jacobian(), Array(weight_.data(), size()), &hessian);
    GradientOf(loss, at->LnLosses(), at->Derivatives(), gradient);
    double trace = 0;
    step.n_free = 0;
    for (int a = 0; a < n; ++a) {
      gradient[a] /= 2;  // as the Hessian is half of its own
      if ((fixed >> a & 1u) != 0 || Held(theta, gradient, a)) continue;
      step.free[step.n_free++] = a;
      trace += hessian(a, a);
    }
    if (step.n_free == 0 || !(trace > 0)) return finish();

    bool moved = false;
    for (int attempt = 0; attempt < kDampingsMax && !moved; ++attempt) {
      damped = hessian;
      for (int a = 0; a < n; ++a) damped(a, a) += lambda * hessian(a, a) + 1e-14 * trace;
      if (FindStep(damped, gradient, theta, box_, &step)) {
        trial->To(step.next);
        const double next_value = ValueOf(loss, trial->LnLosses());
        // A small step changes the value by less than its rounding error and still
        // brings the parameters closer.
        const double rounding = 1e-14 * std::sqrt(value * total_weight_);
        const bool end_game = step.largest < 1e-6 && next_value <= value + rounding;
        if (next_value < value || end_game) {
          moved = true;
          std::copy(step.next, step.next + n, theta);
          std::swap(at, trial);
          value = next_value;
          lambda = lambda < 1e-8 ? 0 : lambda / 10;
          if (step.largest < 1e-12) return finish();
          break;
        }
        if (step.largest < 1e-14) return finish();
      }
      lambda = std::max(1e-6, lambda * 10);
    }
    if (!moved) return finish();
  }
  return finish();
}

// The model of each step is the exact Hessian plus lambda times that of reweighted least
// squares, sum w*min(1, delta/|r|)*J*J', which alone would always lead down for a linear law.
// lambda grows and falls as it does because that takes the fewest evaluations
// (docs/decisions/fit-forms.md).
double Form::Newton(Loss loss, double* theta, double* gradient_out) const {
  LOGLOG_CHECK(HasCurvature() && !loss.squares);
  const int n = dim();
  double lambda = 0;
  Evaluation first(*this), second(*this);
  Evaluation* at = &first;
  Evaluation* trial = &second;
  at->To(theta);
  double value = ValueOf(loss, at->LnLosses());
  const auto finish = [&] {
    if (gradient_out != nullptr) {
      GradientOf(loss, at->LnLosses(), at->Derivatives(), gradient_out);
    }
    return value;
  };
  double gradient[kDimMax];
  Step step;
  Small hessian(n, n), reweighted(n, n), damped(n, n);
  std::vector<double> products(n * n);
  const Array weight(weight_.data(), size()), y(y_.data(), size());
  Eigen::ArrayXd r(size()), slope(size()), factor(size());
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    r = Array(at->LnLosses(), size()) - y;
    slope = weight * r.max(-loss.delta).min(loss.delta);
    factor = (r.abs() <= loss.delta).select(weight, 0.0) - slope;
    std::fill(products.begin(), products.end(), 0.0);
    AddCurvature(at->Derivatives(), slope.data(), products.data());
    hessian =
        Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
            products.data(), n, n);
    const Columns jacobian = at->Jacobian();
    AddProducts(jacobian, Array(factor.data(), size()), &hessian);
    factor = weight * (loss.delta / r.abs()).min(1.0);
    reweighted.setZero();
    if (lambda > 0) AddProducts(jacobian, Array(factor.data(), size()), &reweighted);
    step.n_free = 0;
    for (int a = 0; a < n; ++a) {
      gradient[a] = (slope * jacobian.col(a).array()).sum();
      reweighted(a, a) = (factor * jacobian.col(a).array().square()).sum();
      if (!Held(theta, gradient, a) && reweighted(a, a) > 0) step.free[step.n_free++] = a;
    }
    if (step.n_free == 0) return finish();

    bool moved = false;
    for (int attempt = 0; attempt < kDampingsMax && !moved; ++attempt) {
      damped = hessian + lambda * reweighted;
      for (int a = 0; a < n; ++a) damped(a, a) += 1e-12 * reweighted(a, a);
      if (FindStep(damped, gradient, theta, box_, &step)) {
        // Below rounding there is nothing to be had.
        if (step.fall <= kNothingToGain * value) return finish();
        trial->To(step.next);
        const double next_value = ValueOf(loss, trial->LnLosses());
        if (next_value < value) {
          moved = true;
          std::copy(step.next, step.next + n, theta);
          std::swap(at, trial);
          value = next_value;
          lambda = lambda < 1e-4 ? 0 : lambda / 30;
          if (step.largest < kStepDone * loss.delta) return finish();
          break;
        }
        if (step.largest < kStepLost * loss.delta) return finish();
      }
      if (lambda == 0) {
        reweighted.setZero();
        AddProducts(jacobian, Array(factor.data(), size()), &reweighted);
      }
      lambda = std::max(0.05, lambda * 10);
    }
    if (!moved) return finish();
  }
  return finish();
}

}  // namespace loglog
