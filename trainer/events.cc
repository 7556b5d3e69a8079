#include "trainer/events.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "shards/file_writer.h"

namespace loglog {
namespace {

using nlohmann::ordered_json;

[[noreturn]] void Throw(const std::string& path, const char* what, int error) {
  throw FileError(path + ": " + what + ": " + std::strerror(error) +
                      (error == ENOSPC || error == EDQUOT || error == EFBIG
                           ? "; free space there or choose another run_dir"
                           : ""),
                  error);
}

void KeepOlderFile(const std::string& run_dir, const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_size == 0) return;
  for (int n = 1;; ++n) {
    const std::string kept = run_dir + "/events-" + std::to_string(n) + ".jsonl";
    if (stat(kept.c_str(), &info) == 0) continue;
    if (rename(path.c_str(), kept.c_str()) != 0) Throw(path, "cannot be set aside", errno);
    return;
  }
}

// Bytes up to and with the last line feed, looked for from the end: the file of a long run
// is large, and its last line is not.
off_t WholeLines(int fd, off_t size, const std::string& path) {
  char block[4096];
  while (size > 0) {
    const off_t begin = std::max<off_t>(0, size - static_cast<off_t>(sizeof block));
    const ssize_t n = pread(fd, block, static_cast<size_t>(size - begin), begin);
    if (n < 0 && errno == EINTR) continue;
    if (n != size - begin) Throw(path, "cannot be read", n < 0 ? errno : EIO);
    for (ssize_t i = n; i > 0; --i) {
      if (block[i - 1] == '\n') return begin + i;
    }
    size = begin;
  }
  return 0;
}

// A process that was killed while it wrote leaves half a line.
void CutTornLine(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) Throw(path, "cannot be read", errno);
  const off_t whole = WholeLines(fd, info.st_size, path);
  if (whole < info.st_size && ftruncate(fd, whole) != 0) {
    Throw(path, "cannot be cut to whole lines", errno);
  }
}

}  // namespace

ordered_json EventNumber(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double NumberFromEvent(const ordered_json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  throw std::runtime_error(value.dump() + " is not a number");
}

int FindBell() {
  constexpr int kBell = 3;
  struct stat info {};
  const int flags = fcntl(kBell, F_GETFL);
  if (flags < 0 || fstat(kBell, &info) != 0) return -1;
  const int access = flags & O_ACCMODE;
  if (access != O_WRONLY && access != O_RDWR) return -1;
  if (!S_ISFIFO(info.st_mode) && !S_ISSOCK(info.st_mode)) return -1;
  if (fcntl(kBell, F_SETFL, flags | O_NONBLOCK) != 0) return -1;
  fcntl(kBell, F_SETFD, FD_CLOEXEC);
  return kBell;
}

EventLog::EventLog(const std::string& run_dir, Mode mode, int bell_fd)
    : path_(run_dir + "/events.jsonl"), bell_fd_(bell_fd) {
  if (mode == Mode::kFresh) KeepOlderFile(run_dir, path_);
  fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) Throw(path_, "cannot be opened", errno);
  if (mode == Mode::kContinue) CutTornLine(fd_, path_);
  // The file's name, and the older file's new one, must outlive a crash as its lines do.
  SyncDirectory(run_dir);
}

EventLog::~EventLog() { close(fd_); }

void EventLog::Write(const ordered_json& line) {
  const std::string text = line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(fd_, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Throw(path_, "cannot be written", errno);
    written += static_cast<size_t>(n);
  }
  RingBell(text);
}

void EventLog::RingBell(const std::string& line) {
  if (bell_fd_ < 0) return;
  // A reader that left must not be tried for ever; one that is slow misses lines.
  if (write(bell_fd_, line.data(), line.size()) < 0 && errno != EAGAIN && errno != EINTR) {
    bell_fd_ = -1;
  }
}

void EventLog::Sync() {
  if (fdatasync(fd_) != 0) Throw(path_, "cannot be synced to disk", errno);
}

}  // namespace loglog
