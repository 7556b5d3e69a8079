#ifndef LOGLOG_CLI_BINARIES_H_
#define LOGLOG_CLI_BINARIES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/context.h"

namespace loglog::cli {

// Path of loglog-coordinator, loglog-worker or loglog-trainer: in LOGLOG_BIN_DIR when
// that is set, else beside this program, in ../libexec/loglog, or in PATH.
// NOT_FOUND lists where it looked and says how to build it.
absl::StatusOr<std::string> FindBinary(const Io& io, absl::string_view name);

// Replaces this process; returns only with the reason why that failed.
absl::Status Exec(const std::vector<std::string>& argv);

// Path of this program.
std::string SelfPath();

// This process's, by name.
std::map<std::string, std::string> Environment();

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_BINARIES_H_
