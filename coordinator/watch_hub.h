#ifndef LOGLOG_COORDINATOR_WATCH_HUB_H_
#define LOGLOG_COORDINATOR_WATCH_HUB_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace loglog {

// Tells those who hold a call open that something happened. Watchers read new events in the
// store, at their own pace, so that a slow one costs no memory.
// Thread-safe.
class WatchHub {
 public:
  // `closing`: the coordinator stops, end the call. Must be quick. Rings on any thread,
  // and perhaps once more while Remove runs, so it should hold its owner weakly.
  using Bell = std::function<void(bool closing)>;

  explicit WatchHub(int bells_max) : bells_max_(bells_max) {}

  // Rings at once when the hub is closed already. RESOURCE_EXHAUSTED: it has bells_max.
  absl::StatusOr<int64_t> Add(Bell bell) LOGLOG_EXCLUDES(mutex_);
  void Remove(int64_t id) LOGLOG_EXCLUDES(mutex_);
  void Ring() LOGLOG_EXCLUDES(mutex_);
  void Close() LOGLOG_EXCLUDES(mutex_);

 private:
  // Bells ring outside the lock: what they set off may come back here.
  void RingAll(bool closing) LOGLOG_EXCLUDES(mutex_);

  const int bells_max_;
  Mutex mutex_;
  std::map<int64_t, std::shared_ptr<const Bell>> bells_ LOGLOG_GUARDED_BY(mutex_);
  int64_t last_id_ LOGLOG_GUARDED_BY(mutex_) = 0;
  bool closed_ LOGLOG_GUARDED_BY(mutex_) = false;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_WATCH_HUB_H_
