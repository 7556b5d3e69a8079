#ifndef LOGLOG_PLAN_SPEC_TREE_H_
#define LOGLOG_PLAN_SPEC_TREE_H_

#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "plan/spec_error.h"

namespace loglog {

// A stretch of one line of one source text. Lines and bytes count from 0.
struct SpecPlace {
  int source = -1;  // -1: nowhere
  int line = 0;
  int byte = 0;
  int bytes = 0;

  // `size` bytes starting `offset` bytes further on.
  SpecPlace Part(size_t offset, size_t size) const {
    return {source, line, byte + static_cast<int>(offset), static_cast<int>(size)};
  }
};

// What to say beside the message.
struct SpecErrorDetail {
  std::string suggestion;
  std::string field_path;
  std::string hint;
};

// Collects the errors of one spec and the texts that they point into.
class SpecErrorSink {
 public:
  // Returns the index for SpecPlace::source. Line ends are "\n" or "\r\n".
  int AddSource(std::string name, absl::string_view text);
  // Without line end; empty when there is no such line.
  const std::string& Line(int source, int line) const;

  void Add(const SpecPlace& place, std::string message, SpecErrorDetail detail = {});
  // An error made elsewhere, with a place when one is known. Said once.
  void Add(SpecError error, const SpecPlace& place);

  bool empty() const { return errors_.empty(); }
  // More than anybody reads: further errors are not kept, and readers may stop.
  bool full() const { return errors_.size() >= 200; }
  // OK when there is no error; else all of them in the order of the texts.
  absl::Status ToStatus() const;

 private:
  struct Source {
    std::string name;
    std::vector<std::string> lines;
  };
  struct Located {
    SpecError error;
    int source;
  };
  std::deque<Source> sources_;
  std::vector<Located> errors_;
};

// The YAML of a spec with the place of everything, nothing interpreted yet.
struct SpecNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;     // scalars
  bool quoted = false;  // scalars
  bool bad = false;     // an error was reported: nothing more to say about it
  SpecPlace place;
  struct Key {
    std::string text;
    SpecPlace place;
  };
  std::vector<Key> keys;        // maps; keys[i] belongs to items[i]
  std::vector<SpecNode> items;  // lists and maps

  bool is_map() const { return kind == Kind::kMap; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_null() const { return kind == Kind::kNull; }
  // The value of a key of a map, or null.
  const SpecNode* Find(absl::string_view key) const;
  SpecNode* Find(absl::string_view key);
  // "a list", "a mapping", "null", "`5`": for messages.
  std::string Describe() const;
};

// False, with an error, when the text holds bytes that are no text, or that YAML loaders
// treat each in their own way.
bool CheckSpecBytes(absl::string_view text, int source, SpecErrorSink* sink);

// Parses one YAML document in which nothing is left to the loader's taste: anchors,
// aliases, tags, merge keys, directives, block text, several documents, tabs as
// indentation, duplicate and non-text keys are errors, as is anything over the limits of
// base/limits.h. `skip_bytes` of the text (one line) are taken as blank: the key of an override.
// False when the text cannot be read on; errors in single values are added, the values
// marked bad, and the rest is there.
bool ParseSpecTree(absl::string_view text, int source, size_t skip_bytes, SpecErrorSink* sink,
                   SpecNode* root);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SPEC_TREE_H_
