#include "store/disk_wake.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/io_guard.h"

namespace loglog {
namespace {

// Reads past the page cache begin and end at multiples of it, on every disk.
constexpr size_t kBlockBytes = 4096;

}  // namespace

DiskWake::DiskWake(const std::string& path)
    : fd_(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)) {}

DiskWake::~DiskWake() {
  if (fd_ >= 0) close(fd_);
}

bool DiskWake::Due(int64_t now_ms) {
  int64_t due_ms = due_ms_.load(std::memory_order_relaxed);
  return now_ms >= due_ms && due_ms_.compare_exchange_strong(due_ms, now_ms + kRestMs);
}

void DiskWake::Wake() const {
  CheckIoAllowed("DiskWake::Wake");
  if (fd_ < 0) return;
  alignas(kBlockBytes) char block[kBlockBytes];
  // Nothing depends on what it says, or on whether it works.
  [[maybe_unused]] const ssize_t bytes = pread(fd_, block, sizeof block, 0);
}

}  // namespace loglog
