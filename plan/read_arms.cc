#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "plan/draft.h"
#include "plan/scalar.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

std::vector<std::string> AxisNames(const SweepSpec& spec) {
  std::vector<std::string> names;
  for (const AxisSpec& axis : spec.axes) names.push_back(axis.name);
  return names;
}

std::vector<std::string> BundleNames(const SweepSpec& spec) {
  std::vector<std::string> names;
  for (const ArmBundle& bundle : spec.bundles) names.push_back(bundle.name);
  return names;
}

bool IsArmName(const std::string& name) {
  if (name.empty() || name.size() > limits::kNameBytesMax || !absl::ascii_isalnum(name[0]))
    return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || absl::StrContains("._-", c); });
}

// An axis that only says how large or long a trial is.
bool IsScalingPath(const std::string& path) {
  return path.empty() || path == "seed" || path == "train.tokens" ||
         absl::StartsWith(path, "model.");
}

void ReadArmAxes(const SpecNode& arms, SpecDraft* draft) {
  for (size_t i = 0; i < arms.items.size(); ++i) {
    const SpecNode& item = arms.items[i];
    const std::string at = absl::StrCat("arms[", i, "]");
    if (item.bad) continue;
    std::string message, suggestion;
    const std::vector<std::string>& before = draft->spec.arm_axes;
    if (!item.is_scalar()) {
      message = absl::StrCat("expected the name of an axis, got ", item.Describe());
    } else if (item.text == "seed") {
      message = "the seed cannot make arms: arms are compared over seeds";
    } else if (draft->spec.FindAxis(item.text) == nullptr) {
      message = absl::StrCat("there is no axis `", item.text, "`");
      suggestion = DidYouMean(item.text, AxisNames(draft->spec));
    } else if (std::find(before.begin(), before.end(), item.text) != before.end()) {
      message = absl::StrCat("`", item.text, "` is listed twice");
    } else {
      draft->spec.arm_axes.push_back(item.text);
      continue;
    }
    draft->Refuse(item.place, std::move(message), std::move(suggestion), at);
  }
}

void ReadBundle(const SpecNode::Key& key, const SpecNode& node, SpecDraft* draft) {
  const std::string at = absl::StrCat("arms.", key.text);
  draft->places[at] = key.place;
  if (!IsArmName(key.text)) {
    draft->Refuse(key.place, "an arm's name has letters, digits, dots, dashes and _, at most 63",
                  "", at);
  }
  if (!ExpectMap(node, at, draft)) return;
  ArmBundle bundle{.name = key.text};
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const SpecNode::Key& path = node.keys[i];
    const std::string here = absl::StrCat(at, ".", path.text);
    draft->places[here] = node.items[i].place;
    if (path.text == "seed") {
      draft->Refuse(path.place, "an arm cannot set the seed: arms are compared over seeds",
                    "make an axis called seed", here);
      continue;
    }
    const SpecPlace text = path.place.bytes > static_cast<int>(path.text.size())
                               ? path.place.Part(1, path.text.size())
                               : path.place;
    const SpecField* field = ResolvePath(path.text, text, here, draft);
    if (field == nullptr) continue;
    for (const AxisSpec& axis : draft->spec.axes) {
      if (axis.path != path.text) continue;
      draft->Refuse(
          path.place,
          absl::StrCat("axis `", axis.name, "` and arm `", key.text, "` both set ", path.text),
          "keep one", here);
    }
    auto value = ReadPathValue(*field, node.items[i], here, draft);
    if (!value) continue;
    if (node.items[i].is_null() && !field->nullable()) {
      draft->Refuse(node.items[i].place, absl::StrCat(field->path, " cannot be null"), "", here);
      continue;
    }
    bundle.assignments.push_back({path.text, *std::move(value)});
  }
  std::sort(bundle.assignments.begin(), bundle.assignments.end(),
            [](const Assignment& a, const Assignment& b) { return a.path < b.path; });
  draft->spec.bundles.push_back(std::move(bundle));
}

bool SameAssignments(const ArmBundle& a, const ArmBundle& b) {
  return std::equal(a.assignments.begin(), a.assignments.end(), b.assignments.begin(),
                    b.assignments.end(), [](const Assignment& x, const Assignment& y) {
                      return x.path == y.path && x.value == y.value;
                    });
}

