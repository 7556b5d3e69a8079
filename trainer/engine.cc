#include "trainer/engine_impl.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "trainer/device.h"
#include "trainer/focus.h"
#include "trainer/footprint.h"
#include "trainer/gradient_buckets.h"
#include "trainer/init.h"
#include "trainer/probes.h"
#include "trainer/ranks.h"
#ifdef LOGLOG_CUDA
#include "trainer/device_cuda.h"
#endif

namespace loglog {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void CheckPrecision(const TrainConfig& train, const at::Device& device, bool takes_bf16) {
  if (train.precision == Precision::kBf16 && device.is_cpu() && !takes_bf16) {
    throw ConfigError(
        "train.precision is bf16 and the device is cpu, where it would be slower and no "
        "smaller; use precision fp32, or a CUDA device");
  }
}

void CheckShares(const MemberConfig& member, int64_t ranks) {
  if (member.SequencesPerStep() % ranks == 0) return;
  throw ConfigError("a step has " + std::to_string(member.SequencesPerStep()) +
                    " sequences, which " + std::to_string(ranks) +
                    " ranks cannot share equally; use a number of ranks that divides it, or change "
                    "train.batch_tokens");
}

bool IsBeyond(const std::optional<StepLimits>& limits, const StepResult& result) {
  if (!limits) return false;
  return !result.finite || result.loss > limits->loss || result.grad_norm > limits->grad_norm;
}

LossTerms NoGradient(int64_t members, const at::Device& device) {
  const at::Tensor zeros =
      at::zeros({members}, at::TensorOptions().dtype(at::kFloat).device(device));
  return {.scale = zeros, .z_loss = zeros};
}

// Of one of the `parts` in which the sequences of a step go through the model.
WeightReads PartReads(int64_t parts, bool first) {
  if (parts == 1) return WeightReads::kOnce;
  return first ? WeightReads::kFirstOfSeveral : WeightReads::kSameAgain;
}

}  // namespace

Engine::Impl::Impl(std::vector<MemberConfig> members, const EngineOptions& options)
    : members_(std::move(members)),
      model_(members_.at(0).model),
      device_(ParseDevice(options.device)),
      counters_(members_.size()),
      step_metrics_(members_.size()),
      token_frequencies_(static_cast<size_t>(model_.vocab), 1.0),
      on_gpu_(!device_.is_cpu() || options.gpu_kernel_threads > 0),
      composed_(options.composed_ops),
      ranks_(options.ranks),
      bucket_floats_(options.bucket_floats > 0 ? options.bucket_floats : kBucketFloats),
      layout_(MakeLayout(model_)) {
  CheckPrecision(members_[0].train, device_, composed_ || on_gpu_);
  if (ranks_ != nullptr) CheckShares(members_[0], ranks_->count());
#ifdef LOGLOG_CUDA
  if (device_.is_cuda()) UseDevice(device_);
#endif
  at::set_num_threads(options.threads);
  at::globalContext().setFlushDenormal(true);
  // On a CPU small parts keep activations in the second-level cache; a GPU wants large ones.
  constexpr int64_t kMegabyte = 1 << 20;
  chunk_tokens_ = device_.is_cpu() ? CpuChunkTokens(model_.d_model) : 32768;
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
  ops_ = on_gpu_     ? MakeGpuOps(device_, options.gpu_kernel_threads)
         : composed_ ? MakeComposedOps()
                     : MakeCpuOps(options.threads);
  rope_ = MakeRope(model_, device_);
  optimizer_ = std::make_unique<AdamW>(model_, layout_, state_, composed_);
  loss_sum_ = at::zeros({count}, fp32.dtype(at::kDouble));

  const HeadShape heads = {
      .heads = model_.heads, .kv_heads = model_.kv_heads, .head_dim = model_.HeadDim()};
  limits_.in_one_piece = ops_->AttendsInOnePiece(heads, compute_type_);

  const bool fold = options.fold_members || on_gpu_;
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
  if (on_gpu_) MakeDeviceStep(options);
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
  if (device_step_) device_step_->Reactivate();
}

std::vector<NamedValue> Engine::Impl::InitMetrics(int member) const {
  const at::Tensor row = state_.weights.select(0, member).cpu();
  const MemberConfig& config = members_[static_cast<size_t>(member)];
  std::vector<NamedValue> values;
  for (const TensorSpec& tensor : layout_.tensors) {
    if (!tensor.is_matrix()) continue;
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
    const int32_t id = Id(tokens[i]);
    if (id >= model_.vocab) {
      throw ConfigError("token id " + std::to_string(id) + " at position " +
                        std::to_string(i % width) + " of sequence " + std::to_string(i / width) +
                        " of a batch is outside model.vocab " + std::to_string(model_.vocab) +
                        "; use data made for this vocabulary, or a larger one");
    }
  }
}

