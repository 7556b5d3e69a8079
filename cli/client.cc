#include "cli/client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/refusal.h"
#include "base/status.h"
#include "cli/args.h"
#include "loglog/v1/admin_service.grpc.pb.h"
#include "loglog/v1/sweep_service.grpc.pb.h"
#include "proto/credentials.h"
#include "proto/rpc_status.h"

namespace loglog::cli {
namespace {

std::string NewRequestId() {
  std::random_device device;
  return absl::StrCat(absl::Hex(device(), absl::kZeroPad8), absl::Hex(device(), absl::kZeroPad8),
                      "-", getpid());
}

// From `ms` to half as much more: those who were told the same do not come back together.
int64_t Spread(int64_t ms) {
  static thread_local std::mt19937 random{std::random_device{}()};
  return ms + std::uniform_int_distribution<int64_t>(0, ms / 2)(random);
}

void Sleep(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

struct Client::Impl {
  Options options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::SweepService::Stub> stub;
  std::unique_ptr<v1::AdminService::Stub> admin;

  // Says what an unreachable or silent coordinator means for the person in front.
  absl::Status Explain(const absl::Status& status) const {
    if (status.code() == absl::StatusCode::kUnavailable) {
      return WithHint(
          absl::UnavailableError(absl::StrCat("no coordinator answers at ", options.address, " (",
                                              status.message(), ")")),
          IsLocalAddress(options.address)
              ? "start one with `loglog up`, or name another with --coordinator; one that "
                "serves TLS needs --tls-ca"
              : "check --coordinator, the network and TLS (--tls-ca); `loglog doctor` looks at "
                "all");
    }
    if (status.code() == absl::StatusCode::kDeadlineExceeded) {
      return WithHint(absl::DeadlineExceededError(
                          absl::StrCat("the coordinator at ", options.address,
                                       " did not answer within ", options.deadline_ms, " ms")),
                      "try again, or give it longer with --rpc-timeout 60s");
    }
    if (status.code() == absl::StatusCode::kUnauthenticated) {
      return WithHint(status,
                      "export LOGLOG_TOKEN=llg_..., or --token-file FILE; the first admin's token "
                      "is beside the coordinator's store, in STORE.admin-token");
    }
    return status;
  }

  v1::SweepService::Stub* StubOf(v1::SweepService::Stub*) const { return stub.get(); }
  v1::AdminService::Stub* StubOf(v1::AdminService::Stub*) const { return admin.get(); }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    Stub* const callee = StubOf(static_cast<Stub*>(nullptr));
    int64_t pause_ms = options.pause_ms;
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() +
                           std::chrono::milliseconds(options.deadline_ms));
      Response response;
      const absl::Status status = FromGrpcStatus((callee->*method)(&context, request, &response));
      if (status.ok()) return response;
      const std::optional<int64_t> advised_ms = RetryAfterMs(status);
      const bool again = status.code() == absl::StatusCode::kUnavailable || advised_ms.has_value();
      if (!again || attempt >= options.tries) return Explain(status);
      pause_ms = std::max(pause_ms, advised_ms.value_or(0));
      Pause(advised_ms.has_value() ? Spread(pause_ms) : pause_ms);
      pause_ms *= 2;
    }
  }

  // Less when the connection comes up meanwhile. Only a waiting call drives a channel: over
  // a mere sleep it would not connect again.
  void Pause(int64_t ms) const {
    if (channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) return Sleep(ms);
    channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::milliseconds(ms));
  }

  // Every page of a list; `take` moves the items of one response.
  template <typename Stub, typename Request, typename Response, typename Take>
  absl::Status AllPages(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        Request request, Take take) {
    request.set_page_size(limits::kPageSizeMax);
    do {
      LOGLOG_ASSIGN_OR_RETURN(Response response, Call(method, request));
      request.set_page_token(response.next_page_token());
      take(response);
    } while (!request.page_token().empty());
    return absl::OkStatus();
  }
};

