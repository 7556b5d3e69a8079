#ifndef LOGLOG_WORKER_EXIT_WATCHDOG_H_
#define LOGLOG_WORKER_EXIT_WATCHDOG_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace loglog::worker {

// Sees to it that a daemon that was told to leave does leave, also when a file system
// holds up the thread that should see to it. Thread-safe.
class ExitWatchdog {
 public:
  // `on_late` ends the process; on the watchdog's own thread.
  ExitWatchdog(Clock* clock, std::function<void()> on_late);
  ~ExitWatchdog();
  ExitWatchdog(const ExitWatchdog&) = delete;
  ExitWatchdog& operator=(const ExitWatchdog&) = delete;

  // Unless destroyed within `ms`. The earliest of several counts.
  void Arm(int64_t ms) LOGLOG_EXCLUDES(mutex_);

 private:
  void Run() LOGLOG_EXCLUDES(mutex_);

  Clock* const clock_;
  const std::function<void()> on_late_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  int64_t late_ms_ LOGLOG_GUARDED_BY(mutex_) = std::numeric_limits<int64_t>::max();
  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_EXIT_WATCHDOG_H_
