#include "trainer/events.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <climits>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "shards/file_writer.h"
#include "shards/test_files_testing.h"

namespace loglog {
namespace {

// The paths that this thread has synced since it was cleared.
std::vector<std::string>& Synced() {
  thread_local std::vector<std::string> paths;
  return paths;
}

}  // namespace
}  // namespace loglog

// Takes the place of the C library's in this program, to see what is synced.
extern "C" int fsync(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), path, sizeof path);
  if (size > 0) loglog::Synced().emplace_back(path, static_cast<size_t>(size));
  return fdatasync(fd);
}

namespace loglog {
namespace {

TEST(EventLog, WritesLinesAndKeepsOlderFiles) {
  TemporaryFolder folder;
  for (int round = 0; round < 3; ++round) {
    EventLog log(folder.path(), EventLog::Mode::kFresh, -1);
    log.Write({{"e", "start"}, {"round", round}});
    log.Write({{"e", "end"}});
    log.Sync();
  }
  EXPECT_EQ(ReadText(folder / "events.jsonl"), "{\"e\":\"start\",\"round\":2}\n{\"e\":\"end\"}\n");
  EXPECT_EQ(ReadText(folder / "events-1.jsonl"),
            "{\"e\":\"start\",\"round\":0}\n{\"e\":\"end\"}\n");
  EXPECT_EQ(ReadText(folder / "events-2.jsonl"),
            "{\"e\":\"start\",\"round\":1}\n{\"e\":\"end\"}\n");
}

TEST(EventLog, NamesInItsFolderAreSynced) {
  TemporaryFolder folder;
  for (const auto mode : {EventLog::Mode::kFresh, EventLog::Mode::kContinue}) {
    Synced().clear();
    EventLog log(folder.path(), mode, -1);
    EXPECT_EQ(Synced(), (std::vector<std::string>{folder.path()}));
    log.Write({{"e", "start"}});
  }
}

TEST(MakeDirectories, ParentsOfNewFoldersAreSynced) {
  TemporaryFolder folder;
  Synced().clear();
  MakeDirectories(folder / "a/b");
  EXPECT_EQ(Synced(), (std::vector<std::string>{folder.path(), folder / "a"}));
}

TEST(EventLog, CutsATornLineHoweverLong) {
  TemporaryFolder folder;
  for (const size_t whole : {0, 1, 4095, 4096, 4097, 20000}) {
    for (const size_t torn : {0, 1, 4095, 4096, 4097, 9000}) {
      const std::string kept = whole == 0 ? "" : std::string(whole - 1, 'x') + "\n";
      WriteText(folder / "events.jsonl", kept + std::string(torn, 'y'));
      { EventLog log(folder.path(), EventLog::Mode::kContinue, -1); }
      EXPECT_EQ(ReadText(folder / "events.jsonl"), kept) << whole << " " << torn;
    }
  }
}

TEST(EventLog, ContinuesAfterTheLastWholeLine) {
  TemporaryFolder folder;
  WriteText(folder / "events.jsonl", "{\"a\":1}\n{\"b\":");
  {
    EventLog log(folder.path(), EventLog::Mode::kContinue, -1);
    log.Write({{"c", 3}});
  }
  EXPECT_EQ(ReadText(folder / "events.jsonl"), "{\"a\":1}\n{\"c\":3}\n");
  WriteText(folder / "events.jsonl", "torn");
  { EventLog log(folder.path(), EventLog::Mode::kContinue, -1); }
  EXPECT_EQ(ReadText(folder / "events.jsonl"), "");
}

// The reader never takes anything and the pipe is small: the file has every line, the
// writer never waits.
TEST(EventLog, FullBellDropsAndDoesNotWait) {
  TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  EventLog log(folder.path(), EventLog::Mode::kFresh, ends[1]);
  const std::string text(1000, 'x');
  for (int i = 0; i < 500; ++i) log.Write({{"text", text}});
  EXPECT_EQ(ReadText(folder / "events.jsonl").size(), 500 * (1000 + 12));
  close(ends[0]);
  close(ends[1]);
}

TEST(EventLog, MissingFolderIsNamed) {
  EXPECT_EQ(MessageOf<std::runtime_error>(
                [] { EventLog("/nonexistent", EventLog::Mode::kContinue, -1); }),
            "/nonexistent/events.jsonl: cannot be opened: No such file or directory");
}

TEST(EventNumber, CarriesWhatJsonCannot) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(EventNumber(2.5).dump(), "2.5");
  EXPECT_EQ(EventNumber(std::nan("")).dump(), "\"nan\"");
  EXPECT_EQ(EventNumber(infinity).dump(), "\"inf\"");
  EXPECT_EQ(EventNumber(-infinity).dump(), "\"-inf\"");
  for (double value : {0.1, 1e-300, -infinity, infinity}) {
    EXPECT_EQ(NumberFromEvent(EventNumber(value)), value);
  }
  EXPECT_TRUE(std::isnan(NumberFromEvent(EventNumber(std::nan("")))));
  EXPECT_THROW(NumberFromEvent("1.0"), std::runtime_error);
}

}  // namespace
}  // namespace loglog
