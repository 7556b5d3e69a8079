#include "plan/expand.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "plan/grid.h"
#include "plan/trunks.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

// What trials are sorted by, beside their cost.
struct SortFacts {
  std::vector<int> choice;  // of each axis; -1: it stands still
  int arm = 0;              // rank
};

class Expander {
 public:
  explicit Expander(const SweepSpec& spec) : spec_(spec), grid_(spec) {}

  absl::StatusOr<Expansion> Run() {
    LOGLOG_RETURN_IF_ERROR(grid_.CheckSize());
    if (const auto errors = grid_.FindErrors(); !errors.empty()) return SpecErrorStatus(errors);
    out_.grid_trials = grid_.full_trials();
    out_.dropped = grid_.Walk([&](const GridCell& cell) {
      AddCell(cell);
      return true;
    });
    if (const auto errors = ArmsWithoutCells(); !errors.empty()) return SpecErrorStatus(errors);
    if (duplicates_ > 0) out_.dropped.push_back({"duplicate", duplicates_});
    RankArms();
    SortTrials();
    NumberCellsByFirstTrial();
    return std::move(out_);
  }

 private:
  void AddCell(const GridCell& cell) {
    std::string json = cell.config.CanonicalJson();
    std::string sha = Sha256Hex(json);
    const auto [it, fresh] = by_sha_.emplace(sha, static_cast<int>(out_.cells.size()));
    if (!fresh) shared_with_[grid_.ArmLabel(cell)].insert(out_.cells[it->second].arm);
    if (fresh) {
      Cell added{
          .sha256 = std::move(sha), .config_json = std::move(json), .arm = grid_.ArmLabel(cell)};
      for (size_t i = 0; i < spec_.axes.size(); ++i) {
        const AxisSpec& axis = spec_.axes[i];
        if (axis.path == "seed" || cell.choice[i] < 0) continue;
        const SpecValue& value = axis.values[cell.choice[i]];
        const std::string* text = std::get_if<std::string>(&value);
        added.axes.emplace_back(axis.name, text != nullptr ? *text : CanonicalText(value));
      }
      added.cost = CostOf(cell.config);
      NoteArm(cell, added.arm);
      facts_.push_back({cell.choice, 0});
      seeds_of_.emplace_back();
      out_.cells.push_back(std::move(added));
    }
    std::vector<int64_t>& seeds = seeds_of_[it->second];
    const size_t known = fresh ? 0 : seeds.size();
    for (const int64_t seed : cell.seeds) {
      if (std::find(seeds.begin(), seeds.begin() + known, seed) != seeds.begin() + known) {
        ++duplicates_;
        continue;
      }
      seeds.push_back(seed);
      out_.trials.push_back({it->second, seed, TrialSha256(out_.cells[it->second].sha256, seed)});
    }
  }

  // A cell belongs to the first arm that has it. An arm left with none would have no
  // trials, and what compares it nothing to compare.
  std::vector<SpecError> ArmsWithoutCells() const {
    std::set<std::string> owners;
    for (const Cell& cell : out_.cells) owners.insert(cell.arm);
    std::vector<SpecError> errors;
    for (const auto& [arm, others] : shared_with_) {
      if (owners.count(arm) > 0) continue;
      const std::string field = spec_.bundles.empty() ? "arms" : absl::StrCat("arms.", arm);
      errors.push_back({.message = absl::StrCat("every cell of arm `", arm, "` is also a cell of ",
                                                others.size() == 1 ? "arm `" : "arms `",
                                                absl::StrJoin(others, "`, `"), "`"),
                        .suggestion = "let the arms differ, or remove one",
                        .field_path = field,
                        .hint = "loglog explain arms"});
    }
    return errors;
  }

  // Arms in the order of the values of their axes, the first axis slowest.
  void NoteArm(const GridCell& cell, const std::string& label) {
    std::vector<int> key = {cell.bundle};
    for (const std::string& name : spec_.arm_axes) {
      for (size_t i = 0; i < spec_.axes.size(); ++i) {
        if (spec_.axes[i].name == name) key.push_back(cell.choice[i]);
      }
    }
    arms_.emplace(std::move(key), label);
  }

  void RankArms() {
    absl::flat_hash_map<std::string, int> rank;
    for (const auto& [key, label] : arms_) {
      if (!rank.emplace(label, static_cast<int>(out_.arms.size())).second) continue;
      out_.arms.push_back(label);
    }
    for (size_t i = 0; i < facts_.size(); ++i) facts_[i].arm = rank[out_.cells[i].arm];
  }

