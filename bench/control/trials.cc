// Durable trials a second: created, dispatched, reported and forgotten, over gRPC.
#include "absl/strings/str_cat.h"
#include "bench/control/ceiling.h"
#include "bench/control/server.h"
#include "bench/control/sim_worker.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

TrialsResult RunTrials(const Server& server, int workers, int trials, int64_t salt) {
  User user(server.address());
  const std::string spec = User::Canonical(SpecText(absl::StrCat("trials-", salt), trials, salt));
  Latch forgotten(trials);
  const Fleet fleet = StartFleet(server.address(), workers, /*slots=*/1, /*quick=*/true,
                                 NothingTrial([&] { forgotten.Down(); }));
  const double cpu = server.CpuSeconds();
  const double seconds = Seconds([&] {
    user.Submit(spec);
    forgotten.Wait();
  });
  return {trials / seconds, 1e6 * (server.CpuSeconds() - cpu) / trials};
}

void TrialsWorkload(const Options& options, Report* report) {
  const int trials = options.Size(4'000, 64);
  const std::string path = TempPath(options, "trials");
  std::vector<double> few, few_ceiling, many, many_ceiling, cpu;
  for (int round = 0; round < options.rounds; ++round) {
    for (const int workers : {4, 64}) {
      {
        const Server server(options, path);
        const TrialsResult result = RunTrials(server, workers, trials, NewSalt());
        (workers == 4 ? few : many).push_back(result.per_second);
        if (workers == 4) cpu.push_back(result.coordinator_cpu_us);
      }
      (workers == 4 ? few_ceiling : many_ceiling).push_back(BareTrials(path, trials, workers));
    }
  }
  report->Note(absl::StrCat("trials: ", trials,
                            " trials of ten points a round; bare SQLite commits twice for "
                            "each trial of each worker"));
  report->Add({"trials", "durable trials, 4 workers", "trials/s", few, "bare SQLite", few_ceiling,
               ">= 1000"});
  report->Add(
      {"trials", "durable trials, 64 workers", "trials/s", many, "bare SQLite", many_ceiling, ""});
  report->Add({"trials", "kept at 64 workers", "trials/s", many, "4 workers", few, ">= 0.9"});
  report->Add({"trials", "coordinator's processor, 4 workers", "us/trial", cpu, "", {}, ""});
}

}  // namespace loglog::bench
