#ifndef LOGLOG_COORDINATOR_LISTEN_ADDRESS_H_
#define LOGLOG_COORDINATOR_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// Where a coordinator listens.
struct ListenAddress {
  std::string unix_path;  // not empty: a Unix socket
  std::string host;       // without brackets
  int port = 0;           // 0: any free one

  bool is_unix() const { return !unix_path.empty(); }
  // Reachable only from this host.
  bool is_local() const;
  // "127.0.0.1:7070", "[::1]:7070", "unix:/path"
  std::string Text() const;
};

// INVALID_ARGUMENT names the text and the forms that are accepted.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Whether something could listen there now. ALREADY_EXISTS: something does.
// INVALID_ARGUMENT: no address of this host. Other errors name the address, too.
absl::Status CheckCanListen(const ListenAddress& address);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_LISTEN_ADDRESS_H_
