#include "coordinator/watch_service.h"

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "coordinator/service_convert.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

// Events are taken from the store a page at a time, and only when the page before has
// been sent: a slow reader lags behind and costs one page.
constexpr int kPageEvents = 256;

class WatchReactor : public grpc::ServerWriteReactor<v1::Event>,
                     public std::enable_shared_from_this<WatchReactor> {
 public:
  WatchReactor(Engine* engine, const ServiceGate* gate, Principal caller, std::string sweep,
               int64_t after_event_id)
      : engine_(engine),
        gate_(gate),
        caller_(std::move(caller)),
        sweep_(std::move(sweep)),
        last_event_id_(after_event_id) {}

  void Start() {
    self_ = shared_from_this();
    const std::weak_ptr<WatchReactor> weak = self_;
    const absl::StatusOr<int64_t> bell = engine_->watch_hub()->Add([weak](bool closing) {
      if (const std::shared_ptr<WatchReactor> self = weak.lock()) self->OnBell(closing);
    });
    if (bell.ok()) {
      bell_ = *bell;
    } else {
      MutexLock lock(mutex_);
      end_ = bell.status();
    }
    StartSendInitialMetadata();  // the watcher learns at once that it is heard
    Step();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok && end_.ok()) end_ = absl::CancelledError("the watcher has gone");
    }
    Step();
  }

  void OnCancel() override {
    {
      MutexLock lock(mutex_);
      if (end_.ok()) end_ = absl::CancelledError("the watcher has gone");
    }
    Step();
  }

  void OnDone() override {
    engine_->watch_hub()->Remove(bell_);
    self_.reset();
  }

 private:
  enum class Next { kNothing, kWrite, kLoad, kFinish };

  void OnBell(bool closing) {
    {
      MutexLock lock(mutex_);
      more_ = true;
      if (closing && end_.ok()) end_ = Stopping();
    }
    Step();
  }

  void OnPage(absl::StatusOr<std::vector<EventRow>> page) {
    {
      MutexLock lock(mutex_);
      loading_ = false;
      const absl::Status admitted = gate_->StillAdmitted(caller_);
      if (!page.ok() || !admitted.ok()) {
        if (end_.ok()) end_ = admitted.ok() ? page.status() : admitted;
      } else {
        if (page->size() >= kPageEvents) more_ = true;
        for (const EventRow& event : *page) page_.push_back(ToProto(event));
      }
    }
    Step();
  }

  Next Choose() LOGLOG_REQUIRES(mutex_) {
    if (finished_ || writing_) return Next::kNothing;
    if (!end_.ok()) {
      finished_ = true;
      return Next::kFinish;
    }
    if (!page_.empty()) {
      current_ = std::move(page_.front());
      page_.pop_front();
      last_event_id_ = current_.event_id();
      writing_ = true;
      return Next::kWrite;
    }
    if (loading_ || !more_) return Next::kNothing;
    more_ = false;
    loading_ = true;
    return Next::kLoad;
  }

  // Starts the one thing to do next, outside the lock: the library may answer at once.
  void Step() {
    Next next;
    int64_t after_event_id = 0;
    absl::Status end;
    {
      MutexLock lock(mutex_);
      next = Choose();
      after_event_id = last_event_id_;
      end = end_;
    }
    switch (next) {
      case Next::kNothing:
        return;
      case Next::kWrite:
        return StartWrite(&current_);
      case Next::kFinish:
        return Finish(ToGrpcStatus(end));
      case Next::kLoad:
        return engine_->ListEvents(
            sweep_, after_event_id, kPageEvents,
            [self = shared_from_this()](absl::StatusOr<std::vector<EventRow>> page) {
              self->OnPage(std::move(page));
            });
    }
  }

  Engine* const engine_;
  const ServiceGate* const gate_;
  const Principal caller_;
  const std::string sweep_;
  int64_t bell_ = 0;
  std::shared_ptr<WatchReactor> self_;  // until OnDone
  v1::Event current_;                   // the library's while writing_

  Mutex mutex_;
  int64_t last_event_id_ LOGLOG_GUARDED_BY(mutex_);
  std::deque<v1::Event> page_ LOGLOG_GUARDED_BY(mutex_);
  bool more_ LOGLOG_GUARDED_BY(mutex_) = true;  // the store may have newer ones
  bool loading_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool writing_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool finished_ LOGLOG_GUARDED_BY(mutex_) = false;
  absl::Status end_ LOGLOG_GUARDED_BY(mutex_);  // not OK: finish with it
};

class RefusedWatch : public grpc::ServerWriteReactor<v1::Event> {
 public:
  explicit RefusedWatch(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::Event>* StartWatch(Engine* engine, const ServiceGate* gate,
                                                const Principal& caller, const std::string& sweep,
                                                int64_t after_event_id) {
  const auto reactor = std::make_shared<WatchReactor>(engine, gate, caller, sweep, after_event_id);
  reactor->Start();
  return reactor.get();
}

grpc::ServerWriteReactor<v1::Event>* RefuseWatch(const absl::Status& status) {
  return new RefusedWatch(status);
}

}  // namespace loglog
