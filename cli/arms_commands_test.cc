#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands_testing.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// Two arms with the floor 2 in common, each with an exponent of its own.
class ArmsCommandsTest : public CommandsTest {
 protected:
  void SetUp() override {
    fake_.data.trials.clear();
    fake_.data.sweep.set_spec_json(CanonicalJson(*ParseSpec(kSpec, "tiny.yaml")));
    int k = 0;
    for (const auto& [arm, beta] :
         {std::pair<std::string, double>{"small", 0.45}, {"large", 0.3}}) {
      for (int64_t tokens = 1'000'000; tokens <= 64'000'000; tokens *= 2) {
        for (const int64_t seed : {0, 1}) {
          ++k;
          const double loss = (2 + 1.5 * std::pow(static_cast<double>(tokens) / 8e6, -beta)) *
                              (1 + 1e-4 * std::sin(37.0 * k));
          v1::Trial trial =
              MakeTrial(k, arm, {{"gamma", arm}}, tokens, seed, v1::Trial::DONE, loss);
          trial.set_cell_sha256(absl::StrCat(arm, tokens));
          trial.set_params_non_embedding(100'000);
          trial.set_flops(6e5 * static_cast<double>(tokens));
          fake_.data.trials.push_back(trial);
          absl::StrAppendFormat(&csv_, "%s,%d,%d,%.17g\n", arm, tokens, seed, loss);
        }
      }
    }
  }

  json Choice(const std::string& sharing) {
    const json printed = json::parse(out());
    for (const json& choice : printed["choices"]) {
      if (choice["sharing"] == sharing) return choice;
    }
    return nullptr;
  }

  std::string csv_ = "arm,tokens,seed,loss\n";
};

TEST_F(ArmsCommandsTest, ASweepAndItsPointsShareAFloor) {
  ASSERT_EQ(Run({"fit", "arms", "-o", "json"}), 0) << err();
  const json of_sweep = json::parse(out());
  const json shared = Choice("shared E"), free = Choice("all free");
  ASSERT_FALSE(shared.is_null() || free.is_null()) << out();
  EXPECT_TRUE(shared["least_aicc"]) << out();
  EXPECT_EQ(free["parameters"], 6);
  EXPECT_EQ(shared["parameters"], 5);
  EXPECT_LT(shared["aicc"], free["aicc"]);
  EXPECT_NEAR(shared["estimates"]["E"]["estimate"], 2, 0.01);
  EXPECT_NEAR(shared["estimates"]["beta[small]"]["estimate"], 0.45, 0.02);
  EXPECT_LT(shared["estimates"]["beta[large]"]["low"], 0.3);
  EXPECT_GT(shared["estimates"]["beta[large]"]["high"], 0.3);
  EXPECT_LT(free["held_out"], 0.01);
  const std::string path = WriteFile("two_arms.csv", csv_);
  ASSERT_EQ(Run({"fit", "arms", "--csv", path, "--x", "tokens", "--by", "arm", "--seed", "seed",
                 "-o", "json"}),
            0)
      << err();
  EXPECT_NEAR(Choice("shared E")["aicc"], shared["aicc"], 1e-6);
  EXPECT_EQ(json::parse(out())["choices"].size(), of_sweep["choices"].size());
}

TEST_F(ArmsCommandsTest, PeopleSeeBothCriteriaAndWhatTheyAre) {
  ASSERT_EQ(Run({"fit", "arms"}), 0) << err();
  EXPECT_THAT(out(), AllOf(HasSubstr("SHARING"), HasSubstr("shared E"), HasSubstr("%")));
  EXPECT_THAT(err(), HasSubstr("saturating form, 2 arms; held out: each arm's largest D"));
  ASSERT_EQ(Run({"fit", "arms", "-o", "wide"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("beta[small] 0.4"));
}

TEST_F(ArmsCommandsTest, TrialsThatNoFitTakesAreRefusedHereToo) {
  fake_.data.trials[0].set_state(v1::Trial::DIVERGED);
  fake_.data.trials[1].set_state(v1::Trial::RUNNING);
  ASSERT_EQ(Run({"fit", "arms"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("left out: 1 diverged, 1 unfinished"));
  std::string text = kSpec;
  text.replace(text.find("axes:\n"), 6,
               "axes:\n  lr: {path: train.lr, values: [1.0e-3, 3.0e-3]}\n");
  fake_.data.sweep.set_spec_json(CanonicalJson(*ParseSpec(text, "tiny.yaml")));
  int k = 0;
  for (v1::Trial& trial : fake_.data.trials) {
    (*trial.mutable_axes())["lr"] = ++k % 2 == 0 ? "0.001" : "0.003";
  }
  EXPECT_EQ(Run({"fit", "arms"}), 1);
  EXPECT_THAT(err(), HasSubstr("arm small mixes lr = 0.001, 0.003 (train.lr)"));
}

TEST_F(ArmsCommandsTest, WhatCannotBeSharedIsSaid) {
  std::erase_if(fake_.data.trials, [](const v1::Trial& trial) { return trial.arm() == "large"; });
  EXPECT_NE(Run({"fit", "arms"}), 0);
  EXPECT_THAT(err(), HasSubstr("one arm shares nothing: there is no other"));
  EXPECT_NE(Run({"fit", "arms", "tiny", "--csv", "x.csv"}), 0);
  EXPECT_THAT(err(), HasSubstr("--csv is a file and SWEEP names a sweep"));
}

}  // namespace
}  // namespace loglog::cli
