#include "plan/spec_error.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

constexpr char kPayloadUrl[] = "loglog.plan/spec_errors";
constexpr int kSourceWidthMax = 140;
constexpr int kSourceLead = 50;

bool StartsCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

// Characters [begin, end) of UTF-8 text.
std::string Characters(const std::string& text, int begin, int end) {
  std::string out;
  int at = -1;
  for (const char byte : text) {
    if (StartsCharacter(byte)) ++at;
    if (at >= begin && at < end) out += byte == '\t' ? ' ' : byte;
  }
  return out;
}

int CountCharacters(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), StartsCharacter));
}

std::string RenderOne(const SpecError& error) {
  std::string out = absl::StrCat("error: ", error.message);
  if (error.line == 0) {
    const std::string& where = error.file.empty() ? error.field_path : error.file;
    if (!where.empty()) absl::StrAppend(&out, "\n  --> ", where);
    if (!error.suggestion.empty()) absl::StrAppend(&out, "\n   | ", error.suggestion);
  } else {
    absl::StrAppend(&out, "\n  --> ", error.file, ":", error.line, ":", error.column);
    const int width = CountCharacters(error.source);
    int begin = 0;
    if (width > kSourceWidthMax) begin = std::max(0, error.column - 1 - kSourceLead);
    const int end = std::min(width, begin + kSourceWidthMax);
    const std::string lead = begin > 0 ? "..." : "";
    absl::StrAppend(&out, "\n   | ", lead, Characters(error.source, begin, end),
                    end < width ? "..." : "");
    const int indent = static_cast<int>(lead.size()) + error.column - 1 - begin;
    const int carets = std::max(1, std::min(error.length, end - (error.column - 1)));
    absl::StrAppend(&out, "\n   | ", std::string(indent, ' '), std::string(carets, '^'));
    if (!error.suggestion.empty()) absl::StrAppend(&out, " ", error.suggestion);
  }
  if (!error.hint.empty()) absl::StrAppend(&out, "\nhint: ", error.hint);
  return out;
}

}  // namespace

std::string RenderSpecErrors(const std::vector<SpecError>& errors, bool and_more) {
  std::string out;
  const size_t shown = std::min<size_t>(errors.size(), kSpecErrorsMax);
  for (size_t i = 0; i < shown; ++i)
    absl::StrAppend(&out, i > 0 ? "\n\n" : "", RenderOne(errors[i]));
  if (shown < errors.size()) {
    absl::StrAppend(&out, "\n\n", shown, " of ", errors.size(), and_more ? " or more" : "",
                    " errors shown");
  }
  return out;
}

absl::Status SpecErrorStatus(const std::vector<SpecError>& errors, bool and_more) {
  absl::Status status = absl::InvalidArgumentError(RenderSpecErrors(errors, and_more));
  nlohmann::json list = nlohmann::json::array();
  const size_t shown = std::min<size_t>(errors.size(), kSpecErrorsMax);
  for (size_t i = 0; i < shown; ++i) {
    const SpecError& error = errors[i];
    list.push_back({{"message", error.message},
                    {"file", error.file},
                    {"line", error.line},
                    {"column", error.column},
                    {"length", error.length},
                    {"source", error.source},
                    {"suggestion", error.suggestion},
                    {"field_path", error.field_path},
                    {"hint", error.hint}});
  }
  status.SetPayload(
      kPayloadUrl, absl::Cord(list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  return status;
}

std::string SpecErrorsJson(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  return payload.has_value() ? std::string(*payload) : "[]";
}

std::vector<SpecError> SpecErrorsOf(const absl::Status& status) {
  std::vector<SpecError> errors;
  for (const nlohmann::json& item : nlohmann::json::parse(SpecErrorsJson(status))) {
    errors.push_back({.message = item["message"],
                      .file = item["file"],
                      .line = item["line"],
                      .column = item["column"],
                      .length = item["length"],
                      .source = item["source"],
                      .suggestion = item["suggestion"],
                      .field_path = item["field_path"],
                      .hint = item["hint"]});
  }
  return errors;
}

}  // namespace loglog
