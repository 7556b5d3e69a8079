#include "fitting/fitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "fit/planted_testing.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

FitTarget Slope(const std::string& arm, Axis axis = Axis::kTokens) {
  return {"local_slope", axis, arm, ""};
}
FitTarget Contrast(const std::string& arm, const std::string& arm_b) {
  return {"comparison", Axis::kTokens, arm, arm_b};
}

// A sweep's trials, made one by one.
class Trials {
 public:
  ObservationRow* Add(const std::string& arm, int64_t params, int64_t tokens, int64_t seed,
                      double loss, const std::string& axes_json = "{}") {
    ObservationRow row;
    row.number = static_cast<int64_t>(rows_.size()) + 1;
    row.arm = arm;
    row.axes_json = axes_json;
    row.cell_sha256 = absl::StrCat(arm, " ", params, " ", tokens, " ", axes_json);
    row.seed = seed;
    row.state = TrialState::kDone;
    row.params_non_embedding = params;
    row.tokens = tokens;
    row.flops = 6.0 * static_cast<double>(params) * static_cast<double>(tokens);
    row.final_loss = loss;
    row.trial_sha256 = absl::StrCat("trial ", row.cell_sha256, " ", seed);
    row.data_sha256 = "3fa9c1d2aa";
    row.trainer_version = "1.0";
    rows_.push_back(row);
    return &rows_.back();
  }
  // 4 token counts x 3 seeds of a power law.
  void AddArm(const std::string& arm, double slope, uint64_t noise_seed,
              const std::string& axes_json = "{}", int64_t params = 1'000'000) {
    Noise noise(noise_seed);
    for (const int64_t tokens : {1'000'000, 2'000'000, 4'000'000, 8'000'000}) {
      for (int seed = 0; seed < 3; ++seed) {
        const double law = 20 * std::pow(static_cast<double>(tokens), slope);
        Add(arm, params, tokens, seed, law * std::exp(0.001 * noise.Next()), axes_json);
      }
    }
  }
  FitRow Fit(const FitTarget& target, const FitPlan& plan = {}) const {
    const absl::StatusOr<FitRow> row = Fitter(rows_, plan).Compute(target);
    EXPECT_TRUE(row.ok()) << row.status();
    return row.value_or(FitRow());
  }
  std::string Hash(const FitTarget& target, const FitPlan& plan = {}) const {
    return Fitter(rows_, plan).InputsSha256(target);
  }
  std::vector<ObservationRow>& rows() { return rows_; }

 private:
  std::vector<ObservationRow> rows_;
};

// ---- what may stand side by side

TEST(Fitting, TrialsThatSawDifferentDataAreNotFitted) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  EXPECT_EQ(trials.Fit(Slope("a")).verdict, "OK");
  const std::string before = trials.Hash(Slope("a"));
  trials.rows()[4].data_sha256 = "77ab0c11bb";
  EXPECT_NE(trials.Hash(Slope("a")), before);
  const FitRow fit = trials.Fit(Slope("a"));
  EXPECT_EQ(fit.verdict, "REFUSED");
  EXPECT_TRUE(std::isnan(fit.estimate));
  EXPECT_EQ(fit.n_trials, 12);
  EXPECT_THAT(fit.message,
              AllOf(HasSubstr("11 trials 3fa9c1d2.. (trial 1 first)"),
                    HasSubstr("1 trial 77ab0c11.. (trial 5 first)"), HasSubstr("data.train")));
  // More trials would cure nothing.
  const json provenance = json::parse(fit.fit_json)["provenance"];
  EXPECT_EQ(provenance["status"], "REFUSED");
  EXPECT_EQ(provenance["cure"], "");
}

TEST(Fitting, TrialsOfOneTrunkHaveNoIntervals) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  const std::string before = trials.Hash(Slope("a"));
  for (ObservationRow& row : trials.rows()) row.trunk_task_id = 100 + row.seed;
  EXPECT_NE(trials.Hash(Slope("a")), before);
  const FitRow fit = trials.Fit(Slope("a"));
  EXPECT_EQ(fit.verdict, "REFUSED");
  EXPECT_THAT(fit.message, HasSubstr("trials share trunks"));
  EXPECT_NEAR(fit.estimate, -0.1, 0.01);
  // One trial of each trunk: nothing is shared among them.
  for (ObservationRow& row : trials.rows()) row.trunk_task_id = row.number;
  EXPECT_EQ(trials.Fit(Slope("a")).verdict, "OK");
}

