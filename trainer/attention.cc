#include "trainer/attention.h"

#include <ATen/ops/bmm.h>

#include <algorithm>
#include <cmath>

namespace loglog {
namespace {

double Scale(const at::Tensor& q) { return 1 / std::sqrt(static_cast<double>(q.size(2))); }

void Probabilities(const Ops& ops, const at::Tensor& q, const at::Tensor& k, at::Tensor& p) {
  at::bmm_out(p, q, k.transpose(1, 2));
  ops.CausalSoftmax(p, Scale(q));
}

}  // namespace

void AttentionForward(const Ops& ops, const AttentionInputs& in, int64_t block, at::Tensor& p,
                      at::Tensor& out) {
  const int64_t count = in.q.size(0);
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t size = std::min(block, count - begin);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, size); };
    at::Tensor p_part = p.size(0) == count ? part(p) : p.narrow(0, 0, size);
    Probabilities(ops, part(in.q), part(in.k), p_part);
    at::Tensor out_part = part(out);
    at::bmm_out(out_part, p_part, part(in.v));
  }
}

void AttentionBackward(const Ops& ops, const AttentionInputs& in, int64_t block, bool keeps,
                       const at::Tensor& dout, at::Tensor& p, at::Tensor& dp, at::Tensor& dq,
                       at::Tensor& dk, at::Tensor& dv) {
  const int64_t count = in.q.size(0);
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t size = std::min(block, count - begin);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, size); };
    at::Tensor p_part = keeps ? part(p) : p.narrow(0, 0, size);
    if (!keeps) Probabilities(ops, part(in.q), part(in.k), p_part);
    at::Tensor dp_part = dp.narrow(0, 0, size);
    at::Tensor dq_part = part(dq), dk_part = part(dk), dv_part = part(dv);
    at::bmm_out(dv_part, p_part.transpose(1, 2), part(dout));
    at::bmm_out(dp_part, part(dout), part(in.v).transpose(1, 2));
    ops.CausalSoftmaxBackward(p_part, dp_part, Scale(in.q));
    at::bmm_out(dq_part, dp_part, part(in.k));
    at::bmm_out(dk_part, dp_part.transpose(1, 2), part(in.q));
  }
}

}  // namespace loglog
