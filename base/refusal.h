#ifndef LOGLOG_BASE_REFUSAL_H_
#define LOGLOG_BASE_REFUSAL_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// How a limit (base/limits.h) is refused: by a status that names the limit, the value and
// the fix.
namespace loglog {

// INVALID_ARGUMENT, the request itself being too large:
// "spec_json: 1048577 bytes, at most 1048576; split the sweep".
absl::Status OverLimit(absl::string_view what, int64_t value, absl::string_view unit, int64_t max,
                       absl::string_view fix);

// RESOURCE_EXHAUSTED, there being no room for what would be fine otherwise. Waiting alone
// does not help. Unlike a full disk it leaves the store as it is: IsOwnLimit.
absl::Status NoRoom(absl::string_view message);

// RESOURCE_EXHAUSTED with advice: the same call will be served in a while. Clients wait for
// `retry_ms`, with a backoff of theirs, and call again.
absl::Status Overloaded(absl::string_view message, int64_t retry_ms);

// A NoRoom or an Overloaded.
bool IsOwnLimit(const absl::Status& status);
// When to call again; nothing when the status gives no advice.
std::optional<int64_t> RetryAfterMs(const absl::Status& status);

}  // namespace loglog

#endif  // LOGLOG_BASE_REFUSAL_H_
