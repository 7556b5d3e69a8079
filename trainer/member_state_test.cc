#include "trainer/member_state.h"

#include <gtest/gtest.h>

#include <map>

#include <cmath>
#include <random>

#include "trainer/progress.h"
#include "trainer/schedule.h"
#include "trainer/task_testing.h"

namespace loglog {
namespace {

std::vector<int64_t> StepsWhere(const Cadence& cadence, bool (Cadence::*test)(int64_t) const,
                                int64_t begin, int64_t end) {
  std::vector<int64_t> steps;
  for (int64_t step = begin; step <= end; ++step) {
    if ((cadence.*test)(step)) steps.push_back(step);
  }
  return steps;
}

Task TaskWith(int64_t steps, double eval_every, int64_t metrics_every, int64_t probe_every,
              int64_t checkpoint_every) {
  Task task;
  task.members.resize(1);
  task.members[0].train.batch_tokens = 10;
  task.members[0].train.tokens = task.token_end = 10 * steps;
  task.members[0].eval.every = eval_every;
  task.members[0].metrics = {.every = metrics_every, .probe_every = probe_every};
  task.checkpoint_every = checkpoint_every;
  return task;
}

using Steps = std::vector<int64_t>;

TEST(Cadence, FollowsTheConfiguration) {
  const Cadence cadence(TaskWith(50, 0.25, 20, 30, 40));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Metrics, 1, 50), (Steps{1, 20, 40, 50}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Evaluation, 0, 50), (Steps{13, 25, 38, 50}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Probe, 0, 50), (Steps{0, 30, 50}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Checkpoint, 1, 50), (Steps{40, 50}));
}

TEST(Cadence, SpectraBringProbesOfTheirOwn) {
  Task task = TaskWith(50, 0, 100, 30, 0);
  task.members[0].metrics.spectra_every = 20;
  const Cadence cadence(task);
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Spectra, 0, 50), (Steps{0, 20, 40}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Probe, 0, 50), (Steps{0, 20, 30, 40, 50}));
}

TEST(Cadence, ZeroMeansAtTheEndOnlyAndNoCheckpoints) {
  const Cadence cadence(TaskWith(50, 0, 100, 0, 0));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Evaluation, 0, 50), (Steps{50}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Probe, 0, 50), (Steps{50}));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Checkpoint, 1, 50), (Steps{}));
}

TEST(Cadence, SharesBelowOneStepEvaluateEveryStep) {
  const Cadence cadence(TaskWith(5, 0.01, 1, 0, 0));
  EXPECT_EQ(StepsWhere(cadence, &Cadence::Evaluation, 0, 5), (Steps{1, 2, 3, 4, 5}));
}

TEST(MemberState, LimitsFollowTheRunningMeanAndEndAfterTenInARow) {
  MemberState state;
  TrainConfig train;
  train.batch_tokens = 10;
  train.tokens = 10000;
  train.lr = 0.5;
  train.weight_decay = 0.25;
  train.schedule = Schedule::kConstant;
  train.warmup = 0;
  EXPECT_FALSE(state.Limits(train));  // off
  train.skip_sd = 8;
  for (int i = 0; i < 49; ++i) state.loss_spikes.Add(2 + 0.1 * (i % 2));
  EXPECT_EQ(state.Limits(train)->loss, std::numeric_limits<double>::infinity());
  state.loss_spikes.Add(2.1);
  EXPECT_DOUBLE_EQ(state.Limits(train)->loss,
                   state.loss_spikes.mean() + 8 * state.loss_spikes.sd());
  EXPECT_EQ(state.Limits(train)->grad_norm, std::numeric_limits<double>::infinity());
  for (int i = 0; i < 9; ++i) state.NoteStep(train, i, true);
  EXPECT_TRUE(state.Limits(train));
  state.NoteStep(train, 9, true);
  EXPECT_FALSE(state.Limits(train));
  state = MemberState::FromJson(state.ToJson());
  EXPECT_FALSE(state.Limits(train));
  state.NoteStep(train, 10, false);
  EXPECT_TRUE(state.Limits(train));
  EXPECT_EQ(state.skipped, 10);
  // Ten of the hundred updates were not made, and neither was their decay.
  MemberConfig config;
  config.train = train;
  EXPECT_NEAR(EndLine(0, config, state, 100).at("summary").at("lr_lambda_integral").get<double>(),
              90 * 0.125, 1e-12);
  // Decay through the gradient is no decay of that sum, and skipping it takes nothing off.
  config.train.decay = DecayMode::kGradient;
  MemberState through_gradient;
  through_gradient.NoteStep(config.train, 0, true);
  const auto line = EndLine(0, config, through_gradient, 100);
  EXPECT_EQ(line.at("summary").at("lr_lambda_integral").get<double>(), 0);
}

