#ifndef LOGLOG_COORDINATOR_WORKER_SERVICE_CONVERT_H_
#define LOGLOG_COORDINATOR_WORKER_SERVICE_CONVERT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/engine_types.h"
#include "loglog/v1/worker_service.pb.h"

// The messages of WorkerService as the engine's structs and back. Pure. What a message
// must not hold is INVALID_ARGUMENT, with the field's path; the engine checks the rest.
namespace loglog {

// FAILED_PRECONDITION: the worker speaks another protocol than this `version`.
absl::StatusOr<RegisterRequest> FromProto(const v1::RegisterWorkerRequest& message,
                                          absl::string_view version);
absl::StatusOr<SyncRequest> FromProto(const v1::SyncWorkerRequest& message);
absl::StatusOr<BatchRequest> FromProto(const v1::MetricBatch& message);

v1::RegisterWorkerResponse ToProto(const RegisterAnswer& answer);
v1::SyncWorkerResponse ToProto(const SyncAnswer& answer);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_WORKER_SERVICE_CONVERT_H_
