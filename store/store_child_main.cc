// What the tests of the store run in a process of its own:
//   store_child hold STORE             opens it, says "open", ends with its input
//   store_child write STORE SEED       writes for ever and says what was acknowledged
//   store_child golden STORE           makes the store whose dump is in golden/
//   store_child backup STORE TO        copies it and says "done"
//   store_child full STORE TO BYTES    the same where no file may be longer than BYTES
//   store_child killed STORE TO BYTES  the same, killed by the kernel at that length
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "shards/sha256.h"
#include "store/store.h"
#include "store/upkeep.h"

namespace loglog {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
  std::exit(1);
}

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

NewSweep SmallSweep(int trials) {
  NewSweep sweep;
  sweep.name = "small";
  sweep.spec_json = "{\"name\":\"small\"}";
  sweep.spec_sha256 = Sha256Hex(sweep.spec_json);
  sweep.request_id = "request-1";
  sweep.create_ms = 1000;
  sweep.cells.push_back(
      {Sha256Hex("{}"), "{}", "all", "{\"D\":\"1000\"}", 120, 100, 1000, 100, 6.0e5});
  for (int i = 0; i < trials; ++i) {
    sweep.trials.push_back({0, i, Sha256Hex(absl::StrCat(sweep.cells[0].sha256, ":", i))});
    sweep.tasks.push_back({{i}, 0, 1000, -1});
  }
  return sweep;
}

WorkerRow Host() {
  WorkerRow worker;
  worker.worker_id = "host-a";
  worker.boot_id = "boot-1";
  worker.slots = 2;
  worker.slots_json = "[]";
  worker.labels_json = "{\"zone\":\"a\"}";
  worker.register_ms = 1000;
  return worker;
}

// Task `index` of the sweep, leased to slot `index`.
int64_t Lease(Store* store, int64_t index) {
  NewAttempt attempt;
  attempt.task_id = Must(store->read().ListOpenTasks(0)).at(index).task_id;
  attempt.worker_id = "host-a";
  attempt.slot = static_cast<int>(index);
  attempt.session_epoch = 1;
  attempt.lease_ms = 30'000;
  attempt.create_ms = 1500;
  return Must(store->InsertAttempt(attempt)).attempt_id;
}

MetricRow Row(int64_t step) {
  const double value = static_cast<double>(step);
  return MetricRow{0, step, step * 10, {{0, value}, {1, -value}, {2, value / 3}}};
}

// Each transaction holds a batch of 1 to 40 rows and one event that names the batch's
// last number; after the commit the number goes to standard output.
int Write(const std::string& path, unsigned seed) {
  std::mt19937 random(seed);
  auto store = Must(Store::Open(path));
  int64_t attempt_id = 0;
  int64_t seq = 0;
  const LiveState live = Must(store->LoadLive());
  if (live.attempts.empty()) {
    Must(store->Begin());
    Must(store->CreateSweep(SmallSweep(1)));
    Must(store->UpsertWorker(Host()));
    attempt_id = Lease(store.get(), 0);
    Must(store->Commit());
  } else {
    attempt_id = live.attempts[0].attempt_id;
    seq = live.attempts[0].last_seq + 1;
  }
  for (;;) {
    Batch batch;
    batch.attempt_id = attempt_id;
    batch.first_seq = seq;
    batch.metrics = {"loss/train", "norm/grad", "lr"};
    const int rows = 1 + static_cast<int>(random() % 40);
    for (int i = 0; i < rows; ++i) batch.events.emplace_back(Row(seq + i + 1));
    Must(store->Begin());
    seq = Must(store->ApplyBatch(batch)).last_seq + 1;
    EventRow event;
    event.kind = "batch";
    event.attempt_id = attempt_id;
    event.detail_json = std::to_string(seq - 1);
    Must(store->AppendEvent(event));
    Must(store->Commit());
    std::printf("%lld\n", static_cast<long long>(seq - 1));
    std::fflush(stdout);
  }
}

int Hold(const std::string& path) {
  auto store = Must(Store::Open(path));
  std::puts("open");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

int Golden(const std::string& path) {
  auto store = Must(Store::Open(path));
  Must(store->Begin());
  const int64_t sweep_id = Must(store->CreateSweep(SmallSweep(3))).sweep.sweep_id;
  Must(store->UpsertWorker(Host()));
  const int64_t first = Lease(store.get(), 0);
  Batch batch;
  batch.attempt_id = first;
  batch.metrics = {"loss/train", "norm/grad", "lr"};
  batch.time_ms = 2000;
  batch.events.emplace_back(AttemptStart{0, "0.1.0", std::string(64, 'd'), 120, 100, 600, 100});
  for (int step = 1; step <= 100; ++step) batch.events.emplace_back(Row(step));
  batch.events.emplace_back(CheckpointCommit{100, "/checkpoints/1", std::string(64, 'c'), 9});
  batch.events.emplace_back(MemberEnd{0, false, 100, 1000, 3.25, "{\"loss/val\":3.25}"});
  Must(store->ApplyBatch(batch));
  Must(store->UpdateAttempt(first, {AttemptState::kDone, 3000, 0, 0, ""}));
  Must(store->UpdateTask(1, {TaskState::kDone}));
  const int64_t second = Lease(store.get(), 0);
  batch.attempt_id = second;
  batch.events = {AttemptStart{}, Row(1), MemberEnd{0, true, 2, 20, kNoNumber, "{}"}};
  Must(store->ApplyBatch(batch));
  Must(store->UpdateAttempt(second, {AttemptState::kDiverged, 3000, 0, 0, ""}));
  Must(store->UpdateTask(2, {TaskState::kDone}));
  EventRow event;
  event.time_ms = 3000;
  event.kind = "trial.done";
  event.sweep_id = sweep_id;
  event.trial_id = 1;
  event.detail_json = "{}";
  Must(store->AppendEvent(event));
  FitRow fit;
  fit.sweep_id = sweep_id;
  fit.kind = "local_slope";
  fit.axis = "D";
  fit.arm = "all";
  fit.inputs_sha256 = std::string(64, 'f');
  fit.verdict = "REFUSED";
  fit.fit_json = "{}";
  Must(store->InsertFit(fit));
  Must(store->Commit());
  return 0;
}

// As a full disk does, the limit refuses the write; or the signal ends the process in it.
int Backup(const std::string& path, const std::string& to, rlim_t bytes_max, bool killed) {
  if (bytes_max > 0) {
    std::signal(SIGXFSZ, killed ? SIG_DFL : SIG_IGN);
    const rlimit no_core = {0, 0}, limit = {bytes_max, bytes_max};
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  const absl::Status status = BackupStore(path, to).status();
  std::puts(status.ok() ? "done" : absl::StatusCodeToString(status.code()).c_str());
  return 0;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  const std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "hold") return loglog::Hold(argv[2]);
  if (mode == "write" && argc > 3) return loglog::Write(argv[2], std::stoul(argv[3]));
  if (mode == "golden") return loglog::Golden(argv[2]);
  if (mode == "backup" && argc > 3) return loglog::Backup(argv[2], argv[3], 0, false);
  if (argc > 4 && (mode == "full" || mode == "killed")) {
    return loglog::Backup(argv[2], argv[3], std::stoul(argv[4]), mode == "killed");
  }
  std::fprintf(stderr, "usage: store_child hold|write|golden|backup|full|killed STORE ...\n");
  return 2;
}
