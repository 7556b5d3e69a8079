// Copies, seals and compaction of a store, by processes that are killed, run out of disk,
// or meet a coordinator.
#include "store/upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "store/check.h"
#include "store/connection.h"
#include "store/store.h"
#include "store/store_child_testing.h"
#include "store/store_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string JournalMode(const std::string& path) {
  auto db = std::move(Connection::Open(path, Connection::Mode::kRead)).value();
  Cursor row = db->Query("PRAGMA journal_mode");
  EXPECT_TRUE(row.Next()) << row.status();
  return row.Text(0);
}

void ExpectSound(const std::string& path) {
  const auto report = CheckStore(path);
  ASSERT_TRUE(report.ok()) << report.status();
  for (const Breach& breach : report->breaches) ADD_FAILURE() << breach.object << breach.what;
}

class UpkeepTest : public ::testing::Test {
 protected:
  // Some 2 MB, so that a copy takes more than one write.
  void Fill(int trials = 2000) {
    auto store = std::move(Store::Open(path_)).value();
    ASSERT_TRUE(store->Begin().ok());
    ASSERT_TRUE(store->CreateSweep(SimpleSweep("phase", trials, 1)).ok());
    ASSERT_TRUE(store->Commit().ok());
  }
  // What is in the folder besides the store and what its readers and writers need.
  std::vector<std::string> Others() const {
    std::vector<std::string> others;
    const std::vector<std::string> names = ListDir(folder_.path()).value();
    for (const std::string& name : names) {
      if (name != "store.db" && name != "store.db.lock" && name != "store.db-shm" &&
          name != "store.db-wal") {
        others.push_back(name);
      }
    }
    return others;
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "store.db";
  const std::string to_ = folder_ / "copy.db";
};

TEST_F(UpkeepTest, ABackupOfABusyStoreIsWhole) {
  auto store = std::move(Store::Open(path_)).value();
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("phase", 50, 2)).ok());
  ASSERT_TRUE(store->Commit().ok());
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->CreateSweep(SimpleSweep("open", 5, 1, 100)).ok());
  const auto copied = BackupStore(path_, to_);
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_EQ(copied->trials_open, 100);
  EXPECT_EQ(copied->bytes, std::filesystem::file_size(to_));
  const auto again = BackupStore(path_, to_);
  EXPECT_TRUE(absl::IsAlreadyExists(again.status()));
  EXPECT_THAT(std::string(again.status().message()), HasSubstr(to_ + " exists"));
  ASSERT_TRUE(store->Commit().ok());
  ExpectSound(to_);
  auto copy = std::move(Store::Open(to_)).value();
  EXPECT_EQ(copy->store_id(), store->store_id());
  EXPECT_EQ(copy->read().GetSweep("phase")->counts.total, 100);
  EXPECT_TRUE(absl::IsNotFound(copy->read().GetSweep("open").status()));
}

