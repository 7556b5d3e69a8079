#include "fit/power_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "base/check.h"

namespace loglog {
namespace {

constexpr int kGridOneTerm = 41;
constexpr int kGridTwoTerms = 17;
// Of a grid over two exponents, the starts that are ranked by the objective itself.
constexpr int kStartsKept = 32;

// exp of this times a few is finite.
constexpr double kExponentMax = 600;

PowerSumShape DefaultShape(size_t terms) {
  PowerSumShape shape;
  if (terms == 2) {
    shape.term_names = {"A", "B"};
    shape.exponent_names = {"alpha", "beta"};
  }
  return shape;
}

}  // namespace

PowerSum::PowerSum(std::vector<std::vector<double>> ln_x, std::vector<double> y,
                   std::vector<double> weight)
    : PowerSum(Sample{.ln_x = ln_x, .y = std::move(y), .weight = std::move(weight), .arm = {}},
               DefaultShape(ln_x.size())) {}

PowerSum::PowerSum(const Sample& sample, const PowerSumShape& shape)
    : Form(sample, shape.centres), terms_(static_cast<int>(sample.ln_x.size())) {
  LOGLOG_CHECK(terms_ == 1 || terms_ == 2);
  LOGLOG_CHECK(shape.term_names.size() == sample.ln_x.size());
  if (shape.floor) {
    e_ = 0;
    AddFloor("E");
  }
  for (int k = 0; k < terms_; ++k) {
    u_low_[k] = u_min(k);
    u_high_[k] = u_max(k);
  }
  const bool equal = shape.equal_exponents && terms_ == 2;
  for (int k = 0; k < terms_; ++k) {
    b_[k] = dim();
    const bool own = !equal || k + 1 == terms_;
    // With one exponent it stands last, behind both terms.
    beta_[k] = own ? b_[k] + 1 : b_[k] + 2;
    AddTerm(shape.term_names[k], k, beta_[k]);
    // A plain power law is a line, which may rise as well.
    const bool line = terms_ == 1 && !shape.floor;
    if (own) AddExponent(shape.exponent_names[k], line ? -kExponentHigh : kExponentLow);
  }
}

double PowerSum::LnLoss(const double* theta, const double* u, int, double* jacobian) const {
  double z[3];
  double share[3];
  for (int k = 0; k < terms_; ++k) z[k] = theta[b_[k]] - theta[beta_[k]] * u[k];
  if (e_ >= 0) z[terms_] = theta[e_];
  const double ln_l = LogSumExp(z, terms_ + (e_ >= 0 ? 1 : 0), share);
  if (jacobian == nullptr) return ln_l;
  if (e_ >= 0) jacobian[e_] = share[terms_];
  for (int k = 0; k < terms_; ++k) jacobian[beta_[k]] = 0;
  for (int k = 0; k < terms_; ++k) {
    jacobian[b_[k]] = share[k];
    jacobian[beta_[k]] -= share[k] * u[k];
  }
  return ln_l;
}

// As LnLoss, all points at once: L over its floor is 1 + the terms over it, unless a term is
// too large for that.
void PowerSum::LnLosses(const double* theta, double* ln_l, double* jacobian) const {
  const bool finite = e_ >= 0 && LargestExponent(theta) < kExponentMax;
  if (!finite) return Form::LnLosses(theta, ln_l, jacobian);
  const bool two = terms_ == 2;
  const int n = size();
  const double e = theta[e_];
  const double b0 = theta[b_[0]] - e, beta0 = theta[beta_[0]];
  const double b1 = two ? theta[b_[1]] - e : 0, beta1 = two ? theta[beta_[1]] : 0;
  const double* x0 = u_column(0);
  const double* x1 = two ? u_column(1) : x0;
  for (int i = 0; i < n; ++i) {
    const double term0 = std::exp(b0 - beta0 * x0[i]);
    const double term1 = two ? std::exp(b1 - beta1 * x1[i]) : 0;
    const double sum = 1 + term0 + term1;
    ln_l[i] = e + std::log(sum);
    if (jacobian == nullptr) continue;
    const double inverse = 1 / sum;
    const double share0 = term0 * inverse;
    jacobian[e_ * n + i] = inverse;
    jacobian[b_[0] * n + i] = share0;
    jacobian[beta_[0] * n + i] = -share0 * x0[i];
    if (!two) continue;
    const double share1 = term1 * inverse;
    jacobian[b_[1] * n + i] = share1;
    jacobian[beta_[1] * n + i] =
        (beta_[0] == beta_[1] ? jacobian[beta_[0] * n + i] : 0) - share1 * x1[i];
  }
}

// Of a term over the floor, at any point.
double PowerSum::LargestExponent(const double* theta) const {
  double largest = 0;
  for (int k = 0; k < terms_; ++k) {
    const double end = theta[beta_[k]] > 0 ? u_low_[k] : u_high_[k];
    largest = std::max(largest, theta[b_[k]] - theta[e_] - theta[beta_[k]] * end);
  }
  return largest;
}

// L' of every z, which is linear in theta: share_k * z_k' z_k'^T.
void PowerSum::AddCurvature(const double* jacobian, const double* scale, double* hessian) const {
  const int n = dim();
  const Eigen::Map<const Eigen::ArrayXd> factor(scale, size());
  const auto share = [&](int i) {
    return factor * Eigen::Map<const Eigen::ArrayXd>(jacobian + i * size(), size());
  };
  if (e_ >= 0) hessian[e_ * n + e_] += share(e_).sum();
  for (int k = 0; k < terms_; ++k) {
    const Eigen::Map<const Eigen::ArrayXd> x(u_column(k), size());
    hessian[b_[k] * n + b_[k]] += share(b_[k]).sum();
    hessian[beta_[k] * n + b_[k]] -= (share(b_[k]) * x).sum();
    hessian[beta_[k] * n + beta_[k]] += (share(b_[k]) * x.square()).sum();
  }
}

std::vector<double> PowerSum::Grid(int terms) {
  return ExponentGrid(terms == 1 ? kGridOneTerm : kGridTwoTerms);
}

// Columns: 1/L, then x_k^-beta / L for each term and exponent of the grid, each power
// scaled to at most 1 at the smallest x.
struct PowerSum::Projection {
  std::vector<double> grid;
  Eigen::VectorXd diagonal;  // of the Gram matrix
  Eigen::VectorXd first;     // its first column
  Eigen::MatrixXd gram;      // its lower triangle, where two terms meet
  Eigen::VectorXd right;
  double squares = 0;  // of the target, which is 1 at every point
  int Column(int term, int exponent) const {
    return 1 + term * static_cast<int>(grid.size()) + exponent;
  }
  // i >= j.
  double Gram(int i, int j) const { return i == j ? diagonal(i) : j == 0 ? first(i) : gram(i, j); }
};

// Least squares over `free` of the columns, the others held at `value`; false where the free
// ones are collinear.
bool PowerSum::Solve(const Projection& projection, const int* column, const int* free, int n_free,
                     double* value) {
  double right[3];
  for (int i = 0; i < n_free; ++i) {
    right[i] = projection.right(column[free[i]]);
    if (free[0] != 0) right[i] -= projection.first(column[free[i]]) * value[0];
  }
  const auto gram = [&](int i, int j) { return projection.Gram(column[free[i]], column[free[j]]); };
  if (n_free == 1) value[free[0]] = right[0] / gram(0, 0);
  if (n_free == 2) {
    const double determinant = gram(0, 0) * gram(1, 1) - gram(1, 0) * gram(1, 0);
    if (!(determinant > 0)) return false;
    value[free[0]] = (right[0] * gram(1, 1) - right[1] * gram(1, 0)) / determinant;
    value[free[1]] = (right[1] * gram(0, 0) - right[0] * gram(1, 0)) / determinant;
  }
  if (n_free == 3) {
    Eigen::Matrix3d system;
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) system(i, j) = gram(std::max(i, j), std::min(i, j));
    }
    const Eigen::Vector3d solution = system.ldlt().solve(Eigen::Map<Eigen::Vector3d>(right));
    std::copy(solution.data(), solution.data() + 3, value);
  }
  return true;
}

