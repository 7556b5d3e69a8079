#ifndef LOGLOG_COORDINATOR_SERVICE_WATCH_REACTOR_H_
#define LOGLOG_COORDINATOR_SERVICE_WATCH_REACTOR_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "coordinator/engine.h"
#include "loglog/v1/sweep_service.grpc.pb.h"

namespace loglog {

// One WatchSweep call. It reads events from the store, a page at a time and only once
// the page before was sent, so a slow client costs one page of memory and misses
// nothing. Thread-safe; frees itself once gRPC and the engine are both done with it.
class WatchReactor : public grpc::ServerWriteReactor<v1::Event> {
 public:
  // `sweep` empty: events of all sweeps.
  static WatchReactor* Start(Engine* engine, std::string sweep, int64_t after_event_id);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  WatchReactor(Engine* engine, std::string sweep, int64_t after_event_id)
      : engine_(engine), sweep_(std::move(sweep)), after_event_id_(after_event_id) {}
  void Load();
  void End(const absl::Status& status) LOGLOG_EXCLUDES(mutex_);
  // Starts whatever may start now; calls gRPC and the engine outside the lock.
  void Proceed() LOGLOG_EXCLUDES(mutex_);

  Engine* const engine_;
  const std::string sweep_;
  std::shared_ptr<WatchReactor> self_;  // until OnDone
  int64_t bell_id_ = 0;
  v1::Event event_;  // being written
  Mutex mutex_;
  int64_t after_event_id_ LOGLOG_GUARDED_BY(mutex_);  // of the newest event read
  std::deque<EventRow> page_ LOGLOG_GUARDED_BY(mutex_);
  bool rung_ LOGLOG_GUARDED_BY(mutex_) = true;  // there may be events after the page
  bool loading_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool writing_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool finished_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ LOGLOG_GUARDED_BY(mutex_);
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_WATCH_REACTOR_H_
