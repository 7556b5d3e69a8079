// The interface between the training loop and LibTorch. Everything above the engine
// is plain C++: no LibTorch header is needed to use it.
#ifndef LOGLOG_TRAINER_ENGINE_H_
#define LOGLOG_TRAINER_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/spike_series.h"

namespace loglog {

class Ranks;

struct NamedValue {
  std::string name;
  double value = 0;
};

struct StepResult {
  double loss = 0;       // mean over the step's tokens, nats per token
  double grad_norm = 0;  // global norm before clipping
  bool clipped = false;
  // False: the loss or the gradient was NaN or infinite. The member diverged at this
  // step, its update was not applied, and it takes no further part.
  bool finite = true;
  // The update was not applied, for what StepLimits say.
  bool skipped = false;
  // The member had been deactivated before this step; the other fields mean nothing.
  bool inactive = false;
};

// Above these, or when a number is not finite, one member's step is skipped: its weights and
// moments stay as they are. Decided where the numbers are, before anything is updated.
struct StepLimits {
  double loss = std::numeric_limits<double>::infinity();
  double grad_norm = std::numeric_limits<double>::infinity();
};

// A step that was started before, with its numbers.
struct FinishedStep {
  int64_t step = 0;
  std::vector<StepResult> results;               // by member
  std::vector<std::vector<NamedValue>> metrics;  // by member as StepMetrics, where asked for
};

struct Evaluation {
  double loss = 0;               // mean over the predicted tokens, nats
  std::vector<int32_t> answers;  // the most probable token of each prediction that counts
};

// One tensor of the state that a checkpoint must hold: float32 or float64, little
// endian, contiguous.
struct StateBuffer {
  std::string name;   // "<member>/<weights|adam_m|adam_v>/<tensor>" or "<member>/counters"
  std::string dtype;  // "F32" or "F64"
  std::vector<int64_t> shape;
  int64_t bytes = 0;
};

struct EngineOptions {
  std::string device = "cpu";  // "cpu" or "cuda:<n>"
  int threads = 1;             // of LibTorch's CPU kernels
  // Run all members through one batched forward and backward pass. Unset on CPU, where
  // members run one after another (no slower, and a member's numbers then equal its
  // solo run's bit for bit); always so on a GPU.
  bool fold_members = false;
  // Tokens of one member that go through the model at a time; 0 chooses by device. Gradients
  // accumulate over the parts of a batch, so this bounds memory and keeps caches warm.
  int64_t chunk_tokens = 0;
  // Bytes of attention probabilities that may be kept for the backward pass; beyond, they are
  // computed twice. And bytes of scores computed at a time. Unset chooses by device.
  std::optional<int64_t> attention_kept_bytes;
  std::optional<int64_t> attention_block_bytes;
  // For tests: use ATen operators on the CPU, and allow bf16.
  bool composed_ops = false;
  // For tests: go a GPU's way on the CPU, the bodies of its kernels on so many of the host's
  // threads, and allow bf16. 0: no.
  int gpu_kernel_threads = 0;
  // With them: the numbers of a step are there only so many steps later, unless waited for.
  int numbers_late_steps = 0;
  // On a GPU, and without other ranks: capture a step in a CUDA graph and replay it.
  bool captures_steps = false;
  // The processes that this one trains with, not owned: each makes the gradients of its share of
  // every batch, and all apply the same sum, so that their engines stay alike to the bit. All must
  // call InitWeights or WriteState alike, and TrainStep together.
  Ranks* ranks = nullptr;
  // Gradients that are summed over ranks at a time; 0 chooses.
  int64_t bucket_floats = 0;
};

// Trains K same-shape members together.
//
// Thread-compatible: construct and use it on one thread, which it switches to
// flush-to-zero arithmetic (stale Adam moments decay into denormals, which are slow).
// Deterministic on CPU: same inputs, same bits.
// Errors: ConfigError, OutOfMemoryError, DeviceError of config.h, from every method.
class Engine {
 public:
  // All members must have the same model, batch and number of tokens. The weights are
  // zero until InitWeights or WriteState.
  Engine(std::vector<MemberConfig> members, const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  int members() const;
  bool active(int member) const;

  // Draws the weights of each member from its own seed: the same numbers for every
  // number of members, order and device.
  void InitWeights();

  // `init/std/<tensor>` and `init/gamma_eff/<tensor>` of the weights as they are now;
  // meant for right after InitWeights.
  std::vector<NamedValue> InitMetrics(int member) const;

  // One optimizer step of every active member. `tokens` is [members, sequences,
  // seq_len + 1]: position t predicts position t + 1, unless a token is written as ~id: it is
  // read, and predicting it counts for nothing. `step` counts from 0 and places
  // the step on the schedules. `with_metrics` also gathers what StepMetrics returns. With ranks,
  // every one is given the whole batch, and its share are the sequences that its place says.
  // `limits`, one for each member and alike on all ranks, say which steps to skip; without, none
  // is.
  std::vector<StepResult> TrainStep(const int32_t* tokens, int64_t step, bool with_metrics,
                                    const std::vector<std::optional<StepLimits>>& limits = {});

  // TrainStep in two halves. On a GPU the host goes on at once, and numbers of a step may be there
  // steps later; on a CPU they are on return. More than a few steps under way are waited for.
  void StartStep(const int32_t* tokens, int64_t step, bool with_metrics,
                 const std::vector<std::optional<StepLimits>>& limits = {});
  // The oldest step that was started and not taken. Without `wait` only if its numbers are there
  // already; nothing, too, when every step has been taken.
  std::optional<FinishedStep> TakeStep(bool wait);

  // Whether the engine makes the limits of members with train.skip_sd itself, from the numbers of
  // their steps: on a GPU, where the host has these too late. Not with ranks, which are told.
  bool MakesLimits() const;
  // Then what they follow from, of each member, when training begins or goes on.
  void SetHistories(const std::vector<SkipHistory>& histories);

  // The cheap metrics of the last TrainStep that had with_metrics: loss/train, norm/*,
  // update_ratio/*, adam/eps_share, grad/clip_rate (over the steps since the metrics
  // were last gathered).
  const std::vector<NamedValue>& StepMetrics(int member) const;

  // Every member on the same sequences [sequences, seq_len + 1], any number of them; a NaN loss
  // for an inactive member.
  std::vector<Evaluation> Evaluate(const int32_t* tokens, int64_t sequences,
                                   bool with_answers = false);

  // The dear metrics, of one member, on a few sequences: cond/*, attn/*, norm/ms_over_eps/* and, of
  // a model of one layer, focus/*. `with_spectra` adds cond/spectrum/* and cond/embed_spectrum/*,
  // a number for each singular value.
  std::vector<NamedValue> Probe(int member, const int32_t* tokens, int64_t sequences,
                                bool with_spectra = false);

  // How often each token comes, model.vocab numbers in any unit, for what Probe weighs by
  // frequency; without it every token counts alike.
  void SetTokenFrequencies(std::vector<double> frequencies);

  // Takes a member out: its weights stay as they are, and on a CPU it takes next to no time. The
  // other members' numbers do not change by a bit.
  void Deactivate(int member);

  // What a checkpoint holds, in a fixed order that depends on the configuration only.
  const std::vector<StateBuffer>& state_buffers() const;
  // Copies `state_buffers()[index].bytes` bytes out of, or into, the engine. The
  // counters carry which members are active.
  void ReadState(size_t index, void* bytes) const;
  void WriteState(size_t index, const void* bytes);

  // Bytes of weights, gradients and optimizer state that the engine allocated.
  int64_t StateBytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_ENGINE_H_