TEST(Fitting, ArmsThatSawDifferentDataAreNotCompared) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  trials.AddArm("b", -0.2, 2);
  EXPECT_EQ(trials.Fit(Contrast("a", "b")).verdict, "OK");
  for (ObservationRow& row : trials.rows()) {
    if (row.arm == "b") row.data_sha256 = "77ab0c11bb";
  }
  EXPECT_EQ(trials.Fit(Slope("a")).verdict, "OK");
  EXPECT_EQ(trials.Fit(Slope("b")).verdict, "OK");
  const FitRow fit = trials.Fit(Contrast("a", "b"));
  EXPECT_EQ(fit.verdict, "REFUSED");
  EXPECT_THAT(fit.message, HasSubstr("12 trials 77ab0c11.. (trial 13 first)"));
}

TEST(Fitting, AnAxisThatIsNeitherArmNorScaleIsNotPooled) {
  for (const char* path : {"train.lr", "model.norm_eps", "model.rope_theta", "model.seq_len"}) {
    FitPlan plan;
    plan.axis_paths = {{"D", "train.tokens"}, {"x", path}};
    Trials trials;
    trials.AddArm("a", -0.1, 1, R"({"x": "0.001"})");
    trials.AddArm("b", -0.1, 2, R"({"x": "0.003"})");
    // Another value for another arm is what arms are.
    EXPECT_EQ(trials.Fit(Slope("a"), plan).verdict, "OK");
    EXPECT_EQ(trials.Fit(Contrast("a", "b"), plan).verdict, "OK");
    trials.Add("a", 1'000'000, 3'000'000, 0, 4.4, R"({"x": "0.002"})");
    const FitRow fit = trials.Fit(Slope("a"), plan);
    EXPECT_EQ(fit.verdict, "REFUSED") << path;
    EXPECT_THAT(fit.message, AllOf(HasSubstr("arm a mixes x = 0.001, 0.002"), HasSubstr(path),
                                   HasSubstr("make x part of the arms")));
    EXPECT_EQ(trials.Fit(Contrast("a", "b"), plan).verdict, "REFUSED");
    EXPECT_EQ(trials.Fit(Slope("b"), plan).verdict, "OK");
  }
}

std::string NotesOf(const FitRow& fit) {
  return json::parse(fit.fit_json)["provenance"]["notes"].dump();
}

TEST(Fitting, WhatDiffersBesideTheArmsIsNoted) {
  const FitPlan listed = *FitPlanOf(R"({"arms": ["gamma"], "fit": [], "axes": {
      "D": {"path": "train.tokens"}, "gamma": {"path": "init.gamma"}, "lr": {"path": "train.lr"},
      "seed": {"path": "seed"}}})");
  EXPECT_THAT(listed.arm_axes, testing::ElementsAre("gamma"));
  Trials trials;
  trials.AddArm("a", -0.1, 1, R"({"D": "1", "gamma": "0.5", "lr": "0.001"})");
  trials.AddArm("b", -0.1, 2, R"({"D": "2", "gamma": "0.8", "lr": "0.003"})");
  const FitRow fit = trials.Fit(Contrast("a", "b"), listed);
  EXPECT_EQ(fit.verdict, "OK");
  EXPECT_THAT(NotesOf(fit), HasSubstr("[\"the arms differ in lr too (0.001 against 0.003), so the "
                                      "difference is of both\"]"));
  EXPECT_THAT(NotesOf(trials.Fit(Contrast("b", "a"), listed)), HasSubstr("(0.003 against 0.001)"));
  EXPECT_THAT(NotesOf(trials.Fit(Slope("a"), listed)), Not(HasSubstr("differ")));
  // What arms set, or are made of, is what they are compared in.
  const FitPlan bundles = *FitPlanOf(R"({"fit": [],
      "arms": {"a": {"init.gamma": 0.5, "train.lr": 0.001}, "b": {"train.lr": 0.003}},
      "axes": {"gamma": {"path": "init.gamma"}, "lr": {"path": "train.lr"}}})");
  EXPECT_THAT(bundles.arm_axes, testing::ElementsAre("gamma", "lr"));
  EXPECT_THAT(NotesOf(trials.Fit(Contrast("a", "b"), bundles)), Not(HasSubstr("differ")));
}

