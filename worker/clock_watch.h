#ifndef LOGLOG_WORKER_CLOCK_WATCH_H_
#define LOGLOG_WORKER_CLOCK_WATCH_H_

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace loglog::worker {

// Notices a wall clock that jumps, or runs away from the monotonic one. Nothing is decided by
// the wall clock, so this is news for people and no more.
// Not thread-safe.
class ClockWatch {
 public:
  // Of the difference between the two clocks, since the start or the last warning.
  static constexpr int64_t kBoundMs = 5'000;

  ClockWatch(int64_t monotonic_ms, int64_t wall_ms) : offset_ms_(wall_ms - monotonic_ms) {}

  // A warning when there is something new; else empty.
  std::string Look(int64_t monotonic_ms, int64_t wall_ms) {
    const int64_t moved_ms = wall_ms - monotonic_ms - offset_ms_;
    if (std::abs(moved_ms) <= kBoundMs) return "";
    offset_ms_ += moved_ms;
    return absl::StrCat(
        "the wall clock of this host moved by ", moved_ms > 0 ? "+" : "", moved_ms,
        " ms against its steady one (it was set, runs wrong, or the host slept); results do not "
        "depend on it, nor do leases but while a host sleeps, times in logs do; see timedatectl or "
        "chronyc tracking");
  }

 private:
  int64_t offset_ms_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_CLOCK_WATCH_H_
