#include "bench/control/sim_worker.h"

#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/control/server.h"
#include "loglog/v1/common.pb.h"

namespace loglog::bench {
namespace {

constexpr int64_t kWaitMs = 5'000;
// How long the call after one that was taken back may park; as the daemon's.
constexpr int64_t kAfterTakingBackMs = 50;

}  // namespace

// The metric stream: writes what is queued, one message at a time.
class SimWorker::Stream : public grpc::ClientBidiReactor<v1::MetricBatch, v1::MetricAck> {
 public:
  explicit Stream(SimWorker* worker) : worker_(worker) {}

  void Start() {
    worker_->stub_->async()->StreamMetrics(&context_, this);
    StartRead(&ack_);
    StartCall();
  }
  void Send(v1::MetricBatch batch) {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(batch));
    WriteNext();
  }
  void Stop() {
    context_.TryCancel();
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() LOGLOG_REQUIRES(mutex_) { return done_; });
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (ok) WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    worker_->OnAck(ack_);
    StartRead(&ack_);
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(mutex_);
    if (status.error_code() != grpc::StatusCode::CANCELLED) {
      std::fprintf(stderr, "metric stream of %s: %s\n", worker_->worker_id_.c_str(),
                   status.error_message().c_str());
      std::_Exit(1);
    }
    done_ = true;
    changed_.NotifyAll();
  }

 private:
  void WriteNext() LOGLOG_REQUIRES(mutex_) {
    if (writing_ || queue_.empty() || done_) return;
    writing_ = true;
    StartWrite(&queue_.front());
  }

  SimWorker* const worker_;
  grpc::ClientContext context_;
  v1::MetricAck ack_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<v1::MetricBatch> queue_ LOGLOG_GUARDED_BY(mutex_);
  bool writing_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool done_ LOGLOG_GUARDED_BY(mutex_) = false;
};

SimWorker::SimWorker(const std::string& address, std::string worker_id, int slots, bool quick,
                     Hooks hooks)
    : worker_id_(std::move(worker_id)),
      quick_(quick),
      hooks_(std::move(hooks)),
      channel_(Connect(address)),
      stub_(v1::WorkerService::NewStub(channel_)),
      slots_(slots) {}

SimWorker::~SimWorker() { Stop(); }

void SimWorker::Start() {
  v1::RegisterWorkerRequest request;
  request.set_protocol(v1::PROTOCOL_CURRENT);
  request.set_worker_id(worker_id_);
  request.set_boot_id("bench");
  request.set_version("bench");
  request.set_host("bench");
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < slots_.size(); ++i) {
      v1::SlotInfo* const slot = request.add_slots();
      slot->set_slot(static_cast<int>(i));
      slot->set_device("cpu");
    }
  }
  v1::RegisterWorkerResponse response;
  Must(stub_->RegisterWorker(NewContext().get(), request, &response), "RegisterWorker");
  session_epoch_ = response.session_epoch();
  stream_ = std::make_unique<Stream>(this);
  stream_->Start();
  Sync();
}

void SimWorker::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (call_ != nullptr) call_->context.TryCancel();
    ended_.Wait(mutex_,
                [this]() LOGLOG_REQUIRES(mutex_) { return call_ == nullptr && answering_ == 0; });
  }
  if (stream_ != nullptr) stream_->Stop();
  stream_.reset();
}

void SimWorker::Sync() {
  SyncCall* call = nullptr;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    if (call_ != nullptr) {
      const bool first = !std::exchange(out_of_date_, true);
      // The call after one that was taken back is short and left alone.
      if (first && !taken_back_) {
        taken_back_ = true;
        call_->context.TryCancel();
      }
      return;
    }
    out_of_date_ = false;
    call_ = std::make_unique<SyncCall>();
    call = call_.get();
    call->request.set_worker_id(worker_id_);
    call->request.set_session_epoch(session_epoch_);
    call->request.set_wait_ms(taken_back_ ? kAfterTakingBackMs : kWaitMs);
    for (size_t i = 0; i < slots_.size(); ++i) {
      v1::SlotReport* const report = call->request.add_slots();
      report->set_slot(static_cast<int>(i));
      report->set_state(slots_[i].state);
      report->set_attempt_id(slots_[i].attempt_id);
      if (slots_[i].state == v1::SlotReport::FINISHED) {
        report->mutable_outcome()->set_kind(slots_[i].outcome);
      }
    }
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }
  stub_->async()->SyncWorker(&call->context, &call->request, &call->response,
                             [this](const grpc::Status& status) { OnAnswer(status); });
}

