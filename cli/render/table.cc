#include "cli/render/table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

std::string JsonObject(const Table& table, const std::vector<Cell>& row,
                       absl::string_view separator, absl::string_view indent) {
  std::vector<std::string> members;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    members.push_back(absl::StrCat(indent, JsonString(table.columns[i].key), ": ", row[i].json));
  }
  return absl::StrJoin(members, separator);
}

std::string Columns(const Table& table, bool wide, const Style& style) {
  std::vector<size_t> shown;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const Column& column = table.columns[i];
    if (!column.hidden && (wide || !column.wide)) shown.push_back(i);
  }
  std::vector<int> widths;
  for (const size_t i : shown) {
    int width = DisplayWidth(table.columns[i].key);
    for (const auto& row : table.rows) {
      width = std::max(width, DisplayWidth(OneLine(row[i].text)));
    }
    widths.push_back(width);
  }
  const auto line = [&](auto&& text_of) {
    std::string out;
    for (size_t c = 0; c < shown.size(); ++c) {
      const std::string text = text_of(shown[c]);
      const bool right = table.columns[shown[c]].right;
      absl::StrAppend(&out, c == 0 ? "" : "  ",
                      right ? PadLeft(text, widths[c]) : PadRight(text, widths[c]));
    }
    return std::string(absl::StripTrailingAsciiWhitespace(out));
  };
  std::string out = style.Bold(line([&](size_t i) {
    return absl::StrReplaceAll(absl::AsciiStrToUpper(table.columns[i].key), {{"_", " "}});
  }));
  out += "\n";
  for (const auto& row : table.rows) {
    absl::StrAppend(&out, line([&](size_t i) { return OneLine(row[i].text); }), "\n");
  }
  return out;
}

std::string Csv(const Table& table) {
  std::vector<std::string> fields;
  for (const Column& column : table.columns) fields.push_back(CsvField(column.key));
  std::string out = absl::StrCat(absl::StrJoin(fields, ","), "\n");
  for (const auto& row : table.rows) {
    fields.clear();
    for (const Cell& cell : row) fields.push_back(CsvField(cell.plain));
    absl::StrAppend(&out, absl::StrJoin(fields, ","), "\n");
  }
  return out;
}

std::string Json(const Table& table) {
  std::vector<std::string> objects;
  for (const auto& row : table.rows) {
    objects.push_back(absl::StrCat("\n  {", JsonObject(table, row, ", ", ""), "}"));
  }
  const std::string list =
      absl::StrCat("[", absl::StrJoin(objects, ","), objects.empty() ? "]" : "\n]");
  if (table.kind.empty()) return absl::StrCat(list, "\n");
  return absl::StrCat("{", JsonString(table.kind), ": ", list, "}\n");
}

std::string Jsonl(const Table& table) {
  std::string out;
  for (const auto& row : table.rows) {
    absl::StrAppend(&out, "{", JsonObject(table, row, ", ", ""), "}\n");
  }
  return out;
}

std::string Names(const Table& table) {
  std::string out;
  for (const auto& row : table.rows) absl::StrAppend(&out, row[0].plain, "\n");
  return out;
}

}  // namespace

absl::StatusOr<Format> ParseFormat(absl::string_view name) {
  if (name == "table") return Format::kTable;
  if (name == "wide") return Format::kWide;
  if (name == "json") return Format::kJson;
  if (name == "jsonl") return Format::kJsonl;
  if (name == "csv") return Format::kCsv;
  if (name == "name") return Format::kName;
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown output format `", name, "`: use one of table, wide, json, jsonl, csv, name"));
}

Cell Cell::Text(absl::string_view text) {
  return {text.empty() ? "-" : std::string(text), JsonString(text), std::string(text)};
}

Cell Cell::Int(int64_t value) {
  const std::string text = absl::StrCat(value);
  return {text, text, text};
}

Cell Cell::Count(double value) {
  return {HumanCount(value), JsonNumber(value), PlainNumber(value)};
}

Cell Cell::Real(double value, int decimals) {
  return {Fixed(value, decimals), JsonNumber(value), PlainNumber(value)};
}

Cell Cell::Bool(bool value) {
  return {value ? "yes" : "no", value ? "true" : "false", value ? "true" : "false"};
}

Cell Cell::Time(int64_t unix_ms) {
  if (unix_ms == 0) return None();
  const std::string exact =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
  return {UtcTime(unix_ms), JsonString(exact), exact};
}

Cell Cell::Json(absl::string_view text, absl::string_view json) {
  return {text.empty() ? "-" : std::string(text), json.empty() ? "null" : std::string(json),
          std::string(json)};
}

Cell Cell::None() { return {"-", "null", ""}; }

std::string RenderTable(const Table& table, Format format, const Style& style) {
  switch (format) {
    case Format::kTable:
      return Columns(table, false, style);
    case Format::kWide:
      return Columns(table, true, style);
    case Format::kJson:
      return Json(table);
    case Format::kJsonl:
      return Jsonl(table);
    case Format::kCsv:
      return Csv(table);
    case Format::kName:
      return Names(table);
  }
  return "";
}

std::string RenderRecord(const Table& table, Format format, const Style& style) {
  if (format == Format::kJson) {
    return absl::StrCat("{\n", JsonObject(table, table.rows[0], ",\n", "  "), "\n}\n");
  }
  if (format != Format::kTable && format != Format::kWide) return RenderTable(table, format, style);
  int width = 0;
  for (const Column& column : table.columns) width = std::max(width, DisplayWidth(column.key));
  std::string out;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const Column& column = table.columns[i];
    if (column.hidden && format == Format::kTable) continue;
    const std::string key = absl::StrReplaceAll(column.key, {{"_", " "}});
    const std::vector<std::string> lines = absl::StrSplit(Printable(table.rows[0][i].text), '\n');
    for (size_t l = 0; l < lines.size(); ++l) {
      absl::StrAppend(&out, style.Dim(PadRight(l == 0 ? key : "", width)), "  ", lines[l], "\n");
    }
  }
  return out;
}

}  // namespace loglog::cli
