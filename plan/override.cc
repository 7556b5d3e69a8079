#include "plan/override.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "plan/fields.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

enum class Action { kSet, kAdd, kForce, kRemove };

struct Override {
  Action action = Action::kSet;
  std::vector<SpecNode::Key> keys;
  size_t value_begin = 0;
  SpecPlace key_place;  // of the whole path
  std::string path;
  std::string hint;
};

bool IsAxisValues(absl::string_view key) {
  return key == "values" || key == "range" || key == "logrange";
}

// The keys of a path. Names inside an arm and inside a `when` are paths themselves, so
// what is left of the path is one key there.
std::vector<SpecNode::Key> SplitPath(absl::string_view path, const SpecPlace& place) {
  std::vector<SpecNode::Key> keys;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('.', begin), path.size());
    const bool in_arm = keys.size() == 2 && keys[0].text == "arms";
    const bool in_when = keys.size() == 3 && keys[0].text == "axes" && keys[2].text == "when";
    if (in_arm || in_when) end = path.size();
    keys.push_back({std::string(path.substr(begin, end - begin)), place.Part(begin, end - begin)});
    begin = end + 1;
  }
  return keys;
}

// False when errors were added.
bool ParseOverride(const std::string& text, int source, SpecErrorSink* sink, Override* out) {
  const SpecPlace whole{source, 0, 0, static_cast<int>(text.size())};
  const auto refuse = [&](const SpecPlace& place, std::string message, std::string suggestion) {
    sink->Add(place, std::move(message),
              {.suggestion = std::move(suggestion), .field_path = out->path, .hint = out->hint});
    return false;
  };
  out->hint = "loglog explain";
  size_t begin = 0;
  if (absl::StartsWith(text, "++")) {
    out->action = Action::kForce;
    begin = 2;
  } else if (absl::StartsWith(text, "+")) {
    out->action = Action::kAdd;
    begin = 1;
  } else if (absl::StartsWith(text, "~")) {
    out->action = Action::kRemove;
    begin = 1;
  }
  if (absl::StrContains(text, '\n')) return refuse(whole, "an override is one line", "");
  const size_t equals = text.find('=');
  if (out->action == Action::kRemove && equals != std::string::npos) {
    return refuse(whole.Part(equals, text.size() - equals), "`~` takes no value",
                  absl::StrCat("write ", text.substr(0, equals)));
  }
  if (out->action != Action::kRemove && equals == std::string::npos) {
    return refuse(whole, "an override needs `=` and a value", "write path=value, or ~path");
  }
  const size_t end = std::min(equals, text.size());
  out->path = text.substr(begin, end - begin);
  out->key_place = whole.Part(begin, end - begin);
  out->hint = ExplainHint(out->path);
  out->keys = SplitPath(out->path, out->key_place);
  for (const SpecNode::Key& key : out->keys) {
    if (key.text.empty()) return refuse(out->key_place, "the path has an empty part", "");
    if (absl::StrContains(key.text, ' ')) return refuse(key.place, "a path has no blanks", "");
  }
  out->value_begin = end + 1;
  if (out->action != Action::kRemove &&
      text.find_first_not_of(' ', out->value_begin) == std::string::npos) {
    return refuse(whole, absl::StrCat("`", out->path, "` has no value"),
                  absl::StrCat("write ", out->path, "=null to leave it unset, or ~", out->path));
  }
  return true;
}

void Erase(SpecNode* map, absl::string_view key) {
  for (size_t i = 0; i < map->keys.size(); ++i) {
    if (map->keys[i].text != key) continue;
    map->keys.erase(map->keys.begin() + i);
    map->items.erase(map->items.begin() + i);
    return;
  }
}

std::vector<std::string> KeysOf(const SpecNode& map) {
  std::vector<std::string> keys;
  for (const SpecNode::Key& key : map.keys) keys.push_back(key.text);
  return keys;
}

