#ifndef LOGLOG_COORDINATOR_WORKER_SERVICE_H_
#define LOGLOG_COORDINATOR_WORKER_SERVICE_H_

#include <string>

#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog {

// The wire side of workers. Holds no state. Thread-safe.
class WorkerServiceImpl : public v1::WorkerService::CallbackService {
 public:
  WorkerServiceImpl(Engine* engine, const ServiceGate* gate, std::string version)
      : engine_(engine), gate_(gate), version_(std::move(version)) {}

  grpc::ServerUnaryReactor* RegisterWorker(grpc::CallbackServerContext* context,
                                           const v1::RegisterWorkerRequest* request,
                                           v1::RegisterWorkerResponse* response) override;
  grpc::ServerUnaryReactor* SyncWorker(grpc::CallbackServerContext* context,
                                       const v1::SyncWorkerRequest* request,
                                       v1::SyncWorkerResponse* response) override;
  grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* StreamMetrics(
      grpc::CallbackServerContext* context) override;

 private:
  // Whether the caller of `rpc` may speak as this worker.
  absl::StatusOr<Principal> AdmitAs(grpc::CallbackServerContext* context, absl::string_view rpc,
                                    const std::string& worker_id) const;

  Engine* const engine_;
  const ServiceGate* const gate_;
  const std::string version_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_WORKER_SERVICE_H_
