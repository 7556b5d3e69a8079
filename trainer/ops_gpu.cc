// GpuOps: the kernels of gpu_kernels.h and gpu_norms.h, products and attention by the library. What
// has no kernel of its own (norms of heads, softmax of scores) is ComposedOps'.
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "trainer/attention_library.h"
#include "trainer/gpu_kernels.h"
#include "trainer/gpu_launcher.h"
#include "trainer/gpu_norms.h"
#include "trainer/ops.h"

namespace loglog {
namespace {

// Chunks of rows that a norm's backward pass goes through side by side: a few for each
// multiprocessor of a large GPU.
constexpr int64_t kChunks = 1024;

// Calls `body` with a value of the type that `tensor` stores.
template <typename Body>
void ByType(const at::Tensor& tensor, Body body) {
  if (tensor.scalar_type() == at::kFloat) return body(float());
  TORCH_CHECK(tensor.scalar_type() == at::kBFloat16, "a kernel is for fp32 and bf16");
  body(Bf16());
}

// Kernels take rows one after another; what members have may lie further apart.
void CheckRows(std::initializer_list<at::Tensor> tensors) {
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(tensor.is_contiguous(), "a kernel's rows are contiguous");
  }
}

int64_t Rows(const at::Tensor& tensor) { return tensor.size(0) * tensor.size(1); }

// Memory that a step needs for as long as it runs on the device's stream. What was handed out
// once stays: a captured step goes on using it.
class Scratch {
 public:
  explicit Scratch(at::Device device) : device_(device) {}

  float* Take(int64_t floats) {
    if (rooms_.empty() || rooms_.back().numel() < floats) {
      const int64_t doubled = rooms_.empty() ? 0 : 2 * rooms_.back().numel();
      rooms_.push_back(at::empty({std::max(floats, doubled)},
                                 at::TensorOptions().dtype(at::kFloat).device(device_)));
    }
    return Out<float>(rooms_.back());
  }

 private:
  at::Device device_;
  std::vector<at::Tensor> rooms_;
};

class GpuOps final : public Ops {
 public:
  GpuOps(at::Device device, int host_threads) : launch_(device, host_threads), scratch_(device) {}

  void Product(const at::Tensor* base, const at::Tensor& a, const at::Tensor& b, Panels* panels,
               at::Tensor& out) const override {
    // The library adds bf16 products to fp32 sums in place; it has this on GPUs alone.
    const bool sums_in_place = out.is_cuda() && out.scalar_type() == at::kFloat &&
                               a.scalar_type() == at::kBFloat16 && base != nullptr &&
                               base->is_same(out);
    if (!sums_in_place) return Ops::Product(base, a, b, panels, out);
    if (a.size(0) == 1) {
      at::Tensor out0 = out.select(0, 0);
      at::addmm_out(out0, out0, a.select(0, 0), b.select(0, 0), at::kFloat);
    } else {
      at::baddbmm_out(out, out, a, b, at::kFloat);
    }
  }

  void ProductNorm(const at::Tensor& base, const at::Tensor& a, const at::Tensor& b, Panels* panels,
                   const at::Tensor& gain, double eps, at::Tensor& delta, at::Tensor& sum,
                   at::Tensor& y, at::Tensor& rstd) const override {
    if (a.scalar_type() == at::kFloat || y.scalar_type() != a.scalar_type()) {
      return Ops::ProductNorm(base, a, b, panels, gain, eps, delta, sum, y, rstd);
    }
    Product(nullptr, a, b, panels, delta);
    Norm(base, &delta, gain, nullptr, eps, &sum, y, rstd);
  }

  void Embed(const at::Tensor& table, const TokenBatch& tokens, at::Tensor& out) const override {
    CheckRows({tokens.ids, out});
    ByType(table, [&]<typename T>(T) {
      launch_(loglog::Embed<T>{In<T>(table), In<int32_t>(tokens.ids), out.size(1), out.size(2),
                               table.stride(0), Out<float>(out)},
              Rows(out));
    });
  }

  void EmbedBackward(const at::Tensor& dout, const TokenBatch& tokens,
                     at::Tensor& dtable) const override {
    CheckRows({dout, tokens.ids, tokens.order});
    launch_(
        loglog::EmbedBackward{In<float>(dout), In<int32_t>(tokens.ids), In<int32_t>(tokens.order),
                              dout.size(1), dout.size(2), dtable.stride(0), Out<float>(dtable)},
        Rows(dout));
  }

  void RmsNorm(const at::Tensor& x, const at::Tensor& gain, double eps, at::Tensor& y,
               at::Tensor& rstd) const override {
    Norm(x, nullptr, gain, nullptr, eps, nullptr, y, rstd);
  }

