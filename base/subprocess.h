#ifndef LOGLOG_BASE_SUBPROCESS_H_
#define LOGLOG_BASE_SUBPROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace loglog {

// How a process ended: either a code or a signal.
struct ExitStatus {
  int exit_code = -1;  // -1 when ended by a signal
  int signal = 0;      // 0 when it exited by itself
};

struct SubprocessOptions {
  std::vector<std::string> argv;  // argv[0] is the program's path; nothing is looked up in PATH
  std::vector<std::string> env;   // "NAME=value", in place of or added to our own environment
  std::string working_dir;        // empty: ours
  // What the child sees as 1, 2 and 3. -1: /dev/null, and 3 closed. The caller still
  // owns and closes its own copies, which must be above 2.
  int stdout_fd = -1;
  int stderr_fd = -1;
  int fd3 = -1;
};

// A child in a session and process group of its own, with default signal dispositions,
// no inherited descriptor but 0 to 3, and /dev/null as standard input.
//
// A parent-death signal that the child asks for fires when the *thread* that called
// Spawn ends, so spawn from a thread that lives as long as the process should.
// Confined to one thread at a time.
class Subprocess {
 public:
  // The error names the program. A program that cannot be executed is an error here,
  // not an exit code later.
  static absl::StatusOr<std::unique_ptr<Subprocess>> Spawn(const SubprocessOptions& options);
  // Kills the group and waits for it when it was not reaped yet.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t pid() const { return pid_; }
  // Readable in poll() from the moment the child itself has ended.
  int pidfd() const { return pidfd_; }

  // To the child alone. Fine when it has ended already.
  void Signal(int signal);
  // To everything in its group. No-op once reaped, when the number may be another's.
  void KillGroup();

  // True once the child and everything in its process group is gone. When the child
  // has ended, kills what it left behind and reaps what the kernel gave to us
  // (BecomeSubreaper makes that so), hence may need to be called again, a little later.
  // `status` is set when true.
  bool TryReap(ExitStatus* status);
  // TryReap until true; false after `timeout_ms`.
  bool WaitReaped(int64_t timeout_ms, ExitStatus* status);

 private:
  Subprocess(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}
  const pid_t pid_;
  const int pidfd_;
  bool child_reaped_ = false;
  bool group_gone_ = false;
  ExitStatus status_;
};

// Makes orphaned descendants children of this process, so that TryReap can reap the
// whole group even where process 1 (of a container, say) reaps nobody.
void BecomeSubreaper();

// When the process started, in clock ticks since boot: tells a process from a later
// one that was given the same pid. NOT_FOUND when there is none.
absl::StatusOr<int64_t> ProcessStartTicks(pid_t pid);

}  // namespace loglog

#endif  // LOGLOG_BASE_SUBPROCESS_H_
