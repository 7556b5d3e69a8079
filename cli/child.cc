#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/args.h"
#include "cli/binaries.h"

namespace loglog::cli {
namespace {

// Descriptors below 3 are the child's own places for them.
int OpenAboveStandard(const char* path, int flags) {
  const int fd = open(path, flags | O_CLOEXEC, 0644);
  if (fd < 0 || fd > 2) return fd;
  const int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return higher;
}

// The same command line, to be killed when this process is gone, however it ends.
std::vector<std::string> BoundToUs(const std::vector<std::string>& argv) {
  std::vector<std::string> bound = {SelfPath(), "exec-child", "--parent", absl::StrCat(getpid()),
                                    "--"};
  bound.insert(bound.end(), argv.begin(), argv.end());
  return bound;
}

std::string HowItEnded(const ExitStatus& status) {
  return status.signal != 0 ? absl::StrCat("was killed by signal ", status.signal)
                            : absl::StrCat("ended with exit code ", status.exit_code);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Child>> Child::Start(std::string name,
                                                    const std::vector<std::string>& argv,
                                                    const std::string& log_path,
                                                    const std::vector<std::string>& env) {
  const int log = OpenAboveStandard(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND);
  if (log < 0) {
    return absl::InternalError(absl::StrCat("cannot write ", log_path, ": ", strerror(errno)));
  }
  absl::StatusOr<std::unique_ptr<Subprocess>> process =
      Subprocess::Spawn({.argv = BoundToUs(argv), .env = env, .stdout_fd = log, .stderr_fd = log});
  close(log);
  if (!process.ok()) return Annotate(process.status(), absl::StrCat("cannot start ", name));
  return std::unique_ptr<Child>(new Child(std::move(name), log_path, *std::move(process)));
}

bool Child::Running() {
  if (!reaped_) reaped_ = process_->TryReap(&status_);
  return !reaped_;
}

void Child::Kill() {
  if (reaped_) return;
  process_->KillGroup();
  reaped_ = process_->WaitReaped(10'000, &status_);
}

void Child::Stop(int64_t timeout_ms) {
  if (!Running()) return;
  process_->Signal(SIGTERM);
  reaped_ = process_->WaitReaped(timeout_ms, &status_);
  Kill();
}

absl::Status Child::Failure(absl::string_view what) {
  const std::string tail = LogTail(log_path_, 12);
  return WithHint(
      absl::InternalError(absl::StrCat(
          name_, " ", Running() ? std::string(what) : HowItEnded(status_),
          tail.empty() ? "; its log is empty" : absl::StrCat("; the end of its log:\n", tail))),
      absl::StrCat("whole log: ", log_path_));
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    std::ifstream file(entry.path() / "stat");
    std::stringstream text;
    text << file.rdbuf();
    // "pid (name) state parent ...": the name may hold spaces and brackets.
    const std::string stat = text.str();
    const size_t bracket = stat.rfind(')');
    if (bracket == std::string::npos) continue;
    const std::vector<std::string> fields =
        absl::StrSplit(absl::string_view(stat).substr(bracket + 1), ' ', absl::SkipEmpty());
    pid_t its_parent = 0;
    if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &its_parent)) continue;
    if (its_parent == parent && fields[0] != "Z") children.push_back(pid);
  }
  return children;
}

std::string LogTail(const std::string& path, int lines) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  std::vector<std::string> all = absl::StrSplit(text.str(), '\n', absl::SkipEmpty());
  if (all.size() > lines) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

absl::StatusOr<CapturedRun> RunCaptured(const std::vector<std::string>& argv, int64_t timeout_ms) {
  char path[] = "/tmp/loglog-output-XXXXXX";
  const int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) return absl::InternalError(absl::StrCat("cannot write to /tmp: ", strerror(errno)));
  unlink(path);
  const int log = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  // A session of its own keeps it from Ctrl-C on our terminal.
  LOGLOG_ASSIGN_OR_RETURN(
      const std::unique_ptr<Subprocess> process,
      Subprocess::Spawn({.argv = BoundToUs(argv), .stdout_fd = log, .stderr_fd = log}));
  CapturedRun run;
  const bool ended = process->WaitReaped(timeout_ms, &run.status);
  char buffer[4096];
  lseek(log, 0, SEEK_SET);
  for (ssize_t n; (n = read(log, buffer, sizeof(buffer))) > 0;) run.output.append(buffer, n);
  close(log);
  if (!ended) {
    return absl::DeadlineExceededError(
        absl::StrCat(argv[0], " did not end within ", timeout_ms, " ms"));
  }
  return run;
}

absl::Status BecomeChildOf(pid_t parent, const std::vector<std::string>& argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above.
  if (getppid() != parent) return absl::CancelledError("the parent process is gone");
  return Exec(argv);
}

}  // namespace loglog::cli
