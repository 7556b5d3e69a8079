#ifndef LOGLOG_COORDINATOR_SERVICE_GATE_H_
#define LOGLOG_COORDINATOR_SERVICE_GATE_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/access.h"
#include "coordinator/engine.h"

namespace loglog {

// The one place where it is decided who calls and whether they may. Every handler of every
// service asks it first. Never waits. Thread-safe.
class ServiceGate {
 public:
  // `required`: callers show a token, or a worker's certificate. Else everybody may do
  // everything, but be no other worker than the one in their certificate.
  ServiceGate(Engine* engine, bool required) : engine_(engine), required_(required) {}

  bool required() const { return required_; }
  // Who calls `rpc` ("SweepService.GetSweep"). UNAUTHENTICATED, PERMISSION_DENIED.
  absl::StatusOr<Principal> Admit(const grpc::CallbackServerContext& context,
                                  absl::string_view rpc) const;
  // For calls that last: whether who was admitted still would be. UNAUTHENTICATED.
  absl::Status StillAdmitted(const Principal& caller) const;

 private:
  Engine* const engine_;
  const bool required_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_GATE_H_
