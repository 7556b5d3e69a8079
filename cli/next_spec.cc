#include "cli/next_spec.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;

// Axis names and their values as text: what a cell is besides its tokens.
using Choice = std::map<std::string, std::string>;
// An arm's label and a choice.
using Line = std::pair<std::string, Choice>;
// The seeds at each number of tokens.
using Seeds = std::map<int64_t, std::set<int64_t>>;

json ValueOf(const std::string& text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? json(text) : value;
}

// 1e-06 as 1.0e-06: YAML loaders disagree about the former, and specs refuse it.
std::string WithPoints(const std::string& text) {
  std::string out;
  bool quoted = false, number = false, point = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
    const bool digit = c >= '0' && c <= '9';
    if (!quoted && number && c == 'e' && !point) out += ".0";
    point = !quoted && number && (point || c == '.');
    number = !quoted && (digit || (number && (c == '.' || c == '-' || c == '+')));
    out += c;
  }
  return out;
}

std::string AxisOfPath(const SweepSpec& spec, absl::string_view path) {
  for (const AxisSpec& axis : spec.axes) {
    if (axis.path == path) return axis.name;
  }
  return "";
}

bool HasSize(const loglog::Cell& cell, double n_params) {
  return n_params == 0 || n_params == static_cast<double>(cell.cost.params.non_embedding) ||
         n_params == static_cast<double>(cell.cost.params.total);
}

// Finds what a trial's cell is besides its tokens, from the cells that a spec has.
class Lines {
 public:
  Lines(const Expansion& expansion, const std::string& tokens_axis) : expansion_(expansion) {
    for (const loglog::Cell& cell : expansion.cells) {
      Choice choice(cell.axes.begin(), cell.axes.end());
      choice.erase(tokens_axis);
      choices_.push_back(std::move(choice));
    }
    for (const PlannedTrial& trial : expansion.trials) {
      const loglog::Cell& cell = expansion.cells[trial.cell];
      trials_.insert({{cell.arm, choices_[trial.cell]}, cell.cost.tokens, trial.seed});
    }
  }

  absl::StatusOr<Line> Of(const NextTrial& trial) const {
    std::set<Choice> found;
    for (size_t i = 0; i < choices_.size(); ++i) {
      const loglog::Cell& cell = expansion_.cells[i];
      if (cell.arm == trial.arm && HasSize(cell, trial.n_params)) found.insert(choices_[i]);
    }
    if (found.size() == 1) return Line(trial.arm, *found.begin());
    const std::string what =
        trial.n_params > 0 ? absl::StrFormat("arm `%s` at N = %.0f", trial.arm, trial.n_params)
                           : absl::StrCat("arm `", trial.arm, "`");
    if (found.empty()) {
      return absl::FailedPreconditionError(absl::StrCat("the spec has no ", what, "; its arms are ",
                                                        absl::StrJoin(expansion_.arms, ", ")));
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "the spec has ", found.size(), " kinds of cells of ", what,
        ", which differ in an axis beside arms, sizes, tokens and seeds; write a spec with the "
        "trials above"));
  }

  bool Has(const Line& line, const NextTrial& trial) const {
    return trials_.contains({line, trial.tokens, trial.seed});
  }

 private:
  const Expansion& expansion_;
  std::vector<Choice> choices_;  // by cell
  std::set<std::tuple<Line, int64_t, int64_t>> trials_;
};

// A grid that is cut down to wanted trials.
class Cut {
 public:
  Cut(const SweepSpec& spec, std::string tokens_axis, std::string seed_axis)
      : by_bundles_(!spec.bundles.empty()),
        tokens_axis_(std::move(tokens_axis)),
        seed_axis_(std::move(seed_axis)) {}

  void Want(const Line& line, int64_t tokens, int64_t seed) {
    wanted_[line][tokens].insert(seed);
    tokens_.insert(tokens);
    seeds_.insert(seed);
  }
  size_t size() const {
    size_t trials = 0;
    for (const auto& [line, at] : wanted_) {
      for (const auto& [tokens, seeds] : at) trials += seeds.size();
    }
    return trials;
  }

  void WriteTo(json* spec) const {
    json& axes = spec->at("axes");
    axes[tokens_axis_]["values"] = tokens_;
    axes[seed_axis_]["values"] = seeds_;
    std::map<std::string, std::set<std::string>> kept;  // by axis
    for (const auto& [line, at] : wanted_) {
      for (const auto& [axis, value] : line.second) kept[axis].insert(value);
    }
    for (const auto& [axis, values] : kept) {
      axes[axis]["values"] = json::array();
      for (const std::string& value : values) axes[axis]["values"].push_back(ValueOf(value));
    }
    (*spec)["exclude"] = json::array();
    for (const Line& line : GridOf(kept)) {
      if (!wanted_.contains(line)) (*spec)["exclude"].push_back(ConditionOf(line));
    }
    for (const int64_t tokens : tokens_) ExcludeAt(tokens, spec);
    if (by_bundles_) DropArms(spec);
    DropComparisons(spec);
  }

