#ifndef LOGLOG_COORDINATOR_SERVICE_REPLY_H_
#define LOGLOG_COORDINATOR_SERVICE_REPLY_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "coordinator/engine.h"
#include "proto/rpc_status.h"

namespace loglog {

// Ends a unary call at once.
inline grpc::ServerUnaryReactor* FinishNow(grpc::CallbackServerContext* context,
                                           const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// A reply of the engine that ends a unary call: `fill` writes the response, which lives
// until the call is finished, and may still refuse. A call that its client gave up is
// finished all the same.
template <typename T, typename Response>
typename Engine::Reply<T> Respond(grpc::ServerUnaryReactor* reactor, Response* response,
                                  std::function<absl::Status(const T&, Response*)> fill) {
  return [reactor, response, fill = std::move(fill)](const absl::StatusOr<T>& answer) {
    reactor->Finish(ToGrpcStatus(answer.ok() ? fill(*answer, response) : answer.status()));
  };
}

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_REPLY_H_
