#ifndef LOGLOG_PLAN_VALUE_H_
#define LOGLOG_PLAN_VALUE_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"

namespace loglog {

// The value of one field of a spec: unset (null), a flag, an integer, a number or text.
using SpecValue = std::variant<std::monostate, bool, int64_t, double, std::string>;

// As canonical JSON writes it: "null", "true", "200000000", "1.0e-05", "\"cosine\"".
// Numbers that are not integers carry the fewest digits that read back as the same
// double, always a point, and an exponent outside [1e-4, 1e16). The double is finite.
std::string CanonicalText(const SpecValue& value);
std::string CanonicalNumber(double value);

// For labels and tables: text without quotes, whole numbers without ".0".
std::string DisplayText(const SpecValue& value);

// A count with its unit when that is exact in few digits: 200000000 is "200M".
std::string DisplayCount(int64_t value);

// Three digits and a unit: 200015872 is "200M".
std::string ApproximateCount(double value);

}  // namespace loglog

#endif  // LOGLOG_PLAN_VALUE_H_
