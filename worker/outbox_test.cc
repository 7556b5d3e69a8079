#include "worker/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Batches are taken without waiting, on a clock that the test moves.
class OutboxTest : public ::testing::Test {
 protected:
  std::unique_ptr<Outbox> MakeOutbox() {
    return std::make_unique<Outbox>(
        Outbox::Options{.limits = {.events_max = 3},
                        .flush_ms = 200,
                        .poll_ms = 1'000,
                        .in_flight_max = 2,
                        .clock = &clock_,
                        .on_uploaded = [this](int64_t id) { uploaded_.push_back(id); },
                        .on_fenced = [this](int64_t id) { fenced_.push_back(id); }});
  }
  std::string Path(int64_t attempt_id) { return absl::StrCat(dir_.path(), "/", attempt_id); }
  void AddRows(int64_t attempt_id, int from, int count) {
    for (int i = from; i < from + count; ++i) AppendTo(Path(attempt_id), RowLine(i));
  }
  // "17@3+2": attempt 17, events 3 and 4. Empty: nothing to send.
  std::string Take() {
    EventBatch batch;
    if (!outbox_->NextBatch(0, &batch)) return "";
    return absl::StrCat(batch.attempt_id, "@", batch.first_seq, "+", batch.events.size());
  }
  void AskAndResume(int64_t attempt_id, int64_t last_seq) {
    ASSERT_EQ(Take(), absl::StrCat(attempt_id, "@0+0"));
    outbox_->Acknowledge(attempt_id, last_seq, false);
  }

  TempDir dir_;
  FakeClock clock_;
  std::vector<int64_t> uploaded_, fenced_;
  std::unique_ptr<Outbox> outbox_ = MakeOutbox();
};

TEST_F(OutboxTest, AsksFirstThenSendsWithABoundedWindow) {
  AddRows(17, 0, 8);
  EXPECT_EQ(Take(), "");
  outbox_->Add(17, Path(17));
  EXPECT_TRUE(outbox_->WaitForWork(0));
  EXPECT_EQ(Take(), "17@0+0");
  EXPECT_EQ(Take(), "");
  outbox_->Acknowledge(17, -1, false);
  EXPECT_EQ(Take(), "17@0+3");
  EXPECT_EQ(Take(), "17@3+3");
  EXPECT_EQ(Take(), "");
  outbox_->Acknowledge(17, 2, false);
  EXPECT_EQ(Take(), "17@6+2");
  outbox_->Acknowledge(17, 7, false);
  EXPECT_EQ(outbox_->UploadOf(17).last_acknowledged, 7);
  EXPECT_THAT(uploaded_, IsEmpty());
}

TEST_F(OutboxTest, SmallRowsGatherForAWhile) {
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "");
  AddRows(17, 0, 1);
  outbox_->Bell(17);
  EXPECT_EQ(Take(), "17@0+1");
  AddRows(17, 1, 1);
  outbox_->Bell(17);
  EXPECT_EQ(Take(), "");
  clock_.Advance(200);
  AddRows(17, 2, 1);
  EXPECT_EQ(Take(), "17@1+2");
  // Without a bell the file is looked at now and then.
  outbox_->Acknowledge(17, 2, false);
  clock_.Advance(200);
  EXPECT_EQ(Take(), "");
  AddRows(17, 3, 1);
  clock_.Advance(999);
  EXPECT_EQ(Take(), "");
  clock_.Advance(1);
  EXPECT_EQ(Take(), "17@3+1");
}

TEST_F(OutboxTest, UploadedWhenSealedAndAllAcknowledged) {
  AddRows(17, 0, 4);
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "17@0+3");
  outbox_->Seal(17, 3);
  EXPECT_EQ(Take(), "17@3+1");
  outbox_->Acknowledge(17, 2, false);
  EXPECT_THAT(uploaded_, IsEmpty());
  outbox_->Acknowledge(17, 3, false);
  EXPECT_THAT(uploaded_, ElementsAre(17));
  EXPECT_EQ(Take(), "");
  outbox_->Acknowledge(17, 3, false);
  EXPECT_THAT(uploaded_, ElementsAre(17));
}

