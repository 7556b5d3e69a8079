// CpuOps: hands the arrays of contiguous fp32 CPU tensors to the loops of kernels.h.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "trainer/ops.h"

namespace loglog {
namespace {

const float* In(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
float* Out(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

// The first float of an index of the first dimension. No view of it is made: that takes longer than
// some of the loops.
const float* At(const at::Tensor& tensor, int64_t index) {
  return In(tensor) + index * tensor.stride(0);
}
float* At(at::Tensor& tensor, int64_t index) { return Out(tensor) + index * tensor.stride(0); }

// Of [K, M].
const int32_t* IdsOf(const at::Tensor& tensor, int64_t member) {
  return tensor.const_data_ptr<int32_t>() + member * tensor.stride(0);
}

MatrixView ViewOf(const at::Tensor& tensor, int64_t index) {
  return {At(tensor, index), tensor.stride(1), tensor.stride(2)};
}

AttentionShape ShapeOf(const AttentionInputs& in) {
  return {
      .group = in.q.size(1) / in.k.size(1), .positions = in.k.size(1), .head_dim = in.k.size(2)};
}

// Room that a product needs for as long as it runs; the same for all products of a thread.
float* Scratch(int64_t floats) {
  thread_local std::vector<float> room;
  if (static_cast<int64_t>(room.size()) < floats) room.resize(static_cast<size_t>(floats));
  return room.data();
}

class CpuOps final : public Ops {
 public:
  explicit CpuOps(int threads) : threads_(threads) {}

  void Product(const at::Tensor* base, const at::Tensor& a, const at::Tensor& b, Panels* panels,
               at::Tensor& out) const override {
    if (threads_ > 1) return Ops::Product(base, a, b, panels, out);
    if (panels != nullptr && !panels->filled) Fill(b, panels);
    const MatMulShape shape{.rows = out.size(1), .cols = out.size(2), .inner = a.size(2)};
    float* scratch = Scratch(kMatMulScratch);
    for (int64_t member = 0; member < out.size(0); ++member) {
      kernels_.matmul(shape, ViewOf(a, member), ViewOf(b, member),
                      panels == nullptr ? nullptr : At(panels->floats, member),
                      base == nullptr ? nullptr : At(*base, member),
                      base == nullptr ? 0 : base->stride(1), At(out, member), out.stride(1),
                      scratch);
    }
  }

  void Embed(const at::Tensor& table, const TokenBatch& tokens, at::Tensor& out) const override {
    const int64_t width = out.size(2);
    for (int64_t member = 0; member < out.size(0); ++member) {
      const float* rows = At(table, member);
      const int32_t* ids = IdsOf(tokens.ids, member);
      float* to = At(out, member);
      for (int64_t i = 0; i < out.size(1); ++i) {
        std::copy_n(rows + ids[i] * width, width, to + i * width);
      }
    }
  }

  void EmbedBackward(const at::Tensor& dout, const TokenBatch& tokens,
                     at::Tensor& dtable) const override {
    const int64_t width = dout.size(2);
    for (int64_t member = 0; member < dout.size(0); ++member) {
      const float* from = At(dout, member);
      const int32_t* ids = IdsOf(tokens.ids, member);
      float* rows = At(dtable, member);
      for (int64_t i = 0; i < dout.size(1); ++i) {
        float* row = rows + ids[i] * width;
        for (int64_t j = 0; j < width; ++j) row[j] += from[i * width + j];
      }
    }
  }

  void RmsNorm(const at::Tensor& x, const at::Tensor& gain, double eps, at::Tensor& y,
               at::Tensor& rstd) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.rms_norm(At(x, member), At(gain, member), static_cast<float>(eps), x.size(1),
                        x.size(2), At(y, member), At(rstd, member));
    }
  }

  void RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                       const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.rms_norm_backward(At(dy, member), At(x, member), At(gain, member), At(rstd, member),
                                 x.size(1), x.size(2), At(dx, member), At(dgain, member));
    }
  }

