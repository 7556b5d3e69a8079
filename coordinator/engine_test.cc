// A sweep's life through the engine: submit, dispatch, batches, fits, restart.
#include "coordinator/engine.h"

#include <gmock/gmock.h>

#include <cmath>

#include "coordinator/engine_testing.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

using EngineTest = EngineWorld;

double PowerLaw(const TaskOrder& order) {
  const auto task = nlohmann::json::parse(order.task_json);
  const double d = task["token_end"].get<double>();
  const double seed = task["members"][0]["seed"].get<double>();
  const bool steep = task["members"][0]["config"]["train"]["lr"].get<double>() > 1.5e-3;
  return 2.0 + 30 * std::pow(d, steep ? -0.4 : -0.3) * (1 + 0.001 * seed);
}

TEST_F(EngineTest, AnOrderIsWhatTheTrainerReads) {
  const auto created = Submit(TinySpec("s", 1, 1, "checkpoint: {every: 7, keep: 3}\n"));
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(created->created);
  EXPECT_EQ(created->trials_new, 2);
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder& order = worker.order();
  const auto task = nlohmann::json::parse(order.task_json);
  EXPECT_EQ(task["format"], 1);
  EXPECT_EQ(task["attempt_id"], order.attempt_id);
  EXPECT_EQ(task["task_id"], order.task_id);
  EXPECT_EQ(task["token_begin"], 0);
  EXPECT_EQ(task["token_end"], 640);
  EXPECT_EQ(task["checkpoint"], nlohmann::json({{"every", 7}, {"keep", 3}}));
  ASSERT_THAT(task["members"], SizeIs(1));
  EXPECT_EQ(task["members"][0]["seed"], 0);
  EXPECT_EQ(task["members"][0]["config"]["train"]["batch_tokens"], 64);
  const auto trial = GetTrial("s", 1);
  ASSERT_TRUE(trial.ok());
  EXPECT_EQ(task["members"][0]["trial"], trial->row.trial_sha256);
  // The bytes that were hashed, numbers as they were spelled.
  EXPECT_THAT(order.task_json, HasSubstr("\"config\":" + trial->row.config_json + "}"));
  EXPECT_EQ(order.resume_step, 0);
}

TEST_F(EngineTest, ASweepRunsToItsFits) {
  const std::string more = "fit: [{form: \"E + B*D^-beta\", by: arm}, {compare: [b, a]}]\n";
  ASSERT_TRUE(Submit(TinySpec("s", 4, 2, more)).ok());
  FakeWorker worker(engine_.get(), "w", 2);
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff(PowerLaw), 16);

  const auto sweep = GetSweep("s");
  ASSERT_TRUE(sweep.ok());
  EXPECT_EQ(sweep->row.state, SweepState::kDone);
  EXPECT_EQ(sweep->row.counts.done, 16);
  EXPECT_GT(sweep->row.end_ms, 0);
  EXPECT_EQ(sweep->slots_total, 2);
  EXPECT_EQ(sweep->slots_busy, 0);
  const auto trial = GetTrial("s", 1);
  EXPECT_EQ(trial->row.state, TrialState::kDone);
  EXPECT_EQ(trial->row.attempts, 1);
  EXPECT_EQ(trial->pending_reason, "");
  EXPECT_TRUE(std::isfinite(trial->row.final_loss));

  // A slope and a saturating form for each arm and their comparison, of all trials.
  const std::vector<FitView> fits = WaitForFits("s", [](const std::vector<FitView>& all) {
    return all.size() == 5 && std::all_of(all.begin(), all.end(), [](const FitView& fit) {
             return fit.row.n_trials == (fit.row.kind == "comparison" ? 16 : 8);
           });
  });
  ASSERT_THAT(fits, SizeIs(5));
  for (const FitView& fit : fits) {
    EXPECT_EQ(fit.row.axis, "D");
    EXPECT_EQ(fit.row.n_trials, fit.row.kind == "comparison" ? 16 : 8);
    if (fit.row.kind == "local_slope") {
      EXPECT_LT(fit.row.estimate, 0);
    }
  }
  const auto kinds = EventKinds("s");
  EXPECT_EQ(kinds.front(), "sweep.created");
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "trial.done"), 16);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "attempt.leased"), 16);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "sweep.done"), 1);
  EXPECT_THAT(kinds, Contains("fit.updated"));

  // Asked for, a fit of the same trials is the one that is stored.
  const FitTarget target{"local_slope", Axis::kTokens, "a", ""};
  const auto asked = Call<FitView>([&](auto reply) { engine_->CreateFit("s", target, reply); });
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_THAT(fits, Contains(testing::Field(&FitView::row,
                                            testing::Field(&FitRow::number, asked->row.number))));
}