TEST_F(OutboxTest, NothingWrittenIsUploadedAtOnce) {
  outbox_->Add(17, Path(17));
  outbox_->Seal(17, -1);
  EXPECT_THAT(uploaded_, ElementsAre(17));
  outbox_->Seal(99, 5);
  EXPECT_THAT(uploaded_, ElementsAre(17));
}

TEST_F(OutboxTest, SealAfterTheLastAcknowledgement) {
  AddRows(17, 0, 2);
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "17@0+2");
  outbox_->Acknowledge(17, 1, false);
  outbox_->Seal(17, 1);
  EXPECT_THAT(uploaded_, ElementsAre(17));
}

// A stream that broke: what was in flight is sent again from where the coordinator is.
TEST_F(OutboxTest, ResumesWhereTheCoordinatorIs) {
  AddRows(17, 0, 9);
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "17@0+3");
  EXPECT_EQ(Take(), "17@3+3");
  outbox_->Acknowledge(17, 2, false);
  outbox_->Restart();
  // The second batch had arrived; its acknowledgement had not.
  AskAndResume(17, 5);
  EXPECT_EQ(Take(), "17@6+3");
  outbox_->Restart();
  AskAndResume(17, 5);
  EXPECT_EQ(Take(), "17@6+3");
  // A coordinator whose store was put back asks for older ones.
  outbox_->Restart();
  AskAndResume(17, 0);
  EXPECT_EQ(Take(), "17@1+3");
}

// The daemon starts again and knows nothing but the files.
TEST_F(OutboxTest, SurvivesADaemonRestart) {
  AddRows(17, 0, 5);
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "17@0+3");
  outbox_ = MakeOutbox();
  outbox_->Add(17, Path(17));
  outbox_->Seal(17, 4);
  AskAndResume(17, 2);
  EXPECT_EQ(Take(), "17@3+2");
  outbox_->Acknowledge(17, 4, false);
  EXPECT_THAT(uploaded_, ElementsAre(17));
  // All was stored, only its acknowledgement was lost.
  outbox_ = MakeOutbox();
  outbox_->Add(17, Path(17));
  outbox_->Seal(17, 4);
  AskAndResume(17, 4);
  EXPECT_THAT(uploaded_, ElementsAre(17, 17));
}

TEST_F(OutboxTest, AttemptsTakeTurns) {
  for (const int64_t id : {1, 2, 3}) {
    AddRows(id, 0, 9);
    outbox_->Add(id, Path(id));
  }
  EXPECT_EQ(Take(), "1@0+0");
  EXPECT_EQ(Take(), "2@0+0");
  EXPECT_EQ(Take(), "3@0+0");
  for (const int64_t id : {1, 2, 3}) outbox_->Acknowledge(id, -1, false);
  EXPECT_EQ(Take(), "1@0+3");
  EXPECT_EQ(Take(), "2@0+3");
  EXPECT_EQ(Take(), "3@0+3");
  EXPECT_EQ(Take(), "1@3+3");
}

TEST_F(OutboxTest, FencedAttemptFallsSilent) {
  AddRows(17, 0, 9);
  outbox_->Add(17, Path(17));
  AskAndResume(17, -1);
  EXPECT_EQ(Take(), "17@0+3");
  outbox_->Acknowledge(17, 2, true);
  EXPECT_THAT(fenced_, ElementsAre(17));
  EXPECT_EQ(Take(), "");
  outbox_->Restart();
  EXPECT_EQ(Take(), "");
  EXPECT_THAT(uploaded_, IsEmpty());
  outbox_->Drop(17);
  outbox_->Acknowledge(17, 2, false);
}

