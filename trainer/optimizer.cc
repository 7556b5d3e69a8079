#include "trainer/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "trainer/schedule.h"

namespace loglog {
namespace {

bool Decays(TensorGroup group, const TrainConfig& train) {
  switch (group) {
    case TensorGroup::kEmbed:
      return train.decay_embed;
    case TensorGroup::kLmHead:
      return train.decay_lm_head;
    case TensorGroup::kQk:
      return train.decay_qk;
    case TensorGroup::kVo:
      return train.decay_vo;
    case TensorGroup::kMlp:
      return train.decay_mlp;
    case TensorGroup::kNorm:
      return train.decay_norm;
    case TensorGroup::kAttnGate:
      return train.decay_attn_gate;
    case TensorGroup::kBias:
      return train.decay_bias;
  }
  return true;
}

// The factor of a group's learning rate: see TrainConfig::mup_base_width.
double LearningRateFactor(TensorGroup group, const TrainConfig& train, int64_t d_model) {
  const bool vector_like =
      group == TensorGroup::kEmbed || group == TensorGroup::kNorm || group == TensorGroup::kBias;
  if (!train.mup_base_width || vector_like) return 1;
  return static_cast<double>(*train.mup_base_width) / static_cast<double>(d_model);
}

double Number(const at::Tensor& scalar) { return scalar.to(at::kCPU, at::kDouble).item<double>(); }

// The sum of squares of a vector, [] float64 on its device. In blocks: the copy in double of a
// whole gradient would take as much memory as the weights and both moments together.
at::Tensor SquareSum(const at::Tensor& values) {
  constexpr int64_t kBlock = int64_t{1} << 24;
  at::Tensor sum = at::zeros({}, values.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < values.numel(); begin += kBlock) {
    const int64_t size = std::min(kBlock, values.numel() - begin);
    sum.add_(values.narrow(0, begin, size).to(at::kDouble).square_().sum());
  }
  return sum;
}

}  // namespace

std::vector<UpdateSegment> UpdateSegments(const Layout& layout) {
  std::vector<UpdateSegment> segments;
  for (const TensorSpec& tensor : layout.tensors) {
    const int64_t layer = tensor.in_layer ? tensor.layer : -1;
    UpdateSegment* last = segments.empty() ? nullptr : &segments.back();
    if (last != nullptr && last->group == tensor.group() && last->layer == layer &&
        last->begin + last->size == tensor.offset) {
      last->size += tensor.size();
    } else {
      segments.push_back({tensor.offset, tensor.size(), tensor.group(), layer});
    }
  }
  return segments;
}

GroupStep StepOfGroup(TensorGroup group, const TrainConfig& train, int64_t step, int64_t d_model) {
  const double t = static_cast<double>(step + 1);
  GroupStep own;
  own.adam = {
      .beta1 = static_cast<float>(train.beta1),
      .beta2 = static_cast<float>(train.beta2),
      .eps = static_cast<float>(train.adam_eps),
      .step_size = static_cast<float>(LearningRate(train, step) / (1 - std::pow(train.beta1, t))),
      .inv_sqrt_bias2 = static_cast<float>(1 / std::sqrt(1 - std::pow(train.beta2, t))),
      .decay = static_cast<float>(DecayRate(train, step)),
  };
  if (!Decays(group, train)) own.adam.decay = 0;
  if (const double factor = LearningRateFactor(group, train, d_model); factor != 1) {
    own.adam.step_size *= static_cast<float>(factor);
    if (train.decay == DecayMode::kCoupled) own.adam.decay *= static_cast<float>(factor);
  }
  if (train.decay == DecayMode::kGradient) own.into_gradient = std::exchange(own.adam.decay, 0.0f);
  return own;
}

AdamW::AdamW(const ModelConfig& model, const Layout& layout, FlatState state, bool composed)
    : d_model_(model.d_model),
      state_(std::move(state)),
      composed_(composed),
      segments_(UpdateSegments(layout)) {}

at::Tensor AdamW::GradSquares() const {
  const int64_t members = state_.grads.size(0);
  at::Tensor squares = at::empty({members}, state_.grads.options().dtype(at::kDouble));
  for (int64_t member = 0; member < members; ++member) {
    const at::Tensor row = state_.grads.select(0, member);
    if (composed_) {
      squares.select(0, member).copy_(SquareSum(row));
      continue;
    }
    squares.mutable_data_ptr<double>()[member] =
        CpuKernels().sum_squares(row.const_data_ptr<float>(), row.numel());
  }
  return squares;
}

void AdamW::Step(int64_t member, const TrainConfig& train, int64_t step, double grad_scale,
                 GroupSums* sums) {
  for (const UpdateSegment& segment : segments_) {
    GroupStep own = StepOfGroup(segment.group, train, step, d_model_);
    own.adam.grad_scale = static_cast<float>(grad_scale);
    StepSegment(member, segment, own.adam, own.into_gradient,
                sums == nullptr ? nullptr : &(*sums)[static_cast<size_t>(segment.group)]);
  }
}

void AdamW::StepSegment(int64_t member, const UpdateSegment& segment, const AdamWStep& step,
                        double into_gradient, AdamWSums* sums) {
  if (!composed_ && into_gradient == 0) {
    const auto row = [&](at::Tensor& flat) {
      return flat.mutable_data_ptr<float>() + member * flat.stride(0) + segment.begin;
    };
    CpuKernels().adamw(step, segment.size, row(state_.grads), row(state_.weights), row(state_.m),
                       row(state_.v), sums);
    return;
  }
  const auto part = [&](const at::Tensor& flat) {
    return flat.select(0, member).narrow(0, segment.begin, segment.size);
  };
  const at::Tensor weight = part(state_.weights), grad = part(state_.grads);
  // Clipping is of the loss's gradient alone, as with PyTorch's Adam.
  if (into_gradient != 0) grad.add_(weight, into_gradient / step.grad_scale);
  if (!composed_) return StepSegment(member, segment, step, 0, sums);
  const at::Tensor m = part(state_.m), v = part(state_.v);
  const at::Tensor scaled = grad * step.grad_scale;
  m.mul_(step.beta1).add_(scaled, 1 - step.beta1);
  v.mul_(step.beta2).addcmul_(scaled, scaled, 1 - step.beta2);
  const at::Tensor root = at::sqrt(v);
  const at::Tensor change =
      m / (root * step.inv_sqrt_bias2 + step.eps) * -step.step_size - weight * step.decay;
  if (sums != nullptr) {
    sums->update_squares += Number(SquareSum(change));
    sums->weight_squares += Number(SquareSum(weight));
    sums->below_eps += Number((root < step.eps).sum());
  }
  weight.add_(change);
  if (sums != nullptr) sums->new_squares += Number(SquareSum(weight));
}

double AdamW::WeightSquares(int64_t member, int64_t begin, int64_t size) const {
  if (composed_) {
    return Number(SquareSum(state_.weights.select(0, member).narrow(0, begin, size)));
  }
  const at::Tensor& weights = state_.weights;
  return CpuKernels().sum_squares(
      weights.const_data_ptr<float>() + member * weights.stride(0) + begin, size);
}

}  // namespace loglog
