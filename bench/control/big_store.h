#ifndef LOGLOG_BENCH_CONTROL_BIG_STORE_H_
#define LOGLOG_BENCH_CONTROL_BIG_STORE_H_

#include <cstdint>
#include <string>

#include "bench/control/bench.h"

namespace loglog::bench {

struct StoreLoad {
  int64_t trials = 1'000'000;
  int64_t points = 100'000'000;
  int64_t open = 1000;  // of the trials
  int64_t sweep_trials = 1000;
  int64_t log_bytes = 0;
  static constexpr int kMetrics = 4;
  static constexpr int kLive = 64;  // of the open ones, at most
  int64_t RowsOfTrial() const;
};

// Writes a store as a coordinator would: sweeps whose trials are DONE, each with its
// attempt, summary, events and points of four metrics, then one sweep with the open ones,
// of which 64 run. With log_bytes it leaves so much in the write-ahead log and the process
// kills itself, as nothing else leaves a log behind.
void WriteStore(const std::string& path, const StoreLoad& load);

// Makes the store that the options ask for unless there is one at `path`.
void EnsureBigStore(const Options& options, const std::string& path);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_BIG_STORE_H_
