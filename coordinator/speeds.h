#ifndef LOGLOG_COORDINATOR_SPEEDS_H_
#define LOGLOG_COORDINATOR_SPEEDS_H_

#include <map>
#include <optional>
#include <utility>

namespace loglog {

// How fast tasks of each shape train, as measured. A shape is its FLOPs per token; how
// many slots train it together counts, too.
// Confined to one thread.
class Speeds {
 public:
  void Note(float flops_per_token, int slots, double tokens_per_second);
  // How long so many tokens take; nothing when no such task was measured.
  std::optional<double> Seconds(float flops_per_token, int slots, double tokens) const;
  // The same for putting tasks in an order: what was not measured is taken to be as fast
  // in FLOPs as what was, and nothing at all to do one FLOP per second.
  double SecondsOrGuess(float flops_per_token, int slots, double tokens) const;

 private:
  std::map<std::pair<float, int>, double> tokens_per_second_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SPEEDS_H_