// For the exponents `at` of the grid: minimizes sum w*((E + sum B*power)/L - 1)^2 with E
// in its bounds and B >= 0 by trying sets of active bounds (at most 12), all free first,
// which is the answer where it is feasible. Returns that sum.
double PowerSum::Project(const Projection& projection, const int* at, double* theta) const {
  const int n = 1 + terms_;
  int column[3] = {0, 0, 0};
  for (int k = 0; k < terms_; ++k) column[1 + k] = projection.Column(k, at[k]);
  const bool floor = e_ >= 0;
  const double e_bounds[2] = {floor ? std::exp(box().low[e_]) : 0,
                              floor ? std::exp(box().high[e_]) : 0};
  double best_value = std::numeric_limits<double>::infinity();
  double best[3] = {e_bounds[0], 0, 0};
  bool done = false;
  for (int e_state = floor ? 0 : 1; e_state < (floor ? 3 : 2) && !done; ++e_state) {
    for (int on = (1 << terms_) - 1; on >= 0 && !done; --on) {  // bit k: B_k is free, else 0
      double value_at[3] = {e_state == 0 ? 0 : e_bounds[e_state - 1], 0, 0};
      int free[3];
      int n_free = 0;
      if (e_state == 0) free[n_free++] = 0;
      for (int k = 0; k < terms_; ++k) {
        if ((on >> k & 1) != 0) free[n_free++] = 1 + k;
      }
      if (!Solve(projection, column, free, n_free, value_at)) continue;
      bool feasible = value_at[0] >= e_bounds[0] && value_at[0] <= e_bounds[1];
      for (int k = 0; k < terms_; ++k) feasible = feasible && value_at[1 + k] >= 0;
      if (!feasible) continue;
      double value = projection.squares;
      for (int a = 0; a < n; ++a) {
        value -= 2 * projection.right(column[a]) * value_at[a];
        for (int b = 0; b < n; ++b) {
          value += value_at[a] * projection.Gram(column[std::max(a, b)], column[std::min(a, b)]) *
                   value_at[b];
        }
      }
      done = on == (1 << terms_) - 1 && e_state == (floor ? 0 : 1);
      if (!(value < best_value)) continue;
      best_value = value;
      std::copy(value_at, value_at + n, best);
    }
  }
  if (floor) theta[e_] = std::log(best[0]);
  for (int k = 0; k < terms_; ++k) theta[beta_[k]] = projection.grid[at[k]];
  for (int k = 0; k < terms_; ++k) {
    theta[b_[k]] =
        best[1 + k] > 0 ? std::log(best[1 + k]) + theta[beta_[k]] * u_low_[k] : box().low[b_[k]];
  }
  for (int a = 0; a < dim(); ++a) {
    theta[a] = std::min(std::max(theta[a], box().low[a]), box().high[a]);
  }
  return best_value;
}

