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

// Matrices of this folder have at most five rows: on the stack, size known late.
using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor,
                            PowerSum::kDimMax, PowerSum::kDimMax>;
using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, Eigen::ColMajor, PowerSum::kDimMax, 1>;

constexpr int kGridOneTerm = 41;
constexpr int kGridTwoTerms = 17;
constexpr int kRefineIterationsMax = 60;
// A term that has left the sum altogether: ln of 1e-8 of the smallest loss.
constexpr double kTermGone = -18.4;

double HuberValue(double r, double delta) {
  const double size = std::fabs(r);
  return size <= delta ? 0.5 * r * r : delta * (size - 0.5 * delta);
}

}  // namespace

struct PowerSum::Row {
  double ln_l;
  double jacobian[kDimMax];
};

PowerSum::PowerSum(std::vector<std::vector<double>> ln_x, std::vector<double> y,
                   std::vector<double> weight)
    : u_(std::move(ln_x)), y_(std::move(y)), weight_(std::move(weight)) {
  LOGLOG_CHECK(terms() == 1 || terms() == 2);
  LOGLOG_CHECK(!y_.empty() && weight_.size() == y_.size());
  for (std::vector<double>& column : u_) {
    LOGLOG_CHECK(column.size() == y_.size());
    double mean = 0;
    for (const double value : column) mean += value / static_cast<double>(column.size());
    for (double& value : column) value -= mean;
    ln_x_mean_.push_back(mean);
  }
  for (const double w : weight_) total_weight_ += w;

  const double y_min = *std::min_element(y_.begin(), y_.end());
  const double y_max = *std::max_element(y_.begin(), y_.end());
  // A loss below the usual floor of E still leaves E some room under it.
  const double e_low = std::min(std::log(kFloorLow), y_min - 1);
  box_.low = {e_low};
  box_.high = {y_min};
  for (int k = 0; k < terms(); ++k) {
    const auto [u_min, u_max] = std::minmax_element(u_[k].begin(), u_[k].end());
    const double reach = kExponentHigh * std::max(-*u_min, *u_max);
    box_.low.insert(box_.low.end(), {y_min + kTermGone - reach, kExponentLow});
    box_.high.insert(box_.high.end(), {y_max + 2 + reach, kExponentHigh});
  }
}

PowerSum::Row PowerSum::Evaluate(const double* theta, int point) const {
  double a[1 + 2] = {};
  a[0] = theta[0];
  double largest = a[0];
  for (int k = 0; k < terms(); ++k) {
    a[1 + k] = theta[1 + 2 * k] - theta[2 + 2 * k] * u_[k][point];
    largest = std::max(largest, a[1 + k]);
  }
  double sum = 0;
  for (int k = 0; k <= terms(); ++k) {
    a[k] = std::exp(a[k] - largest);
    sum += a[k];
  }
  Row row;
  row.ln_l = largest + std::log(sum);
  row.jacobian[0] = a[0] / sum;
  for (int k = 0; k < terms(); ++k) {
    const double share = a[1 + k] / sum;
    row.jacobian[1 + 2 * k] = share;
    row.jacobian[2 + 2 * k] = -share * u_[k][point];
  }
  return row;
}

double PowerSum::Value(Loss loss, const double* theta, double* gradient) const {
  if (gradient != nullptr) std::fill(gradient, gradient + dim(), 0.0);
  double value = 0;
  for (int i = 0; i < size(); ++i) {
    const Row row = Evaluate(theta, i);
    const double r = row.ln_l - y_[i];
    value += weight_[i] * (loss.squares ? r * r : HuberValue(r, loss.delta));
    if (gradient == nullptr) continue;
    const double slope = loss.squares ? 2 * r : std::min(std::max(r, -loss.delta), loss.delta);
    for (int j = 0; j < dim(); ++j) gradient[j] += weight_[i] * slope * row.jacobian[j];
  }
  return value;
}

double PowerSum::Predict(const double* theta, absl::Span<const double> ln_x) const {
  LOGLOG_CHECK(static_cast<int>(ln_x.size()) == terms());
  double largest = theta[0];
  double a[2] = {};
  for (int k = 0; k < terms(); ++k) {
    a[k] = theta[1 + 2 * k] - theta[2 + 2 * k] * (ln_x[k] - ln_x_mean_[k]);
    largest = std::max(largest, a[k]);
  }
  double sum = std::exp(theta[0] - largest);
  for (int k = 0; k < terms(); ++k) sum += std::exp(a[k] - largest);
  return largest + std::log(sum);
}

