#include "cli/render/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

namespace loglog::cli {
namespace {

// Length in bytes of the escape sequence that starts at `i`; 0 when there is none.
size_t EscapeLength(absl::string_view text, size_t i) {
  if (text[i] != '\x1b' || i + 1 >= text.size() || text[i + 1] != '[') return 0;
  size_t end = i + 2;
  while (end < text.size() && !absl::ascii_isalpha(text[end])) ++end;
  return std::min(end + 1, text.size()) - i;
}

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    if (const size_t escape = EscapeLength(text, i)) {
      i += escape;
      continue;
    }
    if (!IsContinuation(text[i])) ++width;
    ++i;
  }
  return width;
}

std::string PadRight(absl::string_view text, int width) {
  return absl::StrCat(text, std::string(std::max(0, width - DisplayWidth(text)), ' '));
}

std::string PadLeft(absl::string_view text, int width) {
  return absl::StrCat(std::string(std::max(0, width - DisplayWidth(text)), ' '), text);
}

std::string Truncate(absl::string_view text, int width) {
  std::string result;
  int columns = 0;
  for (size_t i = 0; i < text.size();) {
    if (const size_t escape = EscapeLength(text, i)) {
      absl::StrAppend(&result, text.substr(i, escape));
      i += escape;
      continue;
    }
    if (!IsContinuation(text[i])) ++columns;
    if (columns <= width) result.push_back(text[i]);
    ++i;
  }
  return result;
}

std::vector<std::string> Wrap(absl::string_view text, int width) {
  std::vector<std::string> lines;
  for (absl::string_view paragraph : absl::StrSplit(text, '\n')) {
    std::string line;
    for (absl::string_view word : absl::StrSplit(paragraph, ' ')) {
      if (!line.empty() && DisplayWidth(line) + 1 + DisplayWidth(word) > width) {
        lines.push_back(line);
        line.clear();
      }
      absl::StrAppend(&line, line.empty() ? "" : " ", word);
    }
    lines.push_back(line);
  }
  return lines;
}

std::string HumanCount(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 1e15) return Significant(value, 3);
  struct Unit {
    double scale;
    const char* suffix;
  };
  for (const Unit& unit : {Unit{1e12, "T"}, Unit{1e9, "B"}, Unit{1e6, "M"}, Unit{1e3, "k"}}) {
    // Rounding to three digits may reach the unit: 999,999 is "1M".
    if (size >= unit.scale * 0.9995)
      return absl::StrCat(Significant(value / unit.scale, 3), unit.suffix);
  }
  return Significant(value, 3);
}

std::string HumanBytes(double bytes) {
  if (!std::isfinite(bytes)) return "-";
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (std::abs(bytes) >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(Significant(bytes, bytes < 100 ? 2 : 3), " ", units[unit]);
}

std::string HumanDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  // Tenths matter only where they are a good part of it.
  if (seconds < 10) return absl::StrCat(Significant(std::round(seconds * 10) / 10, 2), "s");
  const int64_t s = std::llround(seconds);
  if (s < 60) return absl::StrFormat("%ds", s);
  if (s < 3600) return absl::StrFormat("%dm %02ds", s / 60, s % 60);
  const int64_t minutes = std::llround(seconds / 60);
  if (minutes < 48 * 60) return absl::StrFormat("%dh %02dm", minutes / 60, minutes % 60);
  const int64_t hours = std::llround(seconds / 3600);
  return absl::StrFormat("%dd %02dh", hours / 24, hours % 24);
}

std::string UtcTime(int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
}

std::string Significant(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value))));
  if (exponent < -4 || exponent >= 7) return absl::StrFormat("%.*g", digits, value);
  std::string text = absl::StrFormat("%.*f", std::max(0, digits - 1 - exponent), value);
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string PValue(double p, int digits) { return p < 1e-15 ? "< 1e-15" : Significant(p, digits); }

std::string PEquals(double p, int digits) {
  const std::string text = PValue(p, digits);
  return absl::StrCat(text[0] == '<' ? "p " : "p = ", text);
}

std::string Fixed(double value, int decimals) {
  return std::isfinite(value) ? absl::StrFormat("%.*f", decimals, value) : "-";
}

std::string Printable(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = byte == 0xC2 && next >= 0x80 && next <= 0x9F;  // U+0080 to U+009F
    const bool control = (byte < 0x20 && byte != '\n') || byte == 0x7F || c1;
    out.push_back(control ? ' ' : text[i]);
    if (c1) ++i;
  }
  return out;
}

std::string OneLine(absl::string_view text) {
  while (absl::ConsumeSuffix(&text, "\n")) {
  }
  return absl::StrReplaceAll(Printable(text), {{"\n", " / "}});
}

std::string Plural(int64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string Interval(double low, double high, int digits) {
  return absl::StrCat("[", std::isfinite(low) ? Significant(low, digits) : "-inf", ", ",
                      std::isfinite(high) ? Significant(high, digits) : "+inf", "]");
}

std::string JsonString(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", c);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
  return out;
}

std::string PlainNumber(double value) {
  if (!std::isfinite(value)) return "";
  char buffer[40];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

std::string JsonNumber(double value) {
  const std::string text = PlainNumber(value);
  return text.empty() ? "null" : text;
}

std::string CsvField(absl::string_view text) {
  if (text.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

std::string ShellQuote(absl::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) ||
           absl::string_view("-_./:=,+@%").find(c) != absl::string_view::npos;
  });
  if (plain) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out.push_back(c);
    }
  }
  out.push_back('\'');
  return out;
}

}  // namespace loglog::cli
