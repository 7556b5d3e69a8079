#ifndef LOGLOG_BENCH_CONTROL_BENCH_H_
#define LOGLOG_BENCH_CONTROL_BENCH_H_

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace loglog::bench {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string dir = ".";  // where stores and run directories are made
  std::string bin_dir;    // where the programs are
  int rounds = 5;
  bool smoke = false;     // as little as shows that it works
  std::string big_store;  // a store that is kept between calls; empty: made and removed
  int64_t big_trials = 1'000'000;
  int64_t big_points = 100'000'000;

  // A smaller number for smoke.
  template <typename T>
  T Size(T full, T small) const {
    return smoke ? small : full;
  }
};

// A benchmark has nobody to return an error to.
inline void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::_Exit(1);
}
template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

double SecondsSince(SteadyClock::time_point start);
double Seconds(const std::function<void()>& work);
// Sorts. `share` 0.5 is the median. 0 of no values.
double Quantile(std::vector<double> values, double share);
inline double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

// Counts down to the end of many things. Thread-safe.
class Latch {
 public:
  explicit Latch(int64_t count) : count_(count) {}
  void Down();
  // Ends the process when nothing happens for two minutes: a benchmark that hangs says so.
  void Wait();

 private:
  Mutex mutex_;
  CondVar changed_;
  int64_t count_;
};

// Values that many threads add. Thread-safe.
class Samples {
 public:
  void Add(double value);
  std::vector<double> Take();

 private:
  Mutex mutex_;
  std::vector<double> values_;
};

// A command line whose process is asked to end when the thread that starts it is gone: a bench
// that is killed leaves nobody behind.
std::vector<std::string> EndsWithUs(std::vector<std::string> argv);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_BENCH_H_
