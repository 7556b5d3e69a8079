#include "coordinator/service_host.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "coordinator/listen_address.h"

namespace loglog {
namespace {

// The library's own messages go where ours go; what it calls an error is one of ours
// only when a call fails, and then the caller is told.
void ForwardLog(gpr_log_func_args* args) {
  const auto level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::warn : spdlog::level::debug;
  spdlog::log(level, "gRPC: {}", args->message);
}

void SetLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(limits::kRequestBytesMax);
  builder->SetMaxSendMessageSize(limits::kAnswerBytesMax);
  // Two coordinators must not share a port.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Parked polls carry no data: both sides look whether the other still lives. Clients
  // may ping more often than they do, or the server would cut them off.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
}

// The library adds reflection to every server of a program that is linked with it, and serves
// it to everybody.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const std::string name = grpc::reflection::ProtoServerReflectionPlugin().name();
    std::erase_if(*plugins, [&](const auto& plugin) { return plugin->name() == name; });
  }
};

bool AuthRequired(const ServiceOptions& options, const ListenAddress& listen) {
  if (options.auth != ServiceOptions::Auth::kDefault) {
    return options.auth == ServiceOptions::Auth::kRequired;
  }
  return !listen.is_local() && !options.tls.tls_cert.empty();
}

}  // namespace

ServiceHost::ServiceHost(Engine* engine, const ServiceOptions& options, bool auth_required)
    : engine_(engine),
      gate_(engine, auth_required),
      sweep_service_(engine, &gate_, options.version),
      worker_service_(engine, &gate_, options.version),
      admin_service_(engine, &gate_) {}

ServiceHost::~ServiceHost() { Shutdown(/*grace_ms=*/0); }

absl::Status ServiceHost::Check(const ServiceOptions& options) {
  LOGLOG_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(options.listen));
  LOGLOG_RETURN_IF_ERROR(CheckServerSecurity(options.tls));
  if (listen.is_local() || options.insecure) return absl::OkStatus();
  if (options.tls.tls_cert.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", options.listen,
        " can be reached from other hosts, and everybody there could submit and cancel; give "
        "--tls-cert and --tls-key (deploy/make-certs makes them), or --insecure on a network you "
        "trust"));
  }
  if (options.auth == ServiceOptions::Auth::kOff) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", options.listen,
        " can be reached from other hosts, and with --auth off everybody there could submit and "
        "cancel; leave --auth away, or give --insecure on a network you trust"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ServiceHost>> ServiceHost::Start(Engine* engine,
                                                                const ServiceOptions& options) {
  gpr_set_log_function(&ForwardLog);
  LOGLOG_RETURN_IF_ERROR(Check(options));
  LOGLOG_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(options.listen));
  const bool auth_required = AuthRequired(options, listen);
  std::unique_ptr<ServiceHost> host(new ServiceHost(engine, options, auth_required));
  // The library reports a failed bind without its reason.
  LOGLOG_RETURN_IF_ERROR(CheckCanListen(listen));

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen.Text(), MakeServerCredentials(options.tls), &port);
  builder.RegisterService(&host->sweep_service_);
  builder.RegisterService(&host->worker_service_);
  builder.RegisterService(&host->admin_service_);
  if (auth_required) builder.SetOption(std::make_unique<WithoutReflection>());
  SetLimits(&builder);
  // A socket is its owner's from the moment it is there.
  const mode_t mask = listen.is_unix() ? umask(0177) : 0;
  host->server_ = builder.BuildAndStart();
  if (listen.is_unix()) umask(mask);
  if (host->server_ == nullptr || port == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", options.listen, ": cannot serve there",
        options.tls.tls_cert.empty() ? "" : " with ", options.tls.tls_cert, "; the log says why"));
  }
  ListenAddress real = listen;
  if (!real.is_unix()) real.port = port;
  host->address_ = real.Text();
  return host;
}

std::shared_ptr<grpc::Channel> ServiceHost::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

void ServiceHost::Shutdown(int64_t grace_ms) {
  if (server_ == nullptr) return;
  if (grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService()) {
    health->SetServingStatus(false);
  }
  engine_->BeginStop();
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(grace_ms));
  server_->Wait();
  server_.reset();
}

}  // namespace loglog
