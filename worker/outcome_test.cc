#include "worker/outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace loglog::worker {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = Outcome::Kind;

constexpr EventSummary kEnded = {.lines = 10, .members_ended = 1, .members_diverged = 0};
constexpr EventSummary kDivergedEnd = {.lines = 10, .members_ended = 1, .members_diverged = 1};
constexpr EventSummary kOpen = {.lines = 10};

Outcome Exit(int code, StopCause cause = StopCause::kNone, const EventSummary& events = kEnded,
             const char* words = "progress\nerror: disk is made of cheese; buy another\n") {
  return ClassifyExit({.exit_code = code}, cause, events, 1, words);
}
Outcome Signal(int signal, StopCause cause = StopCause::kNone) {
  return ClassifyExit({.exit_code = -1, .signal = signal}, cause, kOpen, 1, "last words\n");
}

TEST(OutcomeTest, ExitCodesOfTheContract) {
  EXPECT_EQ(Exit(0).kind, Kind::kDone);
  EXPECT_EQ(Exit(0).last_seq, 9);
  EXPECT_EQ(Exit(0).message, "");
  EXPECT_EQ(Exit(10, StopCause::kNone, kDivergedEnd).kind, Kind::kDiverged);
  EXPECT_EQ(Exit(20).kind, Kind::kRefused);
  EXPECT_EQ(Exit(20).message,
            "trainer refused the task: error: disk is made of cheese; buy another");
  EXPECT_EQ(Exit(30).kind, Kind::kOutOfMemory);
  EXPECT_EQ(Exit(40).kind, Kind::kDeviceError);
  EXPECT_EQ(Exit(41).kind, Kind::kDeviceError);
  EXPECT_EQ(Exit(41).message,
            "data or disk of this host: error: disk is made of cheese; buy another");
  EXPECT_EQ(Exit(1).kind, Kind::kFailed);
  EXPECT_EQ(Exit(1).exit_code, 1);
  EXPECT_EQ(
      Exit(1).message,
      "trainer failed with exit code 1: progress\nerror: disk is made of cheese; buy another");
}

// Points would be missing, so the claim of the exit code alone is not believed.
TEST(OutcomeTest, T19_exit_code_without_its_events) {
  EXPECT_EQ(Exit(0, StopCause::kNone, kOpen).kind, Kind::kFailed);
  EXPECT_THAT(Exit(0, StopCause::kNone, kOpen).message, HasSubstr("end 0 of 1 members"));
  EXPECT_EQ(Exit(10, StopCause::kNone, kEnded).kind, Kind::kFailed);
}

TEST(OutcomeTest, AskedToStop) {
  EXPECT_EQ(Exit(143, StopCause::kAsked, kOpen).kind, Kind::kStopped);
  EXPECT_EQ(Signal(SIGTERM, StopCause::kAsked).kind, Kind::kStopped);
  EXPECT_EQ(Signal(SIGKILL, StopCause::kAsked).kind, Kind::kStopped);
  EXPECT_THAT(Signal(SIGKILL, StopCause::kAsked).message, HasSubstr("did not leave in time"));
  // It was faster than the signal.
  EXPECT_EQ(Exit(0, StopCause::kAsked).kind, Kind::kDone);
  EXPECT_EQ(Exit(20, StopCause::kAsked).kind, Kind::kRefused);
  EXPECT_EQ(Exit(0, StopCause::kLease).kind, Kind::kDone);
  // A crash on the way out is a crash.
  EXPECT_EQ(Signal(SIGSEGV, StopCause::kAsked).kind, Kind::kFailed);
}

