#include "absl/strings/str_cat.h"
#include "cli/commands_testing.h"
#include "cli/next_spec.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class NextCommandsTest : public CommandsTest {
 protected:
  void SetUp() override {
    const auto spec = ParseSpec(kSpec, "tiny.yaml");
    ASSERT_TRUE(spec.ok()) << spec.status();
    fake_.data.sweep.set_spec_json(CanonicalJson(*spec));
    int i = 0;
    // Rounding noise, so that intervals have a width.
    for (v1::Trial& trial : fake_.data.trials) {
      trial.set_final_loss(trial.final_loss() * (1 + 1e-4 * ((i * 7) % 5)));
      trial.set_tokens_planned(trial.tokens_planned() / 1'000'000 * 1'024'000);
      trial.set_steps(trial.tokens_planned() / 512);
      ++i;
    }
  }
};

TEST_F(NextCommandsTest, StepsGrowNarrowerWithinTheBudget) {
  EXPECT_EQ(Run({"next", "--throughput", "1M", "--budget", "60s", "-o", "json"}), 0) << err();
  const json steps = json::parse(out())["steps"];
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps[0]["arms"], "small; large");
  EXPECT_GE(steps[0]["seed"], 0);
  EXPECT_LE(steps.back()["spent"], 60);
  for (size_t i = 1; i < steps.size(); ++i) {
    EXPECT_LE(steps[i]["half_width"], steps[i - 1]["half_width"]);
  }
  EXPECT_EQ(Run({"next", "--arm", "small"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("slope now -0."));
  EXPECT_THAT(err(), HasSubstr("costs are FLOPs"));
}

TEST_F(NextCommandsTest, TheSpecIsOfJustTheseTrials) {
  EXPECT_EQ(Run({"next", "--throughput", "1M", "--budget", "100s", "-o", "json"}), 0) << err();
  const size_t pairs = json::parse(out())["steps"].size();
  EXPECT_EQ(Run({"next", "--throughput", "1M", "--budget", "100s", "--spec"}), 0) << err();
  const auto spec = ParseSpec(out(), "next.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(Expand(*spec)->trials.size(), 2 * pairs);
  EXPECT_EQ(spec->name, "tiny-next");
  EXPECT_EQ(Run({"next", "--arm", "small", "--steps", "3", "--spec"}), 0) << err();
  EXPECT_EQ(Expand(*ParseSpec(out(), "next.yaml"))->trials.size(), 3u);
}

TEST_F(NextCommandsTest, WhatIsMissingIsSaid) {
  EXPECT_EQ(Run({"next", "--budget", "1h"}), 1);
  EXPECT_THAT(err(), HasSubstr("--throughput TOKENS_PER_S"));
  EXPECT_EQ(Run({"next", "--arm", "tiny"}), 3);
  EXPECT_EQ(Run({"next", "--arm", "small", "--goal", "difference"}), 2);
  EXPECT_EQ(Run({"next", "--arm", "small", "--goal", "prediction"}), 2);
  EXPECT_THAT(err(), HasSubstr("needs --target"));
}

TEST(NextSpec, ArmsMadeByAxesAreKeptAndOtherCombinationsExcluded) {
  std::string text = kSpec;
  text.replace(text.find("arms:"), std::string::npos,
               "  gamma: {path: init.gamma, values: [0.5, 0.75, 1.0]}\n"
               "  lambda: {path: train.weight_decay, values: [0.1, 1.0]}\n"
               "arms: [gamma, lambda]\n");
  const auto spec = ParseSpec(text, "axes.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  NextTrials next;
  next.arms = {"a", "b"};
  next.arm_axes = {{"a", {{"gamma", "0.5"}, {"lambda", "0.1"}}},
                   {"b", {{"gamma", "1"}, {"lambda", "1"}}}};
  next.seeds = {{65536, {2, 3}}, {786432, {0}}};
  const auto cut = SpecOfTrials(CanonicalJson(*spec), next);
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(Expand(*ParseSpec(*cut, "next.yaml"))->trials.size(), 6u);
  EXPECT_EQ(SpecOfTrials("{", next).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace loglog::cli
