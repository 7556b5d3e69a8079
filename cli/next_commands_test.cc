#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/commands_testing.h"
#include "cli/next_spec.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// kSpec with three sizes.
std::string SizesSpec() {
  return absl::StrReplaceAll(
      kSpec, {{"axes:\n", "axes:\n  width: {path: model.d_model, values: [32, 64, 128]}\n"}});
}

// A law in N and D with a small scatter that no generator is needed for.
double LossOf(const std::string& arm, double n, double d, int k) {
  const double beta = arm == "small" ? 0.4 : 0.3;
  return (1.5 + 30 * std::pow(n, -0.4) + std::pow(d / 1e5, -beta)) *
         (1 + 1e-3 * std::sin(37.0 * k));
}

class NextCommandsTest : public CommandsTest {
 protected:
  void SetUp() override { TrainAll(kSpec); }

  // Every trial of the spec is done.
  void TrainAll(const std::string& text) {
    const auto spec = ParseSpec(text, "tiny.yaml");
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto expansion = Expand(*spec);
    ASSERT_TRUE(expansion.ok()) << expansion.status();
    fake_.data.sweep.set_spec_json(CanonicalJson(*spec));
    fake_.data.trials.clear();
    csv_ = "arm,params,tokens,seed,loss\n";
    int k = 0;
    for (const PlannedTrial& planned : expansion->trials) {
      const loglog::Cell& cell = expansion->cells[planned.cell];
      const double loss = LossOf(cell.arm, static_cast<double>(cell.cost.params.non_embedding),
                                 static_cast<double>(cell.cost.tokens), ++k);
      v1::Trial trial = MakeTrial(k, cell.arm, {cell.axes.begin(), cell.axes.end()},
                                  cell.cost.tokens, planned.seed, v1::Trial::DONE, loss);
      trial.set_cell_sha256(cell.sha256);
      trial.set_steps(cell.cost.steps);
      trial.set_params_non_embedding(cell.cost.params.non_embedding);
      trial.set_flops(cell.cost.flops);
      fake_.data.trials.push_back(trial);
      absl::StrAppend(&csv_, cell.arm, ",", cell.cost.params.non_embedding, ",", cell.cost.tokens,
                      ",", planned.seed, ",", loss, "\n");
    }
  }

  json Steps() { return json::parse(out())["steps"]; }

  // The trials of the spec that was printed, all of which cells can be trained.
  int PrintedTrials() {
    const auto spec = ParseSpec(out(), "next.yaml");
    if (!spec.ok()) return -1;
    const auto expansion = Expand(*spec);
    return expansion.ok() ? static_cast<int>(expansion->trials.size()) : -2;
  }

  std::string csv_;
};

