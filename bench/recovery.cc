// How long after kill -9 a coordinator answers again, whatever its store has seen.
//
//   bench_recovery [--trials N] [--points N] [--open N] [--sweep-trials N] [--log-mb N]
//                  [--rounds N] [--dir DIR] [--coordinator PROGRAM] [--keep] [--smoke]
//
// A child writes the store: sweeps whose trials are DONE, each with its attempt, summary,
// events and points of four metrics, then one sweep with --open trials, of which 64 run. It
// leaves the last megabytes in the write-ahead log and kills itself. Then, round by round, the
// coordinator is started, asked GetSweep, and killed. Printed: milliseconds from the spawn to
// the address being served, and to the first answer. --keep leaves the store there and uses
// one that is there.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "loglog/v1/sweep_service.grpc.pb.h"
#include "plan/spec.h"
#include "shards/sha256.h"
#include "store/connection.h"
#include "store/store.h"

namespace loglog {
namespace {

using Clock = std::chrono::steady_clock;

struct Load {
  int64_t trials = 1'000'000;
  int64_t points = 100'000'000;
  int64_t open = 1000;
  int64_t sweep_trials = 1000;
  int64_t log_bytes = 16 << 20;  // what a checkpoint of the log waits for
  static constexpr int kMetrics = 4;
  static constexpr int kLive = 64;
  int64_t RowsOfTrial() const { return std::max<int64_t>(1, points / trials / kMetrics); }
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

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// ---- the store

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

// Writes as a coordinator does, but in large transactions that nobody waits for.
class Writer {
 public:
  Writer(const std::string& path, const Load& load) : load_(load), store_(Must(Store::Open(path))) {
    Must(store_->connection()->Script("PRAGMA synchronous = OFF"));
    Must(store_->Begin());
    for (int i = 0; i < Load::kLive; ++i) {
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
    Must(store_->Begin());
    const int64_t first = AddSweep(load_.open);
    for (int i = 0; i < std::min<int64_t>(Load::kLive, load_.open); ++i) Lease(first + i, i);
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
  static std::string WorkerOf(int64_t i) { return absl::StrCat("host-", i % Load::kLive); }

  Batch Rows(int64_t attempt_id, int64_t first, int64_t count) const {
    Batch batch;
    batch.attempt_id = attempt_id;
    batch.first_seq = first;
    batch.metrics = {"loss/train", "norm/grad", "norm/weight", "lr"};
    batch.time_ms = 1;
    for (int64_t row = first; row < first + count; ++row) {
      MetricRow event{0, (row + 1) * 10, (row + 1) * 640, {}};
      for (int metric = 0; metric < Load::kMetrics; ++metric) {
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
      cell.flops = 1e9;
      sweep.trials.push_back({static_cast<int>(i), 0, Sha256Hex(cell.sha256)});
      sweep.tasks.push_back({{static_cast<int>(i)}, 0, 640, -1});
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

  const Load load_;
  std::unique_ptr<Store> store_;
  int sweeps_ = 0;
  int64_t sweep_id_ = 0;
  int64_t next_ = 1;
};

void MakeStore(const std::string& path, const Load& load) {
  const auto start = Clock::now();
  const pid_t child = fork();
  if (child == 0) {
    Writer writer(path, load);
    writer.Write();
    writer.FillLog();
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) std::exit(1);
  std::printf("made in %.0f s\n", MsSince(start) / 1000);
}

// ---- the coordinator

struct Recovery {
  double served_ms = 0;
  double answered_ms = 0;
};

Recovery Recover(const std::string& program, const std::string& path, const std::string& sweep) {
  const std::string ready = path + ".ready";
  std::filesystem::remove(ready);
  const int log = open((path + ".log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  Recovery recovery;
  const auto start = Clock::now();
  auto coordinator =
      Must(Subprocess::Spawn({.argv = {program, "--store", path, "--listen", "127.0.0.1:0",
                                       "--ready-file", ready, "--log-format", "text"},
                              .stdout_fd = log,
                              .stderr_fd = log}));
  close(log);
  while (!PathExists(ready)) {
    ExitStatus status;
    if (coordinator->TryReap(&status)) {
      std::fprintf(stderr, "the coordinator ended: %s", Must(ReadFile(path + ".log")).c_str());
      std::exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  recovery.served_ms = MsSince(start);
  std::string address = Must(ReadFile(ready));
  address.pop_back();
  const auto stub =
      v1::SweepService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  v1::GetSweepRequest request;
  request.set_name(absl::StrCat("sweeps/", sweep));
  v1::Sweep answer;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const grpc::Status status = stub->GetSweep(&context, request, &answer);
  recovery.answered_ms = MsSince(start);
  if (!status.ok()) {
    std::fprintf(stderr, "GetSweep: %s\n", status.error_message().c_str());
    std::exit(1);
  }
  coordinator->KillGroup();
  ExitStatus ended;
  coordinator->WaitReaped(10'000, &ended);
  std::filesystem::remove(ready);
  return recovery;
}

double Megabytes(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<double>(bytes) / 1e6;
}

void Run(const std::string& program, const std::string& path, const Load& load, int rounds) {
  const int64_t sweeps = (load.trials - load.open + load.sweep_trials - 1) / load.sweep_trials + 1;
  std::printf("%lld trials (%lld open), %lld points, %lld sweeps; store %.0f MB, log %.0f MB\n",
              static_cast<long long>(load.trials), static_cast<long long>(load.open),
              static_cast<long long>(load.trials * load.RowsOfTrial() * Load::kMetrics),
              static_cast<long long>(sweeps), Megabytes(path), Megabytes(path + "-wal"));
  std::vector<double> answered;
  for (int round = 0; round < rounds; ++round) {
    // An ended sweep and the live one take turns.
    const std::string sweep = absl::StrCat("sweep-", round % 2 == 0 ? sweeps : 1);
    const Recovery recovery = Recover(program, path, sweep);
    std::printf("  served after %7.1f ms, %s answered after %7.1f ms, log then %.0f MB\n",
                recovery.served_ms, sweep.c_str(), recovery.answered_ms, Megabytes(path + "-wal"));
    answered.push_back(recovery.answered_ms);
  }
  std::sort(answered.begin(), answered.end());
  std::printf("first answer after kill -9: median %.0f ms, worst %.0f ms (goal 1000)\n",
              answered[answered.size() / 2], answered.back());
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  loglog::Load load;
  std::string dir = ".";
  std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "loglog-coordinator";
  int rounds = 5;
  bool keep = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const bool more = i + 1 < argc;
    if (flag == "--smoke") {
      load = {.trials = 50, .points = 2000, .open = 10, .sweep_trials = 20, .log_bytes = 100'000};
      rounds = 1;
    } else if (flag == "--keep") {
      keep = true;
    } else if (flag == "--dir" && more) {
      dir = argv[++i];
    } else if (flag == "--coordinator" && more) {
      program = argv[++i];
    } else if (flag == "--rounds" && more) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (flag == "--trials" && more) {
      load.trials = std::max(1LL, std::atoll(argv[++i]));
    } else if (flag == "--points" && more) {
      load.points = std::max(1LL, std::atoll(argv[++i]));
    } else if (flag == "--open" && more) {
      load.open = std::max(1LL, std::atoll(argv[++i]));
    } else if (flag == "--log-mb" && more) {
      load.log_bytes = std::max(0LL, std::atoll(argv[++i])) << 20;
    } else if (flag == "--sweep-trials" && more) {
      load.sweep_trials = std::max(1LL, std::atoll(argv[++i]));
    } else {
      std::fprintf(
          stderr,
          "usage: bench_recovery [--trials N] [--points N] [--open N] [--sweep-trials N] "
          "[--log-mb N] [--rounds N] [--dir DIR] [--coordinator PROGRAM] [--keep] [--smoke]\n");
      return 2;
    }
  }
  load.open = std::min(load.open, load.trials);
  const std::string path = dir + "/bench-recovery.db";
  const auto remove = [&] {
    for (const char* suffix : {"", "-wal", "-shm", ".lock", ".log", ".ready"}) {
      std::filesystem::remove(path + suffix);
    }
  };
  if (!keep) remove();
  if (!std::filesystem::exists(path)) loglog::MakeStore(path, load);
  loglog::Run(program, path, load, rounds);
  if (!keep) remove();
  return 0;
}
