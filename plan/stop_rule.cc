#include "plan/stop_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "plan/suggest.h"
#include "plan/value.h"

namespace loglog {
namespace {

constexpr absl::string_view kBegin = "halfwidth(";

std::vector<std::string> Quantities() { return {"slope", "beta", "slope_difference"}; }

absl::Status Refuse(std::string message, std::string write, std::string* suggestion) {
  if (suggestion != nullptr) *suggestion = std::move(write);
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<StopRule> ParseStopRule(absl::string_view text, std::string* suggestion) {
  const std::string packed = absl::StrReplaceAll(text, {{" ", ""}});
  const size_t close = packed.find(")<");
  if (!absl::StartsWith(packed, kBegin) || close == std::string::npos) {
    return Refuse(absl::StrCat("`", text, "` is no stop rule"),
                  "write \"halfwidth(slope) < 0.003\"", suggestion);
  }
  StopRule rule;
  rule.quantity = packed.substr(kBegin.size(), close - kBegin.size());
  const std::vector<std::string> known = Quantities();
  if (std::find(known.begin(), known.end(), rule.quantity) == known.end()) {
    const std::string guess = DidYouMean(rule.quantity, known);
    return Refuse(
        absl::StrCat("a stop rule knows no half-width of `", rule.quantity, "`"),
        guess.empty() ? absl::StrCat("choose one of ", absl::StrJoin(known, ", ")) : guess,
        suggestion);
  }
  const std::string number = packed.substr(close + 2);
  if (!absl::SimpleAtod(number, &rule.below) || !std::isfinite(rule.below) || rule.below <= 0) {
    return Refuse(
        absl::StrCat("a half-width is compared with a number above 0, not with `", number, "`"),
        absl::StrCat("write \"halfwidth(", rule.quantity, ") < 0.003\""), suggestion);
  }
  return rule;
}

std::string StopRuleText(const StopRule& rule) {
  return absl::StrCat("halfwidth(", rule.quantity, ") < ", CanonicalNumber(rule.below));
}

}  // namespace loglog