TEST_F(NextCommandsTest, StepsGrowNarrowerWithinTheBudget) {
  EXPECT_EQ(Run({"next", "--throughput", "10k", "--budget", "600s", "-o", "json"}), 0) << err();
  const json steps = Steps();
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps[0]["arms"], "large; small");
  EXPECT_GE(steps[0]["seed"], 0);
  EXPECT_LE(steps.back()["spent"], 600);
  for (size_t i = 1; i < steps.size(); ++i) {
    EXPECT_LE(steps[i]["half_width"], steps[i - 1]["half_width"]);
  }
  EXPECT_EQ(Run({"next", "--arm", "small"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("slope now -0."));
  EXPECT_THAT(err(), HasSubstr("costs are FLOPs"));
}

TEST_F(NextCommandsTest, TheSpecHoldsWhatThereIsAndTheseTrials) {
  EXPECT_EQ(Run({"next", "--throughput", "10k", "--budget", "600s", "-o", "json"}), 0) << err();
  const int pairs = static_cast<int>(Steps().size());
  EXPECT_EQ(Run({"next", "--throughput", "10k", "--budget", "600s", "--spec"}), 0) << err();
  EXPECT_EQ(PrintedTrials(), 16 + 2 * pairs);
  EXPECT_EQ(ParseSpec(out(), "next.yaml")->name, "tiny-next");
  EXPECT_EQ(Run({"next", "--arm", "small", "--steps", "3", "--spec"}), 0) << err();
  EXPECT_EQ(PrintedTrials(), 8 + 3);
}

// The same cells: what is trained has the same identity in the wider spec.
TEST_F(NextCommandsTest, TrialsThereAreSharedByTheWiderSpec) {
  TrainAll(SizesSpec());
  ASSERT_EQ(Run({"next", "--arm", "large", "--steps", "5", "--spec"}), 0) << err();
  const auto wider = Expand(*ParseSpec(out(), "next.yaml"));
  const auto first = Expand(*ParseSpec(SizesSpec(), "tiny.yaml"));
  ASSERT_TRUE(wider.ok()) << wider.status();
  std::set<std::string> known, own;
  for (const PlannedTrial& trial : first->trials) {
    if (first->cells[trial.cell].arm == "large") known.insert(trial.sha256);
  }
  for (const PlannedTrial& trial : wider->trials) own.insert(trial.sha256);
  EXPECT_EQ(known.size(), 24u);
  EXPECT_EQ(own.size(), 29u);
  for (const std::string& sha256 : known) EXPECT_TRUE(own.contains(sha256));
}

TEST_F(NextCommandsTest, SeveralSizesForEachGoal) {
  TrainAll(SizesSpec());
  // The slope is common to the sizes, so the cheapest size is trained.
  ASSERT_EQ(Run({"next", "--arm", "small", "--steps", "4", "-o", "json"}), 0) << err();
  const double smallest = Steps()[0]["N"];
  for (const v1::Trial& trial : fake_.data.trials) {
    EXPECT_GE(static_cast<double>(trial.params_non_embedding()), smallest);
  }
  ASSERT_EQ(Run({"next", "--arm", "small", "--arm", "large", "--steps", "4", "--spec"}), 0)
      << err();
  EXPECT_EQ(PrintedTrials(), 48 + 8);
  ASSERT_EQ(Run({"next", "--arm", "small", "--goal", "prediction", "--target", "10M",
                 "--target-params", "1M", "--steps", "6"}),
            0)
      << err();
  EXPECT_THAT(err(), HasSubstr("expected by joint"));
  ASSERT_EQ(Run({"next", "--arm", "small", "--goal", "prediction", "--target", "10M",
                 "--target-params", "1M", "--steps", "6", "--spec"}),
            0)
      << err();
  EXPECT_EQ(PrintedTrials(), 24 + 6);
  ASSERT_EQ(Run({"next", "--arm", "small", "--goal", "beta", "--steps", "3"}), 0) << err();
  EXPECT_THAT(err(), AllOf(HasSubstr("beta now "), HasSubstr("expected by joint")));
}

// A stated speed is that of the largest size: the smallest one's trials cost less by their FLOPs.
TEST_F(NextCommandsTest, AStatedSpeedIsOfTheLargestSize) {
  TrainAll(SizesSpec());
  ASSERT_EQ(Run({"next", "--arm", "small", "--steps", "1", "--throughput", "1k", "-o", "json"}), 0)
      << err();
  const json step = Steps()[0];
  double largest = 0, own = 0;
  for (const v1::Trial& trial : fake_.data.trials) {
    const double per_token = trial.flops() / static_cast<double>(trial.tokens_planned());
    largest = std::max(largest, per_token);
    if (static_cast<double>(trial.params_non_embedding()) == step["N"]) own = per_token;
  }
  EXPECT_NEAR(static_cast<double>(step["cost"]),
              static_cast<double>(step["D"]) / 1000 * own / largest, 1e-6 * largest);
  EXPECT_LT(own, largest / 2);
}

TEST_F(NextCommandsTest, ACsvNeedsNoCoordinator) {
  TrainAll(SizesSpec());
  const std::string path = WriteFile("points.csv", csv_);
  const std::vector<std::string> csv = {"next",     "--csv",   path,   "--x", "tokens",
                                        "--params", "params",  "--by", "arm", "--seed",
                                        "seed",     "--steps", "5"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), csv.begin(), csv.end());
    return more;
  };
  fake_.data.trials.clear();
  ASSERT_EQ(Run(with({"--arm", "large", "-o", "json"})), 0) << err();
  EXPECT_EQ(Steps().size(), 5u);
  EXPECT_GE(Steps()[0]["seed"], 0);
  ASSERT_EQ(Run(with({})), 0) << err();
  EXPECT_THAT(err(), HasSubstr("slope difference now"));
  ASSERT_EQ(Run(with({"--arm", "small", "--goal", "prediction", "--target", "10M"})), 0) << err();
  EXPECT_THAT(err(), HasSubstr("ln loss at the target now"));

  EXPECT_EQ(Run(with({"--spec"})), 2);
  EXPECT_THAT(err(), HasSubstr("--base SPEC"));
  const std::string base = WriteFile("sizes.yaml", SizesSpec());
  ASSERT_EQ(Run(with({"--base", base, "--spec"})), 0) << err();
  EXPECT_EQ(PrintedTrials(), 48 + 10);
  ASSERT_EQ(Run(with({"--arm", "large", "--goal", "prediction", "--target", "10M", "--base", base,
                      "--spec"})),
            0)
      << err();
  EXPECT_EQ(PrintedTrials(), 24 + 5);
}

