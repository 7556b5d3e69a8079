#ifndef LOGLOG_PLAN_JSON_FRAME_H_
#define LOGLOG_PLAN_JSON_FRAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace loglog {

// Writes a nested JSON object value by value: {"train":{"lr":...,"tokens":...}} from
// train.lr and train.tokens. Paths come in sorted order.
class NestedJson {
 public:
  explicit NestedJson(std::string* out) : out_(out) { *out_ += '{'; }

  void Add(absl::string_view path, absl::string_view value);
  void Finish();

 private:
  std::string* out_;
  std::string section_;  // the objects that the last path was in, dotted
  bool first_ = true;
};

}  // namespace loglog

#endif  // LOGLOG_PLAN_JSON_FRAME_H_
