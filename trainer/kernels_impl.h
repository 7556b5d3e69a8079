// The bodies of kernels.h. Included once by each kernels_<instruction set>.cc, which
// defines LOGLOG_KERNELS, the name of its table.
//
// Everything here has internal linkage and no standard-library function template is
// instantiated: a shared inline function compiled for AVX-512 could otherwise be the
// copy that the linker keeps for the whole program.
#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <math.h>

#include <utility>

#include "trainer/kernels.h"

namespace loglog {
namespace {

constexpr int kLanes = 16;

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Parts(int64_t count, int64_t most) { return (count + most - 1) / most; }

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

#include "trainer/vectors_impl.h"

// Asks for `rows` x `cols` floats, rows `row` floats apart, before they are read (or written).
template <int kWrites>
inline void Prefetch(const float* x, int64_t row, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; ++i, x += row) {
    for (int64_t j = 0; j < cols; j += 16) __builtin_prefetch(x + j, kWrites);
    __builtin_prefetch(x + cols - 1, kWrites);
  }
}

void RmsNorm(const float* x, const float* gain, float eps, int64_t rows, int64_t width, float* y,
             float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const Vector squares = VectorSum(width, [=](int64_t i, auto part) {
      const Vector value = part.Load(x + i);
      return value * value;
    });
    const float scale = 1.0f / sqrtf(squares[0] / static_cast<float>(width) + eps);
    rstd[row] = scale;
    ForVectors(width, [=](int64_t i, auto part) {
      part.Store(y + i, part.Load(x + i) * scale * part.Load(gain + i));
    });
  }
}

