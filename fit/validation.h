#ifndef LOGLOG_FIT_VALIDATION_H_
#define LOGLOG_FIT_VALIDATION_H_

#include <vector>

#include "absl/types/span.h"
#include "fit/law_fit.h"
#include "fit/means.h"
#include "fit/result.h"

namespace loglog {

// What a law would have promised before its dearer points were trained: it is fitted to
// the cheapest k configurations (by FLOPs) and predicts the next dearer ones, for every k
// that carries the form and leaves 6 budgets or fewer. Folds go by budget: configurations of
// one cost enter together.
std::vector<FitFold> RollingOrigin(Law law, const ConfigMeans& means, double confidence);

// Refit without the configurations of the largest x (of the largest cost for joint laws),
// then predict them: mean of (predicted - observed) / observed. NaN when what is left
// cannot be fitted. `folds` are RollingOrigin's: where the largest are the dearest, the last of
// them is that refit.
double LeaveLargestOutError(Law law, const ConfigMeans& means, absl::Span<const FitFold> folds);

}  // namespace loglog

#endif  // LOGLOG_FIT_VALIDATION_H_
