#ifndef LOGLOG_FIT_SUM_FIT_H_
#define LOGLOG_FIT_SUM_FIT_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "fit/minimize.h"
#include "fit/power_sum.h"
#include "fit/result.h"

namespace loglog {

// What the saturating and the joint fit share: minimization under the three objectives
// and the intervals of E + sum of power laws.

// Starts that are polished, of those on the grid.
inline constexpr int kStartsPolished = 8;

// `starts` are those of form.Starts(); the value is the residual sum of squares.
Minimum MinimizeSquares(const PowerSum& form, absl::Span<const std::vector<double>> starts);
Minimum MinimizeHuber(const PowerSum& form, absl::Span<const std::vector<double>> starts,
                      double delta);
// Least absolute deviations: every polished start is first brought to Huber's minimum
// of `delta`, then delta goes to 0. The value is sum w*|r|. Starts agree within 1e-6:
// the objective has corners and no gradient to judge by.
Minimum MinimizeLad(const PowerSum& form, absl::Span<const std::vector<double>> starts,
                    double delta);

// The continuation alone, from one point.
std::vector<double> LadFrom(const PowerSum& form, std::vector<double> theta);

// Names of theta's natural parameters: {"E", "B", "beta"} or {"E", "A", "alpha", "B", "beta"}.
using ThetaNames = std::vector<std::string>;

// "E at its lower bound 0.05", for each parameter that is at a bound.
std::vector<std::string> ActiveBounds(const PowerSum& form, const std::vector<double>& theta,
                                      const ThetaNames& names);

// theta[i] as it is spoken of: E, B of x^-beta (not of the centred x), the exponent.
double Natural(const PowerSum& form, const std::vector<double>& theta, int i);

// Intervals around a least-squares minimum.
class SumIntervals {
 public:
  // `theta` and `rss` of MinimizeSquares. Needs more points than parameters.
  SumIntervals(const PowerSum& form, std::vector<double> theta, double rss, double confidence);

  int df() const { return df_; }
  // Profile F interval of an exponent or of E (index 0). Open ends become 0, infinity
  // or, for E, the smallest mean loss, and add a note.
  FitParameter ProfileOf(int index, const std::string& name, std::vector<std::string>* notes);
  // exp(theta) terms by the delta method on their ln; NaN ends when `usable` is false.
  FitParameter DeltaOfTerm(int index, const std::string& name) const;
  // A smooth function of theta by the delta method, from its gradient.
  FitParameter Delta(const std::string& name, double estimate,
                     const std::vector<double>& gradient) const;
  // Correlation of two components of theta; NaN where the information is singular.
  double Correlation(int i, int j) const;
  // The profile met a lower value than the minimum: it was not the global one.
  bool found_lower() const { return found_lower_; }

 private:
  const PowerSum& form_;
  const std::vector<double> theta_;
  const double rss_;
  const int df_;
  const double confidence_;
  // Inverse of the information (row-major), empty when singular or a bound is active.
  std::vector<double> covariance_;
  bool found_lower_ = false;
};

// Fills the provenance of a minimum.
void RecordMinimum(const Minimum& minimum, FitProvenance* provenance);

}  // namespace loglog

#endif  // LOGLOG_FIT_SUM_FIT_H_
