#include "trainer/layout.h"

#include <stdexcept>

namespace loglog {
namespace {

constexpr int64_t kAlignFloats = 16;

TensorGroup GroupOf(TensorKind kind) {
  switch (kind) {
    case TensorKind::kEmbed:
    case TensorKind::kPositions:
      return TensorGroup::kEmbed;
    case TensorKind::kLmHead:
      return TensorGroup::kLmHead;
    case TensorKind::kQ:
    case TensorKind::kK:
      return TensorGroup::kQk;
    case TensorKind::kV:
    case TensorKind::kO:
      return TensorGroup::kVo;
    case TensorKind::kGate:
    case TensorKind::kUp:
    case TensorKind::kDown:
      return TensorGroup::kMlp;
    case TensorKind::kAttnGate:
      return TensorGroup::kAttnGate;
    case TensorKind::kAttnNorm:
    case TensorKind::kMlpNorm:
    case TensorKind::kFinalNorm:
    case TensorKind::kEmbedNorm:
    case TensorKind::kAttnPostNorm:
    case TensorKind::kMlpPostNorm:
    case TensorKind::kQNorm:
    case TensorKind::kKNorm:
      return TensorGroup::kNorm;
  }
  return TensorGroup::kNorm;
}

class Builder {
 public:
  explicit Builder(const ModelConfig& model) : model_(model) {}

  // Of the tensors that follow.
  void Enter(int64_t layer, const std::string& name, const std::string& label) {
    layer_ = layer;
    name_ = name;
    label_ = label;
  }

  void Matrix(TensorKind kind, const std::string& name, const std::string& label, int64_t rows,
              int64_t cols, bool joined = false) {
    if (!joined) Align();
    Add({.kind = kind, .rows = rows, .cols = cols}, name + ".weight", label);
  }
  void Bias(TensorKind kind, const std::string& name, const std::string& label, int64_t width,
            bool joined = false) {
    if (!joined) Align();
    Add({.kind = kind, .bias = true, .rows = 1, .cols = width}, name + ".bias", label + "_bias");
  }
  // A norm over the model's width: RMSNorm has a gain, LayerNorm a bias too.
  void Norm(TensorKind kind, const std::string& name, const std::string& label) {
    if (model_.norm == NormKind::kNone) return;
    Matrix(kind, name, label, 1, model_.d_model);
    if (model_.norm == NormKind::kLayer) Bias(kind, name, label, model_.d_model);
  }

  Layout Take() {
    Align();
    return std::move(layout_);
  }

