#include "bench/control/doorbell.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "bench/control/bench.h"

namespace loglog::bench {

Doorbell::Doorbell(const std::string& path) : path_(AbsolutePath(path)) {
  std::filesystem::remove(path_);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    Must(absl::InvalidArgumentError(
        absl::StrCat(path_, ": too long a path for a socket; give a shorter --dir")));
  }
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval patience = {60, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Must(ErrnoStatus(errno, absl::StrCat("cannot listen at ", path_)));
  }
}

Doorbell::~Doorbell() {
  close(fd_);
  std::filesystem::remove(path_);
}

char Doorbell::Wait() {
  char what = 0;
  if (recv(fd_, &what, 1, 0) != 1) Must(ErrnoStatus(errno, "no trainer said anything for a while"));
  return what;
}

}  // namespace loglog::bench
