#include "fit/options.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace loglog {

absl::Status CheckFitOptions(double confidence, double huber_delta) {
  // Written so that NaN fails too.
  if (!(confidence > 0 && confidence < 1)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("confidence is %g; it is a share between 0 and 1, such as 0.95 for a 95%% "
                        "interval",
                        confidence));
  }
  if (!(huber_delta > 0 && std::isfinite(huber_delta))) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "huber_delta is %g; it is a residual of ln L above 0, such as 0.001", huber_delta));
  }
  return absl::OkStatus();
}

}  // namespace loglog
