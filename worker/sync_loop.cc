#include "worker/sync_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/refusal.h"
#include "base/status.h"
#include "base/unique_id.h"
#include "loglog/v1/common.pb.h"
#include "proto/rpc_status.h"
#include "worker/wire.h"

namespace loglog::worker {
namespace {

constexpr v1::Protocol kProtocol = v1::Protocol::PROTOCOL_CURRENT;
constexpr int64_t kRegisterTimeoutMs = 10'000;
// How much longer than its wait a long poll may take.
constexpr int64_t kSyncSlackMs = 5'000;
constexpr int64_t kWarnEveryMs = 10'000;
// How soon a pause notices that the daemon is to leave.
constexpr int64_t kDriveMs = 50;
// A drain gives up on a coordinator that cannot be reached for so long.
constexpr int64_t kDrainUnreachableMs = 5'000;
// A daemon that leaves looks at its deadline so often.
constexpr int64_t kDrainWaitMs = 500;
// So many lost sessions in a minute are no restarts of a coordinator: a second worker has
// the same id. First the two slow down, then one of them gives way.
constexpr int kLostTooOften = 5;
constexpr int kLostGiveUp = 12;
constexpr int64_t kLostMemoryMs = 60'000;

std::chrono::system_clock::time_point DeadlineIn(int64_t ms) {
  return std::chrono::system_clock::now() + std::chrono::milliseconds(ms);
}

// A worker that was let in before waits for its token to be replaced.
bool IsTransient(grpc::StatusCode code, bool registered_once) {
  switch (code) {
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return registered_once;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::UNIMPLEMENTED:
      return false;
    default:
      return true;
  }
}

bool IsStale(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
         SaysStaleSession(status.error_message());
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address,
                                                           const ClientSecurity& security) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A parked long poll carries no data, and still has to notice a dead host.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(limits::kAnswerBytesMax);
  arguments.SetMaxSendMessageSize(limits::kRequestBytesMax);
  return MakeSecureChannel(address, security, arguments);
}

struct SyncLoop::SyncCall {
  grpc::ClientContext context;
  v1::SyncWorkerRequest request;
  v1::SyncWorkerResponse response;
  grpc::Status status;
  bool done = false;
};

SyncLoop::SyncLoop(Options options, std::shared_ptr<grpc::Channel> channel, const RunDir* run_dir,
                   Supervisor* supervisor, Session* session)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      stub_(v1::WorkerService::NewStub(channel_)),
      run_dir_(run_dir),
      supervisor_(supervisor),
      session_(session),
      boot_id_(RandomHexId()),
      backoff_(/*first_ms=*/100, options_.backoff_limit_ms, std::random_device{}()) {
  supervisor_->OnUrgent([this] { Wake(); });
}

SyncLoop::~SyncLoop() { supervisor_->OnUrgent(nullptr); }

void SyncLoop::Wake() {
  MutexLock lock(mutex_);
  ++wakes_;
  changed_.NotifyAll();
}

void SyncLoop::BeginDrain() {
  MutexLock lock(mutex_);
  drain_asked_ = std::max(drain_asked_, Drain::kAsked);
  ++wakes_;
  changed_.NotifyAll();
}

void SyncLoop::Hurry() {
  MutexLock lock(mutex_);
  drain_asked_ = Drain::kHurried;
  ++wakes_;
  changed_.NotifyAll();
}

SyncLoop::Drain SyncLoop::drain_asked() {
  MutexLock lock(mutex_);
  return drain_asked_;
}

void SyncLoop::Pause(int64_t ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  const auto left_ms = [&] {
    return std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
        .count();
  };
  // Only what waits for a channel drives it: over a mere sleep it would not connect again.
  while (channel_->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_READY && left_ms() > 0 &&
         drain_asked() == drain_begun_) {
    if (channel_->WaitForConnected(DeadlineIn(std::min<int64_t>(left_ms(), kDriveMs)))) return;
  }
  MutexLock lock(mutex_);
  changed_.WaitFor(mutex_, std::max<int64_t>(left_ms(), 0),
                   [this]() LOGLOG_REQUIRES(mutex_) { return drain_asked_ != drain_begun_; });
}

absl::Status SyncLoop::Run() {
  const int64_t started_ms = options_.clock->monotonic_ms();
  for (;;) {
    if (DrainStep()) return absl::OkStatus();
    const bool registering = session_->epoch() == 0;
    // Two workers that take the session from each other both register with success.
    const bool fighting = SessionsAreShort();
    if (registering) LOGLOG_RETURN_IF_ERROR(NoteLostSession());
    if (registering && fighting) Pause(backoff_.NextMs());
    const absl::Status status = registering ? Register() : Sync();
    if (!status.ok() && !absl::IsUnavailable(status)) return status;
    if (status.ok()) {
      if (!fighting) backoff_.Reset();
      continue;
    }
    const int64_t tried_ms = options_.clock->monotonic_ms() - started_ms;
    if (!registered_once_ && options_.connect_timeout_ms > 0 &&
        tried_ms >= options_.connect_timeout_ms) {
      return absl::UnavailableError(
          absl::StrCat("no coordinator answered at ", options_.address, " in ", tried_ms / 1000,
                       " s; start loglog-coordinator there, or give --coordinator"));
    }
    Pause(std::max(backoff_.NextMs(), std::exchange(advised_ms_, 0)));
  }
}

// Registration. --------------------------------------------------------------------------

v1::RegisterWorkerRequest SyncLoop::RegisterRequest(const std::string& store) const {
  v1::RegisterWorkerRequest request;
  request.set_protocol(kProtocol);
  request.set_worker_id(run_dir_->worker_id());
  request.set_boot_id(boot_id_);
  request.set_version(options_.version);
  request.set_host(options_.host);
  request.set_checkpoint_scope(options_.checkpoint_scope);
  for (const auto& [name, value] : options_.labels) (*request.mutable_labels())[name] = value;
  for (size_t i = 0; i < options_.devices.size(); ++i) {
    v1::SlotInfo* slot = request.add_slots();
    slot->set_slot(static_cast<int>(i));
    slot->set_device(options_.devices[i].name);
    slot->set_device_model(options_.devices[i].model);
    slot->set_memory_bytes(options_.devices[i].memory_bytes);
  }
  for (const int64_t attempt_id : supervisor_->HeldAttempts(store)) request.add_held(attempt_id);
  return request;
}

absl::Status SyncLoop::Register() {
  // Attempts are named before the answer says which store is served, so the last one is
  // assumed. When that was wrong, a new boot registers with what is held of the right one.
  std::string assumed_store = run_dir_->LastStore();
  for (int tries = 0;; ++tries) {
    const v1::RegisterWorkerRequest request = RegisterRequest(assumed_store);
    v1::RegisterWorkerResponse response;
    grpc::ClientContext context;
    context.set_deadline(DeadlineIn(kRegisterTimeoutMs));
    const grpc::Status status = stub_->RegisterWorker(&context, request, &response);
    if (!status.ok()) {
      if (IsTransient(status.error_code(), registered_once_)) {
        advised_ms_ = RetryAfterMs(FromGrpcStatus(status)).value_or(0);
        OnUnreachable(status);
        return absl::UnavailableError(status.error_message());
      }
      return Annotate(FromGrpcStatus(status), absl::StrCat("coordinator at ", options_.address,
                                                           " does not accept this worker"));
    }
    OnReached();
    // A hint for the next start, which a full disk may go without.
    if (const absl::Status noted = run_dir_->SetLastStore(response.store_id()); !noted.ok()) {
      spdlog::warn("{}", std::string(noted.message()));
    }
    const bool wrong_store = response.store_id() != assumed_store;
    assumed_store = response.store_id();
    if (tries == 0 && wrong_store &&
        (request.held_size() > 0 || !run_dir_->ListAttempts(response.store_id()).empty())) {
      boot_id_ = RandomHexId();
      continue;
    }
    return OnRegistered(response);
  }
}

absl::Status SyncLoop::OnRegistered(const v1::RegisterWorkerResponse& response) {
  if (absl::Status status = supervisor_->SetStore(response.store_id()); !status.ok()) {
    spdlog::warn("{}; trying again", std::string(status.message()));
    return status;
  }
  lease_ms_ = response.lease_ms();
  lease_margin_ms_ = std::min(response.lease_margin_ms(), lease_ms_ / 2);
  sync_interval_ms_ = response.sync_interval_ms();
  session_->Begin(response.session_epoch());
  had_session_ = true;
  spdlog::info("registered as {} at {} with {} slot(s), lease {} ms, session {}",
               run_dir_->worker_id(), options_.address, options_.devices.size(), lease_ms_,
               response.session_epoch());
  if (!registered_once_ && !options_.ready_file.empty()) {
    LOGLOG_RETURN_IF_ERROR(WriteFileAtomically(options_.ready_file, run_dir_->worker_id() + "\n"));
  }
  registered_once_ = true;
  return absl::OkStatus();
}

// Syncs. ---------------------------------------------------------------------------------

absl::Status SyncLoop::Sync() {
  uint64_t wakes_seen = 0;
  {
    MutexLock lock(mutex_);
    wakes_seen = wakes_;
  }
  const WorkerView view = supervisor_->View();
  SyncCall call;
  call.request = ToProto(view);
  call.request.set_worker_id(run_dir_->worker_id());
  const int64_t epoch = session_->epoch();
  call.request.set_session_epoch(epoch);
  call.request.set_draining(drain_begun_ != Drain::kNo);
  const bool last_word = drain_begun_ != Drain::kNo && !view.busy;
  const int64_t wait_ms = last_word ? 0 : WaitMs();
  call.request.set_wait_ms(wait_ms);
  call.context.set_deadline(DeadlineIn(wait_ms + kSyncSlackMs));
  // The lease counts from before the request leaves, on this clock alone.
  const int64_t sent_ms = options_.clock->monotonic_ms();
  taken_back_ = !Call(&call, wakes_seen);
  if (taken_back_) return absl::OkStatus();
  if (IsStale(call.status)) {
    OnReached();
    spdlog::info("{}; registering again", call.status.error_message());
    session_->Invalidate(epoch);
    return absl::OkStatus();
  }
  if (!call.status.ok()) {
    OnUnreachable(call.status);
    return absl::UnavailableError(call.status.error_message());
  }
  OnReached();
  told_idle_ = last_word;
  ApplyAnswer(call.response, sent_ms);
  const bool quick = options_.clock->monotonic_ms() - sent_ms < wait_ms;
  if (quick && supervisor_->View().SameReport(view)) {
    // A wish that is not true yet comes again at once, and what this side does about it
    // wakes the loop. While it pauses no call is parked, so it does so for nothing else.
    MutexLock lock(mutex_);
    changed_.WaitFor(mutex_, options_.quiet_pause_ms,
                     [&]() LOGLOG_REQUIRES(mutex_) { return wakes_ != wakes_seen; });
  }
  return absl::OkStatus();
}

int64_t SyncLoop::WaitMs() const {
  // Several polls fit into a lease, whatever the coordinator asks for.
  int64_t wait_ms = std::min(sync_interval_ms_, (lease_ms_ - lease_margin_ms_) / 3);
  // Left alone, so it must not park: further news would wait for it.
  if (taken_back_) wait_ms = 0;
  if (drain_begun_ != Drain::kNo) {
    const int64_t left_ms = drain_deadline_ms_ - options_.clock->monotonic_ms();
    wait_ms = std::min({wait_ms, kDrainWaitMs, left_ms});
  }
  return std::max<int64_t>(0, wait_ms);
}

// Waits for the answer, or for news that make the report out of date: then the call is
// taken back and the answer, if it comes at all, dropped (it will be given again). False
// in that case. The call after it parks not at all and is left alone, because only answers
// renew the lease, and news may come faster than answers.
bool SyncLoop::Call(SyncCall* call, uint64_t wakes_seen) {
  stub_->async()->SyncWorker(&call->context, &call->request, &call->response,
                             [this, call](grpc::Status status) {
                               MutexLock lock(mutex_);
                               call->status = std::move(status);
                               call->done = true;
                               changed_.NotifyAll();
                             });
  const bool leave_alone = taken_back_;
  MutexLock lock(mutex_);
  changed_.Wait(mutex_, [&]() LOGLOG_REQUIRES(mutex_) {
    return call->done || (!leave_alone && wakes_ != wakes_seen);
  });
  const bool answered = call->done;
  if (!answered) call->context.TryCancel();
  changed_.Wait(mutex_, [&] { return call->done; });
  return answered;
}

void SyncLoop::ApplyAnswer(const v1::SyncWorkerResponse& response, int64_t sent_ms) {
  if (response.lease_ms() > 0) {
    lease_ms_ = response.lease_ms();
    lease_margin_ms_ = std::min(lease_margin_ms_, lease_ms_ / 2);
  }
  if (response.sync_interval_ms() > 0) sync_interval_ms_ = response.sync_interval_ms();
  supervisor_->Apply(WishesFromProto(response),
                     std::vector<int64_t>(response.forget().begin(), response.forget().end()),
                     response.drain(), sent_ms + lease_ms_ - lease_margin_ms_);
}

int SyncLoop::LostSessions() {
  const int64_t since_ms = options_.clock->monotonic_ms() - kLostMemoryMs;
  std::erase_if(lost_times_ms_, [since_ms](int64_t ms) { return ms < since_ms; });
  return static_cast<int>(lost_times_ms_.size());
}

bool SyncLoop::SessionsAreShort() { return LostSessions() > kLostTooOften; }

// Before the next registration, whether this loop or the metric stream found out: who gives
// way must not take the session from the other once more.
absl::Status SyncLoop::NoteLostSession() {
  if (!std::exchange(had_session_, false)) return absl::OkStatus();
  lost_times_ms_.push_back(options_.clock->monotonic_ms());
  if (LostSessions() < kLostGiveUp) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "sessions of worker ", run_dir_->worker_id(), " at ", options_.address, " ended ",
      kLostGiveUp, " times in a minute, so another worker uses this id; give each worker its own ",
      "--name and --run-dir"));
}

