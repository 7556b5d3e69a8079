#ifndef LOGLOG_CLI_NEXT_ARMS_H_
#define LOGLOG_CLI_NEXT_ARMS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "cli/next_spec.h"
#include "fit/fit.h"

namespace loglog::cli {

// What the choice of an arm's next trials starts from.
struct NextArm {
  std::string name;
  std::vector<Observation> done;
  std::vector<Observation> comparable;  // done, as they stand in pairs with another arm's
  // Of all trials, with those that ended without a loss or have not ended: the seeds at each
  // (N, D).
  std::map<std::pair<double, double>, std::set<int64_t>> seeds;
  std::map<double, double> flops_per_token;                 // by N
  std::map<double, int64_t> batch_tokens;                   // by N; none of a CSV
  std::map<double, std::vector<double>> tokens_per_second;  // by N, as measured
};

struct NextArms {
  std::vector<NextArm> arms;       // one, or the two that are compared
  std::string spec;                // that the trials came from; empty: not known
  bool has_sizes = true;           // false: N is not known, and cost is counted in tokens
  std::vector<std::string> notes;  // what of the trials is left out, and how they are paired
};

// The arms of --arm, or the first two, of a sweep or of --csv with the spec of --base.
// NOT_FOUND: an arm, with those there are. INVALID_ARGUMENT: more than two arms, or a base spec of
// a file whose D are no whole tokens. FAILED_PRECONDITION: trials that no fit would take together.
absl::StatusOr<NextArms> ReadNextArms(Context& context);

// What a trial costs.
struct NextCost {
  static constexpr char kTime[] = "seconds of a slot";
  std::string unit;                    // kTime, "FLOPs" or "tokens"
  std::map<double, double> per_token;  // by N
};
// By the speed that is stated (tokens a second of a slot at the largest size; others by their
// FLOPs) or was measured (at each size, or by FLOPs from those that were); else by FLOPs.
absl::StatusOr<NextCost> CostOfNext(const Args& args, const NextArms& arms);

// The smallest seed at these sizes that no trial of the arms has; it counts as taken then.
int64_t TakeSeed(double n_params, double tokens, std::vector<NextArm>* arms);

// The trials that are done, as a spec has them.
std::vector<NextTrial> TrialsThere(const NextArms& arms);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_NEXT_ARMS_H_
