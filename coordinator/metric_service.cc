#include "coordinator/metric_service.h"

#include <deque>
#include <memory>
#include <utility>

#include "base/limits.h"
#include "base/status.h"
#include "coordinator/worker_service_convert.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

class MetricReactor : public grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>,
                      public std::enable_shared_from_this<MetricReactor> {
 public:
  MetricReactor(Engine* engine, const ServiceGate* gate, Principal caller)
      : engine_(engine), gate_(gate), caller_(std::move(caller)) {}

  void Start() {
    self_ = shared_from_this();
    const std::weak_ptr<MetricReactor> weak = self_;
    const absl::StatusOr<int64_t> bell = engine_->stream_hub()->Add([weak](bool closing) {
      if (!closing) return;
      if (const std::shared_ptr<MetricReactor> self = weak.lock()) self->End(Stopping());
    });
    if (!bell.ok()) return End(bell.status());
    bell_ = *bell;
    Step();
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      Store();
    } else {
      MutexLock lock(mutex_);
      reading_ = false;
      read_all_ = true;
    }
    Step();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
    }
    if (ok) {
      Step();
    } else {
      End(absl::CancelledError("the worker has gone"));
    }
  }

  void OnCancel() override { End(absl::CancelledError("the worker has gone")); }

  void OnDone() override {
    engine_->stream_hub()->Remove(bell_);
    self_.reset();
  }

 private:
  void End(const absl::Status& status) {
    {
      MutexLock lock(mutex_);
      if (end_.ok()) end_ = status;
    }
    Step();
  }

  // Hands the batch just read to the engine. Until that is done no other is read: another
  // thread could hand that one over first.
  void Store() {
    const int64_t attempt_id = batch_.attempt_id();
    absl::StatusOr<BatchRequest> request = Admitted();
    {
      MutexLock lock(mutex_);
      if (!request.ok()) {
        reading_ = false;
        if (end_.ok()) end_ = request.status();
        return;
      }
      ++in_flight_;
    }
    engine_->StoreBatch(*std::move(request), [self = shared_from_this(),
                                              attempt_id](absl::StatusOr<BatchAnswer> answer) {
      self->OnStored(attempt_id, std::move(answer));
    });
    MutexLock lock(mutex_);
    reading_ = false;
  }

  absl::StatusOr<BatchRequest> Admitted() const {
    LOGLOG_RETURN_IF_ERROR(gate_->StillAdmitted(caller_));
    LOGLOG_RETURN_IF_ERROR(CheckWorker(caller_, batch_.worker_id()));
    return FromProto(batch_);
  }

  void OnStored(int64_t attempt_id, absl::StatusOr<BatchAnswer> answer) {
    {
      MutexLock lock(mutex_);
      --in_flight_;
      if (!answer.ok()) {
        if (end_.ok()) end_ = answer.status();
      } else {
        v1::MetricAck ack;
        ack.set_attempt_id(attempt_id);
        ack.set_last_seq(answer->last_seq);
        ack.set_forget(answer->forget);
        acks_.push_back(std::move(ack));
      }
    }
    Step();
  }

  // Starts whatever can start, outside the lock: the library may answer at once, on this
  // or another thread. Nothing finishes the call between the choice to read or write and
  // the start of it.
  void Step() {
    const std::shared_ptr<MetricReactor> alive = shared_from_this();
    while (true) {
      bool write = false;
      bool read = false;
      bool finish = false;
      absl::Status end;
      {
        MutexLock lock(mutex_);
        if (finished_) return;
        if (!writing_ && !acks_.empty() && !absl::IsCancelled(end_)) {
          ack_ = std::move(acks_.front());
          acks_.pop_front();
          write = writing_ = true;
        }
        // What was stored is acknowledged before the call ends.
        const bool all_done = read_all_ && in_flight_ == 0;
        finish = !writing_ && !starting_read_ && (!end_.ok() || all_done);
        const int waiting = in_flight_ + static_cast<int>(acks_.size());
        if (!finish && end_.ok() && !reading_ && !read_all_ &&
            waiting < limits::kBatchesInFlightMax) {
          read = reading_ = starting_read_ = true;
        }
        finished_ = finish;
        end = end_;
      }
      if (finish) return Finish(ToGrpcStatus(end));
      if (read) StartRead(&batch_);
      if (write) StartWrite(&ack_);
      if (!read) return;
      MutexLock lock(mutex_);
      starting_read_ = false;
    }
  }

  Engine* const engine_;
  const ServiceGate* const gate_;
  const Principal caller_;
  int64_t bell_ = 0;
  std::shared_ptr<MetricReactor> self_;  // until OnDone
  v1::MetricBatch batch_;                // the library's while reading_
  v1::MetricAck ack_;                    // the library's while writing_

  Mutex mutex_;
  std::deque<v1::MetricAck> acks_ LOGLOG_GUARDED_BY(mutex_);
  int in_flight_ LOGLOG_GUARDED_BY(mutex_) = 0;
  bool reading_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool starting_read_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool read_all_ LOGLOG_GUARDED_BY(mutex_) = false;  // the worker has half-closed
  bool writing_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool finished_ LOGLOG_GUARDED_BY(mutex_) = false;
  absl::Status end_ LOGLOG_GUARDED_BY(mutex_);  // not OK: finish with it
};

class RefusedStream : public grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck> {
 public:
  explicit RefusedStream(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* StartMetricStream(
    Engine* engine, const ServiceGate* gate, const Principal& caller) {
  const auto reactor = std::make_shared<MetricReactor>(engine, gate, caller);
  reactor->Start();
  return reactor.get();
}

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* RefuseMetricStream(
    const absl::Status& status) {
  return new RefusedStream(status);
}

}  // namespace loglog
