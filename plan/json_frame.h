#ifndef LOGLOG_PLAN_JSON_FRAME_H_
#define LOGLOG_PLAN_JSON_FRAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog {

// A dotted path, cut: "data.synthetic.seed" lies in {"data", "synthetic"} under "seed".
struct JsonPath {
  explicit JsonPath(absl::string_view dotted);

  std::vector<std::string> objects;
  std::string leaf;
};

// Writes a nested JSON object value by value: {"train":{"lr":...,"tokens":...}} from
// train.lr and train.tokens. Paths come in sorted order.
class NestedJson {
 public:
  explicit NestedJson(std::string* out) : out_(out) { *out_ += '{'; }

  void Add(const JsonPath& path, absl::string_view value);
  void Finish();

 private:
  std::string* out_;
  std::vector<std::string> open_;  // objects that the last path was in
  bool first_ = true;
};

}  // namespace loglog

#endif  // LOGLOG_PLAN_JSON_FRAME_H_
