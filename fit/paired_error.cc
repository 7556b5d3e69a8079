#include "fit/paired_error.h"

#include <cmath>
#include <cstdint>

#include "base/check.h"
#include "boost/math/tools/toms748_solve.hpp"
#include "fit/distributions.h"

namespace loglog {
namespace {

// The half-width is a mixture of that of means and that of pairs, the means' part being 1 - p of
// the test for effects. A step from one to the other costs power; of all rules that keep coverage
// within 93 to 97% this has nearly the most (docs/decisions/fit-intervals.md). The mixture is wider
// than either alone needs, because an effect that is none takes means for a part, so the levels of
// the two are below 95%; other confidences are raised to the same powers.
constexpr double kNominal = 0.95;
constexpr double kMeansLevel = 0.945;
constexpr double kPairsLevel = 0.91;

// t's upper quantile where the confidence is (1 - exp(ln_alpha))^(ln level / ln nominal).
double CriticalT(double ln_alpha, double level, int df) {
  const double power = std::log(level) / std::log(kNominal);
  const double alpha = -std::expm1(power * std::log1p(-std::exp(ln_alpha)));
  return -TQuantile(alpha / 2, df);
}

}  // namespace

PairedError::PairedError(double rss, int df, const PureError& pure)
    : means_sd_(std::sqrt(rss / df)), means_df_(df) {
  LOGLOG_CHECK(df >= 1);
  if (pure.df < 1 || !(pure.squares > 0)) return;
  pairs_df_ = df + pure.df;
  pairs_sd_ = std::sqrt((rss + pure.squares) / pairs_df_);
  effect_p_ = LackOfFitP(rss, df, pure.squares, pure.df);
  means_part_ = 1 - effect_p_;
}

double PairedError::HalfWidthAt(double ln_alpha) const {
  if (pairs_df_ == 0) return means_sd_ * CriticalT(ln_alpha, kNominal, means_df_);
  return means_part_ * means_sd_ * CriticalT(ln_alpha, kMeansLevel, means_df_) +
         (1 - means_part_) * pairs_sd_ * CriticalT(ln_alpha, kPairsLevel, pairs_df_);
}

double PairedError::HalfWidth(double confidence, double information) const {
  return HalfWidthAt(std::log1p(-confidence)) / std::sqrt(information);
}

FitParameter PairedError::Interval(const char* name, double estimate, double information,
                                   double confidence) const {
  const double half = HalfWidth(confidence, information);
  return {.name = name, .estimate = estimate, .low = estimate - half, .high = estimate + half};
}

double PairedError::OneSidedP(double estimate, double information) const {
  const double distance = std::fabs(estimate) * std::sqrt(information);
  if (distance == 0) return 0.5;
  // ln of the two-sided p; what is below 1e-100, where Boost's quantiles end, is 0.
  const double low = -230, high = -1e-12;
  double two_sided = 0;
  if (HalfWidthAt(low) > distance) {
    const auto beyond = [&](double ln_alpha) { return HalfWidthAt(ln_alpha) - distance; };
    if (beyond(high) >= 0) {
      two_sided = 1;
    } else {
      std::uintmax_t iterations = 100;
      const auto bracket = boost::math::tools::toms748_solve(
          beyond, low, high, [](double a, double b) { return std::fabs(b - a) <= 1e-12; },
          iterations);
      two_sided = std::exp((bracket.first + bracket.second) / 2);
    }
  }
  return estimate < 0 ? two_sided / 2 : 1 - two_sided / 2;
}

}  // namespace loglog
