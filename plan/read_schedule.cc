#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "plan/draft.h"
#include "plan/scalar.h"

namespace loglog {
namespace {

constexpr size_t kLabelsMax = 64;
constexpr size_t kLabelBytesMax = 200;

bool IsLabelPart(const std::string& text) { return !text.empty() && text.size() <= kLabelBytesMax; }

// One that every loader writes as it stands here.
bool IsWholeNumber(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         (text.size() == 1 || text[0] != '0');
}

// A label's value, read by the rules of all texts: `no` and `010` have to be quoted.
const SpecField& LabelField() {
  static const auto* const field = new SpecField{.path = "schedule.selector"};
  return *field;
}

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
    } else if (IsWholeNumber(value.text)) {
      draft->spec.schedule.selector[key.text] = value.text;
    } else if (const auto text = ReadScalar(LabelField(), value, at, draft->sink)) {
      draft->spec.schedule.selector[key.text] = std::get<std::string>(*text);
    }
  }
}

}  // namespace loglog
