#ifndef LOGLOG_FIT_PROFILE_H_
#define LOGLOG_FIT_PROFILE_H_

#include <vector>

#include "absl/types/span.h"
#include "fit/form.h"

namespace loglog {

// The values of one parameter whose best residual sum of squares, over the other
// parameters, stays under a threshold. An end is open where the threshold is not
// reached before the parameter's bound.
struct ProfileInterval {
  double low = 0;
  double high = 0;
  bool low_open = false;
  bool high_open = false;
  // The profile went below the minimum it started from: that was no global minimum.
  bool found_lower = false;
};

// `theta` is the least-squares minimum with value `rss`; `index` the parameter. The
// profile is scanned over `grid` (ascending, both bounds included) on either side of
// the estimate, each point from its neighbour or from starts[i], a minimum at grid[i],
// and the outermost crossing is refined: where the set has gaps, the interval is its
// hull. Without starts a side ends where the sum is several times the threshold and the
// bound itself is above it.
ProfileInterval Profile(const Form& form, const std::vector<double>& theta, double rss,
                        double threshold, int index, absl::Span<const double> grid,
                        absl::Span<const std::vector<double>> starts = {});

}  // namespace loglog

#endif  // LOGLOG_FIT_PROFILE_H_
