#include "store/schema.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

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

// A copy of the database at `from`, in the place of what an earlier attempt left.
absl::Status CopyToPartial(const std::string& from, const std::string& partial) {
  unlink(partial.c_str());
  LOGLOG_ASSIGN_OR_RETURN(auto source, Connection::Open(from, Connection::Mode::kRead));
  sqlite3* target = nullptr;
  int code =
      sqlite3_open_v2(partial.c_str(), &target,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  absl::Status status = code == SQLITE_OK ? CopyPages(source->handle(), target)
                                          : SqliteStatus(target, code, "create " + partial);
  sqlite3_close(target);
  if (!status.ok()) unlink(partial.c_str());
  return status;
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

absl::Status Publish(const std::string& partial, const std::string& to) {
  if (std::rename(partial.c_str(), to.c_str()) != 0) {
    return absl::InternalError(
        absl::StrCat("rename ", partial, " to ", to, ": ", std::strerror(errno)));
  }
  SyncDirectoryOf(to);
  return absl::OkStatus();
}

bool SameBytes(const std::string& a, const std::string& b) {
  std::ifstream left(a, std::ios::binary), right(b, std::ios::binary);
  std::vector<char> left_part(1 << 16), right_part(1 << 16);
  while (left && right) {
    left.read(left_part.data(), static_cast<std::streamsize>(left_part.size()));
    right.read(right_part.data(), static_cast<std::streamsize>(right_part.size()));
    const auto size = static_cast<size_t>(left.gcount());
    if (left.gcount() != right.gcount()) return false;
    if (std::memcmp(left_part.data(), right_part.data(), size) != 0) return false;
  }
  return left.eof() && right.eof();
}

// Keeps a copy of the store as it is before its migration. A file of that name may be of
// another store that was here once, or of one restored since: it counts only if it holds
// the same bytes, as after a migration that was cut short.
absl::Status BackUpBeforeMigration(const std::string& path, int version) {
  const std::string name = absl::StrCat(path, ".v", version, ".backup");
  const std::string partial = name + ".partial";
  LOGLOG_RETURN_IF_ERROR(CopyToPartial(path, partial));
  for (int number = 1;; ++number) {
    const std::string to = number == 1 ? name : absl::StrCat(name, ".", number);
    if (access(to.c_str(), F_OK) != 0) return Publish(partial, to);
    if (!SameBytes(partial, to)) continue;
    unlink(partial.c_str());
    return absl::OkStatus();
  }
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

absl::Status RefuseForeignDatabase(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return absl::OkStatus();
  LOGLOG_ASSIGN_OR_RETURN(auto db, Connection::Open(path, Connection::Mode::kInspect));
  int version = 0;
  return CheckSchema(db.get(), static_cast<int>(Migrations().size()), &version);
}

absl::Status CopyDatabase(const std::string& from, const std::string& to) {
  if (access(to.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat("backup ", to, " exists; move it away"));
  }
  const std::string partial = to + ".partial";
  LOGLOG_RETURN_IF_ERROR(CopyToPartial(from, partial));
  return Publish(partial, to);
}

absl::Status Migrate(Connection* db, absl::Span<const Migration> migrations) {
  int version = 0;
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db, static_cast<int>(migrations.size()), &version));
  if (version == static_cast<int>(migrations.size())) return absl::OkStatus();
  if (version > 0) {
    absl::Status status = BackUpBeforeMigration(db->path(), version);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("backup of ", db->path(), " before its migration"));
    }
  }
  for (; version < static_cast<int>(migrations.size()); ++version) {
    LOGLOG_RETURN_IF_ERROR(RunStep(db, migrations[version], version + 1));
  }
  return absl::OkStatus();
}

}  // namespace loglog