void RmsNormBackward(const float* dy, const float* x, const float* gain, const float* rstd,
                     int64_t rows, int64_t width, float* dx, float* dgain) {
  for (int64_t row = 0; row < rows; ++row, dy += width, x += width, dx += width) {
    const float scale = rstd[row];
    const Vector dot = VectorSum(width, [=](int64_t i, auto part) {
      return part.Load(dy + i) * part.Load(gain + i) * part.Load(x + i);
    });
    const float pull = dot[0] * scale * scale * scale / static_cast<float>(width);
    ForVectors(width, [=](int64_t i, auto part) {
      const Vector grad = part.Load(dy + i) * scale, value = part.Load(x + i);
      part.Store(dgain + i, part.Load(dgain + i) + grad * value);
      part.Store(dx + i, part.Load(dx + i) + (grad * part.Load(gain + i) - value * pull));
    });
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

template <int kCount>
struct Floats {
  typedef float Type __attribute__((vector_size(4 * kCount)));
};

// Runs body(i, vector of that many entries) over blocks of 16 entries, then of 8 and of 1: no loop
// of a few entries has a long remainder or asks first whether arrays overlap.
template <typename Body>
[[gnu::always_inline]] inline void InBlocks(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, Floats<16>());
  if (i + 8 <= count) {
    body(i, Floats<8>());
    i += 8;
  }
  for (; i < count; ++i) body(i, Floats<1>());
}

// Rotates by the angle whose cosine and sine are given; `turn` -1 rotates back. The last of an
// odd number of entries has no partner and stays.
inline void Rotate(const float* from, const float* cos, const float* sin, float turn, int64_t width,
                   float* to) {
  const int64_t half = width / 2;
  if (width % 2 != 0) to[width - 1] = from[width - 1];
  InBlocks(half, [=](int64_t i, auto floats) {
    typename decltype(floats)::Type a, b, c, s;
    __builtin_memcpy(&a, from + i, sizeof a);
    __builtin_memcpy(&b, from + i + half, sizeof b);
    __builtin_memcpy(&c, cos + i, sizeof c);
    __builtin_memcpy(&s, sin + i, sizeof s);
    const auto low = a * c - turn * b * s, high = b * c + turn * a * s;
    __builtin_memcpy(to + i, &low, sizeof low);
    __builtin_memcpy(to + i + half, &high, sizeof high);
  });
}

inline void Copy(const float* from, int64_t count, float* to) {
  InBlocks(count, [=](int64_t i, auto floats) {
    __builtin_memcpy(to + i, from + i, sizeof(typename decltype(floats)::Type));
  });
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

// Zeros beyond the keys, but for the vector that they end in, where there is room for a whole one.
inline void ZeroBeyond(float* x, int64_t keys, int64_t positions) {
  const int64_t whole = Parts(keys, kVector) * kVector, begin = whole <= positions ? whole : keys;
  ForVectors(positions - begin, [=](int64_t i, auto part) { part.Store(x + begin + i, Vector{}); });
}

// Rows of scores of queries that follow each other, up to kTileRows: row i sees first + i keys. A
// row's sum ends in a chain of a few dozen cycles; what is done to all rows before the next thing
// is done to any lets the chains run beside each other.
struct QueryRows {
  int64_t rows;
  int64_t first;      // keys of row 0
  int64_t distance;   // from a row to the next, in floats
  int64_t positions;  // that a row has
};

// scores in place: softmax(scale * score) over a row's keys, 0 beyond.
inline void SoftmaxRows(const QueryRows& shape, float* scores, float scale) {
  const auto keys = [&](int64_t i) { return shape.first + i; };
  const auto row = [&](int64_t i) { return scores + i * shape.distance; };
  Vector tops[kTileRows], totals[kTileRows];
  for (int64_t i = 0; i < shape.rows; ++i) tops[i] = LanesMax(row(i), keys(i), shape.positions);
  for (int64_t i = 0; i < shape.rows; ++i) {
    float* x = row(i);
    const Vector top = Fold(tops[i], Larger);
    totals[i] = LanesSum(keys(i), shape.positions, [=](int64_t j, auto part) {
      const Vector power = part.Keep(Exp((part.Load(x + j) - top) * scale), 0);
      part.Store(x + j, power);
      return power;
    });
  }
  for (int64_t i = 0; i < shape.rows; ++i) {
    float* x = row(i);
    const float inverse = 1.0f / FoldSum(totals[i])[0];
    ForVectors(keys(i), shape.positions,
               [=](int64_t j, auto part) { part.Store(x + j, part.Load(x + j) * inverse); });
    ZeroBeyond(x, keys(i), shape.positions);
  }
}

// dp in place: the gradient of the unscaled scores from that of p, which is 0 beyond the keys.
inline void SoftmaxRowsBackward(const QueryRows& shape, const float* p, float* dp, float scale) {
  Vector dots[kTileRows];
  for (int64_t i = 0; i < shape.rows; ++i) {
    const float *x = p + i * shape.distance, *dx = dp + i * shape.distance;
    dots[i] = LanesSum(shape.first + i, shape.positions,
                       [=](int64_t j, auto part) { return part.Load(x + j) * part.Load(dx + j); });
  }
  for (int64_t i = 0; i < shape.rows; ++i) {
    const float* x = p + i * shape.distance;
    float* dx = dp + i * shape.distance;
    const Vector dot = FoldSum(dots[i]);
    ForVectors(shape.first + i, shape.positions, [=](int64_t j, auto part) {
      const Vector grad = part.Load(x + j) * (part.Load(dx + j) - dot) * scale;
      part.Store(dx + j, part.Keep(grad, 0));
    });
    ZeroBeyond(dx, shape.first + i, shape.positions);
  }
}

// body(the first row, the rows from it on) for all rows of `blocks` squares of scores.
template <typename Body>
inline void ForQueryRows(int64_t blocks, int64_t positions, Body body) {
  for (int64_t row = 0; row < blocks * positions;) {
    const int64_t query = row % positions, rows = Min(kTileRows, positions - query);
    body(row, QueryRows{rows, query + 1, positions, positions});
    row += rows;
  }
}

void CausalSoftmax(float* scores, int64_t blocks, int64_t positions, float scale) {
  ForQueryRows(blocks, positions, [=](int64_t row, const QueryRows& shape) {
    SoftmaxRows(shape, scores + row * positions, scale);
  });
}

void CausalSoftmaxBackward(const float* p, float* dp, int64_t blocks, int64_t positions,
                           float scale) {
  ForQueryRows(blocks, positions, [=](int64_t row, const QueryRows& shape) {
    SoftmaxRowsBackward(shape, p + row * positions, dp + row * positions, scale);
  });
}

#include "trainer/attention_impl.h"

void SwiGlu(const float* gate_up, int64_t rows, int64_t width, float* out) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, out += width) {
    ForVectors(width, [=](int64_t i, auto part) {
      const Vector gate = part.Load(gate_up + i), up = part.Load(gate_up + width + i);
      part.Store(out + i, gate * Reciprocal(1.0f + Exp(-gate)) * up);
    });
  }
}

