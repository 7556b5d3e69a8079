#include "plan/cost.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace loglog {
namespace {

constexpr int64_t kFloat = 4;

int64_t MlpMatrices(const ModelShape& model) {
  return model.mlp == "swiglu" ? 3 : model.mlp == "none" ? 0 : 2;
}

// Parameters of one norm over the model's width.
int64_t NormWidth(const ModelShape& model) {
  return model.norm == "none" ? 0 : (model.norm == "layer" ? 2 : 1) * model.d_model;
}

// Weights of one block that tokens are multiplied with.
int64_t BlockMatrices(const ModelShape& model) {
  return model.d_model * ((model.gated_attention ? 3 : 2) * model.q_dim() + 2 * model.kv_dim() +
                          MlpMatrices(model) * model.d_ff);
}

// Gains and biases of one block, and outside of the blocks.
int64_t BlockVectors(const ModelShape& model) {
  const int64_t branches = model.mlp == "none" ? 1 : 2;
  int64_t vectors = branches * (model.sandwich_norm ? 2 : 1) * NormWidth(model);
  if (model.qk_norm) vectors += 2 * model.head_dim();
  if (!model.biases) return vectors;
  const int64_t attention = (model.gated_attention ? 2 : 1) * model.q_dim() + 2 * model.kv_dim();
  const int64_t mlp = (MlpMatrices(model) - 1) * model.d_ff + model.d_model;
  return vectors + attention + model.d_model + (model.mlp == "none" ? 0 : mlp);
}

int64_t OuterVectors(const ModelShape& model) {
  return ((model.post_norm ? 0 : 1) + (model.embed_norm ? 1 : 0)) * NormWidth(model);
}

// Bytes that one token's forward pass leaves for the backward pass, attention's
// probabilities aside: in each block the stream twice in float32, and with sandwich norms or
// norms after the sum the inputs of those; two normed copies, the attention's output and its
// gate, q, k, v, gate, up and their product in the computing type; then the last stream and the
// logits.
int64_t ActivationBytes(const ModelShape& model, int64_t type_bytes) {
  const int64_t d = model.d_model;
  const int64_t q = model.q_dim(), kv = model.kv_dim();
  const int64_t typed = 2 * d + 2 * q + 2 * kv + MlpMatrices(model) * model.d_ff +
                        (model.gated_attention ? 2 * q : 0) + (model.qk_norm ? q + 2 * kv : 0) +
                        (model.sandwich_norm ? 2 * d : 0);
  const int64_t stream = model.sandwich_norm || model.post_norm ? 4 : 2;
  return model.layers * (stream * kFloat * d + type_bytes * typed) + (kFloat + type_bytes) * d +
         kFloat * model.vocab;
}

// At most an exabyte, so that sums of a few estimates stay whole numbers.
int64_t Bytes(double estimate) { return static_cast<int64_t>(std::min(estimate, 1e18)); }

}  // namespace

ParamCounts CountParams(const ModelShape& model) {
  ParamCounts counts;
  counts.non_embedding =
      model.layers * (BlockMatrices(model) + BlockVectors(model)) + OuterVectors(model);
  counts.total = counts.non_embedding + model.vocab * model.d_model * (model.tied_head ? 1 : 2) +
                 (model.learned_positions ? model.seq_len * model.d_model : 0) +
                 (model.head_bias ? model.vocab : 0);
  counts.active = counts.total;
  return counts;
}

double FlopsPerToken(const ModelShape& model) {
  const double layers = static_cast<double>(model.layers), d = static_cast<double>(model.d_model);
  const double q = static_cast<double>(model.q_dim());
  const double matrices =
      layers * static_cast<double>(BlockMatrices(model)) + static_cast<double>(model.vocab) * d;
  return 6 * matrices + 6 * layers * q * static_cast<double>(model.seq_len + 1);
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

EvaluationCost EvaluationCostOf(const CellConfig& config) {
  EvaluationCost cost;
  const double every = config.Number("eval.every");
  const double stride = every * static_cast<double>(config.steps());
  // No more than one a step; a share that does not divide the run has the end beside it.
  cost.evaluations = stride <= 0   ? 1
                     : stride <= 1 ? config.steps()
                                   : static_cast<int64_t>(std::ceil(1 / every - 1e-9));
  const int64_t seq_len = config.Int("model.seq_len");
  const int64_t set = config.Int("eval.tokens") / seq_len * seq_len;
  const std::string format = config.Text("data.train.format");
  if (format == "windows") {
    const int64_t anchors = config.Int("data.windows.anchors");
    cost.tokens = seq_len * config.Int("data.windows.keys") * anchors * anchors;
    cost.by_eval_tokens = false;
  } else if (format == "anchor") {
    // Held-out keys, two probes, symmetric and commutative answers, and pairs that are not trained.
    cost.tokens = set * (config.Text("data.anchor.protocol") == "all" ? 5 : 6);
  } else {
    // Held-out sums and the hole; every domain again by itself.
    const bool twice = format == "addition" || !config.IsNull("data.val.domains");
    cost.tokens = set * (twice ? 2 : 1);
  }
  return cost;
}

double EvaluationCost::Flops(double flops_per_token, std::optional<int64_t> val_data_tokens) const {
  const int64_t most = val_data_tokens.value_or(tokens);
  return static_cast<double>(evaluations) * static_cast<double>(std::min(tokens, most)) *
         flops_per_token / 3;
}

TrialCost CostOf(const CellConfig& config) {
  const ModelShape model = config.model();
  const double tokens = static_cast<double>(config.tokens());
  return {.tokens = config.tokens(),
          .steps = config.steps(),
          .params = CountParams(model),
          .flops = tokens * FlopsPerToken(model),
          .flops_6nd = tokens * SixN(model),
          .evaluation = EvaluationCostOf(config)};
}

}  // namespace loglog
