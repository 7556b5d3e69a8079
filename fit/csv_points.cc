#include "fit/csv_points.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/utf8.h"

namespace loglog {
namespace {

constexpr int kRowsMax = 1000000;
constexpr size_t kColumnsMax = 4096;
constexpr size_t kShown = 40;  // of a cell in a message

struct Row {
  int line = 0;  // where it starts
  std::vector<std::string> cells;
};

std::string Shown(absl::string_view cell) {
  std::string text;
  for (const char c : cell.substr(0, kShown)) text += absl::ascii_isprint(c) ? c : '?';
  return cell.size() > kShown ? text + "..." : text;
}

// Splits one row off `text`. Cells keep their spaces; a quote opens a cell only at its start.
absl::Status TakeRow(absl::string_view* text, char separator, int* line, Row* row) {
  row->cells.assign(1, "");
  row->line = *line;
  bool quoted = false, was_quoted = false;
  size_t i = 0;
  for (; i < text->size(); ++i) {
    const char c = (*text)[i];
    std::string& cell = row->cells.back();
    if (quoted) {
      if (c == '"' && i + 1 < text->size() && (*text)[i + 1] == '"') {
        cell += '"';
        ++i;
      } else if (c == '"') {
        quoted = false;
      } else {
        *line += c == '\n';
        cell += c;
      }
    } else if (c == '"' && cell.empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == separator) {
      if (row->cells.size() == kColumnsMax) {
        return absl::InvalidArgumentError(
            absl::StrCat("row ", row->line, " has more than ", kColumnsMax, " columns"));
      }
      row->cells.push_back("");
      was_quoted = false;
    } else if (c == '\n' || c == '\r') {
      break;
    } else {
      cell += c;
    }
  }
  if (quoted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "row ", row->line, ": a quote is opened and not closed; close it, or write two for one"));
  }
  if (i < text->size()) {
    i += (*text)[i] == '\r' && i + 1 < text->size() && (*text)[i + 1] == '\n' ? 2 : 1;
    ++*line;
  }
  text->remove_prefix(i);
  return absl::OkStatus();
}

bool IsBlank(const Row& row) {
  return std::all_of(row.cells.begin(), row.cells.end(), [](const std::string& cell) {
    return absl::StripAsciiWhitespace(cell).empty();
  });
}

// INVALID_ARGUMENT names the first line with bytes that are no UTF-8: names of arms go into JSON
// and messages, which hold nothing else.
absl::Status CheckUtf8(absl::string_view text) {
  int line = 1;
  for (size_t i = 0; i < text.size();) {
    const size_t size = Utf8Size(text.substr(i));
    if (size == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line, " is not UTF-8 text; save the file as CSV UTF-8"));
    }
    line += text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
    i += size;
  }
  return absl::OkStatus();
}

struct Sheet {
  char separator = ',';
  std::vector<std::string> header;
  std::vector<Row> rows;
};

absl::StatusOr<Sheet> ReadSheet(absl::string_view text, int rows_max) {
  if (absl::StartsWith(text, "\xFF\xFE") || absl::StartsWith(text, "\xFE\xFF")) {
    return absl::InvalidArgumentError("the file is UTF-16; save it as CSV UTF-8");
  }
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  if (absl::StrContains(text.substr(0, 4096), '\0')) {
    return absl::InvalidArgumentError("the file is binary; a CSV is text with a header row");
  }
  LOGLOG_RETURN_IF_ERROR(CheckUtf8(text));
  Sheet sheet;
  const absl::string_view first = text.substr(0, text.find_first_of("\r\n"));
  const auto count = [&](char c) { return std::count(first.begin(), first.end(), c); };
  if (count(',') == 0 && count(';') > 0) sheet.separator = ';';
  if (count(',') == 0 && count(';') == 0 && count('\t') > 0) sheet.separator = '\t';
  int line = 1;
  bool has_header = false;
  while (!text.empty()) {
    Row row;
    LOGLOG_RETURN_IF_ERROR(TakeRow(&text, sheet.separator, &line, &row));
    if (IsBlank(row)) continue;
    if (!has_header) {
      for (const std::string& cell : row.cells) {
        sheet.header.push_back(std::string(absl::StripAsciiWhitespace(cell)));
      }
      has_header = true;
      if (rows_max == 0) break;
      continue;
    }
    if (row.cells.size() != sheet.header.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("row ", row.line, " has ", row.cells.size(), " columns and the header ",
                       sheet.header.size(), "; quote a cell that holds '",
                       std::string(1, sheet.separator), "'"));
    }
    if (static_cast<int>(sheet.rows.size()) == rows_max) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", rows_max, " rows"));
    }
    sheet.rows.push_back(std::move(row));
  }
  if (!has_header) return absl::InvalidArgumentError("the file is empty; a header row is needed");
  return sheet;
}

