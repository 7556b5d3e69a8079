#include "store/copy_database.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"

namespace loglog {
namespace {

struct Closer {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};

// What an operation on a plain connection answers, in one row.
absl::StatusOr<std::string> Answer(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteStatus(db, code, sql);
  Cursor row(db, statement, nullptr, absl::OkStatus());
  std::string answer;
  if (row.Next()) answer = row.Text(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return answer;
}

absl::Status CopyPages(sqlite3* from, sqlite3* to) {
  sqlite3_backup* backup = sqlite3_backup_init(to, "main", from, "main");
  if (backup == nullptr) return SqliteStatus(to, sqlite3_errcode(to), "start a copy");
  // In one step, which sees one moment: between steps it would begin anew whenever somebody
  // has committed, and beside a busy writer never end.
  const int code = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  return SqliteStatus(to, code, "copy");
}

absl::Status Verify(sqlite3* db, const std::string& from) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string found, Answer(db, "PRAGMA quick_check(1)"));
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the copy of ", from, " is not sound (", found,
                                          "); look at the store itself with loglog store check"));
}

}  // namespace

absl::Status CopyDatabase(const std::string& from, const std::string& to) {
  LOGLOG_ASSIGN_OR_RETURN(auto source, Connection::Open(from, Connection::Mode::kRead));
  sqlite3* opened = nullptr;
  const int code =
      sqlite3_open_v2(to.c_str(), &opened,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  const std::unique_ptr<sqlite3, Closer> target(opened);
  if (code != SQLITE_OK) return SqliteStatus(opened, code, absl::StrCat("create ", to));
  LOGLOG_RETURN_IF_ERROR(CopyPages(source->handle(), opened));
  // The pages say "write-ahead log", as those of the source do.
  LOGLOG_ASSIGN_OR_RETURN(const std::string mode, Answer(opened, "PRAGMA journal_mode = DELETE"));
  if (mode != "delete") return absl::InternalError(absl::StrCat(to, ": journal mode ", mode));
  return Verify(opened, from);
}

absl::Status CopyCompacted(const std::string& from, const std::string& to) {
  LOGLOG_ASSIGN_OR_RETURN(auto source, Connection::Open(from, Connection::Mode::kInspect));
  LOGLOG_RETURN_IF_ERROR(source->Script("PRAGMA query_only = OFF"));
  LOGLOG_RETURN_IF_ERROR(source->Run("VACUUM INTO ?1", absl::string_view(to)));
  sqlite3* opened = nullptr;
  const int code =
      sqlite3_open_v2(to.c_str(), &opened,
                      SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  const std::unique_ptr<sqlite3, Closer> target(opened);
  if (code != SQLITE_OK) return SqliteStatus(opened, code, absl::StrCat("open ", to));
  return Verify(opened, from);
}

}  // namespace loglog
