#include "base/strand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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
  strand.Start();
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
  strand.Start();
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
  strand.Start();
  ASSERT_TRUE(strand.Post(
      [&]() -> Strand::After { return [&](const absl::Status& committed) { seen = committed; }; }));
  strand.Stop();
  EXPECT_EQ(seen, absl::ResourceExhaustedError("disk full"));
}

TEST(StrandTest, StopRunsWhatIsQueuedAndRefusesTheRest) {
  std::atomic<int> ran = 0;
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr});
  strand.Start();
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
  strand.Start();
  EXPECT_TRUE(many.Wait());
}

TEST(StrandTest, KnowsItsOwnThread) {
  std::atomic<bool> inside = false;
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr});
  strand.Start();
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

TEST(StrandTest, NothingRunsBeforeItsOwnerHasIt) {
  std::unique_ptr<Strand> owner;
  std::atomic<bool> assigned = false;
  std::atomic<bool> early = false;
  Signal began;
  owner = std::make_unique<Strand>(Strand::Hooks{.begin =
                                                     [&] {
                                                       if (!assigned) early = true;
                                                       began.Raise();
                                                     },
                                                 .commit = nullptr,
                                                 .idle_ms = [] { return int64_t{1}; }});
  // Time for a thread that should not be there.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  assigned = true;
  owner->Start();
  EXPECT_TRUE(began.Wait());
  owner->Stop();
  EXPECT_FALSE(early);
}

TEST(StrandTest, WhatWasPostedToOneThatNeverStartedRunsWhenItStops) {
  bool ran = false;
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr});
  ASSERT_TRUE(strand.Post([&ran]() -> Strand::After {
    ran = true;
    return nullptr;
  }));
  strand.Stop();
  EXPECT_TRUE(ran);
}

TEST(StrandTest, ManyThreadsPostAndEachOneKeepsItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 500;
  std::vector<std::vector<int>> seen(kThreads);
  Strand strand({.begin = nullptr, .commit = nullptr, .idle_ms = nullptr}, /*max_group=*/7);
  strand.Start();
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

// One group after the other, on this thread, with a clock that closures move.
class LanesTest : public ::testing::Test {
 protected:
  using Lane = Strand::Lane;
  void Post(const std::string& name, Lane lane, int64_t takes_ms = 0) {
    ASSERT_TRUE(strand_.Post(
        [this, name, takes_ms]() -> Strand::After {
          log_.push_back(name);
          now_ms_ += takes_ms;
          return nullptr;
        },
        lane));
  }
  std::vector<std::string> RunGroup() {
    log_.clear();
    strand_.RunGroup();
    return log_;
  }

  int64_t now_ms_ = 0;
  std::vector<std::string> log_;
  Strand strand_{{.begin = nullptr,
                  .commit = nullptr,
                  .idle_ms = nullptr,
                  .now_ms = [this] { return now_ms_; }},
                 /*max_group=*/4,
                 Strand::Thread::kCaller};
};

TEST_F(LanesTest, WhatIsUrgentOvertakesWhatIsPatient) {
  Post("p1", Lane::kPatient);
  Post("u1", Lane::kUrgent);
  Post("p2", Lane::kPatient);
  Post("u2", Lane::kUrgent);
  EXPECT_THAT(RunGroup(), ElementsAre("u1", "u2", "p1", "p2"));
}

TEST_F(LanesTest, PatientClosuresHaveABoundedTime) {
  for (int i = 0; i < 3; ++i) Post("p" + std::to_string(i), Lane::kPatient, Strand::kPatientMs - 1);
  EXPECT_THAT(RunGroup(), ElementsAre("p0", "p1"));
  Post("u", Lane::kUrgent);
  EXPECT_THAT(RunGroup(), ElementsAre("u", "p2"));
}

// However long one takes, and however much is urgent, each group has one of them.
TEST_F(LanesTest, NeitherLaneStarves) {
  for (int i = 0; i < 10; ++i) Post("u" + std::to_string(i), Lane::kUrgent);
  Post("p0", Lane::kPatient, 1'000);
  Post("p1", Lane::kPatient, 1'000);
  EXPECT_THAT(RunGroup(), ElementsAre("u0", "u1", "u2", "u3", "p0"));
  EXPECT_THAT(RunGroup(), ElementsAre("u4", "u5", "u6", "u7", "p1"));
  EXPECT_THAT(RunGroup(), ElementsAre("u8", "u9"));
}

TEST_F(LanesTest, StoppingRunsBothLanes) {
  Post("p", Lane::kPatient);
  Post("u", Lane::kUrgent);
  strand_.Stop();
  EXPECT_THAT(log_, ElementsAre("u", "p"));
}

}  // namespace
}  // namespace loglog
