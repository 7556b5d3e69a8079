// Where each tensor of one member lies in its flat row of floats. Weights, gradients and
// the two Adam moments are each one allocation [members, floats] with this layout.
#ifndef LOGLOG_TRAINER_LAYOUT_H_
#define LOGLOG_TRAINER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

// The numbers of drawn matrices address their streams of random numbers and stay as they are.
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
  kLmHead,
  kAttnGate,
  kPositions,
  kEmbedNorm,
  kAttnPostNorm,
  kMlpPostNorm,
  kQNorm,
  kKNorm
};

// The groups over which norms and update ratios are summed, and by which weights decay.
enum class TensorGroup { kEmbed, kLmHead, kQk, kVo, kMlp, kNorm, kAttnGate, kBias };
inline constexpr int kTensorGroups = 8;

// embed, lm_head, qk, vo, mlp, norm, attn_gate, bias
const char* GroupName(TensorGroup group);

struct TensorSpec {
  TensorKind kind = TensorKind::kEmbed;
  bool bias = false;      // the vector that is added after the matrix or the gain of this kind
  bool in_layer = false;  // one of decoder block `layer`
  int64_t layer = 0;
  std::string name;   // as in Hugging Face's Llama: model.layers.0.self_attn.q_proj.weight
  std::string label;  // in metric names: layers.0.q
  int64_t rows = 0;   // output width; 1 for a gain or a bias
  int64_t cols = 0;   // input width
  int64_t offset = 0;

  int64_t size() const { return rows * cols; }
  TensorGroup group() const;  // the learned positions are embeddings
  // Drawn at the start and of two dimensions; gains start at 1 and biases at 0.
  bool is_matrix() const;
  std::vector<int64_t> shape() const;
};

// q, k, v of a layer are adjacent, and so are their biases, and gate and up and theirs: each of
// these is also one matrix or vector.
struct Layout {
  std::vector<TensorSpec> tensors;
  // With the padding that starts a matrix, or several that are one, on 64 bytes.
  int64_t floats = 0;

  // Throws std::logic_error when the model has no such tensor.
  const TensorSpec& Find(TensorKind kind, int64_t layer = 0, bool bias = false) const&;
  const TensorSpec& Find(TensorKind kind, int64_t layer = 0,
                         bool bias = false) && = delete;  // would dangle
};

Layout MakeLayout(const ModelConfig& model);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_LAYOUT_H_
