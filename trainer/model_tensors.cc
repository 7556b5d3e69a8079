// The tensors that a pass works on: views of the flat buffers, and the workspace.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

#include <algorithm>

#include "trainer/model.h"

namespace loglog {
namespace {

class ViewMaker {
 public:
  ViewMaker(const ModelConfig& model, const Layout& layout, const at::Tensor& matrices,
            const at::Tensor& vectors)
      : model_(model), layout_(layout), matrices_(matrices), vectors_(vectors) {}

  // `rows` of them from the first row of `kind`, over the tensors that are joined to it.
  at::Tensor Matrix(TensorKind kind, int64_t layer, int64_t rows, const at::Tensor& buffer) const {
    const TensorSpec& spec = layout_.Find(kind, layer);
    return buffer.narrow(1, spec.offset, rows * spec.cols).view({buffer.size(0), rows, spec.cols});
  }
  at::Tensor Matrix(TensorKind kind, int64_t layer, int64_t rows) const {
    return Matrix(kind, layer, rows, matrices_);
  }
  at::Tensor Vector(TensorKind kind, int64_t layer, int64_t width, bool bias) const {
    return vectors_.narrow(1, layout_.Find(kind, layer, bias).offset, width);
  }
  LinearTensors Linear(TensorKind kind, int64_t layer, int64_t rows, bool biased) const {
    LinearTensors linear{.weight = Matrix(kind, layer, rows)};
    if (biased) linear.bias = Vector(kind, layer, rows, true);
    return linear;
  }
  NormTensors Norm(TensorKind kind, int64_t layer) const {
    NormTensors norm;
    if (model_.norm != NormKind::kNone) norm.gain = Vector(kind, layer, model_.d_model, false);
    if (model_.norm == NormKind::kLayer) norm.bias = Vector(kind, layer, model_.d_model, true);
    return norm;
  }
  LayerTensors Layer(int64_t layer) const;
  ModelTensors Model() const;

 private:
  const ModelConfig& model_;
  const Layout& layout_;
  const at::Tensor& matrices_;
  const at::Tensor& vectors_;
};

LayerTensors ViewMaker::Layer(int64_t layer) const {
  const bool biased = model_.biases;
  const int64_t q = model_.QDim(), d = model_.d_model;
  LayerTensors views{
      .attn_norm = Norm(TensorKind::kAttnNorm, layer),
      .qkv = Linear(TensorKind::kQ, layer, q + 2 * model_.KvDim(), biased),
      .o = Linear(TensorKind::kO, layer, d, biased),
  };
  if (model_.qk_norm) {
    views.q_norm = Vector(TensorKind::kQNorm, layer, model_.HeadDim(), false);
    views.k_norm = Vector(TensorKind::kKNorm, layer, model_.HeadDim(), false);
  }
  if (model_.gated_attention) views.attn_gate = Linear(TensorKind::kAttnGate, layer, q, biased);
  if (model_.sandwich_norm) views.attn_post_norm = Norm(TensorKind::kAttnPostNorm, layer);
  if (model_.mlp == MlpKind::kNone) return views;
  const bool gated = model_.mlp == MlpKind::kSwiGlu;
  views.mlp_norm = Norm(TensorKind::kMlpNorm, layer);
  views.up = Linear(gated ? TensorKind::kGate : TensorKind::kUp, layer,
                    (gated ? 2 : 1) * model_.d_ff, biased);
  views.down = Linear(TensorKind::kDown, layer, d, biased);
  if (model_.sandwich_norm) views.mlp_post_norm = Norm(TensorKind::kMlpPostNorm, layer);
  return views;
}

ModelTensors ViewMaker::Model() const {
  ModelTensors views{.embed = Matrix(TensorKind::kEmbed, 0, model_.vocab)};
  if (model_.positions == Positions::kLearned) {
    views.positions = Matrix(TensorKind::kPositions, 0, model_.seq_len, vectors_);
  }
  if (model_.embed_norm) views.embed_norm = Norm(TensorKind::kEmbedNorm, 0);
  for (int64_t layer = 0; layer < model_.layers; ++layer) views.layers.push_back(Layer(layer));
  if (model_.norm_place == NormPlace::kPre) views.final_norm = Norm(TensorKind::kFinalNorm, 0);
  views.lm_head.weight =
      model_.tied_head ? views.embed : Matrix(TensorKind::kLmHead, 0, model_.vocab);
  if (model_.head_bias) {
    views.lm_head.bias = Vector(TensorKind::kLmHead, 0, model_.vocab, true);
  }
  return views;
}

}  // namespace

ModelTensors MakeViews(const ModelConfig& model, const Layout& layout, const at::Tensor& matrices,
                       const at::Tensor& vectors) {
  return ViewMaker(model, layout, matrices, vectors).Model();
}

RopeTable MakeRope(const ModelConfig& model, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kDouble);
  const int64_t half = model.HeadDim() / 2;
  const at::Tensor exponents = at::arange(half, options) * (-1.0 / static_cast<double>(half));
  const at::Tensor frequencies = at::pow(model.rope_theta, exponents);
  at::Tensor angles = at::outer(at::arange(model.seq_len, options), frequencies);
  if (model.positions != Positions::kRope) angles.zero_();
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
  const int64_t d = model.d_model, q = model.QDim(), kv = model.KvDim(), ff = model.d_ff;
  const int64_t pairs = heads.sequences * model.kv_heads;
  const int64_t group_rows = model.heads / model.kv_heads * model.seq_len;
  const bool fp32 = options.dtype() == at::kFloat;
  const auto rows = [&](int64_t width) { return at::empty({members, tokens, width}, options); };
  const auto rows_fp32 = [&](int64_t width) {
    return at::empty({members, tokens, width}, options.dtype(at::kFloat));
  };
  const auto per_token = [&] { return at::empty({members, tokens}, options.dtype(at::kFloat)); };
  const auto by_head = [&](int64_t row_count, int64_t width) {
    return at::empty({pairs, row_count, width}, options);
  };
  // A row of the stream as products take it.
  const auto cast = [&](const at::Tensor& x) { return fp32 ? x : rows(d); };

