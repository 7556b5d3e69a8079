// The line on stderr that tells a person how far a task is.
#ifndef LOGLOG_TRAINER_PROGRESS_H_
#define LOGLOG_TRAINER_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace loglog {

// "step 120/500 (24%)  loss 3.2145  41.2k tok/s  12s left". `rate` is tokens per second, 0 while
// it is unknown.
std::string ProgressText(int64_t step, int64_t total, double loss, double rate,
                         int64_t tokens_left);

// Rewrites one line on a terminal, several times a second; elsewhere prints a line about
// every ten seconds. Confined to one thread.
class Progress {
 public:
  Progress(int64_t begin_step, int64_t total_steps, int64_t tokens_per_step);
  // Ends the terminal's line, so that what follows has its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(int64_t step, double loss);
  // Prints a line of its own, whatever is on the terminal's last line.
  void Note(const std::string& text);
  // Tokens per second since the start.
  double Rate(int64_t step) const;

 private:
  using Clock = std::chrono::steady_clock;

  int64_t begin_step_, total_steps_, tokens_per_step_;
  bool terminal_;
  bool line_open_ = false;
  Clock::time_point start_, last_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PROGRESS_H_
