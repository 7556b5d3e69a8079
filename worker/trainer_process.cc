#include "worker/trainer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace loglog::worker {
namespace {

constexpr int64_t kLogHeadBytes = 256 << 10;
constexpr int64_t kLogTailBytes = 256 << 10;
// Reads of one visit, so that one trainer's flood does not starve the other slots.
constexpr int kReadsMax = 16;

struct Pipe {
  ~Pipe() {
    if (read_fd >= 0) close(read_fd);
    if (write_fd >= 0) close(write_fd);
  }
  // The read end does not block; the write end is what the child gets.
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
    read_fd = ends[0];
    write_fd = ends[1];
    fcntl(read_fd, F_SETFL, O_NONBLOCK);
    return absl::OkStatus();
  }
  int read_fd = -1;
  int write_fd = -1;
};

// Calls `take` with what can be read now; closes the descriptor at the end of the
// stream. True when there was something.
template <typename Take>
bool ReadNow(int* fd, Take take) {
  bool any = false;
  char buffer[16 << 10];
  for (int i = 0; *fd >= 0 && i < kReadsMax; ++i) {
    const ssize_t got = read(*fd, buffer, sizeof(buffer));
    if (got > 0) {
      any = true;
      take(absl::string_view(buffer, got));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      close(*fd);
      *fd = -1;
    } else if (errno == EAGAIN) {
      break;
    }
  }
  return any;
}

std::vector<std::string> TrainerEnvironment() {
  std::vector<std::string> env = {absl::StrCat("LOGLOG_PARENT_PID=", getpid())};
  // Threads that spin while they wait slow down every other slot of the host.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) env.push_back("OMP_WAIT_POLICY=PASSIVE");
  // Huge pages for the heap, where the system gives them: with pages of 4 KB a step looks for some
  // thousands of them, and on some machines that is 2 to 4% of it.
  if (std::getenv("GLIBC_TUNABLES") == nullptr) {
    env.push_back("GLIBC_TUNABLES=glibc.malloc.hugetlb=1");
  }
  return env;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(
    const std::string& binary, const std::string& attempt_dir, LeaseGuard* guard) {
  Pipe bell, output;
  if (absl::Status status = bell.Open(); !status.ok()) return status;
  if (absl::Status status = output.Open(); !status.ok()) return status;
  // The flag belongs to the pipe's end, hence to the child too: a full bell drops.
  fcntl(bell.write_fd, F_SETFL, O_NONBLOCK);
  auto process = Subprocess::Spawn({.argv = {binary, attempt_dir + "/task.json"},
                                    .env = TrainerEnvironment(),
                                    .working_dir = attempt_dir,
                                    .stdout_fd = output.write_fd,
                                    .stderr_fd = output.write_fd,
                                    .fd3 = bell.write_fd});
  if (!process.ok()) return process.status();
  // At once: opening the log below may already hang.
  guard->Watch((*process)->pid());
  return std::unique_ptr<TrainerProcess>(
      new TrainerProcess(*std::move(process), guard, std::exchange(bell.read_fd, -1),
                         std::exchange(output.read_fd, -1), attempt_dir + "/stderr.log"));
}

TrainerProcess::TrainerProcess(std::unique_ptr<Subprocess> process, LeaseGuard* guard, int bell_fd,
                               int output_fd, const std::string& log_path)
    : process_(std::move(process)),
      guard_(guard),
      bell_fd_(bell_fd),
      output_fd_(output_fd),
      log_(log_path, kLogHeadBytes, kLogTailBytes) {}

TrainerProcess::~TrainerProcess() {
  LeaveGuard();
  if (bell_fd_ >= 0) close(bell_fd_);
  if (output_fd_ >= 0) close(output_fd_);
}

bool TrainerProcess::DrainBell() {
  return ReadNow(&bell_fd_, [](absl::string_view) {});
}

void TrainerProcess::DrainOutput() {
  ReadNow(&output_fd_, [this](absl::string_view bytes) { log_.Append(bytes); });
}

void TrainerProcess::Terminate() {
  process_->Signal(SIGTERM);
  process_->Signal(SIGCONT);
}

void TrainerProcess::Kill() { process_->KillGroup(); }

bool TrainerProcess::ChildEnded() const {
  pollfd child = {.fd = process_->pidfd(), .events = POLLIN, .revents = 0};
  return poll(&child, 1, 0) == 1;
}

void TrainerProcess::LeaveGuard() {
  killed_by_guard_ = guard_->Release(process_->pid()) || killed_by_guard_;
}

bool TrainerProcess::TryReap(ExitStatus* status) {
  if (!ChildEnded()) return false;
  LeaveGuard();
  if (!process_->TryReap(status)) return false;
  // Nobody writes any more, so this ends: at the end of the stream or when it is empty.
  while (output_fd_ >= 0 &&
         ReadNow(&output_fd_, [this](absl::string_view bytes) { log_.Append(bytes); })) {
  }
  log_.Close();
  return true;
}

}  // namespace loglog::worker
