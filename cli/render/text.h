#ifndef LOGLOG_CLI_RENDER_TEXT_H_
#define LOGLOG_CLI_RENDER_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog::cli {

// Columns that `text` takes on a terminal: code points, without escape sequences.
int DisplayWidth(absl::string_view text);
std::string PadRight(absl::string_view text, int width);
std::string PadLeft(absl::string_view text, int width);
// The first `width` columns of `text`, escape sequences kept whole.
std::string Truncate(absl::string_view text, int width);
// Breaks at spaces so that no line is wider than `width`; line breaks in `text` stay.
std::vector<std::string> Wrap(absl::string_view text, int width);

// 131072 -> "131k", 2e8 -> "200M", 1.6e9 -> "1.6B", 3.2e18 -> "3.2e18".
std::string HumanCount(double value);
// 1536 -> "1.5 KiB".
std::string HumanBytes(double bytes);
// 42 s -> "42s", 4000 s -> "1h 07m", 200000 s -> "2d 07h". "?" when not finite.
std::string HumanDuration(double seconds);
// UTC, "2026-03-01 14:05:09"; "-" for 0.
std::string UtcTime(int64_t unix_ms);
// `digits` significant digits, no exponent between 1e-4 and 1e7; "-" when not finite.
std::string Significant(double value, int digits);
// A p-value as "0.012" and as "p = 0.012"; below 1e-15, where rounding would make it 0, as
// "< 1e-15" and "p < 1e-15".
std::string PValue(double p, int digits);
std::string PEquals(double p, int digits);
// `decimals` places; "-" when not finite.
std::string Fixed(double value, int decimals);
// Text from elsewhere, safe for a terminal: every control character but the line break is a
// space (C1 controls such as the one-byte CSI included).
std::string Printable(absl::string_view text);
// The same on one line: line breaks are " / ", those at the end fall away.
std::string OneLine(absl::string_view text);
// "1 trial", "2 trials".
std::string Plural(int64_t count, absl::string_view noun);
// "[low, high]" with an unbounded side written "-inf" or "+inf".
std::string Interval(double low, double high, int digits);

// A JSON string literal.
std::string JsonString(absl::string_view text);
// Shortest text that reads back as the same double; "null" when not finite.
std::string JsonNumber(double value);
// The same, but empty when not finite, as CSV has it.
std::string PlainNumber(double value);
// A CSV field (RFC 4180), quoted only when it must be.
std::string CsvField(absl::string_view text);

// Text for the shell: quoted when it holds anything but plain characters.
std::string ShellQuote(absl::string_view text);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_RENDER_TEXT_H_
