#ifndef LOGLOG_BASE_LOGGING_H_
#define LOGLOG_BASE_LOGGING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace loglog {

// How a daemon writes its log; the values of --log-level and --log-format.
struct LogOptions {
  std::string level = "info";  // trace, debug, info, warn, error or off
  std::string format;          // text or json; empty: text on a terminal, else json
};

// Sends spdlog's default logger to standard error. Text lines are for people; JSON
// lines hold `time` (UTC), `level`, `program`, `pid` and `message`, one object a line.
// Call once, before other threads log; spdlog::info(...) and its kin work from then on.
// INVALID_ARGUMENT names the flag and the values it takes.
absl::Status SetUpLogging(const LogOptions& options, absl::string_view program);

// One JSON log line, without its line feed; bytes that are not UTF-8 are replaced.
std::string JsonLogLine(absl::string_view time, absl::string_view level, absl::string_view program,
                        int pid, absl::string_view message);

}  // namespace loglog

#endif  // LOGLOG_BASE_LOGGING_H_
