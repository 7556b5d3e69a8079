#include "worker/slot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace loglog::worker {

void PrintTo(Slot::State state, std::ostream* os) { *os << static_cast<int>(state); }
void PrintTo(SlotAction::Kind kind, std::ostream* os) { *os << static_cast<int>(kind); }

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Event = SlotEvent::Kind;
using Action = SlotAction::Kind;
using State = Slot::State;

constexpr int64_t kGraceMs = 10'000;
constexpr int64_t kId = 17;
constexpr int64_t kOtherId = 18;

// A slot with a clock, and short ways to tell it things. Each returns the kinds of the
// actions and checks that all of them are about the slot's attempt.
class SlotTest : public ::testing::Test {
 protected:
  std::vector<Action> Tell(const SlotEvent& event) {
    std::vector<Action> kinds;
    for (const SlotAction& action : slot_.Handle(event, now_ms_)) {
      EXPECT_EQ(action.attempt_id, kId);
      kinds.push_back(action.kind);
      last_ = action;
    }
    return kinds;
  }
  std::vector<Action> Tell(Event kind, int64_t attempt_id = kId) {
    return Tell(SlotEvent{.kind = kind, .attempt_id = attempt_id});
  }
  std::vector<Action> Order(int64_t attempt_id = kId) {
    SlotEvent event{.kind = Event::kRun, .attempt_id = attempt_id};
    event.order = {.attempt_id = attempt_id, .task_id = 5, .task_json = "{}"};
    return Tell(event);
  }
  std::vector<Action> End(Outcome::Kind kind, int64_t last_seq = 9) {
    return Tell({.kind = Event::kEnded,
                 .attempt_id = kId,
                 .outcome = {.kind = kind, .last_seq = last_seq}});
  }
  std::vector<Action> Tick() {
    return Tell({.kind = Event::kTick, .lease_deadline_ms = lease_deadline_ms_});
  }
  int64_t NextTick() const { return slot_.NextTick(lease_deadline_ms_); }

  void MakeRunning() {
    ASSERT_THAT(Order(), ElementsAre(Action::kSpawn));
    ASSERT_THAT(Tell(Event::kStarted), IsEmpty());
    ASSERT_EQ(slot_.state(), State::kRunning);
  }
  void MakeUploading() {
    MakeRunning();
    ASSERT_THAT(End(Outcome::Kind::kDone), ElementsAre(Action::kUpload));
    ASSERT_EQ(slot_.state(), State::kUploading);
  }
  void MakeFinished() {
    MakeUploading();
    ASSERT_THAT(Tell(Event::kUploaded), IsEmpty());
    ASSERT_EQ(slot_.state(), State::kFinished);
  }
  void ExpectIdle() {
    EXPECT_EQ(slot_.state(), State::kIdle);
    EXPECT_EQ(slot_.attempt_id(), 0);
    EXPECT_EQ(NextTick(), kNever);
  }

  int64_t now_ms_ = 1'000'000;
  int64_t lease_deadline_ms_ = 1'025'000;
  Slot slot_{kGraceMs};
  SlotAction last_{};
};

// A gang's other slots are taken from accepting the order until its processes are reaped.
TEST_F(SlotTest, HoldsItsFollowersWhileItHasATrainer) {
  SlotEvent order{.kind = Event::kRun, .attempt_id = kId};
  order.order = {.attempt_id = kId, .task_id = 5, .slots = {2, 0, 3}};
  EXPECT_THAT(Tell(order), ElementsAre(Action::kSpawn));
  EXPECT_THAT(slot_.followers(), ElementsAre(0, 3));
  Tell(Event::kStarted);
  EXPECT_THAT(slot_.followers(), ElementsAre(0, 3));
  Tell(Event::kStop);
  EXPECT_THAT(slot_.followers(), ElementsAre(0, 3));
  Tell(Event::kKill);
  EXPECT_THAT(slot_.followers(), ElementsAre(0, 3));
  End(Outcome::Kind::kLost);
  ExpectIdle();
  EXPECT_THAT(slot_.followers(), IsEmpty());
  // The next one is no gang.
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  EXPECT_THAT(slot_.followers(), IsEmpty());
}

