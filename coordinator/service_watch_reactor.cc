#include "coordinator/service_watch_reactor.h"

#include <utility>
#include <vector>

#include "coordinator/service_convert.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

constexpr int kPageEvents = 256;

}  // namespace

WatchReactor* WatchReactor::Start(Engine* engine, std::string sweep, int64_t after_event_id) {
  auto* reactor = new WatchReactor(engine, std::move(sweep), after_event_id);
  reactor->self_.reset(reactor);
  // The first page comes before the bell is hung up: until it is here the call cannot
  // end, and so the reactor outlives this function.
  {
    MutexLock lock(reactor->mutex_);
    reactor->writing_ = true;
  }
  std::weak_ptr<WatchReactor> weak = reactor->self_;
  reactor->bell_id_ = engine->watch_hub()->Add([weak](bool closing) {
    const std::shared_ptr<WatchReactor> self = weak.lock();
    if (self == nullptr) return;
    if (closing) return self->End(Stopping());
    {
      MutexLock lock(self->mutex_);
      self->rung_ = true;
    }
    self->Proceed();
  });
  {
    MutexLock lock(reactor->mutex_);
    reactor->writing_ = false;
  }
  reactor->Proceed();
  return reactor;
}

void WatchReactor::Load() {
  int64_t after = 0;
  {
    MutexLock lock(mutex_);
    after = after_event_id_;
  }
  engine_->ListEvents(sweep_, after, kPageEvents,
                      [self = self_](const absl::StatusOr<std::vector<EventRow>>& events) {
                        if (!events.ok()) {
                          {
                            MutexLock lock(self->mutex_);
                            self->loading_ = false;
                          }
                          return self->End(events.status());
                        }
                        {
                          MutexLock lock(self->mutex_);
                          self->loading_ = false;
                          self->page_.assign(events->begin(), events->end());
                          if (!events->empty()) self->after_event_id_ = events->back().event_id;
                          if (events->size() == kPageEvents) self->rung_ = true;
                        }
                        self->Proceed();
                      });
}

void WatchReactor::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_) end_ = status;
  }
  Proceed();
}

void WatchReactor::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok && !end_) end_ = absl::CancelledError("the watcher stopped listening");
  }
  Proceed();
}

void WatchReactor::OnCancel() { End(absl::CancelledError("the watcher gave the call up")); }

void WatchReactor::Proceed() {
  bool load = false;
  bool write = false;
  std::optional<absl::Status> finish;
  {
    MutexLock lock(mutex_);
    if (finished_ || writing_ || loading_) return;
    if (end_) {
      finish = *end_;
      finished_ = true;
    } else if (!page_.empty()) {
      event_ = ToProto(page_.front());
      page_.pop_front();
      write = writing_ = true;
    } else if (rung_) {
      rung_ = false;
      load = loading_ = true;
    }
  }
  if (finish) return Finish(ToGrpcStatus(*finish));
  if (write) return StartWrite(&event_);
  if (load) Load();
}

void WatchReactor::OnDone() {
  engine_->watch_hub()->Remove(bell_id_);
  std::shared_ptr<WatchReactor> self = std::move(self_);
}

}  // namespace loglog
