// Users' own SQL: one statement that only reads.
#include <cctype>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/read_store.h"

namespace loglog {
namespace {

// Reading, and the pragmas that describe tables. ATTACH is refused too: it opens files.
int Allow(void*, int action, const char* first, const char*, const char*, const char*) {
  static constexpr const char* kPragmas[] = {"table_info",  "table_xinfo", "table_list",
                                             "index_list",  "index_info",  "index_xinfo",
                                             "user_version"};
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return SQLITE_OK;
    case SQLITE_PRAGMA:
      for (const char* pragma : kPragmas) {
        if (sqlite3_stricmp(first, pragma) == 0) return SQLITE_OK;
      }
      return SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

struct Deadline {
  std::chrono::steady_clock::time_point at;
};

int PastDeadline(void* deadline) {
  return std::chrono::steady_clock::now() >= static_cast<Deadline*>(deadline)->at ? 1 : 0;
}

// Installs the guards for one query and takes them away again.
class Guards {
 public:
  Guards(sqlite3* db, Deadline* deadline) : db_(db) {
    sqlite3_set_authorizer(db, Allow, nullptr);
    sqlite3_progress_handler(db, 1000, PastDeadline, deadline);
  }
  ~Guards() {
    sqlite3_set_authorizer(db_, nullptr, nullptr);
    sqlite3_progress_handler(db_, 0, nullptr, nullptr);
  }
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

 private:
  sqlite3* const db_;
};

bool OnlySpace(const char* text) {
  while (*text != '\0' && (std::isspace(static_cast<unsigned char>(*text)) || *text == ';')) ++text;
  return *text == '\0';
}

SqlValue ValueOf(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return int64_t{sqlite3_column_int64(statement, column)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      return std::string(text, sqlite3_column_bytes(statement, column));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement, column));
      return std::vector<uint8_t>(bytes, bytes + sqlite3_column_bytes(statement, column));
    }
    default:
      return std::monostate();
  }
}

}  // namespace

absl::StatusOr<SqlResult> ReadStore::Query(absl::string_view sql, const SqlLimits& limits) const {
  sqlite3* db = db_->handle();
  Deadline deadline{std::chrono::steady_clock::now() +
                    std::chrono::milliseconds(limits.timeout_ms)};
  Guards guards(db, &deadline);
  const std::string text(sql);
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v2(db, text.c_str(), -1, &statement, &rest);
  if (code == SQLITE_AUTH) {
    return absl::InvalidArgumentError(
        absl::StrCat("SQL refused (", sqlite3_errmsg(db), "): only SELECT is allowed here"));
  }
  if (code != SQLITE_OK) {
    if ((code & 0xff) != SQLITE_ERROR) return SqliteStatus(db, code, "SQL");
    return absl::InvalidArgumentError(absl::StrCat("SQL: ", sqlite3_errmsg(db)));
  }
  if (statement == nullptr) return absl::InvalidArgumentError("SQL: the statement is empty");
  Cursor row(db, statement, nullptr, absl::OkStatus());
  if (!sqlite3_stmt_readonly(statement)) {
    return absl::InvalidArgumentError("SQL refused: only SELECT is allowed here");
  }
  if (!OnlySpace(rest)) {
    return absl::InvalidArgumentError(
        absl::StrCat("SQL: one statement at a time, but after the "
                     "first there is: ",
                     rest));
  }
  SqlResult result;
  const int columns = sqlite3_column_count(statement);
  for (int i = 0; i < columns; ++i) result.columns.emplace_back(sqlite3_column_name(statement, i));
  while (row.Next()) {
    if (static_cast<int64_t>(result.rows.size()) >= limits.max_rows) {
      result.truncated = true;
      return result;
    }
    std::vector<SqlValue>& values = result.rows.emplace_back();
    for (int i = 0; i < columns; ++i) values.push_back(ValueOf(statement, i));
  }
  if (absl::IsDeadlineExceeded(row.status())) {
    return absl::DeadlineExceededError(absl::StrCat("SQL took longer than ", limits.timeout_ms,
                                                    " ms; narrow it with WHERE or LIMIT"));
  }
  LOGLOG_RETURN_IF_ERROR(row.status());
  return result;
}

}  // namespace loglog
