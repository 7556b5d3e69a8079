#include "coordinator/speeds.h"

#include <cmath>

namespace loglog {

void Speeds::Note(float flops_per_token, int slots, double tokens_per_second) {
  if (!(tokens_per_second > 0) || !std::isfinite(tokens_per_second)) return;
  // Workers differ: a new measurement moves what is known, and does not replace it.
  constexpr double kWeight = 0.25;
  const auto [it, is_new] =
      tokens_per_second_.try_emplace({flops_per_token, slots}, tokens_per_second);
  if (!is_new) it->second += kWeight * (tokens_per_second - it->second);
}

std::optional<double> Speeds::Seconds(float flops_per_token, int slots, double tokens) const {
  const auto speed = tokens_per_second_.find({flops_per_token, slots});
  if (speed == tokens_per_second_.end()) return std::nullopt;
  return tokens / speed->second;
}

double Speeds::SecondsOrGuess(float flops_per_token, int slots, double tokens) const {
  if (const auto seconds = Seconds(flops_per_token, slots, tokens)) return *seconds;
  double log_flops = 0;
  int n = 0;
  for (const auto& [shape, speed] : tokens_per_second_) {
    if (!(shape.first > 0)) continue;
    log_flops += std::log(static_cast<double>(shape.first) * speed);
    ++n;
  }
  return tokens * static_cast<double>(flops_per_token) / (n == 0 ? 1.0 : std::exp(log_flops / n));
}

}  // namespace loglog
