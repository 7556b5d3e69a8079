// More submissions than can be served: what is refused, and what it costs the others.
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/control/prober.h"
#include "bench/control/server.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void SubmitFloodWorkload(const Options& options, Report* report) {
  const int clients = options.Size(64, 4);
  constexpr int kTrials = 100;  // of a sweep
  const auto window = std::chrono::milliseconds(options.Size(5'000, 300));
  const std::string path = TempPath(options, "flood");
  std::vector<double> taken, refused, p99, others_p99, grown;
  for (int round = 0; round < options.rounds; ++round) {
    const Server server(options, path);
    User user(server.address());
    const int64_t salt = NewSalt();
    const std::string sweep =
        user.Submit(User::Canonical(SpecText(absl::StrCat("first-", salt), 1, salt)));
    const double rss = server.RssMb();
    Samples ms;
    std::atomic<int> accepted = 0, turned_away = 0;
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    const auto begin = SteadyClock::now();
    for (int i = 0; i < clients; ++i) {
      threads.emplace_back([&] {
        User flooder(server.address());
        while (!stop) {
          const int64_t own = NewSalt();
          v1::CreateSweepRequest request;
          request.set_spec_json(SpecText(absl::StrCat("flood-", own), kTrials, own));
          v1::CreateSweepResponse response;
          const auto asked = SteadyClock::now();
          const grpc::Status status =
              flooder.stub()->CreateSweep(NewContext().get(), request, &response);
          if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
              status.error_code() == grpc::StatusCode::UNAVAILABLE) {
            ++turned_away;
          } else {
            Must(status, "CreateSweep");
            ++accepted;
            ms.Add(1000 * SecondsSince(asked));
          }
        }
      });
    }
    Prober prober(server.address(), sweep, /*threads=*/1);
    std::this_thread::sleep_for(window);
    others_p99.push_back(Quantile(AllOf(prober.Stop()), 0.99));
    stop = true;
    for (std::thread& thread : threads) thread.join();
    const double seconds = SecondsSince(begin);
    taken.push_back(accepted / seconds);
    refused.push_back(turned_away / seconds);
    p99.push_back(Quantile(ms.Take(), 0.99));
    // What a trial that waits costs is memory's own question.
    grown.push_back(server.PeakRssMb() - rss);
  }
  report->Note(absl::StrCat("submitflood: ", clients, " users submit sweeps of ", kTrials,
                            " trials without a pause"));
  report->Add({"submitflood", "sweeps taken", "sweeps/s", taken, "", {}, ""});
  report->Add({"submitflood", "sweeps refused", "sweeps/s", refused, "", {}, ""});
  report->Add({"submitflood", "p99 of a submission", "ms", p99, "", {}, ""});
  report->Add({"submitflood", "p99 of other calls", "ms", others_p99, "", {}, ""});
  report->Add({"submitflood", "coordinator's memory grown by", "MB", grown, "", {}, ""});
}

}  // namespace loglog::bench