// Without a column of sizes or arms: one arm, one size, costs in tokens.
TEST_F(NextCommandsTest, ACsvOfTokensAndLosses) {
  std::string text = "tokens,loss\n";
  for (int i = 0; i < 6; ++i) {
    const double d = 1e6 * std::pow(2.0, i);
    absl::StrAppend(&text, d, ",", LossOf("small", 1e5, d, i), "\n");
  }
  const std::string path = WriteFile("points.csv", text);
  ASSERT_EQ(Run({"next", "--csv", path, "--x", "tokens", "--steps", "2"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("costs are tokens"));
  ASSERT_EQ(Run({"next", "--csv", path, "--x", "tokens", "--throughput", "1M", "--budget", "1h"}),
            0)
      << err();
  EXPECT_THAT(err(), HasSubstr("seconds of a slot"));
}

// What no fit takes is trained all the same, and is counted.
TEST_F(NextCommandsTest, SeedsOfRowsWithoutALossAreTaken) {
  std::string text = "tokens,seed,loss,end\n";
  int k = 0;
  for (const double d : {1e6, 4e6, 1.6e7, 6.4e7}) {
    for (const int seed : {0, 1}) {
      absl::StrAppend(&text, d, ",", seed, ",", LossOf("small", 1e6, d, ++k), ",\n");
    }
    absl::StrAppend(&text, d, ",2,nan,\n", d, ",3,9,below\n", d, ",4,,\n");
  }
  const std::string path = WriteFile("points.csv", text);
  const std::vector<std::string> next = {"next",   "--csv", path,         "--x", "tokens",
                                         "--seed", "seed",  "--censored", "end"};
  ASSERT_EQ(Run(next), 0) << err();
  EXPECT_THAT(err(), HasSubstr("8 of 20 rows; 4 diverged; 4 without a loss; 4 censored"));
  std::vector<std::string> as_json = next;
  as_json.insert(as_json.end(), {"-o", "json"});
  ASSERT_EQ(Run(as_json), 0) << err();
  int again = 0;
  for (const json& step : Steps()) {
    for (const double d : {1e6, 4e6, 1.6e7, 6.4e7}) {
      if (step["D"] != d) continue;
      EXPECT_GE(step["seed"], 5);
      ++again;
    }
  }
  EXPECT_GT(again, 0);
}

TEST_F(NextCommandsTest, TokensStayInTheUnitOfTheFile) {
  std::string text = "tokens,seed,loss\n";
  int k = 0;
  for (const double d : {0.05, 0.1, 0.2, 0.4, 0.8, 1.6}) {
    for (const int seed : {0, 1}) {
      absl::StrAppend(&text, d, ",", seed, ",", LossOf("small", 1e6, d * 1e9, ++k), "\n");
    }
  }
  const std::string path = WriteFile("billions.csv", text);
  const std::vector<std::string> next = {"next", "--csv", path, "--x", "tokens", "--seed", "seed"};
  std::vector<std::string> as_json = next;
  as_json.insert(as_json.end(), {"--goal", "beta", "--steps", "20", "-o", "json"});
  ASSERT_EQ(Run(as_json), 0) << err();
  double least = 1e9;
  for (const json& step : Steps()) least = std::min(least, step["D"].get<double>());
  EXPECT_LT(least, 0.5);
  for (const json& step : Steps()) {
    const double d = step["D"];
    const std::set<double> there = {0.05, 0.1, 0.2, 0.4, 0.8, 1.6};
    if (there.contains(d)) {
      EXPECT_GE(step["seed"], 2);
    } else {
      EXPECT_EQ(absl::StrFormat("%.3g", d), absl::StrFormat("%.9g", d));
    }
  }
  std::vector<std::string> target = next;
  target.insert(target.end(), {"--goal", "prediction", "--target", "0.5"});
  EXPECT_EQ(Run(target), 0) << err();
  // A spec has no such tokens.
  std::vector<std::string> spec = next;
  spec.insert(spec.end(), {"--base", WriteFile("tiny.yaml", kSpec), "--spec"});
  EXPECT_EQ(Run(spec), 2);
  EXPECT_THAT(err(), HasSubstr("write D in tokens"));
}

TEST_F(NextCommandsTest, ASizeWithoutPairsIsLeftOutOfTheChoice) {
  TrainAll(SizesSpec());
  int64_t largest = 0;
  for (const v1::Trial& trial : fake_.data.trials) {
    largest = std::max(largest, trial.params_non_embedding());
  }
  for (v1::Trial& trial : fake_.data.trials) {
    if (trial.arm() == "large" && trial.params_non_embedding() == largest) {
      trial.set_seed(trial.seed() + 2);
    }
  }
  ASSERT_EQ(Run({"next"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("has no pair (no D and seed that both arms have)"));
}

TEST_F(NextCommandsTest, TheHintIsTheWholeCommand) {
  AsTerminal();
  const std::string path = WriteFile("my points.csv", csv_);
  ASSERT_EQ(Run({"next", "--csv", path, "--x", "tokens", "--by", "arm", "--seed", "seed"}), 0)
      << err();
  EXPECT_THAT(err(), AllOf(HasSubstr("my points.csv'"), HasSubstr(" --x tokens "),
                           HasSubstr(" --base SPEC --spec > next.yaml")));
  ASSERT_EQ(Run({"next", "--arm", "small", "--steps", "3"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("loglog next --arm small --steps 3 --spec > next.yaml"));
}

TEST_F(NextCommandsTest, TrialsThatNoFitTakesAreRefusedHereToo) {
  fake_.data.trials[0].set_state(v1::Trial::DIVERGED);
  ASSERT_EQ(Run({"next"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("left out: 1 diverged, 0 unfinished"));
  fake_.data.trials[1].set_data_sha256("77ab0c11bb");
  EXPECT_EQ(Run({"next"}), 1);
  EXPECT_THAT(err(), HasSubstr("the trials saw different data"));
}

TEST_F(NextCommandsTest, WhatIsMissingIsSaid) {
  EXPECT_EQ(Run({"next", "--budget", "1h"}), 1);
  EXPECT_THAT(err(), HasSubstr("--throughput TOKENS_PER_S"));
  EXPECT_EQ(Run({"next", "--arm", "tiny"}), 3);
  EXPECT_THAT(err(), HasSubstr("its arms: large; small"));
  EXPECT_EQ(Run({"next", "--arm", "small", "--goal", "difference"}), 2);
  EXPECT_EQ(Run({"next", "--arm", "small", "--goal", "prediction"}), 2);
  EXPECT_THAT(err(), HasSubstr("needs --target"));
  const std::string path = WriteFile("points.csv", csv_);
  EXPECT_EQ(Run({"next", "tiny", "--csv", path, "--x", "tokens"}), 2);
  EXPECT_EQ(Run({"next", "--csv", path, "--x", "params"}), 2);
  EXPECT_THAT(err(), HasSubstr("name their column with --tokens"));
  EXPECT_EQ(Run({"next", "--csv", path, "--x", "tokens", "--by", "arm", "--arm", "tiny"}), 3);
}

TEST(NextSpec, ArmsMadeByAxesAreKeptAndOtherCombinationsExcluded) {
  std::string text = kSpec;
  text.replace(text.find("arms:"), std::string::npos,
               "  gamma: {path: init.gamma, values: [0.5, 0.75, 1.0]}\n"
               "  lambda: {path: train.weight_decay, values: [0.1, 1.0]}\n"
               "arms: [gamma, lambda]\n");
  const auto spec = ParseSpec(text, "axes.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::string a = "gamma=0.5,lambda=0.1", b = "gamma=1,lambda=1";
  const std::vector<NextTrial> there = {{a, 0, 24576, 0}, {b, 0, 24576, 0}, {b, 0, 1, 0}};
  std::vector<NextTrial> added;
  for (const std::string& arm : {a, b}) {
    for (const int64_t seed : {2, 3}) added.push_back({arm, 0, 65536, seed});
    added.push_back({arm, 0, 786432, 0});
  }
  added.push_back({b, 0, 786432, 7});
  const auto cut = SpecOfTrials(CanonicalJson(*spec), there, added);
  ASSERT_TRUE(cut.ok()) << cut.status();
  std::multiset<std::string> found;
  const Expansion expansion = *Expand(*ParseSpec(*cut, "next.yaml"));
  for (const PlannedTrial& trial : expansion.trials) {
    const loglog::Cell& cell = expansion.cells[trial.cell];
    found.insert(absl::StrCat(cell.arm, " ", cell.cost.tokens, " ", trial.seed));
  }
  std::multiset<std::string> wanted = {absl::StrCat(a, " 24576 0"), absl::StrCat(b, " 24576 0")};
  for (const NextTrial& t : added) {
    wanted.insert(absl::StrCat(t.arm, " ", t.tokens, " ", t.seed));
  }
  EXPECT_EQ(found, wanted);
  EXPECT_THAT(SpecOfTrials(CanonicalJson(*spec), {}, {{"c", 0, 65536, 0}}).status().message(),
              HasSubstr("the spec has no arm `c`; its arms are gamma=0.5,lambda=0.1"));
  EXPECT_EQ(SpecOfTrials("{", there, added).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NextSpec, AnAxisBesideArmsAndSizesCannotBeCut) {
  const std::string text = absl::StrReplaceAll(
      kSpec, {{"axes:\n", "axes:\n  lr: {path: train.lr, values: [1.0e-3, 3.0e-3]}\n"}});
  EXPECT_THAT(SpecOfTrials(text, {}, {{"small", 0, 65536, 5}}).status().message(),
              HasSubstr("2 kinds of cells of arm `small`"));
}

}  // namespace
}  // namespace loglog::cli