int64_t Engine::Impl::Predicted(const int32_t* tokens, int64_t sequences) const {
  int64_t count = 0;
  for (int64_t s = 0; s < sequences; ++s, tokens += model_.seq_len + 1) {
    count += std::count_if(tokens + 1, tokens + 1 + model_.seq_len,
                           [](int32_t token) { return token >= 0; });
  }
  return count;
}

bool Engine::Impl::AnyActive(const MemberGroup& group) const {
  const auto begin = counters_.begin() + group.first;
  return std::any_of(begin, begin + group.count, [](const Counters& c) { return c.active != 0; });
}

void Engine::Impl::Run(const ModelTensors& weights, ModelTensors* grads, int first, int count,
                       Lane& lane, int64_t sequences, const int32_t* tokens, int64_t member_stride,
                       const LossTerms& terms, WeightReads reads, const LayerDone& layer_done) {
  const int64_t length = model_.seq_len;
  int32_t* inputs = lane.host.ids.mutable_data_ptr<int32_t>();
  int32_t* targets = lane.host.targets.mutable_data_ptr<int32_t>();
  for (int member = 0; member < count; ++member) {
    for (int64_t s = 0; s < sequences; ++s, inputs += length, targets += length) {
      const int32_t* from = tokens + member * member_stride + s * (length + 1);
      std::transform(from, from + length, inputs, Id);
      std::transform(from + 1, from + 1 + length, targets, Target);
    }
  }
  at::Tensor loss_sum = loss_sum_.narrow(0, first, count);
  const TokenBatch batch = {
      .ids = lane.host.ids.to(device_), .targets = lane.host.targets.to(device_), .order = {}};
  RunModel(model_, *ops_, rope_, weights, grads, batch, terms, lane.work, loss_sum, reads,
           layer_done);
}

int64_t Engine::Impl::LayerBegin(int64_t layer) const {
  const auto first =
      std::find_if(layout_.tensors.begin(), layout_.tensors.end(),
                   [&](const TensorSpec& t) { return t.in_layer && t.layer == layer; });
  return first->offset;
}

Engine::Impl::Share Engine::Impl::OwnShare() const {
  const int64_t sequences = members_[0].SequencesPerStep();
  Share share = {.size = sequences};
  if (ranks_ != nullptr) {
    share.size = sequences / ranks_->count();
    share.begin = ranks_->rank() * share.size;
  }
  share.chunk = ChunkSequences(share.size, model_.seq_len, chunk_tokens_);
  return share;
}

void Engine::Impl::Accumulate(MemberGroup& group, const int32_t* tokens, int64_t sequences) {
  const int64_t width = model_.seq_len + 1;
  const Share share = OwnShare();
  Lane& lane = LaneFor(group.count, share.chunk);
  const at::Tensor grads = state_.grads.narrow(0, group.first, group.count);
  grads.zero_();
  std::optional<GradientBuckets> buckets;
  if (ranks_ != nullptr) buckets.emplace(*ranks_, grads, bucket_floats_);
  const LayerDone sum_layer = [&](int64_t layer) { buckets->Final(LayerBegin(layer)); };
  const int64_t member_stride = sequences * width;
  const at::Tensor scale = at::empty({group.count}, at::kFloat);
  const at::Tensor z_loss = at::empty({group.count}, at::kFloat);
  for (int64_t i = 0; i < group.count; ++i) {
    const int64_t member = group.first + i;
    const int64_t predicted = Predicted(tokens + member * member_stride, sequences);
    scale.mutable_data_ptr<float>()[i] =
        static_cast<float>(1 / static_cast<double>(std::max<int64_t>(1, predicted)));
    z_loss.mutable_data_ptr<float>()[i] =
        static_cast<float>(members_[static_cast<size_t>(member)].train.z_loss);
  }
  const LossTerms terms = {.scale = scale.to(device_), .z_loss = z_loss.to(device_)};
  for (int64_t begin = 0; begin < share.size; begin += share.chunk) {
    const bool last = begin + share.chunk == share.size;
    Run(group.weights, &group.grads, group.first, group.count, lane, share.chunk,
        tokens + group.first * member_stride + (share.begin + begin) * width, member_stride, terms,
        PartReads(share.size / share.chunk, begin == 0), buckets && last ? sum_layer : LayerDone());
  }
  if (buckets) buckets->Final(0);
}

std::optional<FinishedStep> Engine::Impl::TakeStep(bool wait) {
  if (device_step_) Absorb(wait && finished_.empty());
  if (finished_.empty()) return std::nullopt;
  FinishedStep oldest = std::move(finished_.front());
  finished_.pop_front();
  return oldest;
}

