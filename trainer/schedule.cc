#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace loglog {
namespace {

constexpr double kPi = 3.14159265358979323846;

int64_t WarmupSteps(const TrainConfig& train) {
  if (!train.warmup_tokens) return StepOfShare(train.warmup, train.Steps());
  return std::llround(static_cast<double>(*train.warmup_tokens) /
                      static_cast<double>(train.batch_tokens));
}

}  // namespace

double LearningRateShare(const TrainConfig& train, int64_t step) {
  const int64_t steps = train.Steps();
  const int64_t warmup = WarmupSteps(train);
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  switch (train.schedule) {
    case Schedule::kCosine: {
      const double progress = static_cast<double>(step - warmup) /
                              static_cast<double>(std::max<int64_t>(1, steps - warmup));
      return train.min_lr_ratio + (1 - train.min_lr_ratio) * 0.5 * (1 + std::cos(kPi * progress));
    }
    case Schedule::kWsd: {
      const int64_t cooldown = StepOfShare(train.cooldown, steps);
      const int64_t start = steps - cooldown;
      if (step < start) return 1;
      const double progress = static_cast<double>(step - start) / static_cast<double>(cooldown);
      return 1 - (train.cooldown_shape == CooldownShape::kSqrt ? std::sqrt(progress) : progress);
    }
    case Schedule::kConstant:
      return 1;
  }
  return 1;
}

double LearningRate(const TrainConfig& train, int64_t step) {
  return train.lr * LearningRateShare(train, step);
}

double LambdaShare(const TrainConfig& train, int64_t step) {
  const int64_t steps = train.Steps();
  if (!train.decay_windows.empty()) return DecayFactor(train.decay_windows, step, steps);
  const bool decays =
      step >= StepOfShare(train.decay_begin, steps) && step < StepOfShare(train.decay_end, steps);
  return decays ? 1 : 0;
}

double DecayRate(const TrainConfig& train, int64_t step) {
  const double lambda = train.weight_decay * LambdaShare(train, step);
  if (train.decay == DecayMode::kGradient) return lambda;
  const double rate = lambda * LearningRateShare(train, step);
  return train.decay == DecayMode::kCoupled ? rate * train.lr : rate;
}

double TauEma(const TrainConfig& train) {
  const double rate =
      train.decay == DecayMode::kCoupled ? train.lr * train.weight_decay : train.weight_decay;
  if (rate == 0 || train.decay == DecayMode::kGradient)
    return std::numeric_limits<double>::infinity();
  return static_cast<double>(train.batch_tokens) / (rate * static_cast<double>(train.tokens));
}

double LrLambdaIntegral(const TrainConfig& train, int64_t steps) {
  if (train.decay == DecayMode::kGradient) return 0;
  double sum = 0;
  for (int64_t step = 0; step < steps; ++step) sum += DecayRate(train, step);
  return sum;
}

}  // namespace loglog