 private:
  void Add(TensorSpec tensor, const std::string& name, const std::string& label) {
    tensor.layer = layer_;
    tensor.in_layer = !label_.empty();
    tensor.name = name_ + name;
    tensor.label = label_ + label;
    tensor.offset = layout_.floats;
    layout_.floats += tensor.size();
    layout_.tensors.push_back(std::move(tensor));
  }
  void Align() {
    layout_.floats = (layout_.floats + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
  }

  const ModelConfig& model_;
  Layout layout_;
  int64_t layer_ = 0;
  std::string name_, label_;
};

void AddAttention(const ModelConfig& model, Builder* builder) {
  const int64_t d = model.d_model, q = model.QDim(), kv = model.KvDim();
  if (model.norm_place == NormPlace::kPre) {
    builder->Norm(TensorKind::kAttnNorm, "input_layernorm", "attn_norm");
  }
  builder->Matrix(TensorKind::kQ, "self_attn.q_proj", "q", q, d);
  builder->Matrix(TensorKind::kK, "self_attn.k_proj", "k", kv, d, true);
  builder->Matrix(TensorKind::kV, "self_attn.v_proj", "v", kv, d, true);
  if (model.biases) {
    builder->Bias(TensorKind::kQ, "self_attn.q_proj", "q", q);
    builder->Bias(TensorKind::kK, "self_attn.k_proj", "k", kv, true);
    builder->Bias(TensorKind::kV, "self_attn.v_proj", "v", kv, true);
  }
  if (model.qk_norm) {
    builder->Matrix(TensorKind::kQNorm, "self_attn.q_norm", "q_norm", 1, model.HeadDim());
    builder->Matrix(TensorKind::kKNorm, "self_attn.k_norm", "k_norm", 1, model.HeadDim());
  }
  if (model.gated_attention) {
    builder->Matrix(TensorKind::kAttnGate, "self_attn.g_proj", "attn_gate", q, d);
    if (model.biases) builder->Bias(TensorKind::kAttnGate, "self_attn.g_proj", "attn_gate", q);
  }
  builder->Matrix(TensorKind::kO, "self_attn.o_proj", "o", d, q);
  if (model.biases) builder->Bias(TensorKind::kO, "self_attn.o_proj", "o", d);
  if (model.sandwich_norm) {
    builder->Norm(TensorKind::kAttnPostNorm, "self_attn.post_norm", "attn_post_norm");
  }
  if (model.norm_place == NormPlace::kPost) {
    builder->Norm(TensorKind::kAttnNorm, "self_attn_layernorm", "attn_norm");
  }
}

void AddMlp(const ModelConfig& model, Builder* builder) {
  if (model.mlp == MlpKind::kNone) return;
  const int64_t d = model.d_model, ff = model.d_ff;
  const bool gated = model.mlp == MlpKind::kSwiGlu;
  if (model.norm_place == NormPlace::kPre) {
    builder->Norm(TensorKind::kMlpNorm, "post_attention_layernorm", "mlp_norm");
  }
  if (gated) builder->Matrix(TensorKind::kGate, "mlp.gate_proj", "gate", ff, d);
  builder->Matrix(TensorKind::kUp, "mlp.up_proj", "up", ff, d, gated);
  if (model.biases) {
    if (gated) builder->Bias(TensorKind::kGate, "mlp.gate_proj", "gate", ff);
    builder->Bias(TensorKind::kUp, "mlp.up_proj", "up", ff, gated);
  }
  builder->Matrix(TensorKind::kDown, "mlp.down_proj", "down", d, ff);
  if (model.biases) builder->Bias(TensorKind::kDown, "mlp.down_proj", "down", d);
  if (model.sandwich_norm) {
    builder->Norm(TensorKind::kMlpPostNorm, "mlp.post_norm", "mlp_post_norm");
  }
  if (model.norm_place == NormPlace::kPost) {
    builder->Norm(TensorKind::kMlpNorm, "mlp_layernorm", "mlp_norm");
  }
}

}  // namespace

const char* GroupName(TensorGroup group) {
  switch (group) {
    case TensorGroup::kEmbed:
      return "embed";
    case TensorGroup::kLmHead:
      return "lm_head";
    case TensorGroup::kQk:
      return "qk";
    case TensorGroup::kVo:
      return "vo";
    case TensorGroup::kMlp:
      return "mlp";
    case TensorGroup::kNorm:
      return "norm";
    case TensorGroup::kAttnGate:
      return "attn_gate";
    case TensorGroup::kBias:
      return "bias";
  }
  return "";
}

TensorGroup TensorSpec::group() const { return bias ? TensorGroup::kBias : GroupOf(kind); }

bool TensorSpec::is_matrix() const {
  return group() != TensorGroup::kNorm && group() != TensorGroup::kBias;
}

std::vector<int64_t> TensorSpec::shape() const {
  return is_matrix() ? std::vector<int64_t>{rows, cols} : std::vector<int64_t>{cols};
}

const TensorSpec& Layout::Find(TensorKind kind, int64_t layer, bool bias) const& {
  for (const TensorSpec& tensor : tensors) {
    if (tensor.kind == kind && tensor.layer == layer && tensor.bias == bias) return tensor;
  }
  throw std::logic_error("the model has no such tensor");
}

Layout MakeLayout(const ModelConfig& model) {
  Builder builder(model);
  builder.Matrix(TensorKind::kEmbed, "model.embed_tokens", "embed", model.vocab, model.d_model);
  if (model.positions == Positions::kLearned) {
    builder.Matrix(TensorKind::kPositions, "model.embed_positions", "positions", model.seq_len,
                   model.d_model);
  }
  if (model.embed_norm) builder.Norm(TensorKind::kEmbedNorm, "model.embed_norm", "embed_norm");
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    const std::string number = std::to_string(layer);
    builder.Enter(layer, "model.layers." + number + ".", "layers." + number + ".");
    AddAttention(model, &builder);
    AddMlp(model, &builder);
  }
  builder.Enter(0, "", "");
  if (model.norm_place == NormPlace::kPre) {
    builder.Norm(TensorKind::kFinalNorm, "model.norm", "final_norm");
  }
  if (!model.tied_head) {
    builder.Matrix(TensorKind::kLmHead, "lm_head", "lm_head", model.vocab, model.d_model);
  }
  if (model.head_bias) builder.Bias(TensorKind::kLmHead, "lm_head", "lm_head", model.vocab);
  return builder.Take();
}

}  // namespace loglog
