#include "trainer/spike.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "shards/json_integer.h"

namespace loglog {
namespace {

constexpr int64_t kWarmUp = 50;
constexpr double kTimeConstant = 100;
constexpr double kThreshold = 6;
// A series may be so smooth that its sd is next to nothing; ripples on it are no spikes.
constexpr double kSdFloorOfMean = 0.005;

}  // namespace

double SpikeDetector::sd() const {
  return std::max(std::sqrt(variance_), kSdFloorOfMean * std::abs(mean_));
}

double SpikeDetector::Limit(double sds) const {
  if (count_ < kWarmUp) return std::numeric_limits<double>::infinity();
  return mean_ + sds * sd();
}

bool SpikeDetector::Add(double value) {
  const double limit = mean_ + kThreshold * sd();
  const bool above = count_ >= kWarmUp && value > limit;
  const bool begins = above && !inside_;
  inside_ = above;
  const double taken = above ? limit : value;
  ++count_;
  // A plain average until there are enough numbers for the weighted one.
  const double weight = 1 / std::min(static_cast<double>(count_), kTimeConstant);
  const double delta = taken - mean_;
  mean_ += weight * delta;
  variance_ = (1 - weight) * (variance_ + weight * delta * delta);
  return begins;
}

nlohmann::ordered_json SpikeDetector::ToJson() const {
  return {{"count", count_}, {"mean", mean_}, {"variance", variance_}, {"inside", inside_}};
}

SpikeDetector SpikeDetector::FromJson(const nlohmann::ordered_json& state) {
  SpikeDetector detector;
  detector.count_ = IntegerAt(state, "count");
  detector.mean_ = state.at("mean").get<double>();
  detector.variance_ = state.at("variance").get<double>();
  detector.inside_ = state.at("inside").get<bool>();
  return detector;
}

}  // namespace loglog
