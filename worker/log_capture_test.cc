#include "worker/log_capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

TEST(LogCaptureTest, SmallLogsAreKeptWhole) {
  TempDir dir;
  LogCapture log(dir.path() + "/log", 10, 10);
  log.Append("0123");
  EXPECT_EQ(*ReadFile(dir.path() + "/log"), "0123");
  log.Append("456789abcdef");
  log.Close();
  EXPECT_EQ(*ReadFile(dir.path() + "/log"), "0123456789abcdef");
}

TEST(LogCaptureTest, OfLargeOnesHeadAndTail) {
  TempDir dir;
  LogCapture log(dir.path() + "/log", 10, 10);
  std::string all;
  for (int i = 0; i < 10'000; ++i) {
    const std::string line = absl::StrCat("line ", i, "\n");
    all += line;
    log.Append(line);
  }
  log.Close();
  const std::string kept = *ReadFile(dir.path() + "/log");
  EXPECT_LT(kept.size(), 100u);
  EXPECT_EQ(kept.substr(0, 10), all.substr(0, 10));
  EXPECT_EQ(kept.substr(kept.size() - 10), all.substr(all.size() - 10));
  const size_t tail = kept.size() - kept.find("]\n") - 2;
  EXPECT_THAT(kept,
              ::testing::HasSubstr(absl::StrCat("[", all.size() - 10 - tail, " bytes left out]")));
  EXPECT_EQ(all.substr(all.size() - 4'000),
            log.last_bytes().substr(log.last_bytes().size() - 4'000));
  EXPECT_LT(log.last_bytes().size(), 20'000u);
}

TEST(LogCaptureTest, PlaceThatCannotBeWritten) {
  LogCapture log("/no/such/folder/log", 10, 10);
  log.Append("words");
  log.Close();
  EXPECT_EQ(log.last_bytes(), "words");
}

}  // namespace
}  // namespace loglog::worker
