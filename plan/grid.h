#ifndef LOGLOG_PLAN_GRID_H_
#define LOGLOG_PLAN_GRID_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "plan/cell_config.h"
#include "plan/expand.h"
#include "plan/spec.h"
#include "plan/spec_error.h"

namespace loglog {

struct NamedShape;

// One cell of the grid as the walk meets it; valid until the visit returns.
struct GridCell {
  CellConfig config;           // resolved
  std::string preset;          // empty: none
  int bundle = -1;             // index into SweepSpec::bundles
  std::vector<int> choice;     // index into each axis's values; -1: the axis stands still here
  std::vector<int64_t> seeds;  // that no exclude took out
};

// Walks the grid of a spec: the product of arms and axes, each cell resolved, constraints
// applied. Immutable; refers to the spec.
class Grid {
 public:
  explicit Grid(const SweepSpec& spec);

  // Trials of the full product.
  int64_t full_trials() const { return full_trials_; }
  // RESOURCE_EXHAUSTED above limits::kTrialsOfSweepMax.
  absl::Status CheckSize() const;

  // Visits every cell that keeps a seed, in the order of the product (arms, then axes by
  // name; the last varies fastest), until a visit returns false. Returns what was dropped.
  std::vector<DroppedTrials> Walk(const std::function<bool(const GridCell&)>& visit) const;

  // What is wrong with resolved cells, with the field path of the value to blame
  // ("axes.D.values[1]"). At most a few dozen.
  std::vector<SpecError> FindErrors() const;

  // The path, as places know it, of what sets `path` in a cell.
  std::string SetterOf(const GridCell& cell, const std::string& path) const;
  // "small", "gamma=0.5,lambda=1" or "all".
  std::string ArmLabel(const GridCell& cell) const;

 private:
  struct Term {
    enum class Kind { kField, kPreset, kArm, kSeed };
    Kind kind = Kind::kField;
    int field = -1;
    const std::vector<SpecValue>* values = nullptr;
  };

  std::vector<Term> Compile(const Condition& condition) const;
  bool Holds(const std::vector<Term>& terms, const GridCell& cell, int64_t seed) const;
  void Apply(const std::string& path, const SpecValue& value, GridCell* cell) const;
  // Sets the fields of `cell` from its choices; axes with a `when` only if `with_whens`.
  void Resolve(bool with_whens, GridCell* cell) const;
  // Lets axes stand still where their `when` fails. False when the same cell stands
  // elsewhere in the walk; `blamed` is then the axis.
  bool ApplyWhens(GridCell* cell, int* blamed) const;
  std::vector<DroppedTrials> Constraints() const;

  const SweepSpec& spec_;
  int seed_axis_ = -1;
  std::vector<int64_t> seeds_;
  int64_t full_trials_ = 1;
  std::vector<std::vector<Term>> excludes_;
  std::vector<std::vector<Term>> whens_;  // by axis; empty where it has none
  bool has_whens_ = false;
  std::vector<int> axis_field_;  // index into CellFields; -1: preset or seed
};

}  // namespace loglog

#endif  // LOGLOG_PLAN_GRID_H_
