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

using Three = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, 3, 3>;
using ThreeVector = Eigen::Matrix<double, Eigen::Dynamic, 1, Eigen::ColMajor, 3, 1>;

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

// As LnLoss, without a call for each point.
void PowerSum::LnLosses(const double* theta, double* ln_l, double* jacobian) const {
  const int n = dim();
  const bool floor = e_ >= 0;
  const double e = floor ? theta[e_] : -std::numeric_limits<double>::infinity();
  const double b0 = theta[b_[0]], beta0 = theta[beta_[0]];
  const bool two = terms_ == 2;
  const double b1 = two ? theta[b_[1]] : 0, beta1 = two ? theta[beta_[1]] : 0;
  for (int i = 0; i < size(); ++i) {
    const double* x = u(i);
    const double z0 = b0 - beta0 * x[0];
    const double z1 = two ? b1 - beta1 * x[1] : -std::numeric_limits<double>::infinity();
    const double largest = std::max(e, std::max(z0, z1));
    double s = e == largest ? 1 : floor ? std::exp(e - largest) : 0;
    double s0 = z0 == largest ? 1 : std::exp(z0 - largest);
    double s1 = z1 == largest ? 1 : two ? std::exp(z1 - largest) : 0;
    const double sum = s + s0 + s1;
    ln_l[i] = largest + std::log(sum);
    if (jacobian == nullptr) continue;
    const double inverse = 1 / sum;
    s0 *= inverse;
    s1 *= inverse;
    double* row = jacobian + i * n;
    if (floor) row[e_] = s * inverse;
    row[b_[0]] = s0;
    row[beta_[0]] = -s0 * x[0];
    if (!two) continue;
    row[b_[1]] = s1;
    row[beta_[1]] = (beta_[0] == beta_[1] ? row[beta_[0]] : 0) - s1 * x[1];
  }
}

// sum_k share_k * z_k' z_k'^T - (ln L)' (ln L)'^T, because every z is linear in theta.
void PowerSum::AddCurvature(const double*, const double* u, const double* g, double scale,
                            double* hessian) const {
  const int n = dim();
  for (int a = 0; a < n; ++a) {
    for (int b = 0; b <= a; ++b) hessian[a * n + b] -= scale * g[a] * g[b];
  }
  if (e_ >= 0) hessian[e_ * n + e_] += scale * g[e_];
  for (int k = 0; k < terms_; ++k) {
    const double share = scale * g[b_[k]];
    hessian[b_[k] * n + b_[k]] += share;
    hessian[beta_[k] * n + b_[k]] -= share * u[k];
    hessian[beta_[k] * n + beta_[k]] += share * u[k] * u[k];
  }
}

std::vector<double> PowerSum::Grid(int terms) {
  return ExponentGrid(terms == 1 ? kGridOneTerm : kGridTwoTerms);
}

// Columns: 1/L, then x_k^-beta / L for each term and exponent of the grid, each power
// scaled to at most 1 at the smallest x.
struct PowerSum::Projection {
  std::vector<double> grid;
  Eigen::MatrixXd gram;
  Eigen::VectorXd right;
  double squares = 0;  // of the target, which is 1 at every point
  int Column(int term, int exponent) const {
    return 1 + term * static_cast<int>(grid.size()) + exponent;
  }
};

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
      if (n_free > 0) {
        Three system(n_free, n_free);
        ThreeVector target(n_free);
        for (int i = 0; i < n_free; ++i) {
          for (int j = 0; j < n_free; ++j) {
            system(i, j) = projection.gram(column[free[i]], column[free[j]]);
          }
          target(i) = projection.right(column[free[i]]) -
                      (e_state == 0 ? 0 : projection.gram(column[free[i]], 0) * value_at[0]);
        }
        const ThreeVector solution = system.ldlt().solve(target);
        for (int i = 0; i < n_free; ++i) value_at[free[i]] = solution(i);
      }
      bool feasible = value_at[0] >= e_bounds[0] && value_at[0] <= e_bounds[1];
      for (int k = 0; k < terms_; ++k) feasible = feasible && value_at[1 + k] >= 0;
      if (!feasible) continue;
      double value = projection.squares;
      for (int a = 0; a < n; ++a) {
        value -= 2 * projection.right(column[a]) * value_at[a];
        for (int b = 0; b < n; ++b) {
          value += value_at[a] * projection.gram(column[a], column[b]) * value_at[b];
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
        best[1 + k] > 0 ? std::log(best[1 + k]) + theta[beta_[k]] * u_min(k) : box().low[b_[k]];
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
    const double smallest = u_min(k);
    for (int g = 0; g < n; ++g) {
      const int column = projection.Column(k, g);
      for (int i = 0; i < size(); ++i) {
        columns(i, column) = columns(i, 0) * std::exp(-projection.grid[g] * (u(i)[k] - smallest));
      }
    }
  }
  projection.gram = columns.transpose() * columns;
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
