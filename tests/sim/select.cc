#include "tests/sim/select.h"

#include <sqlite3.h>

#include "base/check.h"

namespace loglog::sim {
namespace {

sqlite3* kept = nullptr;

sqlite3* Open(const std::string& path) {
  sqlite3* db = nullptr;
  LOGLOG_CHECK(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
  sqlite3_exec(db, "PRAGMA query_only = 1; PRAGMA wal_autocheckpoint = 0", nullptr, nullptr,
               nullptr);
  // The last to close a database folds its log in; a mere reader must not.
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return db;
}

}  // namespace

SelectOften::SelectOften(const std::string& path) {
  LOGLOG_CHECK(kept == nullptr);
  kept = Open(path);
}

SelectOften::~SelectOften() {
  sqlite3_close(kept);
  kept = nullptr;
}

Rows Select(const std::string& path, const std::string& sql) {
  sqlite3* const db = kept != nullptr ? kept : Open(path);
  sqlite3_stmt* statement = nullptr;
  Rows rows;
  int code = sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW) break;
    std::vector<std::string>& row = rows.emplace_back();
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      if (sqlite3_column_type(statement, i) == SQLITE_FLOAT) {
        char text[40];
        sqlite3_snprintf(sizeof(text), text, "%!.17g", sqlite3_column_double(statement, i));
        row.emplace_back(text);
      } else {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
        row.emplace_back(text == nullptr ? "NULL" : text);
      }
    }
  }
  if (code != SQLITE_DONE) rows = {{"error", sqlite3_errmsg(db), sql}};
  sqlite3_finalize(statement);
  if (db != kept) sqlite3_close(db);
  return rows;
}

}  // namespace loglog::sim