int PowerSum::starts_ranked() const {
  return terms_ == 1 || beta_[0] == beta_[1] ? kGridOneTerm : kGridTwoTerms * kGridTwoTerms;
}

std::vector<std::vector<double>> PowerSum::Starts() const {
  const bool one_exponent = terms_ == 1 || beta_[0] == beta_[1];
  Projection projection;
  projection.grid = Grid(one_exponent ? 1 : 2);
  const int n = static_cast<int>(projection.grid.size());
  Eigen::MatrixXd columns(size(), 1 + terms_ * n);
  Eigen::VectorXd target(size());
  for (int i = 0; i < size(); ++i) {
    target(i) = std::sqrt(weight(i));
    columns(i, 0) = target(i) * std::exp(-y(i));
  }
  for (int k = 0; k < terms_; ++k) {
    const double smallest = u_low_[k];
    for (int g = 0; g < n; ++g) {
      const int column = projection.Column(k, g);
      for (int i = 0; i < size(); ++i) {
        columns(i, column) = columns(i, 0) * std::exp(-projection.grid[g] * (u(i)[k] - smallest));
      }
    }
  }
  projection.first = columns.transpose() * columns.col(0);
  projection.diagonal = columns.colwise().squaredNorm();
  if (terms_ == 2) projection.gram = columns.transpose() * columns;
  projection.right = columns.transpose() * target;
  projection.squares = target.squaredNorm();

  std::vector<std::vector<double>> starts;
  if (one_exponent && terms_ == 1 && e_ >= 0) {
    for (int g = 0; g < n; ++g) {
      std::vector<double> theta(dim());
      Project(projection, &g, theta.data());
      starts.push_back(std::move(theta));
    }
    return starts;
  }
  std::vector<std::pair<double, std::vector<double>>> ranked;
  for (int g = 0; g < n; ++g) {
    for (int h = one_exponent ? g : 0; h < (one_exponent ? g + 1 : n); ++h) {
      const int at[2] = {g, h};
      std::vector<double> theta(dim());
      const double value = Project(projection, at, theta.data());
      ranked.push_back({value, std::move(theta)});
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (static_cast<int>(ranked.size()) > kStartsKept) ranked.resize(kStartsKept);
  for (auto& [value, theta] : ranked) starts.push_back(std::move(theta));
  return starts;
}

}  // namespace loglog
