#ifndef LOGLOG_COORDINATOR_DAEMON_TESTING_H_
#define LOGLOG_COORDINATOR_DAEMON_TESTING_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "coordinator/engine_testing.h"

namespace loglog {

// loglog-coordinator in a process of its own, its standard error in a file.
class Daemon {
 public:
  // `env`: "NAME=value", beside our own environment.
  Daemon(const ScratchFolder& folder, const std::vector<std::string>& arguments,
         std::vector<std::string> env = {})
      : ready_file_(folder / "ready"), log_(folder / "log") {
    RemoveTree(ready_file_).IgnoreError();
    SubprocessOptions options;
    options.argv = {LOGLOG_COORDINATOR, "--ready-file", ready_file_};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.env = std::move(env);
    const int log = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    options.stderr_fd = log;
    options.stdout_fd = log;
    auto process = Subprocess::Spawn(options);
    close(log);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *std::move(process);
  }

  // The address it serves; empty when it ended instead.
  std::string WaitReady() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kStartMs);
    while (std::chrono::steady_clock::now() < until && !process_->TryReap(&exit_)) {
      const absl::StatusOr<std::string> text = ReadFile(ready_file_);
      if (text.ok()) return std::string(absl::StripAsciiWhitespace(*text));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return "";
  }
  void Signal(int signal) { process_->Signal(signal); }
  // The exit code, 128 + signal when one ended it, -1 when it did not end.
  int WaitExit() {
    if (!process_->WaitReaped(kStartMs, &exit_)) return -1;
    return exit_.signal != 0 ? 128 + exit_.signal : exit_.exit_code;
  }
  std::string Log() const { return ReadFile(log_).value_or(""); }

 private:
  static constexpr int64_t kStartMs = 60'000;

  const std::string ready_file_;
  const std::string log_;
  std::unique_ptr<Subprocess> process_;
  ExitStatus exit_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_DAEMON_TESTING_H_
