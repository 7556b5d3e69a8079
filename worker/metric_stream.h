#ifndef LOGLOG_WORKER_METRIC_STREAM_H_
#define LOGLOG_WORKER_METRIC_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "loglog/v1/worker_service.grpc.pb.h"
#include "worker/outbox.h"
#include "worker/session.h"

namespace loglog::worker {

// Carries the outbox to the coordinator over one StreamMetrics call, opened when there
// is something to send and opened again, with backoff, when it breaks. Owns a thread that
// writes, and one that reads for as long as a call lives.
class MetricStream {
 public:
  struct Options {
    std::string worker_id;
    int64_t backoff_limit_ms = 3'000;
    // An acknowledgement that takes longer means a dead connection.
    int64_t answer_timeout_ms = 30'000;
    // How often it looks whether its session still stands, and for unanswered batches.
    int64_t look_ms = 500;
    // The coordinator refuses what the attempt sends, for good.
    std::function<void(int64_t attempt_id)> on_refused;
  };

  MetricStream(Options options, std::shared_ptr<grpc::Channel> channel, Session* session,
               Outbox* outbox);
  // Cancels the call and joins.
  ~MetricStream();

 private:
  void Run();
  grpc::Status RunCall(int64_t epoch, bool* progress);
  void OnCallEnded(const grpc::Status& status, int64_t epoch);
  // False once the stream is to stop.
  bool Pause(int64_t ms);

  const Options options_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  Session* const session_;
  Outbox* const outbox_;
  Mutex mutex_;
  CondVar stop_changed_;
  std::atomic<bool> stopping_ = false;
  grpc::ClientContext* call_ LOGLOG_GUARDED_BY(mutex_) = nullptr;
  int64_t quiet_until_ms_ = 0;  // of the thread below
  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_METRIC_STREAM_H_
