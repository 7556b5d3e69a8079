// Runs the real loglog-trainer for tests.
#ifndef LOGLOG_TRAINER_PROCESS_TESTING_H_
#define LOGLOG_TRAINER_PROCESS_TESTING_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "shards/test_files_testing.h"

namespace loglog {

struct ProcessExit {
  int code = -1;   // when it left by itself
  int signal = 0;  // when a signal ended it
  std::string errors;

  // What it said last.
  std::string LastWords() const {
    const std::string text = errors.substr(0, errors.find_last_not_of('\n') + 1);
    const size_t newline = text.rfind('\n');
    return newline == std::string::npos ? text : text.substr(newline + 1);
  }
};

// A started trainer. Its descriptor 3 is a pipe that this object reads.
class TrainerRun {
 public:
  TrainerRun(const std::string& folder, const std::vector<std::string>& arguments,
             int64_t file_bytes_max = 0)
      : errors_path_(folder + "/stderr.txt") {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    bell_ = ends[0];
    std::vector<char*> argv = {const_cast<char*>(LOGLOG_TRAINER_BINARY)};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int errors = open(errors_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      dup2(errors, STDOUT_FILENO);
      dup2(errors, STDERR_FILENO);
      if (ends[1] == 3) {
        fcntl(3, F_SETFD, 0);
      } else {
        dup2(ends[1], 3);
      }
      if (chdir(folder.c_str()) != 0) _exit(127);
      if (file_bytes_max > 0) {
        const rlimit limit{static_cast<rlim_t>(file_bytes_max), RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &limit);
      }
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ends[1]);
  }
  ~TrainerRun() {
    if (pid_ > 0) {
      Kill(SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(bell_);
  }
  TrainerRun(const TrainerRun&) = delete;
  TrainerRun& operator=(const TrainerRun&) = delete;

  pid_t pid() const { return pid_; }
  void Kill(int signal) { kill(pid_, signal); }

  // Returns when the trainer has told of a row of at least this step, or has left.
  void WaitForStep(int64_t step) {
    while (ReadMore()) {
      size_t newline;
      while ((newline = heard_.find('\n')) != std::string::npos) {
        const auto line = nlohmann::json::parse(heard_.substr(0, newline), nullptr, false);
        heard_.erase(0, newline + 1);
        if (!line.is_discarded() && line.value("e", "") == "row" && line["step"] >= step) return;
      }
    }
  }

  ProcessExit Wait() {
    while (ReadMore()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    ProcessExit result{.errors = ReadText(errors_path_)};
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    return result;
  }

 private:
  bool ReadMore() {
    char buffer[65536];
    const ssize_t n = read(bell_, buffer, sizeof buffer);
    if (n <= 0) return false;
    heard_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  std::string errors_path_;
  pid_t pid_ = -1;
  int bell_ = -1;
  std::string heard_;
};

// What events.jsonl says in the end: a later attempt's points supersede those after the
// step it resumed at.
struct EventStory {
  std::map<std::pair<int64_t, int>, std::string> rows;     // (step, member) -> row
  std::map<std::pair<int64_t, int>, std::string> notices;  // (step, order) -> notice
  std::map<int, std::string> ends;                         // member -> line
  std::vector<int64_t> resume_steps;
  std::vector<nlohmann::json> checkpoints;

  bool operator==(const EventStory& other) const {
    return rows == other.rows && notices == other.notices && ends == other.ends;
  }
};

inline EventStory ReadStory(const std::string& path) {
  EventStory story;
  std::istringstream lines(ReadText(path));
  for (std::string text; std::getline(lines, text);) {
    const auto line = nlohmann::json::parse(text);
    const std::string kind = line["e"];
    if (kind == "start") {
      const int64_t resumed = line["resume_step"];
      story.resume_steps.push_back(resumed);
      story.rows.erase(story.rows.upper_bound({resumed, 1 << 20}), story.rows.end());
      story.notices.erase(story.notices.upper_bound({resumed, 1 << 20}), story.notices.end());
      story.ends.clear();
    } else if (kind == "row") {
      EXPECT_TRUE(story.rows.insert({{line["step"], line["member"]}, text}).second) << text;
    } else if (kind == "notice") {
      story.notices[{line["step"], static_cast<int>(story.notices.size())}] = line.dump();
    } else if (kind == "end") {
      EXPECT_TRUE(story.ends.insert({line["member"], text}).second) << text;
    } else if (kind == "checkpoint") {
      story.checkpoints.push_back(line);
    }
  }
  return story;
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PROCESS_TESTING_H_
