// Learning-rate schedules and the decay numbers derived from them. Pure functions.
#ifndef LOGLOG_TRAINER_SCHEDULE_H_
#define LOGLOG_TRAINER_SCHEDULE_H_

#include <cstdint>

#include "trainer/config.h"

namespace loglog {

// The share of the peak learning rate used by step `step` of 0 .. train.Steps() - 1.
// With W = round(warmup_tokens / batch_tokens) or round(warmup * steps), and C = round(cooldown *
// steps):
//   warm-up (t < W)  (t + 1) / W, so that the first step already moves;
//   cosine           r + (1 - r) (1 + cos(pi (t - W) / (steps - W))) / 2, r = min_lr_ratio;
//   wsd              1, then over the last C steps 1 - sqrt(u) or 1 - u with
//                    u = (t - (steps - C)) / C, by cooldown_shape;
//   constant         1.
double LearningRateShare(const TrainConfig& train, int64_t step);

// lr * LearningRateShare.
double LearningRate(const TrainConfig& train, int64_t step);

// The share of lambda at step `step`: 1 in the steps round(decay_begin * steps) <= t <
// round(decay_end * steps) and 0 outside of them, or what decay_windows say (DecayFactor).
double LambdaShare(const TrainConfig& train, int64_t step);

// The factor by which step `step` shrinks a decayed weight is 1 - DecayRate, with lambda_t =
// lambda * LambdaShare: lr_t * lambda_t when coupled, lambda_t * lr_t / lr when independent. Where
// decay goes into the gradient it is lambda_t, the factor of the weight there.
double DecayRate(const TrainConfig& train, int64_t step);

// Averaging time of the weights as a share of the run: batch / (lr * lambda * tokens),
// with the peak rates and as if decay were on throughout, with a factor of 1; for independent decay
// lambda stands in for lr * lambda. Of the tensors whose learning rate is not scaled by width.
// Infinite without decay, and where decay goes through Adam's quotient, which leaves it no rate.
double TauEma(const TrainConfig& train);

// The sum of DecayRate over steps 0 .. steps - 1; 0 where decay goes into the gradient.
double LrLambdaIntegral(const TrainConfig& train, int64_t steps);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_SCHEDULE_H_
