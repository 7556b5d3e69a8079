#include "plan/json_frame.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace loglog {
namespace {

// "data.synthetic.seed" is "data" and "synthetic.seed".
std::pair<absl::string_view, absl::string_view> CutFirst(absl::string_view dotted) {
  const size_t dot = dotted.find('.');
  if (dot == absl::string_view::npos) return {dotted, ""};
  return {dotted.substr(0, dot), dotted.substr(dot + 1)};
}

size_t Depth(absl::string_view dotted) {
  return dotted.empty() ? 0 : 1 + std::count(dotted.begin(), dotted.end(), '.');
}

}  // namespace

void NestedJson::Add(absl::string_view path, absl::string_view value) {
  const size_t dot = path.rfind('.');
  const bool nested = dot != absl::string_view::npos;
  const absl::string_view section = nested ? path.substr(0, dot) : "";
  absl::string_view to_close, to_open;
  if (section != section_) {
    to_close = section_;
    to_open = section;
    while (!to_open.empty() && CutFirst(to_close).first == CutFirst(to_open).first) {
      to_close = CutFirst(to_close).second;
      to_open = CutFirst(to_open).second;
    }
  }
  out_->append(Depth(to_close), '}');
  if (!first_) *out_ += ',';
  first_ = false;
  for (; !to_open.empty(); to_open = CutFirst(to_open).second) {
    absl::StrAppend(out_, "\"", CutFirst(to_open).first, "\":{");
  }
  absl::StrAppend(out_, "\"", nested ? path.substr(dot + 1) : path, "\":", value);
  if (section != section_) section_.assign(section.data(), section.size());
}

void NestedJson::Finish() { out_->append(Depth(section_) + 1, '}'); }

}  // namespace loglog
