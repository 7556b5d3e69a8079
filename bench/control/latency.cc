// From the submission to the start of a trial on an idle system.
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/control/ceiling.h"
#include "bench/control/daemon.h"
#include "bench/control/doorbell.h"
#include "bench/control/server.h"
#include "bench/control/sim_worker.h"
#include "bench/control/workloads.h"

namespace loglog::bench {
namespace {

// Long enough for what the last trial left to be done.
constexpr auto kIdle = std::chrono::milliseconds(20);

// As RunDispatches, to the first statement of a real trainer process.
std::vector<double> RunStarts(const Options& options, const Server& server, int count) {
  Doorbell bell(TempPath(options, "bell"));
  const Daemon daemon(options, server, /*slots=*/1, absl::StrCat("hello=", bell.path()));
  User user(server.address());
  std::vector<double> ms;
  for (int i = 0; i < count; ++i) {
    const int64_t salt = NewSalt();
    const std::string spec = User::Canonical(SpecText(absl::StrCat("start-", salt), 1, salt));
    const auto begin = SteadyClock::now();
    const std::string sweep = user.Submit(spec);
    bell.Wait();
    ms.push_back(1000 * SecondsSince(begin));
    bell.Wait();  // it ends
    while (user.Get(sweep).state() != v1::Sweep::DONE) std::this_thread::sleep_for(kIdle);
    // The slot is free again a little after the sweep has ended.
    std::this_thread::sleep_for(5 * kIdle);
  }
  return ms;
}

}  // namespace

std::vector<double> RunDispatches(const Server& server, int count, int64_t salt,
                                  std::chrono::milliseconds idle) {
  User user(server.address());
  Mutex mutex;
  CondVar changed;
  int started = 0, over = 0;
  SteadyClock::time_point when;
  SimWorker::Hooks hooks = NothingTrial([&] {
    MutexLock lock(mutex);
    ++over;
    changed.NotifyAll();
  });
  const auto run = hooks.start;
  hooks.start = [&](SimWorker* worker, int slot, int64_t attempt_id) {
    {
      MutexLock lock(mutex);
      when = SteadyClock::now();
      ++started;
    }
    run(worker, slot, attempt_id);
  };
  const Fleet fleet =
      StartFleet(server.address(), /*workers=*/1, /*slots=*/1, /*quick=*/true, hooks);
  std::vector<double> ms;
  for (int i = 0; i < count; ++i) {
    const std::string spec = User::Canonical(SpecText(absl::StrCat("one-", salt, "-", i), 1, salt));
    salt = NewSalt();
    // Not in step with anything that happens now and then.
    std::this_thread::sleep_for(idle + idle * (i % 17) / 100);
    const auto begin = SteadyClock::now();
    user.Submit(spec);
    MutexLock lock(mutex);
    changed.Wait(mutex, [&] { return over == i + 1; });
    ms.push_back(std::chrono::duration<double, std::milli>(when - begin).count());
  }
  return ms;
}

void LatencyWorkload(const Options& options, Report* report) {
  const int count = options.Size(200, 5);
  const int starts = options.Size(40, 2);
  const std::string path = TempPath(options, "latency");
  const int rare = options.Size(25, 1);
  // The log grows in its first 16 MB and is written over after that.
  const int growing = options.Size(100, 1);
  std::vector<double> rare_worst, growing_p50, p50, p99, bare_p50, bare_p99, start_p50, start_p99;
  for (int round = 0; round < options.rounds; ++round) {
    {
      const Server server(options, path);
      growing_p50.push_back(Median(RunDispatches(server, growing, NewSalt())));
      const std::vector<double> ms = RunDispatches(server, count, NewSalt());
      p50.push_back(Median(ms));
      p99.push_back(Quantile(ms, 0.99));
      rare_worst.push_back(
          Quantile(RunDispatches(server, rare, NewSalt(), std::chrono::milliseconds(1'050)), 1));
      const std::vector<double> start_ms = RunStarts(options, server, starts);
      start_p50.push_back(Median(start_ms));
      start_p99.push_back(Quantile(start_ms, 0.99));
    }
    const std::vector<double> bare = BareCommitPairs(path, count);
    bare_p50.push_back(Median(bare));
    bare_p99.push_back(Quantile(bare, 0.99));
  }
  report->Note(absl::StrCat("latency: ", count, " submissions a round to a simulated worker, ",
                            starts, " to the daemon; bare SQLite makes the two commits"));
  report->Add(
      {"latency", "submit to start request, p50", "ms", p50, "bare SQLite", bare_p50, "<= 2"});
  report->Add(
      {"latency", "submit to start request, p99", "ms", p99, "bare SQLite", bare_p99, "<= 20"});
  report->Add(
      {"latency", "the same while a new store's log grows, p50", "ms", growing_p50, "", {}, ""});
  report->Add(
      {"latency", "the same after a second of nothing, worst", "ms", rare_worst, "", {}, "<= 20"});
  report->Add({"latency", "submit to running trainer, p50", "ms", start_p50, "", {}, ""});
  report->Add({"latency", "submit to running trainer, p99", "ms", start_p99, "", {}, ""});
}

}  // namespace loglog::bench