void SimWorker::OnAnswer(const grpc::Status& status) {
  std::vector<std::pair<v1::SlotDesired::Action, int>> told;
  std::vector<int64_t> attempts;
  bool again = true;
  {
    MutexLock lock(mutex_);
    const std::unique_ptr<SyncCall> call = std::move(call_);
    ended_.NotifyAll();
    if (stopping_) return;
    ++answering_;
    const bool taken_back = status.error_code() == grpc::StatusCode::CANCELLED;
    if (!taken_back) {
      Must(status, "SyncWorker");
      taken_back_ = false;
    }
    bool news = out_of_date_;
    for (const v1::SlotDesired& desired : call->response.slots()) {
      Slot& slot = slots_[desired.slot()];
      switch (desired.action()) {
        case v1::SlotDesired::RUN:
          if (slot.state == v1::SlotReport::FINISHED &&
              slot.attempt_id == desired.forget_attempt_id()) {
            slot = Slot();
            told.emplace_back(v1::SlotDesired::FORGET, desired.slot());
            attempts.push_back(desired.forget_attempt_id());
          }
          if (slot.state != v1::SlotReport::IDLE) continue;
          slot.state = v1::SlotReport::RUNNING;
          slot.attempt_id = desired.attempt_id();
          break;
        case v1::SlotDesired::FORGET:
        case v1::SlotDesired::KILL:
          if (slot.attempt_id != desired.attempt_id()) continue;
          slot = Slot();
          news = true;
          break;
        case v1::SlotDesired::STOP:
          if (slot.state != v1::SlotReport::RUNNING) continue;
          slot.state = v1::SlotReport::STOPPING;
          break;
        default:
          continue;
      }
      told.emplace_back(desired.action(), desired.slot());
      attempts.push_back(desired.attempt_id());
    }
    // A quick attempt that was just started is over before there is anything to say.
    again = news || taken_back || told.empty() || !quick_;
  }
  for (size_t i = 0; i < told.size(); ++i) {
    const auto [action, slot] = told[i];
    if (action == v1::SlotDesired::RUN) {
      if (hooks_.start) hooks_.start(this, slot, attempts[i]);
    } else if (action == v1::SlotDesired::STOP) {
      if (hooks_.stop) {
        hooks_.stop(this, slot);
      } else {
        Finish(slot, v1::AttemptOutcome::STOPPED);
      }
    } else if (hooks_.forgotten) {
      hooks_.forgotten(this, slot);
    }
  }
  if (again) Sync();
  // The last that is done with this worker: who stops it waits for that.
  MutexLock lock(mutex_);
  --answering_;
  ended_.NotifyAll();
}

void SimWorker::OnAck(const v1::MetricAck& ack) {
  int slot = -1;
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].attempt_id == ack.attempt_id()) slot = static_cast<int>(i);
    }
  }
  if (slot >= 0 && !ack.forget() && hooks_.acknowledged) {
    hooks_.acknowledged(this, slot, ack.last_seq());
  }
}

void SimWorker::Send(int slot, v1::MetricBatch batch) {
  {
    MutexLock lock(mutex_);
    batch.set_worker_id(worker_id_);
    batch.set_session_epoch(session_epoch_);
    batch.set_attempt_id(slots_[slot].attempt_id);
  }
  stream_->Send(std::move(batch));
}

void SimWorker::Finish(int slot, v1::AttemptOutcome::Kind kind) {
  {
    MutexLock lock(mutex_);
    slots_[slot].state = v1::SlotReport::FINISHED;
    slots_[slot].outcome = kind;
  }
  Sync();
}

v1::MetricBatch Rows(int64_t first_seq, int64_t first_step, int rows, int metrics) {
  v1::MetricBatch batch;
  batch.set_first_seq(first_seq);
  for (int metric = 0; metric < metrics; ++metric) {
    batch.add_names(metric == 0 ? std::string("loss/train") : absl::StrCat("metric/", metric));
  }
  for (int i = 0; i < rows; ++i) {
    v1::MetricRow* const row = batch.add_events()->mutable_row();
    row->set_step(first_step + i + 1);
    row->set_tokens((first_step + i + 1) * 64);
    for (int metric = 0; metric < metrics; ++metric) {
      row->add_name(metric);
      row->add_value(3.0 + 1.0 / static_cast<double>(first_step + i + metric + 1));
    }
  }
  return batch;
}

SimWorker::Hooks NothingTrial(std::function<void()> forgotten) {
  constexpr int kPoints = 10;
  // Of every trial the same: start, ten rows of one metric, end.
  v1::MetricBatch rows = Rows(1, 0, kPoints, 1);
  v1::MetricBatch batch;
  batch.set_first_seq(0);
  *batch.mutable_names() = rows.names();
  batch.add_events()->mutable_started()->set_total_steps(kPoints);
  for (v1::TrainerEvent& event : *rows.mutable_events()) batch.add_events()->Swap(&event);
  v1::MemberEnded* const ended = batch.add_events()->mutable_member_ended();
  ended->set_step(kPoints);
  ended->set_tokens(kPoints * 64);
  ended->set_final_loss(3.0);
  ended->set_summary_json("{}");
  const int64_t last_seq = batch.events_size() - 1;

  SimWorker::Hooks hooks;
  hooks.start = [batch](SimWorker* worker, int slot, int64_t) { worker->Send(slot, batch); };
  hooks.acknowledged = [last_seq](SimWorker* worker, int slot, int64_t seq) {
    if (seq == last_seq) worker->Finish(slot, v1::AttemptOutcome::DONE);
  };
  hooks.forgotten = [forgotten = std::move(forgotten)](SimWorker*, int) { forgotten(); };
  return hooks;
}

Fleet StartFleet(const std::string& address, int workers, int slots, bool quick,
                 const SimWorker::Hooks& hooks) {
  Fleet fleet;
  for (int i = 0; i < workers; ++i) {
    fleet.push_back(
        std::make_unique<SimWorker>(address, absl::StrCat("bench-", i), slots, quick, hooks));
    fleet.back()->Start();
  }
  return fleet;
}

}  // namespace loglog::bench
