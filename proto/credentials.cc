#include "proto/credentials.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/key_pair.h"

namespace loglog {
namespace {

namespace tls = grpc::experimental;

// How often changed files are looked for.
constexpr unsigned kRefreshS = 1;

std::shared_ptr<tls::CertificateProviderInterface> WatchFiles(const std::string& key,
                                                              const std::string& certificate,
                                                              const std::string& authorities) {
  return std::make_shared<tls::FileWatcherCertificateProvider>(key, certificate, authorities,
                                                               kRefreshS);
}

// A header with other bytes would end the process.
bool IsHeaderText(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
}

// The token of a channel. Thread-safe.
class TokenSource {
 public:
  explicit TokenSource(const ClientSecurity& security)
      : file_(security.token_file), token_(security.token) {}

  // INVALID_ARGUMENT: the file cannot be read, or holds no token.
  absl::Status Load() {
    if (file_.empty()) {
      if (token_.empty() || IsHeaderText(token_)) return absl::OkStatus();
      return absl::InvalidArgumentError(
          "LOGLOG_TOKEN holds blanks or other bytes that no token has; set it to the llg_... "
          "text alone");
    }
    std::ifstream file(file_, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    const std::string text(absl::StripAsciiWhitespace(bytes.str()));
    if (!file || !IsHeaderText(text)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--token-file: ", file_,
                       file ? " holds no token; write the llg_... text alone"
                            : " cannot be read; give a file that this user may read"));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    token_ = text;
    return absl::OkStatus();
  }

  // The newest: a file that is just being replaced leaves the one before.
  std::string Newest() {
    if (!file_.empty()) Load().IgnoreError();
    const std::lock_guard<std::mutex> lock(mutex_);
    return token_;
  }

 private:
  const std::string file_;
  std::mutex mutex_;  // proto/ knows nothing of ours, base/mutex.h included
  std::string token_;
};

class AddToken : public tls::Interceptor {
 public:
  explicit AddToken(std::string token) : token_(std::move(token)) {}
  void Intercept(tls::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            tls::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", "Bearer " + token_});
    }
    methods->Proceed();
  }

 private:
  const std::string token_;
};

// Call credentials would do the same, but the library refuses them without TLS, on loopback
// and Unix sockets, too.
class AddTokenToCalls : public tls::ClientInterceptorFactoryInterface {
 public:
  explicit AddTokenToCalls(std::shared_ptr<TokenSource> source) : source_(std::move(source)) {}
  tls::Interceptor* CreateClientInterceptor(tls::ClientRpcInfo*) override {
    return new AddToken(source_->Newest());
  }

 private:
  const std::shared_ptr<TokenSource> source_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const ClientSecurity& security) {
  absl::Status status = CheckKeyPair(security.tls_cert, security.tls_key);
  if (!status.ok()) return status;
  if (security.tls_ca.empty()) {
    if (security.tls_cert.empty()) return grpc::InsecureChannelCredentials();
    return absl::InvalidArgumentError(
        "--tls-cert is for TLS: give --tls-ca, too, with the authority of the coordinator's "
        "certificate");
  }
  status = CheckCertificateFile("--tls-ca", security.tls_ca);
  if (!status.ok()) return status;
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      WatchFiles(security.tls_key, security.tls_cert, security.tls_ca));
  options.watch_root_certs();
  if (!security.tls_cert.empty()) options.watch_identity_key_cert_pairs();
  return tls::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeSecureChannel(
    const std::string& address, const ClientSecurity& security,
    const grpc::ChannelArguments& arguments) {
  const auto credentials = ClientCredentials(security);
  if (!credentials.ok()) return credentials.status();
  std::vector<std::unique_ptr<tls::ClientInterceptorFactoryInterface>> interceptors;
  if (!security.token.empty() || !security.token_file.empty()) {
    if (security.tls_ca.empty() && !security.insecure && !IsLocalAddress(address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the token would travel to ", address,
          " in plain text, for everybody on the way to read; give --tls-ca, or --insecure on a "
          "network you trust"));
    }
    auto source = std::make_shared<TokenSource>(security);
    if (absl::Status status = source->Load(); !status.ok()) return status;
    interceptors.push_back(std::make_unique<AddTokenToCalls>(std::move(source)));
  }
  return tls::CreateCustomChannelWithInterceptors(address, *credentials, arguments,
                                                  std::move(interceptors));
}

absl::Status CheckServerSecurity(const ServerSecurity& security) {
  if (absl::Status status = CheckKeyPair(security.tls_cert, security.tls_key); !status.ok()) {
    return status;
  }
  if (security.tls_client_ca.empty()) return absl::OkStatus();
  if (security.tls_cert.empty()) {
    return absl::InvalidArgumentError(
        "--tls-client-ca is for TLS: give --tls-cert and --tls-key, too");
  }
  return CheckCertificateFile("--tls-client-ca", security.tls_client_ca);
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const ServerSecurity& security) {
  if (security.tls_cert.empty()) return grpc::InsecureServerCredentials();
  tls::TlsServerCredentialsOptions options(
      WatchFiles(security.tls_key, security.tls_cert, security.tls_client_ca));
  options.watch_identity_key_cert_pairs();
  if (!security.tls_client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

bool IsLocalAddress(absl::string_view address) {
  if (absl::StartsWith(address, "unix:") || absl::StartsWith(address, "localhost:") ||
      absl::StartsWith(address, "[::1]:")) {
    return true;
  }
  // Numbers only: names may begin with 127., too.
  return absl::StartsWith(address, "127.") &&
         address.find_first_not_of("0123456789.:") == absl::string_view::npos;
}

}  // namespace loglog
