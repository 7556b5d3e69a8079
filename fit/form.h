#ifndef LOGLOG_FIT_FORM_H_
#define LOGLOG_FIT_FORM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "fit/minimize.h"

namespace loglog {

inline constexpr double kExponentLow = 0.01;
inline constexpr double kExponentHigh = 3;
inline constexpr double kFloorLow = 0.05;

// What is summed over the points: w*r^2, or Huber's w*rho(r) = w*r^2/2 inside delta and
// w*delta*(|r| - delta/2) outside. r is the residual of ln L.
struct Loss {
  bool squares = true;
  double delta = 0;

  static Loss Squares() { return {}; }
  static Loss Huber(double delta) { return {.squares = false, .delta = delta}; }
};

// The points that a form is fitted to.
struct Sample {
  std::vector<std::vector<double>> ln_x;  // a column for each covariate of the form
  std::vector<double> y;                  // ln L
  std::vector<double> weight;             // precision of each y
  std::vector<int> arm;                   // empty: all of one arm
};

// How a component of theta is spoken of.
enum class ParameterKind {
  kFloor,     // theta = ln E
  kTerm,      // theta = ln of a term in the middle of the data; spoken of as B of B*x^-beta
  kExponent,  // theta as it is
  kSize,      // theta = ln of a size less the column's mean: a break
  kLog,       // theta = ln of the number
};

struct FormParameter {
  std::string name;
  ParameterKind kind = ParameterKind::kExponent;
  int exponent = -1;  // of a term: index of its exponent
  int column = -1;    // of a term or size: its covariate
};

// A law ln L = f(theta; ln x) over given points: parameters' names, a box, value and
// gradient in log space, and starts. Everything else - objectives, refinement,
// information, intervals - is the same for all forms. Covariates are centred at the
// columns' means, so that terms are sized in the middle of the data.
// Immutable after construction.
class Form {
 public:
  static constexpr int kDimMax = 64;

  virtual ~Form() = default;

  // ln L at one point given by its centred covariates; writes the dim() derivatives
  // unless `jacobian` is null. Must not overflow anywhere in the box.
  virtual double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const = 0;
  // LnLoss at every point of the sample; `jacobian`, unless null, is size() x dim(),
  // column-major: a column for each parameter.
  virtual void LnLosses(const double* theta, double* ln_l, double* jacobian) const;
  // Adds the second derivatives of L over L, summed over the points with the factors
  // `scale`, to the lower triangle of `hessian` (dim x dim, row-major); `jacobian` is
  // LnLosses'. Those of ln L are these less the products of its first ones. Only where
  // HasCurvature().
  virtual void AddCurvature(const double* jacobian, const double* scale, double* hessian) const;
  virtual bool HasCurvature() const { return false; }
  // Starts by variable projection where the form allows; at least one.
  virtual std::vector<std::vector<double>> Starts() const = 0;
  // How many starts were ranked to get them.
  virtual int starts_ranked() const = 0;
  virtual std::unique_ptr<Form> Clone() const = 0;
  // The same points and box with other ln L; for resampling of residuals.
  std::unique_ptr<Form> WithY(std::vector<double> y) const;
  // Point i counts[i] times, in the same box; for resampling of points.
  std::unique_ptr<Form> WithCounts(absl::Span<const int> counts) const;

  int dim() const { return static_cast<int>(parameters_.size()); }
  int size() const { return static_cast<int>(y_.size()); }
  int columns() const { return static_cast<int>(ln_x_mean_.size()); }
  const Box& box() const { return box_; }
  const std::vector<FormParameter>& parameters() const { return parameters_; }
  double total_weight() const { return total_weight_; }
  double ln_x_mean(int column) const { return ln_x_mean_[column]; }
  double y(int point) const { return y_[point]; }
  double weight(int point) const { return weight_[point]; }
  const double* u(int point) const { return u_.data() + point * columns(); }
  // u of all points.
  const double* u_column(int column) const { return u_columns_.data() + column * size(); }
  int arm(int point) const { return arm_.empty() ? 0 : arm_[point]; }

  double Value(Loss loss, const double* theta, double* gradient) const;
  // ln L at ln x (a value for each column).
  double Predict(const double* theta, absl::Span<const double> ln_x, int arm = 0) const;
  // theta[i] as it is spoken of, see ParameterKind.
  double Natural(const double* theta, int i) const;

  // Least squares over the parameters whose bit in `fixed` is clear, starting from and
  // writing to theta (in the box); returns the residual sum of squares.
  // Levenberg-Marquardt with an active set; quadratic in the end game, so it also
  // takes an L-BFGS answer to full precision.
  // `gradient`, unless null, receives that of Value at the end.
  double Refine(uint64_t fixed, double* theta, double* gradient = nullptr) const;

  // Newton's method with an active set, from and to theta (in the box); returns the
  // value. For Huber's loss, which Refine cannot take. Needs HasCurvature().
  double Newton(Loss loss, double* theta, double* gradient = nullptr) const;

  // J'WJ at theta (dim x dim, row-major): the information of the parameters in units
  // of one residual variance.
  std::vector<double> Information(const double* theta) const;

 protected:
  // Columns are centred at their means, or at `centres` when these are given.
  explicit Form(const Sample& sample, std::vector<double> centres = {});
  void AddParameter(FormParameter parameter, double low, double high);
  void SetExponent(int term, int exponent) { parameters_[term].exponent = exponent; }
  // The box of a floor and of a term, from the data.
  void AddFloor(const std::string& name);
  void AddTerm(const std::string& name, int column, int exponent);
  void AddExponent(const std::string& name, double low = kExponentLow);

  double u_min(int column) const;
  double u_max(int column) const;
  double y_min() const { return y_min_; }
  double y_max() const { return y_max_; }

 private:
  double ValueOf(Loss loss, const double* ln_l) const;
  void GradientOf(Loss loss, const double* ln_l, const double* jacobian, double* gradient) const;
  bool Held(const double* theta, const double* gradient, int i) const;
  void FillColumns();

  std::vector<FormParameter> parameters_;
  Box box_;
  std::vector<double> u_;          // centred ln x, point-major
  std::vector<double> u_columns_;  // the same, column-major
  std::vector<double> ln_x_mean_;
  std::vector<double> y_;
  std::vector<double> weight_;
  std::vector<int> arm_;
  double total_weight_ = 0;
  double y_min_ = 0;
  double y_max_ = 0;
};

// n exponents; first and last are the bounds.
std::vector<double> ExponentGrid(int n);

// ln(sum exp(z)) of `n` values and, in `share`, each one's part of the sum.
double LogSumExp(const double* z, int n, double* share);

}  // namespace loglog

#endif  // LOGLOG_FIT_FORM_H_
