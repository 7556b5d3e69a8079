#ifndef LOGLOG_PLAN_REPORT_H_
#define LOGLOG_PLAN_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "plan/check.h"
#include "plan/expand.h"

namespace loglog {

// Speed of one slot. A measured one may depend on the model; so many FLOP/s fit all.
struct Throughput {
  std::optional<double> tokens_per_second;
  std::optional<double> flops_per_second;
  bool measured = false;  // else stated by the user
};

// A share of the plan: all trials, or those that are new.
struct PlanTotals {
  int64_t trials = 0;
  int64_t cells = 0;
  int64_t tokens = 0;
  double flops = 0;  // exact count
  double flops_6nd = 0;
  double eval_flops = 0;  // beside them: every evaluation, forward alone
  // What is trained once, in a trunk, for several trials: the sums above have it once.
  int64_t branches = 0;
  double shared_flops = 0;
};

// What a sweep will cost, before anything starts.
struct PlanReport {
  PlanTotals all;
  PlanTotals fresh;    // trials that are not known yet
  int64_t reused = 0;  // trials whose ids are known
  std::vector<DroppedTrials> dropped;
  int64_t grid_trials = 0;
  int64_t params_min = 0;  // total parameters of the smallest and the largest model
  int64_t params_max = 0;
  int64_t tokens_min = 0;  // token budgets
  int64_t tokens_max = 0;
  int64_t memory_bytes_max = 0;      // of the hungriest trial
  int64_t checkpoint_bytes_max = 0;  // of one checkpoint of the largest model
  int64_t disk_bytes = 0;            // all checkpoints kept, every trial done
  std::optional<double> slot_hours;  // of what is new; unset when the speed is unknown
  std::optional<double> wall_hours;  // on `slots`, never less than the longest trial
  int slots = 1;
  Throughput throughput;
  std::string formula;  // version of the cost formulas
  std::vector<PlanWarning> warnings;
  // What its fits can tell at the noise of the context, and what the same tokens could.
  std::vector<DesignForecast> forecasts;
  BetterGrid better_grid;  // of the first arm's narrowest line in D; empty: none, or no such line
  double seed_noise = 0;
};

struct ReportOptions {
  absl::flat_hash_set<std::string> known_trials;  // sha256 of trials that are there
  Throughput throughput;                          // when empty, the spec's budget section is used
  int slots = 1;
  PlanContext context;
};

PlanReport MakeReport(const SweepSpec& spec, const Expansion& expansion,
                      const ReportOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_PLAN_REPORT_H_
