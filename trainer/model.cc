#include "trainer/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

#include <algorithm>

#include "trainer/attention.h"

namespace loglog {
namespace {

// out = a b, for each member. One member takes the plain product, whose entry is cheaper.
void Product(at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  if (a.size(0) == 1) {
    at::Tensor out0 = out.select(0, 0);
    at::mm_out(out0, a.select(0, 0), b.select(0, 0));
  } else {
    at::bmm_out(out, a, b);
  }
}

// out = x w^T.
void Linear(at::Tensor& out, const at::Tensor& x, const at::Tensor& w) {
  Product(out, x, w.transpose(1, 2));
}

// sum = residual + x w^T, with the residual stream in float32 whatever x and w are.
void LinearOntoResidual(at::Tensor& sum, const at::Tensor& residual, const at::Tensor& x,
                        const at::Tensor& w) {
  const at::Tensor w_t = w.transpose(1, 2);
  if (x.scalar_type() != at::kFloat) {
    at::add_out(sum, residual, at::bmm(x, w_t));
  } else if (x.size(0) == 1) {
    at::Tensor sum0 = sum.select(0, 0);
    at::addmm_out(sum0, residual.select(0, 0), x.select(0, 0), w_t.select(0, 0));
  } else {
    at::baddbmm_out(sum, residual, x, w_t);
  }
}

// dw += dy^T x.
void AddWeightGradient(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x) {
  const at::Tensor dy_t = dy.transpose(1, 2);
  if (x.scalar_type() != at::kFloat) {
    dw.add_(at::bmm(dy_t, x));
  } else if (x.size(0) == 1) {
    dw.select(0, 0).addmm_(dy_t.select(0, 0), x.select(0, 0));
  } else {
    dw.baddbmm_(dy_t, x);
  }
}

}  // namespace

ModelTensors MakeViews(const ModelConfig& model, const Layout& layout, const at::Tensor& matrices,
                       const at::Tensor& gains) {
  const int64_t members = matrices.size(0);
  const auto matrix = [&](TensorKind first, int64_t layer, int64_t rows) {
    const TensorSpec& spec = layout.Find(first, layer);
    return matrices.narrow(1, spec.offset, rows * spec.cols).view({members, rows, spec.cols});
  };
  const auto gain = [&](TensorKind kind, int64_t layer) {
    const TensorSpec& spec = layout.Find(kind, layer);
    return gains.narrow(1, spec.offset, spec.cols);
  };
  ModelTensors views;
  views.embed = matrix(TensorKind::kEmbed, 0, model.vocab);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    views.layers.push_back({
        .attn_norm = gain(TensorKind::kAttnNorm, layer),
        .qkv = matrix(TensorKind::kQ, layer, model.d_model + 2 * model.KvDim()),
        .o = matrix(TensorKind::kO, layer, model.d_model),
        .mlp_norm = gain(TensorKind::kMlpNorm, layer),
        .gate_up = matrix(TensorKind::kGate, layer, 2 * model.d_ff),
        .down = matrix(TensorKind::kDown, layer, model.d_model),
    });
  }
  views.final_norm = gain(TensorKind::kFinalNorm, 0);
  views.lm_head = model.tied_head ? views.embed : matrix(TensorKind::kLmHead, 0, model.vocab);
  return views;
}

RopeTable MakeRope(const ModelConfig& model, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kDouble);
  const int64_t half = model.HeadDim() / 2;
  const at::Tensor exponents = at::arange(half, options) * (-1.0 / static_cast<double>(half));
  const at::Tensor frequencies = at::pow(model.rope_theta, exponents);
  const at::Tensor angles = at::outer(at::arange(model.seq_len, options), frequencies);
  return {.cos = angles.cos().to(device, at::kFloat), .sin = angles.sin().to(device, at::kFloat)};
}

Workspace::Workspace(const ModelConfig& model, int64_t members, int64_t sequences,
                     at::TensorOptions options, const WorkspaceLimits& limits) {
  heads = {.sequences = members * sequences,
           .positions = model.seq_len,
           .heads = model.heads,
           .kv_heads = model.kv_heads,
           .head_dim = model.HeadDim()};
  const int64_t tokens = sequences * model.seq_len;
  const int64_t d = model.d_model, kv = model.KvDim(), ff = model.d_ff;
  const int64_t pairs = heads.sequences * model.kv_heads;
  const int64_t group_rows = model.heads / model.kv_heads * model.seq_len;
  const auto rows = [&](int64_t width) { return at::empty({members, tokens, width}, options); };
  const auto rows_fp32 = [&](int64_t width) {
    return at::empty({members, tokens, width}, options.dtype(at::kFloat));
  };
  const auto per_token = [&] { return at::empty({members, tokens}, options.dtype(at::kFloat)); };
  const auto by_head = [&](int64_t row_count, int64_t width) {
    return at::empty({pairs, row_count, width}, options);
  };

  const int64_t pair_bytes = group_rows * model.seq_len * 4;
  attention_block = std::clamp<int64_t>(limits.attention_block_bytes / pair_bytes, 1, pairs);
  keeps_probabilities = pairs * pair_bytes * model.layers <= limits.kept_probability_bytes;
  const auto scores = [&](int64_t count) {
    return at::empty({count, group_rows, model.seq_len}, options);
  };
  if (!keeps_probabilities) p_block = scores(attention_block);
  dp_block = scores(attention_block);

  for (int64_t layer = 0; layer < model.layers; ++layer) {
    layers.push_back({
        .x = rows_fp32(d),
        .attn_rstd = per_token(),
        .attn_in = rows(d),
        .q = by_head(group_rows, model.HeadDim()),
        .k = by_head(model.seq_len, model.HeadDim()),
        .v = by_head(model.seq_len, model.HeadDim()),
        .p = keeps_probabilities ? scores(pairs) : p_block,
        .attn_out = rows(d),
        .x_mid = rows_fp32(d),
        .mlp_rstd = per_token(),
        .mlp_in = rows(d),
        .gate_up = rows(2 * ff),
        .act = rows(ff),
    });
  }
  x_final = rows_fp32(d);
  final_rstd = per_token();
  final_in = rows(d);
  logits = rows(model.vocab);
  qkv = rows(d + 2 * kv);
  attn_heads = by_head(group_rows, model.HeadDim());
  dq = by_head(group_rows, model.HeadDim());
  dk = by_head(model.seq_len, model.HeadDim());
  dv = by_head(model.seq_len, model.HeadDim());
  dx = rows_fp32(d);
  dh = rows(d);
  dattn = rows(d);
  dact = rows(ff);
  dgate_up = rows(2 * ff);
}

