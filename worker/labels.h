#ifndef LOGLOG_WORKER_LABELS_H_
#define LOGLOG_WORKER_LABELS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog::worker {

// What a worker says of itself by its flags, checked here so that the mistake is seen where it
// was made and not in the coordinator's answer. Thread-safe.

// "key=value" each, as selectors of sweeps name them. INVALID_ARGUMENT names the label and the
// limit (docs/LIMITS.md).
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& labels);

// A short text that other people read, such as a scope. INVALID_ARGUMENT names the flag.
absl::Status CheckFlagText(absl::string_view flag, absl::string_view text);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_LABELS_H_
