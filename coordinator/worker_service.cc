#include "coordinator/worker_service.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "coordinator/metric_service.h"
#include "coordinator/names.h"
#include "loglog/v1/common.pb.h"
#include "nlohmann/json.hpp"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int kSlotsMax = 1024;
constexpr int kLabelsMax = 64;
constexpr int kHeldMax = 10'000;
constexpr size_t kTextMax = 256;

// ---- registration

absl::Status CheckText(const char* field, const std::string& text) {
  if (text.size() <= kTextMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", text.size(), " bytes, at most ", kTextMax));
}

absl::StatusOr<RegisterRequest> RequestFrom(const v1::RegisterWorkerRequest& message,
                                            const std::string& version) {
  if (message.protocol() != v1::PROTOCOL_CURRENT) {
    return absl::FailedPreconditionError(
        absl::StrCat("this worker (version ", message.version().substr(0, kTextMax),
                     ") speaks protocol ", message.protocol(), ", the coordinator (version ",
                     version, ") speaks ", static_cast<int>(v1::PROTOCOL_CURRENT),
                     "; install loglog ", version, " on the worker's host"));
  }
  if (!IsResourceId(message.worker_id())) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker_id: '", message.worker_id().substr(0, kTextMax),
                     "' is not of the form [a-z0-9][a-z0-9-]{0,62}; set --name"));
  }
  if (message.boot_id().empty()) return absl::InvalidArgumentError("boot_id: is empty");
  LOGLOG_RETURN_IF_ERROR(CheckText("boot_id", message.boot_id()));
  LOGLOG_RETURN_IF_ERROR(CheckText("version", message.version()));
  LOGLOG_RETURN_IF_ERROR(CheckText("host", message.host()));
  LOGLOG_RETURN_IF_ERROR(CheckText("checkpoint_scope", message.checkpoint_scope()));
  if (message.slots_size() < 1 || message.slots_size() > kSlotsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("slots: ", message.slots_size(), ", must be 1 to ", kSlotsMax));
  }
  if (message.labels_size() > kLabelsMax || message.held_size() > kHeldMax) {
    return absl::InvalidArgumentError(absl::StrCat("at most ", kLabelsMax, " labels and ", kHeldMax,
                                                   " held attempts, not ", message.labels_size(),
                                                   " and ", message.held_size()));
  }
  RegisterRequest request;
  request.worker_id = message.worker_id();
  request.boot_id = message.boot_id();
  request.version = message.version();
  request.host = message.host();
  request.slots = message.slots_size();
  request.checkpoint_scope = message.checkpoint_scope();
  request.held.assign(message.held().begin(), message.held().end());
  json slots = json::array();
  std::set<std::string> models;
  for (int i = 0; i < message.slots_size(); ++i) {
    const v1::SlotInfo& slot = message.slots(i);
    if (slot.slot() != i) {
      return absl::InvalidArgumentError(
          absl::StrCat("slots: entry ", i, " is slot ", slot.slot(), "; number them from 0"));
    }
    slots.push_back({{"slot", i},
                     {"device", slot.device()},
                     {"model", slot.device_model()},
                     {"memory_bytes", slot.memory_bytes()}});
    models.insert(slot.device_model().empty() ? slot.device() : slot.device_model());
  }
  json labels = json::object();
  for (const auto& [key, value] : message.labels()) labels[key] = value;
  request.slots_json = slots.dump(-1, ' ', false, json::error_handler_t::replace);
  request.labels_json = labels.dump(-1, ' ', false, json::error_handler_t::replace);
  request.device = absl::StrJoin(models, ", ");
  return request;
}

// ---- syncs

absl::StatusOr<ReportedOutcome> OutcomeFrom(const v1::AttemptOutcome& message) {
  ReportedOutcome outcome;
  switch (message.kind()) {
    case v1::AttemptOutcome::DONE:
      outcome.kind = OutcomeKind::kDone;
      break;
    case v1::AttemptOutcome::DIVERGED:
      outcome.kind = OutcomeKind::kDiverged;
      break;
    case v1::AttemptOutcome::STOPPED:
      outcome.kind = OutcomeKind::kStopped;
      break;
    case v1::AttemptOutcome::FAILED:
      outcome.kind = OutcomeKind::kFailed;
      break;
    case v1::AttemptOutcome::REFUSED:
      outcome.kind = OutcomeKind::kRefused;
      break;
    case v1::AttemptOutcome::OUT_OF_MEMORY:
      outcome.kind = OutcomeKind::kOutOfMemory;
      break;
    case v1::AttemptOutcome::DEVICE_ERROR:
      outcome.kind = OutcomeKind::kDeviceError;
      break;
    case v1::AttemptOutcome::LOST:
      outcome.kind = OutcomeKind::kLost;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("outcome: kind ", static_cast<int>(message.kind()), " is not known"));
  }
  outcome.exit_code = message.exit_code();
  outcome.signal = message.signal();
  outcome.message = message.message().substr(0, 2000);
  return outcome;
}

