#include "store/schema.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace loglog {
namespace {

absl::StatusOr<int64_t> ReadInt(Connection* db, absl::string_view sql) {
  Cursor cursor = db->Query(sql);
  int64_t value = 0;
  if (cursor.Next()) value = cursor.Int(0);
  LOGLOG_RETURN_IF_ERROR(cursor.status());
  return value;
}

absl::Status RunStep(Connection* db, const Migration& migration, int version) {
  LOGLOG_RETURN_IF_ERROR(db->Script("BEGIN IMMEDIATE"));
  absl::Status status = db->Script(migration.sql.c_str());
  if (status.ok()) {
    status = db->Script(absl::StrCat("PRAGMA application_id = ", kApplicationId,
                                     "; PRAGMA user_version = ", version, "; COMMIT")
                            .c_str());
  }
  if (!status.ok() && db->in_transaction()) db->Script("ROLLBACK").IgnoreError();
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("migration ", migration.name));
}

absl::Status CopyPages(sqlite3* from, sqlite3* to) {
  sqlite3_backup* backup = sqlite3_backup_init(to, "main", from, "main");
  if (backup == nullptr) return SqliteStatus(to, sqlite3_errcode(to), "start a backup");
  int code = SQLITE_OK;
  do {
    code = sqlite3_backup_step(backup, 4096);
  } while (code == SQLITE_OK);
  sqlite3_backup_finish(backup);
  return code == SQLITE_DONE ? absl::OkStatus() : SqliteStatus(to, code, "back up");
}

// Until the directory is synced, a crash may undo a rename.
void SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

absl::Status CheckSchema(Connection* db, int newest, int* version) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t application, ReadInt(db, "PRAGMA application_id"));
  LOGLOG_ASSIGN_OR_RETURN(const int64_t found, ReadInt(db, "PRAGMA user_version"));
  LOGLOG_ASSIGN_OR_RETURN(const int64_t tables, ReadInt(db, "SELECT count(*) FROM sqlite_schema"));
  *version = static_cast<int>(found);
  if (application == 0 && found == 0 && tables == 0) return absl::OkStatus();
  if (application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(db->path(),
                     " is an SQLite database but not a Loglog store; give the path "
                     "of a store, or of a file that does not exist yet"));
  }
  if (found > newest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "store ", db->path(), " has schema version ", found, ", this program knows versions up to ",
        newest, "; use the newer Loglog that wrote it, or its backup ", db->path(), ".v", newest,
        ".backup if there is one"));
  }
  return absl::OkStatus();
}

absl::Status CopyDatabase(const std::string& from, const std::string& to) {
  if (access(to.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat("backup ", to, " exists; move it away"));
  }
  const std::string partial = to + ".partial";
  unlink(partial.c_str());
  {
    LOGLOG_ASSIGN_OR_RETURN(auto source, Connection::Open(from, Connection::Mode::kRead));
    sqlite3* target = nullptr;
    int code =
        sqlite3_open_v2(partial.c_str(), &target,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    absl::Status status = code == SQLITE_OK ? CopyPages(source->handle(), target)
                                            : SqliteStatus(target, code, "create " + partial);
    sqlite3_close(target);
    if (!status.ok()) {
      unlink(partial.c_str());
      return status;
    }
  }
  if (std::rename(partial.c_str(), to.c_str()) != 0) {
    return absl::InternalError(
        absl::StrCat("rename ", partial, " to ", to, ": ", std::strerror(errno)));
  }
  SyncDirectoryOf(to);
  return absl::OkStatus();
}

absl::Status Migrate(Connection* db, absl::Span<const Migration> migrations) {
  int version = 0;
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db, static_cast<int>(migrations.size()), &version));
  if (version == static_cast<int>(migrations.size())) return absl::OkStatus();
  if (version > 0) {
    const std::string backup = absl::StrCat(db->path(), ".v", version, ".backup");
    absl::Status status = CopyDatabase(db->path(), backup);
    // A migration that was cut short left its backup, which is as old as it should be.
    if (!status.ok() && !absl::IsAlreadyExists(status)) {
      return Annotate(status, absl::StrCat("backup of ", db->path(), " before its migration"));
    }
  }
  for (; version < static_cast<int>(migrations.size()); ++version) {
    LOGLOG_RETURN_IF_ERROR(RunStep(db, migrations[version], version + 1));
  }
  return absl::OkStatus();
}

}  // namespace loglog
