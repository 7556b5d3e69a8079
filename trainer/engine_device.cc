// An optimizer step on a GPU, or as if on one: the host starts it and takes its numbers later.
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "trainer/engine_impl.h"
#include "trainer/gradient_buckets.h"
#include "trainer/ranks.h"
#ifdef LOGLOG_CUDA
#include "trainer/device_cuda.h"
#endif

namespace loglog {
namespace {

// `order` becomes the places of `ids` by their values, ties as they come; `counts` is scratch.
void OrderByToken(const int32_t* ids, int64_t count, std::vector<int32_t>* counts, int32_t* order) {
  std::fill(counts->begin(), counts->end(), 0);
  for (int64_t i = 0; i < count; ++i) ++(*counts)[static_cast<size_t>(ids[i])];
  int32_t begin = 0;
  for (int32_t& entry : *counts) begin += std::exchange(entry, begin);
  for (int64_t i = 0; i < count; ++i) {
    order[(*counts)[static_cast<size_t>(ids[i])]++] = static_cast<int32_t>(i);
  }
}

}  // namespace

void Engine::Impl::MakeDeviceStep(const EngineOptions& options) {
  const Share share = OwnShare();
  const DeviceStep::Shape shape = {.members = static_cast<int64_t>(members_.size()),
                                   .parts = share.size / share.chunk,
                                   .tokens = share.chunk * model_.seq_len};
  device_step_ = std::make_unique<DeviceStep>(
      layout_, shape, state_, device_, options.gpu_kernel_threads, options.numbers_late_steps);
#ifdef LOGLOG_CUDA
  const bool captures = options.captures_steps && device_.is_cuda() && ranks_ == nullptr;
  if (captures) repeaters_ = MakeGraphRepeaters();
#endif
}

void Engine::Impl::FillInputs(const int32_t* tokens, int64_t step,
                              const std::vector<std::optional<StepLimits>>& limits) {
  const Share share = OwnShare();
  const int64_t length = model_.seq_len, width = length + 1;
  const int64_t member_tokens = members_[0].SequencesPerStep() * width;
  DeviceStep::Inputs to = device_step_->Begin();
  std::vector<int32_t> counts(static_cast<size_t>(model_.vocab));
  for (int64_t begin = share.begin; begin < share.begin + share.size; begin += share.chunk) {
    for (int64_t member = 0; member < groups_[0].count; ++member) {
      const int32_t* from = tokens + member * member_tokens + begin * width;
      const int32_t* ids = to.ids;
      for (int64_t s = 0; s < share.chunk; ++s, from += width) {
        to.ids = std::transform(from, from + length, to.ids, Id);
        to.targets = std::transform(from + 1, from + 1 + length, to.targets, Target);
      }
      OrderByToken(ids, share.chunk * length, &counts, to.order);
      to.order += share.chunk * length;
    }
  }
  for (size_t member = 0; member < members_.size(); ++member) {
    const TrainConfig& train = members_[member].train;
    const int64_t predicted = Predicted(tokens + static_cast<int64_t>(member) * member_tokens,
                                        members_[0].SequencesPerStep());
    const std::optional<StepLimits> limited = limits.empty() ? std::nullopt : limits[member];
    const StepLimits limit = limited.value_or(StepLimits());
    to.scale[member] = static_cast<float>(1 / static_cast<double>(std::max<int64_t>(1, predicted)));
    to.z_loss[member] = static_cast<float>(train.z_loss);
    to.terms[member] = {.predicted = static_cast<double>(predicted),
                        .loss_limit = limit.loss,
                        .norm_limit = limit.grad_norm,
                        .limited = limited ? 1.0 : 0.0,
                        .skip_sd = MakesLimits() ? train.skip_sd : 0,
                        .clip = train.clip,
                        .active = counters_[member].active};
    std::array<SegmentStep, kTensorGroups> of_group;
    for (size_t group = 0; group < kTensorGroups; ++group) {
      const GroupStep own =
          StepOfGroup(static_cast<TensorGroup>(group), train, step, model_.d_model);
      of_group[group] = {own.adam, static_cast<float>(own.into_gradient)};
    }
    for (const UpdateSegment& segment : device_step_->segments()) {
      *to.segments++ = of_group[static_cast<size_t>(segment.group)];
    }
  }
}

void Engine::Impl::PassAndUpdate(bool with_metrics) {
  MemberGroup& group = groups_[0];
  const Share share = OwnShare();
  Lane& lane = LaneFor(group.count, share.chunk);
  loss_sum_.zero_();
  state_.grads.zero_();
  std::optional<GradientBuckets> buckets;
  if (ranks_ != nullptr) buckets.emplace(*ranks_, state_.grads, bucket_floats_);
  const LayerDone sum_layer = [&](int64_t layer) { buckets->Final(LayerBegin(layer)); };
  const int64_t parts = share.size / share.chunk;
  for (int64_t part = 0; part < parts; ++part) {
    RunModel(model_, *ops_, rope_, group.weights, &group.grads, device_step_->Batch(part),
             device_step_->Terms(), lane.work, loss_sum_, WeightReads::kOnce,
             buckets && part + 1 == parts ? sum_layer : LayerDone());
  }
  if (buckets) {
    buckets->Final(0);
    ranks_->StartSum(loss_sum_);
    ranks_->FinishSums();
  }
  device_step_->Update(loss_sum_, compute_, with_metrics);
}

void Engine::Impl::StartOnDevice(const int32_t* tokens, int64_t step, bool with_metrics,
                                 const std::vector<std::optional<StepLimits>>& limits) {
  if (device_step_->full()) Absorb(/*wait=*/true);
  FillInputs(tokens, step, limits);
  device_step_->Send();
  const auto work = [&] { PassAndUpdate(with_metrics); };
  Repeater* repeater = repeaters_[with_metrics ? 1 : 0].get();
  repeater == nullptr ? work() : repeater->Run(work);
  device_step_->Return();
  started_.push_back({.step = step, .with_metrics = with_metrics});
}

void Engine::Impl::Absorb(bool wait) {
  while (const std::optional<DeviceStep::Outputs> outputs = device_step_->Take(wait)) {
    wait = false;
    const Started started = started_.front();
    started_.pop_front();
    FinishedStep finished = {.step = started.step, .results = {}, .metrics = {}};
    for (int member = 0; member < groups_[0].count; ++member) {
      finished.results.push_back(ResultOf(member, *outputs, started.with_metrics));
    }
    if (started.with_metrics) finished.metrics = step_metrics_;
    finished_.push_back(std::move(finished));
  }
}

StepResult Engine::Impl::ResultOf(int member, const DeviceStep::Outputs& outputs,
                                  bool with_metrics) {
  const StepNumbers& numbers = outputs.numbers[member];
  Counters& counters = counters_[static_cast<size_t>(member)];
  StepResult result;
  result.inactive = numbers.inactive != 0;
  if (result.inactive) return result;
  result.loss = numbers.loss;
  result.grad_norm = numbers.grad_norm;
  result.clipped = numbers.clipped != 0;
  result.finite = numbers.finite != 0;
  result.skipped = numbers.skipped != 0;
  if (result.skipped) return result;
  if (!result.finite) {
    counters.active = 0;
    return result;
  }
  counters.window_steps += 1;
  counters.window_clipped += result.clipped ? 1 : 0;
  if (!with_metrics) return result;
  const std::vector<UpdateSegment>& segments = device_step_->segments();
  const UpdateSums* own = outputs.sums + static_cast<size_t>(member) * segments.size();
  GroupSums sums = {};
  WeightSquares squares = {.all = {}, .of_layer = [&](int64_t layer) {
                             GroupSquares of_layer = {};
                             for (size_t s = 0; s < segments.size(); ++s) {
                               if (segments[s].layer != layer) continue;
                               of_layer[static_cast<size_t>(segments[s].group)] +=
                                   own[s].new_squares;
                             }
                             return of_layer;
                           }};
  for (size_t s = 0; s < segments.size(); ++s) {
    const size_t group = static_cast<size_t>(segments[s].group);
    sums[group].update_squares += own[s].update_squares;
    sums[group].weight_squares += own[s].weight_squares;
    sums[group].below_eps += own[s].below_eps;
    squares.all[group] += own[s].new_squares;
  }
  GatherStepMetrics(member, result, sums, squares);
  return result;
}

}  // namespace loglog