  void RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                       const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain) const override {
    NormBackward(dy, x, gain, rstd, dx, dgain, nullptr);
  }

  void LayerNorm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps,
                 at::Tensor& y, at::Tensor& rstd) const override {
    Norm(x, nullptr, gain, &bias, eps, nullptr, y, rstd);
  }

  void LayerNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                         const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                         at::Tensor& dbias) const override {
    NormBackward(dy, x, gain, rstd, dx, dgain, &dbias);
  }

  void HeadNorm(const at::Tensor& qkv, const at::Tensor& q_gain, const at::Tensor& k_gain,
                double eps, const HeadShape& shape, at::Tensor& out,
                at::Tensor& rstd) const override {
    composed_->HeadNorm(qkv, q_gain, k_gain, eps, shape, out, rstd);
  }

  void HeadNormBackward(const at::Tensor& dout, const at::Tensor& qkv, const at::Tensor& q_gain,
                        const at::Tensor& k_gain, const at::Tensor& rstd, const HeadShape& shape,
                        at::Tensor& dqkv, at::Tensor& dq_gain, at::Tensor& dk_gain) const override {
    composed_->HeadNormBackward(dout, qkv, q_gain, k_gain, rstd, shape, dqkv, dq_gain, dk_gain);
  }

  bool AttendsInOnePiece(const HeadShape& shape, at::ScalarType type) const override {
    return LibraryAttends(shape, type, launch_.device());
  }

  void Attend(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
              AttentionKept& kept, AttentionRoom& room) const override {
    if (room.heads.defined()) return Ops::Attend(qkv, rope, shape, kept, room);
    Split(qkv, rope, shape, /*by_token=*/true, /*backward=*/false, kept.q, kept.k, kept.v);
    LibraryAttention(shape, kept);
  }

  void AttendBackward(const at::Tensor& dout, const RopeTable& rope, const HeadShape& shape,
                      AttentionKept& kept, AttentionRoom& room, at::Tensor& dqkv) const override {
    if (room.heads.defined()) return Ops::AttendBackward(dout, rope, shape, kept, room, dqkv);
    const HeadGradients grads = LibraryAttentionBackward(shape, kept, dout);
    Split(dqkv, rope, shape, /*by_token=*/true, /*backward=*/true, grads.q, grads.k, grads.v);
  }

  void SplitHeads(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape,
                  at::Tensor& q, at::Tensor& k, at::Tensor& v) const override {
    Split(qkv, rope, shape, /*by_token=*/false, /*backward=*/false, q, k, v);
  }

  void SplitHeadsBackward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv,
                          const RopeTable& rope, const HeadShape& shape,
                          at::Tensor& dqkv) const override {
    Split(dqkv, rope, shape, /*by_token=*/false, /*backward=*/true, dq, dk, dv);
  }

  void HeadsToRows(const at::Tensor& heads, const HeadShape& shape,
                   at::Tensor& rows) const override {
    Turn(heads, shape, /*backward=*/false, rows);
  }

  void RowsToHeads(const at::Tensor& rows, const HeadShape& shape,
                   at::Tensor& heads) const override {
    Turn(heads, shape, /*backward=*/true, rows);
  }

  void CausalSoftmax(at::Tensor& scores, double scale) const override {
    composed_->CausalSoftmax(scores, scale);
  }

  void CausalSoftmaxBackward(const at::Tensor& p, at::Tensor& dp, double scale) const override {
    composed_->CausalSoftmaxBackward(p, dp, scale);
  }

  void SwiGlu(const at::Tensor& gate_up, at::Tensor& out) const override {
    CheckRows({gate_up, out});
    ByType(out, [&]<typename T>(T) {
      launch_(loglog::SwiGlu<T>{In<T>(gate_up), out.size(2), Out<T>(out)}, Rows(out));
    });
  }

  void SwiGluBackward(const at::Tensor& dout, const at::Tensor& gate_up,
                      at::Tensor& dgate_up) const override {
    CheckRows({dout, gate_up, dgate_up});
    ByType(dout, [&]<typename T>(T) {
      launch_(
          loglog::SwiGluBackward<T>{In<T>(dout), In<T>(gate_up), dout.size(2), Out<T>(dgate_up)},
          Rows(dout));
    });
  }

  void SigmoidGate(const at::Tensor& x, const at::Tensor& gate, at::Tensor& out) const override {
    CheckRows({x, gate, out});
    ByType(out, [&]<typename T>(T) {
      launch_(loglog::SigmoidGate<T>{In<T>(x), In<T>(gate), out.size(2), Out<T>(out)}, Rows(out));
    });
  }

  void SigmoidGateBackward(const at::Tensor& dout, const at::Tensor& x, const at::Tensor& gate,
                           at::Tensor& dx, at::Tensor& dgate) const override {
    CheckRows({dout, x, gate, dx, dgate});
    ByType(dout, [&]<typename T>(T) {
      launch_(loglog::SigmoidGateBackward<T>{In<T>(dout), In<T>(x), In<T>(gate), dout.size(2),
                                             Out<T>(dx), Out<T>(dgate)},
              Rows(dout));
    });
  }

  void CrossEntropy(at::Tensor& logits, const at::Tensor& targets, const LossTerms& terms,
                    bool gradient, at::Tensor& loss_sum) const override {
    CheckRows({logits, targets, terms.scale, terms.z_loss, loss_sum});
    const int64_t rows = logits.size(1);
    float* row_loss = scratch_.Take(Rows(logits));
    ByType(logits, [&]<typename T>(T) {
      launch_(loglog::CrossEntropy<T>{Out<T>(logits), In<int32_t>(targets), In<float>(terms.scale),
                                      In<float>(terms.z_loss), rows, logits.size(2), gradient,
                                      row_loss},
              Rows(logits));
    });
    launch_(SumRows<float>{row_loss, rows, Out<double>(loss_sum)}, logits.size(0));
  }

 private:
  void Norm(const at::Tensor& x, const at::Tensor* delta, const at::Tensor& gain,
            const at::Tensor* bias, double eps, at::Tensor* sum, at::Tensor& y,
            at::Tensor& rstd) const {
    CheckRows({x, y, rstd});
    ByType(y, [&]<typename T>(T) {
      launch_(AddNorm<T>{In<float>(x), delta == nullptr ? nullptr : In<T>(*delta), In<float>(gain),
                         bias == nullptr ? nullptr : In<float>(*bias), static_cast<float>(eps),
                         x.size(1), x.size(2), gain.stride(0),
                         sum == nullptr ? nullptr : Out<float>(*sum), Out<T>(y), Out<float>(rstd)},
              Rows(x));
    });
  }

  void NormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                    const at::Tensor& rstd, at::Tensor& dx, at::Tensor& dgain,
                    at::Tensor* dbias) const {
    CheckRows({dy, x, rstd, dx});
    const int64_t members = x.size(0), rows = x.size(1), width = x.size(2);
    const int64_t chunk_rows = (Rows(x) + kChunks - 1) / kChunks;
    const int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
    const int64_t floats = members * chunks * width;
    float* parts = scratch_.Take(2 * floats + Rows(x));
    ByType(dy, [&]<typename T>(T) {
      launch_(
          loglog::NormBackward<T>{In<T>(dy), In<float>(x), In<float>(gain), In<float>(rstd), rows,
                                  width, gain.stride(0), chunk_rows, chunks, Out<float>(dx), parts,
                                  dbias == nullptr ? nullptr : parts + floats, parts + 2 * floats},
          members * chunks);
    });
    launch_(SumParts{parts, chunks, width, dgain.stride(0), Out<float>(dgain)}, members * width);
    if (dbias == nullptr) return;
    launch_(SumParts{parts + floats, chunks, width, dbias->stride(0), Out<float>(*dbias)},
            members * width);
  }

  // Which of them are written follows from `backward`.
  void Split(const at::Tensor& qkv, const RopeTable& rope, const HeadShape& shape, bool by_token,
             bool backward, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    CheckRows({qkv, q, k, v});
    ByType(qkv, [&]<typename T>(T) {
      launch_(loglog::SplitHeads<T>{Out<T>(qkv), In<float>(rope.cos), In<float>(rope.sin), shape,
                                    by_token, backward, Out<T>(q), Out<T>(k), Out<T>(v)},
              shape.sequences * shape.positions);
    });
  }

  void Turn(const at::Tensor& heads, const HeadShape& shape, bool backward,
            const at::Tensor& rows) const {
    CheckRows({heads, rows});
    ByType(rows, [&]<typename T>(T) {
      launch_(loglog::HeadsToRows<T>{Out<T>(heads), shape, backward, Out<T>(rows)},
              shape.sequences * shape.positions);
    });
  }

  const Launcher launch_;
  const std::unique_ptr<Ops> composed_ = MakeComposedOps();
  mutable Scratch scratch_;
};

}  // namespace

std::unique_ptr<Ops> MakeGpuOps(at::Device device, int host_threads) {
  return std::make_unique<GpuOps>(device, host_threads);
}

}  // namespace loglog
