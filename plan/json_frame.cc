#include "plan/json_frame.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace loglog {

JsonPath::JsonPath(absl::string_view dotted) : objects(absl::StrSplit(dotted, '.')) {
  leaf = objects.back();
  objects.pop_back();
}

void NestedJson::Add(const JsonPath& path, absl::string_view value) {
  const std::vector<std::string>& objects = path.objects;
  size_t common = 0;
  while (common < open_.size() && common < objects.size() && open_[common] == objects[common]) {
    ++common;
  }
  out_->append(open_.size() - common, '}');
  if (!first_) *out_ += ',';
  first_ = false;
  for (size_t i = common; i < objects.size(); ++i) absl::StrAppend(out_, "\"", objects[i], "\":{");
  absl::StrAppend(out_, "\"", path.leaf, "\":", value);
  if (common != open_.size() || common != objects.size()) open_ = objects;
}

void NestedJson::Finish() { out_->append(open_.size() + 1, '}'); }

}  // namespace loglog