void Engine::Impl::StartStep(const int32_t* tokens, int64_t step, bool with_metrics,
                             const std::vector<std::optional<StepLimits>>& limits) {
  const int64_t sequences = members_[0].SequencesPerStep();
  const int64_t count = static_cast<int64_t>(members_.size());
  CheckTokens(tokens, count * sequences);
  if (device_step_) return StartOnDevice(tokens, step, with_metrics, limits);
  loss_sum_.zero_();
  for (MemberGroup& group : groups_) {
    if (AnyActive(group)) Accumulate(group, tokens, sequences);
  }
  if (ranks_ != nullptr) {
    ranks_->StartSum(loss_sum_);
    ranks_->FinishSums();
  }
  const at::Tensor numbers = at::cat({loss_sum_, optimizer_->GradSquares()}).cpu();
  const double* values = numbers.const_data_ptr<double>();
  std::vector<StepResult> results(members_.size());
  for (int64_t member = 0; member < count; ++member) {
    StepResult& result = results[static_cast<size_t>(member)];
    result.inactive = counters_[static_cast<size_t>(member)].active == 0;
    if (result.inactive) continue;
    const int32_t* own = tokens + member * sequences * (model_.seq_len + 1);
    result.loss = values[member] / static_cast<double>(Predicted(own, sequences));
    result.grad_norm = std::sqrt(values[count + member]);
    result.finite = std::isfinite(result.loss) && std::isfinite(result.grad_norm);
    if (!limits.empty()) result.skipped = IsBeyond(limits[static_cast<size_t>(member)], result);
    Update(static_cast<int>(member), step, with_metrics, &result);
  }
  RefreshComputeCopy();
  finished_.push_back({.step = step, .results = std::move(results), .metrics = {}});
  if (with_metrics) finished_.back().metrics = step_metrics_;
}

void Engine::Impl::Update(int member, int64_t step, bool with_metrics, StepResult* result) {
  Counters& counters = counters_[static_cast<size_t>(member)];
  if (result->skipped) return;
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
  if (!with_metrics) return;
  const auto of_layer = [&](int64_t layer) {
    GroupSquares squares = {};
    for (const TensorSpec& tensor : layout_.tensors) {
      if (!tensor.in_layer || tensor.layer != layer) continue;
      squares[static_cast<size_t>(tensor.group())] +=
          optimizer_->WeightSquares(member, tensor.offset, tensor.size());
    }
    return squares;
  };
  WeightSquares squares = {.all = {}, .of_layer = of_layer};
  for (size_t group = 0; group < kTensorGroups; ++group)
    squares.all[group] = sums[group].new_squares;
  GatherStepMetrics(member, *result, sums, squares);
}

void Engine::Impl::GatherStepMetrics(int member, const StepResult& result, const GroupSums& sums,
                                     const WeightSquares& squares) {
  Counters& counters = counters_[static_cast<size_t>(member)];
  std::vector<NamedValue>& values = step_metrics_[static_cast<size_t>(member)];
  values.clear();
  values.push_back({"loss/train", result.loss});
  values.push_back({"norm/grad", result.grad_norm});
  values.push_back({"grad/clip_rate", counters.window_clipped / counters.window_steps});
  counters.window_steps = counters.window_clipped = 0;

  double all = 0, below_eps = 0, params = 0;
  std::array<bool, kTensorGroups> present = {};
  for (const TensorSpec& tensor : layout_.tensors) {
    present[static_cast<size_t>(tensor.group())] = true;
    params += static_cast<double>(tensor.size());
  }
  for (size_t group = 0; group < kTensorGroups; ++group) {
    if (!present[group]) continue;
    const std::string name = GroupName(static_cast<TensorGroup>(group));
    const double before = sums[group].weight_squares;
    values.push_back({"norm/param/" + name, std::sqrt(squares.all[group])});
    values.push_back(
        {"update_ratio/" + name, before > 0 ? std::sqrt(sums[group].update_squares / before) : 0});
    all += squares.all[group];
    below_eps += sums[group].below_eps;
  }
  values.push_back({"norm/param", std::sqrt(all)});
  if (members_[static_cast<size_t>(member)].metrics.layers) AppendLayerNorms(squares, &values);
  values.push_back({"adam/eps_share", below_eps / params});
}

void Engine::Impl::AppendLayerNorms(const WeightSquares& weight_squares,
                                    std::vector<NamedValue>* values) const {
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const std::string name = "norm/param/layers." + std::to_string(layer);
    const GroupSquares squares = weight_squares.of_layer(layer);
    double all = 0;
    for (size_t group = 0; group < kTensorGroups; ++group) {
      all += squares[group];
      // Gains, biases and a gate are in the sum of the layer; these are what is told apart.
      const auto kind = static_cast<TensorGroup>(group);
      if (kind != TensorGroup::kQk && kind != TensorGroup::kVo && kind != TensorGroup::kMlp)
        continue;
      if (kind == TensorGroup::kMlp && model_.mlp == MlpKind::kNone) continue;
      values->push_back({name + "." + GroupName(kind), std::sqrt(squares[group])});
    }
    values->push_back({name, std::sqrt(all)});
  }
}

