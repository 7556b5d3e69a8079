// The bodies of kernels.h. Included once by each kernels_<instruction set>.cc, which
// defines LOGLOG_KERNELS, the name of its table.
//
// Everything here has internal linkage and no standard-library function template is
// instantiated: a shared inline function compiled for AVX-512 could otherwise be the
// copy that the linker keeps for the whole program.
#include <math.h>

#include <bit>
#include <utility>

#include "trainer/kernels.h"

namespace loglog {
namespace {

constexpr int kLanes = 16;

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Parts(int64_t count, int64_t most) { return (count + most - 1) / most; }
inline float Larger(float a, float b) { return b > a ? b : a; }

// Adds up the lanes in a fixed order.
inline float Fold(const float (&lanes)[kLanes]) {
  float half[kLanes / 2];
  for (int j = 0; j < kLanes / 2; ++j) half[j] = lanes[j] + lanes[j + kLanes / 2];
  float quarter[kLanes / 4];
  for (int j = 0; j < kLanes / 4; ++j) quarter[j] = half[j] + half[j + kLanes / 4];
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// The sum of term(i) for i < count: 16 running sums, which the compiler keeps in registers.
template <typename Term>
inline float Sum(int64_t count, Term term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lanes[j] += term(i + j);
  }
  float tail = 0;
  for (; i < count; ++i) tail += term(i);
  return Fold(lanes) + tail;
}

inline float Max(const float* x, int64_t count) {
  float best = x[0];
  int64_t i = 0;
  if (count >= kLanes) {
    float lanes[kLanes];
    for (int j = 0; j < kLanes; ++j) lanes[j] = x[j];
    for (i = kLanes; i + kLanes <= count; i += kLanes) {
      for (int j = 0; j < kLanes; ++j) lanes[j] = Larger(lanes[j], x[i + j]);
    }
    for (int j = 0; j < kLanes; ++j) best = Larger(best, lanes[j]);
  }
  for (; i < count; ++i) best = Larger(best, x[i]);
  return best;
}

// e^x within 2 units in the last place for |x| <= 87, saturating outside; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial for e^r.
inline float Exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u;
  return p * std::bit_cast<float>(exponent);
}

void RmsNorm(const float* x, const float* gain, float eps, int64_t rows, int64_t width, float* y,
             float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float squares = Sum(width, [x](int64_t i) { return x[i] * x[i]; });
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
    rstd[row] = scale;
    for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * gain[i];
  }
}

void RmsNormBackward(const float* dy, const float* x, const float* gain, const float* rstd,
                     int64_t rows, int64_t width, float* dx, float* dgain) {
  for (int64_t row = 0; row < rows; ++row, dy += width, x += width, dx += width) {
    const float scale = rstd[row];
    const float dot = Sum(width, [=](int64_t i) { return dy[i] * gain[i] * x[i]; });
    const float pull = dot * scale * scale * scale / static_cast<float>(width);
    for (int64_t i = 0; i < width; ++i) {
      dgain[i] += dy[i] * x[i] * scale;
      dx[i] += dy[i] * gain[i] * scale - x[i] * pull;
    }
  }
}

void LayerNorm(const float* x, const float* gain, const float* bias, float eps, int64_t rows,
               int64_t width, float* y, float* rstd) {
  const float count = static_cast<float>(width);
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float mean = Sum(width, [x](int64_t i) { return x[i]; }) / count;
    const float squares =
        Sum(width, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const float scale = 1.0f / sqrtf(squares / count + eps);
    rstd[row] = scale;
    for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
  }
}