  const int64_t pair_bytes = group_rows * model.seq_len * 4;
  heads_by_token = limits.in_one_piece;
  attn.block = std::clamp<int64_t>(limits.attention_block_bytes / pair_bytes, 1, pairs);
  attn.keeps = pairs * pair_bytes * model.layers <= limits.kept_probability_bytes;
  const auto scores = [&](int64_t count) {
    return at::empty({count, group_rows, model.seq_len}, options);
  };
  at::Tensor p_block;
  if (!heads_by_token) {
    if (!attn.keeps) p_block = scores(attn.block);
    attn.dp = scores(attn.block);
    attn.heads = by_head(group_rows, model.HeadDim());
    attn.dq = by_head(group_rows, model.HeadDim());
    attn.dk = by_head(model.seq_len, model.HeadDim());
    attn.dv = by_head(model.seq_len, model.HeadDim());
  }

  const bool post = model.norm_place == NormPlace::kPost, none = model.norm == NormKind::kNone;
  const bool has_mlp = model.mlp != MlpKind::kNone;
  // The norm between a point of the stream and what a branch computes from it.
  const auto into_branch = [&](const at::Tensor& x) {
    return NormSite{x, none ? at::Tensor() : per_token(), none ? cast(x) : rows(d)};
  };
  const auto onto_stream = [&](const at::Tensor& x) {
    return NormSite{rows_fp32(d), per_token(), x};
  };
  const auto of_branch = [&] {
    return model.sandwich_norm ? NormSite{rows_fp32(d), per_token(), rows(d)} : NormSite();
  };

  for (int64_t layer = 0; layer < model.layers; ++layer) {
    LayerActivations a;
    a.x = layer == 0 ? rows_fp32(d) : x_final;
    a.x_mid = rows_fp32(d);
    a.attn_norm = post ? onto_stream(a.x_mid) : into_branch(a.x);
    a.attn_in = post ? cast(a.x) : a.attn_norm.out;
    a.kv_in = model.attn_norm_feeds == AttnNormFeeds::kQ ? cast(a.x) : a.attn_in;
    if (model.qk_norm) {
      a.qkv_raw = rows(q + 2 * kv);
      a.head_rstd =
          at::empty({members, tokens, model.heads + model.kv_heads}, options.dtype(at::kFloat));
    }
    const auto kept = [&](int64_t count) {
      return heads_by_token ? at::empty({members, tokens, count, model.HeadDim()}, options)
                            : by_head(count / model.kv_heads * model.seq_len, model.HeadDim());
    };
    a.attn.q = kept(model.heads);
    a.attn.k = kept(model.kv_heads);
    a.attn.v = kept(model.kv_heads);
    if (!heads_by_token) a.attn.p = attn.keeps ? scores(pairs) : p_block;
    a.attn.out = rows(q);
    a.o_in = a.attn.out;
    if (model.gated_attention) {
      a.attn_gate = rows(q);
      a.o_in = rows(q);
    }
    a.attn_post_norm = of_branch();
    x_final = has_mlp ? rows_fp32(d) : a.x_mid;
    if (has_mlp) {
      a.mlp_norm = post ? onto_stream(x_final) : into_branch(a.x_mid);
      a.mlp_in = post ? cast(a.x_mid) : a.mlp_norm.out;
      a.up = rows(model.mlp == MlpKind::kSwiGlu ? 2 * ff : ff);
      a.act = rows(ff);
      a.mlp_post_norm = of_branch();
    }
    layers.push_back(std::move(a));
  }
  if (model.embed_norm) embed_norm = onto_stream(layers[0].x);
  if (!post) final_norm = into_branch(x_final);
  final_in = post ? cast(x_final) : final_norm.out;
  logits = rows(model.vocab);
  qkv = rows(q + 2 * kv);
  dqkv = model.qk_norm ? rows(q + 2 * kv) : qkv;
  dx = rows_fp32(d);
  if (post || model.sandwich_norm || model.embed_norm) dbranch = rows_fp32(d);
  if (!fp32) typed = rows(d);
  dh = rows(d);
  do_in = rows(q);
  dattn = do_in;
  if (model.gated_attention) {
    dattn = rows(q);
    dgate = rows(q);
  }
  if (has_mlp) {
    dact = rows(ff);
    dup = rows(model.mlp == MlpKind::kSwiGlu ? 2 * ff : ff);
  }
}

}  // namespace loglog
