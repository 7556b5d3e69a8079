#include "cli/csv_source.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/render/text.h"
#include "cli/spec_file.h"

namespace loglog::cli {
namespace {

// Words that a column may be called by, for the axis that --x is on.
Axis AxisOfColumn(const std::string& column) {
  std::string lower = column;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  for (const char* word : {"param", "model", "size"}) {
    if (lower.find(word) != std::string::npos) return Axis::kParams;
  }
  for (const char* word : {"flop", "compute"}) {
    if (lower.find(word) != std::string::npos) return Axis::kFlops;
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
          {.name = "seed", .value = "COLUMN", .help = "csv: the seed; pairs arms"},
          {.name = "tokens", .value = "COLUMN", .help = "csv: tokens D, when x is another"},
          {.name = "params", .value = "COLUMN", .help = "csv: parameters N"},
          {.name = "flops", .value = "COLUMN", .help = "csv: FLOPs C; D = C/6N without tokens"},
          {.name = "unique", .value = "COLUMN", .help = "csv: unique tokens, for data_constrained"},
          {.name = "censored",
           .value = "COLUMN",
           .help = "csv: `below` or `above` where the trial was ended before its final loss"}};
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

}  // namespace loglog::cli
