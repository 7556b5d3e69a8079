#include "coordinator/progress.h"

#include <algorithm>
#include <cmath>

namespace loglog {
namespace {

// Spread (standard deviation of the logarithm) to expect before there is enough to
// measure it, and when the speed of another shape has to serve.
constexpr double kSpreadUnmeasured = 0.25;
constexpr double kSpreadOtherShape = 0.5;
constexpr double kSpreadLeast = 0.05;

}  // namespace

void Progress::Speed::Add(double rate) {
  if (!(rate > 0) || !std::isfinite(rate)) return;
  const double x = std::log(rate);
  ++n;
  const double delta = x - mean;
  mean += delta / n;
  sum_squares += delta * (x - mean);
}

double Progress::Speed::spread() const {
  if (n < 3) return kSpreadUnmeasured;
  return std::max(kSpreadLeast, std::sqrt(sum_squares / (n - 1)));
}

void Progress::AddTrial(const OpenTrial& open) {
  Trial& trial = trials_[open.trial_id];
  trial.tokens = open.tokens;
  trial.shape = open.tokens > 0 ? open.flops / static_cast<double>(open.tokens) : 0;
  for (const SweepOfTrial& of : open.sweeps) {
    if (trial.sweeps.insert(of.sweep_id)) {
      tokens_left_[of.sweep_id][trial.shape] += trial.tokens;
    }
  }
}

void Progress::TrialEnded(int64_t trial_id) {
  const auto node = trials_.extract(trial_id);
  if (node.empty()) return;
  const Trial& trial = node.mapped();
  for (const int64_t sweep_id : trial.sweeps) {
    const auto left = tokens_left_.find(sweep_id);
    if (left != tokens_left_.end()) left->second[trial.shape] -= trial.tokens;
  }
}

void Progress::RemoveSweep(int64_t sweep_id) { tokens_left_.erase(sweep_id); }

void Progress::AttemptStarted(int64_t attempt_id, int64_t trial_id, int64_t now_ms) {
  const auto trial = trials_.find(trial_id);
  if (trial == trials_.end()) return;
  attempts_[attempt_id] = {.trial_id = trial_id,
                           .shape = trial->second.shape,
                           .planned = trial->second.tokens,
                           .start_ms = now_ms};
}

double Progress::TokensArrived(int64_t attempt_id, int64_t tokens, int64_t now_ms) {
  const auto it = attempts_.find(attempt_id);
  if (it == attempts_.end()) return 0;
  Attempt& attempt = it->second;
  if (attempt.first_tokens < 0) {
    attempt.first_tokens = tokens;
    attempt.first_ms = now_ms;
  }
  attempt.tokens = std::max(attempt.tokens, tokens);
  // Batches come in bursts; under a second the ratio says little.
  const int64_t ms = now_ms - attempt.first_ms;
  if (ms >= 1000) {
    attempt.rate = static_cast<double>(attempt.tokens - attempt.first_tokens) * 1000.0 /
                   static_cast<double>(ms);
  }
  return attempt.rate;
}

void Progress::AttemptEnded(int64_t attempt_id, bool complete, int64_t now_ms) {
  const auto node = attempts_.extract(attempt_id);
  if (node.empty()) return;
  const Attempt& attempt = node.mapped();
  const int64_t ms = now_ms - attempt.start_ms;
  if (!complete || attempt.planned <= 0 || ms <= 0) return;
  // A resumed attempt trains only from where its first row lies on.
  const int64_t trained = attempt.tokens - std::max<int64_t>(attempt.first_tokens, 0);
  if (2 * trained < attempt.planned) return;
  const double rate = static_cast<double>(trained) * 1000.0 / static_cast<double>(ms);
  speeds_[attempt.shape].Add(rate);
  flops_.Add(rate * attempt.shape);
}

double Progress::TokensPerSecond(int64_t attempt_id) const {
  const auto attempt = attempts_.find(attempt_id);
  return attempt == attempts_.end() ? 0 : attempt->second.rate;
}

Progress::Speed Progress::SpeedOf(double shape) const {
  const auto own = speeds_.find(shape);
  if (own != speeds_.end() && own->second.n > 0) return own->second;
  Speed live;
  for (const auto& [id, attempt] : attempts_) {
    if (attempt.shape == shape) live.Add(attempt.rate);
  }
  if (live.n > 0 || flops_.n == 0 || shape <= 0) return live;
  Speed other = flops_;
  other.mean -= std::log(shape);
  // As if every measurement had lain that far off.
  other.n = 3;
  other.sum_squares = 2 * kSpreadOtherShape * kSpreadOtherShape;
  return other;
}

Progress::Left Progress::LeftOf(int64_t sweep_id) const {
  Left left;
  const auto sweep = tokens_left_.find(sweep_id);
  if (sweep == tokens_left_.end()) return left;
  std::map<double, int64_t> tokens = sweep->second;
  for (const auto& [id, attempt] : attempts_) {
    const auto trial = trials_.find(attempt.trial_id);
    if (trial == trials_.end()) continue;
    if (!trial->second.sweeps.contains(sweep_id)) continue;
    left.tokens_per_second += attempt.rate;
    tokens[trial->second.shape] -= attempt.tokens;
  }
  for (const auto& [shape, count] : tokens) {
    if (count <= 0) continue;
    const Speed speed = SpeedOf(shape);
    if (speed.n == 0) return {.tokens_per_second = left.tokens_per_second};
    const double seconds = static_cast<double>(count) / std::exp(speed.mean);
    left.seconds += seconds;
    left.low += seconds * std::exp(-2 * speed.spread());
    left.high += seconds * std::exp(2 * speed.spread());
  }
  return left;
}

}  // namespace loglog
