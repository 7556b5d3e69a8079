#include "cli/next_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;

// Name of the axis behind a path; empty when there is none.
std::string AxisOf(const json& axes, absl::string_view path) {
  for (const auto& [name, axis] : axes.items()) {
    if (axis.at("path").get<std::string>() == path) return name;
  }
  return "";
}

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

bool Named(const std::vector<std::string>& arms, const std::string& arm) {
  return std::find(arms.begin(), arms.end(), arm) != arms.end();
}

// Arms made by axes: their values only, and no other combination of them.
void KeepArmAxes(const NextTrials& next, json* spec) {
  const std::vector<std::string> names = (*spec)["arms"];
  std::vector<json> combinations = {json::object()};
  for (const std::string& name : names) {
    std::set<std::string> texts;
    for (const std::string& arm : next.arms) texts.insert(next.arm_axes.at(arm).at(name));
    json values = json::array();
    std::vector<json> longer;
    for (const std::string& text : texts) {
      values.push_back(ValueOf(text));
      for (json one : combinations) {
        one[name] = ValueOf(text);
        longer.push_back(std::move(one));
      }
    }
    (*spec)["axes"][name]["values"] = std::move(values);
    combinations = std::move(longer);
  }
  for (const json& combination : combinations) {
    const bool wanted = std::any_of(next.arms.begin(), next.arms.end(), [&](const auto& arm) {
      return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return combination.at(name) == ValueOf(next.arm_axes.at(arm).at(name));
      });
    });
    if (!wanted) (*spec)["exclude"].push_back(combination);
  }
}

}  // namespace

absl::StatusOr<std::string> SpecOfTrials(const std::string& spec_json, const NextTrials& next) try {
  json spec = json::parse(spec_json);
  json& axes = spec.at("axes");
  const std::string tokens = AxisOf(axes, "train.tokens"), seed = AxisOf(axes, "seed");
  if (tokens.empty() || seed.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the sweep has no axis of ", tokens.empty() ? "train.tokens" : "seed",
        ", so no spec of other trials follows from its own; write one with the trials above"));
  }
  std::set<int64_t> all_seeds;
  json budgets = json::array();
  size_t wanted = 0;
  for (const auto& [d, seeds] : next.seeds) {
    budgets.push_back(d);
    all_seeds.insert(seeds.begin(), seeds.end());
    wanted += seeds.size() * next.arms.size();
  }
  axes[tokens]["values"] = budgets;
  axes[seed]["values"] = all_seeds;
  for (const auto& [d, seeds] : next.seeds) {
    json others = json::array();
    for (const int64_t other : all_seeds) {
      if (!seeds.contains(other)) others.push_back(other);
    }
    if (!others.empty()) spec["exclude"].push_back({{tokens, d}, {seed, others}});
  }
  if (spec.at("arms").is_object()) {
    for (auto it = spec["arms"].begin(); it != spec["arms"].end();) {
      it = Named(next.arms, it.key()) ? std::next(it) : spec["arms"].erase(it);
    }
  } else {
    KeepArmAxes(next, &spec);
  }
  json fits = json::array();
  for (const json& fit : spec.at("fit")) {
    const bool there = !fit.contains("compare") || (Named(next.arms, fit["compare"].at(0)) &&
                                                    Named(next.arms, fit["compare"].at(1)));
    if (there) fits.push_back(fit);
  }
  spec["fit"] = std::move(fits);
  spec["name"] = absl::StrCat(spec.at("name").get<std::string>(), "-next");
  const std::string text = WithPoints(spec.dump(2)) + "\n";
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec parsed, ParseSpec(text, "next.yaml"));
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(parsed));
  if (expansion.trials.size() != wanted) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a grid cut to these ", wanted, " trials has ", expansion.trials.size(),
        ": the sweep has axes beside arms, tokens and seeds; write a spec with the trials above"));
  }
  return text;
} catch (const json::exception& error) {
  return absl::DataLossError(absl::StrCat("the sweep's spec cannot be read: ", error.what()));
}

}  // namespace loglog::cli
