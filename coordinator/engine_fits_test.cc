// The fits that a sweep keeps up to date by itself.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "coordinator/engine.h"
#include "coordinator/engine_testing.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using ::testing::HasSubstr;

double LossOf(const TaskOrder& order) {
  const auto task = nlohmann::json::parse(order.task_json);
  const double seed = task["members"][0]["seed"].get<double>();
  return (2.0 + 30 * std::pow(task["token_end"].get<double>(), -0.3)) * (1 + 0.001 * seed);
}

class EngineFitsTest : public EngineWorld {
 protected:
  // Trains four budgets of two arms and seeds; the first trial is stopped at a loss of 2.875.
  // Its arm.
  std::string TrainWithOneStopped(const std::string& fit) {
    EXPECT_TRUE(Submit(TinySpec("s", 4, 2, fit)).ok());
    FakeWorker worker(engine_.get(), "w");
    EXPECT_TRUE(worker.Register().ok());
    EXPECT_TRUE(worker.SyncAndObey().ok());
    MetricRow val;
    val.step = 4;
    val.tokens = 256;
    val.values = {{1, 2.875}};
    EXPECT_TRUE(worker.Send(worker.order().attempt_id, 0, {StartEvent(), val}).ok());
    const auto stopped = Call<TrialView>([&](auto reply) {
      engine_->EndTrial(Engine::TrialVerb::kStop, "s", 1, "enough", "", reply);
    });
    EXPECT_TRUE(worker.SyncAndObey().ok());
    EXPECT_EQ(worker.WorkOff(LossOf), 15);
    return stopped->row.arm;
  }
};

TEST_F(EngineFitsTest, TheJointFormOfASpecIsKeptUpToDate) {
  const std::string more =
      "fit: [{form: \"E + A*N^-alpha + B*D^-beta\", by: arm}, {compare: [b, a]}]\n";
  ASSERT_TRUE(Submit(TinySpec("s", 4, 2, more)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff(LossOf), 16);
  const auto count = [](const std::vector<FitView>& all, const std::string& kind) {
    return std::count_if(all.begin(), all.end(), [&](const FitView& fit) {
      return fit.row.kind == kind && fit.row.n_trials == (kind == "comparison" ? 16 : 8);
    });
  };
  const std::vector<FitView> fits = WaitForFits("s", [&](const std::vector<FitView>& all) {
    return count(all, "joint") == 2 && count(all, "comparison") == 1;
  });
  for (const FitView& fit : fits) {
    if (fit.row.kind == "comparison") {
      EXPECT_EQ(nlohmann::json::parse(fit.row.fit_json)["provenance"]["holm"]["m"], 1);
    }
    if (fit.row.kind != "joint") continue;
    // One size is too few, and it says so.
    EXPECT_EQ(fit.row.verdict, "REFUSED");
    EXPECT_THAT(fit.row.message, HasSubstr("five parameters need 6 configurations"));
  }
  const auto asked = Call<FitView>([&](auto reply) {
    engine_->CreateFit("s", {"joint", Axis::kTokens, "a", ""}, reply);
  });
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->row.kind, "joint");
}

// What a stopped trial had reached goes into the live fit that asks for it, and into no other.
TEST_F(EngineFitsTest, AStoppedTrialIsCensoredWhereTheSpecSaysSo) {
  TrainWithOneStopped("fit: [{form: B*D^-b, by: arm, censored: true}]\n");
  const auto censored = [](const FitView& fit) {
    return nlohmann::json::parse(fit.row.fit_json)["provenance"].value("censored",
                                                                       nlohmann::json());
  };
  // The other arm has seven finished trials for a while, and none that was stopped.
  const auto is_it = [&](const FitView& fit) {
    return fit.row.n_trials == 7 && censored(fit).is_object() && censored(fit)["n"] == 1;
  };
  const std::vector<FitView> fits = WaitForFits("s", [&](const std::vector<FitView>& all) {
    return std::any_of(all.begin(), all.end(), is_it);
  });
  for (const FitView& fit : fits) {
    EXPECT_EQ(censored(fit).is_object(), fit.row.kind == "local_slope");
    if (!is_it(fit)) continue;
    EXPECT_EQ(censored(fit)["trials"][0]["loss_below"], 2.875);
  }
}

