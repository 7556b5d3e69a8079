#ifndef LOGLOG_PLAN_FIELDS_H_
#define LOGLOG_PLAN_FIELDS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "plan/value.h"

namespace loglog {

enum class FieldType {
  kInteger,  // 12
  kCount,    // 200M, 1.6B, 1e18
  kNumber,   // 1.0e-3
  kShare,    // 5% or 0.05
  kFlag,     // true, false
  kChoice,   // one of `choices`
  kText,
  kDuration,  // 30s, 5m, 2h; held as milliseconds
};

// One scalar field of a spec. The table of these drives the reader, defaults,
// suggestions, `loglog explain` and the JSON Schema.
struct SpecField {
  std::string path;
  FieldType type = FieldType::kText;
  bool in_cell = false;  // part of a cell's configuration and thereby of its identity
  // Added when cells were stored already: left out of canonical JSON where it has its default,
  // so that a cell that says nothing about it keeps its identity.
  bool added_later = false;
  std::string fallback;  // the default as a spec would write it; "" when it must be given
  double min = 0;        // numbers
  double max = 0;
  bool above_min = false;  // the minimum itself is not allowed
  bool below_max = false;
  std::string unit;
  std::vector<std::string> choices;
  std::string doc;

  bool required() const { return fallback.empty(); }
  bool nullable() const { return fallback == "null"; }
  // The last part of the path.
  absl::string_view leaf() const;
};

// Part of a spec that holds fields or has a form of its own.
struct SpecSection {
  std::string path;  // "train", "data.synthetic", "axes"
  std::string doc;
  bool structured = false;  // has a form of its own, described in `doc`
};

const std::vector<SpecField>& SpecFields();
// What a field of SpecFields() has in a spec that does not mention it; it must not be required.
const SpecValue& DefaultOf(const SpecField& field);
// Whether canonical JSON leaves the field out.
bool IsLeftOut(const SpecField& field, const SpecValue& value);
const std::vector<SpecSection>& SpecSections();
const SpecField* FindField(absl::string_view path);
const SpecSection* FindSection(absl::string_view path);

// Names directly under a section ("" is the whole spec): fields and sections.
std::vector<std::string> ChildrenOf(absl::string_view section);

// Paths that an axis or an arm may set: the fields of cells and model.preset.
std::vector<std::string> SweepablePaths();
bool IsSweepable(absl::string_view path);

// "a whole number from 1 to 1000", "one of cosine, wsd, constant": what is accepted.
std::string DescribeType(const SpecField& field);
// "at least 1", "above 0 and at most 10", ...
std::string DescribeRange(const SpecField& field);

// "loglog explain train": the command that teaches about this path.
std::string ExplainHint(absl::string_view path);

}  // namespace loglog

#endif  // LOGLOG_PLAN_FIELDS_H_
