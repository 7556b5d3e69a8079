#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/duration.h"
#include "nlohmann/json.hpp"
#include "plan/fields.h"
#include "plan/json_frame.h"
#include "plan/spec.h"
#include "plan/stop_rule.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

// Canonical JSON of a mapping, from keys (sorted by the caller) and finished texts.
using Members = std::vector<std::pair<std::string, std::string>>;

std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::string Object(const Members& members) {
  return absl::StrCat("{",
                      absl::StrJoin(members, ",",
                                    [](std::string* out, const auto& member) {
                                      absl::StrAppend(out, Quoted(member.first), ":",
                                                      member.second);
                                    }),
                      "}");
}

std::string List(const std::vector<std::string>& items) {
  return absl::StrCat("[", absl::StrJoin(items, ","), "]");
}

std::string Values(const std::vector<SpecValue>& values) {
  std::vector<std::string> texts;
  for (const SpecValue& value : values) texts.push_back(CanonicalText(value));
  return List(texts);
}

std::string ConditionJson(const Condition& condition) {
  Members terms;
  for (const ConditionTerm& term : condition) terms.emplace_back(term.key, Values(term.values));
  return Object(terms);
}

std::string AxesJson(const SweepSpec& spec) {
  Members axes;
  for (const AxisSpec& axis : spec.axes) {
    axes.emplace_back(axis.name,
                      Object({{"path", Quoted(axis.path)},
                              {"values", Values(axis.values)},
                              {"when", axis.when.empty() ? "null" : ConditionJson(axis.when)}}));
  }
  return Object(axes);
}

std::string ArmsJson(const SweepSpec& spec) {
  if (spec.bundles.empty()) {
    std::vector<std::string> names;
    for (const std::string& name : spec.arm_axes) names.push_back(Quoted(name));
    return List(names);
  }
  Members arms;
  for (const ArmBundle& bundle : spec.bundles) {
    Members fields;
    for (const Assignment& field : bundle.assignments) {
      fields.emplace_back(field.path, CanonicalText(field.value));
    }
    arms.emplace_back(bundle.name, Object(fields));
  }
  return Object(arms);
}

std::string FitJson(const SweepSpec& spec) {
  std::vector<std::string> fits;
  for (const FitRequest& fit : spec.fit) {
    if (fit.kind == "comparison") {
      fits.push_back(Object(
          {{"axis", Quoted(fit.axis)}, {"compare", List({Quoted(fit.arm), Quoted(fit.arm_b)})}}));
    } else if (fit.kind == kStopRuleKind) {
      fits.push_back(Object({{"stop_when", Quoted(fit.form)}}));
    } else {
      // Left out at its default, so that specs from before it keep their identity.
      const std::string by = Quoted("arm"), form = Quoted(fit.form);
      fits.push_back(fit.censored ? Object({{"by", by}, {"censored", "true"}, {"form", form}})
                                  : Object({{"by", by}, {"form", form}}));
    }
  }
  return List(fits);
}

std::string SelectorJson(const ScheduleSpec& schedule) {
  Members labels;
  for (const auto& [key, value] : schedule.selector) labels.emplace_back(key, Quoted(value));
  return Object(labels);
}

std::string Whole(const std::optional<double>& value) {
  return value ? absl::StrCat(std::llround(*value)) : "null";
}

}  // namespace

const AxisSpec* SweepSpec::FindAxis(absl::string_view axis_name) const {
  for (const AxisSpec& axis : axes) {
    if (axis.name == axis_name) return &axis;
  }
  return nullptr;
}

std::string CanonicalJson(const SweepSpec& spec) {
  std::vector<std::string> order, exclude;
  for (const OrderKey& key : spec.order) {
    order.push_back(Quoted(absl::StrCat(key.reversed ? "-" : "", key.key)));
  }
  for (const Condition& condition : spec.exclude) exclude.push_back(ConditionJson(condition));
  const BudgetSpec& budget = spec.budget;
  std::map<absl::string_view, std::string> texts = {
      {"apiVersion", Quoted("loglog/v1")},
      {"arms", ArmsJson(spec)},
      {"axes", AxesJson(spec)},
      {"budget.flops_per_second", Whole(budget.flops_per_second)},
      {"budget.gpu_hours", budget.gpu_hours ? CanonicalNumber(*budget.gpu_hours) : "null"},
      {"budget.tokens_per_second", Whole(budget.tokens_per_second)},
      {"budget.wall_time",
       budget.wall_time_ms ? Quoted(FormatDurationMs(*budget.wall_time_ms)) : "null"},
      {"checkpoint.every", absl::StrCat(spec.checkpoint.every)},
      {"checkpoint.keep", absl::StrCat(spec.checkpoint.keep)},
      {"exclude", List(exclude)},
      {"fit", FitJson(spec)},
      {"model.preset", spec.model_preset.empty() ? "null" : Quoted(spec.model_preset)},
      {"name", Quoted(spec.name)},
      {"order", List(order)},
      {"retries.failures", absl::StrCat(spec.retries.failures)},
      {"retries.losses", absl::StrCat(spec.retries.losses)},
  };
  // Specs from before there were schedules keep their identity.
  if (const ScheduleSpec& schedule = spec.schedule; schedule != ScheduleSpec()) {
    texts["schedule.max_concurrent"] =
        schedule.max_concurrent ? absl::StrCat(*schedule.max_concurrent) : "null";
    texts["schedule.priority"] = absl::StrCat(schedule.priority);
    texts["schedule.selector"] = SelectorJson(schedule);
    texts["schedule.share"] = CanonicalNumber(schedule.share);
    texts["schedule.slots"] = absl::StrCat(schedule.slots);
    if (schedule.trunks) texts["schedule.trunks"] = "true";
  }
  for (size_t i = 0; i < CellFields().size(); ++i) {
    const SpecField& field = *CellFields()[i];
    const SpecValue& value = spec.base.at(static_cast<int>(i));
    if (!IsLeftOut(field, value)) texts[field.path] = CanonicalText(value);
  }
  std::string out;
  NestedJson json(&out);
  for (const auto& [path, text] : texts) json.Add(path, text);
  json.Finish();
  return out;
}

std::string SpecSha256(const SweepSpec& spec) { return Sha256Hex(CanonicalJson(spec)); }

}  // namespace loglog
