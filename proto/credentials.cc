#include "proto/credentials.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace loglog {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const std::string& tls_ca) {
  if (tls_ca.empty()) return grpc::InsecureChannelCredentials();
  const absl::StatusOr<std::string> pem = ReadFile(tls_ca);
  if (!pem.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-ca: ", pem.status().message()));
  }
  if (!absl::StrContains(*pem, "-----BEGIN CERTIFICATE-----")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-ca: ", tls_ca,
                     " holds no certificate; give a PEM file (-----BEGIN CERTIFICATE-----)"));
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = *pem;
  return grpc::SslCredentials(tls);
}

}  // namespace loglog
