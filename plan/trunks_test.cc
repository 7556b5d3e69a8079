#include "plan/trunks.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "plan/plan.h"
#include "plan/spec_testing.h"

namespace loglog {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kWsd[] =
    "train: {lr: 0.01, batch_tokens: 64, schedule: wsd, warmup_tokens: 640, cooldown: 20%}\n";

std::string Sweep(const std::string& train, const std::string& order = "") {
  return SmallSpec(absl::StrCat(
      train,
      "axes: {D: {path: train.tokens, values: [6400, 12800, 64000]}, seed: {values: [0, 1]}}",
      "\narms: {a: {init.gamma: 0.5}, b: {init.gamma: 1.0}}\n", order,
      "schedule: {trunks: true}\neval: {tokens: 64}\n"));
}

// "D/seed/arm@begin<parent", parents by their place in the list.
std::vector<std::string> TasksOf(const std::string& text) {
  const SweepSpec spec = MustParse(text);
  const Expansion expansion = MustExpand(spec);
  std::vector<std::string> shown;
  for (const TaskPlan& task : PlanTasks(spec, expansion)) {
    const PlannedTrial& trial = expansion.trials[task.members[0]];
    const Cell& cell = expansion.cells[trial.cell];
    EXPECT_EQ(task.token_end, cell.cost.tokens);
    shown.push_back(absl::StrCat(task.token_end, "/", trial.seed, "/", cell.arm, "@",
                                 task.token_begin, "<", task.parent));
  }
  return shown;
}

TEST(Trunks, TheLongestOfEachArmAndSeedIsTheTrunk) {
  // 1000, 200 and 100 steps of 64 tokens, of which the last fifth cools down.
  EXPECT_THAT(
      TasksOf(Sweep(kWsd)),
      ElementsAre("64000/0/a@0<-1", "64000/0/b@0<-1", "12800/0/a@10240<0", "12800/0/b@10240<1",
                  "6400/0/a@5120<0", "6400/0/b@5120<1", "64000/1/a@0<-1", "64000/1/b@0<-1",
                  "12800/1/a@10240<6", "12800/1/b@10240<7", "6400/1/a@5120<6", "6400/1/b@5120<7"));
}

TEST(Trunks, ATrunkComesBeforeItsBranchesInAnyOrder) {
  EXPECT_THAT(
      TasksOf(Sweep(kWsd, "order: [seed, arm, D]\n")),
      ElementsAre("64000/0/a@0<-1", "6400/0/a@5120<0", "12800/0/a@10240<0", "64000/0/b@0<-1",
                  "6400/0/b@5120<3", "12800/0/b@10240<3", "64000/1/a@0<-1", "6400/1/a@5120<6",
                  "12800/1/a@10240<6", "64000/1/b@0<-1", "6400/1/b@5120<9", "12800/1/b@10240<9"));
}

TEST(Trunks, WithoutACooldownABranchTrainsItsLastStep) {
  const auto tasks =
      TasksOf(Sweep("train: {lr: 0.01, batch_tokens: 64, schedule: constant, warmup: 0}\n"));
  EXPECT_EQ(tasks[2], "12800/0/a@12736<0");
}

TEST(Trunks, ACooldownOfTheWholeRunHasNoTrunk) {
  const auto tasks = TasksOf(
      Sweep("train: {lr: 0.01, batch_tokens: 64, schedule: wsd, warmup: 0, cooldown: 100%}\n"));
  EXPECT_EQ(tasks[2], "12800/0/a@0<-1");
}

TEST(Trunks, NothingIsSharedUnlessAskedFor) {
  const SweepSpec spec = MustParse(Sweep(kWsd), {"schedule.trunks=false"});
  for (const TaskPlan& task : PlanTasks(spec, MustExpand(spec))) {
    EXPECT_EQ(task.parent, -1);
    EXPECT_EQ(task.token_begin, 0);
  }
  EXPECT_THAT(CanonicalJson(spec), Not(HasSubstr("trunks")));
  const SweepSpec shared = MustParse(Sweep(kWsd));
  EXPECT_EQ(CanonicalJson(MustParse(CanonicalJson(shared))), CanonicalJson(shared));
  // No part of a trial's identity: it trains the same numbers.
  EXPECT_EQ(MustExpand(shared).trials[3].sha256, MustExpand(spec).trials[3].sha256);
}

TEST(Trunks, WhatHasNoCommonBeginningIsRefusedWithItsPlace) {
  const auto refusal = [](const std::string& train) {
    return std::string(ParseSpec(Sweep(train), "t.yaml").status().message());
  };
  EXPECT_THAT(refusal("train: {lr: 0.01, batch_tokens: 64, warmup: 0}\n"),
              AllOf(HasSubstr("error: train.schedule is cosine, which falls from the start"),
                    HasSubstr("--> t.yaml:5:1"), HasSubstr("write schedule: wsd")));
  EXPECT_THAT(refusal("train: {lr: 0.01, batch_tokens: 64, schedule: wsd, warmup: 5%}\n"),
              AllOf(HasSubstr("train.warmup is a share, and so longer where the budget is, and "
                              "schedule.trunks asks for a common beginning"),
                    HasSubstr("--> t.yaml:5:60"), HasSubstr("write warmup_tokens")));
  EXPECT_THAT(refusal("train: {lr: 0.01, batch_tokens: 64, schedule: wsd, warmup: 0, decay_end: "
                      "50%}\n"),
              HasSubstr("train.decay_end makes lambda depend on the budget"));
  EXPECT_THAT(refusal("train: {lr: 0.01, batch_tokens: 64, schedule: wsd, warmup: 0, "
                      "decay_windows: 0% 50%}\n"),
              HasSubstr("train.decay_windows makes lambda depend on the budget"));
}

TEST(Trunks, AreCountedOnce) {
  const SweepSpec spec = MustParse(Sweep(kWsd), {"+budget.flops_per_second=1e9"});
  const Expansion expansion = MustExpand(spec);
  const PlanReport report = MakeReport(spec, expansion);
  const double per_token = FlopsPerToken(spec.base.model());
  // Of each arm and seed: the trunk, and the last fifth of both branches.
  const int64_t tokens = 4 * (64'000 + (12'800 - 10'240) + (6'400 - 5'120));
  EXPECT_EQ(report.all.tokens, tokens);
  EXPECT_NEAR(report.all.flops / per_token, tokens, 1e-6);
  EXPECT_EQ(report.all.branches, 8);
  EXPECT_NEAR(report.all.shared_flops / per_token, 4 * (10'240 + 5'120), 1e-6);
  EXPECT_NEAR(*report.slot_hours, (report.all.flops + report.all.eval_flops) / 1e9 / 3600, 1e-9);
  EXPECT_EQ(report.warnings.back().code, "TRUNK");
  EXPECT_TRUE(report.forecasts.empty());  // they are of independent trials
  // A trunk that is there already has no checkpoint for a branch that is new.
  ReportOptions options;
  options.known_trials = {expansion.trials[0].sha256};
  const PlanReport after = MakeReport(spec, expansion, options);
  EXPECT_EQ(after.fresh.branches, 6);
  EXPECT_EQ(after.fresh.tokens, tokens - 64'000 + 10'240 + 5'120);
}

}  // namespace
}  // namespace loglog
