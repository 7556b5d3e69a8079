#ifndef LOGLOG_CLI_RENDER_TABLE_H_
#define LOGLOG_CLI_RENDER_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/render/style.h"

namespace loglog::cli {

enum class Format { kTable, kWide, kJson, kJsonl, kCsv, kName };

absl::StatusOr<Format> ParseFormat(absl::string_view name);

// One value in its three looks: for a person, for JSON and for CSV. `text` may hold anything:
// tables and records show no control character of it. A number that is
// not finite is "-", null and empty; the state column beside it says why.
struct Cell {
  std::string text;
  std::string json;
  std::string plain;

  static Cell Text(absl::string_view text);
  static Cell Int(int64_t value);
  // A count that people read with a unit: 131072 is "131k" but stays exact elsewhere.
  static Cell Count(double value);
  static Cell Real(double value, int decimals);
  static Cell Bool(bool value);
  // RFC 3339 elsewhere; 0 is "no such time".
  static Cell Time(int64_t unix_ms);
  // Text for a person, ready JSON for programs (and for CSV).
  static Cell Json(absl::string_view text, absl::string_view json);
  static Cell None();
};

struct Column {
  std::string key;      // JSON and CSV name; upper case it heads the table column
  bool right = false;   // numbers
  bool wide = false;    // only in `-o wide`, json, jsonl and csv
  bool hidden = false;  // only in json, jsonl and csv
};

// Rows of one kind of object. Column 0 is the object's name.
struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::string kind = {};  // "trials": JSON lists are {"trials": [...]}; empty: a bare list
};

std::string RenderTable(const Table& table, Format format, const Style& style);
// One object: its table columns as "key: value" lines, or one JSON object.
std::string RenderRecord(const Table& table, Format format, const Style& style);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_RENDER_TABLE_H_
