// Sums gradients over ranks while the backward pass still runs.
#ifndef LOGLOG_TRAINER_GRADIENT_BUCKETS_H_
#define LOGLOG_TRAINER_GRADIENT_BUCKETS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "trainer/ranks.h"

namespace loglog {

// Large enough that a sum is not all latency, small enough that most of them end before the
// backward pass does.
constexpr int64_t kBucketFloats = int64_t{1} << 20;

// The backward pass fills rows from their end to their beginning. What is final is summed in
// buckets of at least `bucket_floats` of a row, the last one with what is left. Collective: the
// buckets follow from the layout, so all ranks sum the same ones.
class GradientBuckets {
 public:
  // `rows` [members, floats] float32, contiguous.
  GradientBuckets(Ranks& ranks, const at::Tensor& rows, int64_t bucket_floats);

  // Everything from float `begin` of each row on has its final value.
  void Final(int64_t begin);

 private:
  Ranks& ranks_;
  at::Tensor rows_;
  int64_t bucket_floats_;
  int64_t started_;  // from here on it is being summed
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GRADIENT_BUCKETS_H_
