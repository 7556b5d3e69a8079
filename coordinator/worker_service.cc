#include "coordinator/worker_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/names.h"
#include "coordinator/service_metric_reactor.h"
#include "coordinator/service_reply.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int kSlotsMax = 1024;

absl::Status Invalid(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::Status CheckRegistration(const v1::RegisterWorkerRequest& request) {
  if (request.protocol() != v1::PROTOCOL_CURRENT) {
    return absl::FailedPreconditionError(absl::StrCat(
        "worker ", request.worker_id(), " (version ", request.version(), ") speaks protocol ",
        request.protocol(), " and this coordinator speaks ", v1::PROTOCOL_CURRENT,
        "; install loglog-worker " LOGLOG_VERSION " on that host"));
  }
  if (!IsResourceId(request.worker_id())) {
    return Invalid("worker_id", absl::StrCat("'", request.worker_id(),
                                             "' is not [a-z0-9][a-z0-9-]{0,62}; set --name"));
  }
  if (request.boot_id().empty()) return Invalid("boot_id", "is empty");
  if (request.slots_size() < 1 || request.slots_size() > kSlotsMax) {
    return Invalid("slots", absl::StrCat("has ", request.slots_size(), " slots; 1 to ", kSlotsMax,
                                         " are possible"));
  }
  for (int i = 0; i < request.slots_size(); ++i) {
    if (request.slots(i).slot() != i) {
      return Invalid("slots", absl::StrCat("entry ", i, " has number ", request.slots(i).slot(),
                                           "; slots are numbered from 0 in order"));
    }
  }
  return absl::OkStatus();
}

RegisterRequest FromProto(const v1::RegisterWorkerRequest& request) {
  RegisterRequest result;
  result.worker_id = request.worker_id();
  result.boot_id = request.boot_id();
  result.version = request.version();
  result.host = request.host();
  result.slots = request.slots_size();
  json slots = json::array();
  for (const v1::SlotInfo& slot : request.slots()) {
    slots.push_back({{"slot", slot.slot()},
                     {"device", slot.device()},
                     {"device_model", slot.device_model()},
                     {"memory_bytes", slot.memory_bytes()}});
  }
  result.slots_json = slots.dump(-1, ' ', false, json::error_handler_t::replace);
  json labels = json::object();
  for (const auto& [key, value] : request.labels()) labels[key] = value;
  result.labels_json = labels.dump(-1, ' ', false, json::error_handler_t::replace);
  const v1::SlotInfo& first = request.slots(0);
  result.device = first.device_model().empty() ? first.device() : first.device_model();
  result.checkpoint_scope = request.checkpoint_scope();
  result.held.assign(request.held().begin(), request.held().end());
  return result;
}

OutcomeKind FromProto(v1::AttemptOutcome::Kind kind) {
  switch (kind) {
    case v1::AttemptOutcome::DONE:
      return OutcomeKind::kDone;
    case v1::AttemptOutcome::DIVERGED:
      return OutcomeKind::kDiverged;
    case v1::AttemptOutcome::STOPPED:
      return OutcomeKind::kStopped;
    case v1::AttemptOutcome::FAILED:
      return OutcomeKind::kFailed;
    case v1::AttemptOutcome::REFUSED:
      return OutcomeKind::kRefused;
    case v1::AttemptOutcome::OUT_OF_MEMORY:
      return OutcomeKind::kOutOfMemory;
    case v1::AttemptOutcome::DEVICE_ERROR:
      return OutcomeKind::kDeviceError;
    default:
      return OutcomeKind::kLost;
  }
}

Outcome FromProto(const v1::AttemptOutcome& outcome) {
  return {FromProto(outcome.kind()), outcome.exit_code(), outcome.signal(), outcome.message()};
}

absl::StatusOr<SlotState> FromProto(v1::SlotReport::State state) {
  switch (state) {
    case v1::SlotReport::IDLE:
      return SlotState::kIdle;
    case v1::SlotReport::RUNNING:
      return SlotState::kRunning;
    case v1::SlotReport::STOPPING:
      return SlotState::kStopping;
    case v1::SlotReport::UPLOADING:
      return SlotState::kUploading;
    case v1::SlotReport::FINISHED:
      return SlotState::kFinished;
    default:
      return Invalid("slots.state", absl::StrCat(static_cast<int>(state), " is unknown"));
  }
}

absl::StatusOr<SyncRequest> FromProto(const v1::SyncWorkerRequest& request) {
  SyncRequest result;
  result.session_epoch = request.session_epoch();
  result.wait_ms = request.wait_ms();
  result.report.worker_id = request.worker_id();
  result.report.draining = request.draining();
  result.report.unhealthy = request.unhealthy();
  for (const v1::SlotReport& report : request.slots()) {
    const absl::StatusOr<SlotState> state = FromProto(report.state());
    if (!state.ok()) return state.status();
    result.report.slots.push_back(
        {report.slot(), *state, report.attempt_id(), FromProto(report.outcome())});
  }
  for (const v1::HeldReport& held : request.held()) {
    result.report.held.push_back({held.attempt_id(), FromProto(held.outcome())});
  }
  return result;
}

v1::SlotDesired::Action ActionToProto(SlotAction action) {
  switch (action) {
    case SlotAction::kNone:
      return v1::SlotDesired::NONE;
    case SlotAction::kRun:
      return v1::SlotDesired::RUN;
    case SlotAction::kStop:
      return v1::SlotDesired::STOP;
    case SlotAction::kKill:
      return v1::SlotDesired::KILL;
    case SlotAction::kForget:
      return v1::SlotDesired::FORGET;
  }
  return v1::SlotDesired::ACTION_UNSPECIFIED;
}

absl::Status FillSync(const SyncAnswer& answer, v1::SyncWorkerResponse* response) {
  for (const SlotDesire& desire : answer.desire.slots) {
    v1::SlotDesired* slot = response->add_slots();
    slot->set_slot(desire.slot);
    slot->set_action(ActionToProto(desire.action));
    slot->set_attempt_id(desire.attempt_id);
    slot->set_reason(desire.reason);
    const auto order = answer.orders.find(desire.slot);
    if (desire.action != SlotAction::kRun || order == answer.orders.end()) continue;
    v1::TaskOrder* task = slot->mutable_task();
    task->set_attempt_id(order->second.attempt_id);
    task->set_task_id(order->second.task_id);
    task->set_task_json(order->second.task_json);
    task->set_resume_step(order->second.resume_step);
    task->set_resume_path(order->second.resume_path);
    task->set_resume_sha256(order->second.resume_sha256);
  }
  response->mutable_forget()->Assign(answer.desire.forget.begin(), answer.desire.forget.end());
  response->set_lease_ms(answer.lease_ms);
  response->set_sync_interval_ms(answer.sync_interval_ms);
  response->set_drain(answer.desire.drain);
  return absl::OkStatus();
}

// A SyncWorker call while it is parked. The engine's answer and gRPC's cancellation may
// come at any time and in any order, also before the engine has returned the ticket.
class SyncReactor : public grpc::ServerUnaryReactor {
 public:
  SyncReactor(Engine* engine, std::string worker_id)
      : state_(std::make_shared<State>(engine, std::move(worker_id))) {}

  static void Begin(SyncReactor* reactor, const SyncRequest& request,
                    v1::SyncWorkerResponse* response) {
    // The reactor may be gone before SyncWorker returns; the state is not.
    const std::shared_ptr<State> state = reactor->state_;
    const int64_t ticket = state->engine->SyncWorker(
        request, Respond<SyncAnswer, v1::SyncWorkerResponse>(reactor, response, FillSync));
    bool cancelled = false;
    {
      MutexLock lock(state->mutex);
      state->ticket = ticket;
      cancelled = state->cancelled;
    }
    if (cancelled) state->engine->CancelSync(state->worker_id, ticket);
  }

  void OnCancel() override {
    int64_t ticket = 0;
    {
      MutexLock lock(state_->mutex);
      state_->cancelled = true;
      ticket = state_->ticket;
    }
    if (ticket != 0) state_->engine->CancelSync(state_->worker_id, ticket);
  }
  void OnDone() override { delete this; }

 private:
  struct State {
    State(Engine* e, std::string w) : engine(e), worker_id(std::move(w)) {}
    Engine* const engine;
    const std::string worker_id;
    Mutex mutex;
    int64_t ticket LOGLOG_GUARDED_BY(mutex) = 0;  // 0: not known yet
    bool cancelled LOGLOG_GUARDED_BY(mutex) = false;
  };
  const std::shared_ptr<State> state_;
};

// Refuses a stream that came too late.
class RefusedStream : public grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck> {
 public:
  RefusedStream() { Finish(ToGrpcStatus(Stopping())); }
  void OnDone() override { delete this; }
};

}  // namespace