std::vector<Evaluation> Engine::Impl::Evaluate(const int32_t* tokens, int64_t sequences,
                                               bool with_answers) {
  CheckTokens(tokens, sequences);
  const int64_t width = model_.seq_len + 1;
  // The workspace of training serves; another one beside it would stay for good. What is left
  // over in the end has one only for as long as it is needed.
  const Share share = OwnShare();
  const int64_t chunk = share.chunk, rest = sequences % chunk;
  loss_sum_.zero_();
  std::vector<Evaluation> results(members_.size());
  for (MemberGroup& group : groups_) {
    if (!AnyActive(group)) continue;
    const LossTerms terms = NoGradient(group.count, device_);
    const auto run = [&](Lane& lane, int64_t begin, int64_t size, WeightReads reads) {
      Run(group.weights, nullptr, group.first, group.count, lane, size, tokens + begin * width,
          /*member_stride=*/0, terms, reads);
      if (with_answers) TakeAnswers(group, lane, &results);
    };
    for (int64_t begin = 0; begin < sequences - rest; begin += chunk) {
      run(LaneFor(group.count, chunk), begin, chunk, PartReads(share.size / chunk, begin == 0));
    }
    if (rest == 0) continue;
    Lane lane = MakeLane(group.count, rest);
    run(lane, sequences - rest, rest, WeightReads::kOnce);
  }
  const at::Tensor sums = loss_sum_.cpu();
  const double predicted = static_cast<double>(Predicted(tokens, sequences));
  for (size_t member = 0; member < members_.size(); ++member) {
    const double sum = sums.const_data_ptr<double>()[member];
    results[member].loss = counters_[member].active != 0 ? sum / predicted : kNan;
  }
  return results;
}

void Engine::Impl::TakeAnswers(const MemberGroup& group, const Lane& lane,
                               std::vector<Evaluation>* results) const {
  const at::Tensor best = lane.work.logits.argmax(-1).to(at::kCPU, at::kInt).contiguous();
  const int32_t* answer = best.const_data_ptr<int32_t>();
  const int32_t* target = lane.host.targets.const_data_ptr<int32_t>();
  for (int member = group.first; member < group.first + group.count; ++member) {
    std::vector<int32_t>& answers = (*results)[static_cast<size_t>(member)].answers;
    for (int64_t i = 0; i < best.size(1); ++i, ++answer, ++target) {
      if (*target >= 0) answers.push_back(*answer);
    }
  }
}

std::vector<NamedValue> Engine::Impl::Probe(int member, const int32_t* tokens, int64_t sequences,
                                            bool with_spectra) {
  CheckTokens(tokens, sequences);
  // Attention statistics cost exp(T^2): a few million scores tell as much as all.
  constexpr int64_t kScores = int64_t{1} << 22;
  const int64_t scores = model_.heads * model_.seq_len * model_.seq_len;
  const int64_t probed =
      std::clamp<int64_t>(kScores / scores, std::min<int64_t>(1, sequences), sequences);
  const ModelTensors views = MakeViews(model_, layout_, compute_.narrow(0, member, 1),
                                       state_.weights.narrow(0, member, 1));
  const MetricsConfig& metrics = members_[static_cast<size_t>(member)].metrics;
  ActivationProbe activations(model_, metrics.heads);
  loss_sum_.zero_();
  for (int64_t begin = 0; begin < probed; ++begin) {
    Lane& lane = LaneFor(1, 1);
    Run(views, nullptr, member, 1, lane, 1, tokens + begin * (model_.seq_len + 1), 0,
        NoGradient(1, device_), WeightReads::kOnce);
    activations.Add(lane.work, lane.host.ids.const_data_ptr<int32_t>());
  }
  std::vector<NamedValue> values;
  const at::Tensor row = state_.weights.select(0, member).cpu();
  const float* weights = row.const_data_ptr<float>();
  AppendCondensation(model_, layout_, weights,
                     {.frequencies = token_frequencies_,
                      .top_tokens = metrics.top_tokens,
                      .heads = metrics.heads,
                      .spectra = with_spectra},
                     &values);
  activations.Append(&values);
  if (model_.layers == 1) AppendFocus(model_, layout_, weights, token_frequencies_, &values);
  return values;
}

void Engine::Impl::RefreshComputeCopy() {
  if (compute_type_ != at::kFloat) compute_.copy_(state_.weights);
}

}  // namespace loglog
