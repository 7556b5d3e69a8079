#ifndef LOGLOG_PROTO_CREDENTIALS_H_
#define LOGLOG_PROTO_CREDENTIALS_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// How to speak to a coordinator and who says so. Files are PEM and are read again when they
// change: certificates within seconds, tokens with the next call.
struct ClientSecurity {
  std::string tls_ca;    // authorities to trust; empty: no TLS
  std::string tls_cert;  // a certificate of our own and its key; both or neither
  std::string tls_key;
  std::string token;       // what LOGLOG_TOKEN says
  std::string token_file;  // taken before `token`
  bool insecure = false;   // let a token travel in plain text
};

// A channel to `address` on which every call carries the token. INVALID_ARGUMENT names a file
// that cannot serve, or says that the token would be read on the way. Does not connect yet.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeSecureChannel(
    const std::string& address, const ClientSecurity& security,
    const grpc::ChannelArguments& arguments);

struct ServerSecurity {
  std::string tls_cert;  // both or neither; empty: no TLS
  std::string tls_key;
  std::string tls_client_ca;  // not empty: only clients with a certificate of these authorities
};

// INVALID_ARGUMENT: files that cannot serve.
absl::Status CheckServerSecurity(const ServerSecurity& security);
// Of files that were checked; reads them again when they change.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const ServerSecurity& security);

// A coordinator at this address runs on this host, or is tunnelled to it.
bool IsLocalAddress(absl::string_view address);

}  // namespace loglog

#endif  // LOGLOG_PROTO_CREDENTIALS_H_
