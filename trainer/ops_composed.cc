// ComposedOps: ATen operators that exist on every device. Arithmetic inside an operation is
// fp32; bf16 is only how its tensors are stored.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/count_nonzero.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

#include <limits>

#include "trainer/ops.h"

namespace loglog {
namespace {

at::Tensor Fp32(const at::Tensor& tensor) { return tensor.to(at::kFloat); }

// x [B, heads, T, E], turned by the angles of the table; `turn` -1 turns back.
at::Tensor Rotated(const at::Tensor& x, const RopeTable& rope, double turn) {
  const int64_t half = x.size(3) / 2;
  const at::Tensor a = Fp32(x.narrow(3, 0, half)), b = Fp32(x.narrow(3, half, half));
  const at::Tensor rest = Fp32(x.narrow(3, 2 * half, x.size(3) - 2 * half));
  const at::Tensor sin = rope.sin * turn;
  return at::cat({a * rope.cos - b * sin, b * rope.cos + a * sin, rest}, 3);
}

at::Tensor Centered(const at::Tensor& x) { return x - x.mean(-1, /*keepdim=*/true); }

// The gradient of x from that of y = x * rstd * gain, rstd = 1 / sqrt(mean(x^2) + eps), with
// `scaled` = dy * gain and `unit` = x * rstd.
at::Tensor NormGradient(const at::Tensor& scaled, const at::Tensor& unit, const at::Tensor& rstd) {
  return (scaled - unit * (scaled * unit).mean(-1, /*keepdim=*/true)) * rstd;
}

// One number for each member, over [K, 1, 1].
at::Tensor PerMember(const at::Tensor& values) { return values.view({-1, 1, 1}); }

// [.., T, T], true above the diagonal: the keys that a position may not see.
at::Tensor FutureMask(const at::Tensor& scores) {
  const int64_t positions = scores.size(2);
  return at::ones({positions, positions}, scores.options().dtype(at::kBool)).triu(1);
}

class ComposedOps final : public Ops {
 public:
  void Embed(const at::Tensor& table, const TokenBatch& tokens, at::Tensor& out) const override {
    for (int64_t member = 0; member < out.size(0); ++member) {
      out.select(0, member).copy_(
          at::embedding(table.select(0, member), tokens.ids.select(0, member)));
    }
  }

  void EmbedBackward(const at::Tensor& dout, const TokenBatch& tokens,
                     at::Tensor& dtable) const override {
    for (int64_t member = 0; member < dout.size(0); ++member) {
      dtable.select(0, member).add_(at::embedding_dense_backward(
          dout.select(0, member), tokens.ids.select(0, member), dtable.size(1), -1, false));
    }
  }

  void RmsNorm(const at::Tensor& x, const at::Tensor& gain, double eps, at::Tensor& y,
               at::Tensor& rstd) const override {
    rstd.copy_((x * x).mean(-1).add_(eps).rsqrt_());
    y.copy_(x * rstd.unsqueeze(-1) * gain.unsqueeze(1));
  }

  void RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                       const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain) const override {
    const at::Tensor scale = rstd.unsqueeze(-1);
    const at::Tensor unit = x * scale;
    const at::Tensor grad = Fp32(dy);
    dgain.add_((grad * unit).sum(1));
    dx.add_(NormGradient(grad * gain.unsqueeze(1), unit, scale));
  }

  void LayerNorm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps,
                 at::Tensor& y, at::Tensor& rstd) const override {
    const at::Tensor centered = Centered(x);
    rstd.copy_(centered.square().mean(-1).add_(eps).rsqrt_());
    y.copy_(centered * rstd.unsqueeze(-1) * gain.unsqueeze(1) + bias.unsqueeze(1));
  }

