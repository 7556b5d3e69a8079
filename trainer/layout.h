// Where each tensor of one member lies in its flat row of floats. Weights, gradients and
// the two Adam moments are each one allocation [members, floats] with this layout.
#ifndef LOGLOG_TRAINER_LAYOUT_H_
#define LOGLOG_TRAINER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

enum class TensorKind {
  kEmbed,
  kAttnNorm,
  kQ,
  kK,
  kV,
  kO,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kFinalNorm,
  kLmHead
};

// The groups over which norms and update ratios are summed.
enum class TensorGroup { kEmbed, kLmHead, kQk, kVo, kMlp, kNorm };
inline constexpr int kTensorGroups = 6;

TensorGroup GroupOf(TensorKind kind);
const char* GroupName(TensorGroup group);  // embed, lm_head, qk, vo, mlp, norm
bool IsGain(TensorKind kind);

struct TensorSpec {
  TensorKind kind = TensorKind::kEmbed;
  int64_t layer = 0;
  std::string name;   // as in Hugging Face's Llama: model.layers.0.self_attn.q_proj.weight
  std::string label;  // in metric names: layers.0.q
  int64_t rows = 0;   // output width; 1 for a gain
  int64_t cols = 0;   // input width
  int64_t offset = 0;

  int64_t size() const { return rows * cols; }
  std::vector<int64_t> shape() const;
};

// q, k, v of a layer are adjacent, and so are gate and up: each group is also one matrix.
struct Layout {
  std::vector<TensorSpec> tensors;
  int64_t floats = 0;  // with the padding that starts every matrix on 64 bytes

  const TensorSpec& Find(TensorKind kind, int64_t layer = 0) const&;
  const TensorSpec& Find(TensorKind kind, int64_t layer = 0) && = delete;  // would dangle
};

Layout MakeLayout(const ModelConfig& model);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_LAYOUT_H_
