#include "worker/device_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Outcome DeviceError() {
  return {.kind = Outcome::Kind::kDeviceError,
          .exit_code = 40,
          .message = "device error: CUDA error: an illegal memory access"};
}
Outcome Done() { return {.kind = Outcome::Kind::kDone, .exit_code = 0}; }

class DeviceWatchTest : public ::testing::Test {
 protected:
  // Two slots.
  DeviceWatch watch_{{Device{.name = "cuda:0"}, Device{.name = "cuda:1"}}};
  int64_t now_ms_ = 1'000'000;
  std::string Problem() const { return watch_.Problem(now_ms_); }
};

TEST_F(DeviceWatchTest, DeviceErrorsInARowKeepWorkAwayForAWhile) {
  watch_.OnEnded(1, DeviceError(), now_ms_);
  watch_.OnEnded(1, DeviceError(), now_ms_);
  watch_.OnEnded(0, DeviceError(), now_ms_);  // another slot's
  EXPECT_EQ(Problem(), "");
  watch_.OnEnded(1, DeviceError(), now_ms_);
  EXPECT_THAT(Problem(), AllOf(HasSubstr("slot 1 (cuda:1): 3 trainers in a row"),
                               HasSubstr("illegal memory access"), HasSubstr("nvidia-smi"),
                               HasSubstr("after 1m")));
  const std::string problem = Problem();
  now_ms_ += DeviceWatch::kSickMsMin - 1;
  EXPECT_EQ(Problem(), problem);
  now_ms_ += 1;
  EXPECT_EQ(Problem(), "");  // one more try
  watch_.OnEnded(1, DeviceError(), now_ms_);
  EXPECT_THAT(Problem(), AllOf(HasSubstr("4 trainers"), HasSubstr("after 2m")));
  now_ms_ += 2 * DeviceWatch::kSickMsMin;
  EXPECT_EQ(Problem(), "");
  watch_.OnEnded(1, Done(), now_ms_);  // as new
  watch_.OnEnded(1, DeviceError(), now_ms_);
  watch_.OnEnded(1, DeviceError(), now_ms_);
  EXPECT_EQ(Problem(), "");
}

TEST_F(DeviceWatchTest, TheWaitIsBounded) {
  for (int i = 0; i < 100; ++i) watch_.OnEnded(0, DeviceError(), now_ms_);
  EXPECT_THAT(Problem(), HasSubstr("after 1h"));
}

// What was stopped, lost or refused, or lacked data (41), tells nothing of the device; a
// trainer's own failure tells that the device worked.
TEST_F(DeviceWatchTest, OtherEnds) {
  using Kind = Outcome::Kind;
  for (int i = 0; i < 2; ++i) watch_.OnEnded(0, DeviceError(), now_ms_);
  watch_.OnEnded(0, {.kind = Kind::kLost, .signal = 9}, now_ms_);
  watch_.OnEnded(0, {.kind = Kind::kStopped, .exit_code = 143}, now_ms_);
  watch_.OnEnded(0, {.kind = Kind::kRefused, .exit_code = 20}, now_ms_);
  watch_.OnEnded(0, {.kind = Kind::kDeviceError, .exit_code = 41}, now_ms_);
  EXPECT_EQ(Problem(), "");
  watch_.OnEnded(0, DeviceError(), now_ms_);
  EXPECT_NE(Problem(), "");
  watch_.OnEnded(0, {.kind = Kind::kFailed, .exit_code = 1}, now_ms_);
  EXPECT_EQ(Problem(), "");
}

TEST_F(DeviceWatchTest, OneFailedLookIsChanceTwoAreNot) {
  const absl::Status hangs = absl::UnavailableError("nvidia-smi does not answer");
  watch_.OnReadings(hangs);
  EXPECT_EQ(Problem(), "");
  watch_.OnReadings(std::vector<GpuReading>(2));
  watch_.OnReadings(hangs);
  EXPECT_EQ(Problem(), "");
  watch_.OnReadings(hangs);
  EXPECT_THAT(Problem(), AllOf(HasSubstr("does not answer"), HasSubstr("Xid")));
  watch_.OnReadings(std::vector<GpuReading>(2));
  EXPECT_EQ(Problem(), "");
}

TEST_F(DeviceWatchTest, AGpuThatIsGoneIsMissed) {
  watch_.OnReadings(std::vector<GpuReading>(4));
  EXPECT_EQ(Problem(), "");
  watch_.OnReadings(std::vector<GpuReading>(3));
  EXPECT_THAT(Problem(), HasSubstr("3 of 4 GPUs"));
  watch_.OnReadings(std::vector<GpuReading>(4));
  EXPECT_EQ(Problem(), "");
}

TEST_F(DeviceWatchTest, NewMemoryErrorsCountOldOnesDoNot) {
  watch_.OnReadings(std::vector<GpuReading>{{7}, {0}, {-1}});
  EXPECT_EQ(Problem(), "");
  watch_.OnReadings(std::vector<GpuReading>{{7}, {2}, {-1}});
  EXPECT_THAT(Problem(), AllOf(HasSubstr("GPU 1 of nvidia-smi has had 2 memory errors"),
                               HasSubstr("--gpu-reset")));
  watch_.OnReadings(std::vector<GpuReading>{{7}, {2}, {-1}});
  EXPECT_NE(Problem(), "");
  watch_.OnReadings(std::vector<GpuReading>{{0}, {0}, {-1}});  // reset
  EXPECT_EQ(Problem(), "");
  watch_.OnReadings(std::vector<GpuReading>{{1}, {0}, {-1}});
  EXPECT_THAT(Problem(), HasSubstr("GPU 0 of nvidia-smi has had 1 memory errors"));
}

// The tool is a program that may say anything, fail or hang.
class ReadGpusTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<GpuReading>> ReadFrom(const std::string& script,
                                                   int64_t timeout_ms = kLongMs) {
    const std::string path = dir_.path() + "/nvidia-smi";
    EXPECT_TRUE(WriteFileAtomically(path, "#!/bin/sh\n" + script, 0700).ok());
    return ReadGpus(path, timeout_ms);
  }
  TempDir dir_;
};

TEST_F(ReadGpusTest, OneLineForEachGpu) {
  const auto readings = ReadFrom("echo 0\necho 12\necho '[N/A]'\n");
  ASSERT_TRUE(readings.ok()) << readings.status();
  ASSERT_EQ(readings->size(), 3u);
  EXPECT_EQ((*readings)[0].uncorrected_errors, 0);
  EXPECT_EQ((*readings)[1].uncorrected_errors, 12);
  EXPECT_EQ((*readings)[2].uncorrected_errors, -1);
}

TEST_F(ReadGpusTest, AsksForWhatItReads) {
  const auto readings = ReadFrom(
      "[ \"$1\" = --query-gpu=ecc.errors.uncorrected.volatile.total ] && "
      "[ \"$2\" = --format=csv,noheader,nounits ] && echo 5\n");
  ASSERT_TRUE(readings.ok()) << readings.status();
  EXPECT_EQ(readings->at(0).uncorrected_errors, 5);
}

TEST_F(ReadGpusTest, AToolThatFailsOrHangsIsAnError) {
  EXPECT_THAT(
      ReadFrom("echo 'Unable to determine the device handle'\nexit 15\n").status().message(),
      HasSubstr("nvidia-smi"));
  EXPECT_THAT(std::string(ReadFrom("sleep 1000\n", /*timeout_ms=*/50).status().message()),
              HasSubstr("does not answer"));
}

}  // namespace
}  // namespace loglog::worker
