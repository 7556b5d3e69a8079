#ifndef LOGLOG_PLAN_SHAPES_H_
#define LOGLOG_PLAN_SHAPES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "plan/value.h"

namespace loglog {

// A named model of configs/shapes/, compiled in. A published one never changes: specs
// in stores name it.
struct NamedShape {
  std::string name;                                       // "llama-50m"
  std::vector<std::pair<std::string, SpecValue>> fields;  // "model.layers" -> 8, ...

  const SpecValue* Find(absl::string_view path) const;
};

// By size.
const std::vector<NamedShape>& Shapes();
const NamedShape* FindShape(absl::string_view name);

// The fields that every shape sets: sizes, vocab, seq_len and tied_head of model.
bool IsShapeField(absl::string_view path);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SHAPES_H_
