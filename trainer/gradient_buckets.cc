#include "trainer/gradient_buckets.h"

namespace loglog {

GradientBuckets::GradientBuckets(Ranks& ranks, const at::Tensor& rows, int64_t bucket_floats)
    : ranks_(ranks), rows_(rows), bucket_floats_(bucket_floats), started_(rows.size(1)) {}

void GradientBuckets::Final(int64_t begin) {
  if (started_ == begin || (begin > 0 && started_ - begin < bucket_floats_)) return;
  for (int64_t row = 0; row < rows_.size(0); ++row) {
    ranks_.StartSum(rows_.select(0, row).narrow(0, begin, started_ - begin));
  }
  started_ = begin;
}

}  // namespace loglog
