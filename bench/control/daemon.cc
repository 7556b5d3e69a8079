#include "bench/control/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace loglog::bench {

Daemon::Daemon(const Options& options, const Server& server, int slots, const std::string& trainer)
    : run_dir_(AbsolutePath(TempPath(options, "run"))) {
  Must(RemoveTree(run_dir_));
  Must(MakeDirs(run_dir_));
  const std::string ready = run_dir_ + "/ready";
  const std::string log_path = run_dir_ + "/log";
  const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  process_ = Must(Subprocess::Spawn(
      {.argv = EndsWithUs({options.bin_dir + "/loglog-worker", "--coordinator", server.address(),
                           "--run-dir", run_dir_ + "/files", "--slots", absl::StrCat(slots),
                           "--device", "cpu", "--name", "bench-daemon", "--trainer",
                           options.bin_dir + "/loglog-fake-trainer", "--ready-file", ready,
                           "--log-format", "text"}),
       .env = {absl::StrCat("LOGLOG_FAKE_TRAINER=", trainer)},
       .stdout_fd = log,
       .stderr_fd = log}));
  close(log);
  const auto start = SteadyClock::now();
  while (!PathExists(ready)) {
    ExitStatus status;
    if (process_->TryReap(&status) || SecondsSince(start) > 60) {
      std::fprintf(stderr, "the worker did not start: %s", Must(ReadFile(log_path)).c_str());
      std::exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Daemon::~Daemon() {
  process_->Signal(SIGTERM);
  ExitStatus status;
  if (!process_->WaitReaped(60'000, &status)) process_->KillGroup();
  process_.reset();
  RemoveTree(run_dir_).IgnoreError();
}

}  // namespace loglog::bench