std::vector<double> PowerSum::Information(const double* theta) const {
  std::vector<double> information(dim() * dim(), 0.0);
  for (int i = 0; i < size(); ++i) {
    const Row row = Evaluate(theta, i);
    for (int a = 0; a < dim(); ++a) {
      for (int b = 0; b < dim(); ++b) {
        information[a * dim() + b] += weight_[i] * row.jacobian[a] * row.jacobian[b];
      }
    }
  }
  return information;
}

double PowerSum::Refine(unsigned fixed, double* theta) const {
  double lambda = 0;
  double value = Value(Loss::Squares(), theta, nullptr);
  for (int iteration = 0; iteration < kRefineIterationsMax; ++iteration) {
    double hessian[kDimMax][kDimMax] = {};
    double gradient[kDimMax] = {};
    for (int i = 0; i < size(); ++i) {
      const Row row = Evaluate(theta, i);
      const double r = row.ln_l - y_[i];
      for (int a = 0; a < dim(); ++a) {
        gradient[a] += weight_[i] * r * row.jacobian[a];
        for (int b = 0; b <= a; ++b) {
          hessian[a][b] += weight_[i] * row.jacobian[a] * row.jacobian[b];
        }
      }
    }
    int free[kDimMax];
    int n_free = 0;
    double trace = 0;
    for (int a = 0; a < dim(); ++a) {
      const bool held = (theta[a] <= box_.low[a] && gradient[a] > 0) ||
                        (theta[a] >= box_.high[a] && gradient[a] < 0);
      if ((fixed >> a & 1u) != 0 || held) continue;
      free[n_free++] = a;
      trace += hessian[a][a];
    }
    if (n_free == 0 || !(trace > 0)) return value;

    bool moved = false;
    for (int attempt = 0; attempt < 20 && !moved; ++attempt) {
      Small system(n_free, n_free);
      SmallVector right(n_free);
      for (int i = 0; i < n_free; ++i) {
        for (int j = 0; j <= i; ++j) system(i, j) = hessian[free[i]][free[j]];
        system(i, i) += lambda * system(i, i) + 1e-14 * trace;
        right(i) = -gradient[free[i]];
      }
      const Eigen::LLT<Small> factor(system);
      if (factor.info() == Eigen::Success) {
        const SmallVector step = factor.solve(right);
        double next[kDimMax];
        std::copy(theta, theta + dim(), next);
        double largest = 0;
        for (int i = 0; i < n_free; ++i) {
          const int a = free[i];
          next[a] = std::min(std::max(theta[a] + step(i), box_.low[a]), box_.high[a]);
          largest = std::max(largest, std::fabs(next[a] - theta[a]) / (1 + std::fabs(theta[a])));
        }
        const double next_value = Value(Loss::Squares(), next, nullptr);
        // A small step changes the value by less than its rounding error and still
        // brings the parameters closer.
        const double rounding = 1e-14 * std::sqrt(value * total_weight_);
        const bool end_game = largest < 1e-6 && next_value <= value + rounding;
        if (next_value < value || end_game) {
          moved = true;
          std::copy(next, next + dim(), theta);
          value = next_value;
          lambda = lambda < 1e-8 ? 0 : lambda / 10;
          if (largest < 1e-12) return value;
          break;
        }
        if (largest < 1e-14) return value;
      }
      lambda = std::max(1e-6, lambda * 10);
    }
    if (!moved) return value;
  }
  return value;
}

std::vector<double> PowerSum::ExponentGrid(int terms) {
  const int n = terms == 1 ? kGridOneTerm : kGridTwoTerms;
  std::vector<double> grid(n);
  const double ratio = std::log(kExponentHigh / kExponentLow);
  for (int i = 0; i < n; ++i) grid[i] = kExponentLow * std::exp(ratio * i / (n - 1));
  grid.back() = kExponentHigh;
  return grid;
}

