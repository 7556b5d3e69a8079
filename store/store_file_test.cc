// The file behind a store: who may open it, what happens when it is damaged, full, old,
// new or its writer is killed.
#include "store/store_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "store/check.h"
#include "store/connection.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/store_child_testing.h"
#include "store/store_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

int64_t CountSql(Store* store, const std::string& sql) {
  Cursor row = store->connection()->Query(sql);
  EXPECT_TRUE(row.Next()) << row.status();
  return row.Int(0);
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

TEST(StoreFileTest, ASecondWriterIsRefusedAndTheMessageNamesTheFirst) {
  TempFolder folder;
  const std::string path = folder / "store.db";
  Child holder({"hold", path});
  ASSERT_EQ(holder.ReadLine(), "open\n");
  const auto second = Store::Open(path);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("locked by process ", holder.pid(), ";")));
  // Reading is for everybody.
  EXPECT_TRUE(ReadStore::Open(path).ok());
  holder.Kill();
  EXPECT_TRUE(Store::Open(path).ok());
}

TEST(StoreFileTest, TheIdOfAStoreIsMadeOnce) {
  TempFolder folder;
  const std::string id = (*Store::Open(folder / "a.db"))->store_id();
  EXPECT_THAT(id, SizeIs(32));
  EXPECT_EQ((*Store::Open(folder / "a.db"))->store_id(), id);
  EXPECT_NE((*Store::Open(folder / "b.db"))->store_id(), id);
  const auto info = (*ReadStore::Open(folder / "a.db"))->Info();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->store_id, id);
  EXPECT_EQ(info->schema, Migrations().size());
  EXPECT_GT(info->bytes, 0);
}

TEST(StoreFileTest, WrongPlacesAreNamed) {
  TempFolder folder;
  const auto no_folder = Store::Open(folder / "missing/store.db");
  EXPECT_TRUE(absl::IsNotFound(no_folder.status()));
  EXPECT_THAT(std::string(no_folder.status().message()), HasSubstr("mkdir -p"));
  StoreOptions existing;
  existing.create = false;
  EXPECT_TRUE(absl::IsNotFound(Store::Open(folder / "none.db", existing).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadStore::Open(folder / "none.db").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Store::Open(folder.path()).status()));
  // A path with URI characters is a plain path.
  EXPECT_TRUE(Store::Open(folder / "a?mode=memory&%20.db").ok());
  EXPECT_TRUE(std::filesystem::exists(folder / "a?mode=memory&%20.db"));
}

TEST(StoreFileTest, AFolderThatCannotBeWrittenIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  TempFolder folder;
  std::filesystem::permissions(
      folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const auto opened = Store::Open(folder / "store.db");
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  EXPECT_TRUE(absl::IsPermissionDenied(opened.status())) << opened.status();
}

TEST(StoreFileTest, OtherFilesAreLeftAlone) {
  TempFolder folder;
  const std::string text = folder / "notes.txt";
  WriteFile(text, "these are not the rows you are looking for, not at all, really not");
  EXPECT_TRUE(absl::IsDataLoss(Store::Open(text).status()));
  EXPECT_THAT(ReadFile(text), HasSubstr("not the rows"));
  const std::string other = folder / "other.db";
  {
    auto db = Connection::Open(other, Connection::Mode::kCreate);
    ASSERT_TRUE((*db)->Script("CREATE TABLE recipes (name TEXT)").ok());
  }
  const auto opened = Store::Open(other);
  EXPECT_TRUE(absl::IsFailedPrecondition(opened.status()));
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("not a Loglog store"));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadStore::Open(other).status()));
}

