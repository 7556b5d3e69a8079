#ifndef LOGLOG_FIT_LAWS_H_
#define LOGLOG_FIT_LAWS_H_

#include <memory>
#include <vector>

#include "fit/form.h"

namespace loglog {

// The forms that are no plain sum of power laws. All immutable after construction.

// L = ((A*N^-alpha)^(1/beta) + (B*D^-beta)^(1/beta))^beta, the form of Kaplan et al.
// (arXiv 2001.08361, eq. 1.5) with A = N_c^alpha and B = D_c^beta: size and data limit
// each other, and there is no floor. Columns: ln N, ln D. theta = (a, alpha, b, beta).
class KaplanForm : public Form {
 public:
  explicit KaplanForm(const Sample& sample);
  double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const override;
  std::vector<std::vector<double>> Starts() const override;
  int starts_ranked() const override;
  std::unique_ptr<Form> Clone() const override { return std::make_unique<KaplanForm>(*this); }
};

// L = E + A*N'^-alpha + B*D'^-beta for data seen more than once (Muennighoff et al.,
// arXiv 2305.16264): of D tokens, U are unique, and D' = U + U*R_D*(1 - exp(-r/R_D)) with
// r = D/U - 1 repetitions; N' is the same of N with U_N, the size at which U tokens are
// compute-optimal under this law's own A, alpha, B, beta, and R_N.
// Columns: ln N, ln D, ln U with U <= D. theta = (e, a, alpha, b, beta, ln R_D, ln R_N).
class RepeatedDataForm : public Form {
 public:
  explicit RepeatedDataForm(const Sample& sample);
  double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const override;
  std::vector<std::vector<double>> Starts() const override;
  int starts_ranked() const override;
  std::unique_ptr<Form> Clone() const override { return std::make_unique<RepeatedDataForm>(*this); }
};

// A power law with one smooth break (one segment more than a line in log-log; after
// Caballero et al., arXiv 2210.14891, without a floor): ln L falls with beta_before below
// x0 and with beta_after above it, and turns within a factor exp(width) or so.
// Column: ln x. theta = (b, beta_before, beta_after, ln x0, ln width).
class BrokenForm : public Form {
 public:
  explicit BrokenForm(const Sample& sample);
  double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const override;
  std::vector<std::vector<double>> Starts() const override;
  int starts_ranked() const override;
  std::unique_ptr<Form> Clone() const override { return std::make_unique<BrokenForm>(*this); }
};

}  // namespace loglog

#endif  // LOGLOG_FIT_LAWS_H_
