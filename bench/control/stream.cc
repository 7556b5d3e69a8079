// How long calls take while many workers stream.
#include "absl/strings/str_cat.h"
#include "bench/control/big_store.h"
#include "bench/control/prober.h"
#include "bench/control/streaming.h"
#include "bench/control/workloads.h"

namespace loglog::bench {
namespace {

void Stream(const Options& options, Report* report, const std::string& workload, int workers,
            std::chrono::milliseconds every) {
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
    Streaming streaming(server, workers, NewSalt(), every);
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
  report->Note(absl::StrCat(workload, ": ", workers,
                            " workers, each a batch of 10 rows of 8 metrics every ", every.count(),
                            " ms, ", big ? "into the big store" : "into an empty store"));
  report->Add({workload, "points stored", "points/s", points, "", {}, ""});
  report->Add({workload, "p99 of all calls", "ms", all_p99, "idle", idle_all_p99, "< 50"});
  report->Add({workload, "worst of all calls", "ms", all_worst, "", {}, ""});
  for (const auto& [name, values] : p99) {
    report->Add({workload, name + " p50", "ms", p50[name], "idle", idle_p50[name], ""});
    report->Add({workload, name + " p99", "ms", values, "idle", idle_p99[name], "< 50"});
  }
}

}  // namespace

void Stream250Workload(const Options& options, Report* report) {
  Stream(options, report, "stream250", options.Size(250, 8), std::chrono::milliseconds(200));
}

void Stream1000Workload(const Options& options, Report* report) {
  Stream(options, report, "stream1000", options.Size(1'000, 16), std::chrono::milliseconds(1'000));
}

}  // namespace loglog::bench
