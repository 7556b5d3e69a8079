#include "cli/csv_source.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/render/text.h"
#include "cli/spec_file.h"

namespace loglog::cli {
namespace {

// Words that a column may be called by, for the axis that --x is on: the first that its name
// has, so that dataset_size is data and model_size is none.
constexpr std::pair<const char*, Axis> kAxisWords[] = {
    {"param", Axis::kParams},   {"flop", Axis::kFlops},   {"compute", Axis::kFlops},
    {"data", Axis::kTokens},    {"token", Axis::kTokens}, {"sample", Axis::kTokens},
    {"example", Axis::kTokens}, {"model", Axis::kParams}, {"size", Axis::kParams}};

Axis AxisOfColumn(const std::string& column) {
  const std::string lower = absl::AsciiStrToLower(column);
  for (const auto& [word, axis] : kAxisWords) {
    if (absl::StrContains(lower, word)) return axis;
  }
  if (lower == "n") return Axis::kParams;
  return lower == "c" ? Axis::kFlops : Axis::kTokens;
}

// The columns and the axis that the flags name.
absl::Status ReadColumns(const Args& args, CsvSource* source) {
  CsvColumns& columns = source->columns;
  columns.loss = args.Get("y");
  columns.arm = args.Get("by");
  columns.seed = args.Get("seed");
  columns.tokens = args.Get("tokens");
  columns.params = args.Get("params");
  columns.flops = args.Get("flops");
  columns.unique_tokens = args.Get("unique");
  columns.censored = args.Get("censored");
  const std::string x = args.Get("x");
  if (x.empty() && columns.tokens.empty() && columns.params.empty() && columns.flops.empty()) {
    return WithHint(absl::InvalidArgumentError("--csv needs --x, the column that the loss is a "
                                               "function of"),
                    "write --csv points.csv --x tokens --y loss --by arm");
  }
  if (args.Has("axis")) {
    LOGLOG_ASSIGN_OR_RETURN(source->axis, ParseAxis(args.Get("axis")));
  } else if (!x.empty()) {
    source->axis = AxisOfColumn(x);
  } else if (columns.tokens.empty() && (columns.params.empty() || columns.flops.empty())) {
    source->axis = columns.flops.empty() ? Axis::kParams : Axis::kFlops;
  }
  if (!x.empty()) {
    std::string& column = source->axis == Axis::kTokens   ? columns.tokens
                          : source->axis == Axis::kParams ? columns.params
                                                          : columns.flops;
    if (!column.empty() && column != x) {
      return absl::InvalidArgumentError(absl::StrCat("--x ", x, " and ", column, " are both ",
                                                     AxisWord(source->axis), "; name one"));
    }
    column = x;
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Flag> CsvSourceFlags() {
  return {{.name = "csv",
           .value = "FILE",
           .help = "take the points of a CSV instead (- for stdin); no coordinator needed"},
          {.name = "x", .value = "COLUMN", .help = "csv: what the loss is a function of"},
          {.name = "y", .value = "COLUMN", .help = "csv: the loss", .default_value = "loss"},
          {.name = "by", .value = "COLUMN", .help = "csv: the arm"},
          {.name = "seed",
           .value = "COLUMN",
           .help = "csv: the seed; without it arms are compared on means and not in pairs"},
          {.name = "tokens", .value = "COLUMN", .help = "csv: tokens D, when x is another"},
          {.name = "params", .value = "COLUMN", .help = "csv: parameters N"},
          {.name = "flops", .value = "COLUMN", .help = "csv: FLOPs C; D = C/6N without tokens"},
          {.name = "unique", .value = "COLUMN", .help = "csv: unique tokens, for data_constrained"},
          {.name = "censored",
           .value = "COLUMN",
           .help = "csv: `below` or `above` where the trial was ended before its final loss"}};
}

absl::Status RefuseCsvFlags(const Args& args, const std::vector<Flag>& flags) {
  for (const Flag& flag : flags) {
    if (flag.name == "csv" || !args.OnLine(flag.name)) continue;
    return WithHint(absl::InvalidArgumentError(absl::StrCat(
                        "--", flag.name, " is for the points of --csv, and a sweep is asked for")),
                    absl::StrCat("name the file with --csv FILE, or leave --", flag.name, " out"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CsvSource> ReadCsvSource(const Args& args) {
  if (!args.One("SWEEP").empty()) {
    return absl::InvalidArgumentError("--csv is a file and SWEEP names a sweep: give one of them");
  }
  CsvSource source;
  source.path = args.Get("csv");
  LOGLOG_RETURN_IF_ERROR(ReadColumns(args, &source));
  LOGLOG_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(source.path));
  absl::StatusOr<CsvPoints> points = ReadCsvPoints(text, source.columns);
  if (!points.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.path, ": ", Printable(points.status().message())));
  }
  source.points = *std::move(points);
  return source;
}

std::string CountedRows(const CsvPoints& points) {
  size_t used = 0, censored = 0;
  int diverged = 0, empty = 0;
  for (const CsvArm& arm : points.arms) {
    used += arm.trials.size();
    censored += arm.censored.size();
    diverged += arm.diverged;
    empty += arm.empty;
  }
  std::string text = absl::StrCat(used, " of ", points.n_rows, " rows");
  if (diverged > 0) absl::StrAppend(&text, "; ", diverged, " diverged");
  if (empty > 0) absl::StrAppend(&text, "; ", empty, " without a loss");
  if (censored > 0) {
    absl::StrAppend(&text, "; ", censored, " censored, which the intervals leave out");
  }
  return text;
}

}  // namespace loglog::cli
