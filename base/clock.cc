#include "base/clock.h"

#include <atomic>
#include <chrono>

namespace loglog {
namespace {

std::atomic<int64_t> wall_offset_ms = 0;

class RealClock : public Clock {
 public:
  int64_t monotonic_ms() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  int64_t wall_ms() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
               .count() +
           wall_offset_ms;
  }
};

}  // namespace

Clock* Clock::Real() {
  static RealClock clock;
  return &clock;
}

void SetWallClockOffset(int64_t ms) { wall_offset_ms = ms; }

int64_t FakeClock::monotonic_ms() const {
  MutexLock lock(mutex_);
  return now_ms_;
}

int64_t FakeClock::wall_ms() const {
  MutexLock lock(mutex_);
  return now_ms_ + wall_offset_ms_;
}

void FakeClock::Advance(int64_t ms) {
  MutexLock lock(mutex_);
  now_ms_ += ms;
}

void FakeClock::StepWall(int64_t ms) {
  MutexLock lock(mutex_);
  wall_offset_ms_ += ms;
}

}  // namespace loglog
