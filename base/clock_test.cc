#include "base/clock.h"

#include <gtest/gtest.h>

namespace loglog {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kMinuteMs = 60'000;

TEST(ClockTest, AnOffsetShiftsTheRealWallClockAndNothingElse) {
  const int64_t wall_ms = Clock::Real()->wall_ms();
  const int64_t monotonic_ms = Clock::Real()->monotonic_ms();
  SetWallClockOffset(-kHourMs);
  EXPECT_NEAR(Clock::Real()->wall_ms(), wall_ms - kHourMs, kMinuteMs);
  EXPECT_NEAR(Clock::Real()->monotonic_ms(), monotonic_ms, kMinuteMs);
  SetWallClockOffset(kHourMs);
  EXPECT_NEAR(Clock::Real()->wall_ms(), wall_ms + kHourMs, kMinuteMs);
  SetWallClockOffset(0);
  EXPECT_NEAR(Clock::Real()->wall_ms(), wall_ms, kMinuteMs);
}

TEST(ClockTest, AFakeWallClockCanBeSetOnItsOwn) {
  FakeClock clock(1'000);
  clock.Advance(500);
  clock.StepWall(-kHourMs);
  EXPECT_EQ(clock.monotonic_ms(), 1'500);
  EXPECT_EQ(clock.wall_ms(), 1'500 - kHourMs);
}

}  // namespace
}  // namespace loglog