TEST_F(EngineTest, T21_ADivergedTrialIsAnOutcomeAndCountedInTheFit) {
  ASSERT_TRUE(Submit(TinySpec("s", 3, 1)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  int n = 0;
  worker.WorkOff([&](const TaskOrder& order) { return ++n == 1 ? NAN : PowerLaw(order); });
  const auto sweep = GetSweep("s");
  EXPECT_EQ(sweep->row.state, SweepState::kDone);
  EXPECT_EQ(sweep->row.counts.diverged, 1);
  EXPECT_EQ(sweep->row.counts.failed, 0);
  const auto trials = Call<TrialPage>(
      [&](auto reply) { engine_->ListTrials("s", 0, {TrialState::kDiverged}, 10, reply); });
  ASSERT_THAT(trials->trials, SizeIs(1));
  EXPECT_EQ(trials->total, 1);
  EXPECT_TRUE(std::isnan(trials->trials[0].row.final_loss));
  const std::string arm = trials->trials[0].row.arm;
  const auto fit = Call<FitView>([&](auto reply) {
    engine_->CreateFit("s", {"local_slope", Axis::kTokens, arm, ""}, reply);
  });
  ASSERT_TRUE(fit.ok());
  EXPECT_EQ(fit->row.n_trials, 2);
  EXPECT_EQ(nlohmann::json::parse(fit->row.fit_json)["n_diverged"], 1);
}

TEST_F(EngineTest, ARequestIdBelongsToOneRequest) {
  const auto first = Submit(TinySpec("s", 2, 1), "once");
  ASSERT_TRUE(first.ok());
  const auto repeated = Submit(TinySpec("s", 2, 1), "once");
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_EQ(repeated->sweep.row.name, first->sweep.row.name);
  EXPECT_EQ(repeated->created, first->created);
  EXPECT_EQ(repeated->trials_new, first->trials_new);
  EXPECT_EQ(repeated->trials_reused, first->trials_reused);
  EXPECT_TRUE(absl::IsInvalidArgument(Submit(TinySpec("s", 3, 1), "once").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Call<int64_t>([&](auto reply) {
                                        engine_->RetryTrials("s", {}, {}, "", "once", reply);
                                      }).status()));
}

TEST_F(EngineTest, TheSameSpecAddsNothingAndAnEditedOneOnlyWhatIsMissing) {
  ASSERT_TRUE(Submit(TinySpec("s", 2, 1)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff(PowerLaw), 4);
  const auto again = Submit(TinySpec("s", 2, 1));
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->trials_new, 0);
  EXPECT_EQ(worker.WorkOff(PowerLaw), 0);
  const auto more = Submit(TinySpec("s", 2, 2));
  EXPECT_EQ(more->sweep.row.name, "s-2");
  EXPECT_EQ(more->trials_new, 4);
  EXPECT_EQ(more->trials_reused, 4);
  EXPECT_EQ(worker.WorkOff(PowerLaw), 4);
  EXPECT_EQ(GetSweep("s-2")->row.state, SweepState::kDone);
  EXPECT_EQ(GetSweep("s-2")->row.counts.done, 8);
}

// With its suffix it would have a name that no call takes.
TEST_F(EngineTest, ANameIsRefusedThatASuffixMakesTooLong) {
  const std::string name(62, 'n');
  ASSERT_TRUE(Submit(TinySpec(name, 2, 1)).ok());
  const auto other = Submit(TinySpec(name, 2, 2));
  EXPECT_TRUE(absl::IsInvalidArgument(other.status())) << other.status();
  EXPECT_THAT(other.status().message(), HasSubstr("with -2 behind it has 64 bytes"));
  EXPECT_TRUE(Submit(TinySpec(name, 2, 1)).ok());
}

TEST_F(EngineTest, ASweepOfNothingButOldTrialsIsDoneAtOnce) {
  ASSERT_TRUE(Submit(TinySpec("s", 2, 2)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  worker.WorkOff(PowerLaw);
  const auto part = Submit(TinySpec("part", 1, 2));
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->trials_new, 0);
  EXPECT_EQ(part->sweep.row.state, SweepState::kDone);
}

TEST_F(EngineTest, ValidatingChangesNothing) {
  const auto preview = Call<CreateAnswer>(
      [&](auto reply) { engine_->CreateSweep(TinySpec("s"), "", /*validate_only=*/true, reply); });
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_EQ(preview->trials_new, 2);
  EXPECT_TRUE(absl::IsNotFound(GetSweep("s").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Submit("name: [").status()));
}

TEST_F(EngineTest, ARestartGoesOnWhereItWas) {
  ASSERT_TRUE(Submit(TinySpec("s", 2, 1)).ok());
  FakeWorker worker(engine_.get(), "w", 2);
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder order = worker.order(0);
  ASSERT_TRUE(worker.Sync().ok());  // tells that slot 0 and 1 run
  ASSERT_TRUE(worker.Send(order.attempt_id, 0, {StartEvent(), RowEvent(1, 5)}).ok());

  Restart();
  FakeWorker same(engine_.get(), "w", 2);
  same.set_epoch(worker.epoch());
  same.slot(0) = worker.slot(0);
  same.slot(1) = worker.slot(1);
  // The session and the leases still stand; what was acknowledged is there.
  const auto answer = same.Sync();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->desire.Anything());
  EXPECT_EQ(same.Send(order.attempt_id, 0, {})->last_seq, 1);
  EXPECT_EQ(
      same.Send(order.attempt_id, 0, {StartEvent(), RowEvent(1, 5), RowEvent(2, 4)})->last_seq, 2);
  Advance(60'000);
  // Nobody spoke for too long: now they are lost, and later run again.
  EXPECT_EQ(GetTrial("s", 1)->row.state, TrialState::kPending);
  EXPECT_EQ(GetTrial("s", 1)->row.lost_count, 1);
}

TEST_F(EngineTest, AnOrderThatWasNotHeardIsTheSameAfterARestart) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const auto before = worker.Sync();
  ASSERT_EQ(before->orders.count(0), 1);
  Restart();
  FakeWorker same(engine_.get(), "w");
  same.set_epoch(worker.epoch());
  const auto after = same.Sync();
  ASSERT_EQ(after->orders.count(0), 1);
  EXPECT_EQ(after->orders.at(0).attempt_id, before->orders.at(0).attempt_id);
  EXPECT_EQ(after->orders.at(0).task_json, before->orders.at(0).task_json);
}

TEST_F(EngineTest, T09_ALostAttemptIsResumedAndItsLaterPointsSuperseded) {
  ASSERT_TRUE(Submit(TinySpec("s")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder first = worker.order();
  ASSERT_TRUE(worker
                  .Send(first.attempt_id, 0,
                        {StartEvent(), RowEvent(4, 5.4), CheckpointEvent(4), RowEvent(8, 5.8)})
                  .ok());
  ASSERT_TRUE(worker.Register("another boot").ok());
  worker.slot() = SlotReport{};
  Advance(2'000);
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const TaskOrder second = worker.order();
  EXPECT_EQ(second.task_id, first.task_id);
  EXPECT_GT(second.attempt_id, first.attempt_id);
  EXPECT_EQ(second.resume_step, 4);
  EXPECT_EQ(second.resume_path, "/ckpt/step-4");
  EXPECT_EQ(second.resume_sha256, std::string(64, 'c'));
  // The old one's events are of no use now.
  EXPECT_TRUE(worker.Send(first.attempt_id, 4, {RowEvent(9, 1)})->forget);
  ASSERT_TRUE(
      worker.Send(second.attempt_id, 0, {StartEvent(4), RowEvent(8, 6.8), EndEvent(10, 2.5)}).ok());
  const auto series = Call<std::vector<SeriesView>>(
      [&](auto reply) { engine_->ListPoints({.sweep = "s", .numbers = {1}}, reply); });
  ASSERT_THAT(*series, SizeIs(1));
  const Curve& curve = series->front().curve;
  ASSERT_THAT(curve.points, SizeIs(2));
  EXPECT_EQ(curve.points[0].value, 5.4);
  EXPECT_EQ(curve.points[1].value, 6.8);
}

TEST_F(EngineTest, T10_ARestartChangesNoTrial) {
  ASSERT_TRUE(Submit(TinySpec("s", 3, 2)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  ASSERT_TRUE(worker.SyncAndObey().ok());
  const auto hashes = [&] {
    std::vector<std::string> all;
    for (int64_t number = 1; number <= 12; ++number) {
      all.push_back(GetTrial("s", number)->row.trial_sha256);
    }
    return all;
  };
  const std::vector<std::string> before = hashes();
  Restart();
  EXPECT_EQ(hashes(), before);
  EXPECT_TRUE(absl::IsNotFound(GetTrial("s", 13).status()));
}

TEST_F(EngineTest, ASecondEngineOnTheSameStoreIsRefused) {
  const auto second = Engine::Open(folder_ / "store.db", options_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
}

TEST_F(EngineTest, EtaComesFromWhatWasMeasured) {
  ASSERT_TRUE(Submit(TinySpec("s", 1, 3)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(GetSweep("s")->slot_seconds_left, 0);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(worker.SyncAndObey().ok());
    const int64_t attempt = worker.order().attempt_id;
    ASSERT_TRUE(worker.Send(attempt, 0, {StartEvent(), RowEvent(1, 5)}).ok());
    clock_.Advance(9'000);
    ASSERT_TRUE(worker.Send(attempt, 2, {RowEvent(10, 5), EndEvent(10, 3)}).ok());
    clock_.Advance(1'000);
    worker.Finish(0, OutcomeKind::kDone);
    ASSERT_TRUE(worker.SyncAndObey().ok());
  }
  // Four trials are left, of about 10 s each.
  const auto sweep = GetSweep("s");
  EXPECT_NEAR(sweep->slot_seconds_left, 44, 5);
  EXPECT_LT(sweep->slot_seconds_left_low, sweep->slot_seconds_left);
  EXPECT_GT(sweep->slot_seconds_left_high, sweep->slot_seconds_left);
  EXPECT_NEAR(sweep->slot_seconds_used, 20, 0.1);
}

}  // namespace
}  // namespace loglog
