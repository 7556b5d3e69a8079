#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/spec_file.h"
#include "cli/store_file.h"
#include "store/read_store.h"

namespace loglog::cli {
namespace {

Cell SqlCell(const SqlValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return Cell::Int(*number);
  if (const auto* number = std::get_if<double>(&value)) {
    Cell cell = Cell::Real(*number, 6);
    if (std::isfinite(*number)) cell.text = Significant(*number, 8);
    return cell;
  }
  if (const auto* text = std::get_if<std::string>(&value)) return Cell::Text(*text);
  if (const auto* bytes = std::get_if<std::vector<uint8_t>>(&value)) {
    const std::string hex = absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
    Cell cell = Cell::Text(hex);
    cell.text = absl::StrCat(Plural(static_cast<int64_t>(bytes->size()), "byte"));
    return cell;
  }
  return Cell::None();
}

absl::StatusOr<int> Sql(Context& context) {
  std::string query = context.args().One("QUERY");
  if (query == "-") {
    LOGLOG_ASSIGN_OR_RETURN(query, ReadTextFile("-"));
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t max_rows, context.args().Int("max-rows", 1, 100'000'000));
  LOGLOG_ASSIGN_OR_RETURN(const std::string path, StorePath(context));
  LOGLOG_ASSIGN_OR_RETURN(const std::unique_ptr<ReadStore> store, OpenStore(path));
  absl::StatusOr<SqlResult> result = store->Query(query, {.max_rows = max_rows});
  if (!result.ok()) {
    return WithHint(result.status(),
                    "the tables to read: v_trials, v_points, v_fits; "
                    "loglog sql 'SELECT name FROM pragma_table_list' shows them all");
  }
  Table table;
  table.kind = "rows";
  for (const std::string& column : result->columns) table.columns.push_back({column});
  for (size_t c = 0; c < table.columns.size(); ++c) {
    for (const auto& row : result->rows) {
      if (std::holds_alternative<int64_t>(row[c]) || std::holds_alternative<double>(row[c])) {
        table.columns[c].right = true;
      }
    }
  }
  for (const auto& row : result->rows) {
    std::vector<Cell> cells;
    for (const SqlValue& value : row) cells.push_back(SqlCell(value));
    table.rows.push_back(std::move(cells));
  }
  context.Print(table);
  const std::string count = Plural(static_cast<int64_t>(table.rows.size()), "row");
  if (result->truncated) {
    context.Note(
        absl::StrCat("only the first ", count, ": there are more; raise --max-rows or add LIMIT"));
  } else if (!context.machine_output()) {
    context.Note(absl::StrCat(count, " from ", path));
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> SqlCommands() {
  return {{.path = "sql",
           .summary = "ask the store in SQL, read only",
           .details =
               "  loglog sql 'SELECT arm, tokens_planned, avg(final_loss) FROM v_trials GROUP "
               "BY 1, 2'\n"
               "  loglog sql -o csv --store old.db 'SELECT * FROM v_points'",
           .positionals = {{.name = "QUERY",
                            .help = "one statement that reads, or - for standard input"}},
           .flags = {kStoreFlag,
                     {.name = "max-rows",
                      .value = "N",
                      .help = "at most this many rows",
                      .default_value = "100000"}},
           .run = Sql}};
}

}  // namespace loglog::cli
