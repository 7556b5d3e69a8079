#include "coordinator/reader_pool.h"

#include <atomic>

#include "coordinator/engine_testing.h"
#include "store/store.h"

namespace loglog {
namespace {

// A shutdown waits for the job that runs, and answers those that wait.
TEST(ReaderPoolTest, StoppingDropsWhatWaits) {
  ScratchFolder folder;
  const auto store = Store::Open(folder / "store.db");
  ASSERT_TRUE(store.ok()) << store.status();
  const auto pool = ReaderPool::Open(folder / "store.db", 1);
  ASSERT_TRUE(pool.ok()) << pool.status();

  Answer<int> started;
  Mutex mutex;
  CondVar changed;
  bool go_on = false;
  std::atomic<int> ran = 0;
  std::atomic<int> dropped = 0;
  const auto drop = [&](const absl::Status& why) {
    EXPECT_TRUE(absl::IsUnavailable(why)) << why;
    ++dropped;
  };
  (*pool)->Post(
      [&](const ReadStore&) {
        started.reply()(1);
        MutexLock lock(mutex);
        changed.Wait(mutex, [&] { return go_on; });
        ++ran;
      },
      drop);
  ASSERT_TRUE(started.Wait().ok());
  for (int i = 0; i < 5; ++i) (*pool)->Post([&](const ReadStore&) { ++ran; }, drop);
  (*pool)->DropQueued();
  EXPECT_EQ(dropped, 5);
  (*pool)->Post([&](const ReadStore&) { ++ran; }, drop);
  EXPECT_EQ(dropped, 6);
  {
    MutexLock lock(mutex);
    go_on = true;
  }
  changed.NotifyAll();
  (*pool)->Stop();
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace loglog
