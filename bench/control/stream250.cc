// How long calls take while 250 workers stream.
#include "absl/strings/str_cat.h"
#include "bench/control/big_store.h"
#include "bench/control/prober.h"
#include "bench/control/streaming.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void Stream250Workload(const Options& options, Report* report) {
  const int workers = options.Size(250, 8);
  const auto window = std::chrono::milliseconds(options.Size(10'000, 300));
  // With --store: into a store that has seen a million trials.
  const bool big = !options.big_store.empty();
  const std::string path = big ? options.big_store : TempPath(options, "stream");
  if (big) EnsureBigStore(options, path);
  std::map<std::string, std::vector<double>> p50, p99, idle_p50, idle_p99;
  std::vector<double> points, all_p99, all_worst, idle_all_p99;
  for (int round = 0; round < options.rounds; ++round) {
    const Server server(options, path, /*keep=*/big);
    {
      User user(server.address());
      const int64_t salt = NewSalt();
      const std::string sweep =
          user.Submit(User::Canonical(SpecText(absl::StrCat("idle-", salt), workers, salt)));
      Prober prober(server.address(), sweep, /*threads=*/1);
      std::this_thread::sleep_for(window / 2);
      const auto ms = prober.Stop();
      for (const auto& [name, values] : ms) {
        idle_p50[name].push_back(Median(values));
        idle_p99[name].push_back(Quantile(values, 0.99));
      }
      idle_all_p99.push_back(Quantile(AllOf(ms), 0.99));
      v1::SweepVerbRequest request;
      request.set_name(sweep);
      v1::Sweep answer;
      Must(user.stub()->CancelSweep(NewContext().get(), request, &answer), "CancelSweep");
    }
    Streaming streaming(server, workers, NewSalt());
    Prober prober(server.address(), streaming.sweep(), /*threads=*/2);
    const int64_t before = streaming.points_acknowledged();
    const auto begin = SteadyClock::now();
    std::this_thread::sleep_for(window);
    points.push_back(static_cast<double>(streaming.points_acknowledged() - before) /
                     SecondsSince(begin));
    const auto ms = prober.Stop();
    for (const auto& [name, values] : ms) {
      p50[name].push_back(Median(values));
      p99[name].push_back(Quantile(values, 0.99));
    }
    all_p99.push_back(Quantile(AllOf(ms), 0.99));
    all_worst.push_back(Quantile(AllOf(ms), 1));
    streaming.End();
  }
  report->Note(absl::StrCat("stream250: ", workers,
                            " workers, 5 batches of 10 rows of 8 metrics a "
                            "second each, ",
                            big ? "into the big store" : "into an empty store"));
  report->Add({"stream250", "points stored", "points/s", points, "", {}, ""});
  report->Add({"stream250", "p99 of all calls", "ms", all_p99, "idle", idle_all_p99, "< 50"});
  report->Add({"stream250", "worst of all calls", "ms", all_worst, "", {}, ""});
  for (const auto& [name, values] : p99) {
    report->Add({"stream250", name + " p50", "ms", p50[name], "idle", idle_p50[name], ""});
    report->Add({"stream250", name + " p99", "ms", values, "idle", idle_p99[name], "< 50"});
  }
}

}  // namespace loglog::bench
