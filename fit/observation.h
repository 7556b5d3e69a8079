#ifndef LOGLOG_FIT_OBSERVATION_H_
#define LOGLOG_FIT_OBSERVATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// One finished trial as the fits see it. Diverged and unfinished trials are left out
// by the caller, who reports their counts.
struct Observation {
  double n_params = 0;  // N, parameters
  double d_tokens = 0;  // D, tokens seen
  double c_flops = 0;   // C, training FLOPs
  double d_unique = 0;  // U, tokens seen at least once; 0: as many as d_tokens
  double loss = 0;      // final loss, nats per token; finite and positive
  int64_t seed = 0;
  std::string config;   // the cell: observations that share it are replicates (seeds)
  std::string cluster;  // trunk shared with other observations; empty: independent
};

// The quantity whose effect on the loss is fitted.
enum class Axis { kTokens, kParams, kFlops };

// "D", "N" or "C", as in formulas, specs and the wire contract.
const char* AxisSymbol(Axis axis);
// "tokens", "parameters" or "FLOPs".
const char* AxisWord(Axis axis);
// The axis of a symbol; empty means D. INVALID_ARGUMENT for anything else.
absl::StatusOr<Axis> ParseAxis(absl::string_view symbol);
double AxisValue(const Observation& observation, Axis axis);

}  // namespace loglog

#endif  // LOGLOG_FIT_OBSERVATION_H_
