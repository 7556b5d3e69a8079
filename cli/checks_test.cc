#include "cli/checks.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "cli/fixtures_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const Check* Find(const std::vector<Check>& checks, const std::string& code) {
  for (const Check& check : checks) {
    if (check.code == code) return &check;
  }
  return nullptr;
}

// A sweep over gamma x seeds at two budgets; `loss(gamma index)`.
CheckInput GammaSweep(const std::vector<std::string>& gammas, double step) {
  CheckInput input;
  input.sweep.set_name("sweeps/phase");
  input.sweep.set_state(v1::Sweep::DONE);
  int number = 0;
  for (size_t g = 0; g < gammas.size(); ++g) {
    for (const int64_t tokens : {1'000'000, 20'000'000}) {
      for (const int64_t seed : {0, 1}) {
        const double loss = 3 + step * static_cast<double>(g) + (seed == 0 ? 0.0005 : -0.0005);
        input.trials.push_back(MakeTrial(++number, "gamma=" + gammas[g], {{"gamma", gammas[g]}},
                                         tokens, seed, v1::Trial::DONE, loss));
      }
    }
  }
  Recount(&input);
  return input;
}

TEST(ChecksTest, AGoodSweepHasNone) { EXPECT_THAT(RunChecks(DoneSweep()), IsEmpty()); }

TEST(ChecksTest, EdgeNamesTheAxisAndTheNextValue) {
  const std::vector<Check> upper = RunChecks(GammaSweep({"0.4", "0.5", "0.6"}, -0.1));
  const Check* edge = Find(upper, "EDGE");
  ASSERT_NE(edge, nullptr);
  EXPECT_EQ(
      edge->message,
      "the best loss is at gamma=0.6, the upper end of its axis: the optimum may lie outside");
  EXPECT_EQ(edge->fix, "loglog submit SPEC 'axes.gamma.values=[0.4,0.5,0.6,0.7]'");
  const std::vector<Check> geometric = RunChecks(GammaSweep({"0.01", "0.1", "1.0"}, 0.1));
  ASSERT_NE(Find(geometric, "EDGE"), nullptr);
  EXPECT_EQ(Find(geometric, "EDGE")->fix,
            "loglog submit SPEC 'axes.gamma.values=[0.001,0.01,0.1,1]'");
}

TEST(ChecksTest, NoEdgeAtZeroOrInside) {
  EXPECT_EQ(Find(RunChecks(GammaSweep({"0", "0.1", "1.0"}, 0.1)), "EDGE"), nullptr);
  CheckInput inside = GammaSweep({"0.4", "0.5", "0.6"}, 0.1);
  for (v1::Trial& t : inside.trials) {
    if (t.arm() == "gamma=0.5") t.set_final_loss(2.0);
  }
  EXPECT_EQ(Find(RunChecks(inside), "EDGE"), nullptr);
}

TEST(ChecksTest, DivergedSaysWhere) {
  CheckInput input = GammaSweep({"0.4", "0.5", "0.6"}, 0.1);
  for (v1::Trial& t : input.trials) {
    if (t.arm() == "gamma=0.6") t.set_state(v1::Trial::DIVERGED);
  }
  Recount(&input);
  const std::vector<Check> checks = RunChecks(input);
  const Check* diverged = Find(checks, "DIVERGED");
  ASSERT_NE(diverged, nullptr);
  EXPECT_THAT(diverged->message,
              HasSubstr("4 of 12 trials diverged, most at arm=gamma=0.6 (4 of 4)"));
  EXPECT_EQ(diverged->fix, "loglog trial list phase --state diverged");
}

TEST(ChecksTest, NoiseSaysHowManySeedsWouldDo) {
  CheckInput input = GammaSweep({"0.4", "0.5"}, 0.003);
  for (v1::Trial& t : input.trials)
    t.set_final_loss(t.final_loss() + (t.seed() == 0 ? 0.004 : -0.004));
  const std::vector<Check> checks = RunChecks(input);
  const Check* noise = Find(checks, "NOISE");
  ASSERT_NE(noise, nullptr);
  // sd = 0.0045 * sqrt 2 of a loss of 3, gap .003, two budgets: 2 * (1.96 * 2.12)^2 / 2.
  EXPECT_THAT(noise->message, HasSubstr("about 18 seeds would separate them"));
  EXPECT_THAT(noise->fix, HasSubstr("loglog compare gamma=0.4 gamma=0.5 --sweep phase"));
}