// For the exponents in theta: `powers` holds each term's x^-beta per point, scaled to
// at most 1 at the smallest x. Minimizes sum w*((E + sum B*power)/L - 1)^2 by trying
// every set of active bounds (at most 12) and keeping the best feasible one.
void PowerSum::ProjectTerms(const std::vector<const double*>& powers, double* theta) const {
  const int n = 1 + terms();
  double gram[3][3] = {};
  double right[3] = {};
  for (int i = 0; i < size(); ++i) {
    const double inverse = std::exp(-y_[i]);
    double column[3] = {inverse, 0, 0};
    for (int k = 0; k < terms(); ++k) column[1 + k] = inverse * powers[k][i];
    for (int a = 0; a < 3; ++a) {
      right[a] += weight_[i] * column[a];
      for (int b = 0; b < 3; ++b) gram[a][b] += weight_[i] * column[a] * column[b];
    }
  }
  const double e_bounds[2] = {std::exp(box_.low[0]), std::exp(box_.high[0])};
  double best_value = std::numeric_limits<double>::infinity();
  double best[3] = {e_bounds[0], 0, 0};
  for (int e_state = 0; e_state < 3; ++e_state) {  // 0: free, 1: lower, 2: upper bound
    for (int on = 0; on < (1 << terms()); ++on) {  // bit k: B_k is free, else 0
      double value_at[3] = {e_state == 0 ? 0 : e_bounds[e_state - 1], 0, 0};
      int free[3];
      int n_free = 0;
      if (e_state == 0) free[n_free++] = 0;
      for (int k = 0; k < terms(); ++k) {
        if ((on >> k & 1) != 0) free[n_free++] = 1 + k;
      }
      if (n_free > 0) {
        Small system(n_free, n_free);
        SmallVector target(n_free);
        for (int i = 0; i < n_free; ++i) {
          for (int j = 0; j < n_free; ++j) system(i, j) = gram[free[i]][free[j]];
          target(i) = right[free[i]] - (e_state == 0 ? 0 : gram[free[i]][0] * value_at[0]);
        }
        const SmallVector solution = system.ldlt().solve(target);
        for (int i = 0; i < n_free; ++i) value_at[free[i]] = solution(i);
      }
      bool feasible = value_at[0] >= e_bounds[0] && value_at[0] <= e_bounds[1];
      for (int k = 0; k < terms(); ++k) feasible = feasible && value_at[1 + k] >= 0;
      if (!feasible) continue;
      double value = 0;
      for (int a = 0; a < n; ++a) {
        value -= 2 * right[a] * value_at[a];
        for (int b = 0; b < n; ++b) value += value_at[a] * gram[a][b] * value_at[b];
      }
      if (!(value < best_value)) continue;
      best_value = value;
      std::copy(value_at, value_at + n, best);
    }
  }
  theta[0] = std::log(best[0]);
  for (int k = 0; k < terms(); ++k) {
    const double u_min = *std::min_element(u_[k].begin(), u_[k].end());
    const int b = 1 + 2 * k;
    theta[b] = best[1 + k] > 0 ? std::log(best[1 + k]) + theta[b + 1] * u_min : box_.low[b];
  }
  for (int a = 0; a < dim(); ++a) {
    theta[a] = std::min(std::max(theta[a], box_.low[a]), box_.high[a]);
  }
}

std::vector<std::vector<double>> PowerSum::Starts() const {
  const std::vector<double> grid = ExponentGrid(terms());
  const int n = static_cast<int>(grid.size());
  // powers[k][g]: term k's column at exponent g.
  std::vector<std::vector<std::vector<double>>> powers(terms());
  for (int k = 0; k < terms(); ++k) {
    const double u_min = *std::min_element(u_[k].begin(), u_[k].end());
    for (const double exponent : grid) {
      std::vector<double> column(size());
      for (int i = 0; i < size(); ++i) column[i] = std::exp(-exponent * (u_[k][i] - u_min));
      powers[k].push_back(std::move(column));
    }
  }
  std::vector<std::vector<double>> starts;
  if (terms() == 1) {
    for (int g = 0; g < n; ++g) {
      std::vector<double> theta = {0, 0, grid[g]};
      ProjectTerms({powers[0][g].data()}, theta.data());
      Refine(1u << 2, theta.data());
      starts.push_back(std::move(theta));
    }
    return starts;
  }
  for (int g = 0; g < n; ++g) {
    for (int h = 0; h < n; ++h) {
      std::vector<double> theta = {0, 0, grid[g], 0, grid[h]};
      ProjectTerms({powers[0][g].data(), powers[1][h].data()}, theta.data());
      starts.push_back(std::move(theta));
    }
  }
  return starts;
}

}  // namespace loglog
