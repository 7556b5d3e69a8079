#include "coordinator/worker_service.h"

#include <atomic>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/metric_service.h"
#include "coordinator/service_unary.h"
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
  SyncReactor(Engine* engine, const ServiceGate* gate, Principal caller,
              v1::SyncWorkerResponse* response)
      : engine_(engine), gate_(gate), caller_(std::move(caller)), response_(response) {}

  void Start(const SyncRequest& request) {
    self_ = shared_from_this();
    worker_id_ = request.report.worker_id;
    const std::shared_ptr<SyncReactor> alive = self_;
    ticket_ = engine_->SyncWorker(request, [alive](absl::StatusOr<SyncAnswer> answer) {
      // It may have been parked for long.
      absl::Status status = alive->gate_->StillAdmitted(alive->caller_);
      if (status.ok()) status = answer.status();
      if (status.ok()) *alive->response_ = ToProto(*answer);
      alive->Finish(ToGrpcStatus(status));
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
  const ServiceGate* const gate_;
  const Principal caller_;
  v1::SyncWorkerResponse* const response_;
  std::string worker_id_;
  std::atomic<int64_t> ticket_ = 0;
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<SyncReactor> self_;  // until OnDone
};

}  // namespace

absl::StatusOr<Principal> WorkerServiceImpl::AdmitAs(grpc::CallbackServerContext* context,
                                                     absl::string_view rpc,
                                                     const std::string& worker_id) const {
  LOGLOG_ASSIGN_OR_RETURN(Principal caller,
                          gate_->Admit(*context, absl::StrCat("WorkerService.", rpc)));
  LOGLOG_RETURN_IF_ERROR(CheckWorker(caller, worker_id));
  return caller;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::RegisterWorker(
    grpc::CallbackServerContext* context, const v1::RegisterWorkerRequest* request,
    v1::RegisterWorkerResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller,
                   AdmitAs(context, "RegisterWorker", request->worker_id()));
  LOGLOG_OR_REFUSE(const RegisterRequest converted, FromProto(*request, version_));
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->RegisterWorker(
      converted,
      ReplyTo<RegisterAnswer>(
          reactor, [response](const RegisterAnswer& answer) { *response = ToProto(answer); }),
      caller.name);
  return reactor;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::SyncWorker(grpc::CallbackServerContext* context,
                                                        const v1::SyncWorkerRequest* request,
                                                        v1::SyncWorkerResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, AdmitAs(context, "SyncWorker", request->worker_id()));
  LOGLOG_OR_REFUSE(const SyncRequest converted, FromProto(*request));
  const auto reactor = std::make_shared<SyncReactor>(engine_, gate_, caller, response);
  reactor->Start(converted);
  return reactor.get();
}

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* WorkerServiceImpl::StreamMetrics(
    grpc::CallbackServerContext* context) {
  const absl::StatusOr<Principal> caller = gate_->Admit(*context, "WorkerService.StreamMetrics");
  if (!caller.ok()) return RefuseMetricStream(caller.status());
  return StartMetricStream(engine_, gate_, *caller);
}

}  // namespace loglog
