// The products of Ops by LibTorch's library, for any device and type.
#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>

#include "trainer/ops.h"

namespace loglog {
namespace {

double Scale(const at::Tensor& q) { return 1 / std::sqrt(static_cast<double>(q.size(2))); }

void Probabilities(const Ops& ops, const at::Tensor& q, const at::Tensor& k, at::Tensor& p) {
  at::bmm_out(p, q, k.transpose(1, 2));
  ops.CausalSoftmax(p, Scale(q));
}

}  // namespace

// One member takes the plain products, whose entry is cheaper.
void Ops::Product(const at::Tensor* base, const at::Tensor& a, const at::Tensor& b, Panels*,
                  at::Tensor& out) const {
  const bool plain = a.size(0) == 1;
  if (base != nullptr && a.scalar_type() != out.scalar_type()) {
    at::add_out(out, *base, at::bmm(a, b));
  } else if (plain) {
    at::Tensor out0 = out.select(0, 0);
    const at::Tensor a0 = a.select(0, 0), b0 = b.select(0, 0);
    base == nullptr ? at::mm_out(out0, a0, b0) : at::addmm_out(out0, base->select(0, 0), a0, b0);
  } else {
    base == nullptr ? at::bmm_out(out, a, b) : at::baddbmm_out(out, *base, a, b);
  }
}

void Ops::ProductNorm(const at::Tensor& base, const at::Tensor& a, const at::Tensor& b,
                      Panels* panels, const at::Tensor& gain, double eps, at::Tensor&,
                      at::Tensor& sum, at::Tensor& y, at::Tensor& rstd) const {
  Product(&base, a, b, panels, sum);
  RmsNorm(sum, gain, eps, y, rstd);
}

void Ops::Attend(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                 AttentionKept& kept, AttentionRoom& room) const {
  SplitHeads(qkv, rope, shape, kept.q, kept.k, kept.v);
  Attention({kept.q, kept.k, kept.v}, room.block, kept.p, room.heads);
  HeadsToRows(room.heads, shape, kept.out);
}

void Ops::AttendBackward(const at::Tensor& dout, const RopeTable& rope, const HeadShape& shape,
                         AttentionKept& kept, AttentionRoom& room, at::Tensor& dqkv) const {
  RowsToHeads(dout, shape, room.heads);
  AttentionBackward({kept.q, kept.k, kept.v}, room.block, room.keeps, room.heads, kept.p, room.dp,
                    room.dq, room.dk, room.dv);
  SplitHeadsBackward(room.dq, room.dk, room.dv, rope, shape, dqkv);
}

void Ops::Attention(const AttentionInputs& in, int64_t block, at::Tensor& p,
                    at::Tensor& out) const {
  const int64_t count = in.q.size(0);
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t size = std::min(block, count - begin);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, size); };
    at::Tensor p_part = p.size(0) == count ? part(p) : p.narrow(0, 0, size);
    Probabilities(*this, part(in.q), part(in.k), p_part);
    at::Tensor out_part = part(out);
    at::bmm_out(out_part, p_part, part(in.v));
  }
}

void Ops::AttentionBackward(const AttentionInputs& in, int64_t block, bool keeps,
                            const at::Tensor& dout, at::Tensor& p, at::Tensor& dp, at::Tensor& dq,
                            at::Tensor& dk, at::Tensor& dv) const {
  const int64_t count = in.q.size(0);
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t size = std::min(block, count - begin);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, size); };
    at::Tensor p_part = keeps ? part(p) : p.narrow(0, 0, size);
    if (!keeps) Probabilities(*this, part(in.q), part(in.k), p_part);
    at::Tensor dp_part = dp.narrow(0, 0, size);
    at::Tensor dq_part = part(dq), dk_part = part(dk), dv_part = part(dv);
    at::bmm_out(dv_part, p_part.transpose(1, 2), part(dout));
    at::bmm_out(dp_part, part(dout), part(in.v).transpose(1, 2));
    CausalSoftmaxBackward(p_part, dp_part, Scale(in.q));
    at::bmm_out(dq_part, dp_part, part(in.k));
    at::bmm_out(dk_part, dp_part.transpose(1, 2), part(in.q));
  }
}

}  // namespace loglog
