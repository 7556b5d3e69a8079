#ifndef LOGLOG_BENCH_CONTROL_DAEMON_H_
#define LOGLOG_BENCH_CONTROL_DAEMON_H_

#include <memory>
#include <string>

#include "base/subprocess.h"
#include "bench/control/bench.h"
#include "bench/control/server.h"

namespace loglog::bench {

// A real loglog-worker with fake trainers (tests/fake_trainer), whose behaviour is
// `trainer` ("step_ms=10;..."). The destructor drains it and removes its files.
class Daemon {
 public:
  Daemon(const Options& options, const Server& server, int slots, const std::string& trainer);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

 private:
  const std::string run_dir_;
  std::unique_ptr<Subprocess> process_;
};

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_DAEMON_H_
