#include "store/disk_wake.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace loglog {
namespace {

// Bytes that this process had from disks.
int64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string word;
  int64_t bytes = 0;
  while (io >> word >> bytes) {
    if (word == "read_bytes:") return bytes;
  }
  return -1;
}

TEST(DiskWake, AsksTheDiskEachTime) {
  const std::string path = std::filesystem::current_path() / "disk_wake_test.file";
  std::ofstream(path) << "a pid";
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECT);
  if (fd < 0) GTEST_SKIP() << "this file system has no reads past the page cache";
  fsync(fd);
  close(fd);
  const DiskWake wake(path);
  if (BytesRead() < 0) GTEST_SKIP() << "this kernel does not count reads";
  for (int i = 0; i < 2; ++i) {
    const int64_t before = BytesRead();
    wake.Wake();
    EXPECT_GE(BytesRead() - before, 512) << i;
  }
  std::filesystem::remove(path);
}

TEST(DiskWake, WithoutAFileItDoesNothing) { DiskWake("/nonexistent/file").Wake(); }

TEST(DiskWake, IsDueOnceInAWhile) {
  DiskWake wake("/nonexistent/file");
  EXPECT_TRUE(wake.Due(1000));
  EXPECT_FALSE(wake.Due(1000));
  EXPECT_FALSE(wake.Due(1000 + DiskWake::kRestMs - 1));
  EXPECT_TRUE(wake.Due(1000 + DiskWake::kRestMs));
}

TEST(DiskWake, IsDueForOneOfManyThreads) {
  DiskWake wake("/nonexistent/file");
  std::atomic<int> due = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { due += wake.Due(1000); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(due, 1);
}

}  // namespace
}  // namespace loglog