// The writer commits hundreds of times while pages are copied: a copy that begins anew with
// each commit would never end.
TEST_F(UpkeepTest, T16_ABackupEndsBesideAWriterThatNeverRests) {
  Fill(6000);
  {
    // The writer takes the first attempt that is live.
    auto store = std::move(Store::Open(path_)).value();
    ASSERT_TRUE(store->Begin().ok());
    ASSERT_TRUE(store->CancelSweepTrials(1, 1).ok());
    ASSERT_TRUE(store->Commit().ok());
  }
  Child writer({"write", path_, "1"});
  ASSERT_FALSE(writer.ReadLine().empty());
  Child backup({"backup", path_, to_});
  // The writer waits when nobody listens to it; one that never ends is ended here.
  std::atomic<bool> done = false;
  std::thread listener([&] {
    for (int commits = 0; commits < 20'000 && !done; ++commits) writer.ReadLine();
    if (!done) kill(backup.pid(), SIGKILL);
  });
  EXPECT_EQ(backup.ReadLine(), "done\n");
  done = true;
  listener.join();
  writer.Kill();
  ExpectSound(to_);
}

TEST_F(UpkeepTest, ABackupKeepsThePermissionsAndFollowsLinks) {
  Fill(10);
  chmod(path_.c_str(), 0600);
  std::filesystem::create_symlink("store.db", folder_ / "link.db");
  ASSERT_TRUE(BackupStore(folder_ / "link.db", to_).ok());
  struct stat info = {};
  ASSERT_EQ(stat(to_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
}

TEST_F(UpkeepTest, BadSourcesAndTargetsAreNamed) {
  EXPECT_TRUE(absl::IsNotFound(BackupStore(path_, to_).status()));
  EXPECT_TRUE(absl::IsNotFound(SealStore(path_).status()));
  EXPECT_TRUE(absl::IsNotFound(CompactStore(path_).status()));
  std::ofstream(path_) << "these are not the rows you are looking for, not at all";
  EXPECT_TRUE(absl::IsDataLoss(BackupStore(path_, to_).status()));
  std::ofstream(path_, std::ios::trunc);
  EXPECT_TRUE(absl::IsFailedPrecondition(BackupStore(path_, to_).status()));
  std::filesystem::remove(path_);
  Fill(10);
  EXPECT_TRUE(absl::IsNotFound(BackupStore(path_, folder_ / "none/copy.db").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(BackupStore(path_, path_).status()));
  // A journal without its file would be played into the copy.
  std::ofstream(to_ + "-journal") << "x";
  const auto refused = BackupStore(path_, to_);
  EXPECT_TRUE(absl::IsAlreadyExists(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("copy.db-journal exists"));
}

TEST_F(UpkeepTest, AFullDiskLeavesNothing) {
  Fill();
  Child backup({"full", path_, to_, "500000"});
  EXPECT_EQ(backup.ReadLine(), "RESOURCE_EXHAUSTED\n");
  EXPECT_EQ(backup.Wait(), 0);
  EXPECT_THAT(Others(), IsEmpty());
  ASSERT_TRUE(BackupStore(path_, to_).ok());
}

TEST_F(UpkeepTest, ABackupThatIsKilledInTheMiddleHasNoName) {
  Fill();
  for (const char* bytes : {"100000", "300000", "1000000"}) {
    Child backup({"killed", path_, to_, bytes});
    EXPECT_EQ(backup.ReadLine(), "");
    const int status = backup.Wait();
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    EXPECT_FALSE(PathExists(to_)) << bytes;
    EXPECT_TRUE(PathExists(to_ + ".partial")) << bytes;
  }
  // What it left is taken over, journal and all.
  ASSERT_TRUE(BackupStore(path_, to_).ok());
  EXPECT_THAT(Others(), ElementsAre("copy.db"));
  ExpectSound(to_);
}

TEST_F(UpkeepTest, KillNineAtRandomMomentsLeavesAWholeCopyOrNone) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  Fill();
  for (int round = 0; round < 12; ++round) {
    Child backup({"backup", path_, to_});
    usleep(random() % 60'000);  // moves the blow within the copy; nothing waits for it
    backup.Kill();
    if (PathExists(to_)) ExpectSound(to_);
    std::filesystem::remove(to_);
  }
  ASSERT_TRUE(BackupStore(path_, to_).ok());
  EXPECT_THAT(Others(), ElementsAre("copy.db"));
}

TEST_F(UpkeepTest, ASealedStoreIsOneFileAndOpensFromAFolderThatCannotBeWritten) {
  Fill(20);
  const auto sealed = SealStore(path_);
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_EQ(sealed->trials_open, 20);
  EXPECT_EQ(sealed->bytes, std::filesystem::file_size(path_));
  EXPECT_THAT(*ListDir(folder_.path()), ElementsAre("store.db", "store.db.lock"));
  EXPECT_EQ(JournalMode(path_), "delete");
  std::filesystem::remove(path_ + ".lock");
  std::filesystem::permissions(
      folder_.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  {
    // Root may write everywhere, so look at what was written, too.
    auto reader = ReadStore::Open(path_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->GetSweep("phase")->counts.total, 20);
    ExpectSound(path_);
    EXPECT_THAT(*ListDir(folder_.path()), ElementsAre("store.db"));
  }
  std::filesystem::permissions(folder_.path(), std::filesystem::perms::owner_all);
  // Again is fine, and a coordinator takes it up where it was.
  EXPECT_TRUE(SealStore(path_).ok());
  {
    auto store = std::move(Store::Open(path_)).value();
    ASSERT_TRUE(store->Begin().ok());
    ASSERT_TRUE(store->CreateSweep(SimpleSweep("later", 1, 1, 50)).ok());
    ASSERT_TRUE(store->Commit().ok());
    EXPECT_EQ(JournalMode(path_), "wal");
  }
  EXPECT_TRUE((*ReadStore::Open(path_))->GetSweep("later").ok());
}

TEST_F(UpkeepTest, ASealedCopyLeavesTheStoreAsItIs) {
  Fill(20);
  ASSERT_TRUE(SealStore(path_, to_).ok());
  EXPECT_EQ(JournalMode(path_), "wal");
  EXPECT_EQ(JournalMode(to_), "delete");
  ExpectSound(to_);
}

TEST_F(UpkeepTest, SealAndCompactRefuseAStoreInUse) {
  Fill(20);
  {
    Child holder({"hold", path_});
    ASSERT_EQ(holder.ReadLine(), "open\n");
    for (const absl::Status& status : {SealStore(path_).status(), SealStore(path_, to_).status(),
                                       CompactStore(path_).status()}) {
      EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("locked by process ", holder.pid(), ";")));
    }
    EXPECT_FALSE(PathExists(to_));
  }
  auto reader = std::move(Connection::Open(path_, Connection::Mode::kRead)).value();
  ReadScope scope(reader.get());
  ASSERT_TRUE(reader->Run("SELECT count(*) FROM trials").ok());
  for (const absl::Status& status : {SealStore(path_).status(), CompactStore(path_).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("another program reads it"));
  }
}

TEST_F(UpkeepTest, CompactingGivesSpaceBackAndKeepsEveryRow) {
  Fill();
  const std::string id = (*Store::Open(path_))->store_id();
  {
    auto db = std::move(Connection::Open(path_, Connection::Mode::kWrite)).value();
    ASSERT_TRUE(db->Script("CREATE TABLE big (x TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                           "SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO big SELECT "
                           "hex(zeroblob(500)) FROM n; DROP TABLE big;")
                    .ok());
  }
  chmod(path_.c_str(), 0640);
  const auto compacted = CompactStore(path_);
  ASSERT_TRUE(compacted.ok()) << compacted.status();
  EXPECT_GT(compacted->bytes_before, compacted->bytes_after + 3'000'000);
  EXPECT_EQ(compacted->bytes_after, std::filesystem::file_size(path_));
  EXPECT_THAT(*ListDir(folder_.path()), ElementsAre("store.db", "store.db.lock"));
  EXPECT_EQ(JournalMode(path_), "delete");
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640);
  ExpectSound(path_);
  auto store = std::move(Store::Open(path_)).value();
  EXPECT_EQ(store->store_id(), id);
  EXPECT_EQ(store->read().GetSweep("phase")->counts.total, 2000);
}

// A store that is damaged is not copied over the last good backup's place in silence.
TEST_F(UpkeepTest, ADamagedStoreIsNotCopied) {
  Fill();
  {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(100 * 4096);
    file << std::string(20 * 4096, '\xa5');
  }
  const auto copied = BackupStore(path_, to_);
  EXPECT_TRUE(absl::IsDataLoss(copied.status())) << copied.status();
  EXPECT_THAT(std::string(copied.status().message()), HasSubstr("loglog store check"));
  EXPECT_THAT(Others(), IsEmpty());
  const auto report = CheckStore(path_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->breaches, Not(IsEmpty()));
  EXPECT_THAT(report->breaches.at(0).fix, HasSubstr("restore the newest backup"));
}

}  // namespace
}  // namespace loglog