// The column of `name`, or -1 when no name is asked for.
absl::StatusOr<int> ColumnOf(const Sheet& sheet, const std::string& name) {
  if (name.empty()) return -1;
  int found = -1;
  std::string like;
  for (int i = 0; i < static_cast<int>(sheet.header.size()); ++i) {
    if (sheet.header[i] == name) {
      if (found >= 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("two columns are named '", Shown(name), "'; rename one"));
      }
      found = i;
    } else if (absl::EqualsIgnoreCase(sheet.header[i], name)) {
      like = sheet.header[i];
    }
  }
  if (found >= 0) return found;
  std::vector<std::string> names;
  for (const std::string& own : sheet.header) names.push_back(Shown(own));
  if (names.size() > 20) {
    names.resize(20);
    names.push_back("...");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no column '", Shown(name), "'",
                   like.empty() ? "" : absl::StrCat(": did you mean '", Shown(like), "'?"),
                   "; the columns are ", absl::StrJoin(names, ", ")));
}

std::string At(const Sheet& sheet, const Row& row, int column) {
  return absl::StrCat("row ", row.line, ", column '", Shown(sheet.header[column]), "': '",
                      Shown(row.cells[column]), "'");
}

// Why a cell is no number, and what to write.
std::string WhyNoNumber(absl::string_view cell) {
  const bool digits = !cell.empty() && absl::ascii_isdigit(cell.back());
  const size_t commas = std::count(cell.begin(), cell.end(), ',');
  if (digits && commas == 1 && cell.size() - cell.find(',') != 4) {
    return " has a decimal comma; write a point";
  }
  if (digits && commas >= 1) {
    return " has a comma, which may be a decimal comma or a thousands separator; write 1234567 or "
           "3.5";
  }
  if (absl::StrContains(cell, ' ') || absl::StrContains(cell, '_') ||
      absl::StrContains(cell, '\'')) {
    return " has separators; write 1234567";
  }
  if (!cell.empty() && absl::ascii_isdigit(cell.front())) {
    return " is no plain number; write 2e8 for 200M";
  }
  return " is no number";
}

bool IsOneOf(absl::string_view cell, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return absl::EqualsIgnoreCase(cell, word); });
}

bool IsEmpty(absl::string_view cell) { return IsOneOf(cell, {"", "na", "n/a", "null", "none"}); }

bool IsDiverged(absl::string_view cell) {
  return IsOneOf(cell, {"nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity",
                        "-infinity", "diverged"});
}

absl::StatusOr<double> NumberAt(const Sheet& sheet, const Row& row, int column) {
  const absl::string_view cell = absl::StripAsciiWhitespace(row.cells[column]);
  double value = 0;
  if (IsEmpty(cell) || IsDiverged(cell) || !absl::SimpleAtod(cell, &value)) {
    return absl::InvalidArgumentError(absl::StrCat(At(sheet, row, column), WhyNoNumber(cell)));
  }
  if (!std::isfinite(value) || value <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(At(sheet, row, column), " must be above 0 and finite"));
  }
  return value;
}

struct Indices {
  int loss, tokens, params, flops, unique, arm, seed, censored;
};

absl::StatusOr<Indices> IndicesOf(const Sheet& sheet, const CsvColumns& columns) {
  Indices at;
  LOGLOG_ASSIGN_OR_RETURN(at.loss, ColumnOf(sheet, columns.loss));
  LOGLOG_ASSIGN_OR_RETURN(at.tokens, ColumnOf(sheet, columns.tokens));
  LOGLOG_ASSIGN_OR_RETURN(at.params, ColumnOf(sheet, columns.params));
  LOGLOG_ASSIGN_OR_RETURN(at.flops, ColumnOf(sheet, columns.flops));
  LOGLOG_ASSIGN_OR_RETURN(at.unique, ColumnOf(sheet, columns.unique_tokens));
  LOGLOG_ASSIGN_OR_RETURN(at.arm, ColumnOf(sheet, columns.arm));
  LOGLOG_ASSIGN_OR_RETURN(at.seed, ColumnOf(sheet, columns.seed));
  LOGLOG_ASSIGN_OR_RETURN(at.censored, ColumnOf(sheet, columns.censored));
  if (at.loss < 0 || (at.tokens < 0 && at.params < 0 && at.flops < 0)) {
    return absl::InvalidArgumentError(
        "name the column of the loss and at least one of tokens, parameters and FLOPs");
  }
  return at;
}

// What has no column follows from C = 6*N*D, or is 1 where it varies with nothing.
absl::Status FillSizes(const Sheet& sheet, const Row& row, const Indices& at, Observation* o) {
  for (const auto& [column, size] : {std::pair(at.tokens, &o->d_tokens),
                                     {at.params, &o->n_params},
                                     {at.flops, &o->c_flops},
                                     {at.unique, &o->d_unique}}) {
    if (column < 0) continue;
    LOGLOG_ASSIGN_OR_RETURN(*size, NumberAt(sheet, row, column));
  }
  if (at.tokens < 0) {
    o->d_tokens = at.flops >= 0 ? o->c_flops / 6 / (at.params >= 0 ? o->n_params : 1) : 1;
  }
  if (at.params < 0) {
    o->n_params = at.tokens >= 0 && at.flops >= 0 ? o->c_flops / 6 / o->d_tokens : 1;
  }
  if (at.flops < 0) o->c_flops = 6 * o->n_params * o->d_tokens;
  for (const double size : {o->d_tokens, o->n_params, o->c_flops}) {
    if (std::isfinite(size) && size > 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("row ", row.line,
                     ": C = 6*N*D leaves the range of numbers; give D, N and C a column each"));
  }
  return absl::OkStatus();
}

