#include "base/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace loglog {
namespace {

TEST(GateTest, LetsSoManyIn) {
  Gate gate(2);
  Gate::Pass first = gate.TryEnter();
  const Gate::Pass copy = first;
  const Gate::Pass second = gate.TryEnter();
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(gate.TryEnter(), nullptr);
  EXPECT_EQ(gate.TryEnter(), nullptr) << "who was refused takes no place";
  first.reset();
  EXPECT_EQ(gate.TryEnter(), nullptr) << "the copy is still there";
}

TEST(GateTest, ThePassThatGoesMakesRoom) {
  Gate gate(1);
  Gate::Pass pass = gate.TryEnter();
  pass.reset();
  EXPECT_NE(gate.TryEnter(), nullptr);
}

TEST(GateTest, ManyThreadsNeverExceedIt) {
  Gate gate(3);
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 2'000; ++j) {
        const Gate::Pass pass = gate.TryEnter();
        if (pass == nullptr) continue;
        const int now = ++inside;
        int seen = most;
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_NE(gate.TryEnter(), nullptr) << "all have left";
}

}  // namespace
}  // namespace loglog