TEST(SpikeDetector, FindsAnOutlierOnceAndForgetsIt) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 0.1);
  SpikeDetector detector;
  int spikes = 0;
  for (int i = 0; i < 1000; ++i) spikes += detector.Add(3 + noise(random));
  EXPECT_EQ(spikes, 0);
  EXPECT_NEAR(detector.mean(), 3, 0.1);
  EXPECT_NEAR(detector.sd(), 0.1, 0.05);
  EXPECT_FALSE(detector.Add(3.3));
  EXPECT_TRUE(detector.Add(5));
  EXPECT_FALSE(detector.Add(5)) << "the same excursion";
  EXPECT_FALSE(detector.Add(3));
  EXPECT_TRUE(detector.Add(1000));
  EXPECT_FALSE(detector.Add(3));
  EXPECT_TRUE(detector.Add(5)) << "a new excursion must not hide behind the last";
}

TEST(SpikeDetector, FallingLossAndEarlyNumbersAreNoSpikes) {
  SpikeDetector falling;
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(falling.Add(10 * std::exp(-i / 50.0) + 2));
  SpikeDetector early;
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(early.Add(i == 20 ? 100 : 1));
}

TEST(SpikeDetector, StateRoundTripsExactly) {
  std::mt19937 random(3);
  std::lognormal_distribution<double> noise(0, 1);
  SpikeDetector one;
  for (int i = 0; i < 300; ++i) one.Add(noise(random));
  SpikeDetector two = SpikeDetector::FromJson(nlohmann::ordered_json::parse(one.ToJson().dump()));
  EXPECT_EQ(one, two);
  for (int i = 0; i < 300; ++i) {
    const double value = noise(random);
    EXPECT_EQ(one.Add(value), two.Add(value));
  }
  EXPECT_EQ(one, two);
}

TEST(MemberState, KeepsFiniteNumbersAndNoSeries) {
  MemberState state;
  state.Keep({{"a", 1},
              {"b", std::numeric_limits<double>::quiet_NaN()},
              {"cond/spectrum/q/0", 2},
              {"cond/embed_spectrum/1", 3},
              {"cond/embed_cos", 4}});
  EXPECT_EQ(state.latest, (std::map<std::string, double>{{"a", 1}, {"cond/embed_cos", 4}}));
}

TEST(MemberState, RoundTripsWithInfiniteValues) {
  MemberState state;
  state.loss_spikes.Add(2);
  state.latest = {{"a", 0.1}, {"b", std::numeric_limits<double>::infinity()}};
  state.diverged_step = state.diverged_updates = 12;
  const MemberState again =
      MemberState::FromJson(nlohmann::ordered_json::parse(state.ToJson().dump()));
  EXPECT_EQ(again.latest, state.latest);
  EXPECT_EQ(again.diverged_step, 12);
  EXPECT_EQ(again.diverged_updates, 12);
  EXPECT_EQ(again.loss_spikes, state.loss_spikes);
}

// Width 4: the first two tokens are read, then two answers, or one and a pad.
TEST(Evaluation, ExactMatchCountsWholeSequences) {
  const EvalSet set{.name = "gen",
                    .tokens = {~1, ~2, 5, 6, ~1, ~2, 7, ~0, ~3, ~2, 8, 9},
                    .report = EvalSet::Report::kLossAndExact,
                    .width = 4};
  std::vector<NamedValue> values;
  AppendEvaluation(set, false, {.loss = 0.5, .answers = {5, 6, 7, 8, 1}}, &values);
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[0].name, "loss/val/gen");
  EXPECT_EQ(values[1].name, "acc/gen");
  EXPECT_DOUBLE_EQ(values[1].value, 2.0 / 3);
  EXPECT_EQ(values[2].name, "acc_token/gen");
  EXPECT_DOUBLE_EQ(values[2].value, 4.0 / 5);
}

TEST(Evaluation, BitsPerByteWhereTheTextIsKnown) {
  EvalSet set{.name = "web", .tokens = {1, 2}};
  std::vector<NamedValue> values;
  AppendEvaluation(set, true, {.loss = 1.5}, &values);
  EXPECT_EQ(values.size(), 1u);
  set.tokens_per_byte = 0.25;
  AppendEvaluation(set, false, {.loss = 1.5}, &values);
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[2].name, "bpb/val/web");
  EXPECT_DOUBLE_EQ(values[2].value, 1.5 / std::log(2.0) / 4);
}

