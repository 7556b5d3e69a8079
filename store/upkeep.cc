#include "store/upkeep.h"

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/copy_database.h"
#include "store/partial_file.h"
#include "store/schema.h"
#include "store/store_file.h"

namespace loglog {
namespace {

int64_t FileBytes(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

absl::StatusOr<int64_t> ReadInt(Connection* db, absl::string_view sql) {
  Cursor row = db->Query(sql);
  const int64_t value = row.Next() ? row.Int(0) : 0;
  LOGLOG_RETURN_IF_ERROR(row.status());
  return value;
}

// A store of this program or of an older one, opened to be read.
absl::StatusOr<std::unique_ptr<Connection>> OpenToRead(const std::string& path) {
  LOGLOG_RETURN_IF_ERROR(FileMode(path).status());
  LOGLOG_RETURN_IF_ERROR(RefuseForeignFile(path));
  LOGLOG_ASSIGN_OR_RETURN(auto db, Connection::Open(path, Connection::Mode::kRead));
  int version = 0;
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db.get(), static_cast<int>(Migrations().size()), &version));
  if (version == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("store ", path, " is an empty file: nothing was ever stored in it"));
  }
  return db;
}

absl::Status RequireFreeDisk(const std::string& beside, int64_t bytes, absl::string_view what) {
  std::string folder = std::filesystem::path(beside).parent_path().string();
  if (folder.empty()) folder = ".";
  LOGLOG_ASSIGN_OR_RETURN(const int64_t free, FreeDiskBytes(folder));
  if (free >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(what, " needs ", bytes >> 20, " MiB, but ",
                                                   folder, " has ", free >> 20, " MiB free; free ",
                                                   ((bytes - free) >> 20) + 1, " MiB there first"));
}

absl::StatusOr<CopiedStore> CopyStore(const std::string& from, absl::string_view to_name) {
  LOGLOG_ASSIGN_OR_RETURN(auto db, OpenToRead(from));
  LOGLOG_ASSIGN_OR_RETURN(const std::string to, CanonicalStorePath(std::string(to_name)));
  // A file there, or what is left of one, would have its journal played into the copy.
  for (const char* suffix : {"", "-journal", "-wal"}) {
    if (!PathExists(to + suffix)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(to, suffix, " exists; move it away or choose another name"));
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t pages, ReadInt(db.get(), "PRAGMA page_count"));
  LOGLOG_ASSIGN_OR_RETURN(const int64_t page_bytes, ReadInt(db.get(), "PRAGMA page_size"));
  LOGLOG_RETURN_IF_ERROR(RequireFreeDisk(to, pages * page_bytes, absl::StrCat("the copy ", to)));
  LOGLOG_ASSIGN_OR_RETURN(const mode_t mode, FileMode(from));
  db.reset();
  LOGLOG_ASSIGN_OR_RETURN(auto partial, PartialFile::Create(to + ".partial", mode));
  LOGLOG_RETURN_IF_ERROR(CopyDatabase(from, partial->path()));
  CopiedStore copied;
  copied.bytes = FileBytes(partial->path());
  {
    LOGLOG_ASSIGN_OR_RETURN(auto copy, OpenToRead(partial->path()));
    LOGLOG_ASSIGN_OR_RETURN(
        copied.trials_open,
        ReadInt(copy.get(), "SELECT count(*) FROM trials WHERE state IN ('PENDING', 'RUNNING')"));
  }
  LOGLOG_RETURN_IF_ERROR(partial->Publish(to, PartialFile::Target::kMustBeNew));
  return copied;
}

// Folds the log in and takes the file out of WAL mode. The caller has the store's lock.
absl::Status LeaveWal(const std::string& path) {
  LOGLOG_ASSIGN_OR_RETURN(auto db, Connection::Open(path, Connection::Mode::kWrite));
  Cursor row = db->Query("PRAGMA journal_mode = DELETE");
  const bool left = row.Next() && row.Text(0) == "delete";
  if (left) return row.Finish();
  const absl::Status& status = row.status();
  if (!status.ok() && !absl::IsUnavailable(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("store ", path,
                   " is in use: another program reads it; close notebooks and dashboards that "
                   "have it open, then try again"));
}

// The lock of a store that can be changed from here.
absl::StatusOr<std::unique_ptr<LockFile>> LockToChange(const std::string& path) {
  LOGLOG_RETURN_IF_ERROR(CheckStorePlace(path, /*create=*/false));
  LOGLOG_RETURN_IF_ERROR(RefuseNetworkFileSystem(path));
  LOGLOG_RETURN_IF_ERROR(RefuseForeignFile(path));
  LOGLOG_ASSIGN_OR_RETURN(auto lock, LockStore(path));
  LOGLOG_RETURN_IF_ERROR(OpenToRead(path).status());
  return lock;
}

}  // namespace

absl::StatusOr<CopiedStore> BackupStore(absl::string_view path, absl::string_view to) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string from, CanonicalStorePath(std::string(path)));
  return CopyStore(from, to);
}

absl::StatusOr<CopiedStore> SealStore(absl::string_view path, absl::string_view to) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string from, CanonicalStorePath(std::string(path)));
  LOGLOG_ASSIGN_OR_RETURN(const auto lock, LockToChange(from));
  if (!to.empty()) return CopyStore(from, to);
  LOGLOG_RETURN_IF_ERROR(LeaveWal(from));
  CopiedStore sealed;
  LOGLOG_ASSIGN_OR_RETURN(auto db, OpenToRead(from));
  LOGLOG_ASSIGN_OR_RETURN(
      sealed.trials_open,
      ReadInt(db.get(), "SELECT count(*) FROM trials WHERE state IN ('PENDING', 'RUNNING')"));
  sealed.bytes = FileBytes(from);
  return sealed;
}

absl::StatusOr<CompactedStore> CompactStore(absl::string_view path) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string file, CanonicalStorePath(std::string(path)));
  LOGLOG_ASSIGN_OR_RETURN(const auto lock, LockToChange(file));
  CompactedStore compacted;
  compacted.bytes_before = FileBytes(file) + FileBytes(file + "-wal");
  int64_t used_bytes = 0;
  {
    LOGLOG_ASSIGN_OR_RETURN(auto db, OpenToRead(file));
    LOGLOG_ASSIGN_OR_RETURN(const int64_t pages, ReadInt(db.get(), "PRAGMA page_count"));
    LOGLOG_ASSIGN_OR_RETURN(const int64_t unused, ReadInt(db.get(), "PRAGMA freelist_count"));
    LOGLOG_ASSIGN_OR_RETURN(const int64_t page_bytes, ReadInt(db.get(), "PRAGMA page_size"));
    used_bytes = (pages - unused) * page_bytes;
  }
  LOGLOG_RETURN_IF_ERROR(
      RequireFreeDisk(file, used_bytes, absl::StrCat("compacting store ", file)));
  // In WAL mode a reader could find the old file's log beside the new file.
  LOGLOG_RETURN_IF_ERROR(LeaveWal(file));
  LOGLOG_ASSIGN_OR_RETURN(const mode_t mode, FileMode(file));
  LOGLOG_ASSIGN_OR_RETURN(auto partial, PartialFile::Create(file + ".compact.partial", mode));
  LOGLOG_RETURN_IF_ERROR(CopyCompacted(file, partial->path()));
  LOGLOG_RETURN_IF_ERROR(partial->Publish(file, PartialFile::Target::kReplace));
  compacted.bytes_after = FileBytes(file);
  return compacted;
}

}  // namespace loglog
