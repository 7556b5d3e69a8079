// The steps of the model, over tensors. Three versions with one meaning: ComposedOps from ATen
// operators, on any device and in bf16; CpuOps from the loops of kernels.h, fp32 on the CPU; GpuOps
// from the kernels of gpu_kernels.h.
//
// Shapes: K members, M = B * T tokens of B sequences, H query and KV key-value heads,
// G = H / KV, E = head width, F = d_ff, V = vocabulary, d = d_model.
#ifndef LOGLOG_TRAINER_OPS_H_
#define LOGLOG_TRAINER_OPS_H_

#include <ATen/core/Tensor.h>

#include <memory>

#include "trainer/kernels.h"

namespace loglog {

// Cosine and sine of position * theta^(-2 i / E), [T, E / 2] float32.
struct RopeTable {
  at::Tensor cos;
  at::Tensor sin;
};

// What each member's loss is multiplied by, and its coefficient of z-loss; [K] float32, where the
// model is.
struct LossTerms {
  at::Tensor scale;
  at::Tensor z_loss;
};

// What goes through the model at a time, [K, M] int32.
struct TokenBatch {
  at::Tensor ids;
  at::Tensor targets;  // below 0 where nothing is to be predicted
  // Each member's rows by their ids, ties as they come, for a backward pass by kernels of a GPU.
  at::Tensor order;
};

// q, out [n, G * T, E]; k, v [n, T, E], n = K * B * KV. The G query heads that share a key-value
// head are rows of one product, so grouped heads need no copies of k and v.
struct AttentionInputs {
  const at::Tensor& q;
  const at::Tensor& k;
  const at::Tensor& v;
};

// What attention keeps from its forward to its backward pass.
struct AttentionKept {
  at::Tensor q, k, v;            // as in AttentionInputs, rotated; where the library attends by
                                 // token: [K, M, H, E] and [K, M, KV, E]
  at::Tensor p;                  // probabilities, when they are kept
  at::Tensor out;                // [K, M, H E]
  at::Tensor lse, seed, offset;  // the library's own
};

// What attention works in where the library does not do it in one piece.
struct AttentionRoom {
  int64_t block = 1;  // key-value heads that have scores at a time
  bool keeps = true;  // AttentionKept::p of all heads
  at::Tensor heads;   // as AttentionInputs::q, and the gradients of the inputs
  at::Tensor dp, dq, dk, dv;
};

// The right side of a product, copied in the order in which the product reads it: what several
// parts of a batch share. The first of them fills it, where that is of use.
struct Panels {
  at::Tensor floats;  // [K, ...]
  bool filled = false;
};

// Immutable. The results are written into tensors that the caller allocated; "adds to"
// says where the old content counts.
class Ops {
 public:
  virtual ~Ops() = default;

  // out [K, rows, cols] = a b, and with a base, in the type of out, that much more: a [K, rows,
  // inner], b [K, inner, cols]. One of the last two strides of a and of b is 1, the last of out is.
  // `base` may be out, or null; `panels`, of b, may be null. By the library, unless overridden.
  virtual void Product(const at::Tensor* base, const at::Tensor& a, const at::Tensor& b,
                       Panels* panels, at::Tensor& out) const;

  // sum = base + a b, y its RMSNorm and rstd as below. `delta`, in the type of a, is scratch. By
  // the two steps, unless overridden.
  virtual void ProductNorm(const at::Tensor& base, const at::Tensor& a, const at::Tensor& b,
                           Panels* panels, const at::Tensor& gain, double eps, at::Tensor& delta,
                           at::Tensor& sum, at::Tensor& y, at::Tensor& rstd) const;

  // table [K, V, d] -> out [K, M, d] float32.
  virtual void Embed(const at::Tensor& table, const TokenBatch& tokens, at::Tensor& out) const = 0;
  // Adds to dtable.
  virtual void EmbedBackward(const at::Tensor& dout, const TokenBatch& tokens,
                             at::Tensor& dtable) const = 0;

  // x [K, M, d] float32, gain [K, d] -> y [K, M, d], rstd [K, M] float32.
  virtual void RmsNorm(const at::Tensor& x, const at::Tensor& gain, double eps, at::Tensor& y,
                       at::Tensor& rstd) const = 0;
  // Adds to dx and dgain.
  virtual void RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                               const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain) const = 0;