// They are told and not stored.
TEST_F(EngineFitsTest, LossesOnRequest) {
  const FitTarget slope = {"local_slope", Axis::kTokens, TrainWithOneStopped(""), ""};
  const auto make = [&](std::vector<Place> at) {
    return Call<FitView>(
        [&](auto reply) { engine_->CreateFit("s", slope, reply, /*censored=*/false, at); });
  };
  const auto with = make({{.x = 1e3}, {.x = 1e9}}), without = make({});
  ASSERT_TRUE(with.ok()) << with.status();
  ASSERT_EQ(with->predictions.at.size(), 2u);
  EXPECT_GT(with->predictions.at[0].loss, 0);
  EXPECT_TRUE(with->predictions.at[1].extrapolated);
  EXPECT_TRUE(without->predictions.at.empty());
  EXPECT_EQ(with->row.fit_json, without->row.fit_json);
  EXPECT_EQ(make({{.x = -1}}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineFitsTest, AStoppedTrialIsCensoredOnRequest) {
  const FitTarget slope = {"local_slope", Axis::kTokens, TrainWithOneStopped(""), ""};
  const auto make = [&](bool censored) {
    const auto fit =
        Call<FitView>([&](auto reply) { engine_->CreateFit("s", slope, reply, censored); });
    return nlohmann::json::parse(fit->row.fit_json);
  };
  const nlohmann::json with = make(true), without = make(false);
  EXPECT_EQ(with["parameters"], without["parameters"]);
  EXPECT_FALSE(without["provenance"].contains("censored"));
  ASSERT_TRUE(with["provenance"].contains("censored"));
  EXPECT_EQ(with["provenance"]["censored"]["trials"][0]["loss_below"], 2.875);
}

const char kStopRule[] = "fit: {stop_when: \"halfwidth(slope) < 0.05\"}\n";

class StopRuleTest : public EngineWorld {
 protected:
  // One seed of everything: the first eighth of the sweep.
  void TrainFirstEighth(FakeWorker* worker) {
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(worker->SyncAndObey().ok());
      ASSERT_TRUE(worker->Train(worker->order(), LossOf(worker->order())).ok());
      worker->Finish(0, OutcomeKind::kDone);
    }
    ASSERT_TRUE(worker->SyncAndObey().ok());
  }
  // Fits say how many trials were stopped.
  void WaitForTheRule() {
    WaitForFits("s", [](const std::vector<FitView>& all) {
      return std::any_of(all.begin(), all.end(), [](const FitView& fit) {
        return nlohmann::json::parse(fit.row.fit_json)["n_stopped"] > 0;
      });
    });
  }
  void ExpectEndedByTheRule(FakeWorker* worker) {
    EXPECT_EQ(worker->WorkOff(LossOf), 0);
    const SweepView sweep = *GetSweep("s");
    EXPECT_EQ(sweep.row.state, SweepState::kDone);
    EXPECT_EQ(sweep.row.counts.done, 8);
    EXPECT_EQ(sweep.row.counts.stopped, 56);
    EXPECT_THAT(EventKinds("s"), ::testing::Contains("sweep.stop_rule"));
    const TrialView trial = *GetTrial("s", 64);
    EXPECT_EQ(trial.row.state, TrialState::kStopped);
    EXPECT_THAT(trial.row.message,
                ::testing::StartsWith("stop_when: halfwidth(slope) < 0.05 holds at look 1 of 8 "
                                      "(the first 8 of 64 trials): at most 0.0"));
  }
};

TEST_F(StopRuleTest, EndsWhatIsLeftOfASweepAndSaysWhy) {
  ASSERT_TRUE(Submit(TinySpec("s", 4, 8, kStopRule)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  TrainFirstEighth(&worker);
  WaitForTheRule();
  ExpectEndedByTheRule(&worker);
}

TEST_F(StopRuleTest, ActsAfterARestartOnWhatTheStoreHolds) {
  engine_->Stop();
  engine_.reset();
  options_.refit = false;
  Open();
  ASSERT_TRUE(Submit(TinySpec("s", 4, 8, kStopRule)).ok());
  {
    FakeWorker worker(engine_.get(), "w");
    ASSERT_TRUE(worker.Register().ok());
    TrainFirstEighth(&worker);
  }
  EXPECT_EQ(GetSweep("s")->row.counts.stopped, 0);
  options_.refit = true;
  Restart();
  WaitForTheRule();
  FakeWorker again(engine_.get(), "w2");
  ASSERT_TRUE(again.Register().ok());
  ExpectEndedByTheRule(&again);
}

TEST_F(StopRuleTest, LeavesTrialsThatAnotherSweepWaitsFor) {
  ASSERT_TRUE(Submit(TinySpec("s", 4, 8, kStopRule)).ok());
  ASSERT_TRUE(Submit(TinySpec("other", 4, 2)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  TrainFirstEighth(&worker);
  WaitForTheRule();
  EXPECT_EQ(GetSweep("s")->row.counts.stopped, 48);
  EXPECT_EQ(GetSweep("other")->row.counts.stopped, 0);
  EXPECT_GE(worker.WorkOff(LossOf), 7);
  EXPECT_EQ(GetSweep("other")->row.state, SweepState::kDone);
}

TEST_F(StopRuleTest, ARuleThatDoesNotHoldChangesNothing) {
  ASSERT_TRUE(
      Submit(TinySpec("s", 4, 2, "fit: {stop_when: \"halfwidth(slope) < 1.0e-9\"}\n")).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff(LossOf), 16);
  WaitForFits("s", [](const std::vector<FitView>& all) {
    return std::any_of(all.begin(), all.end(), [](const FitView& fit) {
      return fit.row.kind == "local_slope" && fit.row.n_trials == 8;
    });
  });
  EXPECT_EQ(GetSweep("s")->row.counts.done, 16);
}

// On it, time passes while fits are computed: a tenth of a second between any two looks.
class FitsTakeTime : public FakeClock {
 public:
  // From now on, threads other than this one and the strand compute.
  void Arm(std::thread::id strand) {
    MutexLock lock(mutex_);
    others_ = {std::this_thread::get_id(), strand};
  }
  int64_t monotonic_ms() const override {
    bool computing = false;
    {
      MutexLock lock(mutex_);
      computing = !others_.empty() && !others_.contains(std::this_thread::get_id());
    }
    if (computing) const_cast<FitsTakeTime*>(this)->Advance(100);
    return FakeClock::monotonic_ms();
  }

 private:
  mutable Mutex mutex_;
  std::set<std::thread::id> others_ LOGLOG_GUARDED_BY(mutex_);
};

TEST_F(EngineFitsTest, FitsRestSoThatALargeSweepDoesNotTakeTheProcessor) {
  FitsTakeTime clock;
  engine_->Stop();
  engine_.reset();
  options_.clock = &clock;
  Open();
  const absl::Cleanup stop = [this] { engine_->Stop(); };  // before the clock goes
  std::thread::id strand;
  // Answers come from the strand.
  ASSERT_TRUE(Call<int>([&](auto reply) {
                engine_->StoreBatch({}, [&strand, reply](const absl::StatusOr<BatchAnswer>&) {
                  strand = std::this_thread::get_id();
                  reply(0);
                });
              }).ok());
  clock.Arm(strand);
  ASSERT_TRUE(Submit(TinySpec("s", 4)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  const auto slopes_of_all = [](const std::vector<FitView>& all) {
    return std::count_if(all.begin(), all.end(), [](const FitView& fit) {
      return fit.row.kind == "local_slope" && fit.row.n_trials == 4;
    });
  };
  // The fits that the first trial's end asks for are made; then they rest.
  ASSERT_TRUE(worker.SyncAndObey().ok());
  ASSERT_TRUE(worker.Train(worker.order(), LossOf(worker.order())).ok());
  WaitForFits("s", [](const std::vector<FitView>& all) { return !all.empty(); });
  worker.Finish(0, OutcomeKind::kDone);
  EXPECT_EQ(worker.WorkOff(LossOf), 7);
  // There is one thread for fits: what was started before this is in the store after it.
  ASSERT_TRUE(Call<FitView>([&](auto reply) {
                engine_->CreateFit("s", {"saturating", Axis::kTokens, "a", ""}, reply);
              }).ok());
  const auto fits = Call<std::vector<FitView>>([&](auto reply) { engine_->ListFits("s", reply); });
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_EQ(slopes_of_all(*fits), 0);
  clock.Advance(900);
  engine_->Poke();
  WaitForFits("s", [&](const std::vector<FitView>& all) { return slopes_of_all(all) == 2; });
}

}  // namespace
}  // namespace loglog