void LayerNormBackward(const float* dy, const float* x, const float* gain, const float* rstd,
                       int64_t rows, int64_t width, float* dx, float* dgain, float* dbias) {
  const float count = static_cast<float>(width);
  for (int64_t row = 0; row < rows; ++row, dy += width, x += width, dx += width) {
    const float scale = rstd[row];
    const float mean = Sum(width, [x](int64_t i) { return x[i]; }) / count;
    const float flat = Sum(width, [=](int64_t i) { return dy[i] * gain[i]; }) / count;
    const float dot = Sum(width, [=](int64_t i) { return dy[i] * gain[i] * (x[i] - mean); });
    const float pull = dot * scale * scale / count;
    for (int64_t i = 0; i < width; ++i) {
      const float centered = x[i] - mean;
      dgain[i] += dy[i] * centered * scale;
      dbias[i] += dy[i];
      dx[i] += scale * (dy[i] * gain[i] - flat - centered * pull);
    }
  }
}

// Rotates by the angle whose cosine and sine are given; `turn` -1 rotates back. The last of an
// odd number of entries has no partner and stays.
inline void Rotate(const float* from, const float* cos, const float* sin, float turn, int64_t width,
                   float* to) {
  const int64_t half = width / 2;
  if (width % 2 != 0) to[width - 1] = from[width - 1];
  for (int64_t i = 0; i < half; ++i) {
    const float a = from[i], b = from[i + half];
    to[i] = a * cos[i] - turn * b * sin[i];
    to[i + half] = b * cos[i] + turn * a * sin[i];
  }
}

inline void Copy(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

#include "trainer/matmul_impl.h"

void SplitHeads(const float* qkv, const float* cos, const float* sin, const HeadShape& shape,
                float* q, float* k, float* v) {
  const int64_t width = shape.head_dim, half = width / 2, length = shape.positions;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      const float* c = cos + t * half;
      const float* s = sin + t * half;
      for (int64_t h = 0; h < shape.heads; ++h, qkv += width) {
        Rotate(qkv, c, s, 1, width, q + ((b * shape.heads + h) * length + t) * width);
      }
      for (int64_t h = 0; h < shape.kv_heads; ++h, qkv += width) {
        Rotate(qkv, c, s, 1, width, k + ((b * shape.kv_heads + h) * length + t) * width);
      }
      for (int64_t h = 0; h < shape.kv_heads; ++h, qkv += width) {
        Copy(qkv, width, v + ((b * shape.kv_heads + h) * length + t) * width);
      }
    }
  }
}

void SplitHeadsBackward(const float* dq, const float* dk, const float* dv, const float* cos,
                        const float* sin, const HeadShape& shape, float* dqkv) {
  const int64_t width = shape.head_dim, half = width / 2, length = shape.positions;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      const float* c = cos + t * half;
      const float* s = sin + t * half;
      for (int64_t h = 0; h < shape.heads; ++h, dqkv += width) {
        Rotate(dq + ((b * shape.heads + h) * length + t) * width, c, s, -1, width, dqkv);
      }
      for (int64_t h = 0; h < shape.kv_heads; ++h, dqkv += width) {
        Rotate(dk + ((b * shape.kv_heads + h) * length + t) * width, c, s, -1, width, dqkv);
      }
      for (int64_t h = 0; h < shape.kv_heads; ++h, dqkv += width) {
        Copy(dv + ((b * shape.kv_heads + h) * length + t) * width, width, dqkv);
      }
    }
  }
}

void HeadsToRows(const float* heads, const HeadShape& shape, float* rows) {
  const int64_t width = shape.head_dim, length = shape.positions;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t h = 0; h < shape.heads; ++h, rows += width) {
        Copy(heads + ((b * shape.heads + h) * length + t) * width, width, rows);
      }
    }
  }
}

void RowsToHeads(const float* rows, const HeadShape& shape, float* heads) {
  const int64_t width = shape.head_dim, length = shape.positions;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t h = 0; h < shape.heads; ++h, rows += width) {
        Copy(rows, width, heads + ((b * shape.heads + h) * length + t) * width);
      }
    }
  }
}

// The keys in whole groups of lanes, where there is room: loops without a remainder.
inline int64_t WholeLanes(int64_t keys, int64_t positions) {
  return Min(Parts(keys, kLanes) * kLanes, positions);
}

