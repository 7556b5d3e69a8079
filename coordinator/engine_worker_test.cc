// Sessions, parked syncs and batches through the engine.
#include <gmock/gmock.h>

#include "coordinator/engine_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

class EngineWorkerTest : public EngineWorld {
 protected:
  // A sweep, a worker that runs its first trial, and that trial's order.
  TaskOrder StartOne(FakeWorker* worker, const std::string& spec = TinySpec("s")) {
    EXPECT_TRUE(Submit(spec).ok());
    EXPECT_TRUE(worker->Register().ok());
    EXPECT_TRUE(worker->SyncAndObey().ok());
    EXPECT_TRUE(worker->Sync().ok());
    return worker->order();
  }
  Answer<SyncAnswer> Park(const FakeWorker& worker, int64_t wait_ms = 5'000) {
    Answer<SyncAnswer> answer;
    last_ticket_ = engine_->SyncWorker(worker.Request(wait_ms), answer.reply());
    engine_->Poke();
    return answer;
  }
  int64_t last_ticket_ = 0;
};

TEST_F(EngineWorkerTest, AParkedCallIsAnsweredWhenThereIsSomethingToDo) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> answer = Park(worker);
  EXPECT_FALSE(answer.ready());
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  const auto run = answer.Wait();
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->desire.slots[0].action, DesiredAction::kRun);
  EXPECT_EQ(run->orders.count(0), 1);
}

TEST_F(EngineWorkerTest, AParkedCallIsAnsweredWhenItsTimeIsUp) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> answer = Park(worker, 5'000);
  Advance(4'999);
  EXPECT_FALSE(answer.ready());
  Advance(1);
  const auto nothing = answer.Wait();
  ASSERT_TRUE(nothing.ok());
  EXPECT_FALSE(nothing->desire.Anything());
  EXPECT_EQ(nothing->lease_ms, 30'000);
}

TEST_F(EngineWorkerTest, ACancelledSweepWakesTheWorkersThatRunIt) {
  FakeWorker worker(engine_.get(), "w");
  StartOne(&worker);
  const Answer<SyncAnswer> answer = Park(worker);
  ASSERT_TRUE(Change(Engine::SweepVerb::kCancel, "s").ok());
  EXPECT_EQ(answer.Wait()->desire.slots[0].action, DesiredAction::kStop);
}

TEST_F(EngineWorkerTest, ADrainIsToldToWhatRunsAndWakesNobodyElse) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> answer = Park(worker);
  const auto view =
      Call<WorkerView>([&](auto reply) { engine_->DrainWorker("w", "kernel update", reply); });
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->row.state, WorkerState::kDraining);
  EXPECT_FALSE(answer.ready());
  EXPECT_TRUE(worker.Sync(0)->desire.drain);
  worker.slot().state = SlotState::kRunning;  // still busy with something
  worker.slot().attempt_id = 77;
  EXPECT_TRUE(Park(worker).ready());  // the unknown attempt is killed
  worker.slot() = SlotReport{};
  EXPECT_FALSE(Park(worker).ready());
}

TEST_F(EngineWorkerTest, TwoHostsCannotShareAName) {
  FakeWorker first(engine_.get(), "w");
  ASSERT_TRUE(first.Register().ok());
  FakeWorker second(engine_.get(), "w");
  second.host = "elsewhere";
  const absl::Status refused = second.Register("another boot");
  EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("--name"));
  Advance(30'000);
  EXPECT_TRUE(second.Register("another boot").ok());
}

TEST_F(EngineWorkerTest, ALaterCallReplacesAParkedOne) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> first = Park(worker);
  const Answer<SyncAnswer> second = Park(worker);
  ASSERT_TRUE(first.Wait().ok());
  EXPECT_FALSE(first.Wait()->desire.Anything());
  EXPECT_FALSE(second.ready());
}

TEST_F(EngineWorkerTest, ACallThatItsCallerGaveUpTakesNoTask) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> answer = Park(worker);
  engine_->CancelSync("w", last_ticket_);
  EXPECT_TRUE(absl::IsCancelled(answer.Wait().status()));
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  EXPECT_EQ(GetTrial("s", 1)->row.attempt_id, 0);
  engine_->CancelSync("w", last_ticket_);  // once more harms nobody
  engine_->Poke();
}

