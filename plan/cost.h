#ifndef LOGLOG_PLAN_COST_H_
#define LOGLOG_PLAN_COST_H_

#include <cstdint>
#include <optional>

#include "plan/cell_config.h"

namespace loglog {

// Version of the formulas below, stored beside numbers that came from them.
inline constexpr char kCostFormula[] = "llama-matmul-causal-1";

struct ParamCounts {
  int64_t total = 0;
  int64_t non_embedding = 0;  // without embedding, learned positions and output head
  int64_t active = 0;         // that a token passes through; all of them in a dense model
};

ParamCounts CountParams(const ModelShape& model);

// Training FLOPs per token, a multiply-add counted as two and backward as twice forward:
//   6 (L ((2 + g) d d_q + 2 d d_kv + m d d_ff) + V d) + 6 L d_q (T + 1),
// d_q and d_kv the widths of all query and all key heads (d_q is d unless head_dim is given), g 1
// with gated attention and m the matrices of the MLP. The last term is causal attention: (T + 1) /
// 2 keys on average, in two products. Norms, activations, softmax and optimizer are not counted.
// The trainer uses the same.
double FlopsPerToken(const ModelShape& model);

// The literature's 6 N with N = all parameters.
double SixN(const ModelShape& model);

// Bytes that training one trial takes on a GPU, estimated: weights, gradients and two
// moments in float32 (and a bf16 copy), and the activations of the part of a step that is
// worked on at once. A CPU trainer works in smaller parts and takes less.
struct MemoryEstimate {
  int64_t state_bytes = 0;
  int64_t activation_bytes = 0;
  int64_t total_bytes() const { return state_bytes + activation_bytes; }
};
MemoryEstimate EstimateMemory(const CellConfig& config);

// Bytes of one checkpoint: weights and two moments in float32.
int64_t CheckpointBytes(const ModelShape& model);

// What a trial evaluates beside its training.
struct EvaluationCost {
  int64_t evaluations = 0;  // of the run: after each eval.every of it, and at the end
  int64_t tokens = 0;       // of each, over all sets; of a user's files of examples one set's
  // Whether eval.tokens decides how many; else a set is what its task makes.
  bool by_eval_tokens = true;

  // FLOPs of all, forward alone: a third of what the same tokens cost in training. A file of
  // `val_data_tokens` has no more to evaluate on.
  double Flops(double flops_per_token, std::optional<int64_t> val_data_tokens = {}) const;
};
EvaluationCost EvaluationCostOf(const CellConfig& config);

// The planned cost of one trial of a cell.
struct TrialCost {
  int64_t tokens = 0;
  int64_t steps = 0;
  ParamCounts params;
  double flops = 0;           // whole training, FlopsPerToken
  double flops_6nd = 0;       // whole training, SixN
  EvaluationCost evaluation;  // no part of the above

  double EvalFlops(std::optional<int64_t> val_data_tokens = {}) const {
    return evaluation.Flops(flops / static_cast<double>(tokens), val_data_tokens);
  }
};
TrialCost CostOf(const CellConfig& config);

}  // namespace loglog

#endif  // LOGLOG_PLAN_COST_H_
