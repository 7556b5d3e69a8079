// Addresses to listen on: there is one spelling of each, and what is local is.
#include "absl/strings/match.h"
#include "base/check.h"
#include "coordinator/listen_address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  if (!address.ok()) {
    LOGLOG_CHECK(absl::IsInvalidArgument(address.status()));
    return 0;
  }
  LOGLOG_CHECK(address->Text() == text);
  LOGLOG_CHECK(address->port >= 0 && address->port <= 65535);
  if (address->is_unix()) return 0;
  LOGLOG_CHECK(!address->host.empty());
  // Nothing but loopback may pass for local: there is no TLS on it.
  LOGLOG_CHECK(!address->is_local() || address->host == "localhost" || address->host == "::1" ||
               absl::StartsWith(address->host, "127."));
  return 0;
}
