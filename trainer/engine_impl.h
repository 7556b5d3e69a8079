// What the engine is made of; engine.cc trains, engine_state.cc copies state out and in.
#ifndef LOGLOG_TRAINER_ENGINE_IMPL_H_
#define LOGLOG_TRAINER_ENGINE_IMPL_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "trainer/device_step.h"
#include "trainer/engine.h"
#include "trainer/layout.h"
#include "trainer/model.h"
#include "trainer/optimizer.h"

namespace loglog {

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
        host(MakeHostBatch(members, sequences * model.seq_len)) {}

  static TokenBatch MakeHostBatch(int64_t members, int64_t tokens) {
    const auto rows = [&] { return at::empty({members, tokens}, at::kInt); };
    return {.ids = rows(), .targets = rows(), .order = rows()};
  }

  Workspace work;
  TokenBatch host;
};

// Of one member, beyond its tensors.
struct Counters {
  double active = 1;
  double window_steps = 0;  // since the metrics were last gathered
  double window_clipped = 0;
};
constexpr int64_t kCounterCount = sizeof(Counters) / sizeof(double);

class Engine::Impl {
 public:
  Impl(std::vector<MemberConfig> members, const EngineOptions& options);

  void InitWeights();
  std::vector<NamedValue> InitMetrics(int member) const;
  void StartStep(const int32_t* tokens, int64_t step, bool with_metrics,
                 const std::vector<std::optional<StepLimits>>& limits);
  std::optional<FinishedStep> TakeStep(bool wait);
  bool MakesLimits() const { return device_step_ != nullptr && ranks_ == nullptr; }
  void SetHistories(const std::vector<SkipHistory>& histories) {
    device_step_->SetHistories(histories);
  }
  std::vector<Evaluation> Evaluate(const int32_t* tokens, int64_t sequences, bool with_answers);
  std::vector<NamedValue> Probe(int member, const int32_t* tokens, int64_t sequences,
                                bool with_spectra);
  void ReadState(size_t index, void* bytes);
  void WriteState(size_t index, const void* bytes);

  std::vector<MemberConfig> members_;
  ModelConfig model_;
  at::Device device_;
  std::vector<Counters> counters_;
  std::vector<std::vector<NamedValue>> step_metrics_;
  std::vector<StateBuffer> state_buffers_;
  int64_t state_bytes_ = 0;
  std::vector<double> token_frequencies_;  // [V]

 private:
  void ListStateBuffers();
  Lane MakeLane(int64_t members, int64_t sequences) const;
  Lane& LaneFor(int64_t members, int64_t sequences);
  void CheckTokens(const int32_t* tokens, int64_t sequences) const;
  // How many tokens of these sequences are to be predicted.
  int64_t Predicted(const int32_t* tokens, int64_t sequences) const;
  // Of this rank's share of the sequences; with ranks their sums are under way on return.
  void Accumulate(MemberGroup& group, const int32_t* tokens, int64_t sequences);
  // Where in a row the gradients of this layer, and of all that lies after it, begin.
  int64_t LayerBegin(int64_t layer) const;
  // Runs `sequences` sequences for the members of a group, each member's first sequence
  // `member_stride` tokens after the one before; loss_sum_ gathers.
  void Run(const ModelTensors& weights, ModelTensors* grads, int first, int count, Lane& lane,
           int64_t sequences, const int32_t* tokens, int64_t member_stride, const LossTerms& terms,
           WeightReads reads, const LayerDone& layer_done = {});
  bool AnyActive(const MemberGroup& group) const;
  // Adds the answers of the forward pass that `lane` holds.
  void TakeAnswers(const MemberGroup& group, const Lane& lane,
                   std::vector<Evaluation>* results) const;
  void Update(int member, int64_t step, bool with_metrics, StepResult* result);
  // Squares of a member's weights after a step, by group: of all of them, or of one layer's.
  using GroupSquares = std::array<double, kTensorGroups>;
  struct WeightSquares {
    GroupSquares all;
    std::function<GroupSquares(int64_t layer)> of_layer;
  };
  // norm/param/layers.<i>, and of its qk, vo and mlp.
  void AppendLayerNorms(const WeightSquares& squares, std::vector<NamedValue>* values) const;
  void GatherStepMetrics(int member, const StepResult& result, const GroupSums& sums,
                         const WeightSquares& squares);
  // The same by engine_device.cc: everything between two copies on the device.
  void MakeDeviceStep(const EngineOptions& options);
  void StartOnDevice(const int32_t* tokens, int64_t step, bool with_metrics,
                     const std::vector<std::optional<StepLimits>>& limits);
  void FillInputs(const int32_t* tokens, int64_t step,
                  const std::vector<std::optional<StepLimits>>& limits);
  void PassAndUpdate(bool with_metrics);
  // Moves what the device has done to finished_; with `wait`, at least one step.
  void Absorb(bool wait);
  StepResult ResultOf(int member, const DeviceStep::Outputs& outputs, bool with_metrics);
  // Of this rank's share: its sequences, the first one, and how many go through the model at a
  // time.
  struct Share {
    int64_t size = 0, begin = 0, chunk = 0;
  };
  Share OwnShare() const;
  void RefreshComputeCopy();
  // Of a member's counters without a flat buffer and a tensor of it.
  struct StatePlace {
    size_t member = 0;
    const at::Tensor* flat = nullptr;
    const TensorSpec* tensor = nullptr;
    // The tensor's entries in a buffer that is laid out as `flat`.
    at::Tensor Of(const at::Tensor& rows) const;
  };
  StatePlace PlaceOf(size_t index) const;

  bool on_gpu_;  // or as if
  bool composed_;
  Ranks* ranks_;
  int64_t bucket_floats_;
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
  struct Started {
    int64_t step = 0;
    bool with_metrics = false;
  };
  std::unique_ptr<DeviceStep> device_step_;  // on a GPU
  // Of steps without and with metrics; none where nothing is captured.
  std::array<std::unique_ptr<Repeater>, 2> repeaters_;
  std::deque<Started> started_;        // on the device
  std::deque<FinishedStep> finished_;  // and not taken
};

// What a token of a batch reads as, and what it is as a target: see Engine::TrainStep.
inline int32_t Id(int32_t token) { return token < 0 ? ~token : token; }
inline int32_t Target(int32_t token) { return token < 0 ? -1 : token; }

}  // namespace loglog

#endif  // LOGLOG_TRAINER_ENGINE_IMPL_H_
