#include "proto/key_pair.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <fstream>
#include <memory>
#include <sstream>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace loglog {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

absl::StatusOr<std::string> Read(const std::string& flag, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  if (file) return bytes.str();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": cannot read ", path, "; give a PEM file that this user may read"));
}

Bio Memory(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
}

absl::StatusOr<Certificate> ReadCertificate(const std::string& flag, const std::string& path) {
  const absl::StatusOr<std::string> text = Read(flag, path);
  if (!text.ok()) return text.status();
  Certificate certificate(PEM_read_bio_X509(Memory(*text).get(), nullptr, nullptr, nullptr),
                          &X509_free);
  if (certificate != nullptr) return certificate;
  return absl::InvalidArgumentError(absl::StrCat(
      flag, ": ", path, " holds no certificate; give a PEM file (-----BEGIN CERTIFICATE-----)"));
}

// A key under a password cannot be used by a daemon.
int NoPassword(char*, int, int, void*) { return 0; }

}  // namespace

absl::Status CheckCertificateFile(const std::string& flag, const std::string& path) {
  return ReadCertificate(flag, path).status();
}

absl::Status CheckKeyPair(const std::string& certificate_path, const std::string& key_path) {
  if (certificate_path.empty() != key_path.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key belong together; give both, or neither");
  }
  if (certificate_path.empty()) return absl::OkStatus();
  const absl::StatusOr<Certificate> certificate = ReadCertificate("--tls-cert", certificate_path);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string> text = Read("--tls-key", key_path);
  if (!text.ok()) return text.status();
  const Key key(PEM_read_bio_PrivateKey(Memory(*text).get(), nullptr, &NoPassword, nullptr),
                &EVP_PKEY_free);
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-key: ", key_path,
                     " holds no private key without a password; give a PEM file (-----BEGIN "
                     "PRIVATE KEY-----)"));
  }
  if (X509_check_private_key(certificate->get(), key.get()) == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--tls-key: ", key_path, " is not the key of ",
                                                 certificate_path,
                                                 "; give the two that were made together"));
}

}  // namespace loglog
