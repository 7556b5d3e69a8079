#include "coordinator/service_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace loglog {
namespace {

constexpr int kMessageBytesMax = 64 << 20;
// Below the clients' 20 s, so that their pings are never taken for abuse.
constexpr int kMinPingIntervalMs = 10'000;
constexpr int kKeepaliveMs = 30'000;

// The part before the last colon, without brackets.
std::string HostOf(const std::string& listen) {
  std::string host = listen.substr(0, listen.rfind(':'));
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

bool IsLocal(const std::string& listen) {
  if (absl::StartsWith(listen, "unix:")) return true;
  const std::string host = HostOf(listen);
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const ServerOptions& options) {
  if (options.tls_cert.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions ssl(
      options.tls_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  LOGLOG_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile(options.tls_cert));
  LOGLOG_ASSIGN_OR_RETURN(pair.private_key, ReadFile(options.tls_key));
  ssl.pem_key_cert_pairs.push_back(pair);
  if (!options.tls_ca.empty()) {
    LOGLOG_ASSIGN_OR_RETURN(ssl.pem_root_certs, ReadFile(options.tls_ca));
  }
  return grpc::SslServerCredentials(ssl);
}

}  // namespace

absl::Status CheckListen(const ServerOptions& options) {
  if (!absl::StartsWith(options.listen, "unix:") &&
      options.listen.rfind(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen is '", options.listen,
                     "'; write host:port, such as 127.0.0.1:7070, or unix:/path"));
  }
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together; give both");
  }
  if (!options.tls_ca.empty() && options.tls_cert.empty()) {
    return absl::InvalidArgumentError("--tls-ca needs --tls-cert and --tls-key");
  }
  if (IsLocal(options.listen) || options.insecure || !options.tls_cert.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--listen ", options.listen,
      " can be reached from other machines, by anyone; give --tls-cert and --tls-key, or "
      "--insecure if the network is trusted, or listen on 127.0.0.1"));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Engine* engine,
                                                      const ServerOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckListen(options));
  LOGLOG_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                          Credentials(options));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  std::unique_ptr<Server> server(new Server(engine));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, credentials, &port);
  // Else two coordinators could share a port, each getting a part of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.RegisterService(&server->sweeps_);
  builder.RegisterService(&server->workers_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.listen,
        ": it is in use or not an address of this machine; choose another with --listen, or port "
        "0 for a free one"));
  }
  server->address_ =
      absl::StartsWith(options.listen, "unix:")
          ? options.listen
          : absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  return server;
}

Server::~Server() { Stop(0); }

void Server::Stop(int64_t grace_ms) {
  if (server_ == nullptr) return;
  if (server_->GetHealthCheckService() != nullptr) {
    server_->GetHealthCheckService()->SetServingStatus(false);
  }
  engine_->BeginStop();
  workers_.BeginStop();
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(grace_ms));
  server_->Wait();
  server_.reset();
}

}  // namespace loglog
