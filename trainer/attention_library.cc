#include "trainer/attention_library.h"

#include <ATen/Context.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

namespace loglog {
namespace {

constexpr double kNoDropout = 0;
constexpr bool kCausal = true;

// [.., by token] as the library names its dimensions: sequence, head, position, entry.
at::Tensor ByHead(const at::Tensor& rows, const HeadShape& shape, int64_t heads) {
  return rows.view({shape.sequences, shape.positions, heads, shape.head_dim}).transpose(1, 2);
}

// Back; without a copy, because the library lays its results out as its inputs.
at::Tensor ByToken(const at::Tensor& heads) { return heads.transpose(1, 2).contiguous(); }

// Flash attention adds a query's gradient up in any order unless the process asks for a fixed one,
// which by itself would also fill every new tensor.
class FixedOrder {
 public:
  FixedOrder() {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
  ~FixedOrder() {
    at::globalContext().setDeterministicFillUninitializedMemory(fills_);
    at::globalContext().setDeterministicAlgorithms(before_, warns_);
  }

 private:
  bool before_ = at::globalContext().deterministicAlgorithms();
  bool warns_ = at::globalContext().deterministicAlgorithmsWarnOnly();
  bool fills_ = at::globalContext().deterministicFillUninitializedMemory();
};

}  // namespace

bool LibraryAttends(const HeadShape& shape, at::ScalarType type, const at::Device& device) {
  const bool grouped = shape.heads != shape.kv_heads;
  if (device.is_cpu()) return !grouped;
  if (type == at::kBFloat16) return shape.head_dim % 8 == 0 && shape.head_dim <= 256;
  return !grouped && shape.head_dim % 4 == 0;
}

void LibraryAttention(const HeadShape& shape, AttentionKept& kept) {
  const at::Tensor q = ByHead(kept.q, shape, shape.heads);
  const at::Tensor k = ByHead(kept.k, shape, shape.kv_heads);
  const at::Tensor v = ByHead(kept.v, shape, shape.kv_heads);
  at::Tensor out;
  if (q.is_cpu()) {
    std::tie(out, kept.lse) =
        at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, kNoDropout, kCausal);
  } else if (q.scalar_type() == at::kBFloat16) {
    auto result = at::_scaled_dot_product_flash_attention(q, k, v, kNoDropout, kCausal,
                                                          /*return_debug_mask=*/false);
    out = std::get<0>(result);
    kept.lse = std::get<1>(result);
    kept.seed = std::get<6>(result);
    kept.offset = std::get<7>(result);
  } else {
    std::tie(out, kept.lse, kept.seed, kept.offset) = at::_scaled_dot_product_efficient_attention(
        q, k, v, /*attn_bias=*/{}, /*compute_log_sumexp=*/true, kNoDropout, kCausal);
  }
  kept.out = ByToken(out).view(kept.out.sizes());
}

HeadGradients LibraryAttentionBackward(const HeadShape& shape, const AttentionKept& kept,
                                       const at::Tensor& dout) {
  const at::Tensor q = ByHead(kept.q, shape, shape.heads);
  const at::Tensor k = ByHead(kept.k, shape, shape.kv_heads);
  const at::Tensor v = ByHead(kept.v, shape, shape.kv_heads);
  const at::Tensor out = ByHead(kept.out, shape, shape.heads);
  const at::Tensor grad = ByHead(dout, shape, shape.heads);
  const int64_t length = shape.positions;
  at::Tensor dq, dk, dv;
  if (q.is_cpu()) {
    std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        grad, q, k, v, out, kept.lse, kNoDropout, kCausal);
  } else {
    const FixedOrder fixed;
    if (q.scalar_type() == at::kBFloat16) {
      std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_backward(
          grad, q, k, v, out, kept.lse, /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, length, length,
          kNoDropout, kCausal, kept.seed, kept.offset);
    } else {
      auto result = at::_scaled_dot_product_efficient_attention_backward(
          grad, q, k, v, /*attn_bias=*/{}, out, kept.lse, kept.seed, kept.offset, kNoDropout,
          {true, true, true, false}, kCausal);
      dq = std::get<0>(result);
      dk = std::get<1>(result);
      dv = std::get<2>(result);
    }
  }
  return {.q = ByToken(dq), .k = ByToken(dk), .v = ByToken(dv)};
}

}  // namespace loglog
