#include "trainer/engine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "trainer/device.h"
#include "trainer/footprint.h"
#include "trainer/init.h"
#include "trainer/layout.h"
#include "trainer/model.h"
#include "trainer/optimizer.h"
#include "trainer/probes.h"

namespace loglog {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void CheckPrecision(const TrainConfig& train, const at::Device& device, bool composed) {
  if (train.precision == Precision::kBf16 && device.is_cpu() && !composed) {
    throw ConfigError(
        "train.precision is bf16 and the device is cpu, where it would be slower and no "
        "smaller; use precision fp32, or a CUDA device");
  }
}

// Members that go through the model together, and their views of the flat buffers.
struct MemberGroup {
  int first = 0;
  int count = 0;
  ModelTensors weights;
  ModelTensors grads;
};

// A workspace with the token tensors that feed it.
struct Lane {
  Lane(const ModelConfig& model, int64_t members, int64_t sequences, at::TensorOptions options,
       const WorkspaceLimits& limits)
      : work(model, members, sequences, options, limits),
        host_tokens(at::empty({members, sequences * model.seq_len}, at::kInt)),
        host_targets(at::empty({members, sequences * model.seq_len}, at::kInt)) {}

  Workspace work;
  at::Tensor host_tokens;
  at::Tensor host_targets;
};

// Of one member, beyond its tensors.
struct Counters {
  double active = 1;
  double window_steps = 0;  // since the metrics were last gathered
  double window_clipped = 0;
};
constexpr int64_t kCounterCount = sizeof(Counters) / sizeof(double);

}  // namespace

class Engine::Impl {
 public:
  Impl(std::vector<MemberConfig> members, const EngineOptions& options);

  void InitWeights();
  std::vector<NamedValue> InitMetrics(int member) const;
  std::vector<StepResult> TrainStep(const int32_t* tokens, int64_t step, bool with_metrics);
  std::vector<double> Evaluate(const int32_t* tokens, int64_t sequences);
  std::vector<NamedValue> Probe(int member, const int32_t* tokens, int64_t sequences);
  void ReadState(size_t index, void* bytes) const;
  void WriteState(size_t index, const void* bytes);

  std::vector<MemberConfig> members_;
  ModelConfig model_;
  at::Device device_;
  std::vector<Counters> counters_;
  std::vector<std::vector<NamedValue>> step_metrics_;
  std::vector<StateBuffer> state_buffers_;
  int64_t state_bytes_ = 0;

 private:
  void ListStateBuffers();
  Lane MakeLane(int64_t members, int64_t sequences) const;
  Lane& LaneFor(int64_t members, int64_t sequences);
  void CheckTokens(const int32_t* tokens, int64_t sequences) const;
  void Accumulate(MemberGroup& group, const int32_t* tokens, int64_t sequences);
  // Runs `sequences` sequences for the members of a group, each member's first sequence
  // `member_stride` tokens after the one before; loss_sum_ gathers.
  void Run(const ModelTensors& weights, ModelTensors* grads, int first, int count, Lane& lane,
           int64_t sequences, const int32_t* tokens, int64_t member_stride, double loss_scale);
  bool AnyActive(const MemberGroup& group) const;
  void Update(int member, int64_t step, bool with_metrics, StepResult* result);
  void GatherStepMetrics(int member, const StepResult& result, const GroupSums& sums);
  void RefreshComputeCopy();
  at::Tensor StateTensor(size_t index) const;

  bool composed_;
  int64_t chunk_tokens_;
  WorkspaceLimits limits_;
  Layout layout_;
  at::ScalarType compute_type_;
  FlatState state_;
  at::Tensor compute_;  // the weights in compute_type_; the same tensor when that is float32
  std::unique_ptr<Ops> ops_;
  RopeTable rope_;
  std::unique_ptr<AdamW> optimizer_;
  std::vector<MemberGroup> groups_;
  std::map<std::pair<int64_t, int64_t>, Lane> lanes_;
  at::Tensor loss_sum_;  // [K] float64
};

