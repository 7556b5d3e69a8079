// CpuOps: hands the arrays of contiguous fp32 CPU tensors to the loops of kernels.h.
#include <algorithm>

#include "trainer/ops.h"

namespace loglog {
namespace {

const float* In(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
float* Out(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

class CpuOps final : public Ops {
 public:
  void Embed(const at::Tensor& table, const at::Tensor& tokens, at::Tensor& out) const override {
    const int64_t width = out.size(2);
    for (int64_t member = 0; member < out.size(0); ++member) {
      const float* rows = In(table.select(0, member));
      const int32_t* ids = tokens.select(0, member).const_data_ptr<int32_t>();
      float* to = Out(out.select(0, member));
      for (int64_t i = 0; i < out.size(1); ++i) {
        std::copy_n(rows + ids[i] * width, width, to + i * width);
      }
    }
  }

  void EmbedBackward(const at::Tensor& dout, const at::Tensor& tokens,
                     at::Tensor& dtable) const override {
    const int64_t width = dout.size(2);
    for (int64_t member = 0; member < dout.size(0); ++member) {
      const float* from = In(dout.select(0, member));
      const int32_t* ids = tokens.select(0, member).const_data_ptr<int32_t>();
      float* rows = Out(dtable.select(0, member));
      for (int64_t i = 0; i < dout.size(1); ++i) {
        float* row = rows + ids[i] * width;
        for (int64_t j = 0; j < width; ++j) row[j] += from[i * width + j];
      }
    }
  }

  void RmsNorm(const at::Tensor& x, const at::Tensor& gain, double eps, at::Tensor& y,
               at::Tensor& rstd) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.rms_norm(In(x.select(0, member)), In(gain.select(0, member)),
                        static_cast<float>(eps), x.size(1), x.size(2), Out(y.select(0, member)),
                        Out(rstd.select(0, member)));
    }
  }

  void RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                       const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.rms_norm_backward(In(dy.select(0, member)), In(x.select(0, member)),
                                 In(gain.select(0, member)), In(rstd.select(0, member)), x.size(1),
                                 x.size(2), Out(dx.select(0, member)),
                                 Out(dgain.select(0, member)));
    }
  }

  void LayerNorm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps,
                 at::Tensor& y, at::Tensor& rstd) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.layer_norm(In(x.select(0, member)), In(gain.select(0, member)),
                          In(bias.select(0, member)), static_cast<float>(eps), x.size(1), x.size(2),
                          Out(y.select(0, member)), Out(rstd.select(0, member)));
    }
  }

  void LayerNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                         const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                         at::Tensor& dbias) const override {
    for (int64_t member = 0; member < x.size(0); ++member) {
      kernels_.layer_norm_backward(In(dy.select(0, member)), In(x.select(0, member)),
                                   In(gain.select(0, member)), In(rstd.select(0, member)),
                                   x.size(1), x.size(2), Out(dx.select(0, member)),
                                   Out(dgain.select(0, member)), Out(dbias.select(0, member)));
    }
  }

  void HeadNorm(const at::Tensor& qkv, const at::Tensor& q_gain, const at::Tensor& k_gain,
                double eps, const HeadShape& shape, at::Tensor& out,
                at::Tensor& rstd) const override {
    const int64_t q_width = shape.heads * shape.head_dim, k_width = shape.kv_heads * shape.head_dim;
    const float eps32 = static_cast<float>(eps);
    for (int64_t member = 0; member < qkv.size(0); ++member) {
      const float* from = In(qkv.select(0, member));
      float* to = Out(out.select(0, member));
      float* scale = Out(rstd.select(0, member));
      for (int64_t i = 0; i < qkv.size(1); ++i) {
        kernels_.rms_norm(from, In(q_gain.select(0, member)), eps32, shape.heads, shape.head_dim,
                          to, scale);
        kernels_.rms_norm(from + q_width, In(k_gain.select(0, member)), eps32, shape.kv_heads,
                          shape.head_dim, to + q_width, scale + shape.heads);
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
      const float* grad = In(dout.select(0, member));
      const float* x = In(qkv.select(0, member));
      const float* scale = In(rstd.select(0, member));
      float* to = Out(dqkv.select(0, member));
      for (int64_t i = 0; i < qkv.size(1); ++i) {
        std::fill_n(to, q_width + k_width, 0.0f);
        kernels_.rms_norm_backward(grad, x, In(q_gain.select(0, member)), scale, shape.heads,
                                   shape.head_dim, to, Out(dq_gain.select(0, member)));
        kernels_.rms_norm_backward(grad + q_width, x + q_width, In(k_gain.select(0, member)),
                                   scale + shape.heads, shape.kv_heads, shape.head_dim,
                                   to + q_width, Out(dk_gain.select(0, member)));
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
      const size_t place = static_cast<size_t>(member);
      sums[member] += kernels_.cross_entropy(
          Out(logits.select(0, member)), targets.select(0, member).const_data_ptr<int32_t>(),
          logits.size(1), logits.size(2), static_cast<float>(terms.scale[place]),
          static_cast<float>(terms.z_loss[place]), gradient);
    }
  }

 private:
  const Kernels& kernels_ = CpuKernels();
};

}  // namespace

std::unique_ptr<Ops> MakeCpuOps() { return std::make_unique<CpuOps>(); }

}  // namespace loglog