TEST_F(SlotTest, LetsItsFollowersGoBeforeTheUpload) {
  SlotEvent order{.kind = Event::kRun, .attempt_id = kId};
  order.order = {.attempt_id = kId, .task_id = 5, .slots = {0, 1}};
  Tell(order);
  Tell(Event::kStarted);
  EXPECT_THAT(End(Outcome::Kind::kDone), ElementsAre(Action::kUpload));
  EXPECT_EQ(slot_.state(), State::kUploading);
  EXPECT_THAT(slot_.followers(), IsEmpty());
}

// One that could not be started at all.
TEST_F(SlotTest, LetsItsFollowersGoWhenItNeverStarted) {
  SlotEvent order{.kind = Event::kRun, .attempt_id = kId};
  order.order = {.attempt_id = kId, .task_id = 5, .slots = {0, 1}};
  Tell(order);
  End(Outcome::Kind::kRefused);
  EXPECT_THAT(slot_.followers(), IsEmpty());
}

TEST_F(SlotTest, WholeLifeOfAnAttempt) {
  ExpectIdle();
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  EXPECT_EQ(last_.order.task_id, 5);
  // Reported as running from accepting the task on.
  EXPECT_EQ(slot_.state(), State::kRunning);
  EXPECT_EQ(slot_.attempt_id(), kId);
  EXPECT_THAT(Tell(Event::kStarted), IsEmpty());
  EXPECT_THAT(End(Outcome::Kind::kDone, 41), ElementsAre(Action::kUpload));
  EXPECT_EQ(last_.last_seq, 41);
  EXPECT_EQ(slot_.state(), State::kUploading);
  EXPECT_THAT(Tell(Event::kUploaded), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kFinished);
  EXPECT_EQ(slot_.outcome().kind, Outcome::Kind::kDone);
  EXPECT_THAT(Tell(Event::kForget), ElementsAre(Action::kForget));
  EXPECT_TRUE(last_.accepted);
  ExpectIdle();
}

TEST_F(SlotTest, IdleHearsNothingButOrders) {
  for (const Event kind : {Event::kStop, Event::kKill, Event::kForget, Event::kFence,
                           Event::kAbandon, Event::kStarted, Event::kEnded, Event::kUploaded}) {
    EXPECT_THAT(Tell(kind), IsEmpty());
    EXPECT_THAT(Tell(kind, 0), IsEmpty());
  }
  lease_deadline_ms_ = 0;
  EXPECT_THAT(Tick(), IsEmpty());
  ExpectIdle();
}

TEST_F(SlotTest, WordsForAnotherAttemptAreStale) {
  MakeRunning();
  for (const Event kind : {Event::kStop, Event::kKill, Event::kForget, Event::kFence,
                           Event::kAbandon, Event::kEnded, Event::kUploaded}) {
    EXPECT_THAT(Tell(kind, kOtherId), IsEmpty());
  }
  EXPECT_EQ(slot_.state(), State::kRunning);
}

TEST_F(SlotTest, BusySlotIgnoresOrders) {
  MakeRunning();
  EXPECT_THAT(Order(), IsEmpty());
  EXPECT_THAT(Order(kOtherId), IsEmpty());
  EXPECT_EQ(slot_.attempt_id(), kId);
  EXPECT_THAT(End(Outcome::Kind::kDone), ElementsAre(Action::kUpload));
  EXPECT_THAT(Order(kOtherId), IsEmpty());
  EXPECT_THAT(Tell(Event::kUploaded), IsEmpty());
  EXPECT_THAT(Order(kOtherId), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kFinished);
}

