#include "store/gather_vfs.h"

#include <sqlite3.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/connection.h"
#include "store/store_testing.h"

namespace loglog {
namespace {

// The process's default layer while it lives: SQLite's own, whose writes to logs are counted
// and can be made to fail.
class CountedLogs {
 public:
  CountedLogs() : below_(sqlite3_vfs_find(nullptr)), vfs_(*below_) {
    vfs_.zName = "counted-logs";
    vfs_.pNext = nullptr;
    vfs_.xOpen = Open;
    current_ = this;
    sqlite3_vfs_register(&vfs_, /*makeDflt=*/1);
  }
  ~CountedLogs() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(below_, /*makeDflt=*/1);
    current_ = nullptr;
  }

  int writes = 0;
  int fail_with = SQLITE_OK;

 private:
  static int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    const int code = current_->below_->xOpen(current_->below_, name, file, flags, out_flags);
    if (code != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return code;
    current_->plain_ = file->pMethods;
    current_->counted_ = *file->pMethods;
    current_->counted_.xWrite = Write;
    file->pMethods = &current_->counted_;
    return code;
  }
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    ++current_->writes;
    if (current_->fail_with != SQLITE_OK) return current_->fail_with;
    return current_->plain_->xWrite(file, bytes, size, offset);
  }

  static CountedLogs* current_;
  sqlite3_vfs* const below_;
  sqlite3_vfs vfs_;
  const sqlite3_io_methods* plain_ = nullptr;
  sqlite3_io_methods counted_ = {};
};

CountedLogs* CountedLogs::current_ = nullptr;

class GatherVfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Connection::Open(path_, Connection::Mode::kCreate);
    ASSERT_TRUE(opened.ok()) << opened.status();
    db_ = *std::move(opened);
    ASSERT_TRUE(db_->Script("CREATE TABLE pages (id INTEGER PRIMARY KEY, text TEXT)").ok());
  }

  // One transaction of so many pages, roughly.
  absl::Status Insert(int pages) {
    return db_->Script(
        absl::StrCat("BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ",
                     pages, ") INSERT INTO pages (text) SELECT hex(zeroblob(1900)) FROM n; COMMIT")
            .c_str());
  }

  static int64_t Count(Connection* db) {
    Cursor row = db->Query("SELECT count(*) FROM pages");
    const int64_t count = row.Next() ? row.Int(0) : -1;
    EXPECT_TRUE(row.status().ok()) << row.status();
    return count;
  }

  // What a process that comes after kill -9 finds.
  int64_t CountInFiles() {
    const std::string copy = folder_ / absl::StrCat("copy-", ++copies_, ".db");
    std::filesystem::copy_file(path_, copy);
    std::filesystem::copy_file(path_ + "-wal", copy + "-wal");
    auto db = Connection::Open(copy, Connection::Mode::kWrite);
    EXPECT_TRUE(db.ok()) << db.status();
    Cursor check = (*db)->Query("PRAGMA integrity_check");
    EXPECT_TRUE(check.Next());
    EXPECT_EQ(check.Text(0), "ok");
    return Count(db->get());
  }

  CountedLogs logs_;
  TempFolder folder_;
  const std::string path_ = folder_ / "store.db";
  std::unique_ptr<Connection> db_;
  int copies_ = 0;
};

TEST_F(GatherVfsTest, ACommitOfManyPagesIsFewWritesAndAllInTheFile) {
  // The last two are cut where SQLite's Unix layer cannot write more at once.
  for (const int pages : {1, 5, 20, 31, 32, 200}) {
    logs_.writes = 0;
    const int64_t before = Count(db_.get());
    ASSERT_TRUE(Insert(pages).ok());
    // A log that begins anew writes its head apart.
    EXPECT_LE(logs_.writes, 3 + pages / 20) << pages;
    EXPECT_EQ(CountInFiles(), before + pages);
    auto other = Connection::Open(path_, Connection::Mode::kRead);
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(Count(other->get()), before + pages);
  }
}

TEST_F(GatherVfsTest, ATransactionLargerThanTheCacheReadsItsOwnPages) {
  ASSERT_TRUE(db_->Script("PRAGMA cache_size = 10; BEGIN").ok());
  ASSERT_TRUE(db_->Script("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT "
                          "500) INSERT INTO pages (text) SELECT hex(zeroblob(1900)) FROM n")
                  .ok());
  EXPECT_EQ(Count(db_.get()), 500);
  // Pages that lie in the log are changed once more, so their frames are written again.
  ASSERT_TRUE(db_->Script("UPDATE pages SET text = id || text WHERE id % 7 = 0").ok());
  EXPECT_EQ(Count(db_.get()), 500);
  ASSERT_TRUE(db_->Script("COMMIT").ok());
  EXPECT_EQ(CountInFiles(), 500);
}

TEST_F(GatherVfsTest, AnErrorOfTheHeldWriteFailsItsCommitAndNoOther) {
  ASSERT_TRUE(Insert(10).ok());
  logs_.fail_with = SQLITE_FULL;
  const absl::Status full = Insert(10);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_EQ(CountInFiles(), 10);
  if (db_->in_transaction()) {
    ASSERT_TRUE(db_->Script("ROLLBACK").ok());
  }
  logs_.fail_with = SQLITE_OK;
  EXPECT_EQ(Count(db_.get()), 10);
  ASSERT_TRUE(Insert(3).ok());
  EXPECT_EQ(CountInFiles(), 13);
}

}  // namespace
}  // namespace loglog