TEST_F(EngineWorkerTest, StoppingAnswersWhatIsParkedAndParksNothing) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const Answer<SyncAnswer> answer = Park(worker);
  engine_->BeginStop();
  EXPECT_TRUE(absl::IsUnavailable(answer.Wait().status()));
  EXPECT_TRUE(absl::IsUnavailable(worker.Sync(5'000).status()));
  engine_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(worker.Sync(5'000).status()));
  EXPECT_TRUE(absl::IsUnavailable(GetSweep("s").status()));
  EXPECT_TRUE(absl::IsUnavailable(Submit(TinySpec("s")).status()));
}

TEST_F(EngineWorkerTest, OnlyTheNewestSessionIsHeard) {
  FakeWorker old_one(engine_.get(), "w");
  const TaskOrder order = StartOne(&old_one);
  FakeWorker new_one(engine_.get(), "w");
  ASSERT_TRUE(new_one.Register("another boot").ok());
  const auto sync = old_one.Sync();
  EXPECT_EQ(sync.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(sync.status().message(), HasSubstr("STALE_SESSION"));
  const auto batch = old_one.Send(order.attempt_id, 0, {StartEvent()});
  EXPECT_EQ(batch.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(batch.status().message(), HasSubstr("STALE_SESSION"));
}

TEST_F(EngineWorkerTest, EverySlotIsReportedOnce) {
  FakeWorker worker(engine_.get(), "w", 2);
  ASSERT_TRUE(worker.Register().ok());
  const auto status_of = [&](std::vector<SlotReport> slots) {
    SyncRequest request = worker.Request();
    request.report.slots = std::move(slots);
    return Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(request, reply); }).status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(status_of({{.slot = 0}})));
  EXPECT_TRUE(absl::IsInvalidArgument(status_of({{.slot = 0}, {.slot = 0}})));
  EXPECT_TRUE(absl::IsInvalidArgument(status_of({{.slot = 0}, {.slot = 2}})));
  EXPECT_TRUE(absl::IsInvalidArgument(status_of({{.slot = -1}, {.slot = 0}})));
  EXPECT_TRUE(status_of({{.slot = 1}, {.slot = 0}}).ok());
}

TEST_F(EngineWorkerTest, ABatchThatComesAgainIsANoOp) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  EXPECT_EQ(worker.Send(order.attempt_id, 0, {})->last_seq, -1);
  for (int i = 0; i < 3; ++i) {
    const auto answer =
        worker.Send(order.attempt_id, 0, {StartEvent(), RowEvent(1, 5), RowEvent(2, 4)});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->last_seq, 2);
  }
  // Overlapping: what is new of it is stored.
  EXPECT_EQ(
      worker.Send(order.attempt_id, 1, {RowEvent(1, 5), RowEvent(2, 4), RowEvent(3, 3)})->last_seq,
      3);
  const auto series = Call<std::vector<SeriesView>>(
      [&](auto reply) { engine_->ListPoints({.sweep = "s", .numbers = {1}}, reply); });
  EXPECT_EQ(series->front().curve.total_points, 3);
}

TEST_F(EngineWorkerTest, AGapOrAMalformedEventIsRefusedAndStoresNothing) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  EXPECT_TRUE(absl::IsInvalidArgument(worker.Send(order.attempt_id, 5, {RowEvent(1, 5)}).status()));
  MetricRow bad;
  bad.member = 3;
  bad.step = 1;
  EXPECT_TRUE(
      absl::IsInvalidArgument(worker.Send(order.attempt_id, 0, {StartEvent(), bad}).status()));
  EXPECT_EQ(worker.Send(order.attempt_id, 0, {})->last_seq, -1);
}

TEST_F(EngineWorkerTest, EventsOfAnAttemptThatIsNotThereAreDropped) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_TRUE(worker.Send(99, 0, {StartEvent()})->forget);
}

TEST_F(EngineWorkerTest, OneWorkersAttemptIsNotAnothers) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  FakeWorker other(engine_.get(), "other");
  ASSERT_TRUE(other.Register().ok());
  EXPECT_TRUE(absl::IsInvalidArgument(other.Send(order.attempt_id, 0, {StartEvent()}).status()));
}