TEST_F(SlotTest, StopLadder) {
  MakeRunning();
  EXPECT_THAT(Tell(Event::kStop), ElementsAre(Action::kTerminate));
  EXPECT_EQ(slot_.state(), State::kStopping);
  EXPECT_EQ(slot_.stop_cause(), StopCause::kAsked);
  EXPECT_THAT(Tell(Event::kStop), IsEmpty());
  EXPECT_EQ(NextTick(), now_ms_ + kGraceMs);
  now_ms_ += kGraceMs - 1;
  EXPECT_THAT(Tick(), IsEmpty());
  now_ms_ += 1;
  EXPECT_THAT(Tick(), ElementsAre(Action::kKill));
  // Once: what follows is waiting for the group to be reaped.
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_EQ(NextTick(), kNever);
  EXPECT_EQ(slot_.state(), State::kStopping);
  EXPECT_EQ(slot_.stop_cause(), StopCause::kAsked);
  EXPECT_THAT(End(Outcome::Kind::kStopped), ElementsAre(Action::kUpload));
}

TEST_F(SlotTest, StopBeforeTheTrainerStarted) {
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  EXPECT_THAT(Tell(Event::kStop), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kStopping);
  now_ms_ += 3;
  EXPECT_THAT(Tell(Event::kStarted), ElementsAre(Action::kTerminate));
  EXPECT_EQ(NextTick(), now_ms_ + kGraceMs);
}

TEST_F(SlotTest, KillBeforeTheTrainerStarted) {
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  EXPECT_THAT(Tell(Event::kKill), IsEmpty());
  EXPECT_THAT(Tell(Event::kStarted), ElementsAre(Action::kKill));
  EXPECT_THAT(End(Outcome::Kind::kLost), ElementsAre(Action::kForget));
  ExpectIdle();
}

TEST_F(SlotTest, TrainerThatDoesNotStart) {
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  EXPECT_THAT(End(Outcome::Kind::kLost, -1), ElementsAre(Action::kUpload));
  EXPECT_EQ(last_.last_seq, -1);
  EXPECT_THAT(Tell(Event::kUploaded), IsEmpty());
  EXPECT_EQ(slot_.outcome().kind, Outcome::Kind::kLost);
}

TEST_F(SlotTest, LeaseKillsAtItsDeadlineNotBefore) {
  MakeRunning();
  EXPECT_EQ(NextTick(), lease_deadline_ms_);
  now_ms_ = lease_deadline_ms_ - 1;
  EXPECT_THAT(Tick(), IsEmpty());
  now_ms_ = lease_deadline_ms_;
  EXPECT_THAT(Tick(), ElementsAre(Action::kKill));
  EXPECT_EQ(slot_.stop_cause(), StopCause::kLease);
  // A sync that succeeds now does not bring it back to life.
  lease_deadline_ms_ += 25'000;
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kStopping);
  // What it wrote is still uploaded: the next attempt resumes from its checkpoints.
  EXPECT_THAT(End(Outcome::Kind::kLost), ElementsAre(Action::kUpload));
}

TEST_F(SlotTest, LeaseCutsTheGraceShort) {
  MakeRunning();
  now_ms_ = lease_deadline_ms_ - 1'000;
  EXPECT_THAT(Tell(Event::kStop), ElementsAre(Action::kTerminate));
  EXPECT_EQ(NextTick(), lease_deadline_ms_);
  now_ms_ = lease_deadline_ms_;
  EXPECT_THAT(Tick(), ElementsAre(Action::kKill));
  EXPECT_EQ(slot_.stop_cause(), StopCause::kLease);
}

TEST_F(SlotTest, LeaseEndsWhileStarting) {
  EXPECT_THAT(Order(), ElementsAre(Action::kSpawn));
  now_ms_ = lease_deadline_ms_;
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_THAT(Tell(Event::kStarted), ElementsAre(Action::kKill));
}

TEST_F(SlotTest, LeaseDoesNotTouchWhatIsOver) {
  MakeFinished();
  now_ms_ = lease_deadline_ms_ + 1;
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kFinished);
}