TEST(Fitting, ShapesThatDifferBetweenTheArmsAreNotedAtOneSize) {
  FitPlan plan;
  plan.axis_paths = {{"heads", "model.heads"}};
  Trials trials;
  trials.AddArm("a", -0.1, 1, R"({"heads": "2"})", 1'000'000);
  trials.AddArm("b", -0.1, 2, R"({"heads": "2"})", 1'000'000);
  // No partner: what it has is compared with nothing.
  trials.AddArm("b", -0.1, 3, R"({"heads": "8"})", 2'000'000);
  EXPECT_THAT(NotesOf(trials.Fit(Contrast("a", "b"), plan)), Not(HasSubstr("differ in")));
  trials.AddArm("a", -0.1, 4, R"({"heads": "2"})", 4'000'000);
  trials.AddArm("b", -0.1, 5, R"({"heads": "4"})", 4'000'000);
  EXPECT_THAT(NotesOf(trials.Fit(Contrast("a", "b"), plan)),
              HasSubstr("the arms differ in heads too (2 against 4 at N = 4000000)"));
}

// Sizes of the model are scale as long as N tells them apart.
TEST(Fitting, ShapesArePooledOnlyWhereTheyChangeTheSize) {
  FitPlan plan;
  plan.axis_paths = {{"D", "train.tokens"}, {"heads", "model.heads"}, {"w", "model.d_model"}};
  Trials trials;
  trials.AddArm("a", -0.1, 1, R"({"heads": "2", "w": "64"})", 1'000'000);
  trials.AddArm("a", -0.1, 2, R"({"heads": "4", "w": "128"})", 4'000'000);
  EXPECT_EQ(trials.Fit(Slope("a"), plan).verdict, "OK");
  EXPECT_EQ(trials.Fit(Slope("a", Axis::kFlops), plan).verdict, "OK");
  trials.AddArm("a", -0.1, 3, R"({"heads": "8", "w": "128"})", 4'000'000);
  const FitRow fit = trials.Fit(Slope("a"), plan);
  EXPECT_EQ(fit.verdict, "REFUSED");
  EXPECT_THAT(fit.message, HasSubstr("arm a mixes heads = 4, 8 (model.heads, at one N = 4000000)"));
}

// ---- what is stored

TEST(Fitting, TheTrialsThatWentInAreStored) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  trials.Add("a", 1'000'000, 16'000'000, 0, kNoNumber)->state = TrialState::kDiverged;
  trials.AddArm("b", -0.1, 2);
  const json fit = json::parse(trials.Fit(Contrast("a", "b")).fit_json);
  ASSERT_EQ(fit["trials"].size(), 24);
  const ObservationRow& first = trials.rows()[0];
  EXPECT_EQ(fit["trials"][0], (json{{"trial_sha256", first.trial_sha256},
                                    {"final_loss", first.final_loss},
                                    {"data_sha256", "3fa9c1d2aa"},
                                    {"trainer_version", "1.0"}}));
  EXPECT_EQ(fit["n_diverged"], 1);
  EXPECT_EQ(json::parse(trials.Fit(Slope("a")).fit_json)["trials"].size(), 12);
}

TEST(Fitting, AnArmOfWhichMostDivergedSaysSo) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  trials.AddArm("b", -0.1, 2);
  const auto notes = [&](const FitTarget& target) {
    return json::parse(trials.Fit(target).fit_json)["provenance"]["notes"].dump();
  };
  const auto diverge = [&](int count) {
    for (int i = 0; i < count; ++i) {
      trials.Add("a", 1'000'000, 16'000'000, trials.rows().size(), kNoNumber)->state =
          TrialState::kDiverged;
    }
  };
  diverge(12);
  EXPECT_THAT(notes(Slope("a")), Not(HasSubstr("diverged")));
  diverge(1);
  EXPECT_THAT(notes(Slope("a")), HasSubstr("more than half of arm a diverged (13 of 25)"));
  EXPECT_THAT(notes(Slope("b")), Not(HasSubstr("diverged")));
  EXPECT_THAT(notes(Contrast("a", "b")), AllOf(HasSubstr("diverged: 13 of 25 against 0 of 12"),
                                               HasSubstr("more than half of arm a diverged")));
}

TEST(Fitting, ValuesOfTheAxisAreCountedBesideConfigurations) {
  Trials trials;
  trials.AddArm("a", -0.1, 1, R"({"N": "1"})", 1'000'000);
  trials.AddArm("a", -0.1, 2, R"({"N": "2"})", 4'000'000);
  const json fit = json::parse(trials.Fit(Slope("a")).fit_json);
  EXPECT_EQ(fit["n_configs"], 8);
  EXPECT_EQ(fit["n_distinct_x"], 4);
  EXPECT_EQ(fit["provenance"]["n_distinct_x"], 4);
}

