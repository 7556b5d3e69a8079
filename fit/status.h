#ifndef LOGLOG_FIT_STATUS_H_
#define LOGLOG_FIT_STATUS_H_

#include "fit/result.h"

namespace loglog {

// At what p of its F test a law is said to miss the points beyond seed noise.
inline constexpr double kLackOfFitLevel = 0.05;

// "CONVERGED", "AT_BOUND", "MULTIMODAL", "TOO_FEW_POINTS", "NOT_IDENTIFIED" or "REFUSED".
const char* FitStatusName(FitStatus status);
// What the status means, in a sentence for people who fit no laws for a living.
const char* FitStatusWords(FitStatus status);

// Sets `status` from the verdict, the optimizer's end and the active bounds, and `cure`,
// the trial that would help most, from the points. `too_few`: the verdict is a refusal
// for want of configurations.
void SetFitStatus(bool too_few, FitResult* result);

}  // namespace loglog

#endif  // LOGLOG_FIT_STATUS_H_
