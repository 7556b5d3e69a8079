#include "trainer/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/threshold_backward.h>

#include <utility>

namespace loglog {
namespace {

void AddBias(at::Tensor& out, const at::Tensor& bias) {
  if (bias.defined()) out.add_(bias.unsqueeze(1));
}

// A point of the stream in the type that products take; often the same tensor.
void Cast(const at::Tensor& x, at::Tensor& out) {
  if (!out.is_same(x)) out.copy_(x);
}

class Pass {
 public:
  Pass(const ModelConfig& model, const Ops& ops, const RopeTable& rope, const ModelTensors& weights,
       const TokenBatch& tokens, Workspace& work, WeightReads reads)
      : model_(model),
        ops_(ops),
        rope_(rope),
        weights_(weights),
        tokens_(tokens),
        work_(work),
        keeps_panels_(reads != WeightReads::kOnce),
        post_(model.norm_place == NormPlace::kPost),
        splits_norm_(model.attn_norm_feeds == AttnNormFeeds::kQ) {
    if (reads == WeightReads::kSameAgain) return;
    for (Panels& panels : work_.panels) panels.filled = false;
  }

  void Forward();
  // Starts from the gradient of the logits, in work.logits.
  void Backward(ModelTensors& grads, const LayerDone& layer_done);

 private:
  void Norm(const NormTensors& w, NormSite& site) const;
  // Adds to dx.
  void NormBackward(const NormTensors& w, NormTensors& g, const NormSite& site,
                    const at::Tensor& dy, at::Tensor& dx) const;
  void Embed();
  void EmbedBackward(ModelTensors& grads);
  void QkvForward(const LayerTensors& w, LayerActivations& a);
  // From work.dqkv to work.dh, the gradient of attn_in.
  void QkvBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a);
  // For the product with weights that the pass comes to now.
  Panels* NextPanels();
  // out = x weight^T, onto a base unless it is null; dx = dy weight likewise.
  void Linear(at::Tensor& out, const at::Tensor* base, const at::Tensor& x,
              const at::Tensor& weight);
  void LinearBackward(at::Tensor& dx, const at::Tensor* base, const at::Tensor& dy,
                      const at::Tensor& weight);
  // out = x w^T + bias.
  void Linear(at::Tensor& out, const at::Tensor& x, const LinearTensors& w);
  // sum = residual + x w^T + bias, with the residual stream in float32 whatever x and w are.
  void LinearOntoResidual(at::Tensor& sum, const at::Tensor& residual, const at::Tensor& x,
                          const LinearTensors& w);
  // dw += dy^T x.
  void AddWeightGradient(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x) const;
  void AddLinearGradient(const LinearTensors& g, const at::Tensor& dy, const at::Tensor& x) const;
  // From attn_in to o_in.
  void Attention(const LayerTensors& w, LayerActivations& a);
  void AttentionBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a);
  // From mlp_in to act.
  void Mlp(const LayerTensors& w, LayerActivations& a);
  void MlpBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a);
  // A norm and where it stands.
  struct Place {
    const NormTensors& w;
    NormSite& site;
  };
  // What follows on the stream after layer i, where norms come first.
  Place NormAfter(size_t i) {
    if (i + 1 == work_.layers.size()) return {weights_.final_norm, work_.final_norm};
    return {weights_.layers[i + 1].attn_norm, work_.layers[i + 1].attn_norm};
  }
  // next.site.in = x + the branch that ends in the linear map w of `in`; and that norm.
  void AddBranch(const at::Tensor& x, const at::Tensor& in, const LinearTensors& w,
                 const NormTensors& norm, NormSite& site, const Place& next);
  // From work.dx, the gradient of the sum, to that of `in`.
  void BranchBackward(const LinearTensors& w, LinearTensors& g, const NormTensors& norm,
                      NormTensors& dnorm, const NormSite& site, const at::Tensor& in,
                      at::Tensor& din);
  // Takes work.dx from the output of a norm on the stream to its input.
  void StreamNormBackward(const NormTensors& w, NormTensors& g, const NormSite& site);
  // The stream's gradient is float32; products take it in the weights' type.
  const at::Tensor& Typed(const at::Tensor& x) const {
    if (!work_.typed.defined()) return x;
    return work_.typed.copy_(x);
  }

  const ModelConfig& model_;
  const Ops& ops_;
  const RopeTable& rope_;
  const ModelTensors& weights_;
  const TokenBatch& tokens_;
  Workspace& work_;
  bool keeps_panels_;
  size_t next_panels_ = 0;
  bool post_;
  bool splits_norm_;
};