// Axes and arms have names of the user's own: setting one that is not there is a slip.
bool CheckNamedThing(const Override& change, const SpecNode& root, SpecErrorSink* sink) {
  if (change.action != Action::kSet || change.keys.size() < 2) return true;
  const std::string& section = change.keys[0].text;
  if (section != "axes" && section != "arms") return true;
  const SpecNode* named = root.Find(section);
  const SpecNode::Key& key = change.keys[1];
  if (named != nullptr && !named->is_map() && !named->is_null()) return true;
  if (named != nullptr && named->Find(key.text) != nullptr) return true;
  if (section == "axes" && key.text == "seed") return true;
  std::vector<std::string> names;
  if (named != nullptr) names = KeysOf(*named);
  if (section == "axes") names.push_back("seed");
  const std::string guess = DidYouMean(key.text, names);
  sink->Add(key.place,
            absl::StrCat("there is no ", section == "axes" ? "axis" : "arm", " `", key.text, "`"),
            {guess.empty() ? absl::StrCat("write +", change.path, "=... to add it") : guess,
             change.path, change.hint});
  return false;
}

void Remove(const Override& change, SpecNode* root, SpecErrorSink* sink) {
  SpecNode* at = root;
  for (size_t i = 0; i < change.keys.size(); ++i) {
    SpecNode* next = at->is_map() ? at->Find(change.keys[i].text) : nullptr;
    if (next == nullptr) {
      sink->Add(change.keys[i].place, absl::StrCat("the spec has no `", change.path, "` to remove"),
                {at->is_map() ? DidYouMean(change.keys[i].text, KeysOf(*at)) : "", change.path,
                 change.hint});
      return;
    }
    if (i + 1 < change.keys.size()) at = next;
  }
  Erase(at, change.keys.back().text);
}

void Set(const Override& change, SpecNode value, SpecNode* root, SpecErrorSink* sink) {
  SpecNode* at = root;
  for (size_t i = 0; i + 1 < change.keys.size(); ++i) {
    const SpecNode::Key& key = change.keys[i];
    SpecNode* next = at->Find(key.text);
    if (next == nullptr || next->is_null()) {
      SpecNode map;
      map.kind = SpecNode::Kind::kMap;
      map.place = key.place;
      if (next == nullptr) {
        at->keys.push_back(key);
        at->items.push_back(std::move(map));
        next = &at->items.back();
      } else {
        *next = std::move(map);
      }
    }
    if (!next->is_map()) {
      sink->Add(key.place,
                absl::StrCat("`", key.text, "` is ", next->Describe(), ", not a mapping"),
                {"", change.path, change.hint});
      return;
    }
    at = next;
  }
  const SpecNode::Key& last = change.keys.back();
  if (SpecNode* there = at->Find(last.text)) {
    if (change.action == Action::kAdd) {
      sink->Add(
          change.key_place, absl::StrCat("the spec has `", change.path, "` already"),
          {absl::StrCat("write ", change.path, "=... to change it"), change.path, change.hint});
      return;
    }
    *there = std::move(value);
    return;
  }
  // The new way of giving an axis its values replaces the old one.
  if (change.keys[0].text == "axes" && change.keys.size() == 3 && IsAxisValues(last.text)) {
    for (const char* key : {"values", "range", "logrange"}) Erase(at, key);
  }
  at->keys.push_back(last);
  at->items.push_back(std::move(value));
}

}  // namespace

void ApplyOverride(const std::string& text, int number, SpecNode* root, SpecErrorSink* sink) {
  const int source = sink->AddSource(absl::StrCat("override ", number), text);
  if (!CheckSpecBytes(text, source, sink)) return;
  Override change;
  if (!ParseOverride(text, source, sink, &change)) return;
  if (change.action == Action::kRemove) {
    Remove(change, root, sink);
    return;
  }
  SpecNode value;
  if (!ParseSpecTree(text, source, change.value_begin, sink, &value)) return;
  if (!CheckNamedThing(change, *root, sink)) return;
  Set(change, std::move(value), root, sink);
}

}  // namespace loglog
