#ifndef LOGLOG_PROTO_CREDENTIALS_H_
#define LOGLOG_PROTO_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace loglog {

// How to speak to a coordinator: TLS that trusts the authorities of the PEM file
// `tls_ca`, or none when that is empty. INVALID_ARGUMENT names a file that cannot serve.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const std::string& tls_ca);

}  // namespace loglog

#endif  // LOGLOG_PROTO_CREDENTIALS_H_