Engine::Impl::Impl(std::vector<MemberConfig> members, const EngineOptions& options)
    : members_(std::move(members)),
      model_(members_.at(0).model),
      device_(ParseDevice(options.device)),
      counters_(members_.size()),
      step_metrics_(members_.size()),
      composed_(options.composed_ops || !device_.is_cpu()),
      layout_(MakeLayout(model_)) {
  CheckPrecision(members_[0].train, device_, composed_);
  at::set_num_threads(options.threads);
  at::globalContext().setFlushDenormal(true);
  // On a CPU small parts keep activations in the second-level cache; a GPU wants large ones.
  constexpr int64_t kMegabyte = 1 << 20;
  chunk_tokens_ = device_.is_cpu() ? kCpuChunkTokens : 32768;
  limits_ = device_.is_cpu() ? WorkspaceLimits{kCpuKeptProbabilityBytes, kCpuAttentionBlockBytes}
                             : WorkspaceLimits{2048 * kMegabyte, 512 * kMegabyte};
  if (options.chunk_tokens > 0) chunk_tokens_ = options.chunk_tokens;
  limits_.kept_probability_bytes =
      options.attention_kept_bytes.value_or(limits_.kept_probability_bytes);
  limits_.attention_block_bytes =
      options.attention_block_bytes.value_or(limits_.attention_block_bytes);

  const int64_t count = static_cast<int64_t>(members_.size());
  const at::TensorOptions fp32 = at::TensorOptions().dtype(at::kFloat).device(device_);
  const auto flat = [&] { return at::zeros({count, layout_.floats}, fp32); };
  state_ = {.weights = flat(), .grads = flat(), .m = flat(), .v = flat()};
  const bool bf16 = members_[0].train.precision == Precision::kBf16;
  compute_type_ = bf16 ? at::kBFloat16 : at::kFloat;
  compute_ = state_.weights.to(compute_type_);
  state_bytes_ = count * layout_.floats * (4 * 4 + (bf16 ? 2 : 0));
  ops_ = composed_ ? MakeComposedOps() : MakeCpuOps();
  rope_ = MakeRope(model_, device_);
  optimizer_ = std::make_unique<AdamW>(layout_, state_, composed_);
  loss_sum_ = at::zeros({count}, fp32.dtype(at::kDouble));

  const bool fold = options.fold_members || !device_.is_cpu();
  const int64_t step = fold ? count : 1;
  for (int64_t first = 0; first < count; first += step) {
    const auto rows = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, step); };
    groups_.push_back(
        {.first = static_cast<int>(first),
         .count = static_cast<int>(step),
         .weights = MakeViews(model_, layout_, rows(compute_), rows(state_.weights)),
         .grads = MakeViews(model_, layout_, rows(state_.grads), rows(state_.grads))});
  }
  ListStateBuffers();
}

Lane Engine::Impl::MakeLane(int64_t members, int64_t sequences) const {
  const at::TensorOptions options = at::TensorOptions().dtype(compute_type_).device(device_);
  return Lane(model_, members, sequences, options, limits_);
}

Lane& Engine::Impl::LaneFor(int64_t members, int64_t sequences) {
  const auto found = lanes_.find({members, sequences});
  if (found != lanes_.end()) return found->second;
  return lanes_.emplace(std::pair{members, sequences}, MakeLane(members, sequences)).first->second;
}

void Engine::Impl::InitWeights() {
  const at::Tensor row = at::empty({layout_.floats}, at::kFloat);
  for (size_t member = 0; member < members_.size(); ++member) {
    DrawWeights(members_[member], layout_, row.mutable_data_ptr<float>());
    state_.weights.select(0, static_cast<int64_t>(member)).copy_(row);
    counters_[member] = {};
  }
  state_.m.zero_();
  state_.v.zero_();
  RefreshComputeCopy();
}

std::vector<NamedValue> Engine::Impl::InitMetrics(int member) const {
  const at::Tensor row = state_.weights.select(0, member).cpu();
  const MemberConfig& config = members_[static_cast<size_t>(member)];
  std::vector<NamedValue> values;
  for (const TensorSpec& tensor : layout_.tensors) {
    if (IsGain(tensor.kind)) continue;
    const double std = SampleStd(row.const_data_ptr<float>() + tensor.offset, tensor.size());
    const double d_in = static_cast<double>(DIn(model_, config.init, tensor.kind));
    values.push_back({"init/std/" + tensor.label, std});
    values.push_back({"init/gamma_eff/" + tensor.label, -std::log(std) / std::log(d_in)});
  }
  return values;
}

