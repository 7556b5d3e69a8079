#include "coordinator/service_gate.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace loglog {
namespace {

constexpr char kHeader[] = "authorization";

// Names in the certificate of the peer, which were verified with it; none without one.
std::vector<std::string> CertificateNames(const grpc::CallbackServerContext& context) {
  std::vector<std::string> names;
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr) return names;
  for (const char* property : {GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME}) {
    for (const grpc::string_ref& name : peer->FindPropertyValues(property)) {
      names.emplace_back(name.data(), name.size());
    }
  }
  return names;
}

absl::StatusOr<absl::string_view> BearerToken(const grpc::CallbackServerContext& context) {
  const auto& headers = context.client_metadata();
  const auto [begin, end] = headers.equal_range(kHeader);
  if (begin == end) {
    return absl::UnauthenticatedError(
        "this coordinator asks who calls: set LOGLOG_TOKEN, or give --token-file; an admin makes "
        "tokens with `loglog token create`");
  }
  absl::string_view token(begin->second.data(), begin->second.size());
  if (std::next(begin) != end || !absl::ConsumePrefix(&token, "Bearer ")) {
    return absl::UnauthenticatedError("authorization: must be one header, `Bearer llg_...`");
  }
  return token;
}

}  // namespace

absl::StatusOr<Principal> ServiceGate::Admit(const grpc::CallbackServerContext& context,
                                             absl::string_view rpc) const {
  Principal caller;
  LOGLOG_ASSIGN_OR_RETURN(caller.certificate_worker,
                          WorkerOfCertificate(CertificateNames(context)));
  if (!required_) return caller;
  const absl::StatusOr<absl::string_view> token = BearerToken(context);
  if (token.ok()) {
    LOGLOG_ASSIGN_OR_RETURN(const TokenRow row, engine_->FindToken(*token));
    caller.name = row.name;
    caller.role = row.role;
    caller.worker = row.worker;
    caller.token_id = row.token_id;
  } else if (!caller.certificate_worker.empty() && context.client_metadata().count(kHeader) == 0) {
    caller.name = absl::StrCat("worker:", caller.certificate_worker);
    caller.role = Role::kWorker;
    caller.worker = caller.certificate_worker;
  } else {
    return token.status();
  }
  LOGLOG_RETURN_IF_ERROR(CheckAccess(caller, rpc));
  return caller;
}

absl::Status ServiceGate::StillAdmitted(const Principal& caller) const {
  return caller.token_id == 0 ? absl::OkStatus() : engine_->CheckToken(caller.token_id);
}

}  // namespace loglog