namespace {

// Reads the stream on a thread of its own. After the stream ended for whatever reason
// it is opened again: the caller polls anyway, so that a lost bell is never a lost
// change.
class WatchThread : public Client::Watch {
 public:
  WatchThread(v1::SweepService::Stub* stub, std::string name, int64_t after_event_id)
      : stub_(stub), name_(std::move(name)), last_event_id_(after_event_id) {
    thread_ = std::thread([this] { Run(); });
  }
  ~WatchThread() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    wake_.NotifyAll();
    thread_.join();
  }

  bool WaitForEvent(int64_t timeout_ms) override {
    MutexLock lock(mutex_);
    const bool rang = wake_.WaitFor(mutex_, timeout_ms, [this] { return rung_; });
    rung_ = false;
    return rang;
  }

 private:
  void Run() {
    while (true) {
      auto context = std::make_unique<grpc::ClientContext>();
      context->set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
      v1::WatchSweepRequest request;
      {
        MutexLock lock(mutex_);
        if (stopping_) return;
        context_ = context.get();
        request.set_name(name_);
        request.set_after_event_id(last_event_id_);
      }
      auto reader = stub_->WatchSweep(context.get(), request);
      v1::Event event;
      while (reader->Read(&event)) {
        MutexLock lock(mutex_);
        last_event_id_ = event.event_id();
        rung_ = true;
        wake_.NotifyAll();
      }
      reader->Finish();
      MutexLock lock(mutex_);
      context_ = nullptr;
      wake_.WaitFor(mutex_, 500, [this] { return stopping_; });
    }
  }