void Engine::Impl::CheckTokens(const int32_t* tokens, int64_t sequences) const {
  const int64_t width = model_.seq_len + 1;
  for (int64_t i = 0; i < sequences * width; ++i) {
    if (tokens[i] < 0 || tokens[i] >= model_.vocab) {
      throw ConfigError("token id " + std::to_string(tokens[i]) + " at position " +
                        std::to_string(i % width) + " of sequence " + std::to_string(i / width) +
                        " of a batch is outside model.vocab " + std::to_string(model_.vocab) +
                        "; use data made for this vocabulary, or a larger one");
    }
  }
}

bool Engine::Impl::AnyActive(const MemberGroup& group) const {
  const auto begin = counters_.begin() + group.first;
  return std::any_of(begin, begin + group.count, [](const Counters& c) { return c.active != 0; });
}

void Engine::Impl::Run(const ModelTensors& weights, ModelTensors* grads, int first, int count,
                       Lane& lane, int64_t sequences, const int32_t* tokens, int64_t member_stride,
                       double loss_scale) {
  const int64_t length = model_.seq_len;
  int32_t* inputs = lane.host_tokens.mutable_data_ptr<int32_t>();
  int32_t* targets = lane.host_targets.mutable_data_ptr<int32_t>();
  for (int member = 0; member < count; ++member) {
    for (int64_t s = 0; s < sequences; ++s, inputs += length, targets += length) {
      const int32_t* from = tokens + member * member_stride + s * (length + 1);
      std::copy_n(from, length, inputs);
      std::copy_n(from + 1, length, targets);
    }
  }
  at::Tensor loss_sum = loss_sum_.narrow(0, first, count);
  RunModel(model_, *ops_, rope_, weights, grads, lane.host_tokens.to(device_),
           lane.host_targets.to(device_), loss_scale, lane.work, loss_sum);
}

void Engine::Impl::Accumulate(MemberGroup& group, const int32_t* tokens, int64_t sequences) {
  const int64_t width = model_.seq_len + 1;
  const int64_t chunk = ChunkSequences(sequences, model_.seq_len, chunk_tokens_);
  Lane& lane = LaneFor(group.count, chunk);
  state_.grads.narrow(0, group.first, group.count).zero_();
  const double loss_scale = 1 / static_cast<double>(sequences * model_.seq_len);
  const int64_t member_stride = sequences * width;
  for (int64_t begin = 0; begin < sequences; begin += chunk) {
    Run(group.weights, &group.grads, group.first, group.count, lane, chunk,
        tokens + group.first * member_stride + begin * width, member_stride, loss_scale);
  }
}

std::vector<StepResult> Engine::Impl::TrainStep(const int32_t* tokens, int64_t step,
                                                bool with_metrics) {
  const int64_t sequences = members_[0].SequencesPerStep();
  const int64_t count = static_cast<int64_t>(members_.size());
  CheckTokens(tokens, count * sequences);
  loss_sum_.zero_();
  for (MemberGroup& group : groups_) {
    if (AnyActive(group)) Accumulate(group, tokens, sequences);
  }
  // The only wait for the device in a step.
  const at::Tensor numbers = at::cat({loss_sum_, optimizer_->GradSquares()}).cpu();
  const double* values = numbers.const_data_ptr<double>();
  std::vector<StepResult> results(members_.size());
  for (int64_t member = 0; member < count; ++member) {
    StepResult& result = results[static_cast<size_t>(member)];
    result.inactive = counters_[static_cast<size_t>(member)].active == 0;
    if (result.inactive) continue;
    result.loss = values[member] / static_cast<double>(sequences * model_.seq_len);
    result.grad_norm = std::sqrt(values[count + member]);
    result.finite = std::isfinite(result.loss) && std::isfinite(result.grad_norm);
    Update(static_cast<int>(member), step, with_metrics, &result);
  }
  RefreshComputeCopy();
  return results;
}

void Engine::Impl::Update(int member, int64_t step, bool with_metrics, StepResult* result) {
  Counters& counters = counters_[static_cast<size_t>(member)];
  if (!result->finite) {
    counters.active = 0;
    return;
  }
  const TrainConfig& train = members_[static_cast<size_t>(member)].train;
  result->clipped = train.clip > 0 && result->grad_norm > train.clip;
  counters.window_steps += 1;
  counters.window_clipped += result->clipped ? 1 : 0;
  GroupSums sums = {};
  optimizer_->Step(member, train, step, result->clipped ? train.clip / result->grad_norm : 1.0,
                   with_metrics ? &sums : nullptr);
  if (with_metrics) GatherStepMetrics(member, *result, sums);
}