namespace {

void Forward(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
             const ModelTensors& weights, const at::Tensor& tokens, Workspace& work) {
  ops.Embed(weights.embed, tokens, work.layers[0].x);
  for (int64_t i = 0; i < model.layers; ++i) {
    const LayerTensors& w = weights.layers[i];
    LayerActivations& a = work.layers[i];
    ops.RmsNorm(a.x, w.attn_norm, model.norm_eps, a.attn_in, a.attn_rstd);
    Linear(work.qkv, a.attn_in, w.qkv);
    ops.SplitHeads(work.qkv, rope, work.heads, a.q, a.k, a.v);
    AttentionForward(ops, {a.q, a.k, a.v}, work.attention_block, a.p, work.attn_heads);
    ops.HeadsToRows(work.attn_heads, work.heads, a.attn_out);
    LinearOntoResidual(a.x_mid, a.x, a.attn_out, w.o);
    ops.RmsNorm(a.x_mid, w.mlp_norm, model.norm_eps, a.mlp_in, a.mlp_rstd);
    Linear(a.gate_up, a.mlp_in, w.gate_up);
    ops.SwiGlu(a.gate_up, a.act);
    at::Tensor& next = i + 1 < model.layers ? work.layers[i + 1].x : work.x_final;
    LinearOntoResidual(next, a.x_mid, a.act, w.down);
  }
  ops.RmsNorm(work.x_final, weights.final_norm, model.norm_eps, work.final_in, work.final_rstd);
  Linear(work.logits, work.final_in, weights.lm_head);
}

// Starts from the gradient of the logits, in work.logits.
void Backward(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
              const ModelTensors& weights, ModelTensors& grads, const at::Tensor& tokens,
              Workspace& work) {
  // The residual stream's gradient is float32; products take it in the weights' type.
  const auto dx = [&] { return work.dx.to(work.dh.scalar_type()); };
  AddWeightGradient(grads.lm_head, work.logits, work.final_in);
  Product(work.dh, work.logits, weights.lm_head);
  work.dx.zero_();
  ops.RmsNormBackward(work.dh, work.x_final, weights.final_norm, work.final_rstd, work.dx,
                      grads.final_norm);
  for (int64_t i = model.layers - 1; i >= 0; --i) {
    const LayerTensors& w = weights.layers[i];
    LayerTensors& g = grads.layers[i];
    LayerActivations& a = work.layers[i];

    AddWeightGradient(g.down, dx(), a.act);
    Product(work.dact, dx(), w.down);
    ops.SwiGluBackward(work.dact, a.gate_up, work.dgate_up);
    AddWeightGradient(g.gate_up, work.dgate_up, a.mlp_in);
    Product(work.dh, work.dgate_up, w.gate_up);
    ops.RmsNormBackward(work.dh, a.x_mid, w.mlp_norm, a.mlp_rstd, work.dx, g.mlp_norm);

    AddWeightGradient(g.o, dx(), a.attn_out);
    Product(work.dattn, dx(), w.o);
    ops.RowsToHeads(work.dattn, work.heads, work.attn_heads);
    AttentionBackward(ops, {a.q, a.k, a.v}, work.attention_block, work.keeps_probabilities,
                      work.attn_heads, a.p, work.dp_block, work.dq, work.dk, work.dv);
    ops.SplitHeadsBackward(work.dq, work.dk, work.dv, rope, work.heads, work.qkv);
    AddWeightGradient(g.qkv, work.qkv, a.attn_in);
    Product(work.dh, work.qkv, w.qkv);
    ops.RmsNormBackward(work.dh, a.x, w.attn_norm, a.attn_rstd, work.dx, g.attn_norm);
  }
  ops.EmbedBackward(work.dx, tokens, grads.embed);
}

}  // namespace

void RunModel(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
              const ModelTensors& weights, ModelTensors* grads, const at::Tensor& tokens,
              const at::Tensor& targets, double loss_scale, Workspace& work, at::Tensor& loss_sum) {
  Forward(model, ops, rope, weights, tokens, work);
  ops.CrossEntropy(work.logits, targets, loss_scale, grads != nullptr, loss_sum);
  if (grads != nullptr) Backward(model, ops, rope, weights, *grads, tokens, work);
}

}  // namespace loglog
