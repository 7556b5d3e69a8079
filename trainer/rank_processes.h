// The processes of a task's other ranks, started and watched by the one that leads.
#ifndef LOGLOG_TRAINER_RANK_PROCESSES_H_
#define LOGLOG_TRAINER_RANK_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <thread>
#include <vector>

namespace loglog {

// Starts this program again, once for each further rank, in its own process group, so that who
// ends the leader's group ends them. They end with the leader in any case, whatever ends it.
//
// A rank that fails ends this process at once, from a thread of its own: the rank's last words
// become the last line on stderr, and its exit code or signal this process's. A collective would
// otherwise wait for it. What is written is whole at any moment, so nothing is lost by it.
class RankProcesses {
 public:
  // Throws std::runtime_error when one cannot be started. Construct on a thread that stays: its
  // end ends the ranks.
  RankProcesses(const std::string& task_file, int ranks);
  // Ends those that have not left.
  ~RankProcesses();
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  // The folder in which they meet, of this host and this process alone.
  const std::string& rendezvous() const { return rendezvous_; }
  // Returns when all have left with 0.
  void WaitLeft();
  // To be called when a collective failed: if a rank failed before or within a few seconds, this
  // does not return, for that is the reason; otherwise the collective itself is.
  void BlameFailedRank();

 private:
  void Start(const std::string& task_file, int rank, int ranks);
  void End();
  void Watch();
  [[noreturn]] void EndLike(size_t index, int status);

  std::string rendezvous_;
  std::vector<pid_t> pids_;  // of ranks 1, 2, ...
  std::vector<int> pidfds_;
  int stop_fd_ = -1;  // an eventfd: the watch is over
  std::thread watch_;
};

// What the leader prints when this rank fails.
void WriteLastWords(const std::string& rendezvous, int rank, const std::string& text);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_RANK_PROCESSES_H_