void Engine::Impl::GatherStepMetrics(int member, const StepResult& result, const GroupSums& sums) {
  Counters& counters = counters_[static_cast<size_t>(member)];
  std::vector<NamedValue>& values = step_metrics_[static_cast<size_t>(member)];
  values.clear();
  values.push_back({"loss/train", result.loss});
  values.push_back({"norm/grad", result.grad_norm});
  values.push_back({"grad/clip_rate", counters.window_clipped / counters.window_steps});
  counters.window_steps = counters.window_clipped = 0;

  const auto norms = optimizer_->WeightSquares(member);
  double all = 0, below_eps = 0, params = 0;
  std::array<bool, kTensorGroups> present = {};
  for (const TensorSpec& tensor : layout_.tensors) {
    present[static_cast<size_t>(GroupOf(tensor.kind))] = true;
    params += static_cast<double>(tensor.size());
  }
  for (size_t group = 0; group < kTensorGroups; ++group) {
    if (!present[group]) continue;
    const std::string name = GroupName(static_cast<TensorGroup>(group));
    const double before = sums[group].weight_squares;
    values.push_back({"norm/param/" + name, std::sqrt(norms[group])});
    values.push_back(
        {"update_ratio/" + name, before > 0 ? std::sqrt(sums[group].update_squares / before) : 0});
    all += norms[group];
    below_eps += sums[group].below_eps;
  }
  values.push_back({"norm/param", std::sqrt(all)});
  values.push_back({"adam/eps_share", below_eps / params});
}

std::vector<double> Engine::Impl::Evaluate(const int32_t* tokens, int64_t sequences) {
  CheckTokens(tokens, sequences);
  const int64_t width = model_.seq_len + 1;
  // The workspace of training serves; another one beside it would stay for good. What is left
  // over in the end has one only for as long as it is needed.
  const int64_t chunk =
      ChunkSequences(members_[0].SequencesPerStep(), model_.seq_len, chunk_tokens_);
  const int64_t rest = sequences % chunk;
  loss_sum_.zero_();
  for (MemberGroup& group : groups_) {
    if (!AnyActive(group)) continue;
    const auto run = [&](Lane& lane, int64_t begin, int64_t size) {
      Run(group.weights, nullptr, group.first, group.count, lane, size, tokens + begin * width,
          /*member_stride=*/0, 0);
    };
    for (int64_t begin = 0; begin < sequences - rest; begin += chunk) {
      run(LaneFor(group.count, chunk), begin, chunk);
    }
    if (rest == 0) continue;
    Lane lane = MakeLane(group.count, rest);
    run(lane, sequences - rest, rest);
  }
  const at::Tensor sums = loss_sum_.cpu();
  std::vector<double> losses;
  for (size_t member = 0; member < members_.size(); ++member) {
    const double sum = sums.const_data_ptr<double>()[member];
    losses.push_back(counters_[member].active != 0
                         ? sum / static_cast<double>(sequences * model_.seq_len)
                         : kNan);
  }
  return losses;
}

std::vector<NamedValue> Engine::Impl::Probe(int member, const int32_t* tokens, int64_t sequences) {
  CheckTokens(tokens, sequences);
  // Attention statistics cost exp(T^2): a few million scores tell as much as all.
  constexpr int64_t kScores = int64_t{1} << 22;
  const int64_t scores = model_.heads * model_.seq_len * model_.seq_len;
  const int64_t probed =
      std::clamp<int64_t>(kScores / scores, std::min<int64_t>(1, sequences), sequences);
  const ModelTensors views = MakeViews(model_, layout_, compute_.narrow(0, member, 1),
                                       state_.weights.narrow(0, member, 1));
  ActivationProbe activations(model_);
  loss_sum_.zero_();
  for (int64_t begin = 0; begin < probed; ++begin) {
    Lane& lane = LaneFor(1, 1);
    Run(views, nullptr, member, 1, lane, 1, tokens + begin * (model_.seq_len + 1), 0, 0);
    activations.Add(lane.work);
  }
  std::vector<NamedValue> values;
  const at::Tensor row = state_.weights.select(0, member).cpu();
  AppendCondensation(model_, layout_, row.const_data_ptr<float>(), &values);
  activations.Append(&values);
  return values;
}

void Engine::Impl::RefreshComputeCopy() {
  if (compute_type_ != at::kFloat) compute_.copy_(state_.weights);
}

