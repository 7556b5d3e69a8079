// Failures that systems like this one are known for (docs/TRAPS.md): those of the engine.
#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "coordinator/engine_testing.h"
#include "store/read_store.h"
#include "store/upkeep.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class TrapsTest : public EngineWorld {
 protected:
  // One trial to do: that of arm a.
  void SubmitOne() {
    ASSERT_TRUE(Submit(TinySpec("s")).ok());
    const auto cancelled = Call<TrialView>(
        [&](auto reply) { engine_->EndTrial(Engine::TrialVerb::kCancel, "s", 2, "", "", reply); });
    ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  }
  TaskOrder Start(FakeWorker* worker) {
    EXPECT_TRUE(worker->Register().ok());
    const auto answer = worker->SyncAndObey();
    EXPECT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->desire.slots[0].action, DesiredAction::kRun);
    EXPECT_TRUE(worker->Sync().ok());
    return worker->order();
  }
  TrialRow Trial() { return GetTrial("s", 1)->row; }
  std::vector<PointRow> Losses() {
    const auto series = Call<std::vector<SeriesView>>(
        [&](auto reply) { engine_->ListPoints({.sweep = "s", .numbers = {1}}, reply); });
    EXPECT_TRUE(series.ok()) << series.status();
    return series.ok() && !series->empty() ? series->front().curve.points : std::vector<PointRow>();
  }
};

// Whatever has come in when a transaction begins is one transaction.
TEST_F(TrapsTest, T01_one_transaction_per_message) {
  constexpr int kWorkers = 250;
  options_.own_threads = false;
  Restart();
  int64_t commits = 0;
  SetFailpointHandler([&](const char* name) {
    if (std::string(name) == "engine.commit.before") ++commits;
  });
  const auto commits_of_run = [&] {
    commits = 0;
    engine_->Run();
    return commits;
  };
  Answer<CreateAnswer> created;
  engine_->CreateSweep(TinySpec("s", 5, 25), "", /*validate_only=*/false, created.reply());
  engine_->Run();
  ASSERT_EQ(created.Wait()->trials_new, kWorkers);

  std::vector<Answer<RegisterAnswer>> registered(kWorkers);
  for (int i = 0; i < kWorkers; ++i) {
    RegisterRequest request;
    request.worker_id = absl::StrCat("w", i);
    request.host = request.worker_id;
    request.boot_id = "boot";
    request.slots = 1;
    request.slots_json = "[]";
    request.labels_json = "{}";
    engine_->RegisterWorker(request, registered[i].reply());
  }
  EXPECT_EQ(commits_of_run(), 1);

  std::vector<Answer<SyncAnswer>> synced(kWorkers);
  for (int i = 0; i < kWorkers; ++i) {
    SyncRequest request;
    request.session_epoch = registered[i].Wait()->session_epoch;
    request.report.worker_id = absl::StrCat("w", i);
    request.report.slots = {SlotReport{}};
    engine_->SyncWorker(request, synced[i].reply());
  }
  EXPECT_EQ(commits_of_run(), 1);

  std::vector<Answer<BatchAnswer>> stored(kWorkers);
  for (int i = 0; i < kWorkers; ++i) {
    const auto answer = synced[i].Wait();
    ASSERT_TRUE(answer.ok() && answer->orders.contains(0)) << i << ": " << answer.status();
    BatchRequest request;
    request.worker_id = absl::StrCat("w", i);
    request.session_epoch = registered[i].Wait()->session_epoch;
    request.batch.attempt_id = answer->orders.at(0).attempt_id;
    request.batch.metrics = {"loss/train"};
    request.batch.events = {StartEvent(), RowEvent(1, 5.0), RowEvent(2, 4.0)};
    engine_->StoreBatch(std::move(request), stored[i].reply());
  }
  EXPECT_EQ(commits_of_run(), 1);
  for (int i = 0; i < kWorkers; ++i) EXPECT_EQ(stored[i].Wait()->last_seq, 2) << i;
  SetFailpointHandler(nullptr);
}

