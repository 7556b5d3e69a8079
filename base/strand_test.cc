#include "base/strand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace loglog {
namespace {

using ::testing::ElementsAre;

// A flag that one thread raises and another waits for.
class Signal {
 public:
  void Raise() {
    {
      MutexLock lock(mutex_);
      raised_ = true;
    }
    cv_.NotifyAll();
  }
  bool Wait() {
    MutexLock lock(mutex_);
    return cv_.WaitFor(mutex_, 60'000, [this]() LOGLOG_REQUIRES(mutex_) { return raised_; });
  }

 private:
  Mutex mutex_;
  CondVar cv_;
  bool raised_ LOGLOG_GUARDED_BY(mutex_) = false;
};

TEST(StrandTest, WhatIsQueuedSharesOneCommitAndIsAnsweredAfterIt) {
  std::vector<std::string> log;  // touched by the strand only, read after Stop
  Signal first_runs;
  Signal go_on;
  Strand strand({.begin = [&] { log.push_back("begin"); },
                 .commit =
                     [&] {
                       log.push_back("commit");
                       return absl::OkStatus();
                     },
                 .idle_ms = nullptr});
  ASSERT_TRUE(strand.Post([&]() -> Strand::After {
    first_runs.Raise();
    go_on.Wait();
    log.push_back("a");
    return [&](const absl::Status&) { log.push_back("after a"); };
  }));
  ASSERT_TRUE(first_runs.Wait());
  for (const char* name : {"b", "c"}) {
    ASSERT_TRUE(strand.Post([&log, name]() -> Strand::After {
      log.push_back(name);
      return [&log, name](const absl::Status&) { log.push_back(std::string("after ") + name); };
    }));
  }
  go_on.Raise();
  strand.Stop();
  EXPECT_THAT(log, ElementsAre("begin", "a", "commit", "after a", "begin", "b", "c", "commit",
                               "after b", "after c"));
}

TEST(StrandTest, AGroupHasAtMostSoManyClosures) {
  std::atomic<int> commits = 0;
  Signal first_runs;
  Signal go_on;
  Strand strand({.begin = nullptr,
                 .commit =
                     [&] {
                       ++commits;
                       return absl::OkStatus();
                     },
                 .idle_ms = nullptr},
                /*max_group=*/2);
  ASSERT_TRUE(strand.Post([&]() -> Strand::After {
    first_runs.Raise();
    go_on.Wait();
    return nullptr;
  }));
  ASSERT_TRUE(first_runs.Wait());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(strand.Post([]() -> Strand::After { return nullptr; }));
  }
  go_on.Raise();
  strand.Stop();
  EXPECT_EQ(commits, 1 + 3);
}

TEST(StrandTest, AFailedCommitIsToldToEveryoneOfTheGroup) {
  absl::Status seen;
  Strand strand({.begin = nullptr,
                 .commit = [] { return absl::ResourceExhaustedError("disk full"); },
                 .idle_ms = nullptr});
  ASSERT_TRUE(strand.Post(
      [&]() -> Strand::After { return [&](const absl::Status& committed) { seen = committed; }; }));
  strand.Stop();
  EXPECT_EQ(seen, absl::ResourceExhaustedError("disk full"));
}

TEST(StrandTest, StopRunsWhatIsQueuedAndRefusesTheRest) {
  std::atomic<int> ran = 0;
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(strand.Post([&]() -> Strand::After {
      ++ran;
      return nullptr;
    }));
  }
  strand.Stop();
  strand.Stop();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(strand.Post([]() -> Strand::After { return nullptr; }));
}

TEST(StrandTest, RunsEmptyGroupsAsTimePasses) {
  std::atomic<int> groups = 0;
  Signal many;
  Strand strand({.begin =
                     [&] {
                       if (++groups == 3) many.Raise();
                     },
                 .commit = nullptr,
                 .idle_ms = [] { return int64_t{1}; }});
  EXPECT_TRUE(many.Wait());
}

TEST(StrandTest, KnowsItsOwnThread) {
  std::atomic<bool> inside = false;
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr});
  ASSERT_TRUE(strand.Post([&]() -> Strand::After {
    inside = strand.InStrand();
    return nullptr;
  }));
  EXPECT_FALSE(strand.InStrand());
  strand.Stop();
  EXPECT_TRUE(inside);
}

TEST(StrandTest, WithoutAThreadItRunsWhenTold) {
  std::vector<std::string> seen;
  Strand strand({.begin = [&] { seen.push_back("begin"); },
                 .commit =
                     [&] {
                       seen.push_back("commit");
                       return absl::OkStatus();
                     },
                 .idle_ms = nullptr},
                /*max_group=*/2, Strand::Thread::kCaller);
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(strand.Post([&seen, name]() -> Strand::After {
      seen.push_back(name);
      return nullptr;
    }));
  }
  EXPECT_TRUE(seen.empty());
  EXPECT_TRUE(strand.RunGroup());
  EXPECT_EQ(seen, (std::vector<std::string>{"begin", "a", "b", "commit"}));
  EXPECT_FALSE(strand.RunGroup());
  EXPECT_EQ(seen.size(), 7);
  ASSERT_TRUE(strand.Post([&]() -> Strand::After {
    seen.push_back("last");
    return nullptr;
  }));
  strand.Stop();
  EXPECT_EQ(seen.at(8), "last");
}

TEST(StrandTest, ManyThreadsPostAndEachOneKeepsItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 500;
  std::vector<std::vector<int>> seen(kThreads);
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr}, /*max_group=*/7);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        ASSERT_TRUE(strand.Post([&seen, t, i]() -> Strand::After {
          seen[t].push_back(i);
          return nullptr;
        }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  strand.Stop();
  for (const std::vector<int>& one : seen) {
    ASSERT_EQ(one.size(), kPosts);
    for (int i = 0; i < kPosts; ++i) EXPECT_EQ(one[i], i);
  }
}

}  // namespace
}  // namespace loglog
