#include "store/schema.h"

#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/copy_database.h"
#include "store/partial_file.h"
#include "store/store_file.h"

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
  LOGLOG_ASSIGN_OR_RETURN(const mode_t mode, FileMode(path));
  LOGLOG_ASSIGN_OR_RETURN(auto partial, PartialFile::Create(name + ".partial", mode));
  LOGLOG_RETURN_IF_ERROR(CopyDatabase(path, partial->path()));
  for (int number = 1;; ++number) {
    const std::string to = number == 1 ? name : absl::StrCat(name, ".", number);
    if (!PathExists(to)) return partial->Publish(to, PartialFile::Target::kMustBeNew);
    if (SameBytes(partial->path(), to)) return absl::OkStatus();
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

absl::Status RequireThisSchema(Connection* db, absl::string_view path) {
  int version = 0;
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db, static_cast<int>(Migrations().size()), &version));
  if (version == static_cast<int>(Migrations().size())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("store ", path, " has schema version ", version, ", this program reads ",
                   Migrations().size(), "; start a coordinator on it once to migrate it"));
}

absl::StatusOr<std::unique_ptr<Connection>> RefuseForeignDatabase(const std::string& path) {
  if (!PathExists(path)) return nullptr;
  LOGLOG_ASSIGN_OR_RETURN(auto db, Connection::Open(path, Connection::Mode::kInspect));
  int version = 0;
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db.get(), static_cast<int>(Migrations().size()), &version));
  return db;
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