void ReadBundles(const SpecNode& arms, SpecDraft* draft) {
  for (size_t i = 0; i < arms.keys.size(); ++i) ReadBundle(arms.keys[i], arms.items[i], draft);
  std::vector<ArmBundle>& bundles = draft->spec.bundles;
  std::sort(bundles.begin(), bundles.end(),
            [](const ArmBundle& a, const ArmBundle& b) { return a.name < b.name; });
  if (!draft->sink->empty()) return;
  for (size_t i = 0; i < bundles.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!SameAssignments(bundles[i], bundles[j])) continue;
      draft->Refuse(
          draft->PlaceOf("arms." + bundles[i].name),
          absl::StrCat("arms `", bundles[j].name, "` and `", bundles[i].name, "` set the same"),
          "remove one", "arms." + bundles[i].name);
    }
  }
}

// The axis that a condition's key stands for, by its name or by the field that it sets.
const AxisSpec* AxisOfKey(const SweepSpec& spec, const std::string& key) {
  if (const AxisSpec* axis = spec.FindAxis(key)) return axis;
  for (const AxisSpec& axis : spec.axes) {
    if (axis.path == key) return &axis;
  }
  return nullptr;
}

// Reads the conditions of one mapping, `when` of an axis or an entry of `exclude`.
class ConditionReader {
 public:
  ConditionReader(std::string at, const AxisSpec* axis, SpecDraft* draft)
      : at_(std::move(at)), axis_(axis), draft_(draft) {}

  Condition Read(const SpecNode& node) {
    Condition condition;
    if (!ExpectMap(node, at_, draft_)) return condition;
    if (node.keys.empty()) {
      draft_->Refuse(node.place, "an empty condition", "write {axis: value}", at_);
    }
    for (size_t i = 0; i < node.keys.size(); ++i) {
      auto values = ReadTerm(node.keys[i], node.items[i]);
      if (values) condition.push_back({node.keys[i].text, *std::move(values)});
    }
    std::sort(condition.begin(), condition.end(),
              [](const ConditionTerm& a, const ConditionTerm& b) { return a.key < b.key; });
    return condition;
  }

 private:
  std::optional<std::vector<SpecValue>> ReadTerm(const SpecNode::Key& key, const SpecNode& node) {
    const std::string here = absl::StrCat(at_, ".", key.text);
    if (key.text == "arm") return ReadArmNames(key, node);
    const SpecField* field = FieldOf(key);
    if (field == nullptr) return std::nullopt;
    std::vector<SpecValue> values;
    bool good = true;
    ForEachItem(node, [&](const SpecNode& item) {
      auto value = ReadPathValue(*field, item, here, draft_);
      good = good && value.has_value();
      if (value) values.push_back(*std::move(value));
    });
    if (!good) return std::nullopt;
    return Sorted(std::move(values), node, here);
  }

  template <typename Visit>
  void ForEachItem(const SpecNode& node, const Visit& visit) {
    if (!node.is_list()) return visit(node);
    for (const SpecNode& item : node.items) visit(item);
  }

  std::optional<std::vector<SpecValue>> Sorted(std::vector<SpecValue> values, const SpecNode& node,
                                               const std::string& here) {
    if (values.empty()) {
      draft_->Refuse(node.place, "a condition needs a value", "", here);
      return std::nullopt;
    }
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  }

  // What the key stands for, or nullptr after an error (or where one was reported before).
  const SpecField* FieldOf(const SpecNode::Key& key) {
    const SweepSpec& spec = draft_->spec;
    if (key.text == "seed") {
      if (axis_ == nullptr) return &SeedField();
      draft_->Refuse(key.place, "a `when` is about cells, which have no seed", "use exclude", at_);
      return nullptr;
    }
    const AxisSpec* axis = AxisOfKey(spec, key.text);
    if (axis != nullptr && axis_ != nullptr && axis->name == axis_->name) {
      draft_->Refuse(key.place, "an axis cannot depend on itself", "", at_);
      return nullptr;
    }
    if (axis != nullptr && axis->name == key.text) return FindField(axis->path);
    if (absl::StrContains(key.text, '.')) {
      const SpecPlace text = key.place.bytes > static_cast<int>(key.text.size())
                                 ? key.place.Part(1, key.text.size())
                                 : key.place;
      return ResolvePath(key.text, text, at_, draft_);
    }
    std::vector<std::string> names = AxisNames(spec);
    names.push_back("arm");
    if (axis_ == nullptr) names.push_back("seed");
    draft_->Refuse(key.place, absl::StrCat("there is no axis `", key.text, "`"),
                   DidYouMean(key.text, names), at_);
    return nullptr;
  }

