#ifndef LOGLOG_BASE_DURATION_H_
#define LOGLOG_BASE_DURATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// "250ms", "30s", "5m", "2h", "1.5s" as milliseconds. A unit is required (so that
// nobody reads 30 as milliseconds), "0" aside. INVALID_ARGUMENT says what is accepted.
absl::StatusOr<int64_t> ParseDurationMs(absl::string_view text);

// The same with a sign before it, or without one: "-1h", "+30s".
absl::StatusOr<int64_t> ParseSignedDurationMs(absl::string_view text);

// `ms` in the largest unit that divides it: 30000 is "30s", 1500 is "1500ms".
std::string FormatDurationMs(int64_t ms);

}  // namespace loglog

#endif  // LOGLOG_BASE_DURATION_H_
