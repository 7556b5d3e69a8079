// Parameter and FLOP counts of a model. A multiply-add is two FLOPs.
#ifndef LOGLOG_TRAINER_FLOPS_H_
#define LOGLOG_TRAINER_FLOPS_H_

#include <cstdint>

#include "trainer/config.h"

namespace loglog {

struct ParamCount {
  int64_t total = 0;
  int64_t non_embedding = 0;  // without embedding, learned positions and output head
};

int MlpMatrices(MlpKind mlp);

ParamCount CountParams(const ModelConfig& model);

// Training FLOPs per token, backward counted as twice forward:
//   3 (2 (L ((2 + g) d d_q + 2 d d_kv + m d d_ff) + V d) + 2 L d_q (T + 1)),
// d_q and d_kv the widths of all query and all key heads, g 1 with gated attention and m the
// matrices of the MLP: 3 for SwiGLU, 2 for GELU and ReLU.
// The last term is causal attention: on average (T + 1) / 2 keys, in two products.
// Norms, activations, the softmax and the optimizer are not counted.
double TrainFlopsPerToken(const ModelConfig& model);

// The share of the above spent in the weight matrices, which a matrix product library
// bounds from below.
double MatmulFlopsPerToken(const ModelConfig& model);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_FLOPS_H_
