// The engine without its wire: what strand, scheduler and store cost on top of SQLite.
#include <spdlog/spdlog.h>

#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "bench/control/ceiling.h"
#include "bench/control/server.h"
#include "bench/control/workloads.h"
#include "coordinator/engine.h"

namespace loglog::bench {
namespace {

struct Load {
  int slots = 32;     // trials that send batches at one time
  int batches = 100;  // of each
  int rows_of_batch = 10;
  int metrics = 8;
  int trials = 1000;  // of the dispatch part
  int64_t Points() const { return int64_t{slots} * batches * rows_of_batch * metrics; }
};

// Waits for the answer of a call.
template <typename T>
T Call(const std::function<void(Engine::Reply<T>)>& call) {
  Mutex mutex;
  CondVar changed;
  std::optional<absl::StatusOr<T>> answer;
  call([&](absl::StatusOr<T> value) {
    MutexLock lock(mutex);
    answer = std::move(value);
    changed.NotifyAll();
  });
  MutexLock lock(mutex);
  changed.Wait(mutex, [&] { return answer.has_value(); });
  return Must(*std::move(answer));
}

// An engine with one worker, whose slots are all idle.
class InProcess {
 public:
  InProcess(const std::string& path, int trials, int slots) : slots_(slots) {
    RemoveStore(path);
    EngineOptions options;
    options.refit = false;
    engine_ = Must(Engine::Open(path, options));
    Call<CreateAnswer>([&](auto reply) {
      engine_->CreateSweep(User::Canonical(SpecText("engine", trials, 0, 100'000)), "", false,
                           reply);
    });
    RegisterRequest registration;
    registration.worker_id = "host";
    registration.boot_id = "boot";
    registration.slots = slots;
    registration.slots_json = registration.labels_json = "{}";
    epoch_ = Call<RegisterAnswer>([&](auto reply) {
               engine_->RegisterWorker(registration, reply);
             }).session_epoch;
    for (int i = 0; i < slots; ++i) slots_[i].slot = i;
  }
  ~InProcess() { engine_->Stop(); }

  // Reports what the slots do; starts, and forgets, what the answer says. Returns the
  // slots that started something.
  std::vector<int> Sync() {
    SyncRequest request;
    request.session_epoch = epoch_;
    request.report.worker_id = "host";
    request.report.slots = slots_;
    const SyncAnswer answer =
        Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(request, reply); });
    ++calls_;
    std::vector<int> started;
    for (const SlotDesire& desire : answer.desire.slots) {
      SlotReport& slot = slots_[desire.slot];
      if (desire.action == DesiredAction::kForget) slot = SlotReport{.slot = desire.slot};
      if (desire.action != DesiredAction::kRun) continue;
      slot = SlotReport{.slot = desire.slot};
      slot.state = SlotState::kRunning;
      slot.attempt_id = desire.attempt_id;
      started.push_back(desire.slot);
    }
    return started;
  }
  BatchRequest NewBatch(int slot) const {
    BatchRequest request;
    request.worker_id = "host";
    request.session_epoch = epoch_;
    request.batch.attempt_id = slots_[slot].attempt_id;
    return request;
  }
  // The trial in this slot is done: its last events, and what the next sync says.
  void Complete(int slot, Engine::Reply<BatchAnswer> reply) {
    BatchRequest request = NewBatch(slot);
    request.batch.events = {AttemptStart{}, MemberEnd{0, false, 1, 64, 3.0, "{}"}};
    ++calls_;
    engine_->StoreBatch(std::move(request), std::move(reply));
    slots_[slot].state = SlotState::kFinished;
    slots_[slot].outcome.kind = OutcomeKind::kDone;
  }
  Engine* engine() { return engine_.get(); }
  int64_t calls() const { return calls_; }

 private:
  std::unique_ptr<Engine> engine_;
  std::vector<SlotReport> slots_;
  int64_t epoch_ = 0;
  int64_t calls_ = 0;
};

// One stream of batches: the next one is sent when the one before is acknowledged.
void SendNext(InProcess* coordinator, const Load& load, int slot, int batch, Latch* latch) {
  if (batch == load.batches) return latch->Down();
  BatchRequest request = coordinator->NewBatch(slot);
  request.batch.first_seq = int64_t{batch} * load.rows_of_batch;
  for (int m = 0; m < load.metrics; ++m) {
    request.batch.metrics.push_back(absl::StrCat("metric/", m));
  }
  for (int i = 0; i < load.rows_of_batch; ++i) {
    MetricRow row;
    row.step = int64_t{batch} * load.rows_of_batch + i + 1;
    row.tokens = row.step * 64;
    for (int m = 0; m < load.metrics; ++m) {
      row.values.push_back({m, 3.0 + 1.0 / static_cast<double>(row.step + m)});
    }
    request.batch.events.push_back(std::move(row));
  }
  coordinator->engine()->StoreBatch(std::move(request), [=](absl::StatusOr<BatchAnswer> answer) {
    Must(answer.status());
    SendNext(coordinator, load, slot, batch + 1, latch);
  });
}

double EnginePoints(const std::string& path, const Load& load) {
  InProcess coordinator(path, load.slots, load.slots);
  const size_t started = coordinator.Sync().size();
  if (started != static_cast<size_t>(load.slots)) std::exit(1);
  Latch latch(load.slots);
  const double wall = Seconds([&] {
    for (int slot = 0; slot < load.slots; ++slot) SendNext(&coordinator, load, slot, 0, &latch);
    latch.Wait();
  });
  return static_cast<double>(load.Points()) / wall;
}

double EngineDispatches(const std::string& path, const Load& load, int64_t* calls) {
  InProcess coordinator(path, load.trials, load.slots);
  const int64_t before = coordinator.calls();
  int done = 0;
  const double wall = Seconds([&] {
    while (done < load.trials) {
      const std::vector<int> started = coordinator.Sync();
      if (started.empty()) continue;
      Latch latch(static_cast<int64_t>(started.size()));
      for (const int slot : started) {
        coordinator.Complete(slot, [&](const absl::StatusOr<BatchAnswer>& answer) {
          Must(answer.status());
          latch.Down();
        });
      }
      latch.Wait();
      done += static_cast<int>(started.size());
    }
    coordinator.Sync();  // the last reports
  });
  *calls = coordinator.calls() - before;
  return load.trials / wall;
}

}  // namespace

void EngineWorkload(const Options& options, Report* report) {
  spdlog::set_level(spdlog::level::warn);  // of the engine in this process
  Load load;
  if (options.smoke) load = {.slots = 8, .batches = 10, .trials = 64};
  const std::string path = TempPath(options, "engine");
  std::vector<double> points, bare_points, dispatches, bare_dispatches;
  int64_t calls = 0;
  for (int round = 0; round < options.rounds; ++round) {
    points.push_back(EnginePoints(path, load));
    bare_points.push_back(
        BarePoints(path, load.Points(), int64_t{load.slots} * load.rows_of_batch * load.metrics));
    dispatches.push_back(EngineDispatches(path, load, &calls));
    bare_dispatches.push_back(BareDispatches(path, load.trials, load.slots));
  }
  RemoveStore(path);
  report->Note(absl::StrCat("engine: ", load.slots, " slots, ", load.Points(),
                            " points in batches of ", load.rows_of_batch, " rows of ", load.metrics,
                            "; ", load.trials, " trials in ", calls, " calls"));
  report->Add({"engine", "durable points", "points/s", points, "bare SQLite", bare_points, ""});
  report->Add({"engine", "dispatches", "trials/s", dispatches, "bare SQLite", bare_dispatches, ""});
}

}  // namespace loglog::bench
