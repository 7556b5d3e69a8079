// An optimizer step as work for a device. What the host says goes there by one copy, what it wants
// to know comes back by another and is read steps later; between the two nobody waits.
#ifndef LOGLOG_TRAINER_DEVICE_STEP_H_
#define LOGLOG_TRAINER_DEVICE_STEP_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "trainer/gpu_launcher.h"
#include "trainer/gpu_updates.h"
#include "trainer/layout.h"
#include "trainer/ops.h"
#include "trainer/optimizer.h"
#include "trainer/step_ring.h"

namespace loglog {

// Steps that may be under way at a time.
constexpr size_t kStepsAhead = 8;

// Use from one thread, the methods of a step in the order Begin, Send, Update, Return. Everything
// that Update reads lies at fixed addresses of the device.
class DeviceStep {
 public:
  struct Shape {
    int64_t members = 1;
    int64_t parts = 1;   // of a batch that go through the model one after another
    int64_t tokens = 1;  // of one member in a part
  };

  // The host's side of a step, for Begin's caller to fill. Tokens of part p begin p * members *
  // tokens entries after those of the first.
  struct Inputs {
    int32_t *ids, *targets, *order;
    float *scale, *z_loss;  // [members]
    StepTerms* terms;       // [members]
    SegmentStep* segments;  // [members, segments]
  };
  // The other way, valid until the next Begin.
  struct Outputs {
    const StepNumbers* numbers;  // [members]
    const UpdateSums* sums;      // [members, segments], of a step with metrics
  };

  // On a CPU everything has been done on return, kernels on `host_threads` threads; its clock says
  // so `late` steps later.
  DeviceStep(const Layout& layout, const Shape& shape, const FlatState& state, at::Device device,
             int host_threads, int late);

  bool full() const { return ring_.full(); }
  Inputs Begin();
  void Send();
  TokenBatch Batch(int64_t part) const;
  LossTerms Terms() const;
  // From the gradients in the flat state and loss_sum [members] to the next weights, their copy in
  // bf16 with them where there is one.
  void Update(const at::Tensor& loss_sum, const at::Tensor& shadow, bool with_sums);
  void Return();
  // Of the oldest step that has not been taken, once its copy has ended; with `wait`, waits for it.
  std::optional<Outputs> Take(bool wait);

  // All members take part again, as far as the device knows.
  void Reactivate();
  // [members]: what limits follow from, where StepTerms::skip_sd says so.
  void SetHistories(const std::vector<SkipHistory>& histories);
  const std::vector<UpdateSegment>& segments() const { return segments_; }

 private:
  // A stretch of bytes of a buffer.
  struct Field {
    int64_t offset = 0, bytes = 0;
  };
  struct Slot {
    at::Tensor in, out;
  };

  void ListChunks();
  at::Tensor View(const Field& field, at::ScalarType type, at::IntArrayRef sizes) const;

  Shape shape_;
  FlatState state_;
  Launcher launch_;
  std::vector<UpdateSegment> segments_;
  at::Tensor chunk_list_, begins_;  // of the segments, on the device
  int64_t chunks_ = 0, square_chunks_ = 0;
  Field ids_, targets_, order_, scale_, z_loss_, terms_, segment_steps_;
  Field numbers_, sums_;
  at::Tensor in_, out_;  // the device's side
  std::vector<Slot> slots_;
  at::Tensor active_, histories_, squares_, square_parts_, grad_scale_, update_parts_;
  std::unique_ptr<DeviceClock> clock_;
  StepRing ring_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_DEVICE_STEP_H_
