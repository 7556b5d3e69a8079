#ifndef LOGLOG_CLI_TASK_FILE_H_
#define LOGLOG_CLI_TASK_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// A task.json that trains this one trial, whole and from fresh weights: the same
// numbers as the sweep's. `data_root`: where relative data globs start; empty: the
// current folder, as an absolute path.
// FAILED_PRECONDITION: the trial came without its config.
absl::StatusOr<std::string> TaskFileFor(const v1::Trial& trial, absl::string_view data_root);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_TASK_FILE_H_
