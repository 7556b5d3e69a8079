// Steering sweeps, and what happens when the store cannot keep a change.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "absl/cleanup/cleanup.h"
#include "coordinator/engine_testing.h"

namespace loglog {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using Verb = Engine::SweepVerb;

class EngineSteerTest : public EngineWorld {
 protected:
  absl::StatusOr<int64_t> Retry(const std::string& sweep, std::vector<int64_t> numbers = {},
                                RetryKinds kinds = {}, const std::string& request_id = "") {
    return Call<int64_t>([&](auto reply) {
      engine_->RetryTrials(sweep, numbers, kinds, "by a test", request_id, reply);
    });
  }
};

TEST_F(EngineSteerTest, PauseAndResume) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const auto paused = Change(Verb::kPause, "s");
  ASSERT_TRUE(paused.ok()) << paused.status();
  EXPECT_EQ(paused->row.state, SweepState::kPaused);
  EXPECT_FALSE(worker.Sync()->desire.Anything());
  EXPECT_THAT(GetTrial("s", 1)->pending_reason, HasSubstr("paused"));
  Restart();  // and it stays so
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kPaused);
  FakeWorker same(engine_.get(), "w");
  ASSERT_TRUE(same.Register().ok());
  EXPECT_FALSE(same.Sync()->desire.Anything());
  ASSERT_TRUE(Change(Verb::kResume, "s").ok());
  EXPECT_TRUE(same.Sync()->desire.Anything());
  EXPECT_EQ(Change(Verb::kResume, "s").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EngineSteerTest, AnOldEtagIsAborted) {
  const auto created = Submit(TinySpec("s"));
  const int64_t revision = created->sweep.row.revision;
  ASSERT_TRUE(Change(Verb::kPause, "s", revision).ok());
  EXPECT_TRUE(absl::IsAborted(Change(Verb::kResume, "s", revision).status()));
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kPaused);
}

TEST_F(EngineSteerTest, AVerbIsServedOnceForEachRequest) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  ASSERT_TRUE(Change(Verb::kPause, "s", 0, "r1").ok());
  ASSERT_TRUE(Change(Verb::kResume, "s", 0, "r2").ok());
  // The first one again: it was served, and does not pause once more.
  EXPECT_EQ(Change(Verb::kPause, "s", 0, "r1")->row.state, SweepState::kActive);
  EXPECT_TRUE(absl::IsInvalidArgument(Change(Verb::kCancel, "s", 0, "r1").status()));
}

TEST_F(EngineSteerTest, CancellingEndsWhatNobodyElseWants) {
  ASSERT_TRUE(Submit(TinySpec("s", 2, 1)).ok());
  ASSERT_TRUE(Submit(TinySpec("other", 1, 1)).ok());
  const auto cancelled = Change(Verb::kCancel, "s");
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->row.state, SweepState::kCancelled);
  EXPECT_EQ(cancelled->row.counts.cancelled, 2);
  EXPECT_EQ(cancelled->row.counts.pending, 2);  // of the other sweep, too
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff([](const TaskOrder&) { return 3.0; }), 2);
  EXPECT_EQ(GetSweep("other")->row.state, SweepState::kDone);
  EXPECT_EQ(Change(Verb::kPause, "s").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::IsNotFound(Change(Verb::kPause, "none").status()));
}

TEST_F(EngineSteerTest, FailedTrialsAreRetriedWithFreshBudgets) {
  ASSERT_TRUE(Submit(TinySpec("s", 1, 1, "retries: {failures: 1}\n")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(worker.SyncAndObey().ok());
    worker.Finish(0, OutcomeKind::kFailed, "cannot open data");
    ASSERT_TRUE(worker.SyncAndObey().ok());
  }
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kDone);
  EXPECT_EQ(GetSweep("s")->row.counts.failed, 2);
  EXPECT_THAT(GetTrial("s", 1)->row.message, HasSubstr("cannot open data"));

  EXPECT_EQ(*Retry("s", {}, {}, "r"), 2);
  EXPECT_EQ(*Retry("s", {}, {}, "r"), 2);  // the same request
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kActive);
  EXPECT_EQ(GetTrial("s", 1)->row.failure_count, 0);
  EXPECT_EQ(Retry("s", {1}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::IsNotFound(Retry("s", {99}).status()));
  EXPECT_EQ(worker.WorkOff([](const TaskOrder&) { return 3.0; }), 2);
  EXPECT_EQ(GetSweep("s")->row.counts.done, 2);
  EXPECT_THAT(EventKinds("s"), Contains("sweep.reopened"));
}

