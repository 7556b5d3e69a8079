// The GPU's kernels that are not matrix products. Each is a struct: its fields are the arguments
// (pointers into device memory), operator() is what one block does, and `block` says which. No
// atomics: every sum has a fixed order, so that a step repeats to the bit.
//
// Shapes: K members in one launch, M rows (tokens) of each, d and F widths, V vocabulary,
// S = K * B sequences. T is the stored type, float or Bf16; arithmetic is fp32, long sums float64.
#ifndef LOGLOG_TRAINER_GPU_KERNELS_H_
#define LOGLOG_TRAINER_GPU_KERNELS_H_

#include <math.h>
#include <string.h>

#include <cfloat>
#include <cstdint>

#include "trainer/kernels.h"

#ifdef __CUDACC__
#define LOGLOG_BOTH __host__ __device__
#else
#define LOGLOG_BOTH
#endif

namespace loglog {

// The upper half of a float, rounded to the nearest, ties to even. Same bits as at::BFloat16.
struct Bf16 {
  uint16_t bits;
};

LOGLOG_BOTH inline float Load(float x) { return x; }
LOGLOG_BOTH inline float Load(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
LOGLOG_BOTH inline void Store(float& to, float x) { to = x; }
LOGLOG_BOTH inline void Store(Bf16& to, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  // Rounding could carry a NaN's mantissa over into infinity.
  to.bits = x != x ? uint16_t{0x7fc0}
                   : static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

// x [K, M, d] += delta where there is one; y = x * rstd * gain. A block is a row.
template <typename T>
struct AddRmsNorm {
  float* x;
  const T* delta;  // or null
  const float* gain;
  float eps;
  int64_t rows, width;  // M, d
  T* y;
  float* rstd;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    float* row = x + block * width;
    const float* weight = gain + block / rows * width;
    float squares = 0;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      if (delta != nullptr) row[i] += Load(delta[block * width + i]);
      squares += row[i] * row[i];
    }
    const float scale = 1 / sqrtf(context.Sum(squares) / static_cast<float>(width) + eps);
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      Store(y[block * width + i], row[i] * scale * weight[i]);
    }
    if (context.thread() == 0) rstd[block] = scale;
  }
};

// Adds to dx, and writes each chunk's part of the gain's gradient to dgain_parts [K, chunks, d],
// for SumParts. A block is a chunk of `chunk_rows` rows of one member; the last may be shorter.
// The rows come from L2 when their columns are summed.
template <typename T>
struct RmsNormBackward {
  const T* dy;
  const float* x;
  const float* gain;
  const float* rstd;
  int64_t rows, width, chunk_rows, chunks;
  float* dx;
  float* dgain_parts;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / chunks, first = block % chunks * chunk_rows;
    const int64_t last = first + chunk_rows < rows ? first + chunk_rows : rows;
    const float* weight = gain + member * width;
    for (int64_t r = member * rows + first; r < member * rows + last; ++r) {
      const int64_t at = r * width;
      float dot = 0;
      for (int64_t i = context.thread(); i < width; i += context.threads()) {
        dot += Load(dy[at + i]) * weight[i] * x[at + i] * rstd[r];
      }
      const float mean = context.Sum(dot) / static_cast<float>(width);
      for (int64_t i = context.thread(); i < width; i += context.threads()) {
        dx[at + i] += (Load(dy[at + i]) * weight[i] - x[at + i] * rstd[r] * mean) * rstd[r];
      }
    }
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      float sum = 0;
      for (int64_t r = member * rows + first; r < member * rows + last; ++r) {
        sum += Load(dy[r * width + i]) * x[r * width + i] * rstd[r];
      }
      dgain_parts[block * width + i] = sum;
    }
  }
};

// parts [K, chunks, width], summed over the chunks in their order and added to out [K, width].
// A block is a member.
struct SumParts {
  const float* parts;
  int64_t chunks, width;
  float* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      double sum = 0;
      for (int64_t c = 0; c < chunks; ++c) sum += parts[(block * chunks + c) * width + i];
      out[block * width + i] += static_cast<float>(sum);
    }
  }
};

