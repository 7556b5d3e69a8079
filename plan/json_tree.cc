#include "plan/json_tree.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

// Each handler returns false to give up.
class JsonTreeBuilder : public nlohmann::json_sax<json> {
 public:
  explicit JsonTreeBuilder(SpecNode* root) : root_(root) {}

  bool null() override { return Put({}); }
  bool boolean(bool value) override { return Scalar(value ? "true" : "false"); }
  // YAML keeps the sign of -0, which an integer has not.
  bool number_integer(int64_t value) override { return value != 0 && Scalar(absl::StrCat(value)); }
  bool number_unsigned(uint64_t value) override { return Scalar(absl::StrCat(value)); }
  bool number_float(double, const std::string& text) override { return Scalar(text); }
  bool string(std::string& text) override { return Scalar(std::move(text), /*quoted=*/true); }
  bool binary(json::binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(SpecNode::Kind::kMap); }
  bool start_array(size_t) override { return Open(SpecNode::Kind::kList); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

  bool key(std::string& text) override {
    const bool twice = open_.back().Find(text) != nullptr;
    if (twice || text == "<<" || !Count()) return false;
    open_.back().keys.push_back({std::move(text), {}});
    return true;
  }

 private:
  bool Count() { return ++nodes_ <= limits::kSpecValuesMax; }

  bool Scalar(std::string text, bool quoted = false) {
    SpecNode node;
    node.kind = SpecNode::Kind::kScalar;
    node.text = std::move(text);
    node.quoted = quoted;
    return Put(std::move(node));
  }

  bool Open(SpecNode::Kind kind) {
    if (open_.size() >= limits::kSpecDepthMax) return false;
    open_.emplace_back().kind = kind;
    return true;
  }

  bool Close() {
    SpecNode node = std::move(open_.back());
    open_.pop_back();
    return Put(std::move(node));
  }

  bool Put(SpecNode node) {
    if (!Count()) return false;
    if (open_.empty()) {
      *root_ = std::move(node);
    } else {
      open_.back().items.push_back(std::move(node));
    }
    return true;
  }

  SpecNode* const root_;
  std::vector<SpecNode> open_;  // lists and maps around what comes next
  int nodes_ = 0;
};

}  // namespace

bool ParseJsonTree(absl::string_view text, SpecNode* root) {
  // A key is looked for among all those before it.
  constexpr size_t kBytesMax = 64 << 10;
  if (!absl::StartsWith(text, "{") || text.size() > kBytesMax ||
      text.find_first_of("\\\n\r\t\x7f") != absl::string_view::npos) {
    return false;
  }
  JsonTreeBuilder builder(root);
  return json::sax_parse(text.begin(), text.end(), &builder);
}

}  // namespace loglog
