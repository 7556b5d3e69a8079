#include "absl/strings/str_cat.h"
#include "cli/commands_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class PlanCommandsTest : public CommandsTest {
 protected:
  // The first `count` trials of the spec are trials of the coordinator's sweep too.
  void Know(int count) {
    const Expansion expansion = Expand(ParseSpec(kSpec, "tiny.yaml").value()).value();
    for (int i = 0; i < count; ++i) {
      fake_.data.trials[i].set_trial_sha256(expansion.trials[i].sha256);
    }
    fake_.trials_reused = count;
  }
  json PlanJson(std::vector<std::string> tokens) {
    tokens.insert(tokens.begin(), {"plan", WriteFile("tiny.yaml", kSpec), "-o", "json"});
    EXPECT_EQ(Run(tokens), 0) << err();
    return json::parse(out());
  }
};

// Only the arms say where the data come from: nothing in common to count tokens of.
TEST_F(PlanCommandsTest, DataThatOnlyArmsSetArePlanned) {
  std::string spec = kSpec;
  const std::string data = "data: {train: {format: synthetic}, ";
  spec.replace(spec.find(data), data.size(), "data: {");
  spec.replace(spec.find("arms:"), std::string::npos,
               "arms:\n"
               "  web: {data.train.format: llmc, data.train.glob: \"/nonexistent/*.bin\"}\n"
               "  synth: {data.train.format: synthetic}\n");
  EXPECT_EQ(Run({"plan", WriteFile("arms.yaml", spec)}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("2: synth; web"));
}

TEST_F(PlanCommandsTest, WhatIsPlannedIsWhatIsSuggestedToBeSubmitted) {
  AsTerminal();
  const std::string path = WriteFile("tiny.yaml", kSpec);
  EXPECT_EQ(Run({"plan", path, "train.lr=1.0e-3", "axes.seed.values=[0, 1]"}), 0) << err();
  EXPECT_THAT(err(),
              HasSubstr("loglog submit " + path + " train.lr=1.0e-3 'axes.seed.values=[0, 1]'"));
}

TEST_F(PlanCommandsTest, EvaluationsAreCountedAndTooManyNamed) {
  Know(0);
  const double eval_flops = PlanJson({"eval.tokens=512"})["eval_flops"];
  EXPECT_GT(eval_flops, 0);
  EXPECT_NEAR(double(PlanJson({"eval.tokens=1024"})["eval_flops"]), 2 * eval_flops,
              1e-9 * eval_flops);
  EXPECT_EQ(Run({"plan", WriteFile("tiny.yaml", kSpec), "eval.tokens=10M"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("% of training's; eval.every,"));
  EXPECT_THAT(out(), HasSubstr("EVAL        evaluations cost "));
  EXPECT_THAT(out(), HasSubstr("fix: divide eval.tokens by "));
}

TEST_F(PlanCommandsTest, WhatIsThereCostsNothing) {
  Know(0);
  const json all = PlanJson({"--throughput", "50k"});
  EXPECT_EQ(all["trials_new"], 16);
  Know(16);
  EXPECT_EQ(PlanJson({"--throughput", "50k"})["slot_hours"], 0);
  fake_.data.trials[0].set_trial_sha256("another");
  fake_.trials_reused = 15;
  const json one = PlanJson({"--throughput", "50k"});
  EXPECT_GT(one["slot_hours"], 0);
  EXPECT_LT(one["slot_hours"], all["slot_hours"]);
  EXPECT_EQ(one["trials_reused"], 15);
  EXPECT_LT(one["flops_new"], one["flops"]);
  EXPECT_LT(one["tokens_new"], one["tokens"]);
  EXPECT_EQ(Run({"plan", WriteFile("tiny.yaml", kSpec)}), 0);
  EXPECT_THAT(out(), HasSubstr(" of them new\n"));
}

TEST_F(PlanCommandsTest, TheSameSpecAgainCostsNothing) {
  Know(16);
  fake_.spec_exists = true;
  EXPECT_EQ(PlanJson({"--throughput", "50k"})["slot_hours"], 0);
}

TEST_F(PlanCommandsTest, MeasuredSpeedIsUsedUnlessOneIsStated) {
  Know(4);
  EXPECT_TRUE(PlanJson({})["slot_hours"].is_null());
  for (int i = 0; i < 4; ++i) {
    v1::Trial& trial = fake_.data.trials[i];
    trial.set_flops(1e6 * static_cast<double>(trial.tokens_planned()));
    trial.set_tokens_per_second(1000 * (i + 1));
  }
  EXPECT_EQ(Run({"plan", WriteFile("tiny.yaml", kSpec)}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("FLOP/s a slot, measured"));
  EXPECT_GT(PlanJson({})["slot_hours"], 0);
  io_.env["LOGLOG_THROUGHPUT"] = "7k";
  EXPECT_EQ(Run({"plan", WriteFile("tiny.yaml", kSpec)}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("7k tokens/s a slot, as"));
}

TEST_F(PlanCommandsTest, NumbersOutOfRangeAreUsageErrors) {
  const std::string spec = WriteFile("tiny.yaml", kSpec);
  for (const std::string value : {"0", "-5", "1e300", "fast"}) {
    EXPECT_EQ(Run({"plan", spec, absl::StrCat("--throughput=", value)}), 2) << value;
    EXPECT_THAT(err(), HasSubstr(absl::StrCat("--throughput is `", value, "`"))) << value;
  }
  MakeOpen();
  fake_.done_after_lists = 2;
  for (const std::string value : {"0", "-1s", "1e300"}) {
    EXPECT_EQ(Run({"sweep", "wait", absl::StrCat("--timeout=", value)}), 2) << value;
    EXPECT_THAT(err(), HasSubstr("--timeout is"));
    EXPECT_EQ(Run({"sweep", "list", absl::StrCat("--rpc-timeout=", value)}), 2) << value;
    EXPECT_THAT(err(), HasSubstr("--rpc-timeout is"));
    EXPECT_THAT(err(), HasSubstr("from 0.001s to"));
  }
}

}  // namespace
}  // namespace loglog::cli
