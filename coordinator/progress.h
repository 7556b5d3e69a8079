#ifndef LOGLOG_COORDINATOR_PROGRESS_H_
#define LOGLOG_COORDINATOR_PROGRESS_H_

#include <cstdint>
#include <map>

#include "absl/types/span.h"
#include "coordinator/scheduler_types.h"

namespace loglog {

// How fast trials train and how long the rest will take, from what arrives. Speeds are kept
// for each shape (FLOPs per token) and forgotten when the coordinator stops.
// Confined to one thread (the strand).
class Progress {
 public:
  struct Left {
    // Slot-seconds; all 0 when nothing has been measured yet.
    double seconds = 0;
    double low = 0;
    double high = 0;
    double tokens_per_second = 0;  // of the live attempts together
  };

  void AttemptStarted(int64_t attempt_id, const Work& work, int64_t now_ms);
  // Rows up to `tokens` have arrived. Returns tokens per second so far, 0 while unknown.
  double TokensArrived(int64_t attempt_id, int64_t tokens, int64_t now_ms);
  // With `complete` its whole duration, start-up included, is what such a trial takes.
  void AttemptEnded(int64_t attempt_id, bool complete, int64_t now_ms);
  double TokensPerSecond(int64_t attempt_id) const;

  // Of trials with so many tokens of each shape, at which these attempts are live.
  Left LeftOf(std::map<float, int64_t> tokens, absl::Span<const int64_t> attempts) const;

 private:
  struct Attempt {
    Work work;
    int64_t start_ms = 0;
    int64_t first_tokens = -1;
    int64_t first_ms = 0;
    int64_t tokens = 0;
    double rate = 0;
  };
  // Mean and spread of the logarithm of a speed.
  struct Speed {
    int n = 0;
    double mean = 0;
    double sum_squares = 0;
    void Add(double rate);
    double spread() const;
  };
  // The speed of a shape: its own, else that of its FLOPs; n = 0 when unknown.
  Speed SpeedOf(float shape) const;

  std::map<int64_t, Attempt> attempts_;  // live ones
  std::map<float, Speed> speeds_;        // by shape, tokens per second
  Speed flops_;                          // FLOPs per second
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_PROGRESS_H_
