// What the control plane can do, beside what bare SQLite can do on the same disk.
//
//   bench_control [--workloads A,B,...] [--dir DIR] [--rounds N] [--json] [--smoke]
//                 [--store FILE [--store-trials N] [--store-points N]] [--bin-dir DIR]
//
// Workloads (all of them unless named):
//   engine       strand, scheduler and store without the wire
//   trials       durable trials a second, 4 and 64 workers; processor time of a trial
//   points       durable points a second from 8 workers
//   latency      from a submission to the start of its trial, idle
//   history      the three above after a million trials and a hundred million points
//   makespan     a sweep of 200 trials of a second on 4 slots of the daemon
//   cancel       10,000 trials queued and 64 running, cancelled
//   stream250    every call while 250 workers stream
//   stream1000   while 1,000 do, each a fifth as often
//   submitflood  64 users who submit without a pause
//   memory       the coordinator's, with a long history and with a million open trials
//
// The coordinator is a process of its own and is spoken to through gRPC on loopback; workers
// are simulated in this process, but for makespan and the start of trainers in latency,
// which use the daemon with fake trainers. Each line: median (lowest to highest) of the
// rounds; what is compared takes turns in the same rounds. --store keeps the large store
// of history and memory (some 2 GB, ten minutes to make) for the next time, and makes
// stream250 and stream1000 use it.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "bench/control/workloads.h"
#include "proto/callback_pulse.h"

namespace loglog::bench {
namespace {

struct Workload {
  const char* name;
  void (*run)(const Options&, Report*);
};
constexpr Workload kWorkloads[] = {
    {"engine", EngineWorkload},           {"trials", TrialsWorkload},
    {"points", PointsWorkload},           {"latency", LatencyWorkload},
    {"history", HistoryWorkload},         {"makespan", MakespanWorkload},
    {"cancel", CancelWorkload},           {"stream250", Stream250Workload},
    {"stream1000", Stream1000Workload},   {"memory", MemoryWorkload},
    {"submitflood", SubmitFloodWorkload},
};

int Usage() {
  std::fprintf(stderr,
               "usage: bench_control [--workloads A,B,...] [--dir DIR] [--rounds N] [--json] "
               "[--smoke] [--store FILE] [--store-trials N] [--store-points N] [--bin-dir DIR]\n"
               "workloads:");
  for (const Workload& workload : kWorkloads) std::fprintf(stderr, " %s", workload.name);
  std::fprintf(stderr, "\n");
  return 2;
}

int Main(int argc, char** argv) {
  StopLookingForDeadlocks();
  Options options;
  options.bin_dir = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  bool json = false;
  int rounds = 0;
  std::vector<std::string> names;
  for (const Workload& workload : kWorkloads) names.push_back(workload.name);
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--smoke") {
      options.smoke = true;
      continue;
    }
    if (flag == "--json") {
      json = true;
      continue;
    }
    if (i + 1 == argc) return Usage();
    const std::string value = argv[++i];
    bool good = true;
    if (flag == "--workloads") {
      names = absl::StrSplit(value, ',', absl::SkipEmpty());
    } else if (flag == "--dir") {
      options.dir = value;
    } else if (flag == "--bin-dir") {
      options.bin_dir = value;
    } else if (flag == "--store") {
      options.big_store = value;
    } else if (flag == "--rounds") {
      good = absl::SimpleAtoi(value, &rounds) && rounds > 0;
    } else if (flag == "--store-trials") {
      good = absl::SimpleAtoi(value, &options.big_trials) && options.big_trials > 0;
    } else if (flag == "--store-points") {
      good = absl::SimpleAtoi(value, &options.big_points) && options.big_points > 0;
    } else {
      good = false;
    }
    if (!good) return Usage();
  }
  options.rounds = rounds > 0 ? rounds : options.smoke ? 1 : options.rounds;
  std::vector<const Workload*> chosen;
  for (const std::string& name : names) {
    const auto* found = std::find_if(std::begin(kWorkloads), std::end(kWorkloads),
                                     [&](const Workload& one) { return name == one.name; });
    if (found == std::end(kWorkloads)) return Usage();
    chosen.push_back(found);
  }
  // As in the programs: workers and users are simulated here.
  const CallbackPulse pulse;
  Report report(json);
  for (const Workload* workload : chosen) workload->run(options, &report);
  report.Finish();
  return 0;
}

}  // namespace

int64_t NewSalt() {
  // From the clock, so that a kept store has not seen it: a run takes less than one for each
  // millisecond.
  static std::atomic<int64_t> next = std::chrono::duration_cast<std::chrono::milliseconds>(
                                         std::chrono::system_clock::now().time_since_epoch())
                                         .count() %
                                     10'000'000'000;
  return next++;
}

}  // namespace loglog::bench

int main(int argc, char** argv) { return loglog::bench::Main(argc, argv); }
