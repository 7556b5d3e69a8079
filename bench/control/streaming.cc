#include "bench/control/streaming.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace loglog::bench {
namespace {

constexpr int kRows = 10;
constexpr int kMetrics = 8;

// "bench-7" -> 7
size_t IndexOf(const SimWorker& worker) {
  int index = 0;
  if (!absl::SimpleAtoi(worker.worker_id().substr(6), &index)) std::abort();
  return index;
}

}  // namespace

Streaming::Streaming(const Server& server, int workers, int64_t salt,
                     std::chrono::milliseconds every)
    : every_(every), user_(server.address()), forgotten_(std::make_unique<Latch>(workers)) {
  for (int i = 0; i < workers; ++i) senders_.push_back(std::make_unique<Sender>());
  Latch started(workers);
  SimWorker::Hooks hooks;
  hooks.start = [](SimWorker* worker, int slot, int64_t) {
    v1::MetricBatch start;
    start.add_events()->mutable_started()->set_total_steps(1);
    worker->Send(slot, std::move(start));
  };
  hooks.acknowledged = [this, &started](SimWorker* worker, int, int64_t last_seq) {
    senders_[IndexOf(*worker)]->acknowledged = true;
    if (last_seq == 0) return started.Down();
    points_ += kRows * kMetrics;
  };
  hooks.forgotten = [this](SimWorker*, int) { forgotten_->Down(); };
  fleet_ = StartFleet(server.address(), workers, /*slots=*/1, /*quick=*/false, hooks);
  sweep_ = user_.Submit(
      User::Canonical(SpecText(absl::StrCat("stream-", salt), workers, salt, 1'000'000)));
  started.Wait();
  pacer_ = std::thread([this] { Pace(); });
}

Streaming::~Streaming() {
  stop_ = true;
  pacer_.join();
  for (const auto& worker : fleet_) worker->Stop();
}

void Streaming::End() {
  stop_ = true;
  v1::SweepVerbRequest request;
  request.set_name(sweep_);
  v1::Sweep answer;
  Must(user_.stub()->CancelSweep(NewContext().get(), request, &answer), "CancelSweep");
  forgotten_->Wait();
}

// Workers are due one after the other, spread over the interval.
void Streaming::Pace() {
  const SteadyClock::duration step = SteadyClock::duration(every_) / fleet_.size();
  auto due = SteadyClock::now();
  for (size_t i = 0; !stop_; i = (i + 1) % fleet_.size()) {
    due += step;
    std::this_thread::sleep_until(due);
    Sender& sender = *senders_[i];
    // As the daemon: with too much under way, later rows wait and come in the next batch.
    if (!sender.acknowledged.exchange(false)) continue;
    fleet_[i]->Send(0, Rows(sender.next_seq, sender.next_seq - 1, kRows, kMetrics));
    sender.next_seq += kRows;
  }
}

}  // namespace loglog::bench
