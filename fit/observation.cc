#include "fit/observation.h"

#include "absl/strings/str_cat.h"

namespace loglog {

const char* AxisSymbol(Axis axis) {
  switch (axis) {
    case Axis::kTokens:
      return "D";
    case Axis::kParams:
      return "N";
    case Axis::kFlops:
      return "C";
  }
  return "?";
}

const char* AxisWord(Axis axis) {
  switch (axis) {
    case Axis::kTokens:
      return "tokens";
    case Axis::kParams:
      return "parameters";
    case Axis::kFlops:
      return "FLOPs";
  }
  return "?";
}

absl::StatusOr<Axis> ParseAxis(absl::string_view symbol) {
  if (symbol.empty() || symbol == "D") return Axis::kTokens;
  if (symbol == "N") return Axis::kParams;
  if (symbol == "C") return Axis::kFlops;
  return absl::InvalidArgumentError(
      absl::StrCat("axis '", symbol, "': choose D (tokens), N (parameters) or C (training FLOPs)"));
}

double AxisValue(const Observation& observation, Axis axis) {
  switch (axis) {
    case Axis::kTokens:
      return observation.d_tokens;
    case Axis::kParams:
      return observation.n_params;
    case Axis::kFlops:
      return observation.c_flops;
  }
  return 0;
}

}  // namespace loglog