// A database of another program, made as that program would, in either journal mode.
void MakeRecipes(const std::string& path, const char* journal) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const std::string script = absl::StrCat("PRAGMA journal_mode = ", journal,
                                          "; CREATE TABLE recipes (name TEXT);"
                                          "INSERT INTO recipes VALUES ('bread');");
  EXPECT_EQ(sqlite3_exec(db, script.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
}

TEST(StoreFileTest, AnotherProgramsDatabaseKeepsItsBytes) {
  for (const char* journal : {"DELETE", "WAL"}) {
    TempFolder folder;
    const std::string path = folder / "recipes.db";
    MakeRecipes(path, journal);
    const std::string before = ReadFile(path);
    ASSERT_FALSE(before.empty());
    EXPECT_TRUE(absl::IsFailedPrecondition(Store::Open(path).status())) << journal;
    EXPECT_EQ(ReadFile(path), before) << journal;
  }
}

TEST(StoreFileTest, AStoreHasOneLockUnderAllItsNames) {
  TempFolder folder;
  std::filesystem::create_directory(folder / "real");
  std::filesystem::create_directory_symlink(folder / "real", folder / "linked");
  // The link is there before the file it leads to.
  std::filesystem::create_symlink("real/store.db", folder / "link.db");
  const std::string real = std::filesystem::canonical(folder / "real") / "store.db";
  auto store = Store::Open(folder / "link.db");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->path(), real);
  EXPECT_TRUE(std::filesystem::exists(real + ".lock"));
  EXPECT_FALSE(std::filesystem::exists(folder / "link.db.lock"));
  for (const char* name : {"link.db", "linked/store.db", "real/store.db", "real/../link.db"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(Store::Open(folder / name).status())) << name;
    EXPECT_EQ((*ReadStore::Open(folder / name))->Info()->path, real) << name;
  }
}

TEST(StoreFileTest, ALinkInCirclesIsNamed) {
  TempFolder folder;
  std::filesystem::create_symlink("b.db", folder / "a.db");
  std::filesystem::create_symlink("a.db", folder / "b.db");
  const auto opened = Store::Open(folder / "a.db");
  EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("circles"));
}

TEST(StoreFileTest, DamageIsDataLoss) {
  TempFolder folder;
  const std::string path = folder / "store.db";
  {
    auto store = std::move(Store::Open(path)).value();
    ASSERT_TRUE(store->Begin().ok());
    ASSERT_TRUE(store->CreateSweep(SimpleSweep("phase", 200, 3)).ok());
    ASSERT_TRUE(store->Commit().ok());
  }
  const std::string whole = ReadFile(path);
  std::string damaged = whole;
  // The middle of the file holds pages of the tables.
  std::fill(damaged.begin() + 4096, damaged.end(), '\xa5');
  WriteFile(path, damaged);
  const auto opened = Store::Open(path);
  EXPECT_TRUE(absl::IsDataLoss(opened.status())) << opened.status();
  WriteFile(path, whole.substr(0, 100));
  const auto cut = Store::Open(path);
  EXPECT_FALSE(cut.ok());
}

TEST(StoreFileTest, AFullDiskRollsBackTheWholeGroupAndLosesNothing) {
  TempFolder folder;
  auto store = std::move(Store::Open(folder / "store.db")).value();
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("before", 3, 1)).ok());
  ASSERT_TRUE(store->Commit().ok());
  const int64_t pages = CountSql(store.get(), "PRAGMA page_count");
  const std::string limit = absl::StrCat("PRAGMA max_page_count = ", pages + 2);
  ASSERT_TRUE(store->connection()->Script(limit.c_str()).ok());
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("small", 1, 1, 10)).ok());
  const auto big = store->CreateSweep(SimpleSweep("big", 1000, 1));
  EXPECT_TRUE(absl::IsResourceExhausted(big.status())) << big.status();
  // Nobody may begin anew within the group and have half of it acknowledged.
  EXPECT_TRUE(store->in_transaction());
  EXPECT_FALSE(store->Begin().ok());
  const absl::Status committed = store->Commit();
  // SQLite may have ended the transaction by itself; then the commit says why.
  if (committed.ok()) {
    EXPECT_TRUE(store->read().GetSweep("small").ok());
  } else {
    EXPECT_TRUE(absl::IsResourceExhausted(committed)) << committed;
    EXPECT_TRUE(absl::IsNotFound(store->read().GetSweep("small").status()));
  }
  EXPECT_TRUE(absl::IsNotFound(store->read().GetSweep("big").status()));
  EXPECT_TRUE(store->read().GetSweep("before").ok());
  ASSERT_TRUE(store->connection()->Script("PRAGMA max_page_count = 1000000").ok());
  ASSERT_TRUE(store->Begin().ok());
  EXPECT_TRUE(store->CreateSweep(SimpleSweep("big", 1000, 1)).ok());
  EXPECT_TRUE(store->Commit().ok());
}

