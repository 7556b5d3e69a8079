#ifndef LOGLOG_FIT_ROBUST_LINEAR_H_
#define LOGLOG_FIT_ROBUST_LINEAR_H_

#include <vector>

namespace loglog {

// Residuals r + J*x that are linear in x.
struct LinearResiduals {
  std::vector<double> at_0;      // r
  std::vector<double> jacobian;  // J: row-major, a row for each residual
  std::vector<double> weight;
};

// Brings x from where it is to the minimum of Huber's sum w*rho(r + J*x), which is convex and
// quadratic between the points where a residual crosses delta: Newton's method on the pieces,
// each step to its own minimum by a line search. Where the residuals inside delta do not fix a
// step, reweighted least squares does.
void MinimizeRobust(const LinearResiduals& residuals, double delta, std::vector<double>* x);

}  // namespace loglog

#endif  // LOGLOG_FIT_ROBUST_LINEAR_H_
