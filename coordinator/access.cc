#include "coordinator/access.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/names.h"

namespace loglog {
namespace {

constexpr std::pair<absl::string_view, Role> kLeastRoles[] = {
    {"SweepService.GetSweep", Role::kViewer},
    {"SweepService.ListSweeps", Role::kViewer},
    {"SweepService.WatchSweep", Role::kViewer},
    {"SweepService.ListTrials", Role::kViewer},
    {"SweepService.GetTrial", Role::kViewer},
    {"SweepService.ListPoints", Role::kViewer},
    {"SweepService.GetTrialEvents", Role::kViewer},
    {"SweepService.GetFit", Role::kViewer},
    {"SweepService.ListFits", Role::kViewer},
    {"SweepService.ListWorkers", Role::kViewer},
    {"SweepService.GetServerInfo", Role::kViewer},
    {"SweepService.CreateSweep", Role::kSubmitter},
    {"SweepService.PauseSweep", Role::kSubmitter},
    {"SweepService.ResumeSweep", Role::kSubmitter},
    {"SweepService.CancelSweep", Role::kSubmitter},
    {"SweepService.RetryTrials", Role::kSubmitter},
    {"SweepService.CancelTrial", Role::kSubmitter},
    {"SweepService.StopTrial", Role::kSubmitter},
    // Both compute and store what they find.
    {"SweepService.CreateFit", Role::kSubmitter},
    {"SweepService.CompareArms", Role::kSubmitter},
    {"SweepService.DrainWorker", Role::kAdmin},
    {"SweepService.ResumeWorker", Role::kAdmin},
    {"WorkerService.RegisterWorker", Role::kWorker},
    {"WorkerService.SyncWorker", Role::kWorker},
    {"WorkerService.StreamMetrics", Role::kWorker},
    {"AdminService.CreateToken", Role::kAdmin},
    {"AdminService.ListTokens", Role::kAdmin},
    {"AdminService.RevokeToken", Role::kAdmin},
};

constexpr absl::string_view kCertificatePrefix = "worker:";

std::string Lower(Role role) { return absl::AsciiStrToLower(RoleName(role)); }

bool Matches(absl::string_view pattern, absl::string_view worker_id) {
  if (absl::ConsumeSuffix(&pattern, "*")) return absl::StartsWith(worker_id, pattern);
  return pattern == worker_id;
}

}  // namespace

std::optional<Role> LeastRole(absl::string_view rpc) {
  for (const auto& [name, role] : kLeastRoles) {
    if (name == rpc) return role;
  }
  return std::nullopt;
}

bool Allows(Role role, Role least) {
  if (role == Role::kAdmin) return true;
  if (role == Role::kWorker || least == Role::kWorker) return role == least;
  return role >= least;
}

absl::Status CheckAccess(const Principal& caller, absl::string_view rpc) {
  const std::optional<Role> least = LeastRole(rpc);
  if (!least.has_value()) {
    return absl::PermissionDeniedError(absl::StrCat(rpc, ": nobody may call this"));
  }
  if (Allows(caller.role, *least)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      caller.name, " has the role ", Lower(caller.role), "; ", rpc, " needs ", Lower(*least),
      *least == Role::kAdmin ? "" : " (or admin)", ": ask an admin for a token of that role"));
}

absl::Status CheckWorker(const Principal& caller, absl::string_view worker_id) {
  const std::string& certificate = caller.certificate_worker;
  if (!certificate.empty() && certificate != worker_id) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the certificate of this connection is for worker ", certificate, ", not for ", worker_id,
        "; start the worker with --name ", certificate, ", or give it a certificate of its own"));
  }
  if (caller.role != Role::kWorker || Matches(caller.worker, worker_id)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the token of ", caller.name, " is for worker ", caller.worker, ", not for ",
                   worker_id, "; start the worker with a --name that fits, or with its own token"));
}

absl::Status CheckWorkerPattern(absl::string_view pattern) {
  absl::string_view id = pattern;
  const bool many = absl::ConsumeSuffix(&id, "*");
  if (many && id.empty()) return absl::OkStatus();
  if (IsResourceId(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("worker: '", pattern.substr(0, 100),
                   "' names no worker; write its id, such as gpu-1, gpu-* for all that begin so, "
                   "or * for any"));
}

absl::StatusOr<std::string> WorkerOfCertificate(const std::vector<std::string>& names) {
  std::string worker;
  for (absl::string_view name : names) {
    if (!absl::ConsumePrefix(&name, kCertificatePrefix)) continue;
    if (!IsResourceId(name)) {
      return absl::UnauthenticatedError(absl::StrCat(
          "the client certificate names a worker that cannot be: '", name.substr(0, 100), "'"));
    }
    if (!worker.empty() && worker != name) {
      return absl::UnauthenticatedError(absl::StrCat("the client certificate names two workers, ",
                                                     worker, " and ", name, "; make one for each"));
    }
    worker = std::string(name);
  }
  return worker;
}

}  // namespace loglog
