#ifndef LOGLOG_COORDINATOR_SERVICE_UNARY_H_
#define LOGLOG_COORDINATOR_SERVICE_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "coordinator/engine.h"
#include "proto/rpc_status.h"

// What the handlers of unary calls share.
namespace loglog {

// Ends a call at once.
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& status);

// An engine's reply that fills the response and ends the call. `fill` may return a status of
// its own, or nothing.
template <typename T, typename Fill>
Engine::Reply<T> ReplyTo(grpc::ServerUnaryReactor* reactor, Fill fill) {
  return [reactor, fill](absl::StatusOr<T> answer) {
    absl::Status status = answer.status();
    if (answer.ok()) {
      if constexpr (std::is_void_v<decltype(fill(*answer))>) {
        fill(*answer);
      } else {
        status = fill(*answer);
      }
    }
    reactor->Finish(ToGrpcStatus(status));
  };
}

// How many items a page has when `requested` are asked for; 0 asks for the default.
// INVALID_ARGUMENT.
absl::StatusOr<int> PageSize(int requested);
// The number in a page token of this list; 0 for the first page. INVALID_ARGUMENT.
absl::StatusOr<int64_t> PositionFrom(absl::string_view list, const std::string& token);

}  // namespace loglog

// The value of an absl::StatusOr, or the end of the call of `context` with its status.
#define LOGLOG_OR_REFUSE(lhs, expr)                                              \
  auto LOGLOG_STATUS_CONCAT(refuse_or_, __LINE__) = (expr);                      \
  if (!LOGLOG_STATUS_CONCAT(refuse_or_, __LINE__).ok())                          \
    return Refuse(context, LOGLOG_STATUS_CONCAT(refuse_or_, __LINE__).status()); \
  lhs = *std::move(LOGLOG_STATUS_CONCAT(refuse_or_, __LINE__))

#endif  // LOGLOG_COORDINATOR_SERVICE_UNARY_H_
