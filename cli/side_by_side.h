#ifndef LOGLOG_CLI_SIDE_BY_SIDE_H_
#define LOGLOG_CLI_SIDE_BY_SIDE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// FAILED_PRECONDITION, with the reason that a stored fit of these arms would be refused for: their
// trials saw different data, or an arm mixes values of an axis. `sweep` carries its spec.
absl::Status CheckSideBySide(const v1::Sweep& sweep, const std::vector<v1::Trial>& trials,
                             const std::vector<std::string>& arms);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_SIDE_BY_SIDE_H_
