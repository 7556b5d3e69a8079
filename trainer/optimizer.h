// AdamW with decoupled decay over the flat buffers, with each member's own settings.
#ifndef LOGLOG_TRAINER_OPTIMIZER_H_
#define LOGLOG_TRAINER_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "trainer/config.h"
#include "trainer/kernels.h"
#include "trainer/layout.h"

namespace loglog {

// All [members, layout.floats] float32.
struct FlatState {
  at::Tensor weights;
  at::Tensor grads;
  at::Tensor m;
  at::Tensor v;
};

// Entries of a row that share lr, decay and what metrics they count for.
struct UpdateSegment {
  int64_t begin = 0, size = 0;
  TensorGroup group = TensorGroup::kNorm;
  int64_t layer = -1;  // of the decoder, where it is in one
};
std::vector<UpdateSegment> UpdateSegments(const Layout& layout);

using GroupSums = std::array<AdamWSums, kTensorGroups>;

// The numbers of a group's step, with decay as it applies to this group.
struct GroupStep {
  AdamWStep adam;            // without clipping
  double into_gradient = 0;  // times the weight, added to its clipped gradient
};
GroupStep StepOfGroup(TensorGroup group, const TrainConfig& train, int64_t step, int64_t d_model);

// theta <- theta - lr_t * adam(g) - decay_t * theta, decay_t as DecayRate of schedule.h, with
// PyTorch's bias corrections. Which groups decay is for `decay_<group>` to say (a tied head is
// the embedding). With decay: gradient there is no decay_t: g is the gradient plus lambda_t *
// theta, as PyTorch's Adam has it. A learning rate that is scaled by width scales coupled decay
// along, as PyTorch's parameter groups do.
class AdamW {
 public:
  // `composed` uses ATen operators in place of the CPU loops.
  AdamW(const ModelConfig& model, const Layout& layout, FlatState state, bool composed);

  // The squared global norm of each member's gradient, [members] float64 on the device.
  at::Tensor GradSquares() const;

  // Step `step` (from 0) of one member, its gradient first multiplied by `grad_scale`. `sums`,
  // when given, is added to by group.
  void Step(int64_t member, const TrainConfig& train, int64_t step, double grad_scale,
            GroupSums* sums);

  // The sum of squared weights of one member, of `size` floats of its row from `begin` on.
  double WeightSquares(int64_t member, int64_t begin, int64_t size) const;

 private:
  // The weight times `into_gradient` is added to its gradient, in place.
  void StepSegment(int64_t member, const UpdateSegment& segment, const AdamWStep& step,
                   double into_gradient, AdamWSums* sums);

  int64_t d_model_;
  FlatState state_;
  bool composed_;
  std::vector<UpdateSegment> segments_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_OPTIMIZER_H_
