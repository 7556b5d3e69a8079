#include "worker/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

class EventFileTest : public ::testing::Test {
 protected:
  // Steps of the rows in the next batch; -1 stands for an ignored line.
  std::vector<int64_t> ReadSteps(EventFile* file, const EventFile::Limits& limits = {}) {
    EventBatch batch;
    const absl::StatusOr<bool> read = file->Read(limits, &batch);
    EXPECT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read.ok() && *read, !batch.events.empty());
    std::vector<int64_t> steps;
    for (const TrainerEvent& event : batch.events) {
      const auto* row = std::get_if<MetricRowLine>(&event);
      steps.push_back(row == nullptr ? -1 : row->step);
    }
    return steps;
  }
  TempDir dir_;
  const std::string path_ = dir_.path() + "/events.jsonl";
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(EventFileTest, FollowsAGrowingFile) {
  EventFile file(path_);
  EXPECT_THAT(ReadSteps(&file), IsEmpty());
  AppendTo(path_, "");
  EXPECT_THAT(ReadSteps(&file), IsEmpty());
  AppendTo(path_, RowLine(1) + RowLine(2) + RowLine(3).substr(0, 20));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(1, 2));
  EXPECT_EQ(file.position().seq, 2);
  EXPECT_THAT(ReadSteps(&file), IsEmpty());
  AppendTo(path_, RowLine(3).substr(20));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(3));
}

TEST_F(EventFileTest, MalformedLinesKeepTheNumbering) {
  AppendTo(path_, RowLine(1) + "garbage\n\n" + RowLine(4));
  EventFile file(path_);
  EXPECT_THAT(ReadSteps(&file), ElementsAre(1, -1, -1, 4));
  EXPECT_EQ(file.position().seq, 4);
}

TEST_F(EventFileTest, BatchesAreBoundedByEventsAndBytes) {
  for (int i = 0; i < 10; ++i) AppendTo(path_, RowLine(i));
  EventFile by_events(path_);
  EXPECT_THAT(ReadSteps(&by_events, {.events_max = 4}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(ReadSteps(&by_events, {.events_max = 4}), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(ReadSteps(&by_events, {.events_max = 4}), ElementsAre(8, 9));
  EventFile by_bytes(path_);
  const int64_t two_lines = static_cast<int64_t>(RowLine(0).size() * 5 / 2);
  EXPECT_THAT(ReadSteps(&by_bytes, {.bytes_max = two_lines}), ElementsAre(0, 1));
  EXPECT_EQ(by_bytes.position().seq, 2);
}

TEST_F(EventFileTest, LinesLargerThanABatchAndLargerThanAnyLine) {
  // Legal but larger than the batch, then one that no trainer writes.
  const std::string padding(3'000, 'x');
  AppendTo(path_, "{\"e\":\"note\",\"text\":\"" + padding + "\"}\n" + RowLine(1));
  AppendTo(path_, std::string(3 << 20, 'y'));
  EventFile file(path_);
  EXPECT_THAT(ReadSteps(&file, {.bytes_max = 1'000, .events_max = 1}), ElementsAre(-1));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(1));
  EXPECT_THAT(ReadSteps(&file), IsEmpty());
  AppendTo(path_, "y\n" + RowLine(3));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(-1));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(3));
  EXPECT_EQ(file.position().seq, 4);
  EXPECT_EQ(EventFile::Summarize(path_)->lines, 4);
}

TEST_F(EventFileTest, TheLongestLineIsStillALine) {
  const std::string head = RowLine(1).substr(0, RowLine(1).size() - 2);  // without its "}\n"
  const auto padded = [&](int64_t bytes) {
    return head + std::string(bytes - head.size() - 2, ' ') + "}\n";
  };
  AppendTo(path_, padded(limits::kEventLineBytesMax) + padded(limits::kEventLineBytesMax + 1) +
                      RowLine(2));
  EventFile file(path_);
  EXPECT_THAT(ReadSteps(&file), ElementsAre(1));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(-1));
  EXPECT_THAT(ReadSteps(&file), ElementsAre(2));
}

TEST_F(EventFileTest, SeeksToAnyLine) {
  for (int i = 0; i < 100; ++i) AppendTo(path_, RowLine(i));
  EventFile file(path_);
  EXPECT_TRUE(*file.SeekToSeq(57));
  const EventFile::Position at_57 = file.position();
  EXPECT_EQ(ReadSteps(&file).front(), 57);
  EXPECT_TRUE(*file.SeekToSeq(0));
  EXPECT_EQ(ReadSteps(&file).front(), 0);
  EXPECT_TRUE(*file.SeekToSeq(100));
  EXPECT_THAT(ReadSteps(&file), IsEmpty());
  EXPECT_FALSE(*file.SeekToSeq(101));
  EXPECT_EQ(file.position().seq, 100);
  file.SeekTo(at_57);
  EXPECT_EQ(ReadSteps(&file).front(), 57);
}

TEST_F(EventFileTest, SummaryCountsWholeLinesAndEnds) {
  EXPECT_EQ(EventFile::Summarize(path_)->lines, 0);
  AppendTo(path_, RowLine(1) +
                      "{\"e\":\"end\",\"member\":0,\"outcome\":\"done\",\"step\":1,\"tokens\":1}\n"
                      "{\"e\":\"end\",\"member\":1,\"outcome\":\"diverged\",\"step\":1,"
                      "\"tokens\":1}\n"
                      "{\"e\":\"notice\",\"kind\":\"end\",\"step\":1}\n"
                      "{\"e\":\"end\",\"member\":2");
  const absl::StatusOr<EventSummary> summary = EventFile::Summarize(path_);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->lines, 4);
  EXPECT_EQ(summary->members_ended, 2);
  EXPECT_EQ(summary->members_diverged, 1);
}

}  // namespace
}  // namespace loglog::worker
