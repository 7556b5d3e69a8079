#ifndef LOGLOG_PLAN_DECIMAL_H_
#define LOGLOG_PLAN_DECIMAL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog {

// digits * 10^exponent, exactly. What people write in specs is decimal, and so is the
// arithmetic on it: 0.4 + 3 * 0.05 is 0.55 and nothing near it.
struct Decimal {
  int64_t digits = 0;
  int exponent = 0;

  // The value times 10^power.
  Decimal Scaled(int power) const { return {digits, exponent + power}; }
  // The integer that it is; nothing when it is none or leaves int64.
  std::optional<int64_t> ToInt() const;
  // The nearest double.
  double ToDouble() const;
  // Without exponent: "0.05", "1600000000".
  std::string ToText() const;
};

// Reads [+-]digits[.digits][e[+-]digits]; at most 18 significant digits. Nothing for
// any other text.
std::optional<Decimal> ParseDecimal(absl::string_view text);

// start, start + step, ... up to stop, each computed from start; stop itself is in when
// a step lands within a millionth of a step of it. Nothing when step is 0 or leads away
// from stop, when the numbers are too far apart for exact arithmetic, or when there
// would be more than `count_max` values.
std::optional<std::vector<Decimal>> DecimalRange(const Decimal& start, const Decimal& stop,
                                                 const Decimal& step, int64_t count_max);

}  // namespace loglog

#endif  // LOGLOG_PLAN_DECIMAL_H_
