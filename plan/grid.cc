#include "plan/grid.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "plan/cell_check.h"
#include "plan/draft.h"
#include "plan/fields.h"
#include "plan/shapes.h"
#include "plan/suggest.h"
#include "plan/trunks.h"

namespace loglog {
namespace {

// Every field that a shape sets, by index.
const std::vector<int>& ShapeFields() {
  static const auto* const fields = [] {
    auto* list = new std::vector<int>;
    for (int i = 0; i < std::ssize(CellFields()); ++i) {
      if (IsShapeField(CellFields()[i]->path)) list->push_back(i);
    }
    return list;
  }();
  return *fields;
}

// What is not written comes from the preset, then from the field's default.
void FillFromShape(GridCell* cell) {
  const NamedShape* shape = cell->preset.empty() ? nullptr : FindShape(cell->preset);
  for (const int index : ShapeFields()) {
    SpecValue& value = cell->config.at(index);
    if (!std::holds_alternative<std::monostate>(value)) continue;
    const SpecField& field = *CellFields()[index];
    if (shape != nullptr) {
      value = *shape->Find(field.path);
    } else if (!field.required()) {
      value = DefaultOf(field);
    }
  }
}

std::string Describe(const Condition& condition) {
  return absl::StrCat(
      "{",
      absl::StrJoin(condition, ", ",
                    [](std::string* out, const ConditionTerm& term) {
                      std::vector<std::string> values;
                      for (const SpecValue& value : term.values) {
                        const int64_t* count = std::get_if<int64_t>(&value);
                        values.push_back(count ? DisplayCount(*count) : DisplayText(value));
                      }
                      const std::string list = absl::StrJoin(values, ", ");
                      absl::StrAppend(out, term.key, ": ",
                                      values.size() == 1 ? list : absl::StrCat("[", list, "]"));
                    }),
      "}");
}

bool Contains(const std::vector<SpecValue>& values, const SpecValue& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

Grid::Grid(const SweepSpec& spec) : spec_(spec), seeds_({0}) {
  // Sizes are capped so that the product cannot overflow.
  const auto times = [&](size_t count) {
    full_trials_ = std::min<int64_t>(full_trials_ * static_cast<int64_t>(count), int64_t{1} << 40);
  };
  for (size_t i = 0; i < spec.axes.size(); ++i) {
    const AxisSpec& axis = spec.axes[i];
    times(axis.values.size());
    axis_field_.push_back(CellFieldIndex(axis.path));
    whens_.push_back(Compile(axis.when));
    if (axis.path != "seed") {
      has_whens_ = has_whens_ || !axis.when.empty();
      continue;
    }
    seed_axis_ = static_cast<int>(i);
    seeds_.clear();
    for (const SpecValue& value : axis.values) seeds_.push_back(std::get<int64_t>(value));
  }
  if (!spec.bundles.empty()) times(spec.bundles.size());
  for (const Condition& condition : spec.exclude) excludes_.push_back(Compile(condition));
}

std::vector<Grid::Term> Grid::Compile(const Condition& condition) const {
  std::vector<Term> terms;
  for (const ConditionTerm& entry : condition) {
    Term term{.values = &entry.values};
    const AxisSpec* axis = spec_.FindAxis(entry.key);
    const std::string& path = axis == nullptr ? entry.key : axis->path;
    term.field = CellFieldIndex(path);
    if (path == "arm") term.kind = Term::Kind::kArm;
    if (path == "seed") term.kind = Term::Kind::kSeed;
    if (path == "model.preset") term.kind = Term::Kind::kPreset;
    terms.push_back(term);
  }
  return terms;
}

absl::Status Grid::CheckSize() const {
  if (full_trials_ <= limits::kTrialsOfSweepMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("error: the grid of sweep `", spec_.name, "` has ", full_trials_,
                   full_trials_ == int64_t{1} << 40 ? " or more" : "", " trials; at most ",
                   limits::kTrialsOfSweepMax,
                   " are planned at once\nhint: split the sweep, or list fewer values"));
}

bool Grid::Holds(const std::vector<Term>& terms, const GridCell& cell, int64_t seed) const {
  for (const Term& term : terms) {
    bool holds = false;
    switch (term.kind) {
      case Term::Kind::kField:
        holds = Contains(*term.values, cell.config.at(term.field));
        break;
      case Term::Kind::kPreset:
        holds = Contains(*term.values, SpecValue(cell.preset));
        break;
      case Term::Kind::kArm:
        holds = Contains(*term.values, SpecValue(spec_.bundles[cell.bundle].name));
        break;
      case Term::Kind::kSeed:
        holds = Contains(*term.values, SpecValue(seed));
        break;
    }
    if (!holds) return false;
  }
  return true;
}

void Grid::Apply(const std::string& path, const SpecValue& value, GridCell* cell) const {
  if (path == "model.preset") {
    const std::string* name = std::get_if<std::string>(&value);
    cell->preset = name == nullptr ? "" : *name;
  } else {
    cell->config.Set(path, value);
  }
}

void Grid::Resolve(bool with_whens, GridCell* cell) const {
  cell->config = spec_.base;
  cell->preset = spec_.model_preset;
  if (cell->bundle >= 0) {
    for (const Assignment& field : spec_.bundles[cell->bundle].assignments) {
      Apply(field.path, field.value, cell);
    }
  }
  for (size_t i = 0; i < spec_.axes.size(); ++i) {
    const AxisSpec& axis = spec_.axes[i];
    if (static_cast<int>(i) == seed_axis_ || cell->choice[i] < 0) continue;
    if (!axis.when.empty() && !with_whens) continue;
    const SpecValue& value = axis.values[cell->choice[i]];
    if (axis_field_[i] >= 0) {
      cell->config.at(axis_field_[i]) = value;
    } else {
      Apply(axis.path, value, cell);
    }
  }
  FillFromShape(cell);
}

bool Grid::ApplyWhens(GridCell* cell, int* blamed) const {
  Resolve(false, cell);
  for (size_t i = 0; i < spec_.axes.size(); ++i) {
    if (static_cast<int>(i) == seed_axis_ || spec_.axes[i].when.empty()) continue;
    if (Holds(whens_[i], *cell, 0)) continue;
    // The cell where this axis is at its first value stands for all of them.
    if (cell->choice[i] > 0) {
      *blamed = static_cast<int>(i);
      return false;
    }
    cell->choice[i] = -1;
  }
  Resolve(true, cell);
  return true;
}

std::vector<DroppedTrials> Grid::Constraints() const {
  std::vector<DroppedTrials> constraints;
  for (size_t i = 0; i < spec_.exclude.size(); ++i) {
    constraints.push_back({absl::StrCat("exclude[", i, "] ", Describe(spec_.exclude[i])), 0});
  }
  for (const AxisSpec& axis : spec_.axes) {
    if (axis.when.empty()) continue;
    constraints.push_back({absl::StrCat("when of axis ", axis.name, " ", Describe(axis.when)), 0});
  }
  return constraints;
}

std::vector<DroppedTrials> Grid::Walk(const std::function<bool(const GridCell&)>& visit) const {
  std::vector<DroppedTrials> dropped = Constraints();
  std::vector<size_t> when_row(spec_.axes.size(), 0);
  size_t row = spec_.exclude.size();
  for (size_t i = 0; i < spec_.axes.size(); ++i) {
    if (!spec_.axes[i].when.empty()) when_row[i] = row++;
  }
  const int bundles = std::max<int>(1, static_cast<int>(spec_.bundles.size()));
  GridCell cell;
  std::vector<int> at(spec_.axes.size(), 0);
  for (int bundle = 0; bundle < bundles; ++bundle) {
    std::fill(at.begin(), at.end(), 0);
    bool more = full_trials_ > 0;
    while (more) {
      cell.bundle = spec_.bundles.empty() ? -1 : bundle;
      cell.choice = at;
      int blamed = -1;
      if (!has_whens_) {
        Resolve(true, &cell);
      } else if (!ApplyWhens(&cell, &blamed)) {
        dropped[when_row[blamed]].count += static_cast<int64_t>(seeds_.size());
      }
      if (blamed < 0) {
        cell.seeds.clear();
        const bool one_seed =
            seed_axis_ >= 0 && !whens_[seed_axis_].empty() && !Holds(whens_[seed_axis_], cell, 0);
        for (size_t i = 0; i < seeds_.size(); ++i) {
          if (one_seed && i > 0) {
            ++dropped[when_row[seed_axis_]].count;
            continue;
          }
          size_t by = 0;
          while (by < excludes_.size() && !Holds(excludes_[by], cell, seeds_[i])) ++by;
          if (by < excludes_.size()) {
            ++dropped[by].count;
          } else {
            cell.seeds.push_back(seeds_[i]);
          }
        }
        if (!cell.seeds.empty() && !visit(cell)) return dropped;
      }
      // The next combination; the seed axis is walked inside.
      more = false;
      for (size_t i = spec_.axes.size(); i-- > 0;) {
        if (static_cast<int>(i) == seed_axis_) continue;
        if (++at[i] < static_cast<int>(spec_.axes[i].values.size())) {
          more = true;
          break;
        }
        at[i] = 0;
      }
    }
  }
  return dropped;
}

std::string Grid::SetterOf(const GridCell& cell, const std::string& path) const {
  for (size_t i = 0; i < spec_.axes.size(); ++i) {
    if (spec_.axes[i].path == path && cell.choice[i] >= 0) {
      return absl::StrCat("axes.", spec_.axes[i].name, ".values[", cell.choice[i], "]");
    }
  }
  if (cell.bundle >= 0) {
    const ArmBundle& bundle = spec_.bundles[cell.bundle];
    for (const Assignment& field : bundle.assignments) {
      if (field.path == path) return absl::StrCat("arms.", bundle.name, ".", path);
    }
  }
  return path;
}

std::string Grid::ArmLabel(const GridCell& cell) const {
  if (cell.bundle >= 0) return spec_.bundles[cell.bundle].name;
  std::vector<std::string> parts;
  for (const std::string& name : spec_.arm_axes) {
    for (size_t i = 0; i < spec_.axes.size(); ++i) {
      if (spec_.axes[i].name != name || cell.choice[i] < 0) continue;
      parts.push_back(absl::StrCat(name, "=", DisplayText(spec_.axes[i].values[cell.choice[i]])));
    }
  }
  return parts.empty() ? "all" : absl::StrJoin(parts, ",");
}

std::vector<SpecError> Grid::FindErrors() const {
  constexpr size_t kErrorsMax = 60;
  std::vector<SpecError> errors;
  absl::flat_hash_set<std::string> said;
  std::vector<std::string> arms;
  absl::flat_hash_set<std::string> arm_set;
  int64_t cells = 0;
  const auto dropped = Walk([&](const GridCell& cell) {
    ++cells;
    std::vector<CellFault> faults = CheckCell(cell.config);
    if (faults.empty() && spec_.schedule.trunks) faults = CheckTrunk(cell.config);
    for (CellFault& fault : faults) {
      const std::string path = SetterOf(cell, fault.path);
      if (!said.insert(absl::StrCat(path, "\n", fault.message)).second) continue;
      errors.push_back({.message = std::move(fault.message),
                        .suggestion = std::move(fault.suggestion),
                        .field_path = path,
                        .hint = ExplainHint(fault.path)});
    }
    std::string arm = ArmLabel(cell);
    if (arm_set.insert(arm).second) arms.push_back(std::move(arm));
    return errors.size() < kErrorsMax;
  });
  if (cells == 0) {
    std::vector<std::string> counts;
    for (const DroppedTrials& drop : dropped) {
      counts.push_back(absl::StrCat(drop.constraint, " drops ", drop.count));
    }
    errors.push_back({.message = absl::StrCat("the constraints leave no trial of ", full_trials_),
                      .suggestion = absl::StrJoin(counts, "; "),
                      .field_path = "exclude",
                      .hint = "loglog explain exclude"});
    return errors;
  }
  if (!errors.empty()) return errors;
  for (size_t i = 0; i < spec_.fit.size(); ++i) {
    const std::string* named[] = {&spec_.fit[i].arm, &spec_.fit[i].arm_b};
    for (int side = 0; side < 2; ++side) {
      if (named[side]->empty() || arm_set.contains(*named[side])) continue;
      std::string guess = DidYouMean(*named[side], arms);
      if (guess.empty()) {
        const size_t shown = std::min<size_t>(arms.size(), 4);
        guess = absl::StrCat("arms are ", absl::StrJoin(arms.begin(), arms.begin() + shown, ", "),
                             shown < arms.size() ? ", ..." : "");
      }
      errors.push_back({.message = absl::StrCat("there is no arm `", *named[side], "`"),
                        .suggestion = std::move(guess),
                        .field_path = absl::StrCat("fit[", i, "].compare[", side, "]"),
                        .hint = "loglog explain fit"});
    }
  }
  return errors;
}

}  // namespace loglog