void SyncLoop::OnUnreachable(const grpc::Status& status) {
  const int64_t now_ms = options_.clock->monotonic_ms();
  if (unreachable_since_ms_ == 0) unreachable_since_ms_ = now_ms;
  if (now_ms < next_warning_ms_) return;
  next_warning_ms_ = now_ms + kWarnEveryMs;
  const bool silent = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  spdlog::warn("{} the coordinator at {} ({}); trying again{}",
               silent ? "cannot reach" : "got an error from", options_.address,
               status.error_message(),
               registered_once_ ? ", trainers go on until their lease ends"
                                : "; is loglog-coordinator running there? (--coordinator)");
}

void SyncLoop::OnReached() {
  if (unreachable_since_ms_ != 0) {
    spdlog::info("reached the coordinator at {} after {} s", options_.address,
                 (options_.clock->monotonic_ms() - unreachable_since_ms_) / 1000);
  }
  unreachable_since_ms_ = 0;
  next_warning_ms_ = 0;
}

// Draining. ------------------------------------------------------------------------------

bool SyncLoop::DrainStep() {
  const Drain asked = drain_asked();
  const int64_t now_ms = options_.clock->monotonic_ms();
  if (asked == Drain::kAsked && drain_begun_ == Drain::kNo) {
    spdlog::info("leaving: trainers checkpoint, then their events are uploaded");
    supervisor_->Drain();
    drain_deadline_ms_ = now_ms + options_.drain_ms;
    drain_begun_ = asked;
  } else if (asked == Drain::kHurried && drain_begun_ != Drain::kHurried) {
    spdlog::warn("leaving at once: trainers are killed");
    supervisor_->Drain();
    supervisor_->KillAll();
    drain_deadline_ms_ = now_ms + options_.hurried_drain_ms;
    drain_begun_ = asked;
  }
  return drain_begun_ != Drain::kNo && DrainIsOver(now_ms);
}

bool SyncLoop::DrainIsOver(int64_t now_ms) {
  const WorkerView view = supervisor_->View();
  if (!view.busy && told_idle_) return true;
  const bool trainers = std::any_of(view.slots.begin(), view.slots.end(), [](const SlotView& slot) {
    return slot.state == Slot::State::kRunning || slot.state == Slot::State::kStopping;
  });
  const bool unreachable =
      unreachable_since_ms_ != 0 && now_ms - unreachable_since_ms_ >= kDrainUnreachableMs;
  const bool hopeless = !trainers && (unreachable || !registered_once_);
  if (!hopeless && now_ms < drain_deadline_ms_) return false;
  if (view.busy) {
    spdlog::warn(
        "leaving before everything was reported; it stays in {} and is reported by the "
        "next loglog-worker started there",
        run_dir_->root());
  }
  return true;
}

}  // namespace loglog::worker
