#include "plan/cost.h"

#include <algorithm>

namespace loglog {
namespace {

constexpr int64_t kFloat = 4;

// Weights of one block that tokens are multiplied with.
int64_t BlockMatrices(const ModelShape& model) {
  return model.d_model * (2 * model.d_model + 2 * model.kv_dim() + 3 * model.d_ff);
}

// Bytes that one token's forward pass leaves for the backward pass, attention's
// probabilities aside: in each block the stream twice in float32; two normed copies, the
// attention's output, q, k, v, gate, up and their product in the computing type; then the
// last stream and the logits.
int64_t ActivationBytes(const ModelShape& model, int64_t type_bytes) {
  const int64_t d = model.d_model;
  const int64_t typed = 4 * d + 2 * model.kv_dim() + 3 * model.d_ff;
  return model.layers * (2 * kFloat * d + type_bytes * typed) + (kFloat + type_bytes) * d +
         kFloat * model.vocab;
}

// At most an exabyte, so that sums of a few estimates stay whole numbers.
int64_t Bytes(double estimate) { return static_cast<int64_t>(std::min(estimate, 1e18)); }

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
  const int64_t type_bytes = bf16 ? 2 : kFloat;
  // On a GPU the trainer works through a step in parts of about this many tokens, and
  // keeps attention's probabilities up to a limit, above which it computes them twice.
  constexpr int64_t kPartTokens = 32'768;
  constexpr int64_t kProbabilityBytesMax = int64_t{2} << 30;
  const int64_t part = std::min(config.batch_tokens(), std::max(kPartTokens, model.seq_len));
  // In doubles: the sizes that a spec may have multiply to more than 64 bits hold.
  const double probabilities = static_cast<double>(part) * static_cast<double>(model.layers) *
                               static_cast<double>(model.heads) *
                               static_cast<double>(model.seq_len) * static_cast<double>(type_bytes);
  const double kept = std::min(probabilities, static_cast<double>(kProbabilityBytesMax));
  const double state = static_cast<double>(CountParams(model).total) *
                       static_cast<double>(4 * kFloat + (bf16 ? type_bytes : 0));
  const double per_token = static_cast<double>(ActivationBytes(model, type_bytes));
  MemoryEstimate memory;
  memory.state_bytes = Bytes(state);
  memory.activation_bytes = Bytes(static_cast<double>(part) * per_token + kept);
  return memory;
}

int64_t CheckpointBytes(const ModelShape& model) {
  return Bytes(3.0 * kFloat * static_cast<double>(CountParams(model).total));
}

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
