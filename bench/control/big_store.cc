#include "bench/control/big_store.h"

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "plan/spec.h"
#include "shards/sha256.h"
#include "store/connection.h"
#include "store/store.h"

namespace loglog::bench {
namespace {

// As it is stored: canonical.
std::string SpecOf(const std::string& name) {
  const std::string text = absl::StrCat(
      "{apiVersion: loglog/v1, name: ", name,
      ", model: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 16},"
      " data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 32, "
      "branching: 4}}, train: {batch_tokens: 64}, axes: {D: {path: train.tokens, values: [640, "
      "1280]}, seed: {path: seed, values: [0]}}, arms: {a: {train.lr: 1.0e-3}, b: {train.lr: "
      "2.0e-3}}}");
  return CanonicalJson(Must(ParseSpec(text, name)));
}

// All trials have the model of the spec.
constexpr double kFlopsPerToken = 1e5;

// Writes as a coordinator does, but in large transactions that nobody waits for.
class Writer {
 public:
  Writer(const std::string& path, const StoreLoad& load)
      : load_(load), store_(Must(Store::Open(path))) {
    Must(store_->connection()->Script("PRAGMA synchronous = OFF"));
    Must(store_->Begin());
    for (int i = 0; i < StoreLoad::kLive; ++i) {
      WorkerRow worker;
      worker.worker_id = WorkerOf(i);
      worker.slots = 1;
      worker.slots_json = "[]";
      worker.labels_json = "{}";
      Must(store_->UpsertWorker(worker).status());
    }
    Must(store_->Commit());
  }

  void Write() {
    const int64_t ended = load_.trials - load_.open;
    for (int64_t first = 0; first < ended; first += load_.sweep_trials) {
      EndedSweep(std::min(load_.sweep_trials, ended - first));
    }
    if (load_.open == 0) return;
    Must(store_->Begin());
    const int64_t first = AddSweep(load_.open);
    for (int i = 0; i < std::min<int64_t>(StoreLoad::kLive, load_.open); ++i) Lease(first + i, i);
    Must(store_->Commit());
  }

