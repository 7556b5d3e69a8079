#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "plan/draft.h"
#include "plan/shapes.h"

namespace loglog {
namespace {

// Names what sets `path` in some cells only.
std::string PartialSetter(const SweepSpec& spec, absl::string_view path) {
  for (const AxisSpec& axis : spec.axes) {
    if (axis.path == path)
      return absl::StrCat("axis `", axis.name, "` sets it only where its `when` holds");
  }
  for (const ArmBundle& bundle : spec.bundles) {
    const auto& list = bundle.assignments;
    if (std::none_of(list.begin(), list.end(),
                     [&](const Assignment& a) { return a.path == path; })) {
      return absl::StrCat("arm `", bundle.name, "` does not set it");
    }
  }
  return "";
}

std::string SectionOf(absl::string_view path) {
  return std::string(path.substr(0, path.find('.')));
}

void RefuseMissing(const SpecField& field, SpecDraft* draft) {
  const std::string why = IsSwept(draft->spec, field.path)
                              ? absl::StrCat(": ", PartialSetter(draft->spec, field.path))
                              : "";
  const size_t dot = field.path.rfind('.');
  const std::string section = dot == std::string::npos ? "" : field.path.substr(0, dot);
  const std::string example = field.choices.empty()
                                  ? absl::StrCat("write ", field.leaf(), ": ", DescribeType(field))
                                  : absl::StrCat("write ", field.leaf(), ": ", field.choices[0]);
  draft->Refuse(draft->PlaceOf(section.empty() ? "" : field.path),
                absl::StrCat(field.path, " is missing", why), example, field.path);
}

// True when the field, or a section it is in, seems to be there under a wrong name.
bool Guessed(const SpecDraft& draft, std::string path) {
  while (true) {
    if (draft.guessed.count(path) > 0) return true;
    const size_t dot = path.rfind('.');
    if (dot == std::string::npos) return false;
    path.resize(dot);
  }
}

void CheckMissing(SpecDraft* draft) {
  const SweepSpec& spec = draft->spec;
  const bool any_preset = IsSwept(spec, "model.preset") ||
                          draft->values.count("model.preset") > 0 ||
                          draft->refused.count("model.preset") > 0;
  std::vector<std::string> model_lacks;
  for (const SpecField& field : SpecFields()) {
    if (!field.required() || draft->values.count(field.path) > 0) continue;
    if (draft->refused.count(field.path) > 0 || Guessed(*draft, field.path)) continue;
    if (field.in_cell && IsCovered(spec, field.path)) continue;
    if (SectionOf(field.path) != "model") {
      RefuseMissing(field, draft);
    } else if (!any_preset) {
      model_lacks.emplace_back(field.leaf());
    }
  }
  if (model_lacks.empty()) return;
  draft->Refuse(draft->PlaceOf("model"),
                absl::StrCat("model lacks ", absl::StrJoin(model_lacks, ", ")),
                "write them, or start from a preset: model: {preset: llama-10m}", "model");
}

// A file may say a value that an axis or the arms stand in place of. Who says it on the command
// line means to change something.
void CheckIsOfUse(const std::string& path, SpecDraft* draft) {
  const SpecPlace place = draft->PlaceOf(path);
  constexpr int kFile = 0;
  if (place.source <= kFile) return;
  for (const AxisSpec& axis : draft->spec.axes) {
    if (axis.path != path || !axis.when.empty()) continue;
    return draft->Refuse(
        place,
        absl::StrCat("axis `", axis.name, "` sets ", path, " in every cell, so this does nothing"),
        absl::StrCat("write axes.", axis.name, ".values=[...], or remove this"), path);
  }
  draft->Refuse(place, absl::StrCat("every arm sets ", path, ", so this does nothing"),
                absl::StrCat("write arms.<name>.", path, "=..., or remove this"), path);
}

// Fields that the user wrote nothing about, or that are always set from outside, hold
// null: then two specs that differ only in them are the same.
void FillCell(SpecDraft* draft) {
  SweepSpec& spec = draft->spec;
  const bool preset_swept = IsSwept(spec, "model.preset");
  const auto preset = draft->values.find("model.preset");
  const NamedShape* shape = nullptr;
  if (preset != draft->values.end()) {
    const std::string& name = std::get<std::string>(preset->second);
    shape = preset_swept ? nullptr : FindShape(name);
    if (preset_swept && !IsCovered(spec, "model.preset")) spec.model_preset = name;
  }
  for (const SpecField& field : SpecFields()) {
    if (!field.in_cell) continue;
    const auto written = draft->values.find(field.path);
    if (IsCovered(spec, field.path)) {
      if (written != draft->values.end()) CheckIsOfUse(field.path, draft);
      continue;
    }
    SpecValue value;
    if (written != draft->values.end()) {
      value = written->second;
    } else if (preset_swept && IsShapeField(field.path)) {
      continue;
    } else if (const SpecValue* of_shape = shape == nullptr ? nullptr : shape->Find(field.path)) {
      value = *of_shape;
    } else if (!field.required()) {
      value = DefaultOf(field);
    }
    spec.base.Set(field.path, std::move(value));
  }
}

template <typename T>
std::optional<T> Optional(const SpecDraft& draft, const char* path) {
  const auto it = draft.values.find(path);
  if (it == draft.values.end()) return std::nullopt;
  return std::get<T>(it->second);
}

int64_t IntOrDefault(const SpecDraft& draft, const char* path) {
  const auto value = Optional<int64_t>(draft, path);
  return value ? *value : std::get<int64_t>(DefaultOf(*FindField(path)));
}

std::optional<double> AsDouble(std::optional<int64_t> value) {
  if (!value) return std::nullopt;
  return static_cast<double>(*value);
}

}  // namespace

void FillBase(SpecDraft* draft) {
  CheckMissing(draft);
  FillCell(draft);
  SweepSpec& spec = draft->spec;
  spec.name = Optional<std::string>(*draft, "name").value_or("");
  spec.checkpoint = {.every = IntOrDefault(*draft, "checkpoint.every"),
                     .keep = IntOrDefault(*draft, "checkpoint.keep")};
  spec.retries = {.failures = IntOrDefault(*draft, "retries.failures"),
                  .losses = IntOrDefault(*draft, "retries.losses")};
  spec.schedule.priority = IntOrDefault(*draft, "schedule.priority");
  spec.schedule.max_concurrent = Optional<int64_t>(*draft, "schedule.max_concurrent");
  spec.schedule.slots = IntOrDefault(*draft, "schedule.slots");
  spec.schedule.trunks = Optional<bool>(*draft, "schedule.trunks").value_or(false);
  spec.schedule.share = Optional<double>(*draft, "schedule.share").value_or(spec.schedule.share);
  spec.budget.gpu_hours = Optional<double>(*draft, "budget.gpu_hours");
  spec.budget.wall_time_ms = Optional<int64_t>(*draft, "budget.wall_time");
  spec.budget.tokens_per_second = AsDouble(Optional<int64_t>(*draft, "budget.tokens_per_second"));
  spec.budget.flops_per_second = AsDouble(Optional<int64_t>(*draft, "budget.flops_per_second"));
}

}  // namespace loglog
