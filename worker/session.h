#ifndef LOGLOG_WORKER_SESSION_H_
#define LOGLOG_WORKER_SESSION_H_

#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace loglog::worker {

// Of a FAILED_PRECONDITION: the coordinator no longer knows the session. Others are not
// mended by registering again.
inline bool SaysStaleSession(absl::string_view message) {
  return absl::StartsWith(message, "STALE_SESSION");
}

// The worker's registration with the coordinator, shared by the sync loop, which makes
// it, and the metric stream, which uses it. Either may find that the coordinator no
// longer knows it. Thread-safe.
class Session {
 public:
  void Begin(int64_t epoch) {
    MutexLock lock(mutex_);
    epoch_ = epoch;
    changed_.NotifyAll();
  }
  // The coordinator calls `epoch` stale. News of an older epoch changes nothing.
  void Invalidate(int64_t epoch) {
    MutexLock lock(mutex_);
    if (epoch_ == epoch) epoch_ = 0;
    changed_.NotifyAll();
  }
  // 0 when there is none.
  int64_t epoch() {
    MutexLock lock(mutex_);
    return epoch_;
  }
  // The epoch as soon as there is one; 0 after `timeout_ms`.
  int64_t Wait(int64_t timeout_ms) {
    MutexLock lock(mutex_);
    changed_.WaitFor(mutex_, timeout_ms, [this] { return epoch_ != 0; });
    return epoch_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int64_t epoch_ LOGLOG_GUARDED_BY(mutex_) = 0;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SESSION_H_
