// The GPU's kernels that are not matrix products. Each is a struct: its fields are the arguments
// (pointers into device memory), operator() is what one block does, and `block` says which. No
// atomics: every sum has a fixed order, so that a step repeats to the bit. Norms are in
// gpu_norms.h, what follows the backward pass in gpu_updates.h.
//
// Shapes: K members in one launch, M rows (tokens) of each, d and F widths, V vocabulary,
// S = K * B sequences. T is the stored type, float or Bf16; arithmetic is fp32, long sums float64.
// `stride` floats lie between what two members have in a flat buffer.
#ifndef LOGLOG_TRAINER_GPU_KERNELS_H_
#define LOGLOG_TRAINER_GPU_KERNELS_H_

#include <math.h>

#include <cfloat>
#include <cstdint>

#include "trainer/gpu_values.h"
#include "trainer/kernels.h"

namespace loglog {

// table [K, V, d], tokens [K, M] -> out [K, M, d] float32. A block is a row.
template <typename T>
struct Embed {
  const T* table;
  const int32_t* tokens;
  int64_t rows, width, stride;
  float* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const T* from = table + block / rows * stride + tokens[block] * width;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      out[block * width + i] = Load(from[i]);
    }
  }
};

// dout [K, M, d] summed into dtable [K, V, d] by token. order [K, M] are the member's rows by their
// tokens, ties as they come; the block at the first of a run of equal tokens adds the run in its
// order, the others do nothing. A block is an entry of `order`.
struct EmbedBackward {
  const float* dout;
  const int32_t* tokens;
  const int32_t* order;
  int64_t rows, width, stride;
  float* dtable;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / rows, first = member * rows, end = first + rows;
    const int32_t token = tokens[first + order[block]];
    if (block != first && tokens[first + order[block - 1]] == token) return;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      float sum = 0;
      for (int64_t e = block; e < end && tokens[first + order[e]] == token; ++e) {
        sum += dout[(first + order[e]) * width + i];
      }
      dtable[member * stride + token * width + i] += sum;
    }
  }
};

// qkv [S, T, (H + 2 KV) E] -> q [S, H, T, E], k and v [S, KV, T, E], or with `by_token` [S, T, H,
// E] and [S, T, KV, E]; q and k turned by the angles of cos and sin [T, E / 2]; an odd last entry
// stays. With `backward` q, k and v are read, turned back and written to qkv. A block is a token.
template <typename T>
struct SplitHeads {
  T* qkv;
  const float* cos;
  const float* sin;
  HeadShape shape;
  bool by_token, backward;
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
      const int64_t place =
          by_token ? block * count + own : (sequence * count + own) * shape.positions + position;
      T* out = (is_q ? q : is_k ? k : v) + place * shape.head_dim;
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

// out = x * sigmoid(gate), all of one shape. A block is a row.
template <typename T>
struct SigmoidGate {
  const T* x;
  const T* gate;
  int64_t width;
  T* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    for (int64_t j = context.thread(); j < width; j += context.threads()) {
      const int64_t i = block * width + j;
      Store(out[i], Load(x[i]) / (1 + expf(-Load(gate[i]))));
    }
  }
};

template <typename T>
struct SigmoidGateBackward {
  const T* dout;
  const T* x;
  const T* gate;
  int64_t width;
  T* dx;
  T* dgate;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    for (int64_t j = context.thread(); j < width; j += context.threads()) {
      const int64_t i = block * width + j;
      const float sigmoid = 1 / (1 + expf(-Load(gate[i]))), d = Load(dout[i]);
      Store(dgate[i], d * Load(x[i]) * sigmoid * (1 - sigmoid));
      Store(dx[i], d * sigmoid);
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

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_KERNELS_H_
