#include "worker/lease_guard.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "base/subprocess.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

class LeaseGuardTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Subprocess> StartSleeper() {
    return *Subprocess::Spawn({.argv = {"/bin/sleep", "1000"}});
  }
  static void ExpectKilled(Subprocess* process) {
    ExitStatus status;
    ASSERT_TRUE(process->WaitReaped(kLongMs, &status));
    EXPECT_EQ(status.signal, SIGKILL);
  }

  FakeClock clock_;
  LeaseGuard guard_{&clock_};
};

TEST_F(LeaseGuardTest, KillsOnceTheDeadlineIsWellPast) {
  const std::unique_ptr<Subprocess> first = StartSleeper(), second = StartSleeper();
  guard_.Watch(first->pid());
  EXPECT_EQ(guard_.KillOverdue(), 0);  // no lease was given yet
  guard_.SetDeadline(clock_.monotonic_ms() + 1'000);
  guard_.Watch(second->pid());
  clock_.Advance(1'499);
  EXPECT_EQ(guard_.KillOverdue(), 0);
  EXPECT_EQ(kill(first->pid(), 0), 0);
  clock_.Advance(1);  // the guard's own thread sees it
  ExpectKilled(first.get());
  ExpectKilled(second.get());
  EXPECT_TRUE(guard_.Release(first->pid()));
  EXPECT_FALSE(guard_.Release(first->pid()));
}

TEST_F(LeaseGuardTest, ARenewedLeaseAndAReleasedGroupAreLeftAlone) {
  const std::unique_ptr<Subprocess> released = StartSleeper(), renewed = StartSleeper();
  guard_.SetDeadline(clock_.monotonic_ms() + 1'000);
  guard_.Watch(released->pid());
  guard_.Watch(renewed->pid());
  guard_.SetDeadline(clock_.monotonic_ms() + 9'000);
  clock_.Advance(5'000);
  EXPECT_EQ(guard_.KillOverdue(), 0);
  EXPECT_FALSE(guard_.Release(released->pid()));
  clock_.Advance(5'000);
  ExpectKilled(renewed.get());
  ExitStatus status;
  EXPECT_FALSE(released->TryReap(&status));
  EXPECT_EQ(kill(released->pid(), 0), 0);
}

}  // namespace
}  // namespace loglog::worker
