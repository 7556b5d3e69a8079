#include "plan/value.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

constexpr std::pair<int64_t, const char*> kUnits[] = {
    {1'000'000'000'000, "T"}, {1'000'000'000, "B"}, {1'000'000, "M"}, {1'000, "k"}};

}  // namespace

std::string CanonicalNumber(double value) {
  LOGLOG_CHECK(std::isfinite(value));
  if (value == 0) return "0.0";  // also for -0
  // "d.ddde-05": the shortest digits that read back as the same double.
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  LOGLOG_CHECK(end.ec == std::errc());
  const std::string text(buffer, end.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  const bool negative = text[0] == '-';
  std::string digits;
  for (const char c : text.substr(negative ? 1 : 0, e - (negative ? 1 : 0))) {
    if (c != '.') digits += c;
  }
  std::string out = negative ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    absl::StrAppend(&out, digits.substr(0, 1), ".", digits.size() > 1 ? digits.substr(1) : "0",
                    exponent < 0 ? "e-" : "e+", std::abs(exponent) < 10 ? "0" : "",
                    std::abs(exponent));
  } else if (exponent < 0) {
    absl::StrAppend(&out, "0.", std::string(-exponent - 1, '0'), digits);
  } else if (static_cast<int>(digits.size()) <= exponent + 1) {
    absl::StrAppend(&out, digits, std::string(exponent + 1 - digits.size(), '0'), ".0");
  } else {
    absl::StrAppend(&out, digits.substr(0, exponent + 1), ".", digits.substr(exponent + 1));
  }
  return out;
}

std::string CanonicalText(const SpecValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return "null";
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return absl::StrCat(*integer);
  if (const double* number = std::get_if<double>(&value)) return CanonicalNumber(*number);
  return nlohmann::json(std::get<std::string>(value)).dump();
}

std::string DisplayText(const SpecValue& value) {
  if (const std::string* text = std::get_if<std::string>(&value)) return *text;
  std::string text = CanonicalText(value);
  if (std::holds_alternative<double>(value) && absl::EndsWith(text, ".0")) {
    text.resize(text.size() - 2);
  }
  return text;
}

std::string DisplayCount(int64_t value) {
  for (const auto& [size, unit] : kUnits) {
    if (value < size) continue;
    const int64_t milli = size / 1000;
    if (value % milli != 0) break;
    std::string text = absl::StrCat(value / size);
    if (int64_t rest = value % size / milli; rest > 0) {
      std::string fraction = absl::StrCat(1000 + rest).substr(1);
      while (fraction.back() == '0') fraction.pop_back();
      absl::StrAppend(&text, ".", fraction);
    }
    text += unit;
    const std::string plain = absl::StrCat(value);
    return text.size() < plain.size() ? text : plain;
  }
  return absl::StrCat(value);
}

std::string ApproximateCount(double value) {
  for (const auto& [size, unit] : kUnits) {
    const double scaled = value / static_cast<double>(size);
    // From 999.5 on, three digits round up to the next unit.
    if (scaled >= 0.9995) return absl::StrFormat("%.3g%s", scaled, unit);
  }
  return absl::StrFormat("%.3g", value);
}

}  // namespace loglog
