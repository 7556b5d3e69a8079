#include "tests/fake_trainer/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace loglog {
namespace {

int64_t MonotonicNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

int OpenOrThrow(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error("cannot open the journal " + path);
  return fd;
}

}  // namespace

Journal::Journal(const std::string& path, const Task& task, const std::string& misfortune)
    : task_id_(task.task_id), attempt_id_(task.attempt_id), misfortune_(misfortune) {
  if (path.empty()) return;
  fd_ = OpenOrThrow(path, O_WRONLY | O_APPEND);
  TakeLock(path + ".task-" + std::to_string(task_id_));
  Write("start", "");
}

Journal::~Journal() {
  if (fd_ < 0) return;
  Write("leave", "");
  close(lock_fd_);
  close(fd_);
}

void Journal::TakeLock(const std::string& path) {
  lock_fd_ = OpenOrThrow(path, O_RDWR);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    char holder[64] = {};
    const ssize_t size = pread(lock_fd_, holder, sizeof(holder) - 1, 0);
    Write("overlap", size > 0 ? std::string(holder, size) : "");
    return;
  }
  const std::string mine = std::to_string(attempt_id_) + " " + std::to_string(getpid());
  if (ftruncate(lock_fd_, 0) != 0 ||
      pwrite(lock_fd_, mine.data(), mine.size(), 0) != static_cast<ssize_t>(mine.size())) {
    throw std::runtime_error("cannot write " + path);
  }
}

void Journal::Write(const char* event, const std::string& other) const {
  nlohmann::ordered_json line = {
      {"e", event},      {"task", task_id_},    {"attempt", attempt_id_},
      {"pid", getpid()}, {"ns", MonotonicNs()}, {"misfortune", misfortune_}};
  if (!other.empty()) line["other"] = other;
  const std::string text = line.dump() + "\n";
  // One write: lines of several processes do not mix.
  [[maybe_unused]] const ssize_t written = write(fd_, text.data(), text.size());
}

}  // namespace loglog
