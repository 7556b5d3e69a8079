// Tasks that hold several slots, with real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/supervisor_testing.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The follower says the same as its lead, until the trainer is gone.
TEST_F(SupervisorTest, AGangHoldsAllOfItsSlots) {
  auto deaf = std::make_unique<ScopedMisbehaviour>("hang_at=3;ignore_sigterm=1");
  RunGang(17, 25);
  for (const int slot : {0, 1}) {
    EXPECT_EQ(SlotNow(slot).state, State::kRunning);
    EXPECT_EQ(SlotNow(slot).attempt_id, 17);
  }
  EXPECT_THAT(*ReadFile(Dir(17) + "/task.json"), HasSubstr("\"device\":\"cpu\",\"threads\":2"));
  Run(18, 5, 1);  // not beside it
  EXPECT_EQ(SlotNow(1).attempt_id, 17);
  EXPECT_FALSE(PathExists(Dir(18)));
  WaitForEvent(17, "\"step\":2,");
  Wish(SlotEvent::Kind::kStop, 17, 1);  // nobody tells a follower anything
  EXPECT_EQ(SlotNow(1).state, State::kRunning);
  const pid_t pid = Pid(17);
  Wish(SlotEvent::Kind::kStop, 17);
  EXPECT_EQ(SlotNow(0).state, State::kStopping);
  EXPECT_EQ(SlotNow(1).state, State::kStopping);
  EXPECT_EQ(SlotNow(1).attempt_id, 17);
  const uint64_t urgent = supervisor_->View().urgent;
  EXPECT_TRUE(Becomes(State::kUploading));
  EXPECT_TRUE(GroupIsGone(pid));
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
  EXPECT_EQ(SlotNow(1).attempt_id, 0);
  EXPECT_GT(supervisor_->View().urgent, urgent);  // it can have other work at once
  deaf.reset();
  Run(18, 5, 1);
  Upload();
  EXPECT_EQ(Finish(1).kind, Outcome::Kind::kDone);
  EXPECT_EQ(Finish(0).kind, Outcome::Kind::kStopped);
}

TEST_F(SupervisorTest, AGangWaitsForAllOfItsSlots) {
  Upload();
  {
    ScopedMisbehaviour hang("hang_at=3");
    Run(17, 25, 1);
    WaitForEvent(17, "\"step\":2,");
  }
  RunGang(18, 5);
  EXPECT_EQ(SlotNow(0).state, State::kIdle);  // reported as it is: the order comes again
  EXPECT_FALSE(PathExists(Dir(18)));
  Wish(SlotEvent::Kind::kStop, 17, 1);
  Finish(1);
  RunGang(18, 5);  // its report is still owed
  EXPECT_EQ(SlotNow(0).state, State::kIdle);
  Wish(SlotEvent::Kind::kForget, 17, 1);
  RunGang(18, 5);
  EXPECT_EQ(Finish(0).kind, Outcome::Kind::kDone);
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
}

TEST_F(SupervisorTest, OrdersWithImpossibleSlotsAreNotStarted) {
  for (const std::vector<int>& slots :
       std::vector<std::vector<int>>{{1, 0}, {0, 2}, {0, -1}, {0, 0}, {0, 1, 1}}) {
    TaskOrder order = MakeOrder(17, 17, 5);
    order.slots = slots;
    Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = order});
    EXPECT_EQ(SlotNow(0).state, State::kIdle);
    EXPECT_EQ(SlotNow(1).state, State::kIdle);
  }
  for (const int64_t id : {0, -5}) {
    Run(id, 5);
    EXPECT_EQ(SlotNow(0).state, State::kIdle);
  }
  EXPECT_THAT(run_dir_->ListAttempts(kStore), IsEmpty());
}

TEST_F(SupervisorTest, AGangsLeaseAndDrainAreItsLeads) {
  Upload();
  ScopedMisbehaviour hang("hang_at=3");
  RunGang(17, 25);
  WaitForEvent(17, "\"step\":2,");
  supervisor_->Apply({}, {}, false, Clock::Real()->monotonic_ms() + 50);
  EXPECT_THAT(Finish().message, HasSubstr("lease"));
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
  supervisor_->Apply({{.slot = 0, .kind = SlotEvent::Kind::kForget, .attempt_id = 17}}, {}, false,
                     kNever);
  RunGang(18, 25);
  WaitForEvent(18, "\"step\":2,");
  supervisor_->Drain();
  EXPECT_EQ(Finish().kind, Outcome::Kind::kStopped);
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
}

// The next daemon finds all slots idle and the one report owed.
TEST_F(SupervisorTest, AGangEndsWithItsDaemon) {
  {
    ScopedMisbehaviour hang("hang_at=3");
    RunGang(17, 25);
    WaitForEvent(17, "\"step\":2,");
  }
  const pid_t pid = Pid(17);
  StopDaemon();
  EXPECT_TRUE(GroupIsGone(pid));
  StartDaemon(LOGLOG_FAKE_TRAINER);
  EXPECT_EQ(SlotNow(0).state, State::kIdle);
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
  EXPECT_THAT(supervisor_->View().owed, ElementsAre(17));
  Upload();
  RunGang(18, 5);
  EXPECT_EQ(Finish().kind, Outcome::Kind::kDone);
}

}  // namespace
}  // namespace loglog::worker