  std::optional<std::vector<SpecValue>> ReadArmNames(const SpecNode::Key& key,
                                                     const SpecNode& node) {
    if (draft_->spec.bundles.empty()) {
      draft_->Refuse(key.place, "only named arms can stand in a condition",
                     "use the axes themselves", at_);
      return std::nullopt;
    }
    const std::vector<std::string> names = BundleNames(draft_->spec);
    std::vector<SpecValue> values;
    bool good = true;
    ForEachItem(node, [&](const SpecNode& item) {
      if (item.is_scalar() && std::find(names.begin(), names.end(), item.text) != names.end()) {
        values.push_back(SpecValue(item.text));
        return;
      }
      good = false;
      if (item.bad) return;
      draft_->Refuse(item.place, absl::StrCat("there is no arm ", item.Describe()),
                     DidYouMean(item.text, names), at_);
    });
    if (!good) return std::nullopt;
    return Sorted(std::move(values), node, at_);
  }

  const std::string at_;
  const AxisSpec* const axis_;
  SpecDraft* const draft_;
};

bool IsOrderWord(const SweepSpec& spec, const std::string& word) {
  return word == "seed" || word == "arm" || word == "cost" || spec.FindAxis(word) != nullptr;
}

}  // namespace

void ReadArms(const SpecNode* arms, SpecDraft* draft) {
  if (arms == nullptr || arms->is_null()) {
    for (const AxisSpec& axis : draft->spec.axes) {
      if (!IsScalingPath(axis.path)) draft->spec.arm_axes.push_back(axis.name);
    }
  } else if (arms->is_list()) {
    ReadArmAxes(*arms, draft);
  } else if (arms->is_map()) {
    ReadBundles(*arms, draft);
  } else if (!arms->bad) {
    draft->Refuse(
        arms->place,
        absl::StrCat("expected a list of axes or a mapping of arms, got ", arms->Describe()),
        arms->is_scalar() ? absl::StrCat("write [", arms->text, "]") : "", "arms");
  }
}

void ReadWhens(const SpecNode& axes, SpecDraft* draft) {
  if (!axes.is_map()) return;
  for (AxisSpec& axis : draft->spec.axes) {
    const SpecNode* node = axes.Find(axis.name);
    const SpecNode* when = node != nullptr && node->is_map() ? node->Find("when") : nullptr;
    if (when == nullptr || when->is_null()) continue;
    const std::string at = absl::StrCat("axes.", axis.name, ".when");
    draft->places[at] = when->place;
    axis.when = ConditionReader(at, &axis, draft).Read(*when);
  }
  for (const AxisSpec& axis : draft->spec.axes) {
    for (const ConditionTerm& term : axis.when) {
      const AxisSpec* other = AxisOfKey(draft->spec, term.key);
      if (other == nullptr || other->when.empty()) continue;
      const std::string at = absl::StrCat("axes.", axis.name, ".when");
      draft->Refuse(draft->PlaceOf(at),
                    absl::StrCat("axis `", other->name, "` has a `when` itself"),
                    "refer to axes that vary everywhere", at);
    }
  }
}

void ReadExclude(const SpecNode& exclude, SpecDraft* draft) {
  if (exclude.is_null() || !ExpectList(exclude, "exclude", draft)) return;
  for (size_t i = 0; i < exclude.items.size(); ++i) {
    const std::string at = absl::StrCat("exclude[", i, "]");
    draft->places[at] = exclude.items[i].place;
    draft->spec.exclude.push_back(ConditionReader(at, nullptr, draft).Read(exclude.items[i]));
  }
}

void ReadOrder(const SpecNode* order, SpecDraft* draft) {
  std::vector<OrderKey>& keys = draft->spec.order;
  if (order != nullptr && !order->is_null() && ExpectList(*order, "order", draft)) {
    for (size_t i = 0; i < order->items.size(); ++i) {
      const SpecNode& item = order->items[i];
      if (item.bad) continue;
      OrderKey key{.key = item.text};
      if (absl::StartsWith(item.text, "-")) key = {item.text.substr(1), true};
      const bool twice = std::any_of(keys.begin(), keys.end(),
                                     [&](const OrderKey& other) { return other.key == key.key; });
      if (item.is_scalar() && !twice && IsOrderWord(draft->spec, key.key)) {
        keys.push_back(std::move(key));
        continue;
      }
      std::vector<std::string> words = AxisNames(draft->spec);
      for (const char* word : {"seed", "arm", "cost"}) words.emplace_back(word);
      draft->Refuse(item.place,
                    twice ? absl::StrCat("`", key.key, "` is listed twice")
                          : absl::StrCat("trials cannot be ordered by ", item.Describe()),
                    twice ? "" : DidYouMean(key.key, words), absl::StrCat("order[", i, "]"));
    }
  }
  if (keys.empty()) keys = {{"seed"}, {"cost"}};
}

}  // namespace loglog
