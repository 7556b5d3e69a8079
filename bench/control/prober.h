#ifndef LOGLOG_BENCH_CONTROL_PROBER_H_
#define LOGLOG_BENCH_CONTROL_PROBER_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/control/bench.h"
#include "bench/control/server.h"

namespace loglog::bench {

// Makes one call of each kind after the other while something else goes on, and notes how
// long each took. The calls ask about `sweep` (of which trial 1 exists); a small sweep and a
// worker that takes no work are its own. Starts at once, on threads of its own.
class Prober {
 public:
  Prober(const std::string& address, const std::string& sweep, int threads);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // Ends the threads. Milliseconds by name of the call.
  std::map<std::string, std::vector<double>> Stop();

 private:
  void Run(const std::string& address, const std::string& sweep, int thread);

  std::atomic<bool> stop_ = false;
  Mutex mutex_;
  std::map<std::string, std::vector<double>> ms_ LOGLOG_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

// All calls together.
std::vector<double> AllOf(const std::map<std::string, std::vector<double>>& ms);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_PROBER_H_