void WorkerServiceImpl::BeginStop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (MetricReactor* stream : streams_) stream->End(Stopping());
}

grpc::ServerUnaryReactor* WorkerServiceImpl::RegisterWorker(
    grpc::CallbackServerContext* context, const v1::RegisterWorkerRequest* request,
    v1::RegisterWorkerResponse* response) {
  const absl::Status checked = CheckRegistration(*request);
  if (!checked.ok()) return FinishNow(context, checked);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_->RegisterWorker(
      FromProto(*request),
      Respond<RegisterAnswer, v1::RegisterWorkerResponse>(
          reactor, response, [](const RegisterAnswer& answer, v1::RegisterWorkerResponse* out) {
            out->set_session_epoch(answer.session_epoch);
            out->set_lease_ms(answer.lease_ms);
            out->set_lease_margin_ms(answer.lease_margin_ms);
            out->set_sync_interval_ms(answer.sync_interval_ms);
            out->set_store_id(answer.store_id);
            return absl::OkStatus();
          }));
  return reactor;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::SyncWorker(grpc::CallbackServerContext* context,
                                                        const v1::SyncWorkerRequest* request,
                                                        v1::SyncWorkerResponse* response) {
  const absl::StatusOr<SyncRequest> sync = FromProto(*request);
  if (!sync.ok()) return FinishNow(context, sync.status());
  auto* reactor = new SyncReactor(engine_, request->worker_id());
  SyncReactor::Begin(reactor, *sync, response);
  return reactor;
}

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* WorkerServiceImpl::StreamMetrics(
    grpc::CallbackServerContext*) {
  MutexLock lock(mutex_);
  if (stopping_) return new RefusedStream();
  MetricReactor* stream =
      MetricReactor::Start(engine_, [this](MetricReactor* done) { Forget(done); });
  streams_.insert(stream);
  return stream;
}

void WorkerServiceImpl::Forget(MetricReactor* stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

}  // namespace loglog
