#include "worker/survivor.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "base/subprocess.h"

namespace loglog::worker {
namespace {

// Does not change while a process lives, and is asked for with each start of a trainer.
absl::StatusOr<std::string> KernelBootId() {
  static const auto* const text =
      new absl::StatusOr<std::string>(ReadFile("/proc/sys/kernel/random/boot_id"));
  LOGLOG_RETURN_IF_ERROR(text->status());
  return std::string(absl::StripAsciiWhitespace(**text));
}

struct OpenProcess {
  int pid = 0;
  int pidfd = -1;  // the caller closes it; -1 when the process is gone
};

// True while the process behind the descriptor is the one of `identity`, lives, and
// leads its group.
bool StillIs(const OpenProcess& process, absl::string_view identity) {
  // Dead, but not yet reaped by whoever got it.
  pollfd gone = {.fd = process.pidfd, .events = POLLIN, .revents = 0};
  if (poll(&gone, 1, 0) == 1) return false;
  // Compared after the descriptor is open: it now stays with whichever process this is.
  const absl::StatusOr<std::string> now = DescribeProcess(process.pid);
  return now.ok() && absl::StripAsciiWhitespace(*now) == absl::StripAsciiWhitespace(identity) &&
         getpgid(process.pid) == process.pid;
}

// The process so described. DATA_LOSS when the text describes none.
absl::StatusOr<OpenProcess> OpenRecorded(absl::string_view identity) {
  const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(identity), ' ');
  OpenProcess process;
  if (fields.size() != 3 || !absl::SimpleAtoi(fields[0], &process.pid) || process.pid <= 1) {
    return absl::DataLossError("not a process record; nothing was killed");
  }
  process.pidfd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (process.pidfd < 0 || StillIs(process, identity)) return process;
  close(process.pidfd);
  process.pidfd = -1;
  return process;
}

}  // namespace

absl::StatusOr<std::string> DescribeProcess(pid_t pid) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t ticks, ProcessStartTicks(pid));
  LOGLOG_ASSIGN_OR_RETURN(const std::string boot_id, KernelBootId());
  return absl::StrCat(pid, " ", ticks, " ", boot_id, "\n");
}

absl::Status KillRecordedProcess(absl::string_view identity, int64_t timeout_ms,
                                 KillFunction kill_function) {
  LOGLOG_ASSIGN_OR_RETURN(const OpenProcess process, OpenRecorded(identity));
  if (process.pidfd < 0) return absl::OkStatus();
  absl::Cleanup closer = [&process] { close(process.pidfd); };
  spdlog::warn("trainer {} outlived its daemon; killing it", process.pid);
  kill_function(-process.pid, SIGKILL);
  pollfd gone = {.fd = process.pidfd, .events = POLLIN, .revents = 0};
  while (poll(&gone, 1, static_cast<int>(timeout_ms)) < 0 && errno == EINTR) {
  }
  if ((gone.revents & POLLIN) != 0) return absl::OkStatus();
  return absl::DeadlineExceededError(ProcessDoesNotEnd(process.pid));
}

std::string CheckSurvivors(std::vector<Survivor>* survivors) {
  std::string problem;
  std::vector<Survivor> living;
  for (const Survivor& survivor : *survivors) {
    const absl::StatusOr<OpenProcess> process = OpenRecorded(survivor.identity);
    if (!process.ok() || process->pidfd < 0) {
      const absl::Status removed = RemoveTree(survivor.record);
      if (!removed.ok()) spdlog::warn("{}", std::string(removed.message()));
      continue;
    }
    close(process->pidfd);
    problem = ProcessDoesNotEnd(process->pid);
    living.push_back(survivor);
  }
  *survivors = std::move(living);
  return problem;
}

std::string ProcessDoesNotEnd(pid_t pid) {
  return absl::StrCat("process ", pid,
                      " does not end after SIGKILL; it may hang in a driver or a file system: "
                      "look at the kernel's log, restart the host if it stays");
}

}  // namespace loglog::worker
