#ifndef LOGLOG_BASE_STATUS_H_
#define LOGLOG_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expr` (an absl::Status) is not OK.
#define LOGLOG_RETURN_IF_ERROR(expr)                                                    \
  do {                                                                                  \
    if (absl::Status loglog_status = (expr); !loglog_status.ok()) return loglog_status; \
  } while (false)

#define LOGLOG_STATUS_CONCAT_(a, b) a##b
#define LOGLOG_STATUS_CONCAT(a, b) LOGLOG_STATUS_CONCAT_(a, b)
// Assigns the value of `expr` (an absl::StatusOr) to `lhs`, or returns its status.
#define LOGLOG_ASSIGN_OR_RETURN(lhs, expr)                                 \
  auto LOGLOG_STATUS_CONCAT(loglog_or_, __LINE__) = (expr);                \
  if (!LOGLOG_STATUS_CONCAT(loglog_or_, __LINE__).ok())                    \
    return std::move(LOGLOG_STATUS_CONCAT(loglog_or_, __LINE__)).status(); \
  lhs = std::move(LOGLOG_STATUS_CONCAT(loglog_or_, __LINE__)).value()

namespace loglog {

// The same status with `context` and ": " in front of its message.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace loglog

#endif  // LOGLOG_BASE_STATUS_H_