TEST(ChecksTest, RangeUnderADecade) {
  CheckInput input = DoneSweep();
  std::vector<v1::Trial> few;
  for (const v1::Trial& t : input.trials) {
    if (t.tokens_planned() <= 4'000'000) few.push_back(t);
  }
  input.trials = few;
  Recount(&input);
  const std::vector<Check> checks = RunChecks(input);
  const Check* range = Find(checks, "RANGE");
  ASSERT_NE(range, nullptr);
  EXPECT_THAT(range->message, HasSubstr("span 4x"));
  EXPECT_EQ(range->fix, "loglog submit SPEC 'axes.D.values=[1000000,2000000,4000000,16000000]'");
}

TEST(ChecksTest, FailedTrialsAreStaleAndUnbalance) {
  CheckInput input = DoneSweep();
  input.trials[0].set_state(v1::Trial::FAILED);
  Recount(&input);
  const std::vector<Check> checks = RunChecks(input);
  ASSERT_NE(Find(checks, "STALE"), nullptr);
  EXPECT_EQ(Find(checks, "STALE")->fix, "loglog sweep retry demo");
  ASSERT_NE(Find(checks, "IMBALANCE"), nullptr);
  EXPECT_THAT(Find(checks, "IMBALANCE")->message, HasSubstr("small 7 of 8"));
}

TEST(ChecksTest, AStopRuleThatEndedTheSweepSaysSoOnce) {
  CheckInput input = DoneSweep();
  EXPECT_EQ(Find(RunChecks(input), "STOPPED"), nullptr);
  for (int i = 0; i < 3; ++i) {
    input.trials[i].set_state(v1::Trial::STOPPED);
    input.trials[i].set_message("stop_when: halfwidth(slope) < 0.003 holds at look 5 of 8");
  }
  Recount(&input);
  const std::vector<Check> checks = RunChecks(input);
  ASSERT_NE(Find(checks, "STOPPED"), nullptr);
  EXPECT_THAT(Find(checks, "STOPPED")->message, HasSubstr("holds at look 5 of 8"));
  EXPECT_EQ(std::count_if(checks.begin(), checks.end(),
                          [](const Check& check) { return check.code == "STOPPED"; }),
            1);
}

TEST(ChecksTest, MixedDevicesVersionsAndData) {
  CheckInput input = DoneSweep();
  v1::Worker gpu = input.workers[0];
  gpu.set_name("workers/w2");
  gpu.set_device("NVIDIA H100");
  input.workers.push_back(gpu);
  input.trials[0].set_worker("workers/w2");
  input.trials[2].set_trainer_version("0.2.0");
  input.trials[3].set_data_sha256("other");
  const std::vector<Check> checks = RunChecks(input);
  std::vector<std::string> messages;
  for (const Check& check : checks) messages.push_back(check.message);
  EXPECT_THAT(messages, Contains(HasSubstr("arm small mixes trainer versions (0.1.0, 0.2.0)")));
  EXPECT_THAT(messages, Contains(HasSubstr("arm large mixes training data (data, other)")));
  EXPECT_THAT(messages, Contains(HasSubstr("arm small mixes devices (NVIDIA H100, cpu)")));
}

TEST(ChecksTest, FitsThatSayNothing) {
  CheckInput input = DoneSweep();
  input.fits = {SaturatingFit("small", v1::Fit::NOT_IDENTIFIED),
                SaturatingFit("large", v1::Fit::REFUSED), SlopeFit("small", -0.07, -0.08, -0.06)};
  const std::vector<Check> checks = RunChecks(input);
  std::vector<std::string> messages;
  for (const Check& check : checks) messages.push_back(check.message);
  EXPECT_THAT(
      messages,
      Contains("small: saturating in D not identified: the interval of beta is wider than 0.15"));
  EXPECT_THAT(messages,
              Contains("large: saturating in D refused: 3 values of D; at least 4 are needed"));
  EXPECT_EQ(checks.size(), 2u);
}

TEST(ChecksTest, OpenSweepsAreNotJudgedOnWhatMayStillChange) {
  CheckInput input = GammaSweep({"0.4", "0.5", "0.6"}, -0.1);
  input.trials[0].set_state(v1::Trial::PENDING);
  Recount(&input);
  const std::vector<Check> checks = RunChecks(input);
  EXPECT_EQ(Find(checks, "EDGE"), nullptr);
  EXPECT_EQ(Find(checks, "IMBALANCE"), nullptr);
}

TEST(ChecksTest, ScreenGivesEachItsFix) {
  EXPECT_EQ(RenderChecks({{"EDGE", "best at an end", "loglog x"}}, {}),
            "checks\n"
            "  EDGE       best at an end\n"
            "             fix: loglog x\n");
  EXPECT_EQ(RenderChecks({}, {}), "");
}

}  // namespace
}  // namespace loglog::cli
