#include "plan/spec_tree.h"

#include <sstream>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace loglog {
namespace {

constexpr char kSyntaxHint[] = "loglog explain";

// Ends the parse after an error that leaves nothing to go on with. yaml-cpp reports by
// exceptions too; none leaves this file.
struct StopParsing {};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(int source, SpecErrorSink* sink) : source_(source), sink_(sink) {}

  SpecNode TakeRoot() { return std::move(root_); }
  bool has_root() const { return has_root_; }
  // A quote swallowed what follows: later errors of the syntax mean nothing.
  bool open_quote() const { return open_quote_; }

  // Values over several lines are told last: an error of the syntax explains them better.
  void RefuseLongValues() {
    for (const SpecPlace& place : long_values_) {
      Refuse(place, "a value runs over several lines",
             "quote it, or check the indentation of the next line");
    }
  }

  // The innermost `{` or `[` that is still open, if any.
  const SpecNode* OpenFlow() const {
    return frames_.empty() || !frames_.back().flow ? nullptr : &frames_.back().node;
  }

  SpecPlace Place(const YAML::Mark& mark, size_t bytes) const {
    return {source_, mark.line, mark.column, static_cast<int>(bytes)};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (!document_done_) return;
    Refuse(Place(mark, RestOfLine(mark).size()), "more text after the end of the spec",
           "a file holds one spec");
    throw StopParsing();
  }
  void OnDocumentEnd() override { document_done_ = true; }

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    Refuse(Place(mark, name.size() + 1), absl::StrCat("anchors (`&", name, "`) are not accepted"),
           "write the value out where it is used");
    throw StopParsing();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(Place(mark, Word(mark).size()),
           absl::StrCat("aliases (`", Word(mark), "`) are not accepted"),
           "write the value out, or quote a text that starts with *");
    throw StopParsing();
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    SpecNode node;
    const size_t errors_before = refused_;
    const absl::string_view word = Word(mark);
    if (word == "null" || word == "~" || word == "Null" || word == "NULL") {
      node.place = Place(mark, word.size());
      if (word != "null") {
        Refuse(node.place, absl::StrCat("`", word, "` is null to some YAML loaders only"),
               "write null");
      }
    } else if (!frames_.empty() && frames_.back().node.is_map() && !frames_.back().wants_key) {
      node.place = frames_.back().key.place;
      Refuse(node.place, absl::StrCat("`", frames_.back().key.text, "` has no value"),
             "write a value, or null to leave it unset");
    } else {
      node.place = Place(mark, 1);
      Refuse(node.place, "a value is missing here");
    }
    node.bad = refused_ > errors_before;
    Put(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    const size_t errors_before = refused_;
    CheckTag(mark, tag);
    SpecNode node;
    node.kind = SpecNode::Kind::kScalar;
    node.text = value;
    const absl::string_view rest = RestOfLine(mark);
    const char first = rest.empty() ? '\0' : rest[0];
    node.quoted = tag == "!";
    node.place = Place(mark, 1);
    if (refused_ > errors_before) {
      node.place = Place(mark, Word(mark).size());
    } else if (node.quoted && (first == '|' || first == '>')) {
      Refuse(node.place, "block text is not accepted", "write it in quotes on one line");
    } else if (node.quoted) {
      const size_t size = QuotedSize(rest);
      if (size == 0) {
        Refuse(Place(mark, rest.size()), "this quote is not closed on its line",
               "close it; text stays on one line");
        open_quote_ = true;
      }
      node.place = Place(mark, size);
    } else if (!absl::StartsWith(rest, value)) {
      ++refused_;
      long_values_.push_back(Place(mark, rest.size()));
      node.place = Place(mark, rest.size());
    } else {
      node.place = Place(mark, value.size());
    }
    node.bad = refused_ > errors_before;
    Put(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value style) override {
    Open(mark, tag, SpecNode::Kind::kList, style);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value style) override {
    Open(mark, tag, SpecNode::Kind::kMap, style);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    SpecNode node;
    bool flow = false;
    bool wants_key = true;
    SpecNode::Key key;
    absl::flat_hash_map<std::string, int> line_of_key;
  };

  void Refuse(const SpecPlace& place, std::string message, std::string suggestion = "") {
    ++refused_;
    sink_->Add(place, std::move(message),
               {.suggestion = std::move(suggestion), .hint = kSyntaxHint});
  }

  absl::string_view RestOfLine(const YAML::Mark& mark) const {
    absl::string_view line = sink_->Line(source_, mark.line);
    return mark.column < 0 || mark.column > static_cast<int>(line.size())
               ? absl::string_view()
               : line.substr(mark.column);
  }

  // What stands at the mark, up to white space or a flow delimiter.
  absl::string_view Word(const YAML::Mark& mark) const {
    const absl::string_view rest = RestOfLine(mark);
    return rest.substr(0, std::min(rest.find_first_of(" \t,]}"), rest.size()));
  }

  // Bytes from the opening to the closing quote; 0 when it closes on another line.
  static size_t QuotedSize(absl::string_view rest) {
    const char quote = rest.empty() ? '\0' : rest[0];
    for (size_t i = 1; i < rest.size(); ++i) {
      if (quote == '"' && rest[i] == '\\') {
        ++i;
      } else if (rest[i] == quote) {
        if (quote == '\'' && i + 1 < rest.size() && rest[i + 1] == '\'') {
          ++i;
        } else {
          return i + 1;
        }
      }
    }
    return 0;
  }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Refuse(Place(mark, Word(mark).size()),
           absl::StrCat("tags (`", Word(mark), "`) are not accepted"),
           "the field decides the type");
  }

