// Causal attention by batched matrix products over blocks of heads: the scores of one block
// at a time stay in cache, and memory is bounded when they are not kept for the backward pass.
#ifndef LOGLOG_TRAINER_ATTENTION_H_
#define LOGLOG_TRAINER_ATTENTION_H_

#include <ATen/core/Tensor.h>

#include "trainer/ops.h"

namespace loglog {

// q, out [n, G * T, E]; k, v [n, T, E], n = sequences * key-value heads. The G query heads that
// share a key-value head are rows of one product, so grouped heads need no copies of k and v.
struct AttentionInputs {
  const at::Tensor& q;
  const at::Tensor& k;
  const at::Tensor& v;
};

// `p` [n, G * T, T] keeps all probabilities, or [block, G * T, T] is scratch for a block.
void AttentionForward(const Ops& ops, const AttentionInputs& in, int64_t block, at::Tensor& p,
                      at::Tensor& out);

// With `keeps` p holds what AttentionForward left for all n; else it is computed again.
// `dp` [block, G * T, T] is scratch.
void AttentionBackward(const Ops& ops, const AttentionInputs& in, int64_t block, bool keeps,
                       const at::Tensor& dout, at::Tensor& p, at::Tensor& dp, at::Tensor& dq,
                       at::Tensor& dk, at::Tensor& dv);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_ATTENTION_H_
