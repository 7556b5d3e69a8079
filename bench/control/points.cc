// Durable points a second through gRPC.
#include <map>

#include "absl/strings/str_cat.h"
#include "bench/control/ceiling.h"
#include "bench/control/server.h"
#include "bench/control/sim_worker.h"
#include "bench/control/workloads.h"

namespace loglog::bench {
namespace {

// What one worker still has to send. Its slot's events come from one thread at a time.
struct Sender {
  int sent = 0;
  SteadyClock::time_point begin;
};

}  // namespace

double RunPoints(const Server& server, const PointsLoad& load, int64_t salt) {
  // The daemon has as many batches of an attempt under way.
  constexpr int kInFlight = 2;
  User user(server.address());
  Mutex mutex;
  std::map<SimWorker*, Sender> senders;
  Latch started(load.workers), done(load.workers), forgotten(load.workers);

  // The messages are made before the clock runs: the worker's own work is not in question.
  std::vector<v1::MetricBatch> batches;
  for (int i = 0; i < load.batches; ++i) {
    batches.push_back(
        Rows(1 + int64_t{i} * load.rows, int64_t{i} * load.rows, load.rows, load.metrics));
  }
  const auto send = [&](SimWorker* worker) {
    int next = 0;
    {
      MutexLock lock(mutex);
      Sender& sender = senders[worker];
      if (sender.sent == load.batches) return;
      next = sender.sent++;
    }
    worker->Send(0, batches[next]);
  };
  SimWorker::Hooks hooks;
  hooks.start = [&](SimWorker* worker, int slot, int64_t) {
    v1::MetricBatch start;
    start.add_events()->mutable_started()->set_total_steps(1);
    worker->Send(slot, std::move(start));
  };
  hooks.acknowledged = [&](SimWorker* worker, int, int64_t last_seq) {
    if (last_seq == 0) return started.Down();
    if (last_seq == int64_t{load.batches} * load.rows) return done.Down();
    send(worker);
  };
  hooks.forgotten = [&](SimWorker*, int) { forgotten.Down(); };
  const Fleet fleet =
      StartFleet(server.address(), load.workers, /*slots=*/1, /*quick=*/false, hooks);
  const std::string sweep =
      user.Submit(User::Canonical(SpecText(absl::StrCat("points-", salt), load.workers, salt)));
  started.Wait();
  const double seconds = Seconds([&] {
    for (const auto& worker : fleet) {
      for (int i = 0; i < kInFlight; ++i) send(worker.get());
    }
    done.Wait();
  });
  v1::SweepVerbRequest cancel;
  cancel.set_name(sweep);
  v1::Sweep cancelled;
  Must(user.stub()->CancelSweep(NewContext().get(), cancel, &cancelled), "CancelSweep");
  forgotten.Wait();
  return static_cast<double>(load.Total()) / seconds;
}

void PointsWorkload(const Options& options, Report* report) {
  PointsLoad load;
  load.batches = options.Size(250, 4);
  const std::string path = TempPath(options, "points");
  const int64_t of_commit = int64_t{load.workers} * load.rows * load.metrics;
  std::vector<double> ours, ceiling;
  for (int round = 0; round < options.rounds; ++round) {
    {
      const Server server(options, path);
      ours.push_back(RunPoints(server, load, NewSalt()));
    }
    ceiling.push_back(BarePoints(path, load.Total(), of_commit));
  }
  report->Note(absl::StrCat("points: ", load.Total(), " points a round in batches of ", load.rows,
                            " rows of ", load.metrics,
                            "; bare SQLite appends a row for each, as many to a commit as 8 "
                            "batches hold"));
  report->Add({"points", "durable points, 8 workers", "points/s", ours, "bare SQLite", ceiling,
               ">= 100000 (stretch 300000)"});
}

}  // namespace loglog::bench
