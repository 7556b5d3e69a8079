// Whether the past costs: the same work on an empty store and on one that has seen a
// million trials and a hundred million points.
#include "absl/strings/str_cat.h"
#include "bench/control/big_store.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void HistoryWorkload(const Options& options, Report* report) {
  const int trials = options.Size(2'000, 32);
  const int dispatches = options.Size(100, 3);
  PointsLoad load;
  load.batches = options.Size(125, 4);
  const bool kept = !options.big_store.empty();
  const std::string big = kept ? options.big_store : TempPath(options, "big");
  EnsureBigStore(options, big);
  const std::string small = TempPath(options, "small");
  // By store: how long a trial, a million points, a dispatch take.
  std::vector<double> trial_us[2], points_us[2], dispatch_ms[2];
  for (int round = 0; round < options.rounds; ++round) {
    for (const bool is_big : {false, true}) {
      const Server server(options, is_big ? big : small, /*keep=*/is_big);
      trial_us[is_big].push_back(1e6 / RunTrials(server, 4, trials, NewSalt()).per_second);
      points_us[is_big].push_back(1e6 / RunPoints(server, load, NewSalt()));
      dispatch_ms[is_big].push_back(Median(RunDispatches(server, dispatches, NewSalt())));
    }
  }
  if (!kept) RemoveStore(big);
  report->Note(absl::StrCat(
      "history: the big store has ", options.Size<int64_t>(options.big_trials, 200), " trials and ",
      options.Size<int64_t>(options.big_points, 2'000), " points; the other began empty"));
  report->Add({"history", "time of a trial, 4 workers", "us", trial_us[1], "empty store",
               trial_us[0], "ratio <= 1.2"});
  report->Add({"history", "time of a point, 8 workers", "us", points_us[1], "empty store",
               points_us[0], "ratio <= 1.2"});
  report->Add({"history", "dispatch latency, p50", "ms", dispatch_ms[1], "empty store",
               dispatch_ms[0], "ratio <= 1.2"});
}

}  // namespace loglog::bench
