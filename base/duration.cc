#include "base/duration.h"

#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace loglog {
namespace {

constexpr std::pair<absl::string_view, int64_t> kUnits[] = {
    {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};

}  // namespace

absl::StatusOr<int64_t> ParseDurationMs(absl::string_view text) {
  if (text == "0") return 0;
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.')) {
    ++digits;
  }
  double number = 0;
  if (digits > 0 && absl::SimpleAtod(text.substr(0, digits), &number)) {
    for (const auto& [unit, unit_ms] : kUnits) {
      if (text.substr(digits) != unit) continue;
      const double ms = number * static_cast<double>(unit_ms);
      if (ms > 1e15) break;
      return static_cast<int64_t>(std::llround(ms));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text, "' is not a duration; write a number and ms, s, m or h, such as 30s"));
}

absl::StatusOr<int64_t> ParseSignedDurationMs(absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  if (!negative) absl::ConsumePrefix(&text, "+");
  const absl::StatusOr<int64_t> ms = ParseDurationMs(text);
  return ms.ok() && negative ? -*ms : ms;
}

std::string FormatDurationMs(int64_t ms) {
  if (ms == 0) return "0";
  for (const auto& [unit, unit_ms] : kUnits) {
    if (ms % unit_ms == 0) return absl::StrCat(ms / unit_ms, unit);
  }
  return absl::StrCat(ms, "ms");
}

}  // namespace loglog
