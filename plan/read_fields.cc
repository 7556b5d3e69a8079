#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/limits.h"
#include "plan/draft.h"
#include "plan/scalar.h"
#include "plan/shapes.h"
#include "plan/suggest.h"
#include "shards/decay_windows.h"

namespace loglog {
namespace {

std::string Join(absl::string_view prefix, absl::string_view key) {
  return prefix.empty() ? std::string(key) : absl::StrCat(prefix, ".", key);
}

// What somebody who wrote this unknown key probably wanted.
std::string GuessKey(const std::string& section, const std::string& key) {
  const std::string here = DidYouMean(key, ChildrenOf(section));
  if (!here.empty()) return here;
  if (section.empty() && key == "seed") return "write axes: {seed: {values: [0]}}";
  for (const SpecField& field : SpecFields()) {
    if (field.leaf() == key) return absl::StrCat("did you mean `", field.path, "`?");
  }
  return "";
}

void ReadName(const SpecNode& node, SpecDraft* draft) {
  const std::string& name = node.text;
  bool good = !name.empty() && name.size() <= limits::kNameBytesMax && name[0] != '-';
  for (const char c : name) {
    good = good && (absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-');
  }
  if (good) return;
  std::string proposal;
  const bool ascii = std::all_of(name.begin(), name.end(), absl::ascii_isascii);
  for (const char c : ascii ? absl::AsciiStrToLower(name) : "") {
    const bool fits = absl::ascii_isalnum(c);
    if (fits || (!proposal.empty() && proposal.back() != '-')) proposal += fits ? c : '-';
  }
  proposal = proposal.substr(0, limits::kNameBytesMax);
  while (!proposal.empty() && proposal.back() == '-') proposal.pop_back();
  draft->Refuse(node.place,
                absl::StrCat("a name has lower-case letters, digits and dashes, at most ",
                             limits::kNameBytesMax, ", no dash in front"),
                proposal.empty() ? "" : absl::StrCat("write ", proposal), "name");
}

void ReadSection(const SpecNode& node, const std::string& section, SpecDraft* draft) {
  for (size_t i = 0; i < node.keys.size() && !draft->sink->full(); ++i) {
    const SpecNode::Key& key = node.keys[i];
    const SpecNode& value = node.items[i];
    const std::string path = Join(section, key.text);
    if (const SpecField* field = FindField(path)) {
      draft->places[path] = value.place;
      const auto read = ReadPathValue(*field, value, path, draft);
      if (!read) draft->refused.insert(path);
      if (!read || std::holds_alternative<std::monostate>(*read)) continue;
      if (path == "name") ReadName(value, draft);
      draft->values[path] = *read;
    } else if (const SpecSection* known = FindSection(path)) {
      draft->places[path] = key.place;
      if (known->structured || value.is_null()) continue;
      if (ExpectMap(value, path, draft)) ReadSection(value, path, draft);
    } else {
      const std::string nearest = NearestWord(key.text, ChildrenOf(section));
      if (!nearest.empty()) draft->guessed.insert(Join(section, nearest));
      draft->Refuse(key.place, absl::StrCat("unknown key `", key.text, "`"),
                    GuessKey(section, key.text), path);
    }
  }
}

// Which part of a dotted path is wrong, and what it should be.
void RefusePath(absl::string_view path, const SpecPlace& place, const std::string& field_path,
                SpecDraft* draft) {
  std::string section;
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string part(path.substr(begin, end - begin));
    const std::string here = Join(section, part);
    const bool last = end == path.size();
    if (!last && FindSection(here) != nullptr) {
      section = here;
      begin = end + 1;
      continue;
    }
    SpecErrorDetail detail{GuessKey(section, part), field_path,
                           ExplainHint(section.empty() ? "axes" : section)};
    std::string message = absl::StrCat("unknown key `", part, "`");
    if (last && FindSection(here) != nullptr) {
      message = absl::StrCat("`", here, "` is a section, not a field");
      const auto children = ChildrenOf(here);
      if (!children.empty())
        detail.suggestion = absl::StrCat("such as `", here, ".", children[0], "`");
      detail.hint = ExplainHint(here);
    } else if (FindField(path) != nullptr) {
      message = absl::StrCat("`", path, "` is the same for all trials and cannot vary");
      detail.suggestion = "";
    } else if (section.empty()) {
      for (const SpecField& field : SpecFields()) {
        if (last && IsSweepable(field.path) && field.leaf() == part) {
          detail.suggestion = absl::StrCat("did you mean `", field.path, "`?");
        }
      }
    }
    draft->sink->Add(
        place.bytes >= static_cast<int>(path.size()) ? place.Part(begin, part.size()) : place,
        std::move(message), std::move(detail));
    return;
  }
}

// Decay windows in the one spelling that they have.
std::optional<SpecValue> ReadWindows(const SpecValue& value, const SpecNode& node,
                                     SpecDraft* draft) {
  const std::string* text = std::get_if<std::string>(&value);
  if (text == nullptr) return value;
  std::string error;
  const std::vector<DecayWindow> windows = ParseDecayWindows(*text, &error);
  if (error.empty()) return SpecValue(DecayWindowsText(windows));
  const size_t colon = error.find(": ");
  draft->Refuse(node.place, error.substr(0, colon), error.substr(colon + 2), "train.decay_windows");
  return std::nullopt;
}

}  // namespace

SpecPlace SpecDraft::PlaceOf(absl::string_view path) const {
  std::string key(path);
  while (true) {
    if (const auto it = places.find(key); it != places.end()) return it->second;
    const size_t cut = key.find_last_of(".[");
    if (cut == std::string::npos) break;
    key.resize(cut);
  }
  const auto start = places.find("");
  return start == places.end() ? SpecPlace{} : start->second;
}

void SpecDraft::Refuse(const SpecPlace& place, std::string message, std::string suggestion,
                       const std::string& field_path) {
  // An unknown section has no explanation of its own.
  const std::string section = field_path.substr(0, field_path.find_first_of(".["));
  const bool known = FindSection(section) != nullptr || FindField(section) != nullptr;
  sink->Add(place, std::move(message),
            {std::move(suggestion), field_path, known ? ExplainHint(section) : "loglog explain"});
}

bool ExpectList(const SpecNode& node, const std::string& field_path, SpecDraft* draft) {
  if (node.is_list()) return true;
  if (!node.bad) {
    draft->Refuse(node.place, absl::StrCat("expected a list, got ", node.Describe()),
                  node.is_scalar() ? absl::StrCat("write [", node.text, "]") : "", field_path);
  }
  return false;
}

bool ExpectMap(const SpecNode& node, const std::string& field_path, SpecDraft* draft) {
  if (node.is_map()) return true;
  if (!node.bad) {
    draft->Refuse(node.place, absl::StrCat("expected a mapping, got ", node.Describe()), "",
                  field_path);
  }
  return false;
}

const SpecField& SeedField() {
  static const auto* const field = new SpecField{.path = "seed",
                                                 .type = FieldType::kInteger,
                                                 .fallback = "0",
                                                 .min = 0,
                                                 .max = 4294967295.0,
                                                 .doc = "Seed of the weights and the data order."};
  return *field;
}

const SpecField* ResolvePath(absl::string_view path, const SpecPlace& place,
                             const std::string& field_path, SpecDraft* draft) {
  if (IsSweepable(path)) return FindField(path);
  RefusePath(path, place, field_path, draft);
  return nullptr;
}

std::optional<SpecValue> ReadPathValue(const SpecField& field, const SpecNode& node,
                                       const std::string& field_path, SpecDraft* draft) {
  const auto value = ReadScalar(field, node, field_path, draft->sink);
  if (value && field.path == "train.decay_windows") return ReadWindows(*value, node, draft);
  if (!value || field.path != "model.preset" || node.is_null()) return value;
  if (FindShape(node.text) != nullptr) return value;
  std::vector<std::string> names;
  for (const NamedShape& shape : Shapes()) names.push_back(shape.name);
  std::string guess = DidYouMean(node.text, names);
  if (guess.empty() && !names.empty()) {
    guess = absl::StrCat("they go from ", names.front(), " to ", names.back());
  }
  draft->Refuse(node.place, absl::StrCat("no preset is called `", node.text, "`"), guess,
                "model.preset");
  return std::nullopt;
}

void ReadFields(const SpecNode& root, SpecDraft* draft) { ReadSection(root, "", draft); }

bool IsCovered(const SweepSpec& spec, absl::string_view path) {
  for (const AxisSpec& axis : spec.axes) {
    if (axis.path == path && axis.when.empty()) return true;
  }
  const auto sets = [&](const ArmBundle& bundle) {
    return std::any_of(bundle.assignments.begin(), bundle.assignments.end(),
                       [&](const Assignment& assignment) { return assignment.path == path; });
  };
  return !spec.bundles.empty() && std::all_of(spec.bundles.begin(), spec.bundles.end(), sets);
}

bool IsSwept(const SweepSpec& spec, absl::string_view path) {
  for (const AxisSpec& axis : spec.axes) {
    if (axis.path == path) return true;
  }
  for (const ArmBundle& bundle : spec.bundles) {
    for (const Assignment& assignment : bundle.assignments) {
      if (assignment.path == path) return true;
    }
  }
  return false;
}

}  // namespace loglog