  // The number that `key` sorts a trial by.
  double SortValue(const OrderKey& key, const PlannedTrial& trial) const {
    double value = 0;
    if (key.key == "cost") {
      value = -out_.cells[trial.cell].cost.flops;
    } else if (key.key == "arm") {
      value = facts_[trial.cell].arm;
    } else if (key.key == "seed") {
      const auto it = seed_rank_.find(trial.seed);
      value = it == seed_rank_.end() ? 0 : it->second;
    } else {
      for (size_t i = 0; i < spec_.axes.size(); ++i) {
        if (spec_.axes[i].name == key.key) value = facts_[trial.cell].choice[i];
      }
    }
    return key.reversed ? -value : value;
  }

  void SortTrials() {
    if (const AxisSpec* axis = spec_.FindAxis("seed")) {
      for (size_t i = 0; i < axis->values.size(); ++i) {
        seed_rank_.emplace(std::get<int64_t>(axis->values[i]), static_cast<double>(i));
      }
    }
    const size_t keys = spec_.order.size();
    std::vector<double> values(out_.trials.size() * keys);
    for (size_t i = 0; i < out_.trials.size(); ++i) {
      for (size_t k = 0; k < keys; ++k) {
        values[i * keys + k] = SortValue(spec_.order[k], out_.trials[i]);
      }
    }
    std::vector<int> order(out_.trials.size());
    std::iota(order.begin(), order.end(), 0);
    // Stable: ties keep the order of the grid.
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      const double* x = values.data() + a * keys;
      const double* y = values.data() + b * keys;
      return std::lexicographical_compare(x, x + keys, y, y + keys);
    });
    std::vector<PlannedTrial> sorted;
    sorted.reserve(order.size());
    for (const int i : order) sorted.push_back(std::move(out_.trials[i]));
    out_.trials = std::move(sorted);
  }

  void NumberCellsByFirstTrial() {
    std::vector<int> number(out_.cells.size(), -1);
    std::vector<Cell> cells;
    cells.reserve(out_.cells.size());
    for (PlannedTrial& trial : out_.trials) {
      int& mapped = number[trial.cell];
      if (mapped < 0) {
        mapped = static_cast<int>(cells.size());
        cells.push_back(std::move(out_.cells[trial.cell]));
      }
      trial.cell = mapped;
    }
    out_.cells = std::move(cells);
  }

  const SweepSpec& spec_;
  const Grid grid_;
  Expansion out_;
  absl::flat_hash_map<std::string, int> by_sha_;
  std::vector<std::vector<int64_t>> seeds_of_;  // by cell
  std::vector<SortFacts> facts_;                // by cell
  std::map<std::vector<int>, std::string> arms_;
  std::map<std::string, std::set<std::string>> shared_with_;  // arm -> arms that own its cells
  absl::flat_hash_map<int64_t, double> seed_rank_;
  int64_t duplicates_ = 0;
};

}  // namespace

absl::StatusOr<Expansion> Expand(const SweepSpec& spec) { return Expander(spec).Run(); }

std::string TrialSha256(absl::string_view cell_sha256, int64_t seed) {
  return Sha256Hex(absl::StrCat(cell_sha256, ":", seed));
}

std::vector<TaskPlan> PlanTasks(const SweepSpec& spec, const Expansion& expansion) {
  const size_t trials = expansion.trials.size();
  const std::vector<int> trunks =
      spec.schedule.trunks ? TrunksOf(expansion) : std::vector<int>(trials, -1);
  std::vector<TaskPlan> tasks;
  tasks.reserve(trials);
  std::vector<int> task_of(trials, -1);
  const auto add = [&](int trial) {
    const Cell& cell = expansion.cells[expansion.trials[trial].cell];
    task_of[trial] = static_cast<int>(tasks.size());
    tasks.push_back({.members = {trial}, .token_begin = 0, .token_end = cell.cost.tokens});
    if (trunks[trial] < 0) return;
    const int64_t batch_tokens = cell.cost.tokens / cell.cost.steps;
    tasks.back().token_begin = BranchStep(*ParseCellConfig(cell.config_json)) * batch_tokens;
    tasks.back().parent = task_of[trunks[trial]];
  };
  for (int i = 0; i < static_cast<int>(trials); ++i) {
    if (trunks[i] >= 0 && task_of[trunks[i]] < 0) add(trunks[i]);
    if (task_of[i] < 0) add(i);
  }
  return tasks;
}

}  // namespace loglog
