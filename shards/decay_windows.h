// Weight decay in windows of a run, as a spec and a task spell it:
//   "0% 25%; 5000 50% 0.5; 50% 100% 1 0 cosine"
// FROM and TO, then what lambda is multiplied by there: nothing (1), one factor, or a first and a
// last one with the line or cosine between them. Plans and trainers read it by this one parser.
#ifndef LOGLOG_SHARDS_DECAY_WINDOWS_H_
#define LOGLOG_SHARDS_DECAY_WINDOWS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace loglog {

// A moment of a run: a share of its steps, "12.5%", or a step, "5000".
struct RunMoment {
  double value = 0;
  bool is_percent = false;

  // The nearest step of a run of `steps`.
  int64_t StepOf(int64_t steps) const;
  bool operator==(const RunMoment&) const = default;
};

// The nearest step to a share of a run, such as .125, of `steps`.
int64_t StepOfShare(double share, int64_t steps);

enum class DecayCurve { kLinear, kCosine };

// Steps begin <= t < end of the run.
struct DecayWindow {
  RunMoment begin;
  RunMoment end;
  double first_factor = 1;  // of lambda, at the first step
  double last_factor = 1;   // where the curve would arrive at `end`
  DecayCurve curve = DecayCurve::kLinear;

  bool operator==(const DecayWindow&) const = default;
};

// Windows in the order of the text. When it cannot be read, none, and `error` says which part is
// wrong and how it is written.
std::vector<DecayWindow> ParseDecayWindows(std::string_view text, std::string* error);

// The one spelling of these windows, which ParseDecayWindows reads back.
std::string DecayWindowsText(const std::vector<DecayWindow>& windows);

// Empty when the windows follow each other within a run of `steps`, each with a step of its own;
// else what is wrong with which, and the fix.
std::string DecayWindowsFault(const std::vector<DecayWindow>& windows, int64_t steps);

// What lambda is multiplied by at step t of a run of `steps`; 0 outside the windows. In a window
// [a, b) with factors f and g, and u = (t - a) / (b - a):
//   linear  f + (g - f) u;      cosine  g + (f - g) (1 + cos(pi u)) / 2.
double DecayFactor(const std::vector<DecayWindow>& windows, int64_t t, int64_t steps);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_DECAY_WINDOWS_H_
