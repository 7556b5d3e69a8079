#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/unique_id.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(MakeDirs(dir_, 0700).ok()); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_).ok()); }
  const std::string dir_ = absl::StrCat(::testing::TempDir(), "/file-test-", RandomHexId(8));
};

TEST_F(FileTest, AtomicWriteReplacesAndLeavesNothingBehind) {
  const std::string path = dir_ + "/a";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(path, std::string("two\0", 4), 0600).ok());
  EXPECT_EQ(*ReadFile(path), std::string("two\0", 4));
  EXPECT_THAT(*ListDir(dir_), ElementsAre("a"));
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
}

TEST_F(FileTest, ReplacingWithoutWaitingForTheDiskDoesNotFollowLinks) {
  ASSERT_TRUE(ReplaceFile(dir_ + "/kept", "kept").ok());
  ASSERT_EQ(symlink((dir_ + "/kept").c_str(), (dir_ + "/link").c_str()), 0);
  ASSERT_TRUE(ReplaceFile(dir_ + "/link", "new", 0600).ok());
  EXPECT_EQ(*ReadFile(dir_ + "/kept"), "kept");
  EXPECT_EQ(*ReadFile(dir_ + "/link"), "new");
  EXPECT_THAT(*ListDir(dir_), ElementsAre("kept", "link"));
  struct stat info;
  ASSERT_EQ(lstat((dir_ + "/link").c_str(), &info), 0);
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0600);
}

TEST_F(FileTest, ALinkToAFolderIsNoFolderAndALinkIsNoLockFile) {
  ASSERT_TRUE(MakeDirs(dir_ + "/real").ok());
  ASSERT_EQ(symlink((dir_ + "/real").c_str(), (dir_ + "/link").c_str()), 0);
  EXPECT_TRUE(IsFolder(dir_ + "/real"));
  EXPECT_FALSE(IsFolder(dir_ + "/link"));
  EXPECT_FALSE(IsFolder(dir_ + "/missing"));
  ASSERT_TRUE(ReplaceFile(dir_ + "/victim", "precious").ok());
  ASSERT_EQ(symlink((dir_ + "/victim").c_str(), (dir_ + "/lock").c_str()), 0);
  EXPECT_FALSE(LockFile::Acquire(dir_ + "/lock").ok());
  EXPECT_EQ(*ReadFile(dir_ + "/victim"), "precious");
}

TEST_F(FileTest, FailedWriteNamesThePathAndKeepsTheOldFile) {
  const std::string path = dir_ + "/folder";
  ASSERT_TRUE(MakeDirs(path + "/inner").ok());
  const absl::Status status = WriteFileAtomically(path, "x");
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  EXPECT_THAT(*ListDir(dir_), ElementsAre("folder"));
  EXPECT_EQ(ReadFile(dir_ + "/missing").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, MakeDirsAcceptsFoldersButNotFiles) {
  EXPECT_TRUE(MakeDirs(dir_ + "/x/y/").ok());
  EXPECT_TRUE(MakeDirs(dir_ + "/x/y").ok());
  ASSERT_TRUE(WriteFileAtomically(dir_ + "/x/f", "").ok());
  EXPECT_THAT(std::string(MakeDirs(dir_ + "/x/f/z").message()), HasSubstr("/x/f is not a folder"));
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(MakeDirs(dir_ + "/kept").ok());
  ASSERT_TRUE(WriteFileAtomically(dir_ + "/kept/f", "x").ok());
  ASSERT_TRUE(MakeDirs(dir_ + "/gone").ok());
  ASSERT_EQ(symlink((dir_ + "/kept").c_str(), (dir_ + "/gone/link").c_str()), 0);
  EXPECT_TRUE(RemoveTree(dir_ + "/gone").ok());
  EXPECT_TRUE(RemoveTree(dir_ + "/gone").ok());
  EXPECT_TRUE(PathExists(dir_ + "/kept/f"));
}

TEST_F(FileTest, LockNamesItsOwner) {
  const std::string path = dir_ + "/lock";
  auto lock = LockFile::Acquire(path);
  ASSERT_TRUE(lock.ok());
  const absl::Status second = LockFile::Acquire(path).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr(absl::StrCat("process ", getpid())));
  lock->reset();
  EXPECT_TRUE(LockFile::Acquire(path).ok());
}

TEST_F(FileTest, LockOfADeadProcessIsWaitedFor) {
  const std::string path = dir_ + "/lock";
  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t owner = fork();
  if (owner == 0) {
    close(hold[1]);
    const auto lock = LockFile::Acquire(path);
    // A child as the kernel makes it, before it becomes another program.
    if (fork() != 0) _exit(lock.ok() ? 0 : 1);
    char byte;
    [[maybe_unused]] const ssize_t ended = read(hold[0], &byte, 1);
    _exit(0);
  }
  close(hold[0]);
  int status = -1;
  ASSERT_EQ(waitpid(owner, &status, 0), owner);
  ASSERT_EQ(status, 0);
  std::thread lets_go([&hold] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    close(hold[1]);
  });
  EXPECT_TRUE(LockFile::Acquire(path).ok());
  lets_go.join();
}

TEST_F(FileTest, AbsolutePathAndFreeDisk) {
  EXPECT_EQ(AbsolutePath("/a/b/../c/"), "/a/c");
  EXPECT_EQ(AbsolutePath("/"), "/");
  EXPECT_EQ(AbsolutePath("x").front(), '/');
  EXPECT_GT(*FreeDiskBytes(dir_), 0);
  EXPECT_THAT(std::string(FreeDiskBytes("/no/such").status().message()), HasSubstr("/no/such"));
}

}  // namespace
}  // namespace loglog