  // Live attempts go on until the log has its size; what they send is in the log alone.
  void FillLog() {
    Must(store_->connection()->Script(
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint = 0"));
    const LiveState live = Must(store_->LoadLive());
    int64_t rows = 0;
    while (std::filesystem::file_size(store_->path() + "-wal") <
           static_cast<uintmax_t>(load_.log_bytes)) {
      Must(store_->Begin());
      for (const AttemptRow& attempt : live.attempts) {
        Must(store_->ApplyBatch(Rows(attempt.attempt_id, rows, 10)).status());
      }
      Must(store_->Commit());
      rows += 10;
    }
  }

 private:
  static std::string WorkerOf(int64_t i) { return absl::StrCat("host-", i % StoreLoad::kLive); }

  Batch Rows(int64_t attempt_id, int64_t first, int64_t count) const {
    Batch batch;
    batch.attempt_id = attempt_id;
    batch.first_seq = first;
    batch.metrics = {"loss/train", "norm/grad", "norm/weight", "lr"};
    batch.time_ms = 1;
    for (int64_t row = first; row < first + count; ++row) {
      MetricRow event{0, (row + 1) * 10, (row + 1) * 640, {}};
      for (int metric = 0; metric < StoreLoad::kMetrics; ++metric) {
        event.values.push_back({metric, 3.0 + std::sin(row * 0.7 + attempt_id + metric)});
      }
      batch.events.emplace_back(std::move(event));
    }
    return batch;
  }

  // The first of its tasks' ids; tasks and trials of this store have the same ids.
  int64_t AddSweep(int64_t trials) {
    NewSweep sweep;
    sweep.name = absl::StrCat("sweep-", ++sweeps_);
    sweep.spec_json = SpecOf(sweep.name);
    sweep.spec_sha256 = Sha256Hex(sweep.spec_json);
    for (int64_t i = 0; i < trials; ++i) {
      NewCell cell;
      cell.config_json = absl::StrCat("{\"seed\": ", next_, ", \"train\": {\"tokens\": 640}}");
      cell.sha256 = Sha256Hex(cell.config_json);
      cell.arm = i % 2 == 0 ? "a" : "b";
      cell.axes_json = absl::StrCat("{\"D\": \"", 640 * (1 + i / 2), "\"}");
      cell.tokens = 640 * (1 + i / 2);
      cell.steps = 10;
      cell.flops = kFlopsPerToken * static_cast<double>(cell.tokens);
      sweep.trials.push_back({static_cast<int>(i), 0, Sha256Hex(cell.sha256)});
      sweep.tasks.push_back({{static_cast<int>(i)}, 0, cell.tokens, -1});
      sweep.cells.push_back(std::move(cell));
      ++next_;
    }
    const CreatedSweep created = Must(store_->CreateSweep(sweep));
    sweep_id_ = created.sweep.sweep_id;
    return next_ - trials;
  }

  void Event(const char* kind, int64_t trial_id, int64_t attempt_id) {
    EventRow event;
    event.time_ms = 1;
    event.kind = kind;
    event.sweep_id = sweep_id_;
    event.trial_id = trial_id;
    event.attempt_id = attempt_id;
    event.detail_json = "{}";
    Must(store_->AppendEvent(event).status());
  }

  int64_t Lease(int64_t task_id, int64_t worker) {
    NewAttempt attempt;
    attempt.task_id = task_id;
    attempt.worker_id = WorkerOf(worker);
    attempt.lease_ms = 30'000;
    attempt.create_ms = 1;
    const int64_t id = Must(store_->InsertAttempt(attempt)).attempt_id;
    Event("attempt.leased", task_id, id);
    return id;
  }

  void EndedSweep(int64_t trials) {
    Must(store_->Begin());
    const int64_t first = AddSweep(trials);
    for (int64_t task = first; task < first + trials; ++task) {
      const int64_t attempt = Lease(task, task);
      Batch batch = Rows(attempt, 0, load_.RowsOfTrial());
      batch.events.emplace_back(
          MemberEnd{0, false, load_.RowsOfTrial() * 10, 640, 3.0 - 1e-6 * (task - first), "{}"});
      Must(store_->ApplyBatch(batch).status());
      Must(store_->UpdateAttempt(attempt, {AttemptState::kDone, 2, 0, 0, ""}));
      Must(store_->UpdateTask(task, {TaskState::kDone}));
      Event("trial.done", task, attempt);
    }
    Must(store_->SetSweepState(sweep_id_, SweepState::kDone, 2).status());
    Must(store_->Commit());
  }

  const StoreLoad load_;
  std::unique_ptr<Store> store_;
  int sweeps_ = 0;
  int64_t sweep_id_ = 0;
  int64_t next_ = 1;
};

}  // namespace

int64_t StoreLoad::RowsOfTrial() const { return std::max<int64_t>(1, points / trials / kMetrics); }

void WriteStore(const std::string& path, const StoreLoad& load) {
  Writer writer(path, load);
  writer.Write();
  if (load.log_bytes == 0) return;
  writer.FillLog();
  raise(SIGKILL);
}

void EnsureBigStore(const Options& options, const std::string& path) {
  if (std::filesystem::exists(path)) return;
  // Nothing open: what is measured on it is all that runs.
  StoreLoad load{.trials = options.big_trials, .points = options.big_points, .open = 0};
  if (options.smoke) load = {.trials = 200, .points = 2'000, .open = 0, .sweep_trials = 50};
  std::fprintf(stderr, "# making %s: %lld trials, %lld points\n", path.c_str(),
               static_cast<long long>(load.trials), static_cast<long long>(load.points));
  const double seconds = Seconds([&] { WriteStore(path, load); });
  std::fprintf(stderr, "# made in %.0f s\n", seconds);
}

}  // namespace loglog::bench
