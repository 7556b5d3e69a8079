#ifndef LOGLOG_BASE_CLOCK_H_
#define LOGLOG_BASE_CLOCK_H_

#include <cstdint>

#include "base/mutex.h"

namespace loglog {

// Time as every part of the control plane sees it. Monotonic milliseconds decide
// (leases, timers); wall milliseconds are only recorded for people.
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds of a clock that never steps back; its zero means nothing.
  virtual int64_t monotonic_ms() const = 0;
  // Milliseconds since the Unix epoch, UTC.
  virtual int64_t wall_ms() const = 0;

  // The process's real clocks; lives for ever.
  static Clock* Real();
};

// What the wall clock of Real() shows from now on: the host's, `ms` later (earlier when
// negative). For tests of hosts whose clocks are wrong. Thread-safe.
void SetWallClockOffset(int64_t ms);

// A clock that moves only when told to. Thread-safe.
class FakeClock : public Clock {
 public:
  explicit FakeClock(int64_t start_ms = 1'000'000) : now_ms_(start_ms) {}
  int64_t monotonic_ms() const override;
  int64_t wall_ms() const override;
  void Advance(int64_t ms);
  // As a person or a time service does: the wall clock alone.
  void StepWall(int64_t ms);

 private:
  mutable Mutex mutex_;
  int64_t now_ms_ LOGLOG_GUARDED_BY(mutex_);
  int64_t wall_offset_ms_ LOGLOG_GUARDED_BY(mutex_) = 0;
};

}  // namespace loglog

#endif  // LOGLOG_BASE_CLOCK_H_
