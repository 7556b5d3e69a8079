#include "absl/strings/str_cat.h"
#include "plan/draft.h"

namespace loglog {
namespace {

constexpr size_t kLabelsMax = 64;
constexpr size_t kLabelBytesMax = 200;

bool IsLabelPart(const std::string& text) { return !text.empty() && text.size() <= kLabelBytesMax; }

}  // namespace

void ReadSchedule(const SpecNode& schedule, SpecDraft* draft) {
  const SpecNode* selector = schedule.is_map() ? schedule.Find("selector") : nullptr;
  const std::string at = "schedule.selector";
  if (selector == nullptr || selector->is_null() || !ExpectMap(*selector, at, draft)) return;
  if (selector->keys.size() > kLabelsMax) {
    draft->Refuse(selector->place, absl::StrCat("a selector has at most ", kLabelsMax, " labels"),
                  "", at);
    return;
  }
  for (size_t i = 0; i < selector->keys.size(); ++i) {
    const SpecNode::Key& key = selector->keys[i];
    const SpecNode& value = selector->items[i];
    if (value.bad) continue;
    if (!value.is_scalar()) {
      draft->Refuse(value.place, absl::StrCat("a label's value is text, got ", value.Describe()),
                    absl::StrCat("write ", key.text, ": h100"), at);
    } else if (!IsLabelPart(key.text) || !IsLabelPart(value.text)) {
      draft->Refuse(value.place,
                    absl::StrCat("a label and its value have 1 to ", kLabelBytesMax, " bytes"), "",
                    at);
    } else {
      draft->spec.schedule.selector[key.text] = value.text;
    }
  }
}

}  // namespace loglog
