// The loops of the CPU path that are not matrix products: plain float arrays, compiled
// once for each instruction set and chosen at start. No LibTorch.
//
// Shapes: rows are tokens; B sequences, T positions, H query heads, KV key-value heads,
// G = H / KV, E = width of a head, F = d_ff, V = vocabulary. All arrays are contiguous.
// Sums run in a fixed order, so a result depends on the instruction set only.
#ifndef LOGLOG_TRAINER_KERNELS_H_
#define LOGLOG_TRAINER_KERNELS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog {

struct HeadShape {
  int64_t sequences = 0;  // B
  int64_t positions = 0;  // T
  int64_t heads = 0;      // H
  int64_t kv_heads = 0;   // KV
  int64_t head_dim = 0;   // E
};

struct MatMulShape {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t inner = 0;
};

// Entry (i, j) at data + i * row + j * col. Fast where one of the two is 1.
struct MatrixView {
  const float* data = nullptr;
  int64_t row = 0;
  int64_t col = 0;
};

inline constexpr int64_t kMatMulScratch = 640 * 1024;

// Room for a copy of b [inner, cols], whose columns are filled up to whole tiles.
constexpr int64_t PanelFloats(int64_t inner, int64_t cols) {
  return inner * ((cols + 31) / 32 * 32);
}

// Of one key-value head and the G query heads that share it.
struct AttentionShape {
  int64_t group = 1;      // G
  int64_t positions = 0;  // T
  int64_t head_dim = 0;   // E
};

// Room for copies of four matrices of a head, [T, E], whose sides are filled up to whole tiles.
constexpr int64_t AttentionScratch(const AttentionShape& shape) {
  return 4 * (shape.positions + 32) * (shape.head_dim + 32);
}

struct AdamWStep {
  float grad_scale = 1;  // clipping
  float beta1 = 0;
  float beta2 = 0;
  float eps = 0;
  float step_size = 0;       // lr / (1 - beta1^t)
  float inv_sqrt_bias2 = 0;  // 1 / sqrt(1 - beta2^t)
  float decay = 0;           // the weight is first multiplied by 1 - decay
};

struct AdamWSums {
  double update_squares = 0;
  double weight_squares = 0;  // before the step
  double new_squares = 0;     // after it
  double below_eps = 0;       // entries with sqrt(v) < eps, after the step
};

struct Kernels {
  // y = x * rstd * gain with rstd = 1 / sqrt(mean(x^2) + eps) of each row.
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t rows, int64_t width,
                   float* y, float* rstd);
  // Adds the gradients to dx and dgain.
  void (*rms_norm_backward)(const float* dy, const float* x, const float* gain, const float* rstd,
                            int64_t rows, int64_t width, float* dx, float* dgain);
  // y = (x - mean) * rstd * gain + bias with rstd = 1 / sqrt(variance + eps) of each row.
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float eps, int64_t rows,
                     int64_t width, float* y, float* rstd);
  // Adds the gradients to dx, dgain and dbias.
  void (*layer_norm_backward)(const float* dy, const float* x, const float* gain, const float* rstd,
                              int64_t rows, int64_t width, float* dx, float* dgain, float* dbias);

  // qkv [B, T, (H + 2 KV) E] -> q [B, H, T, E], k and v [B, KV, T, E]; q and k rotated by
  // rotate-half with cos and sin [T, E / 2].
  void (*split_heads)(const float* qkv, const float* cos, const float* sin, const HeadShape& shape,
                      float* q, float* k, float* v);
  void (*split_heads_backward)(const float* dq, const float* dk, const float* dv, const float* cos,
                               const float* sin, const HeadShape& shape, float* dqkv);
  // [B, H, T, E] <-> [B, T, H E].
  void (*heads_to_rows)(const float* heads, const HeadShape& shape, float* rows);
  void (*rows_to_heads)(const float* rows, const HeadShape& shape, float* heads);

  // scores [blocks, T, T], in place: softmax(scale * score) over keys 0 .. t, 0 above.
  void (*causal_softmax)(float* scores, int64_t blocks, int64_t positions, float scale);
  // dp [blocks, T, T], in place: the gradient of the unscaled scores from that of p.
  void (*causal_softmax_backward)(const float* p, float* dp, int64_t blocks, int64_t positions,
                                  float scale);

  // out [rows, cols] = base + a [rows, inner] b [inner, cols]; without a base, a b. `base` may be
  // out. Rows of base and of out are base_row and out_row floats apart. An entry's sum runs over
  // the inner dimension in order, whatever else is computed beside it. `scratch` holds
  // kMatMulScratch floats. With `panels`, which are b as pack_panels left it, b is not read.
  void (*matmul)(const MatMulShape& shape, const MatrixView& a, const MatrixView& b,
                 const float* panels, const float* base, int64_t base_row, float* out,
                 int64_t out_row, float* scratch);
  // Copies b [inner, cols] in the order in which matmul reads it to PanelFloats(inner, cols)
  // floats.
  void (*pack_panels)(const MatrixView& b, int64_t inner, int64_t cols, float* panels);

  // q [G, T, E], k and v [T, E] -> p [G, T, T] = softmax(q k^T / sqrt(E)) over keys up to the
  // query's own, anything beyond, and out [G, T, E] = p v, which may be null. `scratch` holds
  // AttentionScratch(shape) floats, here and below.
  void (*causal_attention)(const AttentionShape& shape, const float* q, const float* k,
                           const float* v, float* p, float* out, float* scratch);
  // ds [G, T, T] becomes the gradient of q k^T, where p is one; writes dq, dk and dv.
  void (*causal_attention_backward)(const AttentionShape& shape, const float* q, const float* k,
                                    const float* v, const float* p, const float* dout, float* ds,
                                    float* dq, float* dk, float* dv, float* scratch);

  // gate_up [rows, 2 F] -> out [rows, F] = silu(gate) * up.
  void (*swiglu)(const float* gate_up, int64_t rows, int64_t width, float* out);
  void (*swiglu_backward)(const float* dout, const float* gate_up, int64_t rows, int64_t width,
                          float* dgate_up);

  // out = x * sigmoid(gate).
  void (*sigmoid_gate)(const float* x, const float* gate, int64_t count, float* out);
  void (*sigmoid_gate_backward)(const float* dout, const float* x, const float* gate, int64_t count,
                                float* dx, float* dgate);

  // The sum over rows of -log softmax(logits)[target]; rows with a target below 0 count for
  // nothing. With `gradient`, logits become the gradient of scale * (that + z_loss * lse^2),
  // lse = log sum exp(logits): scale * ((1 + 2 z_loss lse) softmax - onehot).
  double (*cross_entropy)(float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                          float scale, float z_loss, bool gradient);

  double (*sum_squares)(const float* x, int64_t count);
  // One AdamW step with decoupled decay; `sums`, when given, is added to.
  void (*adamw)(const AdamWStep& step, int64_t count, const float* grad, float* weight, float* m,
                float* v, AdamWSums* sums);
};

// The best set that this processor runs.
const Kernels& CpuKernels();

struct NamedKernels {
  std::string name;
  const Kernels* kernels = nullptr;
};
// Every set that this processor runs, the plainest first.
std::vector<NamedKernels> RunnableKernels();

}  // namespace loglog

#endif  // LOGLOG_TRAINER_KERNELS_H_
