// A sweep of short trials through the daemon: how much longer than a perfect schedule.
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/control/daemon.h"
#include "bench/control/doorbell.h"
#include "bench/control/server.h"
#include "bench/control/workloads.h"

namespace loglog::bench {

void MakespanWorkload(const Options& options, Report* report) {
  const int trials = options.Size(200, 8);
  const int trial_ms = options.Size(1'000, 100);
  constexpr int kSlots = 4;
  constexpr int kSteps = 4;
  const std::string path = TempPath(options, "makespan");
  const double nominal = 1e-3 * trial_ms * trials / kSlots;
  std::vector<double> made, perfect, overhead, own_overhead;
  // Each round takes nearly a minute.
  const int rounds = std::min(options.rounds, 3);
  for (int round = 0; round < rounds; ++round) {
    const Server server(options, path);
    Doorbell bell(TempPath(options, "bell"));
    const Daemon daemon(options, server, kSlots,
                        absl::StrCat("step_ms=", trial_ms / kSteps, ";hello=", bell.path()));
    User user(server.address());
    const int64_t salt = NewSalt();
    const std::string spec =
        User::Canonical(SpecText(absl::StrCat("makespan-", salt), trials, salt, kSteps));
    const auto begin = SteadyClock::now();
    const std::string sweep = user.Submit(spec);
    // From the first statement of each trainer to its last: what the perfect schedule
    // would have to fit in.
    double busy = 0;
    int ended = 0;
    while (ended < trials) {
      const char what = bell.Wait();
      busy += (what == 'E' ? 1 : -1) * SecondsSince(begin);
      ended += what == 'E';
    }
    while (user.Get(sweep).state() != v1::Sweep::DONE) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    made.push_back(SecondsSince(begin));
    perfect.push_back(nominal);
    overhead.push_back(100 * (made.back() / nominal - 1));
    own_overhead.push_back(100 * (made.back() / (busy / kSlots) - 1));
  }
  report->Note(absl::StrCat("makespan: ", trials, " trials of ", trial_ms, " ms on ", kSlots,
                            " slots of one daemon; the second overhead is over what the trainers' "
                            "processes took themselves"));
  report->Add({"makespan", "submit to sweep done", "s", made, "perfect schedule", perfect, ""});
  report->Add({"makespan", "overhead over the perfect schedule", "%", overhead, "", {}, "<= 2"});
  report->Add({"makespan", "overhead over the trainers' own time", "%", own_overhead, "", {}, ""});
}

}  // namespace loglog::bench