void Pass::Norm(const NormTensors& w, NormSite& site) const {
  switch (model_.norm) {
    case NormKind::kRms:
      return ops_.RmsNorm(site.in, w.gain, model_.norm_eps, site.out, site.rstd);
    case NormKind::kLayer:
      return ops_.LayerNorm(site.in, w.gain, w.bias, model_.norm_eps, site.out, site.rstd);
    case NormKind::kNone:
      return Cast(site.in, site.out);
  }
}

void Pass::NormBackward(const NormTensors& w, NormTensors& g, const NormSite& site,
                        const at::Tensor& dy, at::Tensor& dx) const {
  switch (model_.norm) {
    case NormKind::kRms:
      return ops_.RmsNormBackward(dy, site.in, w.gain, site.rstd, dx, g.gain);
    case NormKind::kLayer:
      return ops_.LayerNormBackward(dy, site.in, w.gain, site.rstd, dx, g.gain, g.bias);
    case NormKind::kNone:
      dx.add_(dy);
  }
}

Panels* Pass::NextPanels() {
  if (!keeps_panels_) return nullptr;
  if (next_panels_ == work_.panels.size()) work_.panels.emplace_back();
  return &work_.panels[next_panels_++];
}

void Pass::Linear(at::Tensor& out, const at::Tensor* base, const at::Tensor& x,
                  const at::Tensor& weight) {
  ops_.Product(base, x, weight.transpose(1, 2), NextPanels(), out);
}

void Pass::LinearBackward(at::Tensor& dx, const at::Tensor* base, const at::Tensor& dy,
                          const at::Tensor& weight) {
  ops_.Product(base, dy, weight, NextPanels(), dx);
}

void Pass::Linear(at::Tensor& out, const at::Tensor& x, const LinearTensors& w) {
  Linear(out, nullptr, x, w.weight);
  AddBias(out, w.bias);
}

void Pass::LinearOntoResidual(at::Tensor& sum, const at::Tensor& residual, const at::Tensor& x,
                              const LinearTensors& w) {
  Linear(sum, &residual, x, w.weight);
  AddBias(sum, w.bias);
}

void Pass::AddWeightGradient(const at::Tensor& dw, const at::Tensor& dy,
                             const at::Tensor& x) const {
  at::Tensor sum = dw;
  ops_.Product(&dw, dy.transpose(1, 2), x, nullptr, sum);
}

void Pass::AddLinearGradient(const LinearTensors& g, const at::Tensor& dy,
                             const at::Tensor& x) const {
  AddWeightGradient(g.weight, dy, x);
  if (g.bias.defined()) g.bias.add_(dy.sum({1}, /*keepdim=*/false, at::kFloat));
}

void Pass::Embed() {
  at::Tensor& x = work_.layers[0].x;
  if (model_.embed_norm) {
    ops_.Embed(weights_.embed, tokens_, work_.embed_norm.in);
    Norm(weights_.embed_norm, work_.embed_norm);
  } else {
    ops_.Embed(weights_.embed, tokens_, x);
  }
  if (!weights_.positions.defined()) return;
  x.view({x.size(0), -1, model_.seq_len, model_.d_model}).add_(weights_.positions.unsqueeze(1));
}

void Pass::EmbedBackward(ModelTensors& grads) {
  if (grads.positions.defined()) {
    const at::Tensor& dx = work_.dx;
    grads.positions.add_(dx.view({dx.size(0), -1, model_.seq_len, model_.d_model}).sum(1));
  }
  if (model_.embed_norm) {
    StreamNormBackward(weights_.embed_norm, grads.embed_norm, work_.embed_norm);
  }
  ops_.EmbedBackward(work_.dx, tokens_, grads.embed);
}

void Pass::QkvForward(const LayerTensors& w, LayerActivations& a) {
  at::Tensor& out = model_.qk_norm ? a.qkv_raw : work_.qkv;
  if (!splits_norm_) return Linear(out, a.attn_in, w.qkv);
  const int64_t q = model_.QDim(), rest = 2 * model_.KvDim();
  at::Tensor q_out = out.narrow(2, 0, q), kv_out = out.narrow(2, q, rest);
  Linear(q_out, nullptr, a.attn_in, w.qkv.weight.narrow(1, 0, q));
  Linear(kv_out, nullptr, a.kv_in, w.qkv.weight.narrow(1, q, rest));
  AddBias(out, w.qkv.bias);
}

