#ifndef LOGLOG_PROTO_KEY_PAIR_H_
#define LOGLOG_PROTO_KEY_PAIR_H_

#include <string>

#include "absl/status/status.h"

namespace loglog {

// The TLS library reports unusable files only when a connection comes up, and then to nobody:
// so they are looked at beforehand. INVALID_ARGUMENT names the flag, the file and what is
// wrong with it.

// A PEM file with at least one certificate.
absl::Status CheckCertificateFile(const std::string& flag, const std::string& path);
// --tls-cert and --tls-key: a certificate and its own private key, both or neither given.
absl::Status CheckKeyPair(const std::string& certificate_path, const std::string& key_path);

}  // namespace loglog

#endif  // LOGLOG_PROTO_KEY_PAIR_H_
