#include "plan/explain.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "plan/fields.h"
#include "plan/shapes.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

bool HasRange(const SpecField& field) {
  return field.type == FieldType::kInteger || field.type == FieldType::kCount ||
         field.type == FieldType::kNumber || field.type == FieldType::kShare;
}

std::string DefaultText(const SpecField& field) {
  return field.required() ? "must be given" : absl::StrCat("default ", field.fallback);
}

std::string ExplainOne(const SpecField& field) {
  std::string out =
      absl::StrCat(field.path, "\n  ", field.doc, "\n  type     ", DescribeType(field));
  if (!field.unit.empty()) absl::StrAppend(&out, "\n  unit     ", field.unit);
  if (HasRange(field)) absl::StrAppend(&out, "\n  range    ", DescribeRange(field));
  absl::StrAppend(
      &out, "\n  default  ",
      field.required() ? "none: it must be given by the spec, an axis or an arm" : field.fallback);
  if (field.in_cell) {
    absl::StrAppend(&out, "\n  axis     {path: ", field.path, ", values: [...]}");
  } else if (field.path != "model.preset") {
    absl::StrAppend(&out, "\n  the same for all trials; no part of their identity");
  }
  if (field.path == "model.preset") {
    std::vector<std::string> names;
    for (const NamedShape& shape : Shapes()) names.push_back(shape.name);
    absl::StrAppend(&out, "\n  presets  ", absl::StrJoin(names, ", "));
  }
  return out + "\n";
}

std::string ExplainSection(const SpecSection& section) {
  std::string out = absl::StrCat(section.path, "\n  ", section.doc, "\n");
  for (const std::string& child : ChildrenOf(section.path)) {
    const std::string path = absl::StrCat(section.path, ".", child);
    if (const SpecField* field = FindField(path)) {
      absl::StrAppend(&out, "\n", path, "  (", DescribeType(*field), "; ", DefaultText(*field),
                      ")\n  ", field->doc, "\n");
    } else {
      absl::StrAppend(&out, "\n", path, ": ", FindSection(path)->doc, "\n");
    }
  }
  return out;
}

std::string ExplainAll() {
  std::string out =
      "A spec is YAML: one mapping of these sections. Numbers are decimal; counts take k, M, B, T\n"
      "(200M, 1e9), shares % (5%), durations ms, s, m, h (30s). Write 1.0e-3, not 1e-3; true, not\n"
      "yes. Ask `loglog explain SECTION` or `loglog explain SECTION.FIELD` for more.\n\n";
  for (const std::string& child : ChildrenOf("")) {
    const SpecSection* section = FindSection(child);
    const std::string doc = section != nullptr ? section->doc : FindField(child)->doc;
    absl::StrAppend(&out, child, std::string(child.size() < 12 ? 12 - child.size() : 1, ' '),
                    doc.substr(0, doc.find('\n')), "\n");
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> ExplainField(absl::string_view path) {
  if (path.empty()) return ExplainAll();
  if (const SpecField* field = FindField(path)) return ExplainOne(*field);
  if (const SpecSection* section = FindSection(path)) return ExplainSection(*section);
  std::vector<std::string> known;
  for (const SpecSection& section : SpecSections()) known.push_back(section.path);
  for (const SpecField& field : SpecFields()) known.push_back(field.path);
  std::string guess = NearestWord(path, known);
  if (guess.empty()) {
    for (const SpecField& field : SpecFields()) {
      if (field.leaf() == path) guess = field.path;
    }
  }
  return absl::NotFoundError(absl::StrCat("a spec has no field or section `", path, "`",
                                          guess.empty()
                                              ? "; `loglog explain` lists them"
                                              : absl::StrCat("; did you mean `", guess, "`?")));
}

}  // namespace loglog