TEST(EndLine, SaysWhatTheMemberReached) {
  MemberConfig config;
  config.train.tokens = 1000;
  config.train.batch_tokens = 10;
  config.train.lr = 0.01;
  config.train.weight_decay = 0.1;
  MemberState state;
  state.latest = {{"loss/val", 3.25}, {"loss/train", 3.5}};
  auto line = EndLine(1, config, state, 100);
  EXPECT_EQ(line["outcome"], "done");
  EXPECT_EQ(line["final_loss"], 3.25);
  EXPECT_EQ(line["tokens"], 1000);
  EXPECT_EQ(line["summary"]["loss/train"], 3.5);
  EXPECT_DOUBLE_EQ(line["summary"]["tau_ema"].get<double>(), 10);
  EXPECT_GT(line["summary"]["lr_lambda_integral"].get<double>(), 0);

  state.diverged_step = 40;
  state.diverged_updates = 39;
  line = EndLine(1, config, state, 100);
  EXPECT_EQ(line["summary"]["lr_lambda_integral"], LrLambdaIntegral(config.train, 39));
  EXPECT_EQ(line["outcome"], "diverged");
  EXPECT_EQ(line["step"], 40);
  EXPECT_EQ(line["final_loss"], "nan");

  config.train.weight_decay = 0;
  EXPECT_EQ(EndLine(0, config, state, 100)["summary"].count("tau_ema"), 0u);
}

TEST(ProgressText, IsShort) {
  EXPECT_EQ(ProgressText(120, 500, 3.21449, 41234, 380 * 2048),
            "step 120/500 (24%)  loss 3.2145  41.2k tok/s  19s left");
  EXPECT_EQ(ProgressText(1, 1000, 5, 1.5e6, 3'600'000'000),
            "step 1/1000 (0%)  loss 5.0000  1.50M tok/s  40m00s left");
  EXPECT_EQ(ProgressText(1, 1000, 5, 0, 100), "step 1/1000 (0%)  loss 5.0000");
}

EvalSet SetOf(const std::string& name, EvalSet::Report report) {
  return {.name = name, .tokens = {~1, 5, ~1, 6, ~1, 7}, .report = report};
}

TEST(Evaluations, AreReportedBySet) {
  using Report = EvalSet::Report;
  const Evaluation evaluation{.loss = 0.5, .answers = {5, 6, 6}};
  const auto names = [&](Report report, bool first) {
    std::map<std::string, double> values;
    std::vector<NamedValue> row;
    AppendEvaluation(SetOf("ood", report), first, evaluation, &row);
    for (const NamedValue& value : row) values[value.name] = value.value;
    return values;
  };
  using Values = std::map<std::string, double>;
  EXPECT_EQ(names(Report::kLoss, true), (Values{{"loss/val", 0.5}}));
  EXPECT_EQ(names(Report::kLossAndAccuracy, false),
            (Values{{"loss/val/ood", 0.5}, {"acc/ood", 2.0 / 3}}));
  EXPECT_EQ(names(Report::kAccuracy, false), (Values{{"acc/ood", 2.0 / 3}}));
  // The third answer has no partner.
  EXPECT_EQ(names(Report::kAgreement, false), (Values{{"acc/ood", 0.0}}));
}

// A later checkpoint that is no better on held-out examples is not chosen, however good it is
// on the untrained.
TEST(Evaluations, ThreeCheckpointsAreKeptApart) {
  MemberState state;
  state.ChooseAccuracies({{"acc/id", 0.5}, {"acc/ood", 0.4}});
  state.ChooseAccuracies({{"acc/id", 0.9}, {"acc/ood", 0.2}});
  state.ChooseAccuracies({{"acc/id", 0.9}, {"acc/ood", 0.8}});
  state.ChooseAccuracies({{"acc/id", 0.7}, {"acc/ood", 0.3}});
  EXPECT_EQ(state.latest.at("chosen/acc/id"), 0.9);
  EXPECT_EQ(state.latest.at("chosen/acc/ood"), 0.2);
  EXPECT_EQ(state.latest.at("best/acc/ood"), 0.8);
  state.ChooseAccuracies({{"loss/val", 0.1}});
  EXPECT_EQ(state.latest.size(), 3u);
}

}  // namespace
}  // namespace loglog
