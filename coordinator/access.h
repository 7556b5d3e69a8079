#ifndef LOGLOG_COORDINATOR_ACCESS_H_
#define LOGLOG_COORDINATOR_ACCESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/rows.h"

// Who may do what. Pure.
namespace loglog {

// Who calls. One without a name is anybody, where nobody is asked who they are.
struct Principal {
  std::string name;  // as events show it
  Role role = Role::kAdmin;
  std::string worker;              // only of a WORKER: the id it may be, "gpu-*" or "*"
  std::string certificate_worker;  // the id in its certificate; empty: none
  int64_t token_id = 0;            // 0: without a token
};

// The least role that may call an RPC ("SweepService.GetSweep"). Nothing for what is not in
// the table: nobody may call that.
std::optional<Role> LeastRole(absl::string_view rpc);

// VIEWER < SUBMITTER < ADMIN; WORKER stands aside and may only what asks for WORKER, which
// ADMIN may as well.
bool Allows(Role role, Role least);

// PERMISSION_DENIED, with what is missing and who can help.
absl::Status CheckAccess(const Principal& caller, absl::string_view rpc);
// Whether the caller may speak as this worker. PERMISSION_DENIED.
absl::Status CheckWorker(const Principal& caller, absl::string_view worker_id);

// "gpu-1", "gpu-*" or "*". INVALID_ARGUMENT.
absl::Status CheckWorkerPattern(absl::string_view pattern);

// The id in the names of a client certificate: one of the form "worker:ID". Empty when none
// is. UNAUTHENTICATED: several ids, or one that no worker can have.
absl::StatusOr<std::string> WorkerOfCertificate(const std::vector<std::string>& names);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ACCESS_H_
