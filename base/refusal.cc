#include "base/refusal.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace loglog {
namespace {

// Payloads of a status travel with it over the wire (proto/rpc_status.h).
constexpr char kLimitPayload[] = "loglog/limit";
constexpr char kRetryPayload[] = "loglog/retry-ms";

}  // namespace

absl::Status OverLimit(absl::string_view what, int64_t value, absl::string_view unit, int64_t max,
                       absl::string_view fix) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", value, unit.empty() ? "" : " ", unit, ", at most ", max, "; ", fix));
}

absl::Status NoRoom(absl::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kLimitPayload, absl::Cord("1"));
  return status;
}

absl::Status Overloaded(absl::string_view message, int64_t retry_ms) {
  absl::Status status =
      NoRoom(absl::StrCat(message, "; call again in ", (retry_ms + 999) / 1000, " s"));
  status.SetPayload(kRetryPayload, absl::Cord(absl::StrCat(retry_ms)));
  return status;
}

bool IsOwnLimit(const absl::Status& status) { return status.GetPayload(kLimitPayload).has_value(); }

std::optional<int64_t> RetryAfterMs(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryPayload);
  int64_t retry_ms = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &retry_ms)) {
    return std::nullopt;
  }
  return retry_ms;
}

}  // namespace loglog