TEST_F(EngineWorkerTest, OneWorkersEndedAttemptIsNotAnothersEither) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  Advance(36'000);
  ASSERT_EQ(GetTrial("s", 1)->row.lost_count, 1);
  FakeWorker other(engine_.get(), "other");
  ASSERT_TRUE(other.Register().ok());
  // Neither events, nor a checkpoint, nor a result; nor the word that it is done.
  for (const TrainerEvent& event : {StartEvent(), CheckpointEvent(5), EndEvent(10, 0.1)}) {
    const auto refused = other.Send(order.attempt_id, 0, {event});
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("leased to workers/w"));
  }
  SyncRequest held = other.Request();
  held.report.draining = true;  // takes no work
  held.report.held.push_back({order.attempt_id, {.kind = OutcomeKind::kDone}});
  const auto answer = Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(held, reply); });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->desire.forget, ::testing::ElementsAre(order.attempt_id));
  SyncRequest slot = other.Request();
  slot.report.slots[0] = {0, SlotState::kFinished, order.attempt_id, {OutcomeKind::kDone}};
  const auto told = Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(slot, reply); });
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_TRUE(Forgets(told->desire, order.attempt_id));
  EXPECT_EQ(GetTrial("s", 1)->row.state, TrialState::kPending);
  EXPECT_EQ(GetTrial("s", 1)->row.step, 0);
  // Its own word still counts.
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  EXPECT_EQ(GetTrial("s", 1)->row.state, TrialState::kDone);
  EXPECT_EQ(GetTrial("s", 1)->row.final_loss, 2.5);
}

TEST_F(EngineWorkerTest, T07_AFinishedReportMayBeLostAndRepeated) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  worker.Finish(0, OutcomeKind::kDone);
  ASSERT_TRUE(worker.Sync().ok());  // its answer is lost
  Restart();
  FakeWorker same(engine_.get(), "w");
  same.set_epoch(worker.epoch());
  same.slot() = worker.slot();
  EXPECT_TRUE(Forgets(same.Sync()->desire, order.attempt_id));
  EXPECT_EQ(GetTrial("s", 1)->row.attempts, 1);
  EXPECT_EQ(GetTrial("s", 1)->row.state, TrialState::kDone);
}

TEST_F(EngineWorkerTest, T04_ALateResultCountsWhileNoNewerAttemptExists) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  Advance(36'000);
  ASSERT_EQ(GetTrial("s", 1)->row.state, TrialState::kPending);
  ASSERT_EQ(GetTrial("s", 1)->row.lost_count, 1);
  ASSERT_TRUE(worker.Train(order, 2.5).ok());
  EXPECT_EQ(GetTrial("s", 1)->row.state, TrialState::kDone);
  worker.Finish(0, OutcomeKind::kDone);
  const auto told = worker.SyncAndObey();
  EXPECT_TRUE(Forgets(told->desire, order.attempt_id));
  EXPECT_NE(worker.order().task_id, order.task_id);
}

TEST_F(EngineWorkerTest, NoticesAndCheckpointsAreEventsOfTheTrial) {
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = StartOne(&worker);
  BatchRequest request;
  request.worker_id = "w";
  request.session_epoch = worker.epoch();
  request.batch.attempt_id = order.attempt_id;
  request.batch.events = {StartEvent(), CheckpointEvent(4), CountedOnly{}};
  request.notices = {{2, "spike", 5, "{\"factor\":3}"}};
  for (int i = 0; i < 2; ++i) {  // also when it comes twice
    ASSERT_TRUE(Call<BatchAnswer>([&](auto reply) { engine_->StoreBatch(request, reply); }).ok());
  }
  const auto events =
      Call<std::vector<EventRow>>([&](auto reply) { engine_->GetTrialEvents("s", 1, 100, reply); });
  std::vector<std::string> kinds;
  for (const EventRow& event : *events) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, testing::ElementsAre("attempt.leased", "attempt.started",
                                          "checkpoint.committed", "trial.notice"));
  EXPECT_THAT(events->back().detail_json, HasSubstr("\"factor\":3"));
}

TEST_F(EngineWorkerTest, WorkersAreListedWithWhatTheyDo) {
  FakeWorker worker(engine_.get(), "w", 2);
  StartOne(&worker, TinySpec("s", 1, 1));
  FakeWorker idle(engine_.get(), "idle");
  ASSERT_TRUE(idle.Register().ok());
  const auto workers =
      Call<std::vector<WorkerView>>([&](auto reply) { engine_->ListWorkers("", 10, reply); });
  ASSERT_EQ(workers->size(), 2);
  EXPECT_EQ((*workers)[0].row.worker_id, "idle");
  EXPECT_EQ((*workers)[0].slots_busy, 0);
  EXPECT_EQ((*workers)[1].slots_busy, 2);
  EXPECT_EQ((*workers)[1].row.state, WorkerState::kLive);
  Advance(60'000);
  const auto later =
      Call<std::vector<WorkerView>>([&](auto reply) { engine_->ListWorkers("idle", 10, reply); });
  ASSERT_EQ(later->size(), 1);
  EXPECT_EQ((*later)[0].row.state, WorkerState::kLost);
}

}  // namespace
}  // namespace loglog
