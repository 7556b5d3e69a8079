#include "coordinator/metric_service.h"

#include <deque>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

// Batches of one stream that are on their way to the store or back. More of them would
// only wait longer: reading stops, and the transport holds the sender back.
constexpr int kInFlightMax = 16;

// A row's names are indices into the batch's dictionary.
absl::StatusOr<MetricRow> RowFrom(const v1::MetricRow& row) {
  if (row.name_size() != row.value_size()) {
    return absl::InvalidArgumentError(absl::StrCat("row of step ", row.step(), " has ",
                                                   row.name_size(), " names and ", row.value_size(),
                                                   " values"));
  }
  MetricRow out;
  out.member = row.member();
  out.step = row.step();
  out.tokens = row.tokens();
  for (int i = 0; i < row.name_size(); ++i) {
    out.values.push_back({static_cast<int>(row.name(i)), row.value(i)});
  }
  return out;
}

absl::StatusOr<TrainerEvent> EventFrom(const v1::TrainerEvent& event) {
  switch (event.event_case()) {
    case v1::TrainerEvent::kStarted: {
      const v1::AttemptStarted& started = event.started();
      return AttemptStart{started.resume_step(),          started.trainer_version(),
                          started.data_sha256(),          started.params_total(),
                          started.params_non_embedding(), started.flops_per_token(),
                          started.total_steps()};
    }
    case v1::TrainerEvent::kRow: {
      LOGLOG_ASSIGN_OR_RETURN(MetricRow row, RowFrom(event.row()));
      return row;
    }
    case v1::TrainerEvent::kCheckpoint: {
      const v1::CheckpointCommitted& checkpoint = event.checkpoint();
      return CheckpointCommit{checkpoint.step(), checkpoint.path(), checkpoint.sha256(),
                              checkpoint.bytes()};
    }
    case v1::TrainerEvent::kMemberEnded: {
      const v1::MemberEnded& ended = event.member_ended();
      return MemberEnd{ended.member(), ended.diverged(),   ended.step(),
                       ended.tokens(), ended.final_loss(), ended.summary_json()};
    }
    default:  // notices, ignored lines, and kinds of a newer worker: they keep their number
      return CountedOnly{};
  }
}

absl::StatusOr<BatchRequest> RequestFrom(const v1::MetricBatch& message) {
  BatchRequest request;
  request.worker_id = message.worker_id();
  request.session_epoch = message.session_epoch();
  request.batch.attempt_id = message.attempt_id();
  request.batch.first_seq = message.first_seq();
  request.batch.metrics.assign(message.names().begin(), message.names().end());
  for (int i = 0; i < message.events_size(); ++i) {
    const v1::TrainerEvent& event = message.events(i);
    absl::StatusOr<TrainerEvent> converted = EventFrom(event);
    if (!converted.ok()) {
      return Annotate(converted.status(), absl::StrCat("attempt ", message.attempt_id(), ", event ",
                                                       message.first_seq() + i));
    }
    request.batch.events.push_back(*std::move(converted));
    if (event.event_case() == v1::TrainerEvent::kNotice) {
      request.notices.push_back(
          {i, event.notice().kind(), event.notice().step(), event.notice().detail_json()});
    }
  }
  return request;
}

class MetricReactor : public grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>,
                      public std::enable_shared_from_this<MetricReactor> {
 public:
  explicit MetricReactor(Engine* engine) : engine_(engine) {}

  void Start() {
    self_ = shared_from_this();
    const std::weak_ptr<MetricReactor> weak = self_;
    bell_ = engine_->watch_hub()->Add([weak](bool closing) {
      if (!closing) return;
      if (const std::shared_ptr<MetricReactor> self = weak.lock()) self->End(Stopping());
    });
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
    engine_->watch_hub()->Remove(bell_);
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
    absl::StatusOr<BatchRequest> request = RequestFrom(batch_);
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
        if (!finish && end_.ok() && !reading_ && !read_all_ && waiting < kInFlightMax) {
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

}  // namespace

grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* StartMetricStream(Engine* engine) {
  const auto reactor = std::make_shared<MetricReactor>(engine);
  reactor->Start();
  return reactor.get();
}

}  // namespace loglog
