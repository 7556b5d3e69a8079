// The arithmetic of spikes, the same to the bit on the host and on a GPU.
#ifndef LOGLOG_TRAINER_SPIKE_SERIES_H_
#define LOGLOG_TRAINER_SPIKE_SERIES_H_

#include <math.h>

#include <cstdint>

#include "trainer/gpu_values.h"

namespace loglog {

// A GPU's compiler would make one rounding of a product and a sum.
LOGLOG_BOTH inline double Product(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

// The exponentially weighted mean and variance of the numbers so far: see SpikeDetector.
struct SpikeSeries {
  static constexpr int64_t kWarmUp = 50;
  static constexpr double kTimeConstant = 100;
  static constexpr double kThreshold = 6;
  // A series may be so smooth that its sd is next to nothing; ripples on it are no spikes.
  static constexpr double kSdFloorOfMean = 0.005;

  int64_t count = 0;
  double mean = 0;
  double variance = 0;
  bool inside = false;  // an excursion

  LOGLOG_BOTH double sd() const {
    const double root = sqrt(variance), least = kSdFloorOfMean * fabs(mean);
    return root < least ? least : root;
  }
  // What lies above it is so many sd off; infinite while there are few numbers.
  LOGLOG_BOTH double Limit(double sds) const {
    return count < kWarmUp ? static_cast<double>(INFINITY) : mean + Product(sds, sd());
  }
  // True when an excursion begins with `value`.
  LOGLOG_BOTH bool Add(double value) {
    const double limit = mean + Product(kThreshold, sd());
    const bool above = count >= kWarmUp && value > limit;
    const bool begins = above && !inside;
    inside = above;
    const double taken = above ? limit : value;
    ++count;
    // A plain average until there are enough numbers for the weighted one.
    const double numbers = static_cast<double>(count);
    const double weight = 1 / (numbers < kTimeConstant ? numbers : kTimeConstant);
    const double delta = taken - mean;
    mean += Product(weight, delta);
    variance = Product(1 - weight, variance + Product(Product(weight, delta), delta));
    return begins;
  }

  bool operator==(const SpikeSeries&) const = default;
};

// What a member's next step is held against.
struct SkipHistory {
  // So many outliers in a row are none any more.
  static constexpr int64_t kMostInRow = 10;

  SpikeSeries loss, grad_norm;
  int64_t skipped_in_row = 0;

  // Whether the next step has limits, `skip_sd` sd off.
  LOGLOG_BOTH bool HasLimits(double skip_sd) const {
    return skip_sd > 0 && skipped_in_row < kMostInRow;
  }
  // A step of a member that takes part.
  LOGLOG_BOTH void Add(double new_loss, double new_norm, bool finite, bool skipped) {
    skipped_in_row = skipped ? skipped_in_row + 1 : 0;
    if (!finite) return;
    loss.Add(new_loss);
    grad_norm.Add(new_norm);
  }
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_SPIKE_SERIES_H_
