#include "fitting/stop_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fit/distributions.h"
#include "fitting/trials_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

const StopRule kSlope = {"slope", 0.1};

std::optional<StopLook> Look(const StopRule& rule, const std::vector<ObservationRow>& trials,
                             const FitPlan& plan = {}) {
  const absl::StatusOr<std::optional<StopLook>> look = LookAtRule(rule, plan, trials);
  EXPECT_TRUE(look.ok()) << look.status();
  return look.ok() ? *look : std::nullopt;
}

TEST(StopLook, IsMadeOfTheFirstTrialsOnceAllOfThemHaveEnded) {
  std::vector<ObservationRow> trials = TrialsOf({"a"});  // 15
  trials.resize(16, trials.back());
  trials[15].state = TrialState::kPending;
  EXPECT_EQ(Look(kSlope, trials)->look, 7);
  EXPECT_EQ(Look(kSlope, trials)->n_trials, 14);
  const double whole = Look(kSlope, trials)->widest;
  // What ended out of turn does not count yet.
  trials[9].state = TrialState::kRunning;
  EXPECT_EQ(Look(kSlope, trials)->look, 4);
  EXPECT_EQ(Look(kSlope, trials)->n_trials, 8);
  const double before = Look(kSlope, trials)->widest;
  EXPECT_NE(before, whole);
  trials[14].final_loss = 99;
  EXPECT_EQ(Look(kSlope, trials)->widest, before);
  // A trial that ended without a loss lets the others be looked at.
  trials[9].state = TrialState::kFailed;
  EXPECT_EQ(Look(kSlope, trials)->look, 7);
  for (ObservationRow& trial : trials) trial.state = TrialState::kPending;
  EXPECT_FALSE(Look(kSlope, trials).has_value());
}

TEST(StopLook, CountsAllTrialsThatAnOpenRowStandsFor) {
  std::vector<ObservationRow> trials = TrialsOf({"a"});
  trials.resize(13);
  trials[12].state = TrialState::kPending;
  trials[12].trials = 4;
  const StopLook look = *Look(kSlope, trials);  // eighths of 16
  EXPECT_EQ(look.look, 6);
  EXPECT_EQ(look.n_trials, 12);
  EXPECT_THAT(look.reason, HasSubstr("the first 12 of 16 trials"));
}

// Each look spends an eighth of 5%: its interval is that much wider than the one which is shown.
TEST(StopLook, IsWiderThanTheIntervalOfOneLook) {
  std::vector<ObservationRow> trials = TrialsOf({"a"});
  trials.push_back(trials.back());
  trials.back().state = TrialState::kPending;
  const StopLook look = *Look(kSlope, trials);
  const FitPlan plan;
  Fitter fitter(absl::MakeConstSpan(trials).first(look.n_trials), plan);
  const FitRow fit = *fitter.Compute({"local_slope", Axis::kTokens, "a", ""});
  const int df = 3;
  EXPECT_NEAR(look.widest,
              (fit.high - fit.low) / 2 * TQuantile(1 - 0.025 / 8, df) / TQuantile(0.975, df),
              1e-12);
  EXPECT_TRUE(Look({"slope", look.widest * 1.001}, trials)->met);
  const StopLook not_met = *Look({"slope", look.widest * 0.999}, trials);
  EXPECT_FALSE(not_met.met);
  EXPECT_THAT(not_met.reason, HasSubstr("does not hold at look 7 of 8 (the first 14 of 16 trials"));
  EXPECT_THAT(not_met.reason, HasSubstr("(arm a), at 99.375%"));
}

TEST(StopLook, AsksEveryArmAndEveryComparison) {
  std::vector<ObservationRow> trials = TrialsOf({"a", "b"});
  // Nothing of b yet.
  for (size_t i = 15; i < trials.size(); ++i) trials[i].state = TrialState::kPending;
  const StopLook one = *Look(kSlope, trials);
  EXPECT_TRUE(std::isnan(one.widest));
  EXPECT_FALSE(one.met);
  EXPECT_THAT(one.reason, HasSubstr("no interval (arm b)"));
  for (ObservationRow& trial : trials) trial.state = TrialState::kDone;
  EXPECT_TRUE(Look({"slope", 1}, trials)->met);
  EXPECT_FALSE(Look({"slope_difference", 1}, trials)->met);  // none is planned
  FitPlan plan;
  plan.comparisons = {{"comparison", Axis::kTokens, "a", "b"}};
  const StopLook compared = *Look({"slope_difference", 1}, trials, plan);
  EXPECT_TRUE(compared.met) << compared.reason;
  EXPECT_THAT(compared.reason, HasSubstr("(a against b)"));
  // beta counts where it is identified.
  EXPECT_FALSE(Look({"beta", 1e-4}, trials)->met);
}

TEST(StopLook, ReadsTheRuleOfASpec) {
  const auto plan = [](const std::string& fits) {
    return FitPlanOf(R"({"axes": {}, "arms": [], "fit": )" + fits + "}");
  };
  EXPECT_EQ(plan(R"([{"compare": ["a", "b"], "axis": "D"},
                     {"stop_when": "halfwidth(beta) < 0.05"}])")
                ->stop_rule->quantity,
            "beta");
  EXPECT_FALSE(plan("[]")->stop_rule.has_value());
  EXPECT_EQ(FitPlanOf("{").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(plan(R"([{"stop_when": "soon"}])").ok());
}

}  // namespace
}  // namespace loglog
