#ifndef LOGLOG_PLAN_EXPAND_H_
#define LOGLOG_PLAN_EXPAND_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "plan/cost.h"
#include "plan/spec.h"

namespace loglog {

// One resolved point of the grid, without its seed.
struct Cell {
  std::string sha256;       // of config_json
  std::string config_json;  // canonical
  std::string arm;          // "small", "gamma=0.5,lambda=1"; "all" when there is one arm
  // Axis name -> its canonical value (text without quotes), the seed axis and axes that
  // stand still here aside. By axis name.
  std::vector<std::pair<std::string, std::string>> axes;
  TrialCost cost;  // of each of its trials
};

struct PlannedTrial {
  int cell = 0;  // index into Expansion::cells
  int64_t seed = 0;
  std::string sha256;  // of "<cell sha256>:<seed>"
};

// Trials of the full grid that a constraint took out.
struct DroppedTrials {
  std::string constraint;  // "exclude[0] {D: 800M, lambda: 1}", "when of axis gamma", "duplicate"
  int64_t count = 0;
};

// All cells and trials of a sweep; the trials in the order in which they should start.
// A function of the spec's canonical form only.
struct Expansion {
  std::vector<Cell> cells;  // in order of their first trial
  std::vector<PlannedTrial> trials;
  std::vector<DroppedTrials> dropped;  // every constraint of the spec, also with 0
  int64_t grid_trials = 0;             // of the full grid, before constraints
  std::vector<std::string> arms;       // labels, as the spec orders them
};

// INVALID_ARGUMENT (with SpecErrors): a cell that cannot be trained (tokens that are no
// multiple of the batch, heads that do not divide the width, ...), nothing left to run,
// a fit that names an arm that is not there, an arm whose cells are all another arm's.
// RESOURCE_EXHAUSTED: more trials than limits::kTrialsOfSweepMax. Thread-safe.
absl::StatusOr<Expansion> Expand(const SweepSpec& spec);

// "<cell sha256>:<seed>", hashed.
std::string TrialSha256(absl::string_view cell_sha256, int64_t seed);

// What one slot runs from start to end.
struct TaskPlan {
  std::vector<int> members;  // indices into Expansion::trials, trained together
  int64_t token_begin = 0;
  int64_t token_end = 0;
  int parent = -1;  // index of the task that this one continues, smaller than its own
};

// One task for each trial, in the trials' order, each whole. With schedule.trunks a trunk comes
// before its first branch, and branches begin where they leave it.
std::vector<TaskPlan> PlanTasks(const SweepSpec& spec, const Expansion& expansion);

}  // namespace loglog

#endif  // LOGLOG_PLAN_EXPAND_H_