// scores [positions] of a query, in place: softmax(scale * score) over the first `keys`, 0 beyond.
inline void SoftmaxRow(float* scores, int64_t keys, int64_t positions, float scale) {
  const int64_t whole = WholeLanes(keys, positions);
  for (int64_t i = keys; i < whole; ++i) scores[i] = -INFINITY;
  const float top = Max(scores, whole);
  for (int64_t i = 0; i < whole; ++i) scores[i] = Exp((scores[i] - top) * scale);
  for (int64_t i = keys; i < positions; ++i) scores[i] = 0;
  const float* p = scores;
  const float inverse = 1.0f / Sum(whole, [p](int64_t i) { return p[i]; });
  for (int64_t i = 0; i < whole; ++i) scores[i] *= inverse;
}

// dp in place: the gradient of the unscaled scores from that of p, which is 0 beyond the keys.
inline void SoftmaxRowBackward(const float* p, float* dp, int64_t keys, int64_t positions,
                               float scale) {
  const int64_t whole = WholeLanes(keys, positions);
  const float dot = Sum(whole, [p, dp](int64_t i) { return p[i] * dp[i]; });
  for (int64_t i = 0; i < whole; ++i) dp[i] = p[i] * (dp[i] - dot) * scale;
  for (int64_t i = keys; i < positions; ++i) dp[i] = 0;
}

void CausalSoftmax(float* scores, int64_t blocks, int64_t positions, float scale) {
  for (int64_t row = 0; row < blocks * positions; ++row, scores += positions) {
    SoftmaxRow(scores, row % positions + 1, positions, scale);
  }
}

void CausalSoftmaxBackward(const float* p, float* dp, int64_t blocks, int64_t positions,
                           float scale) {
  for (int64_t row = 0; row < blocks * positions; ++row, p += positions, dp += positions) {
    SoftmaxRowBackward(p, dp, row % positions + 1, positions, scale);
  }
}

#include "trainer/attention_impl.h"

void SwiGlu(const float* gate_up, int64_t rows, int64_t width, float* out) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, out += width) {
    const float* up = gate_up + width;
    for (int64_t i = 0; i < width; ++i) {
      const float gate = gate_up[i];
      out[i] = gate / (1.0f + Exp(-gate)) * up[i];
    }
  }
}

void SwiGluBackward(const float* dout, const float* gate_up, int64_t rows, int64_t width,
                    float* dgate_up) {
  for (int64_t row = 0; row < rows;
       ++row, dout += width, gate_up += 2 * width, dgate_up += 2 * width) {
    const float* up = gate_up + width;
    float* dup = dgate_up + width;
    for (int64_t i = 0; i < width; ++i) {
      const float gate = gate_up[i];
      const float sigmoid = 1.0f / (1.0f + Exp(-gate));
      const float silu = gate * sigmoid;
      dgate_up[i] = dout[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
      dup[i] = dout[i] * silu;
    }
  }
}

void SigmoidGate(const float* x, const float* gate, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] / (1.0f + Exp(-gate[i]));
}

void SigmoidGateBackward(const float* dout, const float* x, const float* gate, int64_t count,
                         float* dx, float* dgate) {
  for (int64_t i = 0; i < count; ++i) {
    const float grad = dout[i];
    const float sigmoid = 1.0f / (1.0f + Exp(-gate[i]));
    dgate[i] = grad * x[i] * sigmoid * (1.0f - sigmoid);
    dx[i] = grad * sigmoid;
  }
}

