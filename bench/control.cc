// What the coordinator's engine costs on top of SQLite.
//
//   bench_control [--dir DIR] [--rounds N] [--smoke]
//
// Points: workers send batches through the engine (strand, store, acknowledgement after
// the commit); the ceiling is bare SQLite that appends the same numbers, one row for each
// point, in commits of as many batches. Dispatches: a worker takes every trial of a sweep
// from lease to forget; the ceiling is bare SQLite that makes as many commits with one
// row for each trial in them. Both run after each other, round by round; the medians and
// their ratio are printed.
#include <unistd.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "coordinator/engine.h"
#include "store/connection.h"

namespace loglog {
namespace {

struct Load {
  int slots = 32;     // trials that send batches at one time
  int batches = 100;  // of each
  int rows_of_batch = 10;
  int metrics = 8;
  int trials = 1000;  // of the dispatch part
  int64_t Points() const { return int64_t{slots} * batches * rows_of_batch * metrics; }
};

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}
template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void RemoveStore(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path + suffix);
}

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

std::string Spec(int trials) {
  std::string seeds = "0";
  for (int i = 1; i < trials; ++i) absl::StrAppend(&seeds, ",", i);
  return absl::StrCat(
      "apiVersion: loglog/v1\nname: bench\nmodel: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, "
      "d_ff: 32, vocab: 64, seq_len: 16}\ndata: {train: {format: synthetic}, val: {format: "
      "synthetic}, synthetic: {contexts: 32, branching: 4}}\ntrain: {lr: 1.0e-3, batch_tokens: 64, "
      "tokens: "
      "6400000}\naxes: {seed: {path: seed, values: "
      "[",
      seeds, "]}}\n");
}

// An engine with one worker, whose slots are all idle.
class Coordinator {
 public:
  Coordinator(const std::string& path, int trials, int slots) : slots_(slots) {
    RemoveStore(path);
    EngineOptions options;
    options.refit = false;
    engine_ = Must(Engine::Open(path, options));
    Call<CreateAnswer>([&](auto reply) { engine_->CreateSweep(Spec(trials), "", false, reply); });
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
  ~Coordinator() { engine_->Stop(); }

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

// Counts down to the end of many calls.
class Latch {
 public:
  explicit Latch(int64_t count) : count_(count) {}
  void Down() {
    MutexLock lock(mutex_);
    if (--count_ == 0) changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [&] { return count_ == 0; });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int64_t count_;
};

// One stream of batches: the next one is sent when the one before is acknowledged.
void SendNext(Coordinator* coordinator, const Load& load, int slot, int batch, Latch* latch) {
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
  Coordinator coordinator(path, load.slots, load.slots);
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
  Coordinator coordinator(path, load.trials, load.slots);
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

std::unique_ptr<Connection> Bare(const std::string& path) {
  RemoveStore(path);
  auto db = Must(Connection::Open(path, Connection::Mode::kCreate));
  Must(
      db->Script("CREATE TABLE bare (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, step "
                 "INTEGER NOT NULL, tokens INTEGER NOT NULL, value REAL) STRICT;"));
  return db;
}

// The same points, a round of batches to a commit.
double BarePoints(const std::string& path, const Load& load) {
  auto db = Bare(path);
  const double wall = Seconds([&] {
    for (int batch = 0; batch < load.batches; ++batch) {
      Must(db->Script("BEGIN IMMEDIATE"));
      for (int slot = 0; slot < load.slots; ++slot) {
        for (int i = 0; i < load.rows_of_batch; ++i) {
          const int64_t step = int64_t{batch} * load.rows_of_batch + i + 1;
          for (int m = 0; m < load.metrics; ++m) {
            Must(db->Run("INSERT INTO bare (series, step, tokens, value) VALUES (?1, ?2, ?3, ?4)",
                         int64_t{slot} * load.metrics + m, step, step * 64,
                         3.0 + 1.0 / static_cast<double>(step + m)));
          }
        }
      }
      Must(db->Script("COMMIT"));
    }
  });
  return static_cast<double>(load.Points()) / wall;
}

// As many commits as a round of calls shares: one for the sync, one for the batches of
// all slots.
double BareDispatches(const std::string& path, const Load& load) {
  auto db = Bare(path);
  const double wall = Seconds([&] {
    for (int done = 0; done < load.trials; done += load.slots) {
      for (int commit = 0; commit < 2; ++commit) {
        Must(db->Script("BEGIN IMMEDIATE"));
        for (int slot = 0; slot < load.slots; ++slot) {
          Must(db->Run("INSERT INTO bare (series, step, tokens, value) VALUES (?1, ?2, ?3, ?4)",
                       slot, done, commit, 0.5));
        }
        Must(db->Script("COMMIT"));
      }
    }
  });
  return load.trials / wall;
}

void Print(const char* what, const std::vector<double>& engine, const std::vector<double>& bare) {
  std::printf("%-12s engine %10.0f /s   bare SQLite %10.0f /s   ratio %.3f\n", what, Median(engine),
              Median(bare), Median(engine) / Median(bare));
}

int Main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::warn);
  Load load;
  int rounds = 5;
  std::string dir = "/tmp";
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--smoke") {
      load.slots = 8;
      load.batches = 10;
      load.trials = 64;
      rounds = 1;
    } else if (flag == "--dir" && i + 1 < argc) {
      dir = argv[++i];
    } else if (flag == "--rounds" && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: bench_control [--dir DIR] [--rounds N] [--smoke]\n");
      return 2;
    }
  }
  const std::string path = absl::StrCat(dir, "/bench-control-", getpid(), ".db");
  std::vector<double> engine_points, bare_points, engine_dispatches, bare_dispatches;
  int64_t calls = 0;
  for (int round = 0; round < rounds; ++round) {
    engine_points.push_back(EnginePoints(path, load));
    bare_points.push_back(BarePoints(path, load));
    engine_dispatches.push_back(EngineDispatches(path, load, &calls));
    bare_dispatches.push_back(BareDispatches(path, load));
  }
  RemoveStore(path);
  std::printf(
      "%d slots, %lld points in batches of %d rows x %d metrics; %d trials, %lld calls; "
      "medians of %d rounds\n",
      load.slots, static_cast<long long>(load.Points()), load.rows_of_batch, load.metrics,
      load.trials, static_cast<long long>(calls), rounds);
  Print("points", engine_points, bare_points);
  Print("dispatches", engine_dispatches, bare_dispatches);
  return 0;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) { return loglog::Main(argc, argv); }
