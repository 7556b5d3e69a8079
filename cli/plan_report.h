#ifndef LOGLOG_CLI_PLAN_REPORT_H_
#define LOGLOG_CLI_PLAN_REPORT_H_

#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "cli/render/style.h"
#include "cli/render/table.h"
#include "plan/plan.h"

namespace loglog::cli {

// What a coordinator said about the plan.
struct PlanOnServer {
  int trials_new = 0;
  int trials_reused = 0;
  int slots_total = 0;
  absl::flat_hash_set<std::string> known_trials;  // sha256 of those reused, as far as found
  double flops_per_second = 0;                    // of one slot, measured; 0 when unknown
};

struct PlanScreen {
  std::string name;
  std::string spec_sha256;
  PlanReport report;
  std::vector<std::string> arms;
  std::vector<std::string> axes;  // "D: 4 values", in the spec's order
  std::optional<PlanOnServer> server;
};

// The cost of a sweep before anything starts, for a person.
std::string RenderPlan(const PlanScreen& plan, const Style& style);
// The same as one record.
Table PlanTable(const PlanScreen& plan);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_PLAN_REPORT_H_
