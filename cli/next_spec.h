#ifndef LOGLOG_CLI_NEXT_SPEC_H_
#define LOGLOG_CLI_NEXT_SPEC_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace loglog::cli {

// Trials to add to a sweep: these seeds at each of these token budgets, in these arms.
struct NextTrials {
  std::vector<std::string> arms;
  // Of arms made by axes: each arm's value of every arm axis, as text.
  std::map<std::string, std::map<std::string, std::string>> arm_axes;
  std::map<int64_t, std::set<int64_t>> seeds;  // by tokens
};

// A spec of just those trials: the sweep's own, with other token budgets and seeds, the other
// arms gone, and what the grid would have beside them excluded. JSON, which is YAML too.
// FAILED_PRECONDITION: the sweep's tokens or seeds are no axis, or the grid cannot be cut to
// these trials.
absl::StatusOr<std::string> SpecOfTrials(const std::string& spec_json, const NextTrials& next);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_NEXT_SPEC_H_
