// Cancelling a large sweep that runs, and what others notice of it.
#include "absl/strings/str_cat.h"
#include "bench/control/prober.h"
#include "bench/control/server.h"
#include "bench/control/sim_worker.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void CancelWorkload(const Options& options, Report* report) {
  const int queued = options.Size(10'000, 100);
  constexpr int kWorkers = 16;
  constexpr int kSlots = 4;
  constexpr int kRunning = kWorkers * kSlots;
  const std::string path = TempPath(options, "cancel");
  std::vector<double> answered, stopped, others_p99, others_worst, before_p99;
  for (int round = 0; round < options.rounds; ++round) {
    const Server server(options, path);
    User user(server.address());
    Latch started(kRunning), forgotten(kRunning);
    SimWorker::Hooks hooks;
    hooks.start = [&](SimWorker* worker, int slot, int64_t) {
      v1::MetricBatch batch = Rows(1, 0, 1, 4);
      batch.set_first_seq(0);
      batch.add_events()->mutable_started()->set_total_steps(100);
      batch.mutable_events()->SwapElements(0, 1);
      worker->Send(slot, std::move(batch));
    };
    hooks.acknowledged = [&](SimWorker*, int, int64_t) { started.Down(); };
    hooks.forgotten = [&](SimWorker*, int) { forgotten.Down(); };
    const Fleet fleet = StartFleet(server.address(), kWorkers, kSlots, /*quick=*/false, hooks);
    const int64_t salt = NewSalt();
    const std::string sweep = user.Submit(
        User::Canonical(SpecText(absl::StrCat("cancel-", salt), queued + kRunning, salt)));
    started.Wait();
    {
      Prober prober(server.address(), sweep, /*threads=*/2);
      std::this_thread::sleep_for(std::chrono::milliseconds(options.Size(1'000, 200)));
      before_p99.push_back(Quantile(AllOf(prober.Stop()), 0.99));
    }
    Prober prober(server.address(), sweep, /*threads=*/4);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    v1::SweepVerbRequest request;
    request.set_name(sweep);
    v1::Sweep answer;
    const auto begin = SteadyClock::now();
    Must(user.stub()->CancelSweep(NewContext().get(), request, &answer), "CancelSweep");
    answered.push_back(SecondsSince(begin));
    forgotten.Wait();
    stopped.push_back(SecondsSince(begin));
    const std::vector<double> others = AllOf(prober.Stop());
    others_p99.push_back(Quantile(others, 0.99));
    others_worst.push_back(Quantile(others, 1));
  }
  report->Note(absl::StrCat("cancel: ", queued, " trials queued, ", kRunning, " running on ",
                            kWorkers, " workers; others are calls of every kind from 4 threads"));
  report->Add({"cancel", "until answered", "s", answered, "", {}, ""});
  report->Add({"cancel", "until the last of the running is over", "s", stopped, "", {}, "<= 2"});
  report->Add(
      {"cancel", "p99 of others meanwhile", "ms", others_p99, "before", before_p99, "<= 200"});
  report->Add({"cancel", "worst of others meanwhile", "ms", others_worst, "", {}, ""});
}

}  // namespace loglog::bench
