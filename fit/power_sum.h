#ifndef LOGLOG_FIT_POWER_SUM_H_
#define LOGLOG_FIT_POWER_SUM_H_

#include <vector>

#include "absl/types/span.h"
#include "fit/minimize.h"

namespace loglog {

// What is summed over the points: w*r^2, or Huber's w*rho(r) = w*r^2/2 inside delta and
// w*delta*(|r| - delta/2) outside. r is the residual of ln L.
struct Loss {
  bool squares = true;
  double delta = 0;

  static Loss Squares() { return {}; }
  static Loss Huber(double delta) { return {.squares = false, .delta = delta}; }
};

// The form L = E + sum_k B_k * x_k^-beta_k with one or two terms, over given points.
// theta = (e, b_1, beta_1, b_2, beta_2): ln L = logsumexp(e, b_k - beta_k * u_k), where
// u_k is ln x_k less its mean, so that b_k is the ln of the term's size in the middle
// of the data. Nothing is exponentiated outside log-sum-exp, so no size overflows.
// Immutable after construction.
class PowerSum {
 public:
  static constexpr int kDimMax = 5;
  static constexpr double kExponentLow = 0.01;
  static constexpr double kExponentHigh = 3;
  static constexpr double kFloorLow = 0.05;

  // ln_x: one column for each term; y: ln L; weight: precision of each y.
  PowerSum(std::vector<std::vector<double>> ln_x, std::vector<double> y,
           std::vector<double> weight);

  int terms() const { return static_cast<int>(u_.size()); }
  int dim() const { return 1 + 2 * terms(); }
  int size() const { return static_cast<int>(y_.size()); }
  const Box& box() const { return box_; }
  double total_weight() const { return total_weight_; }

  double Value(Loss loss, const double* theta, double* gradient) const;
  // ln L at ln x (one value for each term).
  double Predict(const double* theta, absl::Span<const double> ln_x) const;
  double ln_x_mean(int term) const { return ln_x_mean_[term]; }

  // Least squares over the parameters whose bit in `fixed` is clear, starting from and
  // writing to theta (in the box); returns the residual sum of squares.
  // Levenberg-Marquardt with an active set; quadratic in the end game, so it also
  // takes an L-BFGS answer to full precision.
  double Refine(unsigned fixed, double* theta) const;

  // J'WJ at theta (dim x dim, row-major): the information of the parameters in units
  // of one residual variance.
  std::vector<double> Information(const double* theta) const;

  // Starts by variable projection: for every combination of exponents on a grid that
  // includes both bounds, E and the B_k that minimize the relative residuals with E in
  // its bounds and B_k >= 0. With one term each start is refined at its exponent.
  std::vector<std::vector<double>> Starts() const;

  // The exponents of the grid; first and last are the bounds.
  static std::vector<double> ExponentGrid(int terms);

 private:
  struct Row;  // ln L and its derivatives at one point
  Row Evaluate(const double* theta, int point) const;
  void ProjectTerms(const std::vector<const double*>& powers, double* theta) const;

  std::vector<std::vector<double>> u_;  // [term][point], centred ln x
  std::vector<double> ln_x_mean_;
  std::vector<double> y_;
  std::vector<double> weight_;
  double total_weight_ = 0;
  Box box_;
};

}  // namespace loglog

#endif  // LOGLOG_FIT_POWER_SUM_H_