void SwiGluBackward(const float* dout, const float* gate_up, int64_t rows, int64_t width,
                    float* dgate_up) {
  for (int64_t row = 0; row < rows;
       ++row, dout += width, gate_up += 2 * width, dgate_up += 2 * width) {
    ForVectors(width, [=](int64_t i, auto part) {
      const Vector gate = part.Load(gate_up + i), up = part.Load(gate_up + width + i);
      const Vector grad = part.Load(dout + i);
      const Vector sigmoid = Reciprocal(1.0f + Exp(-gate)), silu = gate * sigmoid;
      part.Store(dgate_up + i, grad * up * (sigmoid + silu * (1.0f - sigmoid)));
      part.Store(dgate_up + width + i, grad * silu);
    });
  }
}

void SigmoidGate(const float* x, const float* gate, int64_t count, float* out) {
  ForVectors(count, [=](int64_t i, auto part) {
    part.Store(out + i, part.Load(x + i) * Reciprocal(1.0f + Exp(-part.Load(gate + i))));
  });
}

void SigmoidGateBackward(const float* dout, const float* x, const float* gate, int64_t count,
                         float* dx, float* dgate) {
  ForVectors(count, [=](int64_t i, auto part) {
    const Vector grad = part.Load(dout + i);
    const Vector sigmoid = Reciprocal(1.0f + Exp(-part.Load(gate + i)));
    part.Store(dgate + i, grad * part.Load(x + i) * sigmoid * (1.0f - sigmoid));
    part.Store(dx + i, grad * sigmoid);
  });
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
    float* x = logits;
    const Vector top = Fold(LanesMax(x, vocab, vocab), Larger);
    const float at_target = x[targets[row]];
    const float sum = VectorSum(vocab, [=](int64_t i, auto part) {
      const Vector power = Exp(part.Load(x + i) - top);
      if (gradient) part.Store(x + i, power);
      return power;
    })[0];
    if (gradient) {
      float factor = scale / sum;
      if (z_loss != 0) factor *= 1.0f + 2.0f * z_loss * (logf(sum) + top[0]);
      ForVectors(vocab,
                 [=](int64_t i, auto part) { part.Store(x + i, part.Load(x + i) * factor); });
      x[targets[row]] -= scale;
    }
    total += log(static_cast<double>(sum)) +
             (static_cast<double>(top[0]) - static_cast<double>(at_target));
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
void AdamWBlock(const AdamWStep& step, int64_t count, const float* grad, float* weight, float* m,
                float* v, AdamWSums* sums) {
  Vector updates = {}, before = {}, after = {}, below = {};
  ForVectors(count, [&](int64_t i, auto part) {
    const Vector g = part.Load(grad + i) * step.grad_scale, old = part.Load(weight + i);
    const Vector mean = step.beta1 * part.Load(m + i) + (1.0f - step.beta1) * g;
    const Vector squares = step.beta2 * part.Load(v + i) + (1.0f - step.beta2) * g * g;
    const Vector root = SquareRoot(squares);
    const Vector change = -step.decay * old -
                          step.step_size * mean * Reciprocal(root * step.inv_sqrt_bias2 + step.eps);
    part.Store(m + i, mean);
    part.Store(v + i, squares);
    const Vector now = old + change;
    part.Store(weight + i, now);
    if constexpr (kWithSums) {
      updates += change * change;
      before += old * old;
      after += now * now;
      below += part.Keep(root < step.eps ? All(1.0f) : Vector{}, 0);
    }
  });
  if constexpr (kWithSums) {
    const auto add = [](Vector x, Vector y) { return x + y; };
    sums->update_squares += static_cast<double>(Fold(updates, add)[0]);
    sums->weight_squares += static_cast<double>(Fold(before, add)[0]);
    sums->new_squares += static_cast<double>(Fold(after, add)[0]);
    sums->below_eps += static_cast<double>(Fold(below, add)[0]);
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
    .pack_panels = PackPanels,
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
