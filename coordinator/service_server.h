#ifndef LOGLOG_COORDINATOR_SERVICE_SERVER_H_
#define LOGLOG_COORDINATOR_SERVICE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/engine.h"
#include "coordinator/sweep_service.h"
#include "coordinator/worker_service.h"

namespace loglog {

struct ServerOptions {
  std::string listen = "127.0.0.1:7070";  // host:port (0: any free port) or unix:/path
  bool insecure = false;                  // allows a wider address without TLS
  // PEM files. Certificate and key together; with a CA, clients must show a
  // certificate of it.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_ca;
};

// INVALID_ARGUMENT: no address, or one beyond this machine without TLS or --insecure,
// or a certificate without its key. Reads no file.
absl::Status CheckListen(const ServerOptions& options);

// Both services, health and reflection on one port. Start and stop from one thread.
class Server {
 public:
  // `engine` outlives this. UNAVAILABLE: the address is taken or not of this machine.
  // NOT_FOUND: a PEM file is missing.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Engine* engine,
                                                       const ServerOptions& options);
  ~Server();

  // With the port that was taken.
  const std::string& address() const { return address_; }

  // Health says NOT_SERVING, parked calls and streams end with UNAVAILABLE, then what
  // is left gets up to `grace_ms` before it is cut off. The engine is told first
  // (Engine::BeginStop) and stopped after.
  void Stop(int64_t grace_ms);

 private:
  explicit Server(Engine* engine) : engine_(engine), sweeps_(engine), workers_(engine) {}

  Engine* const engine_;
  SweepServiceImpl sweeps_;
  WorkerServiceImpl workers_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_SERVER_H_