TEST_F(EngineSteerTest, OneTrialIsCancelledAndBroughtBack) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  const auto cancel = [&](int64_t number) {
    return Call<TrialView>([&](auto reply) {
      engine_->EndTrial(Engine::TrialVerb::kCancel, "s", number, "", "", reply);
    });
  };
  EXPECT_EQ(cancel(1)->row.state, TrialState::kCancelled);
  EXPECT_EQ(cancel(1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cancel(2)->row.state, TrialState::kCancelled);
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kDone);
  EXPECT_EQ(Retry("s", {1}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*Retry("s", {1}, {.cancelled = true}), 1);
  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kActive);
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff([](const TaskOrder&) { return 3.0; }), 1);
}

TEST_F(EngineSteerTest, AWorkerIsResumedOnlyWhenThereIsSomethingToResume) {
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const auto resume = [&](const std::string& id) {
    return Call<WorkerView>([&](auto reply) { engine_->ResumeWorker(id, reply); });
  };
  EXPECT_EQ(resume("w").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::IsNotFound(resume("x").status()));
  ASSERT_TRUE(Call<WorkerView>([&](auto reply) { engine_->DrainWorker("w", "", reply); }).ok());
  EXPECT_EQ(resume("w")->row.state, WorkerState::kLive);
  EXPECT_TRUE(absl::IsNotFound(
      Call<WorkerView>([&](auto reply) { engine_->DrainWorker("x", "", reply); }).status()));
}

TEST_F(EngineSteerTest, CurvesAreThinnedAndBounded) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  worker.WorkOff([](const TaskOrder&) { return 3.0; });
  const auto all = Call<std::vector<SeriesView>>([&](auto reply) {
    engine_->ListPoints({.sweep = "s", .metrics = {"loss/train"}, .max_points = 4}, reply);
  });
  ASSERT_EQ(all->size(), 2);
  EXPECT_EQ((*all)[0].curve.total_points, 10);
  EXPECT_EQ((*all)[0].curve.points.size(), 4);
  EXPECT_EQ((*all)[0].curve.points.front().step, 1);
  EXPECT_EQ((*all)[0].curve.points.back().step, 10);
}

TEST_F(EngineSteerTest, FitsOfWhatIsNotThere) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  const auto fit = [&](const std::string& sweep, FitTarget target) {
    return Call<FitView>([&](auto reply) { engine_->CreateFit(sweep, target, reply); });
  };
  EXPECT_TRUE(absl::IsNotFound(fit("none", {"local_slope", Axis::kTokens, "a", ""}).status()));
  EXPECT_TRUE(absl::IsNotFound(fit("s", {"local_slope", Axis::kTokens, "c", ""}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(fit("s", {"cubic", Axis::kTokens, "a", ""}).status()));
  const auto refused = fit("s", {"local_slope", Axis::kTokens, "a", ""});
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->row.verdict, "REFUSED");
  EXPECT_NE(refused->row.message, "");
}

// The disk fills up under the write-ahead log: nothing of the group is kept or answered
// with OK, and the engine goes on once there is room.
TEST_F(EngineSteerTest, AFailedCommitIsTakenBackWhole) {
  ASSERT_TRUE(Submit(TinySpec("s", 3, 3)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder order = worker.order();
  ASSERT_TRUE(worker.Send(order.attempt_id, 0, {StartEvent()}).ok());

  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto restore = absl::MakeCleanup([&] {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old_handler);
  });
  rlimit full = before;
  full.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const auto refused = worker.Send(order.attempt_id, 1, {RowEvent(1, 5.0)});
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()) || absl::IsUnavailable(refused.status()))
      << refused.status();
  EXPECT_FALSE(Change(Verb::kPause, "s").ok());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);

  EXPECT_EQ(GetSweep("s")->row.state, SweepState::kActive);
  EXPECT_EQ(worker.Send(order.attempt_id, 1, {})->last_seq, 0);
  EXPECT_EQ(worker.Send(order.attempt_id, 1, {RowEvent(1, 5.0)})->last_seq, 1);
  // Its lease stands, and the rest of the sweep runs.
  EXPECT_FALSE(worker.Sync()->desire.Anything());
  ASSERT_TRUE(worker.Send(order.attempt_id, 2, {EndEvent(10, 3.0)}).ok());
  worker.Finish(0, OutcomeKind::kDone);
  ASSERT_TRUE(worker.SyncAndObey().ok());
  EXPECT_EQ(worker.WorkOff([](const TaskOrder&) { return 3.0; }), 17);
  EXPECT_EQ(GetSweep("s")->row.counts.done, 18);
}

}  // namespace
}  // namespace loglog