absl::StatusOr<SlotReport> SlotFrom(const v1::SlotReport& message) {
  SlotReport slot;
  slot.slot = message.slot();
  slot.attempt_id = message.attempt_id();
  switch (message.state()) {
    case v1::SlotReport::IDLE:
      slot.state = SlotState::kIdle;
      break;
    case v1::SlotReport::RUNNING:
      slot.state = SlotState::kRunning;
      break;
    case v1::SlotReport::STOPPING:
      slot.state = SlotState::kStopping;
      break;
    case v1::SlotReport::UPLOADING:
      slot.state = SlotState::kUploading;
      break;
    case v1::SlotReport::FINISHED: {
      slot.state = SlotState::kFinished;
      LOGLOG_ASSIGN_OR_RETURN(slot.outcome, OutcomeFrom(message.outcome()));
      break;
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("state ", static_cast<int>(message.state()), " is not known"));
  }
  return slot;
}

absl::StatusOr<SyncRequest> RequestFrom(const v1::SyncWorkerRequest& message) {
  SyncRequest request;
  request.session_epoch = message.session_epoch();
  request.wait_ms = message.wait_ms();
  request.report.worker_id = message.worker_id();
  request.report.draining = message.draining();
  request.report.unhealthy = message.unhealthy().substr(0, 1000);
  for (const v1::SlotReport& slot : message.slots()) {
    absl::StatusOr<SlotReport> converted = SlotFrom(slot);
    if (!converted.ok()) {
      return Annotate(converted.status(), absl::StrCat("slots: slot ", slot.slot()));
    }
    request.report.slots.push_back(*std::move(converted));
  }
  for (const v1::HeldReport& held : message.held()) {
    HeldReport report;
    report.attempt_id = held.attempt_id();
    absl::StatusOr<ReportedOutcome> outcome = OutcomeFrom(held.outcome());
    if (!outcome.ok()) {
      return Annotate(outcome.status(), absl::StrCat("held: attempt ", held.attempt_id()));
    }
    report.outcome = *std::move(outcome);
    request.report.held.push_back(std::move(report));
  }
  return request;
}

v1::SlotDesired::Action ActionToProto(DesiredAction action) {
  switch (action) {
    case DesiredAction::kNone:
      return v1::SlotDesired::NONE;
    case DesiredAction::kRun:
      return v1::SlotDesired::RUN;
    case DesiredAction::kStop:
      return v1::SlotDesired::STOP;
    case DesiredAction::kKill:
      return v1::SlotDesired::KILL;
    case DesiredAction::kForget:
      return v1::SlotDesired::FORGET;
  }
  return v1::SlotDesired::ACTION_UNSPECIFIED;
}

void FillResponse(const SyncAnswer& answer, v1::SyncWorkerResponse* response) {
  for (const SlotDesire& desire : answer.desire.slots) {
    v1::SlotDesired* slot = response->add_slots();
    slot->set_slot(desire.slot);
    slot->set_action(ActionToProto(desire.action));
    slot->set_attempt_id(desire.attempt_id);
    slot->set_reason(desire.reason);
    const auto order = answer.orders.find(desire.slot);
    if (order == answer.orders.end()) continue;
    v1::TaskOrder* task = slot->mutable_task();
    task->set_attempt_id(order->second.attempt_id);
    task->set_task_id(order->second.task_id);
    task->set_task_json(order->second.task_json);
    task->set_resume_step(order->second.resume_step);
    task->set_resume_path(order->second.resume_path);
    task->set_resume_sha256(order->second.resume_sha256);
  }
  response->mutable_forget()->Add(answer.desire.forget.begin(), answer.desire.forget.end());
  response->set_lease_ms(answer.lease_ms);
  response->set_sync_interval_ms(answer.sync_interval_ms);
  response->set_drain(answer.desire.drain);
}

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
      if (answer.ok()) FillResponse(*answer, alive->response_);
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
  const absl::StatusOr<RegisterRequest> converted = RequestFrom(*request, version_);
  if (!converted.ok()) return Refuse(context, converted.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->RegisterWorker(*converted, [reactor, response](absl::StatusOr<RegisterAnswer> answer) {
    if (answer.ok()) {
      response->set_session_epoch(answer->session_epoch);
      response->set_lease_ms(answer->lease_ms);
      response->set_lease_margin_ms(answer->lease_margin_ms);
      response->set_sync_interval_ms(answer->sync_interval_ms);
      response->set_store_id(answer->store_id);
    }
    reactor->Finish(ToGrpcStatus(answer.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::SyncWorker(grpc::CallbackServerContext* context,
                                                        const v1::SyncWorkerRequest* request,
                                                        v1::SyncWorkerResponse* response) {
  const absl::StatusOr<SyncRequest> converted = RequestFrom(*request);
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
