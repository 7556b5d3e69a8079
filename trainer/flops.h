// Parameter and FLOP counts of a model. A multiply-add is two FLOPs.
#ifndef LOGLOG_TRAINER_FLOPS_H_
#define LOGLOG_TRAINER_FLOPS_H_

#include <cstdint>

#include "trainer/config.h"

namespace loglog {

struct ParamCount {
  int64_t total = 0;
  int64_t non_embedding = 0;  // without the embedding and the output head
};

ParamCount CountParams(const ModelConfig& model);

// Training FLOPs per token, backward counted as twice forward:
//   3 (2 (L (2 d^2 + 2 d d_kv + 3 d d_ff) + V d) + 2 L d (T + 1)).
// The last term is causal attention: on average (T + 1) / 2 keys, in two products.
// Norms, activations, the softmax and the optimizer are not counted.
double TrainFlopsPerToken(const ModelConfig& model);

// The share of the above spent in the weight matrices, which a matrix product library
// bounds from below.
double MatmulFlopsPerToken(const ModelConfig& model);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_FLOPS_H_
