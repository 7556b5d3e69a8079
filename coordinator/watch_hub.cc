#include "coordinator/watch_hub.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/refusal.h"

namespace loglog {

absl::StatusOr<int64_t> WatchHub::Add(Bell bell) {
  const auto shared = std::make_shared<const Bell>(std::move(bell));
  int64_t id = 0;
  bool closed = false;
  {
    MutexLock lock(mutex_);
    if (static_cast<int>(bells_.size()) >= bells_max_) {
      return NoRoom(absl::StrCat(bells_max_,
                                 " calls of this kind are open, the most there may be; "
                                 "end one of them, then call again"));
    }
    id = ++last_id_;
    bells_[id] = shared;
    closed = closed_;
  }
  if (closed) (*shared)(/*closing=*/true);
  return id;
}

void WatchHub::Remove(int64_t id) {
  MutexLock lock(mutex_);
  bells_.erase(id);
}

void WatchHub::Ring() { RingAll(/*closing=*/false); }

void WatchHub::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  RingAll(/*closing=*/true);
}

void WatchHub::RingAll(bool closing) {
  std::vector<std::shared_ptr<const Bell>> bells;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, bell] : bells_) bells.push_back(bell);
  }
  for (const auto& bell : bells) (*bell)(closing);
}

}  // namespace loglog
