#include "plan/shapes.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "plan/cost.h"
#include "plan/embedded_configs.h"
#include "plan/fields.h"
#include "plan/scalar.h"
#include "plan/spec_tree.h"

namespace loglog {
namespace {

// The files were checked when this was built; a bad one fails every test of plan/.
NamedShape ParseShape(const EmbeddedConfig& config) {
  SpecErrorSink sink;
  SpecNode root;
  const int source = sink.AddSource(config.name, config.text);
  LOGLOG_CHECK(ParseSpecTree(config.text, source, 0, &sink, &root) && root.is_map());
  NamedShape shape{config.name, {}};
  for (size_t i = 0; i < root.keys.size(); ++i) {
    const std::string path = absl::StrCat("model.", root.keys[i].text);
    LOGLOG_CHECK(IsShapeField(path));
    const auto value = ReadScalar(*FindField(path), root.items[i], path, &sink);
    LOGLOG_CHECK(value.has_value());
    shape.fields.emplace_back(path, *value);
  }
  for (const SpecField& field : SpecFields()) {
    LOGLOG_CHECK(!IsShapeField(field.path) || shape.Find(field.path) != nullptr);
  }
  return shape;
}

int64_t Params(const NamedShape& shape) {
  CellConfig config;
  for (const auto& [path, value] : shape.fields) config.Set(path, value);
  return CountParams(config.model()).total;
}

}  // namespace

bool IsShapeField(absl::string_view path) {
  if (!absl::StartsWith(path, "model.")) return false;
  const SpecField* field = FindField(path);
  return field != nullptr && (field->required() || path == "model.tied_head");
}

const SpecValue* NamedShape::Find(absl::string_view path) const {
  for (const auto& [field, value] : fields) {
    if (field == path) return &value;
  }
  return nullptr;
}

const std::vector<NamedShape>& Shapes() {
  static const auto* const shapes = [] {
    auto* list = new std::vector<NamedShape>;
    for (const EmbeddedConfig& config : EmbeddedShapes()) list->push_back(ParseShape(config));
    std::sort(list->begin(), list->end(),
              [](const NamedShape& a, const NamedShape& b) { return Params(a) < Params(b); });
    return list;
  }();
  return *shapes;
}

const NamedShape* FindShape(absl::string_view name) {
  for (const NamedShape& shape : Shapes()) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

}  // namespace loglog
