// What a worker says of sick devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/supervisor_testing.h"

namespace loglog::worker {
namespace {

// A host whose device fails one trainer after the other keeps the queue away from it.
TEST_F(SupervisorTest, DeviceErrorsInARowMakeItUnhealthy) {
  StopDaemon();
  daemon_clock_ = &clock_;
  StartDaemon(LOGLOG_FAKE_TRAINER);
  Upload();
  ScopedMisbehaviour broken("exit_at=2;exit_code=40");
  for (int64_t id = 17; id < 20; ++id) {
    EXPECT_EQ(supervisor_->View().unhealthy, "");
    Run(id, 5);
    EXPECT_EQ(Finish().kind, Outcome::Kind::kDeviceError);
    Wish(SlotEvent::Kind::kForget, id);
  }
  EXPECT_TRUE(Unhealthy("3 trainers in a row ended with a device error"));
  clock_.Advance(DeviceWatch::kSickMsMin);
  supervisor_->StopAttempt(99);  // wakes it
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().unhealthy.empty(); }));
}

TEST_F(SupervisorTest, AGpuThatVanishesMakesItUnhealthyUntilItIsBack) {
  StopDaemon();
  std::atomic<int> gpus = 2, looks = 0;
  read_gpus_ = [&]() -> absl::StatusOr<std::vector<GpuReading>> {
    ++looks;
    if (gpus < 0) return absl::UnavailableError("nvidia-smi does not answer");
    return std::vector<GpuReading>(gpus);
  };
  StartDaemon(LOGLOG_FAKE_TRAINER);
  for (const int now : {1, -1}) {
    EXPECT_TRUE(Eventually([&] { return supervisor_->View().unhealthy.empty(); }));
    ASSERT_TRUE(Eventually([&] { return looks > 1; }));  // it has seen both
    gpus = now;
    EXPECT_TRUE(Unhealthy(now == 1 ? "1 of 2 GPUs" : "does not answer"));
    gpus = 2;
  }
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().unhealthy.empty(); }));
  StopDaemon();  // before `gpus` goes
}

}  // namespace
}  // namespace loglog::worker