TEST_F(SlotTest, FencedTrainerIsKilledAndForgotten) {
  for (const Event kind : {Event::kKill, Event::kForget, Event::kFence}) {
    MakeRunning();
    EXPECT_THAT(Tell(kind), ElementsAre(Action::kKill));
    EXPECT_EQ(slot_.stop_cause(), StopCause::kDiscard);
    EXPECT_EQ(slot_.state(), State::kStopping);
    EXPECT_THAT(Tell(kind), IsEmpty());
    EXPECT_THAT(End(Outcome::Kind::kDone), ElementsAre(Action::kForget));
    ExpectIdle();
  }
}

TEST_F(SlotTest, FencedReportIsForgotten) {
  for (const Event kind : {Event::kKill, Event::kForget, Event::kFence}) {
    MakeUploading();
    EXPECT_THAT(Tell(kind), ElementsAre(Action::kForget));
    EXPECT_FALSE(last_.accepted);
    ExpectIdle();
    MakeFinished();
    EXPECT_THAT(Tell(kind), ElementsAre(Action::kForget));
    EXPECT_EQ(last_.accepted, kind == Event::kForget);
    ExpectIdle();
  }
}

TEST_F(SlotTest, FenceAfterAPoliteStopOrALeaseKill) {
  MakeRunning();
  EXPECT_THAT(Tell(Event::kStop), ElementsAre(Action::kTerminate));
  EXPECT_THAT(Tell(Event::kKill), ElementsAre(Action::kKill));
  EXPECT_THAT(End(Outcome::Kind::kStopped), ElementsAre(Action::kForget));
  ExpectIdle();
  MakeRunning();
  now_ms_ = lease_deadline_ms_;
  EXPECT_THAT(Tick(), ElementsAre(Action::kKill));
  EXPECT_THAT(Tell(Event::kKill), IsEmpty());
  EXPECT_THAT(End(Outcome::Kind::kLost), ElementsAre(Action::kForget));
  ExpectIdle();
}

TEST_F(SlotTest, AbandonedAttemptsKeepTheirFiles) {
  MakeRunning();
  EXPECT_THAT(Tell(Event::kAbandon), ElementsAre(Action::kKill));
  EXPECT_THAT(End(Outcome::Kind::kLost), ElementsAre(Action::kKeep));
  ExpectIdle();
  MakeFinished();
  EXPECT_THAT(Tell(Event::kAbandon), ElementsAre(Action::kKeep));
  ExpectIdle();
}

TEST_F(SlotTest, StopIsTooLateOnceEnded) {
  MakeUploading();
  EXPECT_THAT(Tell(Event::kStop), IsEmpty());
  EXPECT_EQ(slot_.state(), State::kUploading);
  EXPECT_THAT(Tell(Event::kUploaded), IsEmpty());
  EXPECT_THAT(Tell(Event::kStop), IsEmpty());
  EXPECT_THAT(Tell(Event::kUploaded), IsEmpty());
  EXPECT_THAT(End(Outcome::Kind::kFailed), IsEmpty());
  EXPECT_EQ(slot_.outcome().kind, Outcome::Kind::kDone);
}

TEST_F(SlotTest, RefusedEventsReplaceTheOutcome) {
  MakeUploading();
  EXPECT_THAT(Tell({.kind = Event::kUploaded,
                    .attempt_id = kId,
                    .outcome = {.kind = Outcome::Kind::kFailed, .last_seq = 3},
                    .replaces_outcome = true}),
              IsEmpty());
  EXPECT_EQ(slot_.outcome().kind, Outcome::Kind::kFailed);
  EXPECT_EQ(slot_.outcome().last_seq, 3);
}

TEST_F(SlotTest, NothingOfTheOldAttemptReachesTheNext) {
  MakeRunning();
  Tell(Event::kStop);
  End(Outcome::Kind::kStopped);
  Tell(Event::kUploaded);
  Tell(Event::kForget);
  now_ms_ += 5;
  MakeRunning();
  EXPECT_EQ(slot_.stop_cause(), StopCause::kNone);
  EXPECT_EQ(NextTick(), lease_deadline_ms_);
  now_ms_ += kGraceMs;
  EXPECT_THAT(Tick(), IsEmpty());
}

}  // namespace
}  // namespace loglog::worker