// T05: what the trainer did not bring on itself does not spend its retries.
TEST(OutcomeTest, T05_infrastructure_is_not_the_trials_failure) {
  EXPECT_EQ(Signal(SIGKILL, StopCause::kLease).kind, Kind::kLost);
  EXPECT_THAT(Signal(SIGKILL, StopCause::kLease).message, HasSubstr("lease"));
  EXPECT_EQ(Signal(SIGKILL).kind, Kind::kLost);
  EXPECT_THAT(Signal(SIGKILL).message, HasSubstr("SIGKILL, which this worker did not send"));
  EXPECT_EQ(Signal(SIGTERM).kind, Kind::kLost);
  EXPECT_EQ(Exit(143, StopCause::kNone, kOpen).kind, Kind::kLost);
  EXPECT_EQ(Signal(SIGSEGV).kind, Kind::kFailed);
  EXPECT_EQ(Signal(SIGABRT).signal, SIGABRT);
  EXPECT_EQ(Signal(SIGABRT).message, "trainer crashed with SIGABRT: last words");
  EXPECT_EQ(Signal(SIGBUS).kind, Kind::kDeviceError);
  EXPECT_EQ(Exit(127).kind, Kind::kDeviceError);
  EXPECT_THAT(Exit(127).message, HasSubstr("cannot be loaded on this host"));
  const Outcome unread = ClassifyUnreadEnd({.exit_code = 0}, "events.jsonl: Input/output error");
  EXPECT_EQ(unread.kind, Kind::kDeviceError);
  EXPECT_THAT(unread.message, HasSubstr("data or disk of this host"));
}

// The coordinator takes signals for a sign of a host that kills trainers.
TEST(OutcomeTest, ASignalOfOurOwnIsNotReported) {
  EXPECT_EQ(Signal(SIGKILL).signal, SIGKILL);
  EXPECT_EQ(Signal(SIGKILL, StopCause::kLease).signal, 0);
  EXPECT_EQ(ClassifyUnseenEnd(kOpen, 1).signal, 0);
}

TEST(OutcomeTest, EndThatNobodySaw) {
  EXPECT_EQ(ClassifyUnseenEnd(kEnded, 1).kind, Kind::kDone);
  EXPECT_EQ(ClassifyUnseenEnd(kDivergedEnd, 1).kind, Kind::kDiverged);
  EXPECT_EQ(ClassifyUnseenEnd(kEnded, 2).kind, Kind::kLost);
  EXPECT_EQ(ClassifyUnseenEnd(kOpen, 1).kind, Kind::kLost);
  EXPECT_EQ(ClassifyUnseenEnd(kEnded, 0).kind, Kind::kLost);
  EXPECT_EQ(ClassifyUnseenEnd(kOpen, 1).last_seq, 9);
}

TEST(OutcomeTest, MessagesAreUtf8AndBounded) {
  EXPECT_EQ(CleanMessage(" a\xff"
                         "b\n"),
            "a\xEF\xBF\xBD"
            "b");
  std::string lengthy;
  for (int i = 0; i < 2'000; ++i) lengthy += "\xC3\xA4";
  const std::string cut = CleanMessage(lengthy + "end");
  EXPECT_LE(cut.size(), limits::kOutcomeMessageBytesMax);
  EXPECT_GE(cut.size(), limits::kOutcomeMessageBytesMax - 2);
  EXPECT_THAT(cut, StartsWith("... \xC3"));
  EXPECT_THAT(cut, EndsWith("end"));
  EXPECT_EQ(CleanMessage(cut), cut);
  EXPECT_EQ(CleanMessage("longer than that", 3), "... ");
}

TEST(OutcomeTest, FileRoundTrip) {
  const Outcome outcome{.kind = Kind::kDeviceError,
                        .exit_code = 40,
                        .signal = 0,
                        .last_seq = 123,
                        .message = "say \"hi\"\n\xC3\xA4"};
  EXPECT_EQ(*OutcomeFromJson(OutcomeToJson(outcome)), outcome);
  for (const char* bad : {"", "{", "[]", "{\"outcome\":\"x\"}", "{\"outcome\":\"done\"}"}) {
    EXPECT_EQ(OutcomeFromJson(bad).status().code(), absl::StatusCode::kDataLoss) << bad;
  }
}

}  // namespace
}  // namespace loglog::worker
