#include "coordinator/worker_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "coordinator/metric_service.h"
#include "coordinator/worker_service_convert.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

// A long poll. The library's own reactor has no hook for a client that goes away, so a
// parked call has this one. Finishes when the engine has answered, and only then; the
// engine answers a cancelled call at once.
class SyncReactor : public grpc::ServerUnaryReactor,
                    public std::enable_shared_from_this<SyncReactor> {
 public:
  SyncReactor(Engine* engine, v1::SyncWorkerResponse* response)
      : engine_(engine), response_(response) {}

  void Start(const SyncRequest& request) {
    self_ = shared_from_this();
    worker_id_ = request.report.worker_id;
    const std::shared_ptr<SyncReactor> alive = self_;
    ticket_ = engine_->SyncWorker(request, [alive](absl::StatusOr<SyncAnswer> answer) {
      if (answer.ok()) *alive->response_ = ToProto(*answer);
      alive->Finish(ToGrpcStatus(answer.status()));
    });
    // OnCancel may have run before there was a ticket.
    if (cancelled_) engine_->CancelSync(worker_id_, ticket_);
  }

  void OnCancel() override {
    cancelled_ = true;
    if (ticket_ != 0) engine_->CancelSync(worker_id_, ticket_);
  }

  void OnDone() override { self_.reset(); }

 private:
  Engine* const engine_;
  v1::SyncWorkerResponse* const response_;
  std::string worker_id_;
  std::atomic<int64_t> ticket_ = 0;
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<SyncReactor> self_;  // until OnDone
};

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* WorkerServiceImpl::RegisterWorker(
    grpc::CallbackServerContext* context, const v1::RegisterWorkerRequest* request,
    v1::RegisterWorkerResponse* response) {
  const absl::StatusOr<RegisterRequest> converted = FromProto(*request, version_);
  if (!converted.ok()) return Refuse(context, converted.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->RegisterWorker(*converted, [reactor, response](absl::StatusOr<RegisterAnswer> answer) {
    if (answer.ok()) *response = ToProto(*answer);
    reactor->Finish(ToGrpcStatus(answer.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::SyncWorker(grpc::CallbackServerContext* context,
                                                        const v1::SyncWorkerRequest* request,
                                                        v1::SyncWorkerResponse* response) {
  const absl::StatusOr<SyncRequest> converted = FromProto(*request);
  if (!converted.ok()) return Refuse(context, converted.status());
  const auto reactor = std::make_shared<SyncReactor>(engine_, response);
  reactor->Start(*converted);
  return reactor.get();
}

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* WorkerServiceImpl::StreamMetrics(
    grpc::CallbackServerContext* context) {
  (void)context;
  return StartMetricStream(engine_);
}

}  // namespace loglog
