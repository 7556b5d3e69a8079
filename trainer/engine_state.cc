// The state of an engine as a checkpoint holds it, and the methods that hand on to Impl.
#include <cstring>
#include <utility>

#include "trainer/device.h"
#include "trainer/engine_impl.h"

namespace loglog {

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

// The place of buffer `index` in the order of ListStateBuffers.
Engine::Impl::StatePlace Engine::Impl::PlaceOf(size_t index) const {
  const size_t per_kind = layout_.tensors.size(), per_member = 3 * per_kind + 1;
  const size_t within = index % per_member;
  StatePlace place = {.member = index / per_member};
  if (within == per_member - 1) return place;
  const at::Tensor* flats[] = {&state_.weights, &state_.m, &state_.v};
  place.flat = flats[within / per_kind];
  place.tensor = &layout_.tensors[within % per_kind];
  return place;
}

at::Tensor Engine::Impl::StatePlace::Of(const at::Tensor& rows) const {
  return rows.select(0, static_cast<int64_t>(member)).narrow(0, tensor->offset, tensor->size());
}

void Engine::Impl::ReadState(size_t index, void* bytes) {
  const size_t size = static_cast<size_t>(state_buffers_.at(index).bytes);
  while (!started_.empty()) Absorb(/*wait=*/true);  // counters follow the numbers of steps
  const StatePlace place = PlaceOf(index);
  if (place.flat == nullptr) {
    std::memcpy(bytes, &counters_[place.member], size);
  } else {
    std::memcpy(bytes, place.Of(*place.flat).cpu().const_data_ptr<float>(), size);
  }
}

void Engine::Impl::WriteState(size_t index, const void* bytes) {
  const size_t size = static_cast<size_t>(state_buffers_.at(index).bytes);
  const StatePlace place = PlaceOf(index);
  if (place.flat == nullptr) {
    std::memcpy(&counters_[place.member], bytes, size);
    if (device_step_) device_step_->Reactivate();  // whom the counters leave out, each step says
    return;
  }
  const at::Tensor tensor = place.Of(*place.flat);
  const at::Tensor host = at::empty(tensor.sizes(), at::kFloat);
  std::memcpy(host.mutable_data_ptr<float>(), bytes, size);
  tensor.copy_(host);
  // Of this tensor alone: a whole copy for each would be quadratic.
  if (compute_type_ != at::kFloat && place.flat == &state_.weights) {
    place.Of(compute_).copy_(tensor);
  }
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

void Engine::StartStep(const int32_t* tokens, int64_t step, bool with_metrics,
                       const std::vector<std::optional<StepLimits>>& limits) {
  Translated(impl_->device_, [&] { impl_->StartStep(tokens, step, with_metrics, limits); });
}

std::optional<FinishedStep> Engine::TakeStep(bool wait) {
  return Translated(impl_->device_, [&] { return impl_->TakeStep(wait); });
}

bool Engine::MakesLimits() const { return impl_->MakesLimits(); }

void Engine::SetHistories(const std::vector<SkipHistory>& histories) {
  if (!MakesLimits()) throw std::logic_error("this engine is told the limits of a step");
  Translated(impl_->device_, [&] { impl_->SetHistories(histories); });
}

std::vector<StepResult> Engine::TrainStep(const int32_t* tokens, int64_t step, bool with_metrics,
                                          const std::vector<std::optional<StepLimits>>& limits) {
  StartStep(tokens, step, with_metrics, limits);
  std::vector<StepResult> results;
  while (std::optional<FinishedStep> finished = TakeStep(/*wait=*/true)) {
    results = std::move(finished->results);
  }
  return results;
}

const std::vector<NamedValue>& Engine::StepMetrics(int member) const {
  return impl_->step_metrics_.at(static_cast<size_t>(member));
}

std::vector<Evaluation> Engine::Evaluate(const int32_t* tokens, int64_t sequences,
                                         bool with_answers) {
  return Translated(impl_->device_,
                    [&] { return impl_->Evaluate(tokens, sequences, with_answers); });
}

std::vector<NamedValue> Engine::Probe(int member, const int32_t* tokens, int64_t sequences,
                                      bool with_spectra) {
  return Translated(impl_->device_,
                    [&] { return impl_->Probe(member, tokens, sequences, with_spectra); });
}

void Engine::SetTokenFrequencies(std::vector<double> frequencies) {
  if (static_cast<int64_t>(frequencies.size()) != impl_->model_.vocab) {
    throw std::logic_error("a frequency is given for each token id");
  }
  impl_->token_frequencies_ = std::move(frequencies);
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
