#include "plan/decimal.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace loglog {
namespace {

constexpr int kDigitsMax = 18;
constexpr int kExponentMax = 400;

// digits * 10^power, or nothing when that leaves int64.
std::optional<int64_t> TimesPowerOfTen(int64_t digits, int power) {
  if (digits == 0) return 0;
  for (; power > 0; --power) {
    if (std::abs(digits) > std::numeric_limits<int64_t>::max() / 10) return std::nullopt;
    digits *= 10;
  }
  return digits;
}

}  // namespace

std::optional<int64_t> Decimal::ToInt() const {
  if (exponent >= 0) return TimesPowerOfTen(digits, exponent);
  int64_t value = digits;
  for (int power = exponent; power < 0 && value != 0; ++power) {
    if (value % 10 != 0) return std::nullopt;
    value /= 10;
  }
  return value;
}

double Decimal::ToDouble() const {
  double value = 0;
  if (!absl::SimpleAtod(absl::StrCat(digits, "e", exponent), &value)) return 0;
  return value;
}

std::string Decimal::ToText() const {
  std::string text = absl::StrCat(std::abs(digits));
  if (exponent >= 0) {
    if (digits != 0) text.append(exponent, '0');
  } else {
    const size_t places = -exponent;
    if (text.size() <= places) text.insert(0, places + 1 - text.size(), '0');
    text.insert(text.size() - places, ".");
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return digits < 0 ? "-" + text : text;
}

std::optional<Decimal> ParseDecimal(absl::string_view text) {
  Decimal value;
  size_t at = 0;
  bool negative = false;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) negative = text[at++] == '-';
  int significant = 0, written = 0;
  bool point = false;
  for (; at < text.size() && (absl::ascii_isdigit(text[at]) || (text[at] == '.' && !point)); ++at) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    ++written;
    if (significant > 0 || text[at] != '0') ++significant;
    if (significant > kDigitsMax) {
      // Zeros beyond the limit cost no precision.
      if (text[at] != '0') return std::nullopt;
      if (!point) ++value.exponent;
      continue;
    }
    value.digits = value.digits * 10 + (text[at] - '0');
    if (point) --value.exponent;
  }
  if (written == 0) return std::nullopt;
  if (at < text.size()) {
    if (text[at] != 'e' && text[at] != 'E') return std::nullopt;
    int power = 0;
    absl::string_view rest = text.substr(at + 1);
    if (rest.empty() || absl::ascii_isspace(rest[0]) || !absl::SimpleAtoi(rest, &power) ||
        std::abs(power) > kExponentMax) {
      return std::nullopt;
    }
    value.exponent += power;
  }
  if (std::abs(value.exponent) > kExponentMax) return std::nullopt;
  if (negative) value.digits = -value.digits;
  return value;
}

std::optional<std::vector<Decimal>> DecimalRange(const Decimal& start, const Decimal& stop,
                                                 const Decimal& step, int64_t count_max) {
  const int exponent = std::min({start.exponent, stop.exponent, step.exponent});
  const auto first = TimesPowerOfTen(start.digits, start.exponent - exponent);
  const auto last = TimesPowerOfTen(stop.digits, stop.exponent - exponent);
  const auto by = TimesPowerOfTen(step.digits, step.exponent - exponent);
  if (!first || !last || !by || *by == 0) return std::nullopt;
  const __int128 span = static_cast<__int128>(*last) - *first;
  if (span != 0 && (span < 0) != (*by < 0)) return std::nullopt;
  __int128 steps = span / *by;
  // The stop that a rounded step misses by a hair.
  const __int128 missed = span - steps * *by;
  const __int128 short_by = static_cast<__int128>(*by) - missed;
  const auto tiny = [&](__int128 x) {
    return (x < 0 ? -x : x) * 1'000'000 <= (*by < 0 ? -*by : *by);
  };
  bool ends_on_stop = tiny(missed);
  if (!ends_on_stop && tiny(short_by)) {
    ++steps;
    ends_on_stop = true;
  }
  if (steps + 1 > count_max) return std::nullopt;
  std::vector<Decimal> values;
  for (int64_t i = 0; i <= static_cast<int64_t>(steps); ++i) {
    if (i == static_cast<int64_t>(steps) && ends_on_stop) {
      values.push_back(stop);
    } else {
      values.push_back({static_cast<int64_t>(*first + static_cast<__int128>(i) * *by), exponent});
    }
  }
  return values;
}

}  // namespace loglog
