#include "store/connection.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/gather_vfs.h"

namespace loglog {
namespace {

constexpr int kBusyTimeoutMs = 10'000;

std::string PathOf(sqlite3* db) {
  const char* path = db == nullptr ? nullptr : sqlite3_db_filename(db, "main");
  return path == nullptr || *path == '\0' ? "the store" : absl::StrCat("store ", path);
}

absl::Status IoStatus(sqlite3* db, const std::string& what) {
  const int error = db == nullptr ? 0 : sqlite3_system_errno(db);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, ": the disk is full; free some space, nothing acknowledged is lost"));
  }
  return absl::InternalError(
      absl::StrCat(what, error != 0 ? absl::StrCat(" (", std::strerror(error), ")") : "",
                   "; look at the disk and at the kernel's log"));
}

}  // namespace

absl::Status SqliteStatus(sqlite3* db, int code, absl::string_view doing) {
  const std::string what = absl::StrCat(PathOf(db), ": ", doing, ": ",
                                        db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, "; free some space, nothing acknowledged is lost"));
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(what, "; the machine is out of memory"));
    case SQLITE_IOERR:
      return IoStatus(db, what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(what,
                       "; restore a backup, or save what is readable with sqlite3's "
                       ".recover"));
    case SQLITE_CONSTRAINT:
      return absl::FailedPreconditionError(what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(
          absl::StrCat(what, "; another program is writing to it, close that one"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; give this user write access to the file and its directory"));
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; check that the path is right and readable for this user"));
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError(what);
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return absl::InvalidArgumentError(what);
    default:
      return absl::InternalError(what);
  }
}

Cursor::Cursor(sqlite3* db, sqlite3_stmt* statement, bool* in_use, absl::Status status)
    : db_(db), statement_(statement), in_use_(in_use), status_(std::move(status)) {
  if (in_use_ != nullptr) *in_use_ = true;
}

Cursor::Cursor(Cursor&& other) noexcept
    : db_(other.db_),
      statement_(std::exchange(other.statement_, nullptr)),
      in_use_(std::exchange(other.in_use_, nullptr)),
      status_(std::move(other.status_)) {}

Cursor::~Cursor() {
  if (statement_ == nullptr) return;
  if (in_use_ == nullptr) {
    sqlite3_finalize(statement_);
    return;
  }
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  *in_use_ = false;
}

void Cursor::Note(int code) {
  if (code != SQLITE_OK && status_.ok()) status_ = SqliteStatus(db_, code, "bind");
}

void Cursor::BindOne(int index, absl::string_view value) {
  // A null pointer would bind NULL.
  Note(sqlite3_bind_text64(statement_, index, value.data() == nullptr ? "" : value.data(),
                           value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

bool Cursor::Next() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = SqliteStatus(db_, code, "step");
  return false;
}

absl::Status Cursor::Finish() {
  while (Next()) {
  }
  return status_;
}

double Cursor::Real(int column) const {
  return IsNull(column) ? std::numeric_limits<double>::quiet_NaN()
                        : sqlite3_column_double(statement_, column);
}

std::string Cursor::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return "";
  return std::string(text, sqlite3_column_bytes(statement_, column));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path, Mode mode) {
  // A URI with '?' or '%' in the path would be read as options; the plain form is not.
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::kRead     ? SQLITE_OPEN_READONLY
                     : mode == Mode::kCreate ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                             : SQLITE_OPEN_READWRITE);
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, GatherVfsName());
  if (code != SQLITE_OK) {
    absl::Status status = SqliteStatus(db, code, absl::StrCat("open ", path));
    sqlite3_close(db);
    return status;
  }
  std::unique_ptr<Connection> connection(new Connection(db, path));
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  LOGLOG_RETURN_IF_ERROR(connection->Script(
      "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"));
  // In KiB, for each connection; what a reader misses is mostly in the system's cache.
  LOGLOG_RETURN_IF_ERROR(connection->Script(mode == Mode::kRead ? "PRAGMA cache_size = -8000"
                                                                : "PRAGMA cache_size = -32000"));
  if (mode == Mode::kInspect) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    LOGLOG_RETURN_IF_ERROR(
        connection->Script("PRAGMA query_only = ON; SELECT 1 FROM sqlite_schema"));
  } else if (mode == Mode::kRead) {
    LOGLOG_RETURN_IF_ERROR(
        connection->Script("PRAGMA query_only = ON; SELECT 1 FROM sqlite_schema"));
  } else {
    // Checkpoints of 16 MB pieces: rare enough to be cheap, and bounded.
    LOGLOG_RETURN_IF_ERROR(connection->Script(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;"
        "PRAGMA journal_size_limit = 67108864; SELECT 1 FROM sqlite_schema"));
  }
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, cached] : cache_) sqlite3_finalize(cached->statement);
  sqlite3_close_v2(db_);
}

Cursor Connection::Prepare(absl::string_view sql) {
  auto found = cache_.find(sql);
  if (found != cache_.end() && !found->second->in_use) {
    return Cursor(db_, found->second->statement, &found->second->in_use, absl::OkStatus());
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) {
    return Cursor(db_, nullptr, nullptr, SqliteStatus(db_, code, absl::StrCat("prepare ", sql)));
  }
  if (found != cache_.end()) return Cursor(db_, statement, nullptr, absl::OkStatus());
  auto cached = std::make_unique<Cached>();
  cached->statement = statement;
  bool* in_use = &cached->in_use;
  cache_.emplace(std::string(sql), std::move(cached));
  return Cursor(db_, statement, in_use, absl::OkStatus());
}

absl::Status Connection::Script(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  return SqliteStatus(db_, code, "execute");
}

std::vector<std::string> Connection::PreparedSql() const {
  std::vector<std::string> all;
  for (const auto& [sql, cached] : cache_) all.push_back(sql);
  return all;
}

ReadScope::ReadScope(Connection* db) : db_(db), owner_(!db->in_transaction()) {
  // A failure shows in the reads that follow.
  if (owner_) db_->Run("BEGIN").IgnoreError();
}

ReadScope::~ReadScope() {
  if (owner_ && db_->in_transaction()) db_->Run("COMMIT").IgnoreError();
}

}  // namespace loglog
