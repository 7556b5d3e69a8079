#include "trainer/json_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "trainer/config.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int kDepthMax = 64;

// A value as a message shows it: short, quoted when it is text.
std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string TypeName(const json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return "a number";
}

// line:column, from 1, of a byte offset.
std::string Place(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const size_t newline = before.rfind('\n');
  const size_t column =
      newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
  return std::to_string(1 + std::count(before.begin(), before.end(), '\n')) + ":" +
         std::to_string(column + 1);
}

std::string Join(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

}  // namespace

std::optional<std::string> NearestWord(const std::string& word,
                                       const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  size_t best_distance = word.size() / 3 + 2;
  for (const std::string& candidate : candidates) {
    // Edits by insertion, deletion and replacement, one row of the table at a time.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i);
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

nlohmann::ordered_json ParseJsonShallow(const std::string& text, const std::string& file) {
  using nlohmann::ordered_json;
  return ordered_json::parse(text, [&](int depth, ordered_json::parse_event_t, ordered_json&) {
    if (depth <= kDepthMax) return true;
    throw std::runtime_error(file + ": is nested more than " + std::to_string(kDepthMax) +
                             " levels deep");
  });
}

json ParseJsonStrictly(std::string_view text, const std::string& file) {
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    // Showing a value takes a stack frame for each level.
    if (depth > kDepthMax) {
      throw ConfigError(file + ": is nested more than " + std::to_string(kDepthMax) +
                        " levels deep; a task is not");
    }
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && duplicate.empty()) {
      const std::string key = parsed.get<std::string>();
      if (!keys.back().insert(key).second) duplicate = key;
    }
    return true;
  };
  json value;
  try {
    value = json::parse(text.begin(), text.end(), watch);
  } catch (const json::parse_error& error) {
    // The library counts bytes from 1 and points at the last one it read.
    throw ConfigError(file + ":" + Place(text, error.byte > 0 ? error.byte - 1 : 0) +
                      ": is not valid JSON here; check for a missing comma, quote or bracket");
  } catch (const json::exception&) {
    throw ConfigError(file + ": holds a number too large for any field; correct it");
  }
  if (!duplicate.empty()) {
    throw ConfigError(file + ": key \"" + duplicate + "\" appears twice in one object; keep one");
  }
  return value;
}

JsonReader::JsonReader(const json& object, std::string file, std::string path)
    : object_(&object), file_(std::move(file)), path_(std::move(path)) {
  if (!object.is_object()) {
    throw ConfigError(file_ + ": " + (path_.empty() ? "the file" : path_) + " is " +
                      TypeName(object) + "; it must be an object, {...}");
  }
}

std::string JsonReader::PathOf(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void JsonReader::Refuse(const std::string& key, const std::string& what) const {
  throw ConfigError(file_ + ": " + PathOf(key) + " " + what);
}

bool JsonReader::Has(const std::string& key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

const json* JsonReader::Find(const std::string& key, bool required) {
  known_.push_back(key);
  const auto found = object_->find(key);
  if (found != object_->end()) return &*found;
  if (!required) return nullptr;
  // The likeliest reason is a misspelt key, and only the caller knows the rest of them.
  std::vector<std::string> present;
  for (const auto& [name, value] : object_->items()) present.push_back(name);
  const std::optional<std::string> near = NearestWord(key, present);
  Refuse(key, "is missing; add it" + (near ? ", or is " + *near + " meant to be it?" : ""));
}

int64_t JsonReader::Integer(const std::string& key, int64_t min, int64_t max,
                            std::optional<int64_t> fallback) {
  const json* value = Find(key, !fallback);
  if (value == nullptr) return *fallback;
  if (!value->is_number_integer()) {
    Refuse(key, "is " + Shown(*value) + "; it must be an integer" +
                    (value->is_number() ? ", without point or exponent" : ""));
  }
  const bool too_large = value->is_number_unsigned() &&
                         value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
  if (too_large || value->get<int64_t>() > max) {
    Refuse(key, "is " + Shown(*value) + "; it must be at most " + std::to_string(max));
  }
  if (value->get<int64_t>() < min) {
    Refuse(key, "is " + Shown(*value) + "; it must be at least " + std::to_string(min));
  }
  return value->get<int64_t>();
}

double JsonReader::Number(const std::string& key, std::optional<double> fallback) {
  const json* value = Find(key, !fallback);
  if (value == nullptr) return *fallback;
  if (!value->is_number()) Refuse(key, "is " + Shown(*value) + "; it must be a number");
  return value->get<double>();
}

std::optional<double> JsonReader::OptionalNumber(const std::string& key) {
  const json* value = Find(key, false);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_number()) Refuse(key, "is " + Shown(*value) + "; it must be a number or null");
  return value->get<double>();
}

std::optional<int64_t> JsonReader::OptionalInteger(const std::string& key, int64_t min,
                                                   int64_t max) {
  const json* value = Find(key, false);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return Integer(key, min, max);
}

bool JsonReader::Boolean(const std::string& key, bool fallback) {
  const json* value = Find(key, false);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) Refuse(key, "is " + Shown(*value) + "; it must be true or false");
  return value->get<bool>();
}

