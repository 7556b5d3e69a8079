#include "fit/contrasts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "boost/math/distributions/hypergeometric.hpp"

namespace loglog {

std::vector<double> HolmAdjusted(absl::Span<const double> p_values) {
  std::vector<int> order;
  for (int i = 0; i < static_cast<int>(p_values.size()); ++i) {
    if (!std::isnan(p_values[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size(), std::numeric_limits<double>::quiet_NaN());
  double floor = 0;
  for (int rank = 0; rank < static_cast<int>(order.size()); ++rank) {
    const double remaining = static_cast<double>(order.size()) - rank;
    floor = std::max(floor, std::min(1.0, remaining * p_values[order[rank]]));
    adjusted[order[rank]] = floor;
  }
  return adjusted;
}

double FisherExactP(int64_t diverged1, int64_t total1, int64_t diverged2, int64_t total2) {
  LOGLOG_CHECK(0 <= diverged1 && diverged1 <= total1);
  LOGLOG_CHECK(0 <= diverged2 && diverged2 <= total2);
  const int64_t diverged = diverged1 + diverged2;
  const int64_t total = total1 + total2;
  if (diverged == 0 || diverged == total || total1 == 0 || total2 == 0) return 1;
  const boost::math::hypergeometric table(diverged, total1, total);
  const double observed = boost::math::pdf(table, diverged1);
  // Tables as likely as the observed one count too; the slack is for rounding.
  const double limit = observed * (1 + 1e-7);
  double p = 0;
  for (int64_t k = std::max<int64_t>(0, diverged - total2); k <= std::min(diverged, total1); ++k) {
    const double probability = boost::math::pdf(table, k);
    if (probability <= limit) p += probability;
  }
  return std::min(1.0, p);
}

}  // namespace loglog