  void Open(const YAML::Mark& mark, const std::string& tag, SpecNode::Kind kind,
            YAML::EmitterStyle::value style) {
    CheckTag(mark, tag);
    if (frames_.size() >= limits::kSpecDepthMax) {
      Refuse(Place(mark, 1), absl::StrCat("more than ", limits::kSpecDepthMax, " levels deep"));
      throw StopParsing();
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = Place(mark, 1);
    frame.flow = style == YAML::EmitterStyle::Flow;
    frames_.push_back(std::move(frame));
  }

  void Close() {
    SpecNode node = std::move(frames_.back().node);
    frames_.pop_back();
    Put(std::move(node));
  }

  void Put(SpecNode node) {
    if (++nodes_ > limits::kSpecValuesMax) {
      Refuse(node.place, absl::StrCat("more than ", limits::kSpecValuesMax, " values"),
             "use range or logrange for long lists");
      throw StopParsing();
    }
    if (frames_.empty()) {
      root_ = std::move(node);
      has_root_ = true;
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.is_list()) {
      frame.node.items.push_back(std::move(node));
    } else if (frame.wants_key) {
      PutKey(std::move(node));
    } else {
      frame.wants_key = true;
      // A duplicate was reported; the first one stays.
      if (frame.key.place.source < 0) return;
      frame.node.keys.push_back(std::move(frame.key));
      frame.node.items.push_back(std::move(node));
    }
  }

  void PutKey(SpecNode node) {
    Frame& frame = frames_.back();
    frame.wants_key = false;
    frame.key = {node.text, node.place};
    if (!node.is_scalar()) {
      Refuse(node.place, "a key must be text");
      throw StopParsing();
    }
    if (node.text == "<<") {
      Refuse(node.place, "merge keys (`<<`) are not accepted", "write the keys out");
      throw StopParsing();
    }
    const auto [it, fresh] = frame.line_of_key.emplace(node.text, node.place.line);
    if (!fresh) {
      Refuse(node.place, absl::StrCat("duplicate key `", node.text, "`"),
             absl::StrCat("it is on line ", it->second + 1, " already"));
      frame.key.place.source = -1;
    }
  }

  const int source_;
  SpecErrorSink* const sink_;
  std::vector<Frame> frames_;
  SpecNode root_;
  bool has_root_ = false;
  bool document_done_ = false;
  int nodes_ = 0;
  size_t refused_ = 0;
  std::vector<SpecPlace> long_values_;
  bool open_quote_ = false;
};

// What yaml-cpp's message means to somebody who writes specs.
std::string PlainWords(const std::string& message) {
  if (message == "illegal map value") return "a `:` where no key can be";
  if (message == "the referenced anchor is not defined") return "aliases (`*`) are not accepted";
  if (message == "illegal EOF in scalar") return "a quote is never closed";
  if (message == "unknown token") return "a value cannot start with this character";
  return "not valid YAML: " + message;
}

std::string Remedy(const std::string& message) {
  if (message == "illegal map value") return "check the indentation, or quote the text";
  if (message == "unknown token") return "quote the text";
  if (message == "the referenced anchor is not defined") return "quote a text that starts with *";
  return "";
}

bool CheckLines(absl::string_view text, int source, SpecErrorSink* sink) {
  bool good = true;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t indent = std::min(line.find_first_not_of(" \t\r"), line.size());
    const size_t tab = line.substr(0, indent).find('\t');
    if (tab != absl::string_view::npos && indent < line.size()) {
      sink->Add({source, number, static_cast<int>(tab), 1}, "a tab in the indentation",
                {.suggestion = "use spaces", .hint = kSyntaxHint});
      good = false;
    }
    if (absl::StartsWith(line, "%")) {
      sink->Add({source, number, 0, static_cast<int>(line.size())},
                "directives (`%`) are not accepted",
                {.suggestion = "remove the line", .hint = kSyntaxHint});
      good = false;
    }
    ++number;
  }
  return good;
}

