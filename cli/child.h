#ifndef LOGLOG_CLI_CHILD_H_
#define LOGLOG_CLI_CHILD_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/subprocess.h"

namespace loglog::cli {

// A program started by this one, in a process group of its own, its output in a file.
// It is killed with its group when this object goes, and by the kernel when this
// process dies first. Confined to the main thread, which outlives it.
class Child {
 public:
  // `name` is for messages: "the coordinator". `env` is set on top of our own environment.
  static absl::StatusOr<std::unique_ptr<Child>> Start(std::string name,
                                                      const std::vector<std::string>& argv,
                                                      const std::string& log_path,
                                                      const std::vector<std::string>& env = {});
  pid_t pid() const { return process_->pid(); }
  bool Running();
  // SIGKILL to its whole group, then waits for it.
  void Kill();
  // SIGTERM, then SIGKILL when it has not gone after `timeout_ms`.
  void Stop(int64_t timeout_ms);
  // Why it is not there, with the tail of its log.
  absl::Status Failure(absl::string_view what);

 private:
  Child(std::string name, std::string log_path, std::unique_ptr<Subprocess> process)
      : name_(std::move(name)), log_path_(std::move(log_path)), process_(std::move(process)) {}

  const std::string name_;
  const std::string log_path_;
  std::unique_ptr<Subprocess> process_;
  bool reaped_ = false;
  ExitStatus status_;
};

// Live processes that `parent` started, by /proc.
std::vector<pid_t> ChildrenOf(pid_t parent);

// The last `lines` lines of a file; "" when there is none.
std::string LogTail(const std::string& path, int lines);

struct CapturedRun {
  ExitStatus status;
  std::string output;  // stdout and stderr
};
// Runs a program to its end. DEADLINE_EXCEEDED: it was killed after `timeout_ms`.
absl::StatusOr<CapturedRun> RunCaptured(const std::vector<std::string>& argv, int64_t timeout_ms);

// What the hidden command `loglog exec-child --parent PID -- PROGRAM...` does: asks the kernel
// to be killed with its parent, then becomes the program.
absl::Status BecomeChildOf(pid_t parent, const std::vector<std::string>& argv);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CHILD_H_
