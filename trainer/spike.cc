#include "trainer/spike.h"

#include "shards/json_integer.h"

namespace loglog {

nlohmann::ordered_json SpikeDetector::ToJson() const {
  return {{"count", series_.count},
          {"mean", series_.mean},
          {"variance", series_.variance},
          {"inside", series_.inside}};
}

SpikeDetector SpikeDetector::FromJson(const nlohmann::ordered_json& state) {
  SpikeDetector detector;
  detector.series_ = {.count = IntegerAt(state, "count"),
                      .mean = state.at("mean").get<double>(),
                      .variance = state.at("variance").get<double>(),
                      .inside = state.at("inside").get<bool>()};
  return detector;
}

}  // namespace loglog