// qkv [S, T, (H + 2 KV) E] -> q [S, H, T, E], k and v [S, KV, T, E], q and k turned by the angles
// of cos and sin [T, E / 2]; an odd last entry stays. With `backward` q, k and v are read, turned
// back and written to qkv. A block is a token.
template <typename T>
struct SplitHeads {
  T* qkv;
  const float* cos;
  const float* sin;
  HeadShape shape;
  bool backward;
  T* q;
  T* k;
  T* v;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t sequence = block / shape.positions, position = block % shape.positions;
    const int64_t all = shape.heads + 2 * shape.kv_heads, half = shape.head_dim / 2;
    const int64_t steps = shape.head_dim - half;  // pairs, and the odd entry
    for (int64_t j = context.thread(); j < all * steps; j += context.threads()) {
      const int64_t head = j / steps, i = j % steps;
      T* row = qkv + (block * all + head) * shape.head_dim;
      const bool is_q = head < shape.heads, is_k = !is_q && head < shape.heads + shape.kv_heads;
      const int64_t own = is_q   ? head
                          : is_k ? head - shape.heads
                                 : head - shape.heads - shape.kv_heads;
      const int64_t count = is_q ? shape.heads : shape.kv_heads;
      T* out = (is_q   ? q
                : is_k ? k
                       : v) +
               ((sequence * count + own) * shape.positions + position) * shape.head_dim;
      T* from = backward ? out : row;
      T* to = backward ? row : out;
      if (i == half) {
        to[2 * half] = from[2 * half];
        continue;
      }
      const float a = Load(from[i]), b = Load(from[half + i]);
      const bool turns = is_q || is_k;
      const float c = turns ? cos[position * half + i] : 1;
      const float s = turns ? (backward ? -1 : 1) * sin[position * half + i] : 0;
      Store(to[i], a * c - b * s);
      Store(to[half + i], b * c + a * s);
    }
  }
};

// heads [S, H, T, E] -> rows [S, T, H E], or back. A block is a token.
template <typename T>
struct HeadsToRows {
  T* heads;
  HeadShape shape;
  bool backward;
  T* rows;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t sequence = block / shape.positions, position = block % shape.positions;
    const int64_t width = shape.heads * shape.head_dim;
    for (int64_t j = context.thread(); j < width; j += context.threads()) {
      const int64_t head = j / shape.head_dim, i = j % shape.head_dim;
      T& there =
          heads[((sequence * shape.heads + head) * shape.positions + position) * shape.head_dim +
                i];
      T& here = rows[block * width + j];
      (backward ? there : here) = backward ? here : there;
    }
  }
};

// gate_up [rows, 2 F] -> out [rows, F] = silu(gate) * up. A block is a row.
template <typename T>
struct SwiGlu {
  const T* gate_up;
  int64_t width;
  T* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const T* gate = gate_up + block * 2 * width;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      const float g = Load(gate[i]);
      Store(out[block * width + i], g / (1 + expf(-g)) * Load(gate[width + i]));
    }
  }
};

template <typename T>
struct SwiGluBackward {
  const T* dout;
  const T* gate_up;
  int64_t width;
  T* dgate_up;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const T* gate = gate_up + block * 2 * width;
    T* to = dgate_up + block * 2 * width;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      const float g = Load(gate[i]), up = Load(gate[width + i]), d = Load(dout[block * width + i]);
      const float sigmoid = 1 / (1 + expf(-g)), silu = g * sigmoid;
      Store(to[i], d * up * (sigmoid + silu * (1 - sigmoid)));
      Store(to[width + i], d * silu);
    }
  }
};