  // As above, with the mean taken off first and bias [K, d] added last.
  virtual void LayerNorm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                         double eps, at::Tensor& y, at::Tensor& rstd) const = 0;
  // Adds to dx, dgain and dbias.
  virtual void LayerNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                                 const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                                 at::Tensor& dbias) const = 0;

  // qkv [K, M, (H + 2 KV) E] -> out, alike, with each query and key head under its own RMSNorm,
  // q_gain and k_gain [K, E]; rstd [K, M, H + KV] float32.
  virtual void HeadNorm(const at::Tensor& qkv, const at::Tensor& q_gain, const at::Tensor& k_gain,
                        double eps, const HeadShape& shape, at::Tensor& out,
                        at::Tensor& rstd) const = 0;
  // dout -> dqkv; adds to dq_gain and dk_gain.
  virtual void HeadNormBackward(const at::Tensor& dout, const at::Tensor& qkv,
                                const at::Tensor& q_gain, const at::Tensor& k_gain,
                                const at::Tensor& rstd, const HeadShape& shape, at::Tensor& dqkv,
                                at::Tensor& dq_gain, at::Tensor& dk_gain) const = 0;

  // Whether causal attention of this shape is one operation of the library, which keeps no
  // scores: then room.heads, dp, dq, dk and dv and kept.p are not used.
  virtual bool AttendsInOnePiece(const HeadShape&, at::ScalarType) const { return false; }
  // qkv [K, M, (H + 2 KV) E] -> kept.out, which may become another tensor; q and k are rotated.
  // By the steps below, unless overridden.
  virtual void Attend(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                      AttentionKept& kept, AttentionRoom& room) const;
  virtual void AttendBackward(const at::Tensor& dout, const RopeTable& rope, const HeadShape& shape,
                              AttentionKept& kept, AttentionRoom& room, at::Tensor& dqkv) const;

  // qkv [K, M, (H + 2 KV) E] -> q [K * B * KV, G * T, E], k and v [K * B * KV, T, E], q and k
  // rotated by their positions. `shape.sequences` is K * B.
  virtual void SplitHeads(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                          at::Tensor& q, at::Tensor& k, at::Tensor& v) const = 0;
  virtual void SplitHeadsBackward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv,
                                  const RopeTable& rope, const HeadShape& shape,
                                  at::Tensor& dqkv) const = 0;

  // heads [K * B * KV, G * T, E] <-> rows [K, M, H * E].
  virtual void HeadsToRows(const at::Tensor& heads, const HeadShape& shape,
                           at::Tensor& rows) const = 0;
  virtual void RowsToHeads(const at::Tensor& rows, const HeadShape& shape,
                           at::Tensor& heads) const = 0;

  // p [n, G * T, T] keeps all probabilities, or [block, G * T, T] is scratch for a block of
  // heads. By the library's batched products and the two softmaxes below, unless overridden.
  virtual void Attention(const AttentionInputs& in, int64_t block, at::Tensor& p,
                         at::Tensor& out) const;
  // With `keeps` p holds what Attention left for all n; else it is computed again.
  // dp [block, G * T, T] is scratch.
  virtual void AttentionBackward(const AttentionInputs& in, int64_t block, bool keeps,
                                 const at::Tensor& dout, at::Tensor& p, at::Tensor& dp,
                                 at::Tensor& dq, at::Tensor& dk, at::Tensor& dv) const;
  // scores [n, G * T, T] in place: causal softmax of scale * scores.
  virtual void CausalSoftmax(at::Tensor& scores, double scale) const = 0;
  // dp in place: gradient of the scores.
  virtual void CausalSoftmaxBackward(const at::Tensor& p, at::Tensor& dp, double scale) const = 0;

  // gate_up [K, M, 2 F] -> out [K, M, F] = silu(gate) * up.
  virtual void SwiGlu(const at::Tensor& gate_up, at::Tensor& out) const = 0;
  virtual void SwiGluBackward(const at::Tensor& dout, const at::Tensor& gate_up,
                              at::Tensor& dgate_up) const = 0;

  // out = x * sigmoid(gate), all of one shape.
  virtual void SigmoidGate(const at::Tensor& x, const at::Tensor& gate, at::Tensor& out) const = 0;
  virtual void SigmoidGateBackward(const at::Tensor& dout, const at::Tensor& x,
                                   const at::Tensor& gate, at::Tensor& dx,
                                   at::Tensor& dgate) const = 0;

  // logits [K, M, V], targets [K, M], below 0 where nothing is to be predicted: adds each
  // member's sum of -log p(target) to loss_sum [K] float64; with `gradient`, logits become the
  // gradient of the member's scale * (that sum + z_loss * sum of squared log normalizers).
  virtual void CrossEntropy(at::Tensor& logits, const at::Tensor& targets, const LossTerms& terms,
                            bool gradient, at::Tensor& loss_sum) const = 0;
};

std::unique_ptr<Ops> MakeComposedOps();
// With more than one thread products are the library's, which share them out.
std::unique_ptr<Ops> MakeCpuOps(int threads);
// On a CPU the kernels' bodies run on so many threads of the host, for tests.
std::unique_ptr<Ops> MakeGpuOps(at::Device device, int host_threads);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_OPS_H_
