#include "worker/lease_guard.h"

#include <signal.h>

#include "base/failpoint.h"

namespace loglog::worker {
namespace {

// The supervisor's own kill comes first unless it is held up.
constexpr int64_t kPatienceMs = 500;
constexpr int64_t kLookMs = 200;

}  // namespace

LeaseGuard::LeaseGuard(Clock* clock) : clock_(clock), thread_([this] { Run(); }) {}

LeaseGuard::~LeaseGuard() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void LeaseGuard::SetDeadline(int64_t lease_deadline_ms) {
  MutexLock lock(mutex_);
  deadline_ms_ = lease_deadline_ms;
}

void LeaseGuard::Watch(pid_t leader) {
  MutexLock lock(mutex_);
  killed_[leader] = false;
  changed_.NotifyAll();
}

bool LeaseGuard::Release(pid_t leader) {
  MutexLock lock(mutex_);
  const auto found = killed_.find(leader);
  if (found == killed_.end()) return false;
  const bool killed = found->second;
  killed_.erase(found);
  return killed;
}

int LeaseGuard::KillOverdue() {
  MutexLock lock(mutex_);
  return KillOverdueLocked();
}

int LeaseGuard::KillOverdueLocked() {
  // Subtracted this way round because the deadline may be the largest number there is.
  if (clock_->monotonic_ms() - deadline_ms_ < kPatienceMs) return 0;
  int count = 0;
  for (auto& [leader, killed] : killed_) {
    if (killed) continue;
    // Under the lock, so that nobody reaps the leader between the look and the signal.
    kill(-leader, SIGKILL);
    LOGLOG_FAILPOINT("worker.guard_kill");
    killed = true;
    ++count;
  }
  return count;
}

void LeaseGuard::Run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (killed_.empty()) {
      changed_.Wait(mutex_,
                    [this]() LOGLOG_REQUIRES(mutex_) { return stopping_ || !killed_.empty(); });
      continue;
    }
    KillOverdueLocked();
    // Looked at again and again rather than slept to the deadline: a clock may be moved.
    changed_.WaitFor(mutex_, kLookMs, [this]() LOGLOG_REQUIRES(mutex_) { return stopping_; });
  }
}

}  // namespace loglog::worker
