#include "trainer/rank_processes.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace loglog {
namespace {

constexpr char kParent[] = "LOGLOG_PARENT_PID=";

std::string MakeRendezvous() {
  std::string name = (std::filesystem::temp_directory_path() / "loglog-ranks-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error(name + ": cannot be made: " + std::strerror(errno) +
                             "; ranks meet there, so free space or set TMPDIR to another folder");
  }
  return name;
}

std::string LastWordsFile(const std::string& rendezvous, int rank) {
  return rendezvous + "/last-words-" + std::to_string(rank);
}

std::string LastWords(const std::string& rendezvous, int rank) {
  std::ostringstream text;
  text << std::ifstream(LastWordsFile(rendezvous, rank)).rdbuf();
  return text.str();
}

// This process's environment, with it as the parent that a rank must not outlive.
std::vector<std::string> RankEnvironment() {
  std::vector<std::string> variables = {kParent + std::to_string(getpid())};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, kParent, sizeof kParent - 1) != 0) variables.emplace_back(*entry);
  }
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

RankProcesses::RankProcesses(const std::string& task_file, int ranks)
    : rendezvous_(MakeRendezvous()), stop_fd_(eventfd(0, EFD_CLOEXEC)) {
  try {
    for (int rank = 1; rank < ranks; ++rank) Start(task_file, rank, ranks);
    watch_ = std::thread([this] { Watch(); });
  } catch (...) {
    End();
    throw;
  }
}

void RankProcesses::Start(const std::string& task_file, int rank, int ranks) {
  std::vector<std::string> arguments = {"loglog-trainer",     task_file,      "--rank",
                                        std::to_string(rank), "--rendezvous", rendezvous_};
  std::vector<std::string> variables = RankEnvironment();
  pid_t pid = -1;
  const int error = posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr,
                                Pointers(arguments).data(), Pointers(variables).data());
  if (error != 0) {
    throw std::runtime_error("rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                             " cannot be started: " + std::strerror(error));
  }
  pids_.push_back(pid);
  pidfds_.push_back(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (pidfds_.back() < 0) {
    throw std::runtime_error("rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                             " cannot be watched (pidfd_open): " + std::strerror(errno) +
                             "; ranks need Linux 5.3 and a sandbox that allows the call");
  }
}

RankProcesses::~RankProcesses() {
  const uint64_t one = 1;
  if (write(stop_fd_, &one, sizeof one) != sizeof one) std::abort();
  if (watch_.joinable()) watch_.join();
  End();
}

void RankProcesses::End() {
  for (size_t i = 0; i < pids_.size(); ++i) {
    if (pids_[i] > 0) {
      kill(pids_[i], SIGKILL);
      waitpid(pids_[i], nullptr, 0);
    }
    close(pidfds_[i]);
  }
  close(stop_fd_);
  std::error_code ignored;
  std::filesystem::remove_all(rendezvous_, ignored);
}

void RankProcesses::Watch() {
  size_t left = 0;
  while (left < pids_.size()) {
    std::vector<pollfd> polled = {{.fd = stop_fd_, .events = POLLIN, .revents = 0}};
    for (size_t i = 0; i < pids_.size(); ++i) {
      polled.push_back({.fd = pids_[i] > 0 ? pidfds_[i] : -1, .events = POLLIN, .revents = 0});
    }
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    for (size_t i = 0; i < pids_.size(); ++i) {
      int status = 0;
      if (polled[i + 1].revents == 0 || waitpid(pids_[i], &status, 0) != pids_[i]) continue;
      pids_[i] = -1;
      ++left;
      if (status != 0) EndLike(i, status);
    }
  }
}

void RankProcesses::EndLike(size_t index, int status) {
  const int rank = static_cast<int>(index) + 1;
  const std::string words = LastWords(rendezvous_, rank);
  std::error_code ignored;
  std::filesystem::remove_all(rendezvous_, ignored);
  if (WIFSIGNALED(status)) {
    std::fprintf(stderr, "loglog-trainer: rank %d was ended by signal %d, and the others with it\n",
                 rank, WTERMSIG(status));
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
  } else {
    std::fprintf(stderr, "loglog-trainer: rank %d: %s\n", rank,
                 words.empty() ? "left without a word" : words.c_str());
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

void RankProcesses::WaitLeft() { watch_.join(); }

void RankProcesses::BlameFailedRank() {
  constexpr int kGraceMs = 5000;
  std::vector<pollfd> polled;
  for (const int pidfd : pidfds_) polled.push_back({.fd = pidfd, .events = POLLIN, .revents = 0});
  // The watch sees it too, and ends this process.
  if (poll(polled.data(), polled.size(), kGraceMs) > 0) watch_.join();
}

void WriteLastWords(const std::string& rendezvous, int rank, const std::string& text) {
  std::ofstream(LastWordsFile(rendezvous, rank)) << text;
}

}  // namespace loglog
