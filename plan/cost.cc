#include "plan/cost.h"

#include <algorithm>

namespace loglog {
namespace {

constexpr int64_t kFloat = 4;

// Weights of one block that tokens are multiplied with.
int64_t BlockMatrices(const ModelShape& model) {
  return model.d_model * (2 * model.d_model + 2 * model.kv_dim() + 3 * model.d_ff);
}

// Floats that one token's forward pass leaves for the backward pass: in each block the
// input, two normed copies, q, k, v before and after rotation, the attention's
// probabilities and output, the sum, gate, up and their product; at the end the normed
// stream and the logits.
int64_t ActivationFloats(const ModelShape& model) {
  const int64_t d = model.d_model;
  const int64_t block =
      5 * d + 2 * (d + 2 * model.kv_dim()) + 3 * model.d_ff + model.heads * model.seq_len;
  return model.layers * block + 2 * d + model.vocab;
}

}  // namespace

ParamCounts CountParams(const ModelShape& model) {
  ParamCounts counts;
  const int64_t gains = model.d_model * (2 * model.layers + 1);
  counts.non_embedding = model.layers * BlockMatrices(model) + gains;
  counts.total = counts.non_embedding + model.vocab * model.d_model * (model.tied_head ? 1 : 2);
  counts.active = counts.total;
  return counts;
}

double FlopsPerToken(const ModelShape& model) {
  const double layers = static_cast<double>(model.layers), d = static_cast<double>(model.d_model);
  const double matrices =
      layers * static_cast<double>(BlockMatrices(model)) + static_cast<double>(model.vocab) * d;
  return 6 * matrices + 6 * layers * d * static_cast<double>(model.seq_len + 1);
}

double SixN(const ModelShape& model) { return 6 * static_cast<double>(CountParams(model).total); }

MemoryEstimate EstimateMemory(const CellConfig& config) {
  const ModelShape model = config.model();
  const bool bf16 = config.Text("train.precision") == "bf16";
  // The trainer works through a step in chunks of about this many tokens.
  constexpr int64_t kChunkTokens = 32'768;
  const int64_t step = std::max(config.batch_tokens(), model.seq_len);
  const int64_t chunk = std::min(step, std::max(kChunkTokens, model.seq_len));
  MemoryEstimate memory;
  memory.state_bytes = CountParams(model).total * (4 * kFloat + (bf16 ? 2 : 0));
  memory.activation_bytes = chunk * ActivationFloats(model) * (bf16 ? 2 : kFloat);
  return memory;
}

int64_t CheckpointBytes(const ModelShape& model) { return 3 * kFloat * CountParams(model).total; }

TrialCost CostOf(const CellConfig& config) {
  const ModelShape model = config.model();
  const double tokens = static_cast<double>(config.tokens());
  return {.tokens = config.tokens(),
          .steps = config.steps(),
          .params = CountParams(model),
          .flops = tokens * FlopsPerToken(model),
          .flops_6nd = tokens * SixN(model)};
}

}  // namespace loglog
