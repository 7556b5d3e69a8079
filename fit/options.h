#ifndef LOGLOG_FIT_OPTIONS_H_
#define LOGLOG_FIT_OPTIONS_H_

#include "absl/status/status.h"

namespace loglog {

// INVALID_ARGUMENT unless 0 < confidence < 1 and huber_delta is finite and above 0: the
// options that every fit has.
absl::Status CheckFitOptions(double confidence, double huber_delta);

}  // namespace loglog

#endif  // LOGLOG_FIT_OPTIONS_H_
