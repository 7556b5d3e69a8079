#ifndef LOGLOG_COORDINATOR_PROGRESS_H_
#define LOGLOG_COORDINATOR_PROGRESS_H_

#include <cstdint>
#include <map>

#include "absl/container/btree_map.h"
#include "coordinator/id_set.h"
#include "store/rows.h"

namespace loglog {

// How fast trials train and how much is left, from what arrives. Speeds are kept for
// each shape (FLOPs per token) and forgotten when the coordinator stops.
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

  // An open trial of these sweeps; again when one more sweep wants it.
  void AddTrial(const OpenTrial& trial);
  void TrialEnded(int64_t trial_id);
  void RemoveSweep(int64_t sweep_id);

  void AttemptStarted(int64_t attempt_id, int64_t trial_id, int64_t now_ms);
  // Rows up to `tokens` have arrived. Returns tokens per second so far, 0 while unknown.
  double TokensArrived(int64_t attempt_id, int64_t tokens, int64_t now_ms);
  // With `complete` its whole duration, start-up included, is what such a trial takes.
  void AttemptEnded(int64_t attempt_id, bool complete, int64_t now_ms);
  double TokensPerSecond(int64_t attempt_id) const;

  Left LeftOf(int64_t sweep_id) const;

 private:
  struct Trial {
    double shape = 0;
    int64_t tokens = 0;
    IdSet sweeps;
  };
  struct Attempt {
    int64_t trial_id = 0;
    double shape = 0;
    int64_t planned = 0;  // tokens of the trial
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
  Speed SpeedOf(double shape) const;

  absl::btree_map<int64_t, Trial> trials_;
  std::map<int64_t, std::map<double, int64_t>> tokens_left_;  // by sweep, by shape
  std::map<int64_t, Attempt> attempts_;                       // live ones
  std::map<double, Speed> speeds_;                            // by shape, tokens per second
  Speed flops_;                                               // FLOPs per second
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_PROGRESS_H_