  void LayerNorm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps,
                 at::Tensor& y, at::Tensor& rstd) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.layer_norm(At(x, member), At(gain, member), At(bias, member),
                          static_cast<float>(eps), x.size(1), x.size(2), At(y, member),
                          At(rstd, member));
    }
  }

  void LayerNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                         const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                         at::Tensor& dbias) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.layer_norm_backward(At(dy, member), At(x, member), At(gain, member),
                                   At(rstd, member), x.size(1), x.size(2), At(dx, member),
                                   At(dgain, member), At(dbias, member));
    }
  }

  void HeadNorm(const at::Tensor& qkv, const at::Tensor& q_gain, const at::Tensor& k_gain,
                double eps, const HeadShape& shape, at::Tensor& out,
                at::Tensor& rstd) const override {
    const int64_t q_width = shape.heads * shape.head_dim, k_width = shape.kv_heads * shape.head_dim;
    const float eps32 = static_cast<float>(eps);
    for (int64_t member = 0; member < qkv.size(0); ++member) {
      const float* from = At(qkv, member);
      float* to = At(out, member);
      float* scale = At(rstd, member);
      for (int64_t i = 0; i < qkv.size(1); ++i) {
        kernels_.rms_norm(from, At(q_gain, member), eps32, shape.heads, shape.head_dim, to, scale);
        kernels_.rms_norm(from + q_width, At(k_gain, member), eps32, shape.kv_heads, shape.head_dim,
                          to + q_width, scale + shape.heads);
        std::copy_n(from + q_width + k_width, k_width, to + q_width + k_width);
        from += qkv.size(2);
        to += qkv.size(2);
        scale += shape.heads + shape.kv_heads;
      }
    }
  }

  void HeadNormBackward(const at::Tensor& dout, const at::Tensor& qkv, const at::Tensor& q_gain,
                        const at::Tensor& k_gain, const at::Tensor& rstd, const HeadShape& shape,
                        at::Tensor& dqkv, at::Tensor& dq_gain, at::Tensor& dk_gain) const override {
    const int64_t q_width = shape.heads * shape.head_dim, k_width = shape.kv_heads * shape.head_dim;
    for (int64_t member = 0; member < qkv.size(0); ++member) {
      const float* grad = At(dout, member);
      const float* x = At(qkv, member);
      const float* scale = At(rstd, member);
      float* to = At(dqkv, member);
      for (int64_t i = 0; i < qkv.size(1); ++i) {
        std::fill_n(to, q_width + k_width, 0.0f);
        kernels_.rms_norm_backward(grad, x, At(q_gain, member), scale, shape.heads, shape.head_dim,
                                   to, At(dq_gain, member));
        kernels_.rms_norm_backward(grad + q_width, x + q_width, At(k_gain, member),
                                   scale + shape.heads, shape.kv_heads, shape.head_dim,
                                   to + q_width, At(dk_gain, member));
        std::copy_n(grad + q_width + k_width, k_width, to + q_width + k_width);
        grad += qkv.size(2);
        x += qkv.size(2);
        to += qkv.size(2);
        scale += shape.heads + shape.kv_heads;
      }
    }
  }

  void SplitHeads(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                  at::Tensor& q, at::Tensor& k, at::Tensor& v) const override {
    kernels_.split_heads(In(qkv), In(rope.cos), In(rope.sin), shape, Out(q), Out(k), Out(v));
  }

  void SplitHeadsBackward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv,
                          const RopeTable& rope, const HeadShape& shape,
                          at::Tensor& dqkv) const override {
    kernels_.split_heads_backward(In(dq), In(dk), In(dv), In(rope.cos), In(rope.sin), shape,
                                  Out(dqkv));
  }

  void HeadsToRows(const at::Tensor& heads, const HeadShape& shape,
                   at::Tensor& rows) const override {
    kernels_.heads_to_rows(In(heads), shape, Out(rows));
  }

  void RowsToHeads(const at::Tensor& rows, const HeadShape& shape,
                   at::Tensor& heads) const override {
    kernels_.rows_to_heads(In(rows), shape, Out(heads));
  }

  void Attention(const AttentionInputs& in, int64_t block, at::Tensor& p,
                 at::Tensor& out) const override {
    if (threads_ > 1) return Ops::Attention(in, block, p, out);
    const AttentionShape shape = ShapeOf(in);
    float* scratch = Scratch(AttentionScratch(shape));
    const bool keeps = p.size(0) == in.q.size(0);
    for (int64_t head = 0; head < in.q.size(0); ++head) {
      kernels_.causal_attention(shape, At(in.q, head), At(in.k, head), At(in.v, head),
                                At(p, keeps ? head : 0), At(out, head), scratch);
    }
  }

  void AttentionBackward(const AttentionInputs& in, int64_t block, bool keeps,
                         const at::Tensor& dout, at::Tensor& p, at::Tensor& dp, at::Tensor& dq,
                         at::Tensor& dk, at::Tensor& dv) const override {
    if (threads_ > 1) return Ops::AttentionBackward(in, block, keeps, dout, p, dp, dq, dk, dv);
    const AttentionShape shape = ShapeOf(in);
    float* scratch = Scratch(AttentionScratch(shape));
    for (int64_t head = 0; head < in.q.size(0); ++head) {
      float* probabilities = At(p, keeps ? head : 0);
      if (!keeps) {
        kernels_.causal_attention(shape, At(in.q, head), At(in.k, head), At(in.v, head),
                                  probabilities, nullptr, scratch);
      }
      kernels_.causal_attention_backward(shape, At(in.q, head), At(in.k, head), At(in.v, head),
                                         probabilities, At(dout, head), Out(dp), At(dq, head),
                                         At(dk, head), At(dv, head), scratch);
    }
  }

  void CausalSoftmax(at::Tensor& scores, double scale) const override {
    const int64_t positions = scores.size(2);
    kernels_.causal_softmax(Out(scores), scores.numel() / (positions * positions), positions,
                            static_cast<float>(scale));
  }

  void CausalSoftmaxBackward(const at::Tensor& p, at::Tensor& dp, double scale) const override {
    const int64_t positions = p.size(2);
    kernels_.causal_softmax_backward(In(p), Out(dp), p.numel() / (positions * positions), positions,
                                     static_cast<float>(scale));
  }

  void SwiGlu(const at::Tensor& gate_up, at::Tensor& out) const override {
    kernels_.swiglu(In(gate_up), out.size(0) * out.size(1), out.size(2), Out(out));
  }

  void SwiGluBackward(const at::Tensor& dout, const at::Tensor& gate_up,
                      at::Tensor& dgate_up) const override {
    kernels_.swiglu_backward(In(dout), In(gate_up), dout.size(0) * dout.size(1), dout.size(2),
                             Out(dgate_up));
  }

  void SigmoidGate(const at::Tensor& x, const at::Tensor& gate, at::Tensor& out) const override {
    kernels_.sigmoid_gate(In(x), In(gate), x.numel(), Out(out));
  }

  void SigmoidGateBackward(const at::Tensor& dout, const at::Tensor& x, const at::Tensor& gate,
                           at::Tensor& dx, at::Tensor& dgate) const override {
    kernels_.sigmoid_gate_backward(In(dout), In(x), In(gate), x.numel(), Out(dx), Out(dgate));
  }

  void CrossEntropy(at::Tensor& logits, const at::Tensor& targets, const LossTerms& terms,
                    bool gradient, at::Tensor& loss_sum) const override {
    double* sums = loss_sum.mutable_data_ptr<double>();
    for (int64_t member = 0; member < logits.size(0); ++member) {
      sums[member] += kernels_.cross_entropy(
          At(logits, member), IdsOf(targets, member), logits.size(1), logits.size(2),
          In(terms.scale)[member], In(terms.z_loss)[member], gradient);
    }
  }

 private:
  void Fill(const at::Tensor& b, Panels* panels) const {
    const int64_t inner = b.size(1), cols = b.size(2);
    if (!panels->floats.defined()) {
      panels->floats = at::empty({b.size(0), PanelFloats(inner, cols)}, b.options());
    }
    for (int64_t member = 0; member < b.size(0); ++member) {
      kernels_.pack_panels(ViewOf(b, member), inner, cols, At(panels->floats, member));
    }
    panels->filled = true;
  }

  const Kernels& kernels_ = CpuKernels();
  const int threads_;
};

}  // namespace

std::unique_ptr<Ops> MakeCpuOps(int threads) { return std::make_unique<CpuOps>(threads); }

}  // namespace loglog
