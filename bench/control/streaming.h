#ifndef LOGLOG_BENCH_CONTROL_STREAMING_H_
#define LOGLOG_BENCH_CONTROL_STREAMING_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/control/server.h"
#include "bench/control/sim_worker.h"

namespace loglog::bench {

// Many workers of one slot, each with a trial that reports a batch of 10 rows of 8 metrics
// `every` so often (the daemon: five times a second). Used by one thread.
class Streaming {
 public:
  // Returns when every trial runs.
  Streaming(const Server& server, int workers, int64_t salt, std::chrono::milliseconds every);
  // Stops the workers as if their hosts were cut off.
  ~Streaming();
  Streaming(const Streaming&) = delete;
  Streaming& operator=(const Streaming&) = delete;

  const std::string& sweep() const { return sweep_; }
  int64_t points_acknowledged() const { return points_; }
  // Cancels the sweep and waits until the slots are free.
  void End();

 private:
  struct Sender {
    int64_t next_seq = 1;
    std::atomic<bool> acknowledged = false;
  };
  void Pace();

  const std::chrono::milliseconds every_;
  User user_;
  std::string sweep_;
  std::vector<std::unique_ptr<Sender>> senders_;  // by worker
  std::atomic<int64_t> points_ = 0;
  std::atomic<bool> stop_ = false;
  std::unique_ptr<Latch> forgotten_;
  Fleet fleet_;
  std::thread pacer_;
};

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_STREAMING_H_
