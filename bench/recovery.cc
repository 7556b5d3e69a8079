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
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "bench/control/bench.h"
#include "bench/control/big_store.h"
#include "loglog/v1/sweep_service.grpc.pb.h"

namespace loglog {
namespace {

using bench::Must;
using bench::StoreLoad;
using Clock = bench::SteadyClock;

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// In a child, which is killed with the log as it then is. Seconds.
double MakeStore(const std::string& path, const StoreLoad& load) {
  const auto start = Clock::now();
  const pid_t child = fork();
  if (child == 0) bench::WriteStore(path, load);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) std::exit(1);
  return MsSince(start) / 1000;
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
  auto coordinator = Must(Subprocess::Spawn(
      {.argv = bench::EndsWithUs({program, "--store", path, "--listen", "127.0.0.1:0",
                                  "--ready-file", ready, "--log-format", "text"}),
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

void Run(const std::string& program, const std::string& path, const StoreLoad& load, int rounds) {
  const int64_t sweeps = (load.trials - load.open + load.sweep_trials - 1) / load.sweep_trials + 1;
  std::printf("%lld trials (%lld open), %lld points, %lld sweeps; store %.0f MB, log %.0f MB\n",
              static_cast<long long>(load.trials), static_cast<long long>(load.open),
              static_cast<long long>(load.trials * load.RowsOfTrial() * StoreLoad::kMetrics),
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
  loglog::bench::StoreLoad load{.log_bytes = 16 << 20};  // what a checkpoint of the log waits for
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
      load.log_bytes = std::max(1LL, std::atoll(argv[++i])) << 20;
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
  if (!std::filesystem::exists(path)) {
    std::printf("made in %.0f s\n", loglog::MakeStore(path, load));
  }
  loglog::Run(program, path, load, rounds);
  if (!keep) remove();
  return 0;
}
