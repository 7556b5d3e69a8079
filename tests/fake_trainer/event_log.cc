#include "tests/fake_trainer/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace loglog {

EventLog::EventLog(const std::string& path, int bell_fd)
    : bell_fd_(fcntl(bell_fd, F_GETFL) >= 0 ? bell_fd : -1) {
  if (bell_fd_ >= 0) fcntl(bell_fd_, F_SETFL, fcntl(bell_fd_, F_GETFL) | O_NONBLOCK);
  // Where the bell is closed, the file must not become it.
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error(path + ": " + strerror(errno));
  fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 4);
  close(fd);
}

EventLog::~EventLog() { close(fd_); }

void EventLog::Bytes(const std::string& bytes) {
  if (write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    throw std::runtime_error(std::string("cannot write events.jsonl: ") + strerror(errno));
  }
  // The bell may be closed or full; the file is the truth.
  [[maybe_unused]] const ssize_t rung =
      bell_fd_ >= 0 ? write(bell_fd_, bytes.data(), bytes.size()) : 0;
}

void EventLog::Sync() {
  if (fsync(fd_) != 0) throw std::runtime_error("cannot fsync events.jsonl");
}

}  // namespace loglog