// "", "below" or "above", see CsvColumns::censored.
absl::StatusOr<std::string> SideAt(const Sheet& sheet, const Row& row, int column) {
  if (column < 0) return std::string();
  const absl::string_view cell = absl::StripAsciiWhitespace(row.cells[column]);
  for (const char* side : {"", "below", "above"}) {
    if (absl::EqualsIgnoreCase(cell, side)) return std::string(side);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(At(sheet, row, column),
                   " must be empty, or say on which side of its loss the trial would have ended: "
                   "below (stopped early) or above"));
}

absl::Status CheckUnit(const Sheet& sheet) {
  for (size_t column = 0; column < sheet.header.size(); ++column) {
    if (sheet.header[column] != "loss_unit") continue;
    std::set<std::string> units;
    for (const Row& row : sheet.rows) units.insert(row.cells[column]);
    if (units.size() < 2) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the column loss_unit mixes '", Shown(*units.begin()), "' and '",
                     Shown(*std::next(units.begin())), "'; convert them to one unit"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CsvHeader(absl::string_view text) {
  LOGLOG_ASSIGN_OR_RETURN(Sheet sheet, ReadSheet(text, 0));
  return std::move(sheet.header);
}

absl::StatusOr<CsvPoints> ReadCsvPoints(absl::string_view text, const CsvColumns& columns) {
  LOGLOG_ASSIGN_OR_RETURN(const Sheet sheet, ReadSheet(text, kRowsMax));
  LOGLOG_ASSIGN_OR_RETURN(const Indices at, IndicesOf(sheet, columns));
  LOGLOG_RETURN_IF_ERROR(CheckUnit(sheet));
  CsvPoints points;
  points.has_seeds = at.seed >= 0;
  points.n_rows = static_cast<int>(sheet.rows.size());
  std::map<std::string, size_t> index;
  using Sizes = std::tuple<std::string, double, double, double, double>;
  std::map<Sizes, std::pair<std::string, int64_t>> replicates;
  for (const Row& row : sheet.rows) {
    const std::string name =
        at.arm < 0 ? "" : std::string(absl::StripAsciiWhitespace(row.cells[at.arm]));
    const auto [entry, is_new] = index.emplace(name, points.arms.size());
    if (is_new) points.arms.push_back({.name = name, .trials = {}});
    CsvArm& arm = points.arms[entry->second];
    Observation o;
    LOGLOG_RETURN_IF_ERROR(FillSizes(sheet, row, at, &o));
    auto& [config, next_seed] = replicates[{name, o.n_params, o.d_tokens, o.c_flops, o.d_unique}];
    if (config.empty()) config = absl::StrCat("row ", row.line);
    o.config = config;
    o.seed = next_seed++;
    const absl::string_view loss = absl::StripAsciiWhitespace(row.cells[at.loss]);
    const bool lost = IsEmpty(loss) || IsDiverged(loss);
    // A row without a loss may have no seed either.
    if (at.seed >= 0 &&
        !absl::SimpleAtoi(absl::StripAsciiWhitespace(row.cells[at.seed]), &o.seed) && !lost) {
      return absl::InvalidArgumentError(
          absl::StrCat(At(sheet, row, at.seed), " is no whole number"));
    }
    if (lost) {
      ++(IsEmpty(loss) ? arm.empty : arm.diverged);
      arm.lost.push_back(std::move(o));
      continue;
    }
    LOGLOG_ASSIGN_OR_RETURN(o.loss, NumberAt(sheet, row, at.loss));
    LOGLOG_ASSIGN_OR_RETURN(const std::string side, SideAt(sheet, row, at.censored));
    if (side.empty()) {
      arm.trials.push_back(std::move(o));
    } else {
      arm.censored.push_back({.trial = std::move(o), .loss_is_lower = side == "above"});
    }
  }
  if (sheet.separator != ',') {
    points.notes.push_back(
        absl::StrCat("columns are separated by ", sheet.separator == ';' ? "semicolons" : "tabs"));
  }
  return points;
}

std::vector<Observation> CsvComparable(const CsvPoints& points, const CsvArm& arm) {
  if (points.has_seeds) return arm.trials;
  std::map<std::pair<double, double>, std::vector<const Observation*>> rows;
  for (const Observation& o : arm.trials) rows[{o.n_params, o.d_tokens}].push_back(&o);
  std::vector<Observation> means;
  for (const auto& [at, own] : rows) {
    double sum = 0;
    for (const Observation* o : own) sum += std::log(o->loss);
    Observation mean = *own.front();
    mean.loss = std::exp(sum / static_cast<double>(own.size()));
    mean.seed = 0;
    means.push_back(std::move(mean));
  }
  return means;
}

}  // namespace loglog