// False when the parse ended early.
bool RunParser(const std::string& text, int source, SpecErrorSink* sink, TreeBuilder* builder) {
  std::istringstream in(text);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(*builder)) {
    }
    builder->RefuseLongValues();
    return true;
  } catch (const StopParsing&) {
  } catch (const YAML::Exception& error) {
    if (builder->open_quote()) return false;
    const std::string& message = error.msg;
    const SpecNode* open = builder->OpenFlow();
    if (open != nullptr && absl::StrContains(message, "flow not found")) {
      sink->Add(open->place,
                absl::StrCat("this `", open->is_map() ? "{" : "[", "` is never closed"),
                {.hint = kSyntaxHint});
      return false;
    }
    const SpecPlace place =
        error.mark.is_null() ? SpecPlace{source, 0, 0, 1} : builder->Place(error.mark, 1);
    sink->Add(place, PlainWords(message), {.suggestion = Remedy(message), .hint = kSyntaxHint});
  }
  return false;
}

}  // namespace

bool CheckSpecBytes(absl::string_view text, int source, SpecErrorSink* sink) {
  int line = 0;
  size_t line_begin = 0;
  for (size_t i = 0; i < text.size();) {
    const unsigned char byte = text[i];
    const size_t size = Utf8Size(text.substr(i));
    const bool line_end = byte == '\r' && text.substr(i + 1, 1) == "\n";
    const bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && !line_end) || byte == 0x7f;
    if (size == 0 || control) {
      sink->Add({source, line, static_cast<int>(i - line_begin), 1},
                size == 0 ? "not UTF-8 text" : absl::StrCat("control character ", int{byte}),
                {.hint = kSyntaxHint});
      return false;
    }
    i += size;
    if (byte == '\n') {
      ++line;
      line_begin = i;
    }
  }
  return true;
}

const SpecNode* SpecNode::Find(absl::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].text == key) return &items[i];
  }
  return nullptr;
}

SpecNode* SpecNode::Find(absl::string_view key) {
  return const_cast<SpecNode*>(std::as_const(*this).Find(key));
}

std::string SpecNode::Describe() const {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a mapping";
    case Kind::kScalar:
      break;
  }
  constexpr size_t kShown = 40;
  const std::string shown = text.size() > kShown ? text.substr(0, kShown) + "..." : text;
  return quoted ? absl::StrCat("the text \"", shown, "\"") : absl::StrCat("`", shown, "`");
}

bool ParseSpecTree(absl::string_view text, int source, size_t skip_bytes, SpecErrorSink* sink,
                   SpecNode* root) {
  if (text.size() > limits::kSpecBytesMax) {
    sink->Add({source, 0, 0, 1},
              absl::StrCat("the text has ", text.size(), " bytes; a spec has at most ",
                           limits::kSpecBytesMax),
              {.suggestion = "use range or logrange for long lists, or split the sweep",
               .hint = kSyntaxHint});
    return false;
  }
  if (!CheckSpecBytes(text, source, sink) || !CheckLines(text, source, sink)) return false;
  std::string shown(text);
  for (size_t i = 0; i < skip_bytes; ++i) shown[i] = ' ';
  TreeBuilder builder(source, sink);
  if (!RunParser(shown, source, sink, &builder)) return false;
  if (!builder.has_root()) {
    sink->Add({source, 0, 0, 1}, "there is no text",
              {.suggestion = "a spec starts with apiVersion: loglog/v1", .hint = kSyntaxHint});
    return false;
  }
  *root = builder.TakeRoot();
  return true;
}

}  // namespace loglog
