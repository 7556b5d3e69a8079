#include "fit/prediction.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "fit/distributions.h"

namespace loglog {
namespace {

bool Outside(const Form& form, absl::Span<const double> centred) {
  for (int c = 0; c < form.columns(); ++c) {
    double low = form.u(0)[c], high = low;
    for (int i = 1; i < form.size(); ++i) {
      low = std::min(low, form.u(i)[c]);
      high = std::max(high, form.u(i)[c]);
    }
    const double slack = 1e-9 * (1 + high - low);
    if (centred[c] < low - slack || centred[c] > high + slack) return true;
  }
  return false;
}

}  // namespace

Prediction PredictAt(const Form& form, const std::vector<double>& theta,
                     const FormIntervals* intervals, absl::Span<const double> ln_x, double seeds,
                     double confidence, bool band) {
  LOGLOG_CHECK(seeds > 0 && static_cast<int>(ln_x.size()) == form.columns());
  std::vector<double> centred(ln_x.begin(), ln_x.end());
  for (int c = 0; c < form.columns(); ++c) centred[c] -= form.ln_x_mean(c);
  const int n = form.dim();
  std::vector<double> gradient(n);
  Prediction prediction;
  prediction.ln_loss = form.LnLoss(theta.data(), centred.data(), 0, gradient.data());
  prediction.extrapolated = Outside(form, centred);
  if (intervals == nullptr) return prediction;
  const std::vector<double>& covariance = intervals->covariance();
  if (covariance.empty()) return prediction;
  double spread = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) spread += gradient[i] * covariance[i * n + j] * gradient[j];
  }
  const double variance = intervals->variance();
  const double t = TQuantile(0.5 + confidence / 2, intervals->df());
  const double law = t * std::sqrt(variance * spread);
  const double fresh = t * std::sqrt(variance * (spread + 1 / seeds));
  prediction.law_low = prediction.ln_loss - law;
  prediction.law_high = prediction.ln_loss + law;
  prediction.new_low = prediction.ln_loss - fresh;
  prediction.new_high = prediction.ln_loss + fresh;
  if (!band) return prediction;
  const double half = std::sqrt(n * FQuantile(confidence, n, intervals->df()) * variance * spread);
  prediction.band_low = prediction.ln_loss - half;
  prediction.band_high = prediction.ln_loss + half;
  return prediction;
}

}  // namespace loglog
