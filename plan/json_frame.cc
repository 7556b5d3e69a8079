#include "plan/json_frame.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace loglog {

JsonFrame MakeJsonFrame(const std::vector<std::string>& sorted_paths) {
  JsonFrame frame;
  std::vector<std::string> open;  // objects that the previous path was in
  std::string text = "{";
  for (const std::string& path : sorted_paths) {
    std::vector<std::string> parts = absl::StrSplit(path, '.');
    const std::string leaf = parts.back();
    parts.pop_back();
    size_t common = 0;
    while (common < open.size() && common < parts.size() && open[common] == parts[common]) ++common;
    text.append(open.size() - common, '}');
    if (!frame.before.empty()) text += ',';
    for (size_t i = common; i < parts.size(); ++i) absl::StrAppend(&text, "\"", parts[i], "\":{");
    absl::StrAppend(&text, "\"", leaf, "\":");
    frame.before.push_back(std::exchange(text, ""));
    open = std::move(parts);
  }
  frame.after = text + std::string(open.size() + 1, '}');
  return frame;
}

}  // namespace loglog
