#ifndef LOGLOG_COORDINATOR_SERVICE_HOST_H_
#define LOGLOG_COORDINATOR_SERVICE_HOST_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/admin_service.h"
#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "coordinator/sweep_service.h"
#include "coordinator/worker_service.h"
#include "proto/credentials.h"

namespace loglog {

struct ServiceOptions {
  std::string listen = "127.0.0.1:7070";  // "host:port", "[v6]:port", "unix:/path"; port 0: any
  // Serve a wider address than loopback without TLS, or without asking who calls.
  bool insecure = false;
  ServerSecurity tls;
  // Whether callers have to say who they are. By default they have where others than this
  // host reach the address through TLS.
  enum class Auth { kDefault, kOff, kRequired };
  Auth auth = Auth::kDefault;
  std::string version;
};

// The gRPC server in front of an engine: its services, health (for everybody), and, where
// nobody is asked who they are, reflection.
// One thread owns it.
class ServiceHost {
 public:
  // What Start would refuse before it touches the network: INVALID_ARGUMENT.
  static absl::Status Check(const ServiceOptions& options);
  // INVALID_ARGUMENT: the address or the TLS material, or a wider address than loopback
  // with neither TLS and callers that are asked nor `insecure`. ALREADY_EXISTS: the address is in
  // use. Every message names the address and what to do.
  static absl::StatusOr<std::unique_ptr<ServiceHost>> Start(Engine* engine,
                                                            const ServiceOptions& options);
  ~ServiceHost();
  ServiceHost(const ServiceHost&) = delete;
  ServiceHost& operator=(const ServiceHost&) = delete;

  // With the real port: what clients connect to.
  const std::string& address() const { return address_; }
  bool auth_required() const { return gate_.required(); }
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Reports NOT_SERVING, ends parked calls and streams with UNAVAILABLE, refuses new
  // ones, and cancels after `grace_ms` what is still under way. Idempotent.
  void Shutdown(int64_t grace_ms);

 private:
  ServiceHost(Engine* engine, const ServiceOptions& options, bool auth_required);
  Engine* const engine_;
  const ServiceGate gate_;
  SweepServiceImpl sweep_service_;
  WorkerServiceImpl worker_service_;
  AdminServiceImpl admin_service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_HOST_H_
