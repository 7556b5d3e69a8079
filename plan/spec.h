#ifndef LOGLOG_PLAN_SPEC_H_
#define LOGLOG_PLAN_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "plan/cell_config.h"
#include "plan/spec_error.h"
#include "plan/value.h"

namespace loglog {

// What one field of the cells is set to.
struct Assignment {
  std::string path;  // "init.gamma", "model.preset" or "seed"
  SpecValue value;
};

// Holds when every term holds; a term holds when what it names has one of the values.
struct ConditionTerm {
  std::string key;  // an axis, "arm", "seed" or the path of a field
  std::vector<SpecValue> values;
};
using Condition = std::vector<ConditionTerm>;

struct AxisSpec {
  std::string name;
  std::string path;
  std::vector<SpecValue> values;  // in the order written; ranges are expanded
  // Where it does not hold, the axis stands still: its field keeps the value it has
  // without the axis (the seed axis: its first value). Empty: it holds everywhere.
  Condition when;
};

// A named arm: fields set together.
struct ArmBundle {
  std::string name;
  std::vector<Assignment> assignments;
};

// A fit that the sweep's owner wants kept up to date.
struct FitRequest {
  // "local_slope", "saturating", "joint", "equal_exponent", "kaplan", "data_constrained",
  // "isoflop", "power", "broken" or "comparison"; "stop_rule" for what is none but ends the
  // sweep (plan/stop_rule.h).
  std::string kind;
  std::string axis;  // "D", "N" or "C": what the loss is a function of; "" for N and D at once
  std::string form;  // "E + B*D^-beta", "halfwidth(slope) < 0.003"; empty for a comparison
  std::string arm;   // comparisons: the two arms, by label
  std::string arm_b;
  // Also what the trials that were stopped early say: their last loss is an upper end.
  bool censored = false;
};

struct CheckpointSpec {
  int64_t every = 200;  // steps
  int64_t keep = 2;
};

struct RetrySpec {
  int64_t failures = 3;  // of the trial itself
  int64_t losses = 20;   // workers lost under it
};

// What the sweep may cost, and what `plan` should reckon with.
struct BudgetSpec {
  std::optional<double> gpu_hours;
  std::optional<int64_t> wall_time_ms;
  std::optional<double> tokens_per_second;  // of one slot, stated by the user
  std::optional<double> flops_per_second;   // of one slot
};

// How the sweep's trials come to be trained. No part of a trial's identity.
struct ScheduleSpec {
  int64_t priority = 0;                         // higher goes first
  std::optional<int64_t> max_concurrent;        // trials at one time
  std::map<std::string, std::string> selector;  // labels that a worker must have
  int64_t slots = 1;                            // of one worker, for each trial
  double share = 1;                             // weight among sweeps of one priority
  bool trunks = false;                          // plan/trunks.h

  bool operator==(const ScheduleSpec&) const = default;
};

// One key of the trials' order.
struct OrderKey {
  std::string key;  // an axis, "arm", "seed", or "cost" (dearest first)
  bool reversed = false;
};

// A checked, immutable description of a sweep. Two specs are the same when their
// canonical JSON is: key order, comments, the spelling of units, ranges against the
// same values listed, and defaults written out or left out make no difference.
struct SweepSpec {
  std::string name;
  CellConfig base;                    // what all cells have unless an axis or arm says otherwise
  std::string model_preset;           // only when an axis or arm sets model.preset
  std::vector<AxisSpec> axes;         // by name
  std::vector<std::string> arm_axes;  // axes whose values make an arm; empty with bundles
  std::vector<ArmBundle> bundles;     // by name
  std::vector<Condition> exclude;
  std::vector<OrderKey> order;
  std::vector<FitRequest> fit;
  CheckpointSpec checkpoint;
  RetrySpec retries;
  BudgetSpec budget;
  ScheduleSpec schedule;

  const AxisSpec* FindAxis(absl::string_view axis_name) const;
};

// Reads a spec from YAML (or JSON, its canonical form included) and applies Hydra-style
// overrides to it: "train.lr=3.0e-4" sets, "+x=y" adds a key that is not there, "++x=y"
// sets or adds, "~x" removes. Thread-safe; touches no file.
// INVALID_ARGUMENT carries up to kSpecErrorsMax SpecErrors.
absl::StatusOr<SweepSpec> ParseSpec(absl::string_view text, absl::string_view filename,
                                    absl::Span<const std::string> overrides = {});

// The one spelling of a spec: all fields, sorted keys, no white space; a schedule in which
// everything is at its default is left out. ParseSpec reads it back to the same spec.
std::string CanonicalJson(const SweepSpec& spec);

// SHA-256 of CanonicalJson, hex.
std::string SpecSha256(const SweepSpec& spec);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SPEC_H_
