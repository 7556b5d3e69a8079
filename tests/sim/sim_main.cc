// loglog-sim: runs the whole control plane in simulated time, one run for each seed, and
// says which rule was broken in which run.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "base/failpoint.h"
#include "tests/sim/mutation.h"
#include "tests/sim/simulation.h"

namespace loglog::sim {
namespace {

// Places that runs cannot come to, or next to never; other tests do (tests/failpoints.py).
const std::map<std::string, std::string>& OnlyElsewhere() {
  static const auto* const places = new std::map<std::string, std::string>({
      {"lease.late_incomplete", "no honest worker says so"},
      {"lease.outcome_without_results", "no honest worker says so"},
      {"store.batch_gap", "the batches of a stream come in order but once in thousands of runs"},
      {"store.batch_unknown", "only a store that was replaced does not know an attempt"},
      {"store.end_refused", "a caller's mistake"},
      {"worker.guard_kill", "a thread of real processes"},
      {"worker.order_while_busy", "answers to calls that were taken back are dropped here"},
      {"worker.told_to_abandon", "there is one store here"},
  });
  return *places;
}

// Places that a few hundred runs may miss.
bool IsSeldom(const std::string& failpoint) {
  static const auto* const seldom = new std::set<std::string>(
      {"lease.failures_spent", "lease.late_cancelled", "lease.losses_spent", "lease.lost_cancelled",
       "lease.lost_complete", "lease.outcome_made_room", "lease.stale_stream", "store.batch_gap",
       "store.batch_repeated", "worker.grace_kill"});
  return seldom->count(failpoint) > 0;
}

struct Flags {
  int64_t seeds = 200;
  uint64_t first = 1;
  bool verbose = false;
  bool logs = false;
  std::string dir = "/dev/shm";
};

class Runner {
 public:
  explicit Runner(Flags flags) : flags_(std::move(flags)) {}

  // 0, or 1 when a rule was broken or a failpoint was never reached.
  int Run() {
    const auto began = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < flags_.seeds; ++i) {
      if (!RunSeed(flags_.first + static_cast<uint64_t>(i))) return 1;
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return Report(seconds) ? 0 : 1;
  }

 private:
  Simulation::Report Simulate(uint64_t seed, bool faults) {
    const std::string dir = flags_.dir + "/loglog-sim-" + std::to_string(getpid());
    std::filesystem::remove_all(dir);
    std::filesystem::create_directories(dir);
    Simulation::Report report =
        Simulation(
            {.seed = seed, .faults = faults, .verbose = flags_.verbose && faults, .dir = dir})
            .Run();
    std::filesystem::remove_all(dir);
    return report;
  }

  bool RunSeed(uint64_t seed) {
    const uint64_t workload = Simulation::WorkloadOf(seed);
    if (ideal_.count(workload) == 0) {
      const Simulation::Report ideal = Simulate(workload, /*faults=*/false);
      if (!ideal.breach.empty()) return Fail(seed, "without any fault: " + ideal.breach);
      ideal_[workload] = ideal.results;
    }
    const Simulation::Report report = Simulate(seed, /*faults=*/true);
    for (const auto& [kind, count] : report.counts) counts_[kind] += count;
    simulated_ms_ += report.simulated_ms;
    if (!report.breach.empty()) return Fail(seed, report.breach);
    if (report.results == ideal_[workload]) return true;
    for (const auto& [trial, result] : ideal_[workload]) {
      const auto found = report.results.find(trial);
      if (found == report.results.end()) return Fail(seed, "trial " + trial + " is missing");
      if (found->second != result) {
        return Fail(seed, "not what a run without faults stores:\n--- without\n" + result +
                              "--- with\n" + found->second);
      }
    }
    return Fail(seed, "there are trials that a run without faults does not have");
  }

  bool Fail(uint64_t seed, const std::string& breach) {
    std::printf("seed %llu: %s\nagain: loglog-sim --first %llu --seeds 1 --verbose\n",
                static_cast<unsigned long long>(seed), breach.c_str(),
                static_cast<unsigned long long>(seed));
    return false;
  }

  // Every failpoint is reached, and every run ended as it should.
  bool Report(double seconds) {
    std::printf("%10s  what happened\n", "times");
    for (const auto& [kind, count] : counts_) {
      std::printf("%10lld  %s\n", static_cast<long long>(count), kind.c_str());
    }
    std::printf("%lld runs, %.1f simulated hours in %.1f s: %.0f runs a minute\n",
                static_cast<long long>(flags_.seeds), static_cast<double>(simulated_ms_) / 3.6e6,
                seconds, static_cast<double>(flags_.seeds) * 60 / seconds);
    bool all = true;
    for (const std::string& name : FailpointNames()) {
      if (flags_.seeds < 100 || counts_["at " + name] > 0) continue;
      const auto elsewhere = OnlyElsewhere().find(name);
      if (elsewhere != OnlyElsewhere().end()) {
        std::printf("failpoint %s is not for a simulation: %s\n", name.c_str(),
                    elsewhere->second.c_str());
        continue;
      }
      std::printf("failpoint %s was never reached\n", name.c_str());
      all = all && IsSeldom(name) && flags_.seeds < 2'000;
    }
    return all;
  }

  const Flags flags_;
  std::map<uint64_t, std::map<std::string, std::string>> ideal_;  // results by workload
  std::map<std::string, int64_t> counts_;
  int64_t simulated_ms_ = 0;
};

}  // namespace
}  // namespace loglog::sim

int main(int argc, char** argv) {
  loglog::sim::Flags flags;
  CLI::App app("Runs the control plane in simulated time, with faults.", "loglog-sim");
  app.add_option("--seeds", flags.seeds, "How many runs.");
  app.add_option("--first", flags.first, "The first run's seed.");
  app.add_option("--dir", flags.dir, "Where its files go; memory is best.");
  app.add_flag("--verbose", flags.verbose, "Tell what happens.");
#ifdef LOGLOG_MUTATED
  app.add_option("--break", loglog::sim::BrokenRule(), "The rule that is broken; see mutate.py.")
      ->required();
#endif
  app.add_flag("--logs", flags.logs, "Show the logs of coordinator and workers, too.");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(flags.logs ? spdlog::level::debug : spdlog::level::off);
  return loglog::sim::Runner(flags).Run();
}