  void LayerNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                         const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                         at::Tensor& dbias) const override {
    const at::Tensor scale = rstd.unsqueeze(-1);
    const at::Tensor unit = Centered(x) * scale;
    const at::Tensor grad = Fp32(dy);
    dgain.add_((grad * unit).sum(1));
    dbias.add_(grad.sum(1));
    dx.add_(Centered(NormGradient(grad * gain.unsqueeze(1), unit, scale)));
  }

  void HeadNorm(const at::Tensor& qkv, const at::Tensor& q_gain, const at::Tensor& k_gain,
                double eps, const HeadShape& shape, at::Tensor& out,
                at::Tensor& rstd) const override {
    const int64_t normed = shape.heads + shape.kv_heads;
    const at::Tensor x = Fp32(Heads(qkv, shape).narrow(2, 0, normed));
    rstd.copy_(x.square().mean(-1).add_(eps).rsqrt_());
    out.copy_(qkv);
    Heads(out, shape)
        .narrow(2, 0, normed)
        .copy_(x * rstd.unsqueeze(-1) * HeadGains(q_gain, k_gain, shape));
  }

  void HeadNormBackward(const at::Tensor& dout, const at::Tensor& qkv, const at::Tensor& q_gain,
                        const at::Tensor& k_gain, const at::Tensor& rstd, const HeadShape& shape,
                        at::Tensor& dqkv, at::Tensor& dq_gain, at::Tensor& dk_gain) const override {
    const int64_t normed = shape.heads + shape.kv_heads;
    const at::Tensor scale = rstd.unsqueeze(-1);
    const at::Tensor unit = Fp32(Heads(qkv, shape).narrow(2, 0, normed)) * scale;
    const at::Tensor grad = Fp32(Heads(dout, shape).narrow(2, 0, normed));
    const at::Tensor dgains = (grad * unit).sum(1);
    dq_gain.add_(dgains.narrow(1, 0, shape.heads).sum(1));
    dk_gain.add_(dgains.narrow(1, shape.heads, shape.kv_heads).sum(1));
    dqkv.copy_(dout);
    Heads(dqkv, shape)
        .narrow(2, 0, normed)
        .copy_(NormGradient(grad * HeadGains(q_gain, k_gain, shape), unit, scale));
  }

  void SplitHeads(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                  at::Tensor& q, at::Tensor& k, at::Tensor& v) const override {
    const at::Tensor all = qkv.view({shape.sequences, shape.positions,
                                     shape.heads + 2 * shape.kv_heads, shape.head_dim})
                               .transpose(1, 2);
    ByHead(q, shape, shape.heads).copy_(Rotated(all.narrow(1, 0, shape.heads), rope, 1));
    ByHead(k, shape, shape.kv_heads)
        .copy_(Rotated(all.narrow(1, shape.heads, shape.kv_heads), rope, 1));
    ByHead(v, shape, shape.kv_heads)
        .copy_(all.narrow(1, shape.heads + shape.kv_heads, shape.kv_heads));
  }

  void SplitHeadsBackward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv,
                          const RopeTable& rope, const HeadShape& shape,
                          at::Tensor& dqkv) const override {
    const at::Tensor all = dqkv.view({shape.sequences, shape.positions,
                                      shape.heads + 2 * shape.kv_heads, shape.head_dim})
                               .transpose(1, 2);
    all.narrow(1, 0, shape.heads).copy_(Rotated(ByHead(dq, shape, shape.heads), rope, -1));
    all.narrow(1, shape.heads, shape.kv_heads)
        .copy_(Rotated(ByHead(dk, shape, shape.kv_heads), rope, -1));
    all.narrow(1, shape.heads + shape.kv_heads, shape.kv_heads)
        .copy_(ByHead(dv, shape, shape.kv_heads));
  }

  void HeadsToRows(const at::Tensor& heads, const HeadShape& shape,
                   at::Tensor& rows) const override {
    ByRow(rows, shape).copy_(ByHead(heads, shape, shape.heads).transpose(1, 2));
  }

  void RowsToHeads(const at::Tensor& rows, const HeadShape& shape,
                   at::Tensor& heads) const override {
    ByHead(heads, shape, shape.heads).copy_(ByRow(rows, shape).transpose(1, 2));
  }

  void CausalSoftmax(at::Tensor& scores, double scale) const override {
    at::Tensor square = Squares(scores);
    square.copy_(
        at::softmax((Fp32(square) * scale)
                        .masked_fill_(FutureMask(square), -std::numeric_limits<float>::infinity()),
                    -1));
  }

  void CausalSoftmaxBackward(const at::Tensor& p, at::Tensor& dp, double scale) const override {
    const at::Tensor weights = Fp32(p), grad = Fp32(dp);
    dp.copy_(weights * (grad - (weights * grad).sum(-1, /*keepdim=*/true)) * scale);
  }

  void SwiGlu(const at::Tensor& gate_up, at::Tensor& out) const override {
    const int64_t width = out.size(2);
    const at::Tensor gate = Fp32(gate_up.narrow(2, 0, width));
    out.copy_(gate * at::sigmoid(gate) * gate_up.narrow(2, width, width));
  }

  void SwiGluBackward(const at::Tensor& dout, const at::Tensor& gate_up,
                      at::Tensor& dgate_up) const override {
    const int64_t width = dout.size(2);
    const at::Tensor gate = Fp32(gate_up.narrow(2, 0, width));
    const at::Tensor up = Fp32(gate_up.narrow(2, width, width));
    const at::Tensor sigmoid = at::sigmoid(gate);
    const at::Tensor silu = gate * sigmoid;
    dgate_up.narrow(2, 0, width).copy_(dout * up * (sigmoid + silu * (1 - sigmoid)));
    dgate_up.narrow(2, width, width).copy_(dout * silu);
  }

  void SigmoidGate(const at::Tensor& x, const at::Tensor& gate, at::Tensor& out) const override {
    out.copy_(Fp32(x) * at::sigmoid(Fp32(gate)));
  }

  void SigmoidGateBackward(const at::Tensor& dout, const at::Tensor& x, const at::Tensor& gate,
                           at::Tensor& dx, at::Tensor& dgate) const override {
    const at::Tensor grad = Fp32(dout), sigmoid = at::sigmoid(Fp32(gate));
    dgate.copy_(grad * Fp32(x) * sigmoid * (1 - sigmoid));
    dx.copy_(grad * sigmoid);
  }

  void CrossEntropy(at::Tensor& logits, const at::Tensor& targets, const LossTerms& terms,
                    bool gradient, at::Tensor& loss_sum) const override {
    const at::Tensor in = Fp32(logits);
    at::Tensor log_p = at::log_softmax(in, -1);
    const at::Tensor scored = targets.ge(0).unsqueeze(-1);
    const at::Tensor index = targets.to(at::kLong).clamp_min(0).unsqueeze(-1);
    loss_sum.sub_(at::gather(log_p, 2, index).to(at::kDouble).mul_(scored).sum({1, 2}));
    if (!gradient) return;
    at::Tensor grad = log_p.exp_();
    if (terms.z_loss.count_nonzero().item<int64_t>() > 0) {
      const at::Tensor normalizer = at::logsumexp(in, {-1}, /*keepdim=*/true);
      grad.mul_(normalizer * PerMember(terms.z_loss) * 2 + 1);
    }
    grad.scatter_add_(2, index, at::ones({}, grad.options()).neg().expand(index.sizes()));
    logits.copy_(grad.mul_(scored).mul_(PerMember(terms.scale)));
  }

 private:
  static at::Tensor ByHead(const at::Tensor& heads, const HeadShape& shape, int64_t count) {
    return heads.view({shape.sequences, count, shape.positions, shape.head_dim});
  }

  static at::Tensor ByRow(const at::Tensor& rows, const HeadShape& shape) {
    return rows.view({shape.sequences, shape.positions, shape.heads, shape.head_dim});
  }

  // qkv by head: [K, M, H + 2 KV, E].
  static at::Tensor Heads(const at::Tensor& qkv, const HeadShape& shape) {
    return qkv.view({qkv.size(0), qkv.size(1), shape.heads + 2 * shape.kv_heads, shape.head_dim});
  }

  // [K, 1, H + KV, E]
  static at::Tensor HeadGains(const at::Tensor& q_gain, const at::Tensor& k_gain,
                              const HeadShape& shape) {
    const int64_t members = q_gain.size(0), width = shape.head_dim;
    return at::cat(
        {q_gain.reshape({members, 1, 1, width}).expand({members, 1, shape.heads, width}),
         k_gain.reshape({members, 1, 1, width}).expand({members, 1, shape.kv_heads, width})},
        2);
  }

  // [n, G * T, T] -> [n * G, T, T].
  static at::Tensor Squares(const at::Tensor& scores) {
    return scores.view({-1, scores.size(2), scores.size(2)});
  }
};

}  // namespace

std::unique_ptr<Ops> MakeComposedOps() { return std::make_unique<ComposedOps>(); }

}  // namespace loglog
