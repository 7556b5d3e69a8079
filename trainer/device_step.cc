#include "trainer/device_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>

#include "trainer/gpu_kernels.h"
#ifdef LOGLOG_CUDA
#include "trainer/device_cuda.h"
#endif

namespace loglog {
namespace {

// Small enough that a small model fills a GPU, large enough that a block's sums are few.
constexpr int64_t kChunkFloats = int64_t{1} << 14;
constexpr int64_t kAlignment = 64;

// A host copies at once. It can be told to seem late.
class HostClock final : public DeviceClock {
 public:
  explicit HostClock(int late) : late_(late), marks_(kStepsAhead) {}

  void Mark(size_t slot) override { marks_[slot] = ++now_; }
  bool Reached(size_t slot) override { return now_ - marks_[slot] >= late_; }
  void Wait(size_t) override {}

 private:
  int64_t late_, now_ = 0;
  std::vector<int64_t> marks_;
};

std::unique_ptr<DeviceClock> MakeClock([[maybe_unused]] const at::Device& device, int late) {
#ifdef LOGLOG_CUDA
  if (device.is_cuda()) return MakeCudaClock(device, kStepsAhead);
#endif
  return std::make_unique<HostClock>(late);
}

at::Tensor Bytes(int64_t count, const at::TensorOptions& options) {
  return at::empty({count}, options.dtype(at::kByte));
}

// A table of plain structs that stays as it is.
template <typename Entry>
at::Tensor OnDevice(const std::vector<Entry>& table, const at::Device& device) {
  const at::Tensor host = Bytes(static_cast<int64_t>(table.size() * sizeof(Entry)), {});
  std::memcpy(host.mutable_data_ptr(), table.data(), table.size() * sizeof(Entry));
  return host.to(device);
}

}  // namespace

DeviceStep::DeviceStep(const Layout& layout, const Shape& shape, const FlatState& state,
                       at::Device device, int host_threads, int late)
    : shape_(shape),
      state_(state),
      launch_(device, host_threads),
      clock_(MakeClock(device, late)),
      ring_(kStepsAhead, *clock_) {
  segments_ = UpdateSegments(layout);
  ListChunks();
  const int64_t members = shape.members, segments = static_cast<int64_t>(segments_.size());
  const auto field = [](int64_t* end, int64_t bytes) {
    const Field made = {.offset = *end, .bytes = bytes};
    *end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return made;
  };
  int64_t in_bytes = 0, out_bytes = 0;
  for (Field* tokens : {&ids_, &targets_, &order_}) {
    *tokens = field(&in_bytes, 4 * shape.parts * members * shape.tokens);
  }
  scale_ = field(&in_bytes, 4 * members);
  z_loss_ = field(&in_bytes, 4 * members);
  terms_ = field(&in_bytes, members * static_cast<int64_t>(sizeof(StepTerms)));
  segment_steps_ = field(&in_bytes, members * segments * static_cast<int64_t>(sizeof(SegmentStep)));
  numbers_ = field(&out_bytes, members * static_cast<int64_t>(sizeof(StepNumbers)));
  sums_ = field(&out_bytes, members * segments * static_cast<int64_t>(sizeof(UpdateSums)));

  const at::TensorOptions on_device = at::TensorOptions().device(device);
  const at::TensorOptions pinned = at::TensorOptions().pinned_memory(device.is_cuda());
  in_ = Bytes(in_bytes, on_device);
  out_ = Bytes(out_bytes, on_device);
  for (size_t slot = 0; slot < kStepsAhead; ++slot) {
    slots_.push_back({.in = Bytes(in_bytes, pinned), .out = Bytes(out_bytes, pinned)});
  }
  square_chunks_ = (layout.floats + kChunkFloats - 1) / kChunkFloats;
  const at::TensorOptions fp64 = on_device.dtype(at::kDouble);
  active_ = at::ones({members}, fp64);
  histories_ = OnDevice(std::vector<SkipHistory>(static_cast<size_t>(members)), device);
  squares_ = at::zeros({members}, fp64);
  square_parts_ = at::zeros({members, square_chunks_}, fp64);
  grad_scale_ = at::zeros({members}, on_device.dtype(at::kFloat));
  update_parts_ = Bytes(members * chunks_ * static_cast<int64_t>(sizeof(UpdateSums)), on_device);
}

void DeviceStep::ListChunks() {
  std::vector<AdamWChunk> chunk_list;
  std::vector<int64_t> begins = {0};
  for (size_t s = 0; s < segments_.size(); ++s) {
    const UpdateSegment& own = segments_[s];
    for (int64_t at = 0; at < own.size; at += kChunkFloats) {
      chunk_list.push_back({.begin = own.begin + at,
                            .size = std::min(kChunkFloats, own.size - at),
                            .segment = static_cast<int64_t>(s)});
    }
    begins.push_back(static_cast<int64_t>(chunk_list.size()));
  }
  chunks_ = begins.back();
  chunk_list_ = OnDevice(chunk_list, launch_.device());
  begins_ = OnDevice(begins, launch_.device());
}

at::Tensor DeviceStep::View(const Field& field, at::ScalarType type, at::IntArrayRef sizes) const {
  return in_.narrow(0, field.offset, field.bytes).view(type).view(sizes);
}

DeviceStep::Inputs DeviceStep::Begin() {
  char* bytes = Out<char>(slots_[ring_.Begin()].in);
  const auto at = [&]<typename Entry>(const Field& field, Entry*& to) {
    to = reinterpret_cast<Entry*>(bytes + field.offset);
  };
  Inputs inputs = {};
  at(ids_, inputs.ids);
  at(targets_, inputs.targets);
  at(order_, inputs.order);
  at(scale_, inputs.scale);
  at(z_loss_, inputs.z_loss);
  at(terms_, inputs.terms);
  at(segment_steps_, inputs.segments);
  return inputs;
}

void DeviceStep::Send() { in_.copy_(slots_[ring_.Begin()].in, /*non_blocking=*/true); }

TokenBatch DeviceStep::Batch(int64_t part) const {
  const auto tokens = [&](const Field& field) {
    return View(field, at::kInt, {shape_.parts, shape_.members, shape_.tokens}).select(0, part);
  };
  return {.ids = tokens(ids_), .targets = tokens(targets_), .order = tokens(order_)};
}

LossTerms DeviceStep::Terms() const {
  return {.scale = View(scale_, at::kFloat, {shape_.members}),
          .z_loss = View(z_loss_, at::kFloat, {shape_.members})};
}

void DeviceStep::Update(const at::Tensor& loss_sum, const at::Tensor& shadow, bool with_sums) {
  const int64_t members = shape_.members, count = state_.grads.size(1);
  const int64_t segments = static_cast<int64_t>(segments_.size());
  launch_(SquareParts{In<float>(state_.grads), count, kChunkFloats, square_chunks_,
                      Out<double>(square_parts_)},
          members * square_chunks_);
  squares_.zero_();
  launch_(SumRows<double>{In<double>(square_parts_), square_chunks_, Out<double>(squares_)},
          members);
  const char* in = In<char>(in_);
  char* out = Out<char>(out_);
  launch_(JudgeStep{In<double>(loss_sum), In<double>(squares_),
                    reinterpret_cast<const StepTerms*>(in + terms_.offset), Out<double>(active_),
                    Out<SkipHistory>(histories_),
                    reinterpret_cast<StepNumbers*>(out + numbers_.offset), Out<float>(grad_scale_)},
          members);
  launch_(AdamWFlat{In<AdamWChunk>(chunk_list_),
                    reinterpret_cast<const SegmentStep*>(in + segment_steps_.offset),
                    In<float>(grad_scale_), count, chunks_, segments, In<float>(state_.grads),
                    Out<float>(state_.weights), Out<float>(state_.m), Out<float>(state_.v),
                    shadow.scalar_type() == at::kBFloat16 ? Out<Bf16>(shadow) : nullptr,
                    with_sums ? Out<UpdateSums>(update_parts_) : nullptr},
          members * chunks_);
  if (!with_sums) return;
  launch_(SumSegments{In<UpdateSums>(update_parts_), In<int64_t>(begins_), chunks_, segments,
                      reinterpret_cast<UpdateSums*>(out + sums_.offset)},
          members * segments);
}

void DeviceStep::Return() {
  slots_[ring_.Begin()].out.copy_(out_, /*non_blocking=*/true);
  ring_.End();
}

std::optional<DeviceStep::Outputs> DeviceStep::Take(bool wait) {
  const std::optional<size_t> slot = ring_.Take(wait);
  if (!slot) return std::nullopt;
  const char* bytes = In<char>(slots_[*slot].out);
  return Outputs{.numbers = reinterpret_cast<const StepNumbers*>(bytes + numbers_.offset),
                 .sums = reinterpret_cast<const UpdateSums*>(bytes + sums_.offset)};
}

void DeviceStep::Reactivate() { active_.fill_(1); }

void DeviceStep::SetHistories(const std::vector<SkipHistory>& histories) {
  histories_.copy_(OnDevice(histories, at::kCPU));
}

}  // namespace loglog
