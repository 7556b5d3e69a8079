#include "coordinator/service_metric_reactor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

// Enough to keep the strand busy while acknowledgements travel.
constexpr int kBatchesUnderWayMax = 8;

absl::StatusOr<MetricRow> RowFromProto(const v1::MetricRow& row, int names) {
  if (row.name_size() != row.value_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("row: ", row.name_size(), " names but ", row.value_size(), " values"));
  }
  MetricRow result;
  result.member = row.member();
  result.step = row.step();
  result.tokens = row.tokens();
  result.values.reserve(row.name_size());
  for (int i = 0; i < row.name_size(); ++i) {
    if (row.name(i) >= static_cast<uint32_t>(names)) {
      return absl::InvalidArgumentError(absl::StrCat("row.name[", i, "]: ", row.name(i),
                                                     " is outside the batch's ", names, " names"));
    }
    result.values.push_back({static_cast<int>(row.name(i)), row.value(i)});
  }
  return result;
}

AttemptStart StartFromProto(const v1::AttemptStarted& started) {
  AttemptStart start;
  start.resume_step = started.resume_step();
  start.trainer_version = started.trainer_version();
  start.data_sha256 = started.data_sha256();
  start.params_total = started.params_total();
  start.params_non_embedding = started.params_non_embedding();
  start.flops_per_token = started.flops_per_token();
  start.total_steps = started.total_steps();
  return start;
}

MemberEnd EndFromProto(const v1::MemberEnded& ended) {
  MemberEnd end;
  end.member = ended.member();
  end.diverged = ended.diverged();
  end.step = ended.step();
  end.tokens = ended.tokens();
  end.final_loss = ended.final_loss();
  end.summary_json = ended.summary_json();
  return end;
}

absl::StatusOr<TrainerEvent> EventFromProto(const v1::TrainerEvent& event, int names) {
  switch (event.event_case()) {
    case v1::TrainerEvent::kStarted:
      return StartFromProto(event.started());
    case v1::TrainerEvent::kRow: {
      LOGLOG_ASSIGN_OR_RETURN(MetricRow row, RowFromProto(event.row(), names));
      return row;
    }
    case v1::TrainerEvent::kCheckpoint:
      return CheckpointCommit{event.checkpoint().step(), event.checkpoint().path(),
                              event.checkpoint().sha256(), event.checkpoint().bytes()};
    case v1::TrainerEvent::kMemberEnded:
      return EndFromProto(event.member_ended());
    default:
      return CountedOnly();
  }
}

}  // namespace

absl::StatusOr<BatchRequest> BatchFromProto(const v1::MetricBatch& batch) {
  BatchRequest request;
  request.worker_id = batch.worker_id();
  request.session_epoch = batch.session_epoch();
  request.batch.attempt_id = batch.attempt_id();
  request.batch.first_seq = batch.first_seq();
  request.batch.metrics.assign(batch.names().begin(), batch.names().end());
  request.batch.events.reserve(batch.events_size());
  for (int i = 0; i < batch.events_size(); ++i) {
    const v1::TrainerEvent& event = batch.events(i);
    absl::StatusOr<TrainerEvent> converted = EventFromProto(event, batch.names_size());
    if (!converted.ok()) {
      return Annotate(converted.status(), absl::StrCat("attempt ", batch.attempt_id(), ", event ",
                                                       batch.first_seq() + i));
    }
    request.batch.events.push_back(*std::move(converted));
    if (event.has_notice()) {
      request.notices.push_back(
          {i, event.notice().kind(), event.notice().step(), event.notice().detail_json()});
    }
  }
  return request;
}

MetricReactor* MetricReactor::Start(Engine* engine, std::function<void(MetricReactor*)> on_done) {
  auto* reactor = new MetricReactor(engine, std::move(on_done));
  reactor->self_.reset(reactor);
  reactor->StartRead(&reactor->batch_);
  return reactor;
}

void MetricReactor::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_) end_ = status;
  }
  Proceed();
}

void MetricReactor::OnReadDone(bool ok) {
  if (ok) {
    absl::StatusOr<BatchRequest> request = BatchFromProto(batch_);
    if (!request.ok()) return End(request.status());
    {
      MutexLock lock(mutex_);
      ++under_way_;
    }
    const int64_t attempt_id = request->batch.attempt_id;
    engine_->StoreBatch(*std::move(request),
                        [self = self_, attempt_id](const absl::StatusOr<BatchAnswer>& answer) {
                          self->OnStored(attempt_id, answer);
                        });
  }
  {
    MutexLock lock(mutex_);
    reading_ = false;
    reads_ended_ = reads_ended_ || !ok;
  }
  Proceed();
}

void MetricReactor::OnStored(int64_t attempt_id, const absl::StatusOr<BatchAnswer>& answer) {
  {
    MutexLock lock(mutex_);
    --under_way_;
    if (answer.ok()) {
      v1::MetricAck ack;
      ack.set_attempt_id(attempt_id);
      ack.set_last_seq(answer->last_seq);
      ack.set_forget(answer->forget);
      acks_.push_back(std::move(ack));
    } else if (!end_) {
      end_ = answer.status();
    }
  }
  Proceed();
}

void MetricReactor::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok && !end_) end_ = absl::CancelledError("the worker stopped listening");
  }
  Proceed();
}

void MetricReactor::OnCancel() { End(absl::CancelledError("the worker gave the stream up")); }

void MetricReactor::Proceed() {
  bool read = false;
  bool write = false;
  std::optional<absl::Status> finish;
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    if (end_ && !writing_ && !starting_read_) {
      finish = *end_;
    } else if (!end_) {
      if (!writing_ && !acks_.empty()) {
        ack_ = std::move(acks_.front());
        acks_.pop_front();
        write = writing_ = true;
      }
      if (!reading_ && !reads_ended_ && under_way_ < kBatchesUnderWayMax) {
        read = reading_ = starting_read_ = true;
      }
      if (reads_ended_ && under_way_ == 0 && !writing_) finish = absl::OkStatus();
    }
    finished_ = finish.has_value();
  }
  if (finish) return Finish(ToGrpcStatus(*finish));
  if (write) StartWrite(&ack_);
  if (!read) return;
  StartRead(&batch_);
  {
    MutexLock lock(mutex_);
    starting_read_ = false;
    if (!end_) return;
  }
  Proceed();
}

void MetricReactor::OnDone() {
  on_done_(this);
  // The engine may still hold a reference for a batch under way.
  std::shared_ptr<MetricReactor> self = std::move(self_);
}

}  // namespace loglog
