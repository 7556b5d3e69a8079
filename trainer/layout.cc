#include "trainer/layout.h"

#include <stdexcept>

namespace loglog {
namespace {

constexpr int64_t kAlignFloats = 16;

struct Builder {
  Layout layout;

  void Add(TensorKind kind, int64_t layer, const std::string& name, const std::string& label,
           int64_t rows, int64_t cols, bool joined = false) {
    if (!joined) Align();
    layout.tensors.push_back({kind, layer, name, label, rows, cols, layout.floats});
    layout.floats += rows * cols;
  }

  void Align() { layout.floats = (layout.floats + kAlignFloats - 1) / kAlignFloats * kAlignFloats; }
};

}  // namespace

TensorGroup GroupOf(TensorKind kind) {
  switch (kind) {
    case TensorKind::kEmbed:
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
    case TensorKind::kAttnNorm:
    case TensorKind::kMlpNorm:
    case TensorKind::kFinalNorm:
      return TensorGroup::kNorm;
  }
  return TensorGroup::kNorm;
}

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
  }
  return "";
}

bool IsGain(TensorKind kind) { return GroupOf(kind) == TensorGroup::kNorm; }

std::vector<int64_t> TensorSpec::shape() const {
  return IsGain(kind) ? std::vector<int64_t>{cols} : std::vector<int64_t>{rows, cols};
}

const TensorSpec& Layout::Find(TensorKind kind, int64_t layer) const& {
  for (const TensorSpec& tensor : tensors) {
    if (tensor.kind == kind && tensor.layer == layer) return tensor;
  }
  throw std::logic_error("the model has no such tensor");
}

Layout MakeLayout(const ModelConfig& model) {
  Builder builder;
  const int64_t d = model.d_model, kv = model.KvDim(), ff = model.d_ff;
  builder.Add(TensorKind::kEmbed, 0, "model.embed_tokens.weight", "embed", model.vocab, d);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    const std::string name = "model.layers." + std::to_string(layer) + ".";
    const std::string label = "layers." + std::to_string(layer) + ".";
    const auto add = [&](TensorKind kind, const char* tensor, const char* short_name, int64_t rows,
                         int64_t cols, bool joined = false) {
      builder.Add(kind, layer, name + tensor + ".weight", label + short_name, rows, cols, joined);
    };
    add(TensorKind::kAttnNorm, "input_layernorm", "attn_norm", 1, d);
    add(TensorKind::kQ, "self_attn.q_proj", "q", d, d);
    add(TensorKind::kK, "self_attn.k_proj", "k", kv, d, true);
    add(TensorKind::kV, "self_attn.v_proj", "v", kv, d, true);
    add(TensorKind::kO, "self_attn.o_proj", "o", d, d);
    add(TensorKind::kMlpNorm, "post_attention_layernorm", "mlp_norm", 1, d);
    add(TensorKind::kGate, "mlp.gate_proj", "gate", ff, d);
    add(TensorKind::kUp, "mlp.up_proj", "up", ff, d, true);
    add(TensorKind::kDown, "mlp.down_proj", "down", d, ff);
  }
  builder.Add(TensorKind::kFinalNorm, 0, "model.norm.weight", "final_norm", 1, d);
  if (!model.tied_head) {
    builder.Add(TensorKind::kLmHead, 0, "lm_head.weight", "lm_head", model.vocab, d);
  }
  builder.Align();
  return builder.layout;
}

}  // namespace loglog
