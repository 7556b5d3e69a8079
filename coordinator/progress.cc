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

void Progress::AttemptStarted(int64_t attempt_id, const Work& work, int64_t now_ms) {
  attempts_[attempt_id] = {.work = work, .start_ms = now_ms};
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
  const Work& work = attempt.work;
  if (!complete || work.tokens <= 0 || ms <= 0) return;
  // A resumed attempt trains only from where its first row lies on.
  const int64_t trained = attempt.tokens - std::max<int64_t>(attempt.first_tokens, 0);
  if (2 * trained < work.tokens) return;
  const double rate = static_cast<double>(trained) * 1000.0 / static_cast<double>(ms);
  speeds_[work.shape].Add(rate);
  flops_.Add(rate * work.shape);
}

double Progress::TokensPerSecond(int64_t attempt_id) const {
  const auto attempt = attempts_.find(attempt_id);
  return attempt == attempts_.end() ? 0 : attempt->second.rate;
}

Progress::Speed Progress::SpeedOf(float shape) const {
  const auto own = speeds_.find(shape);
  if (own != speeds_.end() && own->second.n > 0) return own->second;
  Speed live;
  for (const auto& [id, attempt] : attempts_) {
    if (attempt.work.shape == shape) live.Add(attempt.rate);
  }
  if (live.n > 0 || flops_.n == 0 || shape <= 0) return live;
  Speed other = flops_;
  other.mean -= std::log(static_cast<double>(shape));
  // As if every measurement had lain that far off.
  other.n = 3;
  other.sum_squares = 2 * kSpreadOtherShape * kSpreadOtherShape;
  return other;
}

Progress::Left Progress::LeftOf(std::map<float, int64_t> tokens,
                                absl::Span<const int64_t> attempts) const {
  Left left;
  for (const int64_t attempt_id : attempts) {
    const auto attempt = attempts_.find(attempt_id);
    if (attempt == attempts_.end()) continue;
    left.tokens_per_second += attempt->second.rate;
    tokens[attempt->second.work.shape] -= attempt->second.tokens;
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
