// Branches of leases that faults seldom reach, with the store behind them.
#include <gmock/gmock.h>

#include "coordinator/engine_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;

class EngineLeaseTest : public EngineWorld {
 protected:
  // A worker that runs trial 1.
  TaskOrder Start(FakeWorker* worker) {
    EXPECT_TRUE(Submit(TinySpec("s")).ok());
    EXPECT_TRUE(worker->Register().ok());
    EXPECT_TRUE(worker->SyncAndObey().ok());
    EXPECT_TRUE(worker->Sync().ok());
    EXPECT_EQ(Trial().state, TrialState::kRunning);
    return worker->order();
  }
  void CancelTrial() {
    ASSERT_TRUE(Call<TrialView>([&](auto reply) {
                  engine_->EndTrial(Engine::TrialVerb::kCancel, "s", 1, "", "", reply);
                }).ok());
  }
  // For longer than a lease and its margin.
  void BeSilent() { Advance(36'000); }
  TrialRow Trial() { return GetTrial("s", 1)->row; }
};

TEST_F(EngineLeaseTest, AWorkerThatDiesWithACancelledTrialLosesNothing) {
  FakeWorker worker(engine_.get(), "w");
  Start(&worker);
  CancelTrial();
  BeSilent();
  EXPECT_EQ(Trial().state, TrialState::kCancelled);
  EXPECT_EQ(Trial().lost_count, 0);
}

TEST_F(EngineLeaseTest, AWorkerThatDiesAfterItsResultsHasDoneItsWork) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = Start(&worker);
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  BeSilent();
  EXPECT_EQ(Trial().state, TrialState::kDone);
  EXPECT_EQ(Trial().lost_count, 0);
  EXPECT_EQ(Trial().attempts, 1);
}

TEST_F(EngineLeaseTest, ACancelledTrialIsStoppedByTheNextCoordinator) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = Start(&worker);
  CancelTrial();
  Restart();
  FakeWorker same(engine_.get(), "w");
  same.set_epoch(worker.epoch());
  same.slot() = worker.slot();
  EXPECT_EQ(same.Sync()->desire.slots[0].action, DesiredAction::kStop);
  same.Finish(0, OutcomeKind::kStopped);
  EXPECT_TRUE(Forgets(same.SyncAndObey()->desire, order.attempt_id));
  EXPECT_EQ(Trial().state, TrialState::kCancelled);
  EXPECT_EQ(Trial().attempt_id, order.attempt_id);
}

TEST_F(EngineLeaseTest, ALateResultOfACancelledTrialChangesNothing) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = Start(&worker);
  BeSilent();
  CancelTrial();
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  worker.Finish(0, OutcomeKind::kDone);
  EXPECT_TRUE(Forgets(worker.SyncAndObey()->desire, order.attempt_id));
  EXPECT_EQ(Trial().state, TrialState::kCancelled);
}

// A daemon that is started anew reports what the one before has left.
TEST_F(EngineLeaseTest, WhatIsHeldOfALostAttemptCountsAndIsForgotten) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = Start(&worker);
  BeSilent();
  ASSERT_EQ(Trial().state, TrialState::kPending);
  ASSERT_TRUE(worker.Register("another boot", {order.attempt_id}).ok());
  worker.slot() = SlotReport{};
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  SyncRequest request = worker.Request();
  request.report.held.push_back({order.attempt_id, {OutcomeKind::kDone, 0, 0, ""}});
  const auto answer =
      Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(request, std::move(reply)); });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->desire.forget, ElementsAre(order.attempt_id));
  EXPECT_EQ(Trial().state, TrialState::kDone);
  EXPECT_EQ(Trial().attempts, 1);
}

}  // namespace
}  // namespace loglog
