#ifndef LOGLOG_PLAN_JSON_FRAME_H_
#define LOGLOG_PLAN_JSON_FRAME_H_

#include <string>
#include <vector>

namespace loglog {

// The text of a nested JSON object around its values:
// before[0] value[0] before[1] value[1] ... after.
struct JsonFrame {
  std::vector<std::string> before;
  std::string after;
};

// For dotted paths in sorted order: {"train.lr", "train.tokens"} frames
// {"train":{"lr":...,"tokens":...}}.
JsonFrame MakeJsonFrame(const std::vector<std::string>& sorted_paths);

}  // namespace loglog

#endif  // LOGLOG_PLAN_JSON_FRAME_H_