// logits [K, M, V], targets [K, M]: each row's -log p(target) to row_loss [K, M], 0 where the
// target is below 0; with `gradient`, logits become the gradient that Ops::CrossEntropy describes,
// scale and z_loss [K]. Maximum and normalizer come from one reading. A block is a row.
template <typename T>
struct CrossEntropy {
  T* logits;
  const int32_t* targets;
  const float* scale;
  const float* z_loss;
  int64_t rows, vocab;
  bool gradient;
  float* row_loss;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    T* row = logits + block * vocab;
    const int32_t target = targets[block];
    float top = -FLT_MAX, total = 0;
    for (int64_t i = context.thread(); i < vocab; i += context.threads()) {
      const float x = Load(row[i]);
      if (x > top) {
        total = total * expf(top - x) + 1;
        top = x;
      } else {
        total += expf(x - top);
      }
    }
    const float highest = context.Max(top);
    const float normalizer = highest + logf(context.Sum(total * expf(top - highest)));
    if (context.thread() == 0) {
      row_loss[block] = target < 0 ? 0 : normalizer - Load(row[target]);
    }
    if (!gradient) return;
    // The first thread's reading of the target must be over before anyone writes there.
    context.Sum(0.0f);
    const float factor = target < 0 ? 0 : scale[block / rows];
    const float both = 1 + 2 * z_loss[block / rows] * normalizer;
    for (int64_t i = context.thread(); i < vocab; i += context.threads()) {
      const float p = expf(Load(row[i]) - normalizer) * both;
      Store(row[i], target < 0 ? 0 : factor * (p - (i == target ? 1.0f : 0.0f)));
    }
  }
};

// values [K, count]: each member's sum, added to out [K] float64. A block is a member.
template <typename Value>
struct SumRows {
  const Value* values;
  int64_t count;
  double* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    double sum = 0;
    for (int64_t i = context.thread(); i < count; i += context.threads()) {
      sum += static_cast<double>(values[block * count + i]);
    }
    sum = context.Sum(sum);
    if (context.thread() == 0) out[block] += sum;
  }
};

// dout [K, M, d] summed into dtable [K, V, d] by token. sorted [K, M] are the member's tokens in
// ascending order, order [K, M] their rows from a stable sort; the block at the first of a run of
// equal tokens adds the run in its order, the others do nothing. A block is an entry of `sorted`.
template <typename T>
struct EmbedBackward {
  const T* dout;
  const int32_t* sorted;
  const int64_t* order;
  int64_t rows, width, vocab;
  float* dtable;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / rows, end = (member + 1) * rows;
    const int32_t token = sorted[block];
    if (block % rows != 0 && sorted[block - 1] == token) return;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      float sum = 0;
      for (int64_t r = block; r < end && sorted[r] == token; ++r) {
        sum += Load(dout[(member * rows + order[r]) * width + i]);
      }
      dtable[(member * vocab + token) * width + i] += sum;
    }
  }
};

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

// A stretch of one segment (entries that share lr and decay) of a member's flat buffers.
struct AdamWChunk {
  int64_t begin, size;
  int64_t segment;
};

// One AdamW step over flat [K, count] buffers, with decoupled decay. steps [K, segments];
// grad_scale [K] multiplies the step's own. The weights' bf16 shadow is written where there is one.
// parts [K, chunks]: what AdamWSums counts. A block is a chunk of one member.
struct AdamWFlat {
  const AdamWChunk* chunk_list;
  const AdamWStep* steps;
  const float* grad_scale;
  int64_t count, chunks, segments;
  const float* grad;
  float* weight;
  float* m;
  float* v;
  Bf16* shadow;      // or null
  AdamWSums* parts;  // or null

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / chunks;
    const AdamWChunk& own = chunk_list[block % chunks];
    const AdamWStep& step = steps[member * segments + own.segment];
    const float scale = step.grad_scale * grad_scale[member];
    double update_squares = 0, weight_squares = 0, below_eps = 0;
    for (int64_t j = context.thread(); j < own.size; j += context.threads()) {
      const int64_t i = member * count + own.begin + j;
      const float g = grad[i] * scale, w = weight[i];
      const float first = step.beta1 * m[i] + (1 - step.beta1) * g;
      const float second = step.beta2 * v[i] + (1 - step.beta2) * g * g;
      const float root = sqrtf(second);
      const float change =
          -step.step_size * first / (root * step.inv_sqrt_bias2 + step.eps) - step.decay * w;
      m[i] = first;
      v[i] = second;
      weight[i] = w + change;
      if (shadow != nullptr) Store(shadow[i], w + change);
      update_squares += static_cast<double>(change) * change;
      weight_squares += static_cast<double>(w) * w;
      below_eps += root < step.eps ? 1 : 0;
    }
    if (parts == nullptr) return;
    update_squares = context.Sum(update_squares);
    weight_squares = context.Sum(weight_squares);
    below_eps = context.Sum(below_eps);
    if (context.thread() == 0) parts[block] = {update_squares, weight_squares, below_eps};
  }
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_KERNELS_H_
