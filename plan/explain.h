#ifndef LOGLOG_PLAN_EXPLAIN_H_
#define LOGLOG_PLAN_EXPLAIN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// What a field ("train.warmup") or a section ("train", "axes") is, as plain text: type,
// unit, range, default, choices, meaning. Empty path: the whole spec, section by
// section. NOT_FOUND suggests the nearest name.
absl::StatusOr<std::string> ExplainField(absl::string_view path);

// The JSON Schema (draft 2020-12) of a spec, for editors: `loglog schema`.
std::string JsonSchema();

}  // namespace loglog

#endif  // LOGLOG_PLAN_EXPLAIN_H_
