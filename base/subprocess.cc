#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/io_guard.h"
#include "base/status.h"

extern char** environ;

namespace loglog {
namespace {

// Not in this glibc's headers.
constexpr idtype_t kIdPidfd = static_cast<idtype_t>(3);

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& overrides) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view variable = *entry;
    const absl::string_view name_eq = variable.substr(0, variable.find('=') + 1);
    const bool replaced = std::any_of(overrides.begin(), overrides.end(),
                                      [&](const auto& o) { return absl::StartsWith(o, name_eq); });
    if (!replaced) merged.emplace_back(variable);
  }
  merged.insert(merged.end(), overrides.begin(), overrides.end());
  return merged;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The two spawn objects with their destructors.
struct SpawnPlan {
  SpawnPlan() {
    LOGLOG_CHECK(posix_spawn_file_actions_init(&actions) == 0);
    LOGLOG_CHECK(posix_spawnattr_init(&attributes) == 0);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void PlanDescriptors(const SubprocessOptions& options, posix_spawn_file_actions_t* actions) {
  int failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
  const int sources[] = {options.stdout_fd, options.stderr_fd};
  for (int i = 0; i < 2; ++i) {
    LOGLOG_CHECK(sources[i] == -1 || sources[i] > 2);
    failed |= sources[i] == -1
                  ? posix_spawn_file_actions_addopen(actions, i + 1, "/dev/null", O_WRONLY, 0)
                  : posix_spawn_file_actions_adddup2(actions, sources[i], i + 1);
  }
  if (options.fd3 != -1) failed |= posix_spawn_file_actions_adddup2(actions, options.fd3, 3);
  failed |= posix_spawn_file_actions_addclosefrom_np(actions, options.fd3 != -1 ? 4 : 3);
  if (!options.working_dir.empty()) {
    failed |= posix_spawn_file_actions_addchdir_np(actions, options.working_dir.c_str());
  }
  LOGLOG_CHECK(failed == 0);
}

void PlanAttributes(posix_spawnattr_t* attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int failed = posix_spawnattr_setsigmask(attributes, &none);
  failed |= posix_spawnattr_setsigdefault(attributes, &all);
  failed |= posix_spawnattr_setflags(
      attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  LOGLOG_CHECK(failed == 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Subprocess>> Subprocess::Spawn(const SubprocessOptions& options) {
  CheckIoAllowed("starting a process");
  LOGLOG_CHECK(!options.argv.empty());
  SpawnPlan plan;
  PlanDescriptors(options, &plan.actions);
  PlanAttributes(&plan.attributes);
  const std::vector<std::string> environment = MergedEnvironment(options.env);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, options.argv[0].c_str(), &plan.actions, &plan.attributes,
                                Pointers(options.argv).data(), Pointers(environment).data());
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot start ", options.argv[0]));
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int open_error = errno;
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return ErrnoStatus(open_error, "cannot open a pidfd (Linux 5.3 or newer is needed)");
  }
  fcntl(pidfd, F_SETFD, FD_CLOEXEC);
  return std::unique_ptr<Subprocess>(new Subprocess(pid, pidfd));
}

Subprocess::~Subprocess() {
  ExitStatus ignored;
  if (!group_gone_) {
    KillGroup();
    // Only a process stuck in the kernel outlives this.
    WaitReaped(10'000, &ignored);
  }
  close(pidfd_);
}

void Subprocess::Signal(int signal) {
  if (!child_reaped_) syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
}

void Subprocess::KillGroup() {
  // Until the child is reaped its pid, hence the group's number, cannot be reused.
  if (!child_reaped_) kill(-pid_, SIGKILL);
}

bool Subprocess::TryReap(ExitStatus* status) {
  if (!child_reaped_) {
    siginfo_t info = {};
    if (waitid(kIdPidfd, pidfd_, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
      return false;
    }
    // The child is dead but not yet reaped, so the number is still its group's: this
    // reaches all that it left behind, and nobody else.
    KillGroup();
    LOGLOG_CHECK(waitid(kIdPidfd, pidfd_, &info, WEXITED) == 0);
    child_reaped_ = true;
    if (info.si_code == CLD_EXITED) {
      status_ = {.exit_code = info.si_status, .signal = 0};
    } else {
      status_ = {.exit_code = -1, .signal = info.si_status};
    }
  }
  if (!group_gone_) {
    siginfo_t info = {};
    while (waitid(P_PGID, pid_, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) info = {};
    group_gone_ = kill(-pid_, 0) != 0 && errno == ESRCH;
  }
  if (group_gone_) *status = status_;
  return group_gone_;
}

bool Subprocess::WaitReaped(int64_t timeout_ms, ExitStatus* status) {
  const int64_t deadline_ms = Clock::Real()->monotonic_ms() + timeout_ms;
  while (!TryReap(status)) {
    const int64_t left_ms = deadline_ms - Clock::Real()->monotonic_ms();
    if (left_ms <= 0) return false;
    // Ended children leave at once; what is left of a group is looked for every 5 ms.
    pollfd child = {.fd = child_reaped_ ? -1 : pidfd_, .events = POLLIN, .revents = 0};
    poll(&child, 1, child_reaped_ ? 5 : static_cast<int>(std::min<int64_t>(left_ms, 1000)));
  }
  return true;
}

void BecomeSubreaper() { LOGLOG_CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0); }

absl::StatusOr<int64_t> ProcessStartTicks(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  LOGLOG_ASSIGN_OR_RETURN(const std::string stat, ReadFile(path));
  // The second field is the program's name in brackets and may hold anything; the start
  // time is field 22, the 20th after it.
  const size_t name_end = stat.rfind(')');
  int64_t ticks = 0;
  if (name_end != std::string::npos) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(absl::string_view(stat).substr(name_end + 1), ' ', absl::SkipEmpty());
    if (fields.size() > 19 && absl::SimpleAtoi(fields[19], &ticks)) return ticks;
  }
  return absl::DataLossError(absl::StrCat(path, " has an unknown form"));
}

}  // namespace loglog
