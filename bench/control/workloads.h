#ifndef LOGLOG_BENCH_CONTROL_WORKLOADS_H_
#define LOGLOG_BENCH_CONTROL_WORKLOADS_H_

#include <cstdint>

#include "bench/control/bench.h"
#include "bench/control/report.h"
#include "bench/control/server.h"

namespace loglog::bench {

// The workloads, each in the file of its name.
void EngineWorkload(const Options& options, Report* report);
void TrialsWorkload(const Options& options, Report* report);
void PointsWorkload(const Options& options, Report* report);
void LatencyWorkload(const Options& options, Report* report);
void HistoryWorkload(const Options& options, Report* report);
void MakespanWorkload(const Options& options, Report* report);
void CancelWorkload(const Options& options, Report* report);
void Stream250Workload(const Options& options, Report* report);
void Stream1000Workload(const Options& options, Report* report);
void SubmitFloodWorkload(const Options& options, Report* report);
void MemoryWorkload(const Options& options, Report* report);

// Parts that several of them measure; `salt` is another one each time.

struct TrialsResult {
  double per_second = 0;
  double coordinator_cpu_us = 0;  // of a trial
};
// Trials that do nothing, from the submission to the last one forgotten.
TrialsResult RunTrials(const Server& server, int workers, int trials, int64_t salt);

struct PointsLoad {
  int workers = 8;
  int batches = 250;  // of each
  int rows = 100;
  int metrics = 8;
  int64_t Total() const { return int64_t{workers} * batches * rows * metrics; }
};
// Acknowledged points a second, two batches of each worker under way.
double RunPoints(const Server& server, const PointsLoad& load, int64_t salt);

// Milliseconds from the submission of a sweep of one trial to the order to start it, one
// after the other, with a pause of `idle` and up to a sixth more between them.
std::vector<double> RunDispatches(const Server& server, int count, int64_t salt,
                                  std::chrono::milliseconds idle = std::chrono::milliseconds(20));

// A number that no other call in this or an earlier run on a kept store has returned.
int64_t NewSalt();

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_WORKLOADS_H_
