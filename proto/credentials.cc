#include "proto/credentials.h"

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace loglog {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const std::string& tls_ca) {
  if (tls_ca.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(tls_ca, std::ios::binary);
  std::stringstream pem;
  pem << file.rdbuf();
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-ca: cannot read ", tls_ca, "; give a PEM file of certificates"));
  }
  if (!absl::StrContains(pem.str(), "-----BEGIN CERTIFICATE-----")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-ca: ", tls_ca,
                     " holds no certificate; give a PEM file (-----BEGIN CERTIFICATE-----)"));
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = pem.str();
  return grpc::SslCredentials(tls);
}

}  // namespace loglog
