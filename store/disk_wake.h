#ifndef LOGLOG_STORE_DISK_WAKE_H_
#define LOGLOG_STORE_DISK_WAKE_H_

#include <atomic>
#include <cstdint>
#include <string>

namespace loglog {

// A disk that has rested for some milliseconds takes a third longer for the next sync. Reading
// one block past the page cache, beside the work that leads to that sync, wakes it
// (docs/decisions/store-log-writes.md).
// Thread-safe.
class DiskWake {
 public:
  static constexpr int64_t kRestMs = 5;

  // `path`: a file on that disk that is not empty and on which nobody holds POSIX locks, which
  // closing a descriptor would drop. Where there is none, and where the page cache cannot be
  // passed by, Wake does nothing.
  explicit DiskWake(const std::string& path);
  ~DiskWake();
  DiskWake(const DiskWake&) = delete;
  DiskWake& operator=(const DiskWake&) = delete;

  // Whether the last time that this was true is at least kRestMs ago: under load the disk is
  // awake.
  bool Due(int64_t now_ms);
  // Waits for the disk: some hundred microseconds.
  void Wake() const;

 private:
  const int fd_;
  std::atomic<int64_t> due_ms_{0};
};

}  // namespace loglog

#endif  // LOGLOG_STORE_DISK_WAKE_H_
