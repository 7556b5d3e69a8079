#ifndef LOGLOG_CLI_NEXT_SPEC_H_
#define LOGLOG_CLI_NEXT_SPEC_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace loglog::cli {

// A trial as those who choose it know it.
struct NextTrial {
  std::string arm;
  double n_params = 0;  // non-embedding or all, as it is counted; 0: the arm has one size
  int64_t tokens = 0;
  int64_t seed = 0;
};

// The spec `spec_json` (YAML or JSON) with these trials and no others: those `there` that its
// grid has, which are trained already and are shared when it is submitted, and the `added`
// ones. Their arms are kept, the axes of tokens and seeds get their values, and what the grid
// would have beside them is excluded. JSON, which is YAML too.
// INVALID_ARGUMENT: `spec_json` is no spec. FAILED_PRECONDITION: tokens or seeds are no axis, an
// arm or a size that the spec does not have, or a grid that cannot be cut to these trials.
absl::StatusOr<std::string> SpecOfTrials(const std::string& spec_json,
                                         absl::Span<const NextTrial> there,
                                         absl::Span<const NextTrial> added);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_NEXT_SPEC_H_
