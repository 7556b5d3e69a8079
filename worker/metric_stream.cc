#include "worker/metric_stream.h"

#include <spdlog/spdlog.h>

#include <random>
#include <utility>

#include "worker/backoff.h"
#include "worker/wire.h"

namespace loglog::worker {
namespace {

constexpr int64_t kWarnEveryMs = 10'000;

}  // namespace

MetricStream::MetricStream(Options options, std::shared_ptr<grpc::Channel> channel,
                           Session* session, Outbox* outbox)
    : options_(std::move(options)),
      stub_(v1::WorkerService::NewStub(channel)),
      session_(session),
      outbox_(outbox),
      thread_([this] { Run(); }) {}

MetricStream::~MetricStream() {
  stopping_ = true;
  {
    MutexLock lock(mutex_);
    if (call_ != nullptr) call_->TryCancel();
    stop_changed_.NotifyAll();
  }
  outbox_->Interrupt();
  thread_.join();
}

void MetricStream::Run() {
  Backoff backoff(/*first_ms=*/100, options_.backoff_limit_ms, std::random_device{}());
  while (!stopping_) {
    const int64_t epoch = session_->Wait(options_.look_ms);
    if (epoch == 0 || !outbox_->WaitForWork(options_.look_ms)) continue;
    bool progress = false;
    const grpc::Status status = RunCall(epoch, &progress);
    if (stopping_) return;
    OnCallEnded(status, epoch);
    // Before the wait for work: what the broken call left unanswered is work again.
    outbox_->Restart();
    if (progress) backoff.Reset();
    if (!Pause(backoff.NextMs())) return;
  }
}

grpc::Status MetricStream::RunCall(int64_t epoch, bool* progress) {
  grpc::ClientContext context;
  {
    MutexLock lock(mutex_);
    if (stopping_) return grpc::Status::CANCELLED;
    call_ = &context;
  }
  const auto stream = stub_->StreamMetrics(&context);
  std::atomic<bool> alive = true;
  std::atomic<bool> answered = false;
  std::thread reader([&] {
    v1::MetricAck ack;
    while (stream->Read(&ack)) {
      answered = true;
      if (!ack.forget()) {
        spdlog::debug("attempt {}: its events up to {} are stored", ack.attempt_id(),
                      ack.last_seq());
      }
      outbox_->Acknowledge(ack.attempt_id(), ack.last_seq(), ack.forget());
    }
    alive = false;
    outbox_->Interrupt();
  });
  while (alive && !stopping_ && session_->epoch() == epoch) {
    EventBatch batch;
    if (outbox_->NextBatch(options_.look_ms, &batch) &&
        !stream->Write(ToProto(batch, options_.worker_id, epoch))) {
      break;
    }
    if (outbox_->OldestUnanswered() > options_.answer_timeout_ms) {
      spdlog::warn("no acknowledgement of metrics for {} s; opening the stream again",
                   options_.answer_timeout_ms / 1000);
      context.TryCancel();
      break;
    }
  }
  // A stream that the coordinator ended keeps its status; ours is cancelled.
  if (alive && (stopping_ || session_->epoch() != epoch)) context.TryCancel();
  reader.join();
  {
    MutexLock lock(mutex_);
    call_ = nullptr;
  }
  *progress = answered;
  return stream->Finish();
}

void MetricStream::OnCallEnded(const grpc::Status& status, int64_t epoch) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::CANCELLED:
      return;
    case grpc::StatusCode::FAILED_PRECONDITION:
      if (!SaysStaleSession(status.error_message())) break;
      spdlog::info("metric stream: {}", status.error_message());
      return session_->Invalidate(epoch);
    case grpc::StatusCode::INVALID_ARGUMENT: {
      const int64_t attempt_id = outbox_->BlameRefusal(status.error_message());
      spdlog::error("the coordinator refuses events{}: {}; please report this",
                    attempt_id == 0 ? "" : " of attempt " + std::to_string(attempt_id),
                    status.error_message());
      if (attempt_id != 0) options_.on_refused(attempt_id);
      return;
    }
    case grpc::StatusCode::UNAVAILABLE:  // the sync loop tells of it
      spdlog::debug("metric stream broke: {}", status.error_message());
      return;
    default:
      break;
  }
  const int64_t now_ms = Clock::Real()->monotonic_ms();
  if (now_ms < quiet_until_ms_) return;
  quiet_until_ms_ = now_ms + kWarnEveryMs;
  spdlog::warn("metrics are not taken: {}; trying again", status.error_message());
}

bool MetricStream::Pause(int64_t ms) {
  MutexLock lock(mutex_);
  return !stop_changed_.WaitFor(mutex_, ms, [this] { return stopping_.load(); });
}

}  // namespace loglog::worker
