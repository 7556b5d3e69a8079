#include "coordinator/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace loglog {
namespace {

absl::Status Malformed(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--listen ", text, ": ", why,
                   "; give host:port (127.0.0.1:7070, [::1]:7070, port 0 for any) or unix:/path"));
}

// A socket file that nobody listens on is left over from a process that was killed; the
// server replaces it.
absl::Status CheckUnixPath(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "cannot make a socket");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::AlreadyExistsError(absl::StrCat("--listen unix:", path,
                                                 ": another process listens there; stop it, or "
                                                 "choose another path"));
  }
  if (errno == ENOENT || errno == ECONNREFUSED) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (access(folder.c_str(), W_OK) == 0) return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("--listen unix:", path));
}

absl::Status TryBind(const ListenAddress& address, const addrinfo& info) {
  const int fd = socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC, info.ai_protocol);
  if (fd < 0) return ErrnoStatus(errno, "cannot make a socket");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, info.ai_addr, info.ai_addrlen) == 0) return absl::OkStatus();
  const std::string text = absl::StrCat("--listen ", address.Text());
  switch (errno) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(absl::StrCat(
          text,
          ": another process listens there (a coordinator that runs already?); stop it, or "
          "choose another port"));
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(
          absl::StrCat(text, ": this host has no such address; `ip addr` lists what it has"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(text, ": ports below 1024 are for root; choose a higher one"));
    default:
      return ErrnoStatus(errno, text);
  }
}

}  // namespace

bool ListenAddress::is_local() const {
  return is_unix() || host == "localhost" || host == "::1" ||
         (absl::StartsWith(host, "127.") &&
          host.find_first_not_of("0123456789.") == std::string::npos);
}

std::string ListenAddress::Text() const {
  if (is_unix()) return absl::StrCat("unix:", unix_path);
  return absl::StrCat(absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : host, ":",
                      port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  ListenAddress address;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    if (rest.empty()) return Malformed(text, "the path is missing");
    if (rest.size() >= sizeof(sockaddr_un::sun_path)) {
      return Malformed(text, absl::StrCat("the path has ", rest.size(), " bytes, at most ",
                                          sizeof(sockaddr_un::sun_path) - 1));
    }
    address.unix_path = std::string(rest);
    return address;
  }
  const size_t colon = rest.rfind(':');
  if (colon == absl::string_view::npos) return Malformed(text, "the port is missing");
  absl::string_view host = rest.substr(0, colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Malformed(text, "the host is missing");
  if (bracketed != absl::StrContains(host, ':')) {
    return Malformed(text, "an IPv6 address, and nothing else, belongs in brackets");
  }
  // "+80" and " 80" are numbers, too.
  const absl::string_view port = rest.substr(colon + 1);
  if (!absl::SimpleAtoi(port, &address.port) || address.port < 0 || address.port > 65535 ||
      absl::StrCat(address.port) != port) {
    return Malformed(text, absl::StrCat("'", port, "' is no port"));
  }
  address.host = std::string(host);
  return address;
}

absl::Status CheckCanListen(const ListenAddress& address) {
  if (address.is_unix()) return CheckUnixPath(address.unix_path);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--listen ", address.Text(), ": ",
                                                   gai_strerror(error), "; check the host's name"));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> infos(found, freeaddrinfo);
  // "localhost" may be two addresses, one of which the host does not have.
  absl::Status status = absl::OkStatus();
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    status = TryBind(address, *info);
    if (status.ok() || absl::IsAlreadyExists(status)) return status;
  }
  return status;
}

}  // namespace loglog