void Pass::QkvBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a) {
  if (!splits_norm_) {
    AddLinearGradient(g.qkv, work_.dqkv, a.attn_in);
    return LinearBackward(work_.dh, nullptr, work_.dqkv, w.qkv.weight);
  }
  const int64_t q = model_.QDim(), rest = 2 * model_.KvDim();
  const at::Tensor dq = work_.dqkv.narrow(2, 0, q), dkv = work_.dqkv.narrow(2, q, rest);
  AddWeightGradient(g.qkv.weight.narrow(1, 0, q), dq, a.attn_in);
  AddWeightGradient(g.qkv.weight.narrow(1, q, rest), dkv, a.kv_in);
  if (g.qkv.bias.defined()) g.qkv.bias.add_(work_.dqkv.sum({1}, /*keepdim=*/false, at::kFloat));
  LinearBackward(work_.dh, nullptr, dq, w.qkv.weight.narrow(1, 0, q));
  LinearBackward(work_.dx, &work_.dx, dkv, w.qkv.weight.narrow(1, q, rest));
}

void Pass::Attention(const LayerTensors& w, LayerActivations& a) {
  QkvForward(w, a);
  if (model_.qk_norm) {
    ops_.HeadNorm(a.qkv_raw, w.q_norm, w.k_norm, model_.norm_eps, work_.heads, work_.qkv,
                  a.head_rstd);
  }
  ops_.Attend(work_.qkv, rope_, work_.heads, a.attn, work_.attn);
  if (!model_.gated_attention) {
    a.o_in = a.attn.out;
    return;
  }
  Linear(a.attn_gate, a.attn_in, w.attn_gate);
  ops_.SigmoidGate(a.attn.out, a.attn_gate, a.o_in);
}

void Pass::AttentionBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a) {
  if (model_.gated_attention) {
    ops_.SigmoidGateBackward(work_.do_in, a.attn.out, a.attn_gate, work_.dattn, work_.dgate);
  }
  ops_.AttendBackward(work_.dattn, rope_, work_.heads, a.attn, work_.attn, work_.qkv);
  if (model_.qk_norm) {
    ops_.HeadNormBackward(work_.qkv, a.qkv_raw, w.q_norm, w.k_norm, a.head_rstd, work_.heads,
                          work_.dqkv, g.q_norm, g.k_norm);
  }
  QkvBackward(w, g, a);
  if (!model_.gated_attention) return;
  AddLinearGradient(g.attn_gate, work_.dgate, a.attn_in);
  LinearBackward(work_.dh, &work_.dh, work_.dgate, w.attn_gate.weight);
}

void Pass::Mlp(const LayerTensors& w, LayerActivations& a) {
  Linear(a.up, a.mlp_in, w.up);
  switch (model_.mlp) {
    case MlpKind::kSwiGlu:
      return ops_.SwiGlu(a.up, a.act);
    case MlpKind::kGelu:
      at::gelu_out(a.act, a.up);
      return;
    case MlpKind::kRelu:
      at::relu_out(a.act, a.up);
      return;
    case MlpKind::kNone:
      return;
  }
}

void Pass::MlpBackward(const LayerTensors& w, LayerTensors& g, LayerActivations& a) {
  switch (model_.mlp) {
    case MlpKind::kSwiGlu:
      ops_.SwiGluBackward(work_.dact, a.up, work_.dup);
      break;
    case MlpKind::kGelu:
      at::gelu_backward_out(work_.dup, work_.dact, a.up);
      break;
    case MlpKind::kRelu:
      at::threshold_backward_out(work_.dup, work_.dact, a.up, 0);
      break;
    case MlpKind::kNone:
      break;
  }
  AddLinearGradient(g.up, work_.dup, a.mlp_in);
  LinearBackward(work_.dh, nullptr, work_.dup, w.up.weight);
}

void Pass::AddBranch(const at::Tensor& x, const at::Tensor& in, const LinearTensors& w,
                     const NormTensors& norm, NormSite& site, const Place& next) {
  at::Tensor& sum = next.site.in;
  if (model_.sandwich_norm) {
    site.in.zero_();
    LinearOntoResidual(site.in, site.in, in, w);
    Norm(norm, site);
    at::add_out(sum, x, site.out);
  } else if (model_.norm == NormKind::kRms && !w.bias.defined()) {
    return ops_.ProductNorm(x, in, w.weight.transpose(1, 2), NextPanels(), next.w.gain,
                            model_.norm_eps, work_.dh, sum, next.site.out, next.site.rstd);
  } else {
    LinearOntoResidual(sum, x, in, w);
  }
  Norm(next.w, next.site);
}