 private:
  std::set<std::string> Arms() const {
    std::set<std::string> arms;
    for (const auto& [line, at] : wanted_) arms.insert(line.first);
    return arms;
  }

  json ConditionOf(const Line& line) const {
    json condition = json::object();
    if (by_bundles_) condition["arm"] = line.first;
    for (const auto& [axis, value] : line.second) condition[axis] = ValueOf(value);
    return condition;
  }

  // All combinations of arms and kept values; a label that axes make is no choice of its own.
  std::vector<Line> GridOf(const std::map<std::string, std::set<std::string>>& kept) const {
    std::vector<Choice> choices = {{}};
    for (const auto& [axis, values] : kept) {
      std::vector<Choice> longer;
      for (const Choice& choice : choices) {
        for (const std::string& value : values) {
          longer.push_back(choice);
          longer.back()[axis] = value;
        }
      }
      choices = std::move(longer);
    }
    std::vector<Line> lines;
    for (const Choice& choice : choices) {
      if (by_bundles_) {
        for (const std::string& arm : Arms()) lines.emplace_back(arm, choice);
        continue;
      }
      const auto own = std::find_if(wanted_.begin(), wanted_.end(),
                                    [&](const auto& one) { return one.first.second == choice; });
      lines.emplace_back(own == wanted_.end() ? "" : own->first.first, choice);
    }
    return lines;
  }

  std::set<int64_t> Others(const Seeds& at, int64_t tokens) const {
    const auto own = at.find(tokens);
    if (own == at.end()) return seeds_;
    std::set<int64_t> others;
    std::set_difference(seeds_.begin(), seeds_.end(), own->second.begin(), own->second.end(),
                        std::inserter(others, others.end()));
    return others;
  }

  // One entry where all lines want the same seeds.
  void ExcludeAt(int64_t tokens, json* spec) const {
    std::set<std::set<int64_t>> kinds;
    for (const auto& [line, at] : wanted_) kinds.insert(Others(at, tokens));
    for (const auto& [line, at] : wanted_) {
      const std::set<int64_t> others = Others(at, tokens);
      if (others.empty()) continue;
      json condition = kinds.size() == 1 ? json::object() : ConditionOf(line);
      condition[tokens_axis_] = tokens;
      if (others.size() < seeds_.size()) condition[seed_axis_] = others;
      (*spec)["exclude"].push_back(std::move(condition));
      if (kinds.size() == 1) return;
    }
  }

  void DropArms(json* spec) const {
    const std::set<std::string> arms = Arms();
    json& all = spec->at("arms");
    for (auto it = all.begin(); it != all.end();) {
      it = arms.contains(it.key()) ? std::next(it) : all.erase(it);
    }
  }

  void DropComparisons(json* spec) const {
    const std::set<std::string> arms = Arms();
    json fits = json::array();
    for (const json& fit : spec->at("fit")) {
      const bool there =
          !fit.contains("compare") || (arms.contains(fit["compare"].at(0).get<std::string>()) &&
                                       arms.contains(fit["compare"].at(1).get<std::string>()));
      if (there) fits.push_back(fit);
    }
    (*spec)["fit"] = std::move(fits);
  }

  const bool by_bundles_;
  const std::string tokens_axis_;
  const std::string seed_axis_;
  std::map<Line, Seeds> wanted_;
  std::set<int64_t> tokens_;
  std::set<int64_t> seeds_;
};

}  // namespace

absl::StatusOr<std::string> SpecOfTrials(const std::string& spec_json,
                                         absl::Span<const NextTrial> there,
                                         absl::Span<const NextTrial> added) {
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec, ParseSpec(spec_json, "the sweep's spec"));
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(spec));
  const std::string tokens = AxisOfPath(spec, "train.tokens"), seed = AxisOfPath(spec, "seed");
  if (tokens.empty() || seed.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the spec has no axis of ", tokens.empty() ? "train.tokens" : "seed",
        ", so no spec of other trials follows from it; write one with the trials above"));
  }
  const Lines lines(expansion, tokens);
  Cut cut(spec, tokens, seed);
  for (const NextTrial& trial : there) {
    const absl::StatusOr<Line> line = lines.Of(trial);
    if (line.ok() && lines.Has(*line, trial)) cut.Want(*line, trial.tokens, trial.seed);
  }
  for (const NextTrial& trial : added) {
    LOGLOG_ASSIGN_OR_RETURN(const Line line, lines.Of(trial));
    cut.Want(line, trial.tokens, trial.seed);
  }
  json written = json::parse(CanonicalJson(spec));
  written["name"] = absl::StrCat(spec.name, "-next");
  cut.WriteTo(&written);
  const std::string text = WithPoints(written.dump(2)) + "\n";
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec next, ParseSpec(text, "next.yaml"));
  LOGLOG_ASSIGN_OR_RETURN(const Expansion planned, Expand(next));
  if (planned.trials.size() != cut.size()) {
    return absl::FailedPreconditionError(absl::StrCat("a grid cut to these ", cut.size(),
                                                      " trials has ", planned.trials.size(),
                                                      "; write a spec with the trials above"));
  }
  return text;
}

}  // namespace loglog::cli
