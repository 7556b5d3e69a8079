#ifndef LOGLOG_WORKER_BACKOFF_H_
#define LOGLOG_WORKER_BACKOFF_H_

#include <algorithm>
#include <cstdint>
#include <random>

namespace loglog::worker {

// Waits between tries: doubling up to a limit, with jitter so that the workers of a
// coordinator that comes back do not come all at once. Not thread-safe.
class Backoff {
 public:
  Backoff(int64_t first_ms, int64_t limit_ms, uint32_t seed)
      : first_ms_(first_ms), limit_ms_(limit_ms), next_ms_(first_ms), random_(seed) {}

  // Between half of the current wait and all of it.
  int64_t NextMs() {
    const int64_t wait_ms = next_ms_;
    next_ms_ = std::min(limit_ms_, next_ms_ * 2);
    return std::uniform_int_distribution<int64_t>(wait_ms / 2, wait_ms)(random_);
  }
  void Reset() { next_ms_ = first_ms_; }

 private:
  const int64_t first_ms_;
  const int64_t limit_ms_;
  int64_t next_ms_;
  std::mt19937 random_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_BACKOFF_H_
