#ifndef LOGLOG_FIT_FORM_FIT_H_
#define LOGLOG_FIT_FORM_FIT_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "fit/form.h"
#include "fit/means.h"
#include "fit/minimize.h"
#include "fit/result.h"

namespace loglog {

// What every form's fit shares: minimization under the three objectives and intervals.

// Starts that are polished, of those on the grid.
inline constexpr int kStartsPolished = 8;

// Brings one start to its minimum: by Newton's method where the form has second
// derivatives, by NLopt's LD_LBFGS where it has none or where Newton's end has a
// gradient left.
Polished Descend(const Form& form, Loss loss, absl::Span<const double> start);

// `starts` are those of form.Starts(); the value is the residual sum of squares.
Minimum MinimizeSquares(const Form& form, absl::Span<const std::vector<double>> starts,
                        int polished = kStartsPolished);
Minimum MinimizeHuber(const Form& form, absl::Span<const std::vector<double>> starts, double delta);
// The same where the minimum of least squares is known: from that and the best two starts.
Minimum MinimizeHuber(const Form& form, absl::Span<const std::vector<double>> starts, double delta,
                      const std::vector<double>& squares);
// Least absolute deviations: every polished start is first brought to Huber's minimum
// of `delta`, then delta goes to 0. The value is sum w*|r|. Starts agree within 1e-6:
// the objective has corners and no gradient to judge by.
Minimum MinimizeLad(const Form& form, absl::Span<const std::vector<double>> starts, double delta);

// The continuation alone, from one point.
std::vector<double> LadFrom(const Form& form, std::vector<double> theta);

// "E at its lower bound 0.05", for each parameter that is at a bound.
std::vector<std::string> ActiveBounds(const Form& form, const std::vector<double>& theta);

// Intervals around a least-squares minimum.
class FormIntervals {
 public:
  // `theta` and `rss` of MinimizeSquares. Needs more points than parameters.
  FormIntervals(const Form& form, std::vector<double> theta, double rss, double confidence);

  int df() const { return df_; }
  // Profile F interval of any component but a term. Open ends become 0, infinity
  // or, for E, the smallest mean loss, and add a note. `starts`, when given, are minima
  // at the exponents of ExponentGrid(starts.size()).
  FitParameter ProfileOf(int index, std::vector<std::string>* notes,
                         absl::Span<const std::vector<double>> starts = {});
  // A term by the delta method on its ln; NaN ends when a bound is active.
  FitParameter DeltaOfTerm(int index) const;
  // A smooth function of theta by the delta method, from its gradient.
  FitParameter Delta(const std::string& name, double estimate,
                     const std::vector<double>& gradient) const;
  // Correlation of two components of theta; NaN where the information is singular.
  double Correlation(int i, int j) const;
  // The profile met a lower value than the minimum: it was not the global one.
  bool found_lower() const { return found_lower_; }
  // Inverse of the information (row-major), empty when singular or a bound is active.
  const std::vector<double>& covariance() const { return covariance_; }
  double variance() const { return rss_ / df_; }

 private:
  const Form& form_;
  const std::vector<double> theta_;
  const double least_;  // of the objective
  const double rss_;    // the same, or what rounding alone leaves
  const int df_;
  const double confidence_;
  std::vector<double> covariance_;
  bool found_lower_ = false;
};

// Inverse of a symmetric matrix after scaling its diagonal to 1; empty when that is
// singular.
std::vector<double> InverseInformation(const std::vector<double>& information, int dim);

// Corrected Akaike criterion of a least-squares fit of n points with k parameters and a
// variance; lower is better, infinity when n is too small. Comparable over forms fitted
// to the same points and weights.
double Aicc(double rss, int n, int k);

// What the form at `theta` misses of the means, against the scatter between seeds (F test):
// fills lack_of_fit_p, and a note where the law departs from the points beyond noise. The form's
// points are the means', in order.
void RecordLackOfFit(const Form& form, const std::vector<double>& theta, const ConfigMeans& means,
                     FitResult* result);

// Fills the provenance of a minimum.
void RecordMinimum(const Minimum& minimum, FitProvenance* provenance);

}  // namespace loglog

#endif  // LOGLOG_FIT_FORM_FIT_H_
