// A flood of calls of users: what is too much is refused at once and nothing else suffers.
#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "base/limits.h"
#include "base/refusal.h"
#include "coordinator/engine_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

class OverloadTest : public EngineWorld {
 protected:
  // Keeps the strand from going on until Release: its answer to a worker waits.
  void HoldStrand() {
    FakeWorker worker(engine_.get(), "holder");
    ASSERT_TRUE(worker.Register().ok());
    engine_->SyncWorker(worker.Request(), [this](absl::StatusOr<SyncAnswer>) {
      MutexLock lock(mutex_);
      held_ = true;
      changed_.NotifyAll();
      changed_.Wait(mutex_, [this]() LOGLOG_REQUIRES(mutex_) { return released_; });
    });
    MutexLock lock(mutex_);
    ASSERT_TRUE(
        changed_.WaitFor(mutex_, 60'000, [this]() LOGLOG_REQUIRES(mutex_) { return held_; }));
  }
  void Release() {
    MutexLock lock(mutex_);
    released_ = true;
    changed_.NotifyAll();
  }
  void Reopen(const Capacity& capacity) {
    engine_.reset();
    options_.capacity = capacity;
    Open();
  }

  Mutex mutex_;
  CondVar changed_;
  bool held_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool released_ LOGLOG_GUARDED_BY(mutex_) = false;
};

TEST_F(OverloadTest, AFloodOfSubmitsIsRefusedWithAdvice) {
  HoldStrand();
  constexpr int kFlood = 5'000;
  std::vector<Answer<CreateAnswer>> answers(kFlood);
  for (int i = 0; i < kFlood; ++i) {
    engine_->CreateSweep(TinySpec("s" + std::to_string(i)), "", false, answers[i].reply());
  }
  // Those that were let in wait for the strand; the others were told at once.
  int refused = 0;
  for (const Answer<CreateAnswer>& answer : answers) {
    if (!answer.ready()) continue;
    const absl::Status status = answer.Wait().status();
    ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(RetryAfterMs(status), 1'000);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("16 such calls are under way, the most there may be; call again in 1 s"));
    ++refused;
  }
  EXPECT_EQ(refused, kFlood - limits::kSubmitsMax);
  Release();
  int created = 0;
  for (int i = 0; i < kFlood; ++i) {
    const absl::StatusOr<CreateAnswer> answer = answers[i].Wait();
    const bool exists = GetSweep("s" + std::to_string(i)).ok();
    EXPECT_EQ(answer.ok(), exists) << "what was refused changed nothing";
    if (answer.ok()) ++created;
    if (i > 100) break;  // looking at all of them takes long
  }
  EXPECT_EQ(created, limits::kSubmitsMax);
  EXPECT_TRUE(Submit(TinySpec("later")).ok());
}

TEST_F(OverloadTest, AllCallsOfUsersAreCounted) {
  Reopen({.user_calls_max = 8});
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  HoldStrand();
  std::vector<Answer<SweepView>> pauses(8);
  for (Answer<SweepView>& pause : pauses) {
    engine_->ChangeSweep(Engine::SweepVerb::kPause, "s", 0, "", "", pause.reply());
  }
  const auto refused = [](const absl::Status& status) {
    return absl::IsResourceExhausted(status) && RetryAfterMs(status).has_value();
  };
  EXPECT_TRUE(refused(Change(Engine::SweepVerb::kPause, "s").status()));
  EXPECT_TRUE(refused(GetSweep("s").status()));
  EXPECT_TRUE(refused(GetTrial("s", 1).status()));
  EXPECT_TRUE(refused(Submit(TinySpec("t")).status()));
  const auto list = Call<std::vector<SeriesView>>(
      [&](auto reply) { engine_->ListPoints({.sweep = "s"}, reply); });
  EXPECT_TRUE(refused(list.status()));
  const auto drain =
      Call<WorkerView>([&](auto reply) { engine_->DrainWorker("holder", "", reply); });
  EXPECT_TRUE(refused(drain.status()));
  const auto fit = Call<FitView>(
      [&](auto reply) { engine_->CreateFit("s", {.kind = "local_slope", .arm = "a"}, reply); });
  EXPECT_TRUE(refused(fit.status()));
  // Watchers are bounded by their own number.
  const auto events =
      Call<std::vector<EventRow>>([&](auto reply) { engine_->ListEvents("s", 0, 10, reply); });
  EXPECT_TRUE(events.ok()) << events.status();
  Release();
  for (Answer<SweepView>& pause : pauses) EXPECT_TRUE(pause.Wait().ok());
  EXPECT_TRUE(GetSweep("s").ok());
}

// A worker registers, syncs and reports while as many calls of users wait as may.
TEST_F(OverloadTest, WorkersAreNeitherRefusedNorBehindUsers) {
  Reopen({.user_calls_max = 64, .submits_max = 64});
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const int64_t attempt_id = worker.order().attempt_id;
  HoldStrand();
  std::vector<Answer<SweepView>> pauses(64);
  for (Answer<SweepView>& pause : pauses) {
    engine_->ChangeSweep(Engine::SweepVerb::kPause, "s", 0, "", "", pause.reply());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(GetSweep("s").status()));
  Answer<BatchAnswer> batch;
  Answer<SyncAnswer> sync;
  BatchRequest request;
  request.worker_id = "w";
  request.session_epoch = worker.epoch();
  request.batch.attempt_id = attempt_id;
  request.batch.metrics = {"loss/train"};
  request.batch.events = {StartEvent(), RowEvent(1, 2.5)};
  engine_->StoreBatch(request, batch.reply());
  engine_->SyncWorker(worker.Request(), sync.reply());
  Release();
  ASSERT_TRUE(batch.Wait().ok()) << batch.Wait().status();
  EXPECT_EQ(batch.Wait()->last_seq, 1);
  EXPECT_TRUE(sync.Wait().ok());
  for (Answer<SweepView>& pause : pauses) EXPECT_TRUE(pause.Wait().ok());
}

}  // namespace
}  // namespace loglog
