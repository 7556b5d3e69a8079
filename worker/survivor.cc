#include "worker/survivor.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
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

constexpr int kGoneTimeoutMs = 10'000;

absl::StatusOr<std::string> KernelBootId() {
  LOGLOG_ASSIGN_OR_RETURN(const std::string id, ReadFile("/proc/sys/kernel/random/boot_id"));
  return std::string(absl::StripAsciiWhitespace(id));
}

}  // namespace

absl::StatusOr<std::string> DescribeProcess(pid_t pid) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t ticks, ProcessStartTicks(pid));
  LOGLOG_ASSIGN_OR_RETURN(const std::string boot_id, KernelBootId());
  return absl::StrCat(pid, " ", ticks, " ", boot_id, "\n");
}

absl::Status KillRecordedProcess(absl::string_view identity) {
  const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(identity), ' ');
  int pid = 0;
  if (fields.size() != 3 || !absl::SimpleAtoi(fields[0], &pid) || pid <= 1) {
    return absl::DataLossError("not a process record; nothing was killed");
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return absl::OkStatus();
  absl::Cleanup closer = [pidfd] { close(pidfd); };
  // Dead, but not yet reaped by whoever got it.
  pollfd gone = {.fd = pidfd, .events = POLLIN, .revents = 0};
  if (poll(&gone, 1, 0) == 1) return absl::OkStatus();
  // Compared after the descriptor is open: it now stays with whichever process this is.
  const absl::StatusOr<std::string> now = DescribeProcess(pid);
  if (!now.ok() || absl::StripAsciiWhitespace(*now) != absl::StripAsciiWhitespace(identity) ||
      getpgid(pid) != pid) {
    return absl::OkStatus();
  }
  spdlog::warn("trainer {} outlived its daemon; killing it", pid);
  kill(-pid, SIGKILL);
  while (poll(&gone, 1, kGoneTimeoutMs) < 0 && errno == EINTR) {
  }
  if ((gone.revents & POLLIN) != 0) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("process ", pid, " does not end after SIGKILL; it may hang in a driver"));
}

}  // namespace loglog::worker
