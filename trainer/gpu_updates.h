// The GPU's kernels between the gradient and the next step; gpu_kernels.h says what a kernel is.
// Nothing here waits for the host: what becomes of a member's step is decided on the device.
#ifndef LOGLOG_TRAINER_GPU_UPDATES_H_
#define LOGLOG_TRAINER_GPU_UPDATES_H_

#include <math.h>

#include <cstdint>

#include "trainer/gpu_values.h"
#include "trainer/kernels.h"
#include "trainer/spike_series.h"

namespace loglog {

// x [K, count]: the sum of squares of each chunk to parts [K, chunks], for SumRows.
struct SquareParts {
  const float* x;
  int64_t count, chunk, chunks;
  double* parts;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / chunks, first = block % chunks * chunk;
    const int64_t last = first + chunk < count ? first + chunk : count;
    double sum = 0;
    for (int64_t i = first + context.thread(); i < last; i += context.threads()) {
      const double value = x[member * count + i];
      sum += value * value;
    }
    sum = context.Sum(sum);
    if (context.thread() == 0) parts[block] = sum;
  }
};

// What the host says about one member's step.
struct StepTerms {
  double predicted;               // tokens that the loss is a mean of
  double loss_limit, norm_limit;  // as StepLimits has them
  double limited;                 // 1: there are limits
  double skip_sd;                 // above 0: they follow from the member's history instead
  double clip;                    // 0: none
  double active;                  // 0: the member takes no part
};

// What a step comes to, of one member: see StepResult.
struct StepNumbers {
  double loss, grad_norm;
  double inactive, finite, skipped, clipped;
};

// From loss_sum [K] and squares [K], of the gradient: the numbers, whether the update applies, and
// what clips its gradient. A member whose numbers are not finite, without limits that would skip
// the step, is inactive from here on. A block is a member.
struct JudgeStep {
  const double* loss_sum;
  const double* squares;
  const StepTerms* terms;
  double* active;          // [K], of the device: the host learns later
  SkipHistory* histories;  // [K], likewise
  StepNumbers* numbers;
  float* grad_scale;  // [K]; -1 where nothing is applied

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    if (context.thread() != 0) return;
    const StepTerms& said = terms[block];
    SkipHistory& history = histories[block];
    const bool follows = said.skip_sd > 0;
    const bool limited = follows ? history.HasLimits(said.skip_sd) : said.limited != 0;
    const double loss_limit = follows ? history.loss.Limit(said.skip_sd) : said.loss_limit;
    const double norm_limit = follows ? history.grad_norm.Limit(said.skip_sd) : said.norm_limit;
    const double loss = loss_sum[block] / said.predicted, norm = sqrt(squares[block]);
    const bool on = active[block] != 0 && said.active != 0;
    const bool finite = loss - loss == 0 && norm - norm == 0;
    const bool skipped = limited && (!finite || loss > loss_limit || norm > norm_limit);
    if (on && follows) history.Add(loss, norm, finite, skipped);
    const bool applies = on && finite && !skipped;
    const bool clipped = applies && said.clip > 0 && norm > said.clip;
    active[block] = on && (finite || skipped) ? 1 : 0;
    grad_scale[block] = !applies ? -1 : clipped ? static_cast<float>(said.clip / norm) : 1;
    numbers[block] = {
        loss, norm, on ? 0.0 : 1.0, finite ? 1.0 : 0.0, skipped ? 1.0 : 0.0, clipped ? 1.0 : 0.0};
  }
};

// A stretch of one segment (entries that share lr and decay) of a member's flat buffers.
struct AdamWChunk {
  int64_t begin, size;
  int64_t segment;
};

// The weight times `into_gradient` is added to its clipped gradient.
struct SegmentStep {
  AdamWStep adam;  // its grad_scale is not read
  float into_gradient;
};

// AdamWSums, and the weights' squares after the step.
struct UpdateSums {
  double update_squares, weight_squares, below_eps, new_squares;
};

// One AdamW step over flat [K, count] buffers, with decoupled decay. steps [K, segments];
// grad_scale [K] as JudgeStep leaves it. The weights' bf16 shadow is written where there is one.
// parts [K, chunks]. A block is a chunk of one member.
struct AdamWFlat {
  const AdamWChunk* chunk_list;
  const SegmentStep* steps;
  const float* grad_scale;
  int64_t count, chunks, segments;
  const float* grad;
  float* weight;
  float* m;
  float* v;
  Bf16* shadow;       // or null
  UpdateSums* parts;  // or null

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / chunks;
    const float scale = grad_scale[member];
    if (scale < 0) {
      if (parts != nullptr && context.thread() == 0) parts[block] = {0, 0, 0, 0};
      return;
    }
    const AdamWChunk& own = chunk_list[block % chunks];
    const SegmentStep& step = steps[member * segments + own.segment];
    const AdamWStep& adam = step.adam;
    UpdateSums sums = {0, 0, 0, 0};
    for (int64_t j = context.thread(); j < own.size; j += context.threads()) {
      const int64_t i = member * count + own.begin + j;
      const float w = weight[i], g = grad[i] * scale + step.into_gradient * w;
      const float first = adam.beta1 * m[i] + (1 - adam.beta1) * g;
      const float second = adam.beta2 * v[i] + (1 - adam.beta2) * g * g;
      const float root = sqrtf(second);
      const float change =
          -adam.step_size * first / (root * adam.inv_sqrt_bias2 + adam.eps) - adam.decay * w;
      const float now = w + change;
      m[i] = first;
      v[i] = second;
      weight[i] = now;
      if (shadow != nullptr) Store(shadow[i], now);
      if (parts == nullptr) continue;
      sums.update_squares += static_cast<double>(change) * change;
      sums.weight_squares += static_cast<double>(w) * w;
      sums.below_eps += root < adam.eps ? 1 : 0;
      sums.new_squares += static_cast<double>(now) * now;
    }
    if (parts == nullptr) return;
    sums = {context.Sum(sums.update_squares), context.Sum(sums.weight_squares),
            context.Sum(sums.below_eps), context.Sum(sums.new_squares)};
    if (context.thread() == 0) parts[block] = sums;
  }
};

// parts [K, chunks] -> sums [K, segments]; segment s has the chunks begins[s] .. begins[s + 1] - 1.
// A block is a segment of one member.
struct SumSegments {
  const UpdateSums* parts;
  const int64_t* begins;
  int64_t chunks, segments;
  UpdateSums* sums;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / segments, segment = block % segments;
    UpdateSums own = {0, 0, 0, 0};
    for (int64_t c = begins[segment] + context.thread(); c < begins[segment + 1];
         c += context.threads()) {
      const UpdateSums& part = parts[member * chunks + c];
      own.update_squares += part.update_squares;
      own.weight_squares += part.weight_squares;
      own.below_eps += part.below_eps;
      own.new_squares += part.new_squares;
    }
    own = {context.Sum(own.update_squares), context.Sum(own.weight_squares),
           context.Sum(own.below_eps), context.Sum(own.new_squares)};
    if (context.thread() == 0) sums[block] = own;
  }
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_UPDATES_H_
