#ifndef LOGLOG_FIT_POWER_SUM_H_
#define LOGLOG_FIT_POWER_SUM_H_

#include <memory>
#include <string>
#include <vector>

#include "fit/form.h"

namespace loglog {

// What a sum of power laws has.
struct PowerSumShape {
  bool floor = true;
  bool equal_exponents = false;  // of two terms: E + A*N^-beta + B*D^-beta
  // Names of each term and its exponent; the columns' order.
  std::vector<std::string> term_names = {"B"};
  std::vector<std::string> exponent_names = {"beta"};
  // Centres of the columns instead of their means: for arms that share a term.
  std::vector<double> centres = {};
};

// The form L = E + sum_k B_k * x_k^-beta_k with one or two terms.
// theta = (e, b_1, beta_1, b_2, beta_2), without e when there is no floor and without
// beta_1 when exponents are equal: ln L = logsumexp(e, b_k - beta_k * u_k), where
// u_k is ln x_k less its mean, so that b_k is the ln of the term's size in the middle
// of the data. Nothing is exponentiated outside log-sum-exp, so no size overflows.
// Immutable after construction.
class PowerSum : public Form {
 public:
  PowerSum(const Sample& sample, const PowerSumShape& shape);
  // With a floor; names B, beta, or A, alpha and B, beta.
  PowerSum(std::vector<std::vector<double>> ln_x, std::vector<double> y,
           std::vector<double> weight);

  int terms() const { return terms_; }

  double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const override;
  void LnLosses(const double* theta, double* ln_l, double* jacobian) const override;
  void AddCurvature(const double* jacobian, const double* scale, double* hessian) const override;
  bool HasCurvature() const override { return true; }

  // For every combination of exponents on a grid that includes both bounds, E and the
  // B_k that minimize the relative residuals with E in its bounds and B_k >= 0.
  // With one term and a floor in the grid's order, each near the minimum at its exponent;
  // otherwise the best by relative residuals, best first.
  std::vector<std::vector<double>> Starts() const override;
  int starts_ranked() const override;
  std::unique_ptr<Form> Clone() const override { return std::make_unique<PowerSum>(*this); }

  // The exponents of the grid.
  static std::vector<double> Grid(int terms);

 private:
  struct Projection;  // normal equations of all terms on the grid
  static bool Solve(const Projection& projection, const int* column, const int* free, int n_free,
                    double* value);
  double Project(const Projection& projection, const int* at, double* theta) const;

  double LargestExponent(const double* theta) const;

  int terms_;
  double u_low_[2] = {0, 0};  // of each column, over all points that the form was made with
  double u_high_[2] = {0, 0};
  int e_ = -1;  // indices into theta; e_ is -1 without a floor
  int b_[2] = {-1, -1};
  int beta_[2] = {-1, -1};
};

}  // namespace loglog

#endif  // LOGLOG_FIT_POWER_SUM_H_