// What SQLite does when a plain read in the middle of a group meets a failing disk: the
// transaction is gone, and no operation of the store was there to see it.
TEST(StoreFileTest, AGroupThatSqliteRolledBackIsNeverAcknowledged) {
  TempFolder folder;
  auto store = std::move(Store::Open(folder / "store.db")).value();
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("lost", 3, 1)).ok());
  ASSERT_TRUE(store->connection()->Script("ROLLBACK").ok());
  const absl::Status committed = store->Commit();
  EXPECT_TRUE(absl::IsAborted(committed)) << committed;
  EXPECT_FALSE(store->in_transaction());
  EXPECT_TRUE(absl::IsNotFound(store->read().GetSweep("lost").status()));

  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("first", 3, 1)).ok());
  ASSERT_TRUE(store->connection()->Script("ROLLBACK").ok());
  // Not half of the group either, in a transaction of its own.
  EXPECT_TRUE(absl::IsAborted(store->CreateSweep(SimpleSweep("second", 3, 1)).status()));
  EXPECT_TRUE(absl::IsAborted(store->Commit()));
  EXPECT_TRUE(absl::IsNotFound(store->read().GetSweep("second").status()));

  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("kept", 3, 1)).ok());
  EXPECT_TRUE(store->Commit().ok());
  EXPECT_TRUE(store->read().GetSweep("kept").ok());
}

TEST(StoreFileTest, T17_NetworkFileSystemsAreKnown) {
  EXPECT_STREQ(NetworkFileSystemName(0x6969), "NFS");
  EXPECT_STREQ(NetworkFileSystemName(0xff534d42), "CIFS");
  EXPECT_STREQ(NetworkFileSystemName(0x0bd00bd0), "Lustre");
  EXPECT_EQ(NetworkFileSystemName(0xef53), nullptr);      // ext4
  EXPECT_EQ(NetworkFileSystemName(0x01021994), nullptr);  // tmpfs
  TempFolder folder;
  EXPECT_TRUE(RefuseNetworkFileSystem(folder / "store.db").ok());
}

