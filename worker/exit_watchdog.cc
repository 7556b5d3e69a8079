#include "worker/exit_watchdog.h"

#include <algorithm>
#include <utility>

namespace loglog::worker {
namespace {

constexpr int64_t kLookMs = 200;

}  // namespace

ExitWatchdog::ExitWatchdog(Clock* clock, std::function<void()> on_late)
    : clock_(clock), on_late_(std::move(on_late)), thread_([this] { Run(); }) {}

ExitWatchdog::~ExitWatchdog() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void ExitWatchdog::Arm(int64_t ms) {
  MutexLock lock(mutex_);
  late_ms_ = std::min(late_ms_, clock_->monotonic_ms() + ms);
  changed_.NotifyAll();
}

void ExitWatchdog::Run() {
  constexpr int64_t kUnarmed = std::numeric_limits<int64_t>::max();
  {
    MutexLock lock(mutex_);
    while (!stopping_ && clock_->monotonic_ms() < late_ms_) {
      const auto stopping = [this]() LOGLOG_REQUIRES(mutex_) { return stopping_; };
      const auto changed = [this]()
                               LOGLOG_REQUIRES(mutex_) { return stopping_ || late_ms_ < kUnarmed; };
      late_ms_ == kUnarmed ? changed_.Wait(mutex_, changed)
                           : static_cast<void>(changed_.WaitFor(mutex_, kLookMs, stopping));
    }
    if (stopping_) return;
  }
  on_late_();
}

}  // namespace loglog::worker
