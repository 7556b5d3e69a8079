#include "plan/fields.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "plan/field_table.h"
#include "plan/value.h"

namespace loglog {
namespace {

// Whole numbers short, others canonical: 1000, 1T, 0.05.
std::string Bound(double value) {
  if (value == static_cast<double>(static_cast<int64_t>(value))) {
    return DisplayCount(static_cast<int64_t>(value));
  }
  return DisplayText(SpecValue(value));
}

}  // namespace

absl::string_view SpecField::leaf() const {
  const absl::string_view whole = path;
  const size_t dot = whole.rfind('.');
  return dot == absl::string_view::npos ? whole : whole.substr(dot + 1);
}

const std::vector<SpecField>& SpecFields() {
  static const auto* const fields = new std::vector<SpecField>(FieldTable());
  return *fields;
}

const std::vector<SpecSection>& SpecSections() {
  static const auto* const sections = new std::vector<SpecSection>(SectionTable());
  return *sections;
}

const SpecField* FindField(absl::string_view path) {
  static const auto* const by_path = [] {
    auto* map = new absl::flat_hash_map<std::string, const SpecField*>;
    for (const SpecField& field : SpecFields()) map->emplace(field.path, &field);
    return map;
  }();
  const auto it = by_path->find(path);
  return it == by_path->end() ? nullptr : it->second;
}

const SpecSection* FindSection(absl::string_view path) {
  for (const SpecSection& section : SpecSections()) {
    if (section.path == path) return &section;
  }
  return nullptr;
}

std::vector<std::string> ChildrenOf(absl::string_view section) {
  const std::string prefix = section.empty() ? "" : absl::StrCat(section, ".");
  std::vector<std::string> children;
  const auto add = [&](absl::string_view path) {
    if (!absl::StartsWith(path, prefix)) return;
    const absl::string_view rest = path.substr(prefix.size());
    if (!rest.empty() && !absl::StrContains(rest, '.')) children.emplace_back(rest);
  };
  for (const SpecSection& candidate : SpecSections()) add(candidate.path);
  for (const SpecField& field : SpecFields()) add(field.path);
  return children;
}

bool IsSweepable(absl::string_view path) {
  if (path == "model.preset") return true;
  const SpecField* field = FindField(path);
  return field != nullptr && field->in_cell;
}

std::vector<std::string> SweepablePaths() {
  std::vector<std::string> paths = {"seed"};
  for (const SpecField& field : SpecFields()) {
    if (IsSweepable(field.path)) paths.push_back(field.path);
  }
  return paths;
}

std::string DescribeRange(const SpecField& field) {
  const std::string low = absl::StrCat(field.above_min ? "above " : "at least ", Bound(field.min));
  const std::string high = absl::StrCat(field.below_max ? "below " : "at most ", Bound(field.max));
  return absl::StrCat(low, " and ", high);
}

std::string DescribeType(const SpecField& field) {
  switch (field.type) {
    case FieldType::kInteger:
      return "a whole number";
    case FieldType::kCount:
      return "a count such as 65536, 200M or 1e9";
    case FieldType::kNumber:
      return "a number such as 0.1 or 1.0e-3";
    case FieldType::kShare:
      return "a share such as 5% or 0.05";
    case FieldType::kFlag:
      return "true or false";
    case FieldType::kChoice:
      return absl::StrCat("one of ", absl::StrJoin(field.choices, ", "));
    case FieldType::kText:
      return "text";
    case FieldType::kDuration:
      return "a duration such as 30s, 5m or 2h";
  }
  return "";
}

std::string ExplainHint(absl::string_view path) {
  const absl::string_view section = path.substr(0, path.find('.'));
  if (section.empty()) return "loglog explain";
  if (section == "seed") return "loglog explain axes";
  return absl::StrCat("loglog explain ", section.substr(0, section.find('[')));
}

}  // namespace loglog