// What was acknowledged is there, and every transaction is whole: its rows, its event
// and its last number say the same.
void CheckWritten(const std::string& path, int64_t acknowledged) {
  auto opened = Store::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Store* store = opened->get();
  const auto attempts = store->read().ListAttempts(1);
  ASSERT_TRUE(attempts.ok());
  if (attempts->empty()) {
    EXPECT_EQ(acknowledged, -1);
    return;
  }
  const int64_t last_seq = attempts->at(0).last_seq;
  EXPECT_GE(last_seq, acknowledged);
  EXPECT_EQ(CountSql(store, "SELECT count(*) FROM v_points"), (last_seq + 1) * 3);
  EXPECT_EQ(CountSql(store,
                     "SELECT count(*) FROM v_points WHERE value = step / 3.0 AND "
                     "metric = 'lr'"),
            last_seq + 1);
  const auto events = store->read().ListEvents(0, 0, 1'000'000);
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->empty(), last_seq < 0);
  if (last_seq >= 0) {
    EXPECT_EQ(events->back().detail_json, std::to_string(last_seq));
  }
  EXPECT_EQ(CountSql(store,
                     "SELECT count(*) FROM pragma_integrity_check WHERE "
                     "integrity_check <> 'ok'"),
            0);
  EXPECT_EQ(CountSql(store, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

TEST(StoreFileTest, T15_KillNineAtRandomMomentsLosesNothingAcknowledged) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  TempFolder folder;
  const std::string path = folder / "store.db";
  int64_t acknowledged = -1;
  for (int round = 0; round < 12; ++round) {
    Child writer({"write", path, std::to_string(random())});
    // Some rounds die in the opening or the first transactions, others later.
    const int lines = static_cast<int>(random() % 60);
    for (int i = 0; i < lines; ++i) {
      const std::string line = writer.ReadLine();
      ASSERT_FALSE(line.empty());
      acknowledged = std::stoll(line);
    }
    usleep(random() % 3000);  // moves the blow within a transaction; nothing waits for it
    writer.Kill();
    for (std::string line = writer.ReadLine(); line.find('\n') != std::string::npos;
         line = writer.ReadLine()) {
      acknowledged = std::stoll(line);
    }
    CheckWritten(path, acknowledged);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  EXPECT_GT(acknowledged, 0);
}

// A store as that version wrote it, from its dump.
void MakeGolden(const std::string& path, int version) {
  auto db = Connection::Open(path, Connection::Mode::kCreate);
  ASSERT_TRUE(db.ok());
  const std::string dump = ReadFile(absl::StrCat(LOGLOG_STORE_GOLDEN "/store-v", version, ".sql"));
  ASSERT_FALSE(dump.empty());
  const absl::Status loaded = (*db)->Script(dump.c_str());
  ASSERT_TRUE(loaded.ok()) << loaded;
}

// Versions whose golden store is there: store-v<N>.sql.
std::vector<int> GoldenVersions() {
  std::vector<int> versions;
  for (const auto& entry : std::filesystem::directory_iterator(LOGLOG_STORE_GOLDEN)) {
    int version = 0;
    const std::string name = entry.path().filename().string();
    if (std::sscanf(name.c_str(), "store-v%d.sql", &version) == 1) versions.push_back(version);
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

// What `store_child golden` stores, whatever version it was made with.
void CheckGolden(Store* store) {
  const auto sweep = store->read().GetSweep("small");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->counts.done, 1);
  EXPECT_EQ(sweep->counts.diverged, 1);
  EXPECT_EQ(sweep->counts.pending, 1);
  EXPECT_EQ(store->read().GetTrial(1, 1)->final_loss, 3.25);
  EXPECT_THAT(store->read().ReadCurve({1, "lr"})->points, SizeIs(100));
  EXPECT_EQ(store->read().ReadCurve({1, "lr"})->points[1].value, 2.0 / 3);
  EXPECT_EQ(store->read().ListEvents(1, 0, 10)->at(0).kind, "trial.done");
  EXPECT_EQ(store->read().GetFit(1, 1)->verdict, "REFUSED");
  EXPECT_THAT(*store->read().ListOpenTasks(0), SizeIs(1));
}

class GoldenTest : public ::testing::TestWithParam<int> {};

TEST_P(GoldenTest, OpensMigratesAndIsSound) {
  TempFolder folder;
  const std::string path = folder / "store.db";
  MakeGolden(path, GetParam());
  {
    auto store = Store::Open(path);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->read().Info()->schema, Migrations().size());
    CheckGolden(store->get());
  }
  const auto report = CheckStore(path);
  ASSERT_TRUE(report.ok()) << report.status();
  for (const Breach& breach : report->breaches) ADD_FAILURE() << breach.object << breach.what;
  // The copy from before the migration, where there was one.
  const std::string backup = absl::StrCat(path, ".v", GetParam(), ".backup");
  EXPECT_EQ(std::filesystem::exists(backup), GetParam() < Migrations().size());
}

// Every table, index, trigger and view with its text.
std::vector<std::string> SchemaOf(Connection* db) {
  std::vector<std::string> texts;
  Cursor row = db->Query(
      "SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL "
      "AND name NOT LIKE 'sqlite_%' ORDER BY name");
  while (row.Next()) texts.push_back(row.Text(0));
  EXPECT_TRUE(row.status().ok());
  return texts;
}

TEST_P(GoldenTest, ItsMigrationsNeverChanged) {
  TempFolder folder;
  MakeGolden(folder / "golden.db", GetParam());
  auto golden = Connection::Open(folder / "golden.db", Connection::Mode::kWrite);
  auto fresh = Connection::Open(folder / "fresh.db", Connection::Mode::kCreate);
  ASSERT_LE(GetParam(), Migrations().size());
  ASSERT_TRUE(Migrate(fresh->get(), absl::MakeConstSpan(Migrations()).first(GetParam())).ok());
  EXPECT_EQ(SchemaOf(fresh->get()), SchemaOf(golden->get()))
      << "add a new step to schema/ instead of changing a released one";
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, GoldenTest, ::testing::ValuesIn(GoldenVersions()),
                         [](const auto& info) { return absl::StrCat("V", info.param); });

TEST(StoreFileTest, TheFirstVersionHasAGoldenStore) {
  EXPECT_THAT(GoldenVersions(), ::testing::Contains(1));
}

TEST(StoreFileTest, MigrationKeepsABackupAndIsAllOrNothing) {
  TempFolder folder;
  const std::string path = folder / "store.db";
  MakeGolden(path, 1);
  std::vector<Migration> steps(Migrations().begin(), Migrations().begin() + 1);
  steps.push_back({"002_broken", "CREATE TABLE extra (x INTEGER) STRICT; SELECT no_such();"});
  {
    auto db = Connection::Open(path, Connection::Mode::kWrite);
    const absl::Status broken = Migrate(db->get(), steps);
    EXPECT_FALSE(broken.ok());
    EXPECT_THAT(std::string(broken.message()), HasSubstr("002_broken"));
    int version = 0;
    EXPECT_TRUE(CheckSchema(db->get(), 1, &version).ok());
    EXPECT_EQ(version, 1);
    EXPECT_FALSE((*db)->Script("SELECT * FROM extra").ok());
    steps.back() = {"002_extra", "CREATE TABLE extra (x INTEGER) STRICT;"};
    ASSERT_TRUE(Migrate(db->get(), steps).ok());
    ASSERT_TRUE(Migrate(db->get(), steps).ok());
    EXPECT_TRUE((*db)->Script("SELECT * FROM extra").ok());
  }
  // The migrated store is newer than this program; the backup is not.
  const auto newer = Store::Open(path);
  if (Migrations().size() == 1) {
    EXPECT_TRUE(absl::IsFailedPrecondition(newer.status()));
    EXPECT_THAT(std::string(newer.status().message()),
                HasSubstr("has schema version 2, this program knows versions up to 1"));
  }
  auto backup = Store::Open(path + ".v1.backup");
  ASSERT_TRUE(backup.ok()) << backup.status();
  CheckGolden(backup->get());
}

TEST(StoreFileTest, ABackupOfAnotherStoreIsNotTakenForThisOnes) {
  TempFolder folder;
  const std::string path = folder / "store.db";
  WriteFile(path + ".v1.backup", "what a store of the same name left here a year ago");
  MakeGolden(path, 1);
  std::vector<Migration> steps(Migrations().begin(), Migrations().begin() + 1);
  steps.push_back({"002_broken", "SELECT no_such();"});
  {
    auto db = Connection::Open(path, Connection::Mode::kWrite);
    // Tried over and over, as by a service that restarts, it keeps one copy.
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(Migrate(db->get(), steps).ok());
  }
  EXPECT_THAT(ReadFile(path + ".v1.backup"), HasSubstr("a year ago"));
  EXPECT_FALSE(std::filesystem::exists(path + ".v1.backup.3"));
  EXPECT_FALSE(std::filesystem::exists(path + ".v1.backup.partial"));
  auto backup = Store::Open(path + ".v1.backup.2");
  ASSERT_TRUE(backup.ok()) << backup.status();
  CheckGolden(backup->get());
}

}  // namespace
}  // namespace loglog
