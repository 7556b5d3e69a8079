// Causal attention by LibTorch's own kernels, which keep no scores: flash attention for bf16,
// memory-efficient attention for fp32, and on a CPU its flash attention.
#ifndef LOGLOG_TRAINER_ATTENTION_LIBRARY_H_
#define LOGLOG_TRAINER_ATTENTION_LIBRARY_H_

#include <ATen/core/Tensor.h>

#include "trainer/ops.h"

namespace loglog {

// Whether there is one for these heads. What it refuses (head widths that are no multiples of 8 in
// bf16 or 4 in fp32, bf16 heads beyond 256 entries, grouped heads in fp32) goes through products.
bool LibraryAttends(const HeadShape& shape, at::ScalarType type, const at::Device& device);

// From kept.q, k and v, by token, to kept.out, a new tensor, and what its backward pass needs.
void LibraryAttention(const HeadShape& shape, AttentionKept& kept);

struct HeadGradients {
  at::Tensor q, k, v;  // as kept.q, k and v lie
};
// The sums' order is fixed: the same inputs give the same bits.
HeadGradients LibraryAttentionBackward(const HeadShape& shape, const AttentionKept& kept,
                                       const at::Tensor& dout);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_ATTENTION_LIBRARY_H_