  v1::SweepService::Stub* const stub_;
  const std::string name_;
  Mutex mutex_;
  CondVar wake_;
  int64_t last_event_id_ LOGLOG_GUARDED_BY(mutex_);
  bool rung_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ LOGLOG_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Create(Options options) {
  if (!absl::StartsWith(options.address, "unix:") && !absl::StrContains(options.address, ":")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--coordinator is `", options.address, "`: write host:port or unix:/path"));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(limits::kAnswerBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name this bounds one attempt to connect, handshakes included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A proxy meant for the web must not stand between us and a coordinator.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  auto impl = std::make_unique<Impl>();
  LOGLOG_ASSIGN_OR_RETURN(impl->channel,
                          MakeSecureChannel(options.address, options.security, arguments));
  impl->admin = v1::AdminService::NewStub(impl->channel);
  impl->stub = v1::SweepService::NewStub(impl->channel);
  impl->options = std::move(options);
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

using Stub = v1::SweepService::Stub;

absl::StatusOr<v1::CreateSweepResponse> Client::CreateSweep(absl::string_view spec_json,
                                                            bool validate_only) {
  v1::CreateSweepRequest request;
  request.set_spec_json(std::string(spec_json));
  request.set_request_id(NewRequestId());
  request.set_validate_only(validate_only);
  return impl_->Call(&Stub::CreateSweep, request);
}

absl::StatusOr<v1::Sweep> Client::GetSweep(absl::string_view name) {
  v1::GetSweepRequest request;
  request.set_name(std::string(name));
  return impl_->Call(&Stub::GetSweep, request);
}

absl::StatusOr<std::vector<v1::Sweep>> Client::ListSweeps() {
  std::vector<v1::Sweep> sweeps;
  LOGLOG_RETURN_IF_ERROR(impl_->AllPages(&Stub::ListSweeps, v1::ListSweepsRequest(),
                                         [&](v1::ListSweepsResponse& page) {
                                           for (auto& s : *page.mutable_sweeps())
                                             sweeps.push_back(std::move(s));
                                         }));
  return sweeps;
}

absl::StatusOr<v1::Sweep> Client::NewestSweep() {
  v1::ListSweepsRequest request;
  request.set_page_size(1);
  LOGLOG_ASSIGN_OR_RETURN(const v1::ListSweepsResponse page,
                          impl_->Call(&Stub::ListSweeps, request));
  if (page.sweeps().empty()) {
    return WithHint(absl::NotFoundError("the coordinator has no sweep yet"),
                    "loglog submit SPEC adds one");
  }
  return page.sweeps(0);
}

absl::StatusOr<v1::Sweep> Client::ChangeSweep(SweepVerb verb, absl::string_view name,
                                              absl::string_view reason) {
  v1::SweepVerbRequest request;
  request.set_name(std::string(name));
  request.set_reason(std::string(reason));
  request.set_request_id(NewRequestId());
  switch (verb) {
    case SweepVerb::kPause:
      return impl_->Call(&Stub::PauseSweep, request);
    case SweepVerb::kResume:
      return impl_->Call(&Stub::ResumeSweep, request);
    case SweepVerb::kCancel:
      return impl_->Call(&Stub::CancelSweep, request);
  }
  return absl::InternalError("unknown verb");
}

absl::StatusOr<std::vector<v1::Trial>> Client::ListTrials(
    absl::string_view sweep, const std::vector<v1::Trial::State>& states) {
  v1::ListTrialsRequest request;
  request.set_sweep(std::string(sweep));
  for (const v1::Trial::State state : states) request.add_states(state);
  std::vector<v1::Trial> trials;
  LOGLOG_RETURN_IF_ERROR(
      impl_->AllPages(&Stub::ListTrials, request, [&](v1::ListTrialsResponse& page) {
        for (auto& t : *page.mutable_trials()) trials.push_back(std::move(t));
      }));
  return trials;
}

absl::StatusOr<v1::Trial> Client::GetTrial(absl::string_view name) {
  v1::GetTrialRequest request;
  request.set_name(std::string(name));
  return impl_->Call(&Stub::GetTrial, request);
}

absl::StatusOr<int> Client::RetryTrials(absl::string_view sweep,
                                        const std::vector<std::string>& trials,
                                        bool include_cancelled, bool include_stopped,
                                        absl::string_view reason) {
  v1::RetryTrialsRequest request;
  request.set_sweep(std::string(sweep));
  for (const std::string& trial : trials) request.add_trials(trial);
  request.set_include_cancelled(include_cancelled);
  request.set_include_stopped(include_stopped);
  request.set_reason(std::string(reason));
  request.set_request_id(NewRequestId());
  LOGLOG_ASSIGN_OR_RETURN(const v1::RetryTrialsResponse response,
                          impl_->Call(&Stub::RetryTrials, request));
  return response.retried();
}

absl::StatusOr<v1::Trial> Client::CancelTrial(absl::string_view name, absl::string_view reason) {
  v1::CancelTrialRequest request;
  request.set_name(std::string(name));
  request.set_reason(std::string(reason));
  request.set_request_id(NewRequestId());
  return impl_->Call(&Stub::CancelTrial, request);
}

absl::StatusOr<v1::Trial> Client::StopTrial(absl::string_view name, absl::string_view reason) {
  v1::StopTrialRequest request;
  request.set_name(std::string(name));
  request.set_reason(std::string(reason));
  request.set_request_id(NewRequestId());
  return impl_->Call(&Stub::StopTrial, request);
}

absl::StatusOr<v1::ListPointsResponse> Client::ListPoints(const v1::ListPointsRequest& request) {
  return impl_->Call(&Stub::ListPoints, request);
}

absl::StatusOr<std::vector<v1::Event>> Client::GetTrialEvents(absl::string_view name,
                                                              int max_events) {
  v1::GetTrialEventsRequest request;
  request.set_name(std::string(name));
  request.set_max_events(max_events);
  LOGLOG_ASSIGN_OR_RETURN(const v1::GetTrialEventsResponse response,
                          impl_->Call(&Stub::GetTrialEvents, request));
  return std::vector<v1::Event>(response.events().begin(), response.events().end());
}

absl::StatusOr<v1::Fit> Client::CreateFit(absl::string_view sweep, absl::string_view arm,
                                          absl::string_view kind, absl::string_view axis,
                                          bool censored, const std::vector<v1::FitPlace>& at) {
  v1::CreateFitRequest request;
  request.set_sweep(std::string(sweep));
  request.set_arm(std::string(arm));
  request.set_kind(std::string(kind));
  request.set_axis(std::string(axis));
  request.set_censored(censored);
  for (const v1::FitPlace& place : at) *request.add_at() = place;
  return impl_->Call(&Stub::CreateFit, request);
}

absl::StatusOr<v1::Fit> Client::CompareArms(absl::string_view sweep, absl::string_view arm,
                                            absl::string_view arm_b, absl::string_view axis) {
  v1::CompareArmsRequest request;
  request.set_sweep(std::string(sweep));
  request.set_arm(std::string(arm));
  request.set_arm_b(std::string(arm_b));
  request.set_axis(std::string(axis));
  return impl_->Call(&Stub::CompareArms, request);
}

absl::StatusOr<std::vector<v1::Fit>> Client::ListFits(absl::string_view sweep) {
  v1::ListFitsRequest request;
  request.set_sweep(std::string(sweep));
  LOGLOG_ASSIGN_OR_RETURN(const v1::ListFitsResponse response,
                          impl_->Call(&Stub::ListFits, request));
  return std::vector<v1::Fit>(response.fits().begin(), response.fits().end());
}

absl::StatusOr<std::vector<v1::Worker>> Client::ListWorkers() {
  std::vector<v1::Worker> workers;
  LOGLOG_RETURN_IF_ERROR(impl_->AllPages(&Stub::ListWorkers, v1::ListWorkersRequest(),
                                         [&](v1::ListWorkersResponse& page) {
                                           for (auto& w : *page.mutable_workers())
                                             workers.push_back(std::move(w));
                                         }));
  return workers;
}

absl::StatusOr<v1::Worker> Client::DrainWorker(absl::string_view name, absl::string_view reason) {
  v1::WorkerVerbRequest request;
  request.set_name(std::string(name));
  request.set_reason(std::string(reason));
  return impl_->Call(&Stub::DrainWorker, request);
}

absl::StatusOr<v1::Worker> Client::ResumeWorker(absl::string_view name) {
  v1::WorkerVerbRequest request;
  request.set_name(std::string(name));
  return impl_->Call(&Stub::ResumeWorker, request);
}

absl::StatusOr<v1::ServerInfo> Client::GetServerInfo() {
  return impl_->Call(&Stub::GetServerInfo, v1::GetServerInfoRequest());
}

absl::StatusOr<v1::Token> Client::CreateToken(const v1::CreateTokenRequest& request) {
  return impl_->Call(&v1::AdminService::Stub::CreateToken, request);
}

absl::StatusOr<std::vector<v1::Token>> Client::ListTokens() {
  std::vector<v1::Token> tokens;
  LOGLOG_RETURN_IF_ERROR(impl_->AllPages(&v1::AdminService::Stub::ListTokens,
                                         v1::ListTokensRequest(),
                                         [&](v1::ListTokensResponse& page) {
                                           for (auto& t : *page.mutable_tokens())
                                             tokens.push_back(std::move(t));
                                         }));
  return tokens;
}

absl::StatusOr<v1::Token> Client::RevokeToken(absl::string_view name) {
  v1::RevokeTokenRequest request;
  request.set_name(std::string(name));
  return impl_->Call(&v1::AdminService::Stub::RevokeToken, request);
}

std::unique_ptr<Client::Watch> Client::WatchSweep(absl::string_view name, int64_t after_event_id) {
  return std::make_unique<WatchThread>(impl_->stub.get(), std::string(name), after_event_id);
}

std::string SweepName(absl::string_view name) {
  return absl::StartsWith(name, "sweeps/") ? std::string(name) : absl::StrCat("sweeps/", name);
}

std::string TrialName(absl::string_view name, absl::string_view default_sweep) {
  if (absl::StartsWith(name, "sweeps/")) return std::string(name);
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() == 2) return absl::StrCat("sweeps/", parts[0], "/trials/", parts[1]);
  return absl::StrCat(SweepName(default_sweep), "/trials/", name);
}

std::string WorkerName(absl::string_view name) {
  return absl::StartsWith(name, "workers/") ? std::string(name) : absl::StrCat("workers/", name);
}

std::string TokenName(absl::string_view name) {
  return absl::StartsWith(name, "tokens/") ? std::string(name) : absl::StrCat("tokens/", name);
}

}  // namespace loglog::cli
