#include "base/clock.h"

#include <chrono>

namespace loglog {
namespace {

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
        .count();
  }
};

}  // namespace

Clock* Clock::Real() {
  static RealClock clock;
  return &clock;
}

int64_t FakeClock::monotonic_ms() const {
  MutexLock lock(mutex_);
  return now_ms_;
}

int64_t FakeClock::wall_ms() const { return monotonic_ms(); }

void FakeClock::Advance(int64_t ms) {
  MutexLock lock(mutex_);
  now_ms_ += ms;
}

}  // namespace loglog
