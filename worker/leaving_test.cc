// What a daemon hears that is told to leave, and that it does.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "worker/exit_watchdog.h"
#include "worker/signal_thread.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

// A number that another thread moves.
class Counter {
 public:
  void Set(int value) {
    MutexLock lock(mutex_);
    value_ = value;
    changed_.NotifyAll();
  }
  bool Becomes(int value) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(mutex_, kLongMs,
                            [&]() LOGLOG_REQUIRES(mutex_) { return value_ == value; });
  }
  int value() {
    MutexLock lock(mutex_);
    return value_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int value_ LOGLOG_GUARDED_BY(mutex_) = 0;
};

// Slurm's --signal=USR2, say, must not make it deaf to what follows.
TEST(SignalThreadTest, EverySignalIsHeard) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  const sigset_t signals = BlockLeaveSignals();
  Counter heard;
  {
    SignalThread thread(signals, [&](int count) { heard.Set(count); });
    int count = 0;
    for (const int signal : {SIGUSR2, SIGUSR1, SIGTERM, SIGUSR2, SIGINT}) {
      ASSERT_EQ(kill(getpid(), signal), 0);
      ASSERT_TRUE(heard.Becomes(++count)) << signal;
    }
  }
  EXPECT_EQ(heard.value(), 5);  // its own end is not one of them
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(ExitWatchdogTest, CallsOnceWhenItIsLate) {
  FakeClock clock;
  Counter calls;
  ExitWatchdog watchdog(&clock, [&] { calls.Set(calls.value() + 1); });
  clock.Advance(100'000);
  watchdog.Arm(5'000);
  watchdog.Arm(60'000);
  clock.Advance(4'999);
  EXPECT_EQ(calls.value(), 0);
  clock.Advance(1);
  EXPECT_TRUE(calls.Becomes(1));
}

TEST(ExitWatchdogTest, WhoLeavesInTimeIsLeftAlone) {
  FakeClock clock;
  Counter calls;
  {
    ExitWatchdog watchdog(&clock, [&] { calls.Set(1); });
    watchdog.Arm(5'000);
  }
  clock.Advance(100'000);
  EXPECT_EQ(calls.value(), 0);
}

}  // namespace
}  // namespace loglog::worker
