// Strict reading of a JSON file: every message names the file, the path of the value and
// the fix; keys that nothing asked for are refused.
#ifndef LOGLOG_TRAINER_JSON_READER_H_
#define LOGLOG_TRAINER_JSON_READER_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace loglog {

// Parses `text`, refusing duplicate keys as well. Throws ConfigError with file:line:column.
nlohmann::json ParseJsonStrictly(std::string_view text, const std::string& file);

// Parses `text` that another program wrote. Throws nlohmann::json::exception where it is no JSON
// and std::runtime_error, which names `file`, where it is nested so deeply that showing a value of
// it, which takes a stack frame for each level, could end the process.
nlohmann::ordered_json ParseJsonShallow(const std::string& text, const std::string& file);

// Reads one object, key by key. Every getter throws ConfigError when the key is missing
// and has no default, or when its value is of another type or out of range. The object
// must outlive the reader. Call Finish once all known keys were asked for.
class JsonReader {
 public:
  // `path` is where the object stands, such as members[0].config; empty at the top.
  JsonReader(const nlohmann::json& object, std::string file, std::string path);

  int64_t Integer(const std::string& key, int64_t min, int64_t max,
                  std::optional<int64_t> fallback = std::nullopt);
  double Number(const std::string& key, std::optional<double> fallback = std::nullopt);
  // Nothing when the key is absent or null.
  std::optional<double> OptionalNumber(const std::string& key);
  std::optional<int64_t> OptionalInteger(const std::string& key, int64_t min, int64_t max);
  bool Boolean(const std::string& key, bool fallback);
  // Refuses null unless there is a fallback, which then stands for it too.
  std::string String(const std::string& key, std::optional<std::string> fallback = std::nullopt);
  // The place of the value in `words`.
  int Word(const std::string& key, const std::vector<std::string>& words,
           std::optional<int> fallback = std::nullopt);
  // A reader of the object under `key`; of an empty one when the key is absent and
  // `required` is not set.
  JsonReader Object(const std::string& key, bool required);
  // Readers of the elements, which must be objects, of the array under `key`.
  std::vector<JsonReader> Objects(const std::string& key);
  // Empty when the key is absent.
  std::set<int64_t> Integers(const std::string& key, int64_t min, int64_t max);
  // In their order; empty when the key is absent.
  std::vector<std::string> Strings(const std::string& key);
  bool Has(const std::string& key) const;

  // Refuses keys that were never asked for, with a suggestion.
  void Finish() const;

  // Throws ConfigError: "<file>: <path of key> <what>".
  [[noreturn]] void Refuse(const std::string& key, const std::string& what) const;
  std::string PathOf(const std::string& key) const;

 private:
  const nlohmann::json* Find(const std::string& key, bool required);

  const nlohmann::json* object_;
  std::string file_;
  std::string path_;
  std::vector<std::string> known_;
};

// The candidate nearest to `word` by edits, when it is near enough to be meant.
std::optional<std::string> NearestWord(const std::string& word,
                                       const std::vector<std::string>& candidates);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_JSON_READER_H_
