#ifndef LOGLOG_WORKER_LEASE_GUARD_H_
#define LOGLOG_WORKER_LEASE_GUARD_H_

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace loglog::worker {

// Kills trainers whose lease ended, on a thread that touches no file and waits for
// nobody. The supervisor does so too, earlier and with an orderly report, but a file
// system that hangs can hold it up for any time, and a lease that ended unnoticed means
// two trainers of one task.
// Thread-safe.
class LeaseGuard {
 public:
  explicit LeaseGuard(Clock* clock);
  ~LeaseGuard();
  LeaseGuard(const LeaseGuard&) = delete;
  LeaseGuard& operator=(const LeaseGuard&) = delete;

  // Of all trainers of this worker, those to come included.
  void SetDeadline(int64_t lease_deadline_ms) LOGLOG_EXCLUDES(mutex_);
  // `leader` leads a process group of its own.
  void Watch(pid_t leader) LOGLOG_EXCLUDES(mutex_);
  // Before the leader is reaped: from then on its number may be another's. True when
  // the guard has killed it.
  bool Release(pid_t leader) LOGLOG_EXCLUDES(mutex_);

  // What the thread does now and then, for tests: kills what is overdue, returns how
  // many that were.
  int KillOverdue() LOGLOG_EXCLUDES(mutex_);

 private:
  void Run() LOGLOG_EXCLUDES(mutex_);
  int KillOverdueLocked() LOGLOG_REQUIRES(mutex_);

  Clock* const clock_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  int64_t deadline_ms_ LOGLOG_GUARDED_BY(mutex_) = std::numeric_limits<int64_t>::max();
  std::map<pid_t, bool> killed_ LOGLOG_GUARDED_BY(mutex_);  // of each watched group
  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_LEASE_GUARD_H_