double CrossEntropy(float* logits, const int32_t* targets, int64_t rows, int64_t vocab, float scale,
                    float z_loss, bool gradient) {
  double total = 0;
  for (int64_t row = 0; row < rows; ++row, logits += vocab) {
    if (targets[row] < 0) {
      if (gradient) {
        for (int64_t i = 0; i < vocab; ++i) logits[i] = 0;
      }
      continue;
    }
    const float* x = logits;
    const float top = Max(x, vocab);
    const float at_target = x[targets[row]];
    float sum;
    if (gradient) {
      for (int64_t i = 0; i < vocab; ++i) logits[i] = Exp(logits[i] - top);
      sum = Sum(vocab, [x](int64_t i) { return x[i]; });
      float factor = scale / sum;
      if (z_loss != 0) factor *= 1.0f + 2.0f * z_loss * (logf(sum) + top);
      for (int64_t i = 0; i < vocab; ++i) logits[i] *= factor;
      logits[targets[row]] -= scale;
    } else {
      sum = Sum(vocab, [x, top](int64_t i) { return Exp(x[i] - top); });
    }
    total +=
        log(static_cast<double>(sum)) + (static_cast<double>(top) - static_cast<double>(at_target));
  }
  return total;
}

// Short float sums, added up in double.
constexpr int64_t kBlock = 4096;

double SumSquares(const float* x, int64_t count) {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = count - begin < kBlock ? count - begin : kBlock;
    const float* block = x + begin;
    total += static_cast<double>(Sum(size, [block](int64_t i) { return block[i] * block[i]; }));
  }
  return total;
}

template <bool kWithSums>
void AdamWBlock(const AdamWStep& step, int64_t count, const float* __restrict grad,
                float* __restrict weight, float* __restrict m, float* __restrict v,
                AdamWSums* sums) {
  float updates[kBlock], before[kBlock], below[kBlock];
  for (int64_t i = 0; i < count; ++i) {
    const float g = grad[i] * step.grad_scale;
    m[i] = step.beta1 * m[i] + (1.0f - step.beta1) * g;
    v[i] = step.beta2 * v[i] + (1.0f - step.beta2) * g * g;
    const float root = sqrtf(v[i]);
    const float old = weight[i];
    const float change =
        -step.decay * old - step.step_size * m[i] / (root * step.inv_sqrt_bias2 + step.eps);
    weight[i] = old + change;
    if constexpr (kWithSums) {
      updates[i] = change;
      before[i] = old;
      below[i] = root < step.eps ? 1.0f : 0.0f;
    }
  }
  if constexpr (kWithSums) {
    sums->update_squares += SumSquares(updates, count);
    sums->weight_squares += SumSquares(before, count);
    sums->below_eps += static_cast<double>(Sum(count, [&](int64_t i) { return below[i]; }));
  }
}

void AdamW(const AdamWStep& step, int64_t count, const float* grad, float* weight, float* m,
           float* v, AdamWSums* sums) {
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = count - begin < kBlock ? count - begin : kBlock;
    if (sums != nullptr) {
      AdamWBlock<true>(step, size, grad + begin, weight + begin, m + begin, v + begin, sums);
    } else {
      AdamWBlock<false>(step, size, grad + begin, weight + begin, m + begin, v + begin, nullptr);
    }
  }
}

}  // namespace

extern const Kernels LOGLOG_KERNELS;
const Kernels LOGLOG_KERNELS = {
    .rms_norm = RmsNorm,
    .rms_norm_backward = RmsNormBackward,
    .layer_norm = LayerNorm,
    .layer_norm_backward = LayerNormBackward,
    .split_heads = SplitHeads,
    .split_heads_backward = SplitHeadsBackward,
    .heads_to_rows = HeadsToRows,
    .rows_to_heads = RowsToHeads,
    .causal_softmax = CausalSoftmax,
    .causal_softmax_backward = CausalSoftmaxBackward,
    .matmul = MatMul,
    .causal_attention = CausalAttention,
    .causal_attention_backward = CausalAttentionBackward,
    .swiglu = SwiGlu,
    .swiglu_backward = SwiGluBackward,
    .sigmoid_gate = SigmoidGate,
    .sigmoid_gate_backward = SigmoidGateBackward,
    .cross_entropy = CrossEntropy,
    .sum_squares = SumSquares,
    .adamw = AdamW,
};

}  // namespace loglog
