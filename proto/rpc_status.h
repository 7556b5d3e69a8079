#ifndef LOGLOG_PROTO_RPC_STATUS_H_
#define LOGLOG_PROTO_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace loglog {

// The two status types have the same codes by number; gRPC 1.51 ships no conversion.
// Payloads travel as the details of google.rpc.Status do, so that advice to call again
// reaches the caller (base/refusal.h). Thread-safe. A message longer than the transport
// carries in its trailer (about 8 KiB) is cut, and says so.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace loglog

#endif  // LOGLOG_PROTO_RPC_STATUS_H_
