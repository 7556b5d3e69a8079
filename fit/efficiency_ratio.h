#ifndef LOGLOG_FIT_EFFICIENCY_RATIO_H_
#define LOGLOG_FIT_EFFICIENCY_RATIO_H_

#include <string>
#include <vector>

#include "fit/differences.h"
#include "fit/observation.h"
#include "fit/paired_error.h"
#include "fit/pairs.h"
#include "fit/result.h"

namespace loglog {

// "efficiency_ratio": r with L1(r*x) = L2(x) in the middle of ln x, arm 1 being read from a line,
// or from a parabola where it bends beyond noise. NaN with a note where that is beyond the
// data or arm 1 does not fall; ends are NaN without `error`, and 0 or infinity with a note
// where there are none.
FitParameter EfficiencyRatio(const Pairs& pairs, const Differences& d, const PairedError* error,
                             Axis axis, double confidence, std::vector<std::string>* notes);

}  // namespace loglog

#endif  // LOGLOG_FIT_EFFICIENCY_RATIO_H_