// What is dropped may be what the others wait for.
TEST_F(OutboxTest, DroppingWakesWhoWaits) {
  for (const int64_t id : {1, 2}) {
    AddRows(id, 0, 4);
    outbox_->Add(id, Path(id));
  }
  EXPECT_EQ(Take(), "1@0+0");
  EXPECT_EQ(Take(), "2@0+0");
  EXPECT_EQ(outbox_->BlameRefusal("gap"), 0);
  outbox_->Restart();
  EXPECT_EQ(Take(), "1@0+0");
  EXPECT_EQ(Take(), "");  // one at a time
  std::thread dropper([this] { outbox_->Drop(1); });
  // Only the news ends the wait.
  EventBatch batch;
  EXPECT_TRUE(outbox_->NextBatch(/*timeout_ms=*/3'600'000, &batch));
  EXPECT_EQ(batch.attempt_id, 2);
  dropper.join();
}

TEST_F(OutboxTest, FindsTheAttemptWhoseEventsAreRefused) {
  for (const int64_t id : {1, 2}) {
    AddRows(id, 0, 4);
    outbox_->Add(id, Path(id));
  }
  EXPECT_EQ(Take(), "1@0+0");
  EXPECT_EQ(Take(), "2@0+0");
  outbox_->Acknowledge(1, -1, false);
  outbox_->Acknowledge(2, 0, false);
  EXPECT_EQ(Take(), "1@0+3");
  EXPECT_EQ(Take(), "2@1+3");
  EXPECT_EQ(outbox_->BlameRefusal("gap"), 0);
  // One at a time from here on.
  outbox_->Restart();
  EXPECT_EQ(Take(), "1@0+0");
  EXPECT_EQ(Take(), "");
  outbox_->Acknowledge(1, 3, false);
  EXPECT_EQ(Take(), "2@0+0");
  EXPECT_EQ(Take(), "");
  outbox_->Acknowledge(2, 0, false);
  EXPECT_EQ(Take(), "2@1+3");
  EXPECT_EQ(Take(), "");
  EXPECT_EQ(outbox_->BlameRefusal("gap"), 2);
  EXPECT_THAT(uploaded_, IsEmpty());
  outbox_->Seal(2, 3);
  EXPECT_THAT(uploaded_, ElementsAre(2));
  EXPECT_EQ(outbox_->UploadOf(2).last_acknowledged, 0);
  EXPECT_EQ(outbox_->UploadOf(2).refusal, "gap");
  // The culprit is known: nobody waits for anybody any more.
  outbox_->Restart();
  outbox_->Add(3, Path(3));
  EXPECT_EQ(Take(), "3@0+0");
  EXPECT_EQ(Take(), "1@0+0");
}

TEST_F(OutboxTest, KnowsHowLongAnswersAreOverdue) {
  AddRows(17, 0, 1);
  outbox_->Add(17, Path(17));
  EXPECT_EQ(outbox_->OldestUnanswered(), 0);
  EXPECT_EQ(Take(), "17@0+0");
  clock_.Advance(70);
  EXPECT_EQ(outbox_->OldestUnanswered(), 70);
  outbox_->Acknowledge(17, -1, false);
  EXPECT_EQ(outbox_->OldestUnanswered(), 0);
  EXPECT_EQ(Take(), "17@0+1");
  clock_.Advance(30);
  EXPECT_EQ(outbox_->OldestUnanswered(), 30);
  outbox_->Acknowledge(17, 0, false);
  EXPECT_EQ(outbox_->OldestUnanswered(), 0);
}

TEST_F(OutboxTest, WaitersHearOfNewsAndInterrupts) {
  Outbox outbox({.on_uploaded = [](int64_t) {}, .on_fenced = [](int64_t) {}});
  EventBatch batch;
  std::thread adder([&] { outbox.Add(17, Path(17)); });
  EXPECT_TRUE(outbox.NextBatch(kLongMs, &batch));
  adder.join();
  std::thread interrupter([&] { outbox.Interrupt(); });
  EXPECT_FALSE(outbox.NextBatch(kLongMs, &batch));
  interrupter.join();
  // One that comes before the wait is not lost.
  outbox.Interrupt();
  EXPECT_FALSE(outbox.WaitForWork(kLongMs));
}

}  // namespace
}  // namespace loglog::worker
