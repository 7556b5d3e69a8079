#ifndef LOGLOG_STORE_CONNECTION_H_
#define LOGLOG_STORE_CONNECTION_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// What an SQLite result code means to our callers; `doing` says at what.
absl::Status SqliteStatus(sqlite3* db, int code, absl::string_view doing);

// NULL for an id of 0, which means "none".
inline std::optional<int64_t> IdOrNull(int64_t id) {
  return id == 0 ? std::nullopt : std::optional<int64_t>(id);
}
inline std::optional<absl::string_view> TextOrNull(absl::string_view text) {
  return text.empty() ? std::nullopt : std::optional<absl::string_view>(text);
}

// One run of a statement. Columns are read between a true Next() and the following
// one; a NULL reads as 0, NaN or "". Confined to its connection's thread.
class Cursor {
 public:
  Cursor(sqlite3* db, sqlite3_stmt* statement, bool* in_use, absl::Status status);
  Cursor(Cursor&& other) noexcept;
  Cursor& operator=(Cursor&&) = delete;
  ~Cursor();

  // False at the end and on an error: look at status() after the loop.
  bool Next();
  const absl::Status& status() const { return status_; }
  // Runs to the end.
  absl::Status Finish();

  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t Int(int column) const { return sqlite3_column_int64(statement_, column); }
  // NaN, which SQLite keeps as NULL, comes back as NaN.
  double Real(int column) const;
  std::string Text(int column) const;
  sqlite3_stmt* statement() const { return statement_; }

  template <typename... Args>
  void Bind(const Args&... args) {
    int index = 0;
    (BindOne(++index, args), ...);
  }
  void BindOne(int index, double value) { Note(sqlite3_bind_double(statement_, index, value)); }
  void BindOne(int index, absl::string_view value);
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
  void BindOne(int index, T value) {
    Note(sqlite3_bind_int64(statement_, index, value));
  }
  template <typename T>
  void BindOne(int index, const std::optional<T>& value) {
    if (value.has_value()) {
      BindOne(index, *value);
    } else {
      Note(sqlite3_bind_null(statement_, index));
    }
  }

 private:
  void Note(int code);

  sqlite3* db_;
  sqlite3_stmt* statement_;
  bool* in_use_;  // of the cached statement; null: the statement is this cursor's own
  absl::Status status_;
};

// An SQLite connection with its prepared statements. Confined to one thread at a time.
class Connection {
 public:
  // kInspect sees what a writer would (a journal left by a crash is played back) and
  // leaves the file's settings and its write-ahead log as they are.
  enum class Mode { kRead, kWrite, kCreate, kInspect };
  // Opens, applies the settings of that mode (WAL, FULL, foreign keys) and checks that
  // the file is a database.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, Mode mode);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // A cached statement with its arguments bound to ?1, ?2, ...
  template <typename... Args>
  Cursor Query(absl::string_view sql, const Args&... args) {
    Cursor cursor = Prepare(sql);
    if (cursor.status().ok()) cursor.Bind(args...);
    return cursor;
  }
  template <typename... Args>
  absl::Status Run(absl::string_view sql, const Args&... args) {
    return Query(sql, args...).Finish();
  }
  Cursor Prepare(absl::string_view sql);
  // Any number of statements without arguments, not cached.
  absl::Status Script(const char* sql);

  int64_t last_insert_id() const { return sqlite3_last_insert_rowid(db_); }
  // Rows changed by the last statement, triggers not counted.
  int64_t changes() const { return sqlite3_changes64(db_); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  sqlite3* handle() const { return db_; }
  const std::string& path() const { return path_; }
  // Every statement prepared so far, for the test that explains them.
  std::vector<std::string> PreparedSql() const;

 private:
  struct Cached {
    sqlite3_stmt* statement = nullptr;
    bool in_use = false;
  };

  Connection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}

  sqlite3* const db_;
  const std::string path_;
  absl::flat_hash_map<std::string, std::unique_ptr<Cached>> cache_;
};

// Makes the reads of one scope see one state of the store: a read transaction unless
// one is open.
class ReadScope {
 public:
  explicit ReadScope(Connection* db);
  ~ReadScope();
  ReadScope(const ReadScope&) = delete;
  ReadScope& operator=(const ReadScope&) = delete;

 private:
  Connection* const db_;
  const bool owner_;
};

}  // namespace loglog

#endif  // LOGLOG_STORE_CONNECTION_H_