void Engine::Impl::ListStateBuffers() {
  for (size_t member = 0; member < members_.size(); ++member) {
    const std::string prefix = std::to_string(member) + "/";
    for (const char* kind : {"weights/", "adam_m/", "adam_v/"}) {
      for (const TensorSpec& tensor : layout_.tensors) {
        state_buffers_.push_back({.name = prefix + kind + tensor.name,
                                  .dtype = "F32",
                                  .shape = tensor.shape(),
                                  .bytes = tensor.size() * 4});
      }
    }
    state_buffers_.push_back({.name = prefix + "counters",
                              .dtype = "F64",
                              .shape = {kCounterCount},
                              .bytes = kCounterCount * 8});
  }
}

// The place of buffer `index` in the order of ListStateBuffers; undefined for counters.
at::Tensor Engine::Impl::StateTensor(size_t index) const {
  const size_t per_kind = layout_.tensors.size(), per_member = 3 * per_kind + 1;
  const size_t within = index % per_member;
  if (within == per_member - 1) return {};
  const at::Tensor* flats[] = {&state_.weights, &state_.m, &state_.v};
  const TensorSpec& tensor = layout_.tensors[within % per_kind];
  return flats[within / per_kind]
      ->select(0, static_cast<int64_t>(index / per_member))
      .narrow(0, tensor.offset, tensor.size());
}

void Engine::Impl::ReadState(size_t index, void* bytes) const {
  const size_t size = static_cast<size_t>(state_buffers_.at(index).bytes);
  const at::Tensor tensor = StateTensor(index);
  if (!tensor.defined()) {
    std::memcpy(bytes, &counters_[index / (3 * layout_.tensors.size() + 1)], size);
  } else {
    std::memcpy(bytes, tensor.cpu().const_data_ptr<float>(), size);
  }
}

void Engine::Impl::WriteState(size_t index, const void* bytes) {
  const size_t size = static_cast<size_t>(state_buffers_.at(index).bytes);
  const at::Tensor tensor = StateTensor(index);
  if (!tensor.defined()) {
    std::memcpy(&counters_[index / (3 * layout_.tensors.size() + 1)], bytes, size);
    return;
  }
  const at::Tensor host = at::empty(tensor.sizes(), at::kFloat);
  std::memcpy(host.mutable_data_ptr<float>(), bytes, size);
  tensor.copy_(host);
  if (compute_type_ != at::kFloat) RefreshComputeCopy();
}

Engine::Engine(std::vector<MemberConfig> members, const EngineOptions& options) {
  CheckMembers(members);
  const at::Device device = ParseDevice(options.device);
  impl_ = Translated(device, [&] { return std::make_unique<Impl>(std::move(members), options); });
}

Engine::~Engine() = default;

int Engine::members() const { return static_cast<int>(impl_->members_.size()); }

bool Engine::active(int member) const {
  return impl_->counters_.at(static_cast<size_t>(member)).active != 0;
}

void Engine::InitWeights() {
  Translated(impl_->device_, [&] { impl_->InitWeights(); });
}

std::vector<NamedValue> Engine::InitMetrics(int member) const {
  return Translated(impl_->device_, [&] { return impl_->InitMetrics(member); });
}

std::vector<StepResult> Engine::TrainStep(const int32_t* tokens, int64_t step, bool with_metrics) {
  return Translated(impl_->device_, [&] { return impl_->TrainStep(tokens, step, with_metrics); });
}

const std::vector<NamedValue>& Engine::StepMetrics(int member) const {
  return impl_->step_metrics_.at(static_cast<size_t>(member));
}

std::vector<double> Engine::Evaluate(const int32_t* tokens, int64_t sequences) {
  return Translated(impl_->device_, [&] { return impl_->Evaluate(tokens, sequences); });
}

std::vector<NamedValue> Engine::Probe(int member, const int32_t* tokens, int64_t sequences) {
  return Translated(impl_->device_, [&] { return impl_->Probe(member, tokens, sequences); });
}

void Engine::Deactivate(int member) { impl_->counters_.at(static_cast<size_t>(member)).active = 0; }

const std::vector<StateBuffer>& Engine::state_buffers() const { return impl_->state_buffers_; }

void Engine::ReadState(size_t index, void* bytes) const {
  Translated(impl_->device_, [&] { impl_->ReadState(index, bytes); });
}

void Engine::WriteState(size_t index, const void* bytes) {
  Translated(impl_->device_, [&] { impl_->WriteState(index, bytes); });
}

int64_t Engine::StateBytes() const { return impl_->state_bytes_; }

}  // namespace loglog
