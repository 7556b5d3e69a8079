#include "coordinator/names.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/limits.h"

namespace loglog {
namespace {

absl::Status Malformed(absl::string_view name, absl::string_view form) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", absl::CHexEscape(name.substr(0, 200)), "' is not of the form ", form));
}

absl::StatusOr<std::string> ParseId(absl::string_view name, absl::string_view collection,
                                    absl::string_view form) {
  absl::string_view id = name;
  absl::ConsumePrefix(&id, collection);
  if (!IsResourceId(id)) return Malformed(name, form);
  return std::string(id);
}

absl::StatusOr<NumberedName> ParseNumbered(absl::string_view name, absl::string_view collection,
                                           absl::string_view form) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  NumberedName result;
  if (parts.size() != 4 || parts[0] != "sweeps" || !IsResourceId(parts[1]) ||
      parts[2] != collection || !absl::SimpleAtoi(parts[3], &result.number) || result.number < 1 ||
      absl::StrCat(result.number) != parts[3]) {
    return Malformed(name, form);
  }
  result.sweep = std::string(parts[1]);
  return result;
}

}  // namespace

bool IsResourceId(absl::string_view id) {
  if (id.empty() || id.size() > limits::kNameBytesMax || id[0] == '-') return false;
  for (const char c : id) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

std::string SweepName(absl::string_view sweep) { return absl::StrCat("sweeps/", sweep); }

std::string TrialName(absl::string_view sweep, int64_t number) {
  return absl::StrCat("sweeps/", sweep, "/trials/", number);
}

std::string FitName(absl::string_view sweep, int64_t number) {
  return absl::StrCat("sweeps/", sweep, "/fits/", number);
}

std::string WorkerName(absl::string_view worker_id) { return absl::StrCat("workers/", worker_id); }

std::string TokenName(int64_t token_id) { return absl::StrCat("tokens/", token_id); }

absl::StatusOr<std::string> ParseSweepName(absl::string_view name) {
  return ParseId(name, "sweeps/", "sweeps/<name>, name being [a-z0-9][a-z0-9-]{0,62}");
}

absl::StatusOr<NumberedName> ParseTrialName(absl::string_view name) {
  return ParseNumbered(name, "trials", "sweeps/<name>/trials/<number>");
}

absl::StatusOr<NumberedName> ParseFitName(absl::string_view name) {
  return ParseNumbered(name, "fits", "sweeps/<name>/fits/<number>");
}

absl::StatusOr<std::string> ParseWorkerName(absl::string_view name) {
  return ParseId(name, "workers/", "workers/<id>, id being [a-z0-9][a-z0-9-]{0,62}");
}

absl::StatusOr<int64_t> ParseTokenName(absl::string_view name) {
  absl::string_view text = name;
  absl::ConsumePrefix(&text, "tokens/");
  int64_t token_id = 0;
  if (absl::SimpleAtoi(text, &token_id) && token_id > 0 && absl::StrCat(token_id) == text) {
    return token_id;
  }
  return Malformed(name, "tokens/<number>");
}

std::string MakePageToken(absl::string_view list, absl::string_view position) {
  return absl::WebSafeBase64Escape(absl::StrCat(list, "\n", position));
}

absl::StatusOr<std::string> ParsePageToken(absl::string_view list, absl::string_view token) {
  if (token.empty()) return std::string();
  std::string text;
  absl::string_view rest;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    rest = text;
    if (absl::ConsumePrefix(&rest, list) && absl::ConsumePrefix(&rest, "\n")) {
      return std::string(rest);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "page_token: not one of this list; use the next_page_token of the page before, with the "
      "same filters"));
}

}  // namespace loglog
