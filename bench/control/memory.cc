// The coordinator's memory: a long history with 250 workers, and a million open trials.
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/control/big_store.h"
#include "bench/control/prober.h"
#include "bench/control/streaming.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void MemoryWorkload(const Options& options, Report* report) {
  const int workers = options.Size(250, 8);
  const auto window = std::chrono::milliseconds(options.Size(10'000, 300));
  const bool kept = !options.big_store.empty();
  const std::string path = kept ? options.big_store : TempPath(options, "big");
  EnsureBigStore(options, path);
  std::vector<double> started, served, peak;
  {
    // Memory does not vary as time does: one round.
    const Server server(options, path, /*keep=*/true);
    started.push_back(server.RssMb());
    Streaming streaming(server, workers, NewSalt(), std::chrono::milliseconds(200));
    Prober prober(server.address(), streaming.sweep(), /*threads=*/2);
    std::this_thread::sleep_for(window);
    prober.Stop();
    served.push_back(server.RssMb());
    streaming.End();
    peak.push_back(server.PeakRssMb());
  }
  if (!kept) RemoveStore(path);
  report->Note(absl::StrCat("memory: a store of ", options.Size<int64_t>(options.big_trials, 200),
                            " trials; ", workers, " workers streaming, calls of every kind"));
  report->Add({"memory", "RSS once it serves", "MB", started, "", {}, ""});
  report->Add({"memory", "RSS with workers streaming", "MB", served, "", {}, "<= 300"});
  report->Add({"memory", "RSS at its highest", "MB", peak, "", {}, "<= 300"});

  const int64_t open = options.Size<int64_t>(1'000'000, 1'000);
  const std::string open_path = TempPath(options, "open");
  WriteStore(open_path, {.trials = open, .points = open, .open = open, .sweep_trials = open});
  {
    const Server server(options, open_path, /*keep=*/true);
    report->Note(absl::StrCat("memory: ", open, " trials, all of them open; then ", workers,
                              " workers take some and stream, calls of every kind"));
    const double idle_mb = server.RssMb();
    report->Add({"memory", "RSS with all trials open", "MB", {idle_mb}, "", {}, ""});
    report->Add({"memory",
                 "of it for each open trial",
                 "bytes",
                 {(idle_mb - started[0]) * (1 << 20) / static_cast<double>(open)},
                 "",
                 {},
                 ""});
    report->Add(
        {"memory", "start with all trials open", "s", {server.start_seconds()}, "", {}, ""});
    const Streaming streaming(server, workers, NewSalt(), std::chrono::milliseconds(200));
    Prober prober(server.address(), streaming.sweep(), /*threads=*/2);
    std::this_thread::sleep_for(window);
    prober.Stop();
    report->Add({"memory",
                 "RSS with all open, workers streaming",
                 "MB",
                 {server.RssMb()},
                 "",
                 {},
                 "<= 300"});
    report->Add({"memory", "its highest", "MB", {server.PeakRssMb()}, "", {}, "<= 300"});
    // A fit looks through all trials of its sweep.
    v1::CreateFitRequest request;
    request.set_sweep("sweeps/sweep-1");
    request.set_kind("local_slope");
    request.set_axis("D");
    request.set_arm("a");
    v1::Fit fit;
    User user(server.address());
    const double fit_s = Seconds(
        [&] { Must(user.stub()->CreateFit(NewContext().get(), request, &fit), "CreateFit"); });
    report->Add({"memory", "a fit of that sweep", "s", {fit_s}, "", {}, ""});
    report->Add({"memory", "the highest after it", "MB", {server.PeakRssMb()}, "", {}, "<= 300"});
  }
  RemoveStore(open_path);
}

}  // namespace loglog::bench