// Nothing was switched on for this: the options are those that a coordinator has by itself.
TEST_F(TrapsTest, T03_registering_again_keeps_no_dead_attempt_alive) {
  SubmitOne();
  FakeWorker dead(engine_.get(), "dead");
  const TaskOrder first = Start(&dead);
  FakeWorker other(engine_.get(), "other");
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(Trial().state, TrialState::kRunning);
    Advance(10'000);
    ASSERT_TRUE(dead.Register().ok());
  }
  EXPECT_EQ(Trial().state, TrialState::kPending);
  EXPECT_EQ(Trial().lost_count, 1);
  Advance(2'000);
  const TaskOrder second = Start(&other);
  EXPECT_EQ(second.task_id, first.task_id);
  EXPECT_GT(second.attempt_id, first.attempt_id);
}

TEST_F(TrapsTest, T03_a_new_boot_gives_up_what_the_old_one_ran) {
  SubmitOne();
  FakeWorker worker(engine_.get(), "w");
  Start(&worker);
  ASSERT_TRUE(worker.Register("another boot").ok());
  EXPECT_EQ(Trial().state, TrialState::kPending);
  EXPECT_EQ(Trial().lost_count, 1);
}

// SIGSTOP for longer than a lease, then SIGCONT.
TEST_F(TrapsTest, T04_a_stopped_worker_comes_back_and_writes_nothing) {
  SubmitOne();
  FakeWorker stopped(engine_.get(), "stopped");
  const TaskOrder first = Start(&stopped);
  ASSERT_TRUE(
      stopped.Send(first.attempt_id, 0, {StartEvent(), RowEvent(1, 5.1), RowEvent(2, 5.2)}).ok());
  Advance(36'000);
  Advance(2'000);
  FakeWorker other(engine_.get(), "other");
  const TaskOrder second = Start(&other);
  ASSERT_EQ(second.task_id, first.task_id);
  ASSERT_TRUE(other.Send(second.attempt_id, 0, {StartEvent(), RowEvent(1, 6.1)}).ok());

  const auto late = stopped.Send(first.attempt_id, 3, {RowEvent(3, 5.3), EndEvent(10, 9.9)});
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_TRUE(late->forget);
  stopped.Finish(0, OutcomeKind::kDone);
  EXPECT_EQ(stopped.SyncAndObey()->desire.slots[0].action, DesiredAction::kForget);
  EXPECT_EQ(Trial().state, TrialState::kRunning);
  ASSERT_THAT(Losses(), SizeIs(1));
  EXPECT_EQ(Losses()[0].value, 6.1);

  ASSERT_TRUE(other.Send(second.attempt_id, 2, {RowEvent(10, 6.2), EndEvent(10, 2.5)}).ok());
  other.Finish(0, OutcomeKind::kDone);
  ASSERT_TRUE(other.SyncAndObey().ok());
  EXPECT_EQ(Trial().state, TrialState::kDone);
  EXPECT_EQ(Trial().final_loss, 2.5);
  EXPECT_EQ(Trial().attempts, 2);
}

TEST_F(TrapsTest, T07_every_finished_report_is_lost_once) {
  ASSERT_TRUE(Submit(TinySpec("s", 2, 2)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  int started = 0;
  ASSERT_TRUE(worker.SyncAndObey().ok());
  while (worker.slot().state == SlotState::kRunning) {
    ++started;
    const int64_t attempt_id = worker.order().attempt_id;
    ASSERT_TRUE(worker.Train(worker.order(), 2.5).ok());
    worker.Finish(0, OutcomeKind::kDone);
    Advance(10'000);  // the report does not arrive
    ASSERT_TRUE(worker.Sync().ok());
    Advance(1'000);  // now it has, but the answer to it did not
    ASSERT_TRUE(Forgets(worker.SyncAndObey()->desire, attempt_id));
  }
  EXPECT_EQ(started, 8);
  for (int64_t number = 1; number <= 8; ++number) {
    EXPECT_EQ(GetTrial("s", number)->row.attempts, 1) << number;
    EXPECT_EQ(GetTrial("s", number)->row.state, TrialState::kDone) << number;
  }
}

// As many notebooks and dashboards as a group of people leaves open, and a backup.
TEST_F(TrapsTest, T16_fifty_readers_and_a_backup_beside_the_writer) {
  constexpr int kReaders = 50;
  SubmitOne();
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder order = Start(&worker);
  ASSERT_TRUE(worker.Send(order.attempt_id, 0, {StartEvent()}).ok());
  const std::string path = folder_ / "store.db";
  std::atomic<int> left = kReaders + 1;
  std::vector<absl::Status> statuses(kReaders + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back([&, i] {
      auto reader = ReadStore::Open(path);
      statuses[i] = reader.status();
      for (int round = 0; round < 5 && statuses[i].ok(); ++round) {
        statuses[i] = (*reader)->Query("SELECT count(*), min(value) FROM v_points").status();
        if (statuses[i].ok()) statuses[i] = (*reader)->ListTrials(1, 0, {}, 100).status();
      }
      --left;
    });
  }
  threads.emplace_back([&] {
    statuses[kReaders] = BackupStore(path, folder_ / "copy.db").status();
    --left;
  });
  int64_t step = 0;
  absl::Status writer;
  while (left > 0 && writer.ok()) {
    ++step;
    writer = worker.Send(order.attempt_id, step, {RowEvent(step, 5.0)}).status();
    if (step % 16 == 0 && writer.ok()) writer = worker.Sync().status();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(writer.ok()) << writer;
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Losses(), SizeIs(step));
}

TEST_F(TrapsTest, T19_an_exit_code_of_zero_is_no_result) {
  SubmitOne();
  FakeWorker worker(engine_.get(), "w");
  const TaskOrder first = Start(&worker);
  ASSERT_TRUE(worker.Send(first.attempt_id, 0, {StartEvent(), RowEvent(5, 4.0)}).ok());
  worker.Finish(0, OutcomeKind::kDone);  // it left with 0 and had not ended
  ASSERT_TRUE(worker.SyncAndObey().ok());
  EXPECT_EQ(Trial().state, TrialState::kPending);
  EXPECT_EQ(Trial().failure_count, 1);
  EXPECT_THAT(GetTrial("s", 1)->pending_reason, HasSubstr("reported no result"));
  Advance(2'000);
  ASSERT_TRUE(worker.SyncAndObey().ok());
  ASSERT_TRUE(worker.Train(worker.order(), 2.5).ok());
  worker.Finish(0, OutcomeKind::kFailed);  // and it may leave with 1 when it had
  ASSERT_TRUE(worker.SyncAndObey().ok());
  EXPECT_EQ(Trial().state, TrialState::kDone);
}

TEST_F(TrapsTest, T28_wall_clocks_that_jump_by_an_hour) {
  constexpr int64_t kHourMs = 3'600'000;
  SubmitOne();
  FakeWorker worker(engine_.get(), "w");
  Start(&worker);
  for (const int64_t jump_ms : {kHourMs, -2 * kHourMs, kHourMs}) {
    clock_.StepWall(jump_ms);
    Advance(20'000);
    EXPECT_EQ(Trial().state, TrialState::kRunning) << jump_ms;
    ASSERT_TRUE(worker.Sync().ok());
  }
  // A wait that was stored by a clock an hour fast is not an hour long.
  clock_.StepWall(kHourMs);
  worker.Finish(0, OutcomeKind::kFailed);
  ASSERT_TRUE(worker.SyncAndObey().ok());
  ASSERT_EQ(Trial().state, TrialState::kPending);
  clock_.StepWall(-kHourMs);
  Restart();
  Advance(options_.scheduler.backoff_ms_max);
  FakeWorker same(engine_.get(), "w");
  Start(&same);
  EXPECT_EQ(Trial().state, TrialState::kRunning);
}

}  // namespace
}  // namespace loglog