TEST(Fitting, TheJointFormIsFitted) {
  Trials trials;
  Noise noise(1);
  for (const double n : LogRange(1e7, 64, 5)) {
    for (const double d : LogRange(2e8, 64, 5)) {
      const double loss = 1.8 + 250 * std::pow(n, -0.34) + 500 * std::pow(d, -0.3);
      trials.Add("a", std::llround(n), std::llround(d), 0, loss * std::exp(0.001 * noise.Next()));
    }
  }
  const FitRow fit = trials.Fit({"joint", Axis::kTokens, "a", ""});
  EXPECT_EQ(fit.verdict, "IDENTIFIED") << fit.message;
  EXPECT_EQ(fit.parameter, "beta");
  EXPECT_LT(fit.low, 0.3);
  EXPECT_GT(fit.high, 0.3);
  EXPECT_EQ(json::parse(fit.fit_json)["form"], "L = E + A*N^-alpha + B*D^-beta");
}

// ---- several planned contrasts

TEST(Fitting, PlannedContrastsAreAdjustedTogether) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  trials.AddArm("b", -0.101, 2);
  trials.AddArm("c", -0.103, 3);
  FitPlan plan;
  plan.comparisons = {Contrast("a", "b"), Contrast("a", "c"), Contrast("a", "d")};
  plan.arms = {"a", "b", "c", "d"};
  const FitRow ab = trials.Fit(Contrast("a", "b"), plan);
  const FitRow ac = trials.Fit(Contrast("a", "c"), plan);
  const json ab_p = json::parse(ab.fit_json)["provenance"];
  const json ac_p = json::parse(ac.fit_json)["provenance"];
  const double p_ab = 2 * std::min(ab.p_value, 1 - ab.p_value);
  const double p_ac = 2 * std::min(ac.p_value, 1 - ac.p_value);
  ASSERT_LT(p_ac, p_ab);
  EXPECT_DOUBLE_EQ(ab_p["p_two_sided"].get<double>(), p_ab);
  // The third has no trials yet and stays in the family.
  EXPECT_EQ(ac_p["holm"]["m"], 3);
  EXPECT_EQ(ac_p["holm"]["tested"], 2);
  EXPECT_DOUBLE_EQ(ac_p["holm"]["p_adjusted"].get<double>(), std::min(1.0, 3 * p_ac));
  EXPECT_DOUBLE_EQ(ab_p["holm"]["p_adjusted"].get<double>(),
                   std::min(1.0, std::max(3 * p_ac, 2 * p_ab)));
  // One that nobody planned has a p-value of its own.
  EXPECT_FALSE(
      json::parse(trials.Fit(Contrast("b", "c"), plan).fit_json)["provenance"].contains("holm"));

  // A trial of c moves the adjustment of a against b, and of nothing unplanned.
  const std::string planned = trials.Hash(Contrast("a", "b"), plan);
  const std::string alone = trials.Hash(Contrast("a", "b"));
  trials.rows().back().final_loss *= 1.01;
  EXPECT_NE(trials.Hash(Contrast("a", "b"), plan), planned);
  EXPECT_EQ(trials.Hash(Contrast("a", "b")), alone);
}

TEST(Fitting, ThePlanHoldsEachContrastOnce) {
  const FitPlan plan = *FitPlanOf(R"({
      "arms": {"a": {}, "b": {}}, "axes": {"lr": {"path": "train.lr"}},
      "fit": [{"axis": "D", "compare": ["a", "b"]}, {"axis": "D", "compare": ["b", "a"]},
              {"axis": "N", "compare": ["a", "b"]}, {"by": "arm", "form": "B*D^-b"}]})");
  EXPECT_EQ(plan.comparisons.size(), 2);
  EXPECT_EQ(plan.axis_paths.at("lr"), "train.lr");
  EXPECT_THAT(plan.arms, testing::ElementsAre("a", "b"));
  EXPECT_TRUE(absl::IsDataLoss(FitPlanOf("{}").status()));
}

// ---- one bad fit costs no other

TEST(Fitting, FactsAboutTheDataAreRefusalsAndNoErrors) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  trials.AddArm("b", -0.1, 2);
  // Two configurations of one arm at the same N, D and seed.
  trials.Add("b", 1'000'000, 1'000'000, 0, 5.1, R"({"unseen": "1"})");
  const FitRow twice = trials.Fit(Contrast("a", "b"));
  EXPECT_EQ(twice.verdict, "REFUSED");
  EXPECT_THAT(twice.message, HasSubstr("at the same N, D and seed"));
  // An arm that the spec names and that has no trials of its own.
  FitPlan plan;
  plan.arms = {"twin"};
  const FitRow twin = trials.Fit(Contrast("a", "twin"), plan);
  EXPECT_EQ(twin.verdict, "REFUSED");
  EXPECT_THAT(twin.message, HasSubstr("arm twin has no trials in this sweep"));
  // A loss that no fit can use.
  trials.rows()[0].final_loss = 0;
  EXPECT_THAT(trials.Fit(Slope("a")).message, HasSubstr("finite positive loss"));
  // A name that nobody knows is the asker's mistake.
  EXPECT_TRUE(absl::IsNotFound(Fitter(trials.rows(), plan).Compute(Slope("typo")).status()));
}