std::string JsonReader::String(const std::string& key, std::optional<std::string> fallback) {
  const json* value = Find(key, !fallback);
  if (value == nullptr || (value->is_null() && fallback)) return *fallback;
  if (!value->is_string()) Refuse(key, "is " + Shown(*value) + "; it must be a string");
  return value->get<std::string>();
}

int JsonReader::Word(const std::string& key, const std::vector<std::string>& words,
                     std::optional<int> fallback) {
  const json* value = Find(key, !fallback);
  if (value == nullptr) return *fallback;
  if (!value->is_string()) {
    Refuse(key, "is " + Shown(*value) + "; it must be one of " + Join(words));
  }
  const std::string word = value->get<std::string>();
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) {
    const std::optional<std::string> near = NearestWord(word, words);
    Refuse(key, "is " + Shown(*value) + "; it must be one of " + Join(words) +
                    (near ? "; did you mean " + *near + "?" : ""));
  }
  return static_cast<int>(found - words.begin());
}

JsonReader JsonReader::Object(const std::string& key, bool required) {
  static const json kEmpty = json::object();
  const json* value = Find(key, required);
  return JsonReader(value == nullptr ? kEmpty : *value, file_, PathOf(key));
}

std::vector<JsonReader> JsonReader::Objects(const std::string& key) {
  const json* value = Find(key, true);
  if (!value->is_array()) Refuse(key, "is " + Shown(*value) + "; it must be a list, [...]");
  std::vector<JsonReader> readers;
  for (size_t i = 0; i < value->size(); ++i) {
    readers.emplace_back((*value)[i], file_, PathOf(key) + "[" + std::to_string(i) + "]");
  }
  return readers;
}

std::set<int64_t> JsonReader::Integers(const std::string& key, int64_t min, int64_t max) {
  std::set<int64_t> numbers;
  const json* value = Find(key, false);
  if (value == nullptr) return numbers;
  if (!value->is_array()) Refuse(key, "is " + Shown(*value) + "; it must be a list, [...]");
  for (const json& entry : *value) {
    if (!entry.is_number_integer() || entry < min || entry > max) {
      Refuse(key, "has " + Shown(entry) + "; its numbers must be whole and lie between " +
                      std::to_string(min) + " and " + std::to_string(max));
    }
    numbers.insert(entry.get<int64_t>());
  }
  return numbers;
}

std::vector<std::string> JsonReader::Strings(const std::string& key) {
  std::vector<std::string> strings;
  const json* value = Find(key, false);
  if (value == nullptr) return strings;
  if (!value->is_array()) Refuse(key, "is " + Shown(*value) + "; it must be a list, [...]");
  for (const json& entry : *value) {
    if (!entry.is_string()) Refuse(key, "has " + Shown(entry) + "; its entries must be texts");
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

void JsonReader::Finish() const {
  for (const auto& [key, value] : object_->items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::optional<std::string> near = NearestWord(key, known_);
    Refuse(key, near ? "is not a known key; did you mean " + *near + "?"
                     : "is not a known key; known here: " + Join(known_));
  }
}

}  // namespace loglog
