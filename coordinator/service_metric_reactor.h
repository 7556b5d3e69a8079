#ifndef LOGLOG_COORDINATOR_SERVICE_METRIC_REACTOR_H_
#define LOGLOG_COORDINATOR_SERVICE_METRIC_REACTOR_H_

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "coordinator/engine.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog {

// The batch as the store takes it. INVALID_ARGUMENT: a malformed event.
absl::StatusOr<BatchRequest> BatchFromProto(const v1::MetricBatch& batch);

// One StreamMetrics call. A few batches are under way at once, so that their commits
// overlap with reading; each is acknowledged after its commit. Thread-safe; frees
// itself once gRPC and the engine are both done with it.
class MetricReactor : public grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck> {
 public:
  // `on_done` is called last, from a thread of gRPC.
  static MetricReactor* Start(Engine* engine, std::function<void(MetricReactor*)> on_done);

  // Ends the stream with `status` once the write under way is through.
  void End(const absl::Status& status) LOGLOG_EXCLUDES(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  MetricReactor(Engine* engine, std::function<void(MetricReactor*)> on_done)
      : engine_(engine), on_done_(std::move(on_done)) {}
  void OnStored(int64_t attempt_id, const absl::StatusOr<BatchAnswer>& answer);
  // Starts whatever may start now; calls gRPC outside the lock.
  void Proceed() LOGLOG_EXCLUDES(mutex_);

  Engine* const engine_;
  const std::function<void(MetricReactor*)> on_done_;
  std::shared_ptr<MetricReactor> self_;  // until OnDone
  v1::MetricBatch batch_;                // being read
  v1::MetricAck ack_;                    // being written
  Mutex mutex_;
  std::deque<v1::MetricAck> acks_ LOGLOG_GUARDED_BY(mutex_);
  int under_way_ LOGLOG_GUARDED_BY(mutex_) = 0;  // batches in the engine
  bool reading_ LOGLOG_GUARDED_BY(mutex_) = true;
  // Between deciding to read and having told gRPC: no Finish may come in between.
  bool starting_read_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool writing_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool reads_ended_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool finished_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ LOGLOG_GUARDED_BY(mutex_);
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_METRIC_REACTOR_H_