void Pass::BranchBackward(const LinearTensors& w, LinearTensors& g, const NormTensors& norm,
                          NormTensors& dnorm, const NormSite& site, const at::Tensor& in,
                          at::Tensor& din) {
  if (model_.sandwich_norm) {
    work_.dbranch.zero_();
    NormBackward(norm, dnorm, site, work_.dx, work_.dbranch);
  }
  const at::Tensor& dy = Typed(model_.sandwich_norm ? work_.dbranch : work_.dx);
  AddLinearGradient(g, dy, in);
  LinearBackward(din, nullptr, dy, w.weight);
}

void Pass::StreamNormBackward(const NormTensors& w, NormTensors& g, const NormSite& site) {
  work_.dbranch.zero_();
  NormBackward(w, g, site, work_.dx, work_.dbranch);
  std::swap(work_.dx, work_.dbranch);
}

void Pass::Forward() {
  Embed();
  if (!post_) Norm(weights_.layers[0].attn_norm, work_.layers[0].attn_norm);
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerTensors& w = weights_.layers[i];
    LayerActivations& a = work_.layers[i];
    const bool has_mlp = model_.mlp != MlpKind::kNone;
    if (post_) Cast(a.x, a.attn_in);
    if (splits_norm_) Cast(a.x, a.kv_in);
    Attention(w, a);
    AddBranch(a.x, a.o_in, w.o, w.attn_post_norm, a.attn_post_norm,
              post_     ? Place{w.attn_norm, a.attn_norm}
              : has_mlp ? Place{w.mlp_norm, a.mlp_norm}
                        : NormAfter(i));
    if (!has_mlp) continue;
    if (post_) Cast(a.x_mid, a.mlp_in);
    Mlp(w, a);
    AddBranch(a.x_mid, a.act, w.down, w.mlp_post_norm, a.mlp_post_norm,
              post_ ? Place{w.mlp_norm, a.mlp_norm} : NormAfter(i));
  }
  if (post_) Cast(work_.x_final, work_.final_in);
  Linear(work_.logits, work_.final_in, weights_.lm_head);
}

void Pass::Backward(ModelTensors& grads, const LayerDone& layer_done) {
  AddLinearGradient(grads.lm_head, work_.logits, work_.final_in);
  LinearBackward(work_.dh, nullptr, work_.logits, weights_.lm_head.weight);
  // Through the norm that a branch begins with, onto the stream's gradient.
  const auto leave_branch = [&](const NormTensors& w, NormTensors& g, const NormSite& site) {
    if (post_) {
      work_.dx.add_(work_.dh);
    } else {
      NormBackward(w, g, site, work_.dh, work_.dx);
    }
  };
  work_.dx.zero_();
  leave_branch(weights_.final_norm, grads.final_norm, work_.final_norm);
  for (size_t i = weights_.layers.size(); i-- > 0;) {
    const LayerTensors& w = weights_.layers[i];
    LayerTensors& g = grads.layers[i];
    LayerActivations& a = work_.layers[i];
    if (model_.mlp != MlpKind::kNone) {
      if (post_) StreamNormBackward(w.mlp_norm, g.mlp_norm, a.mlp_norm);
      BranchBackward(w.down, g.down, w.mlp_post_norm, g.mlp_post_norm, a.mlp_post_norm, a.act,
                     work_.dact);
      MlpBackward(w, g, a);
      leave_branch(w.mlp_norm, g.mlp_norm, a.mlp_norm);
    }
    if (post_) StreamNormBackward(w.attn_norm, g.attn_norm, a.attn_norm);
    BranchBackward(w.o, g.o, w.attn_post_norm, g.attn_post_norm, a.attn_post_norm, a.o_in,
                   work_.do_in);
    AttentionBackward(w, g, a);
    leave_branch(w.attn_norm, g.attn_norm, a.attn_norm);
    if (layer_done) layer_done(static_cast<int64_t>(i));
  }
  EmbedBackward(grads);
}

}  // namespace

void RunModel(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
              const ModelTensors& weights, ModelTensors* grads, const TokenBatch& tokens,
              const LossTerms& terms, Workspace& work, at::Tensor& loss_sum, WeightReads reads,
              const LayerDone& layer_done) {
  Pass pass(model, ops, rope, weights, tokens, work, reads);
  pass.Forward();
  ops.CrossEntropy(work.logits, tokens.targets, terms, grads != nullptr, loss_sum);
  if (grads != nullptr) pass.Backward(*grads, layer_done);
}

}  // namespace loglog