TEST(Fitter, SaysWhatRepeatedDataLacks) {
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  const FitRow fit = trials.Fit({"data_constrained", Axis::kTokens, "a", ""});
  EXPECT_EQ(fit.verdict, "REFUSED");
  EXPECT_THAT(fit.message, HasSubstr("does not know how many of a trial's tokens were new"));
  EXPECT_THAT(fit.message, HasSubstr("--unique unique_tokens --form data_constrained"));
}

// ---- trials that were stopped early

constexpr char kCensoredSpec[] = R"(apiVersion: loglog/v1
name: tiny
model: {layers: 2, d_model: 64, heads: 4, kv_heads: 4, d_ff: 176, vocab: 256, seq_len: 64}
data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 192, zipf: 1.5, branching: 4}}
train: {lr: 3.0e-3, batch_tokens: 512}
axes:
  D: {path: train.tokens, values: [24576, 65536, 163840]}
fit: [{form: B*D^-b, censored: true}, {form: power}]
)";

TEST(Fitting, AStoppedTrialIsAnUpperEndWhereTheSpecSaysSo) {
  const FitPlan plan = *FitPlanOf(CanonicalJson(*ParseSpec(kCensoredSpec, "tiny.yaml")));
  EXPECT_THAT(plan.censored,
              testing::ElementsAre(std::pair<std::string, Axis>("local_slope", Axis::kTokens)));
  // Requests that are known already are not read from the spec again.
  const SweepSpec spec = *ParseSpec(kCensoredSpec, "tiny.yaml");
  EXPECT_EQ(FitPlanOf(CanonicalJson(spec), &spec.fit)->censored, plan.censored);
  const std::vector<FitRequest> none;
  EXPECT_THAT(FitPlanOf(CanonicalJson(spec), &none)->censored, testing::IsEmpty());
  Trials trials;
  trials.AddArm("a", -0.1, 1);
  const FitRow before = trials.Fit(Slope("a"), plan);
  ObservationRow* stopped = trials.Add("a", 1'000'000, 8'000'000, 9, kNoNumber);
  stopped->state = TrialState::kStopped;
  const std::string unread = trials.Hash(Slope("a"), plan);
  stopped->stopped_loss = 20 * std::pow(8e6, -0.1) * 0.99;
  EXPECT_NE(trials.Hash(Slope("a"), plan), unread);
  const FitRow after = trials.Fit(Slope("a"), plan);
  // The estimate and its interval are of the finished ones.
  EXPECT_EQ(after.estimate, before.estimate);
  EXPECT_EQ(after.low, before.low);
  const json fit = json::parse(after.fit_json);
  EXPECT_EQ(fit["n_stopped"], 1);
  const json& censored = fit["provenance"]["censored"];
  EXPECT_EQ(censored["n"], 1);
  EXPECT_EQ(censored["trials"][0]["trial_sha256"], stopped->trial_sha256);
  EXPECT_EQ(censored["trials"][0]["loss_below"], stopped->stopped_loss);
  EXPECT_LT(censored["parameters"]["slope"]["with"], after.estimate);
  // One with another value of an axis may not bound the others.
  FitPlan mixed = plan;
  mixed.axis_paths = {{"lr", "train.lr"}};
  Trials of_two = trials;
  for (ObservationRow& row : of_two.rows()) row.axes_json = R"({"lr": "0.1"})";
  of_two.rows().back().axes_json = R"({"lr": "0.2"})";
  const json refused =
      json::parse(of_two.Fit(Slope("a"), mixed).fit_json)["provenance"]["censored"];
  EXPECT_THAT(refused["why_not"].get<std::string>(), HasSubstr("mixes lr = 0.1, 0.2"));
  EXPECT_FALSE(refused.contains("parameters"));
  // Not asked for: another kind, and a plan without it.
  EXPECT_FALSE(
      json::parse(trials.Fit({"power", Axis::kTokens, "a", ""}, plan).fit_json)["provenance"]
          .contains("censored"));
  EXPECT_FALSE(json::parse(trials.Fit(Slope("a")).fit_json)["provenance"].contains("censored"));
}

}  // namespace
}  // namespace loglog
