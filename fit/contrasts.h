#ifndef LOGLOG_FIT_CONTRASTS_H_
#define LOGLOG_FIT_CONTRASTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace loglog {

// Holm's step-down adjustment over planned contrasts: reject those whose adjusted p is
// at most the level. In the order given; a NaN (refused contrast) stays NaN and counts
// towards none.
std::vector<double> HolmAdjusted(absl::Span<const double> p_values);

// Fisher's exact test, two-sided: do two arms diverge at different rates?
// Counts of diverged among all ended trials of each arm; 0 <= diverged <= total.
double FisherExactP(int64_t diverged1, int64_t total1, int64_t diverged2, int64_t total2);

}  // namespace loglog

#endif  // LOGLOG_FIT_CONTRASTS_H_
