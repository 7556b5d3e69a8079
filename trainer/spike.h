// Finds spikes in a series of numbers, one at a time.
#ifndef LOGLOG_TRAINER_SPIKE_H_
#define LOGLOG_TRAINER_SPIKE_H_

#include <nlohmann/json.hpp>

#include "trainer/spike_series.h"

namespace loglog {

// Keeps an exponentially weighted mean and variance (time constant 100 numbers) and
// calls a number a spike when it lies more than 6 standard deviations above the mean.
// A spike enters the statistics as if it were the threshold, so that one outlier does
// not hide the next; one excursion is reported once. No verdict in the first 50 numbers.
// The state is part of a checkpoint, so that a resumed series gives the same verdicts.
class SpikeDetector {
 public:
  // True when an excursion begins with `value`. Values must be finite.
  bool Add(double value) { return series_.Add(value); }

  // What lies above it is so many sd off; infinite in the first 50 numbers.
  double Limit(double sds) const { return series_.Limit(sds); }

  double mean() const { return series_.mean; }
  double sd() const { return series_.sd(); }
  const SpikeSeries& series() const { return series_; }

  nlohmann::ordered_json ToJson() const;
  static SpikeDetector FromJson(const nlohmann::ordered_json& state);
  bool operator==(const SpikeDetector&) const = default;

 private:
  SpikeSeries series_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_SPIKE_H_
