// Costs, doubts, reports and explanations of whole plans.
#include "plan/plan.h"

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/embedded_configs.h"
#include "plan/fields.h"
#include "plan/spec_testing.h"

namespace loglog {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MATCHER_P2(Warns, code, text, "") {
  return arg.code == code && arg.message.find(text) != std::string::npos;
}
MATCHER_P(HasCode, code, "") { return arg.code == code; }

std::vector<PlanWarning> WarningsOf(const std::string& text, const PlanContext& context = {}) {
  const SweepSpec spec = MustParse(text);
  return CheckPlan(spec, MustExpand(spec), context);
}

TEST(Cost, CountsByHand) {
  // d 4, 2 heads of 2, 1 kv head, ff 6, vocab 10, 3 layers, untied.
  const ModelShape model{
      .layers = 3, .d_model = 4, .heads = 2, .kv_heads = 1, .d_ff = 6, .vocab = 10, .seq_len = 8};
  // q 16, k 8, v 8, o 16, gate 24, up 24, down 24, two norms of 4.
  const int64_t block = 16 + 8 + 8 + 16 + 24 + 24 + 24;
  EXPECT_EQ(CountParams(model).non_embedding, 3 * (block + 8) + 4);
  EXPECT_EQ(CountParams(model).total, 3 * (block + 8) + 4 + 80);
  EXPECT_EQ(CountParams(model).active, CountParams(model).total);
  // Forward: 2 FLOPs for each weight of a block and of the head, and in each layer two
  // products of 4 x 4.5 keys on average; three times that with backward.
  EXPECT_DOUBLE_EQ(FlopsPerToken(model), 3 * (2 * (3 * block + 40) + 3 * 2 * 2 * 4 * 4.5));
  EXPECT_DOUBLE_EQ(SixN(model), 6.0 * CountParams(model).total);
  EXPECT_EQ(CheckpointBytes(model), 12 * CountParams(model).total);
  ModelShape tied = model;
  tied.tied_head = true;
  EXPECT_EQ(CountParams(tied).total, CountParams(model).total - 40);
  EXPECT_EQ(CountParams(tied).non_embedding, CountParams(model).non_embedding);
}

// The same table as trainer/flops_test.cc's: what a plan promises is what is trained.
TEST(Cost, AgreesWithTheTrainerForEveryOption) {
  std::ifstream file(LOGLOG_PLAN_TESTDATA "/model_costs.txt");
  int rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    int64_t total = 0, non_embedding = 0;
    double flops = 0;
    words >> total >> non_embedding >> flops;
    std::string fields =
        "layers: 3, d_model: 16, heads: 4, kv_heads: 2, d_ff: 20, vocab: 11, seq_len: 6";
    for (std::string option; words >> option;) {
      absl::StrAppend(&fields, ", ", absl::StrReplaceAll(option, {{"=", ": "}}));
    }
    const ModelShape model =
        MustParse(absl::StrCat("apiVersion: loglog/v1\nname: cost\nmodel: {", fields,
                               "}\ndata: {train: {format: llmc, glob: a}, val: {format: llmc, "
                               "glob: b}}\neval: {tokens: 6}\n"
                               "train: {lr: 0.1, batch_tokens: 6, tokens: 60}\n"))
            .base.model();
    EXPECT_EQ(CountParams(model).total, total) << line;
    EXPECT_EQ(CountParams(model).non_embedding, non_embedding) << line;
    EXPECT_EQ(FlopsPerToken(model), flops) << line;
    ++rows;
  }
  EXPECT_GT(rows, 10);
}

TEST(Shapes, AreWhatTheirNamesSay) {
  EXPECT_GE(Shapes().size(), 11u);
  for (const NamedShape& shape : Shapes()) {
    CellConfig config;
    for (const auto& [path, value] : shape.fields) config.Set(path, value);
    const double total = static_cast<double>(CountParams(config.model()).total);
    const std::string digits = shape.name.substr(6);
    const double named = std::stod(digits) * (digits.back() == 'k' ? 1e3 : 1e6);
    EXPECT_NEAR(total / named, 1, 0.03) << shape.name << " has " << total;
    EXPECT_EQ(config.model().d_model % config.model().heads, 0) << shape.name;
    EXPECT_EQ(config.model().head_dim() % 2, 0) << shape.name;
  }
  EXPECT_EQ(FindShape("llama-7b"), nullptr);
}

// A published shape never changes: specs in stores name it.
TEST(Shapes, AreFrozen) {
  std::map<std::string, int64_t> totals;
  for (const NamedShape& shape : Shapes()) {
    CellConfig config;
    for (const auto& [path, value] : shape.fields) config.Set(path, value);
    totals[shape.name] = CountParams(config.model()).total;
  }
  const std::map<std::string, int64_t> published = {
      {"llama-20k", 20'112},       {"llama-200k", 202'176},       {"llama-2m", 1'942'560},
      {"llama-10m", 10'081'600},   {"llama-25m", 25'085'696},     {"llama-50m", 49'359'744},
      {"llama-100m", 100'449'920}, {"llama-200m", 201'018'496},   {"llama-400m", 399'156'480},
      {"llama-800m", 806'171'136}, {"llama-2400m", 2'370'583'040}};
  for (const auto& [name, total] : published) EXPECT_EQ(totals[name], total) << name;
}

TEST(Memory, IsStatePlusActivations) {
  const SweepSpec spec = MustParse(SmallSpec("train: {lr: 0.1, batch_tokens: 128, tokens: 128}\n"));
  const MemoryEstimate memory = EstimateMemory(spec.base);
  const int64_t params = CountParams(spec.base.model()).total;
  EXPECT_EQ(memory.state_bytes, 16 * params);
  // 128 tokens: 2 layers of (2 x 64 + 4 x 64 + 2 x 64 + 3 x 176) floats, the last stream
  // twice, 256 logits; and 2 x 4 x 64 probabilities.
  EXPECT_EQ(memory.activation_bytes,
            128 * 4 * (2 * (128 + 256 + 128 + 528) + 128 + 256 + 2 * 4 * 64));
}

// Sizes that a spec may have, though no machine: the estimate is large and no overflow.
TEST(Memory, OfTheLargestModelIsLarge) {
  SweepSpec spec = MustParse(SmallSpec("train: {lr: 0.1, batch_tokens: 128, tokens: 128}\n"));
  for (const auto& [path, value] : {std::pair<const char*, int64_t>{"model.layers", 1000},
                                    {"model.d_model", 1'000'000},
                                    {"model.heads", 10'000},
                                    {"model.d_ff", 10'000'000},
                                    {"model.vocab", 10'000'000},
                                    {"model.seq_len", 10'000'000},
                                    {"train.batch_tokens", 1'000'000'000'000}}) {
    spec.base.Set(path, SpecValue(value));
  }
  const MemoryEstimate memory = EstimateMemory(spec.base);
  EXPECT_GT(memory.activation_bytes, int64_t{1} << 50);
  EXPECT_GT(memory.state_bytes, int64_t{1} << 49);
}

TEST(T23_eps_decides_the_sweep, PlanWarnsWhenTheInequalityHolds) {
  // STATISTICS of the trap: at eps 1e-5, gamma 0.92 at d 512 and 0.755 at d 2048.
  const auto warnings = [](int d, const char* eps, const char* gamma) {
    return WarningsOf(absl::StrCat(
        "apiVersion: loglog/v1\nname: eps\nmodel: {layers: 1, d_model: ", d,
        ", heads: 8, kv_heads: 8, d_ff: 64, vocab: 256, seq_len: 64, norm_eps: ", eps,
        "}\ndata: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: "
        "64}}\n",
        "init: {gamma: ", gamma, "}\ntrain: {lr: 0.01, batch_tokens: 64, tokens: 6400}\n"));
  };
  EXPECT_THAT(warnings(512, "1.0e-5", "0.93"), Contains(Warns("EPS", "= 0.923 at d_model 512")));
  EXPECT_THAT(warnings(512, "1.0e-5", "0.92"), Not(Contains(HasCode("EPS"))));
  EXPECT_THAT(warnings(2048, "1.0e-5", "0.76"), Contains(Warns("EPS", "= 0.755 at d_model 2048")));
  EXPECT_THAT(warnings(2048, "1.0e-5", "0.75"), Not(Contains(HasCode("EPS"))));
  EXPECT_THAT(warnings(2048, "1.0e-6", "1.0"), Contains(Warns("EPS", "gamma 1 > ")));
  EXPECT_THAT(warnings(2048, "1.0e-12", "1.0"), Not(Contains(HasCode("EPS"))));
  // The fix that it names is one.
  for (const PlanWarning& warning : warnings(2048, "1.0e-5", "1.0")) {
    if (warning.code == "EPS") {
      EXPECT_EQ(warning.fix, "model.norm_eps=1.0e-09");
    }
  }
  const SweepSpec sigma = MustParse(
      SmallSpec("train: {lr: 0.1, batch_tokens: 64, tokens: 6400}\ninit: {sigma: 1.0e-4}\n"));
  EXPECT_THAT(CheckPlan(sigma, MustExpand(sigma)), Contains(Warns("EPS", "sigma 0.0001 squared")));
}

TEST(Range, NumbersOfTheStatistics) {
  // 7x with 5 D x 3 seeds at 0.3% noise: beta's standard error is about .026.
  std::vector<double> tokens;
  for (int i = 0; i < 5; ++i) {
    for (int seed = 0; seed < 3; ++seed) tokens.push_back(0.2e9 * std::pow(7.0, i / 4.0));
  }
  EXPECT_NEAR(BetaStandardError(tokens, 0.003), 0.026, 0.002);
  EXPECT_TRUE(std::isinf(BetaStandardError({1e6, 1e6, 1e7, 1e7}, 0.003)));
  // A wider range always helps.
  for (double& d : tokens) d = 0.2e9 * std::pow(d / 0.2e9, std::log(16.0) / std::log(7.0));
  EXPECT_LT(BetaStandardError(tokens, 0.003), 0.016);
}

TEST(Range, WarnsUnderADecadeAndUnderFourPoints) {
  const auto warnings = [](const std::string& values) {
    return WarningsOf(SmallSpec(
        absl::StrCat("train: {lr: 0.01, batch_tokens: 64}\neval: {tokens: 4096}\naxes: {D: {path: "
                     "train.tokens, values: [",
                     values, "]}, seed: {values: [0, 1, 2]}}\n")));
  };
  EXPECT_THAT(warnings("64000, 128000, 256000, 448000"),
              Contains(Warns("RANGE", "D spans 7x (64k to 448k), under a decade: beta")));
  EXPECT_THAT(warnings("64000, 128000, 640000"), Contains(Warns("RANGE", "has 3 values of D")));
  EXPECT_THAT(warnings("64000, 128000, 256000, 640000"), IsEmpty());
}

// As the fit does: embeddings would shorten the range.
TEST(Range, OfSizesIsWithoutEmbeddings) {
  EXPECT_THAT(
      WarningsOf(SmallSpec("train: {lr: 0.01, batch_tokens: 64, tokens: 64000}\n"
                           "axes: {N: {path: model.layers, values: [1, 2, 3, 4]}, seed: {values: "
                           "[0, 1, 2]}}\n")),
      Contains(Warns("RANGE", "N spans 4x (")));
}

TEST(Idle, FieldsOfArmsAndOfATiedHead) {
  const auto warnings = [](const std::string& more) {
    return WarningsOf(SmallSpec(absl::StrCat(
        "train: {lr: 0.1, batch_tokens: 64, tokens: 6400, schedule: cosine}\n", more)));
  };
  EXPECT_THAT(
      warnings("arms:\n  a: {train.cooldown: 0.1}\n  b: {train.cooldown: 0.2, "
               "train.schedule: wsd}\n"),
      AllOf(Contains(Warns("IDLE", "train.cooldown of arm a changes nothing in some cells")),
            Not(Contains(Warns("IDLE", "of arm b")))));
  EXPECT_THAT(warnings("axes: {head: {path: train.decay_lm_head, values: [true, false]}, "
                       "tied: {path: model.tied_head, values: [true, false]}}\n"),
              Contains(Warns("IDLE", "axis head changes nothing in some cells: model.tied_head")));
}

TEST(Idle, FieldsInWhosePlaceAnotherStands) {
  const auto warnings = [](const std::string& axis, const std::string& more = "",
                           const std::string& train = "") {
    return WarningsOf(SmallSpec(absl::StrCat("train: {lr: 0.1, batch_tokens: 64, tokens: 6400",
                                             train, "}\n", more, "axes: {x: ", axis, "}\n")));
  };
  const auto idle = [](const std::string& why) {
    return Contains(Warns("IDLE", "axis x changes nothing in some cells: " + why));
  };
  const std::string warmup = "{path: train.warmup, values: [1%, 5%]}";
  EXPECT_THAT(warnings(warmup, "", ", warmup_tokens: 640"), idle("train.warmup_tokens is set"));
  EXPECT_THAT(warnings(warmup), Not(idle("")));
  EXPECT_THAT(warnings("{path: train.warmup_tokens, values: [640, 1280]}"), Not(idle("")));
  const std::string d_in = "{path: init.d_in, values: [fan_in, d_model]}";
  EXPECT_THAT(warnings(d_in, "init: {sigma: 0.02}\n"), idle("init.sigma is set"));
  EXPECT_THAT(warnings(d_in), Not(idle("")));
  const std::string decay = "{path: train.decay, values: [coupled, independent]}";
  EXPECT_THAT(warnings(decay, "", ", weight_decay: 0"), idle("train.weight_decay is 0"));
  EXPECT_THAT(warnings(decay), Not(idle("")));
}

TEST(Noise, PowerOfThePairedComparison) {
  // 4 D x 3 seeds x 2 arms over 7x. On pairs it would be 96%, but the comparison gives means over
  // seeds, whose two degrees of freedom find little, the part that the scatter asks for.
  std::vector<PlannedPair> pairs;
  for (int i = 0; i < 4; ++i) {
    for (int seed = 0; seed < 3; ++seed) pairs.push_back({0, std::log(7.0) * i / 3});
  }
  EXPECT_NEAR(PairedPower(pairs, 0.003, 0.007), 0.733, 1e-3);
  EXPECT_LT(PairedPower(pairs, 0.01, 0.007), 0.5);
  EXPECT_NEAR(PairedPower(pairs, 0.003, 0), 0.05, 0.02);
  EXPECT_NEAR(PairedPower(pairs, 0.003, 1), 1, 1e-9);
  // Under 3 values of x there is no interval, however many seeds there are.
  EXPECT_EQ(PairedPower({{0, 0}, {0, 1}}, 0.003, 0.007), 0);
  EXPECT_EQ(PairedPower({{0, 0}, {0, 0}, {0, 0}, {0, 5}, {0, 5}, {0, 5}}, 0.001, 0.5), 0);
  EXPECT_EQ(PairedPower({{0, 1}, {0, 1}, {0, 1}, {0, 1}}, 0.003, 0.007), 0);
}

TEST(Noise, SaysHowManySeedsWouldDo) {
  const std::string axes =
      "train: {lr: 0.01, batch_tokens: 64}\n"
      "axes: {D: {path: train.tokens, values: [64000, 128000, 256000, 640000]}, seed: {values: "
      "[0]}}\n"
      "arms: {a: {init.gamma: 0.5}, b: {init.gamma: 1.0}}\n";
  const auto warnings = WarningsOf(SmallSpec(axes));
  ASSERT_THAT(warnings, Contains(Warns("NOISE", "a and b share 4 pairs (D, seed)")));
  for (const PlanWarning& warning : warnings) {
    if (warning.code == "NOISE") {
      EXPECT_THAT(warning.fix, HasSubstr("times as many seeds ("));
    }
  }
  PlanContext quiet;
  quiet.seed_noise = 0.0003;
  EXPECT_THAT(WarningsOf(SmallSpec(axes), quiet), Not(Contains(HasCode("NOISE"))));
}

TEST(Noise, ArmsOfTwoSizesHaveNoPairs) {
  const auto warnings = WarningsOf(SmallSpec(
      "train: {lr: 0.01, batch_tokens: 64}\n"
      "axes: {D: {path: train.tokens, values: [64000, 128000, 256000, 640000]}, seed: {values: "
      "[0, 1]}}\n"
      "arms: {a: {init.gamma: 0.5}, deep: {model.layers: 3}}\n"));
  EXPECT_THAT(warnings,
              Contains(Warns("PAIRS", "a and deep have no trials at one N, D and seed (N")));
  EXPECT_THAT(warnings, Not(Contains(HasCode("NOISE"))));
}

TEST(Imbalance, NamesTheArmThatLacksPoints) {
  const auto warnings = WarningsOf(SmallSpec(
      "train: {lr: 0.01, batch_tokens: 64}\n"
      "axes: {D: {path: train.tokens, values: [64000, 128000, 256000, 640000]}, seed: {values: [0, "
      "1, 2]}}\n"
      "arms: {a: {init.gamma: 0.5}, b: {init.gamma: 1.0}}\n"
      "exclude: [{arm: b, D: 640000, seed: [1, 2]}]\n"));
  EXPECT_THAT(warnings, Contains(Warns("IMBALANCE", "b lacks 2 of 12, such as D=640000 seed=1")));
}

TEST(CheckPlan, WarmupDataVocabularyIdleAndConstraints) {
  PlanContext context;
  context.train_data_tokens = 10'000;
  context.val_data_tokens = 50;
  const auto warnings = WarningsOf(
      "apiVersion: loglog/v1\nname: x\n"
      "model: {preset: llama-25m, vocab: 70000, seq_len: 64}\n"
      "data: {train: {format: u16, glob: a}, val: {format: u16, glob: b}}\n"
      "train: {lr: 0.01, batch_tokens: 1280, tokens: 12800}\n"
      "init: {sigma: 0.02}\n"
      "axes:\n"
      "  c: {path: train.cooldown, values: [10%, 20%]}\n"
      "  g: {path: init.gamma, values: [0.5, 1.0], when: {c: [10%, 20%]}}\n"
      "exclude: [{g: 0.75}]\n",
      context);
  EXPECT_THAT(warnings, Contains(Warns("WARMUP", "train.warmup 5% of 10 steps is under one step")));
  EXPECT_THAT(warnings, Contains(Warns("DATA", "65 tokens, and the validation data has 50")));
  EXPECT_THAT(warnings, Contains(Warns("DATA", "reads the 10k tokens of the data 1.3 times")));
  EXPECT_THAT(warnings, Contains(Warns("VOCAB", "end at 65535, and model.vocab is 70000")));
  EXPECT_THAT(warnings,
              Contains(Warns("IDLE", "axis g changes nothing in some cells: init.sigma")));
  EXPECT_THAT(warnings,
              Contains(Warns("IDLE", "axis c changes nothing in some cells: only the wsd")));
  EXPECT_THAT(warnings, Contains(Warns("CONSTRAINT", "exclude[0] {g: 0.75} drops nothing")));
  EXPECT_THAT(warnings,
              Contains(Warns("CONSTRAINT", "when of axis g {c: [0.1, 0.2]} holds everywhere")));
}

TEST(Report, AddsUpAndKnowsWhatIsThere) {
  const std::string text = SmallSpec(
      "train: {lr: 0.01, batch_tokens: 64}\n"
      "axes: {D: {path: train.tokens, values: [6400, 64000]}, seed: {values: [0, 1]}}\n"
      "checkpoint: {every: 50, keep: 3}\n"
      "budget: {gpu_hours: 0.001, wall_time: 1s, tokens_per_second: 10k}\n"
      "eval: {every: 50%, tokens: 640}\n");
  const SweepSpec spec = MustParse(text);
  const Expansion expansion = MustExpand(spec);
  ReportOptions options;
  options.slots = 2;
  options.known_trials = {expansion.trials[0].sha256, "of another sweep"};
  const PlanReport report = MakeReport(spec, expansion, options);
  EXPECT_EQ(report.all.trials, 4);
  EXPECT_EQ(report.all.cells, 2);
  EXPECT_EQ(report.all.tokens, 2 * (6'400 + 64'000));
  EXPECT_EQ(report.reused, 1);
  EXPECT_EQ(report.fresh.trials, 3);
  EXPECT_EQ(report.fresh.tokens, 2 * 6'400 + 64'000);
  const ModelShape model = spec.base.model();
  EXPECT_DOUBLE_EQ(report.all.flops, FlopsPerToken(model) * 140'800);
  EXPECT_DOUBLE_EQ(report.all.flops_6nd, SixN(model) * 140'800);
  // Two evaluations of 640 tokens each, forward alone, on top of a stated speed.
  const double eval_seconds = 2 * 640 / 3.0 / 10'000;
  EXPECT_DOUBLE_EQ(report.all.eval_flops, FlopsPerToken(model) * 4 * 2 * 640 / 3);
  EXPECT_NEAR(*report.slot_hours, (7.68 + 3 * eval_seconds) / 3600, 1e-12);
  EXPECT_NEAR(*report.wall_hours, (6.4 + eval_seconds) / 3600, 1e-12);  // the longest trial
  EXPECT_EQ(report.tokens_min, 6'400);
  EXPECT_EQ(report.tokens_max, 64'000);
  EXPECT_EQ(report.params_min, report.params_max);
  // 100 steps make 2 checkpoints, 1000 steps 20, of which 3 are kept.
  EXPECT_EQ(report.disk_bytes, 2 * (2 + 3) * CheckpointBytes(model));
  EXPECT_THAT(report.warnings, Contains(Warns("BUDGET", "budget.gpu_hours is 0.001")));
  EXPECT_THAT(report.warnings,
              Contains(Warns("BUDGET", "2 slots are needed, and budget.wall_time is 1s")));
  options.throughput = {
      .tokens_per_second = std::nullopt, .flops_per_second = 1e12, .measured = true};
  EXPECT_NEAR(*MakeReport(spec, expansion, options).slot_hours, report.fresh.flops / 1e12 / 3600,
              1e-12);
  options.throughput = {};
  // A sweep that lets one trial run at a time does not use the other slot.
  SweepSpec limited = spec;
  limited.schedule.max_concurrent = 1;
  EXPECT_NEAR(*MakeReport(limited, expansion, options).wall_hours, (7.68 + 3 * eval_seconds) / 3600,
              1e-12);
  // Of two slots a trial: one at a time, twice as fast; of three, none.
  SweepSpec wide = spec;
  wide.schedule.slots = 2;
  EXPECT_NEAR(*MakeReport(wide, expansion, options).wall_hours,
              (7.68 + 3 * eval_seconds) / 2 / 3600, 1e-12);
  wide.schedule.slots = 3;
  const PlanReport none = MakeReport(wide, expansion, options);
  EXPECT_FALSE(none.wall_hours);
  EXPECT_THAT(none.warnings, Contains(Warns("SLOTS", "takes schedule.slots 3 slots")));
  SweepSpec silent = spec;
  silent.budget = {};
  EXPECT_FALSE(MakeReport(silent, expansion, options).slot_hours.has_value());
}

TEST(Explain, EveryFieldAndSectionHasText) {
  for (const SpecField& field : SpecFields()) {
    const auto text = ExplainField(field.path);
    ASSERT_TRUE(text.ok());
    EXPECT_THAT(*text, AllOf(HasSubstr(field.doc), HasSubstr("default  ")));
    EXPECT_GT(field.doc.size(), 4u) << field.path;
  }
  for (const SpecSection& section : SpecSections()) EXPECT_TRUE(ExplainField(section.path).ok());
  EXPECT_THAT(*ExplainField("train.warmup"),
              AllOf(HasSubstr("share such as 5%"), HasSubstr("default  5%"),
                    HasSubstr("at least 0 and at most 1")));
  EXPECT_THAT(*ExplainField("model.preset"), HasSubstr("llama-20k, llama-200k"));
  EXPECT_THAT(*ExplainField(""), HasSubstr("axes"));
  EXPECT_EQ(ExplainField("train.warmpu").status().message(),
            "a spec has no field or section `train.warmpu`; did you mean `train.warmup`?");
  EXPECT_THAT(std::string(ExplainField("gamma").status().message()), HasSubstr("`init.gamma`"));
}

TEST(JsonSchema, NamesEveryFieldWithItsDefault) {
  const auto schema = nlohmann::json::parse(JsonSchema());
  for (const SpecField& field : SpecFields()) {
    std::string pointer;
    for (const auto& part : absl::StrSplit(field.path, '.')) {
      absl::StrAppend(&pointer, "/properties/", part);
    }
    ASSERT_TRUE(schema.contains(nlohmann::json::json_pointer(pointer))) << field.path;
    const auto& entry = schema[nlohmann::json::json_pointer(pointer)];
    EXPECT_EQ(entry["description"], field.doc);
    EXPECT_EQ(entry.contains("default"), !field.required() && !field.nullable()) << field.path;
  }
  EXPECT_EQ(schema["properties"]["train"]["properties"]["warmup"]["default"], 0.05);
  EXPECT_EQ(schema["properties"]["train"]["additionalProperties"], false);
  EXPECT_TRUE(schema["properties"].contains("axes"));
}

// What the examples of configs/ plan to, by hand.
struct Example {
  const char* name;
  size_t trials, cells, arms;
  int64_t tokens;
  std::vector<std::string> warnings;  // codes
};

TEST(Examples, PlanAsWritten) {
  const Example examples[] = {
      {"quickstart", 20, 10, 2, 0, {}},
      {"text-bytes", 20, 10, 2, 0, {}},
      {"wsd-trunks", 20, 10, 2, 4 * (819'200 + 15 * 51'200 / 5), {"TRUNK"}},
      {"critical-windows", 32, 4, 4, int64_t{7'680'000} * 32, {}},
      {"anchor-model-a", 72, 24, 24, int64_t{1'345'536'000} * 72, {}},
      {"anchor-small", 12, 4, 4, int64_t{4'608'000} * 12, {}},
      {"anchor-model-b", 9, 3, 3, int64_t{184'320'000} * 9, {}},
      {"focus-dilution", 9, 3, 3, int64_t{6'144'000} * 9, {}},
      {"addition", 12, 4, 4, int64_t{56'320'000} * 12, {}},
      {"scan-addprim", 12, 4, 4, int64_t{81'920'000} * 12, {}},
      {"cogs", 12, 4, 4, int64_t{655'360'000} * 12, {}},
      {"prontoqa", 12, 4, 4, int64_t{655'360'000} * 12, {}},
      // 28 x 200015872 tokens for each of 5 arms and 3 seeds; 7x is under a decade.
      {"paper-data-axis", 105, 35, 5, int64_t{28} * 200'015'872 * 15, {"RANGE"}},
      {"paper-size-axis", 75, 25, 5, int64_t{5} * 1'000'079'360 * 15, {}},
  };
  EXPECT_EQ(EmbeddedExamples().size(), std::size(examples));
  for (const Example& example : examples) {
    SCOPED_TRACE(example.name);
    const std::string path = absl::StrCat(LOGLOG_CONFIGS, "/", example.name, ".yaml");
    const auto text = ReadFile(path);
    ASSERT_TRUE(text.ok()) << text.status();
    const SweepSpec spec = MustParse(*text);
    EXPECT_EQ(spec.name, example.name);
    const Expansion expansion = MustExpand(spec);
    EXPECT_EQ(expansion.trials.size(), example.trials);
    EXPECT_EQ(expansion.cells.size(), example.cells);
    EXPECT_EQ(expansion.arms.size(), example.arms);
    const PlanReport report = MakeReport(spec, expansion);
    if (example.tokens > 0) {
      EXPECT_EQ(report.all.tokens, example.tokens);
    }
    std::vector<std::string> codes;
    for (const PlanWarning& warning : report.warnings) codes.push_back(warning.code);
    EXPECT_EQ(codes, example.warnings);
    // What was compiled in is what lies there.
    bool embedded = false;
    for (const EmbeddedConfig& config : EmbeddedExamples()) {
      embedded = embedded || (config.name == example.name && config.text == *text);
    }
    EXPECT_TRUE(embedded);
  }
}

TEST(Examples, TheQuickstartSpansSixteenfoldInAMinute) {
  for (const EmbeddedConfig& config : EmbeddedExamples()) {
    if (config.name != "quickstart") continue;
    const SweepSpec spec = MustParse(config.text);
    const PlanReport report = MakeReport(spec, MustExpand(spec));
    EXPECT_GE(report.tokens_max, 16 * report.tokens_min);
    EXPECT_LE(report.all.tokens, 3'500'000);
  }
}

TEST(Forecast, ErrorsAndWhatTheyCanFind) {
  const std::string text = R"(apiVersion: loglog/v1
name: f
model: {layers: 2, d_model: 64, heads: 4, kv_heads: 4, d_ff: 176, vocab: 256, seq_len: 64}
data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 192, zipf: 1.5, branching: 4}}
train: {lr: 3.0e-3, batch_tokens: 512}
axes:
  D: {path: train.tokens, values: [65536, 131072, 262144, 458752]}
  seed: {path: seed, values: [0, 1, 2]}
arms:
  small: {init.gamma: 1.0}
  large: {init.gamma: 0.5}
fit: [{form: "E + B*D^-beta"}, {form: B*D^-b}, {compare: [small, large]}]
)";
  const SweepSpec spec = MustParse(text);
  const std::vector<DesignForecast> forecasts = ForecastDesign(spec, MustExpand(spec));
  ASSERT_EQ(forecasts.size(), 2u);
  double mean = 0, squares = 0;
  for (const double d : {65536., 131072., 262144., 458752.}) mean += std::log(d) / 4;
  for (const double d : {65536., 131072., 262144., 458752.}) {
    squares += 3 * (std::log(d) - mean) * (std::log(d) - mean);
  }
  EXPECT_NEAR(forecasts[0].slope_se, 0.003 / std::sqrt(squares), 1e-12);
  EXPECT_NEAR(forecasts[0].span, 7, 1e-12);
  EXPECT_EQ(forecasts[0].trials, 12);
  EXPECT_GT(forecasts[0].beta_se, 0.015);
  EXPECT_EQ(forecasts[1].arm_b, "large");
  EXPECT_NEAR(forecasts[1].slope_se, 0.003 * std::sqrt(2 / squares), 1e-12);
  std::vector<PlannedPair> pairs;
  for (const double d : {65536., 131072., 262144., 458752.}) {
    pairs.insert(pairs.end(), 3, {0, std::log(d)});
  }
  EXPECT_NEAR(PairedPower(pairs, 0.003, forecasts[1].detectable), 0.9, 1e-6);
  // Three values of D fix no exponent.
  EXPECT_TRUE(std::isinf(
      ForecastDesign(MustParse(absl::StrReplaceAll(text, {{", 458752", ""}})),
                     MustExpand(MustParse(absl::StrReplaceAll(text, {{", 458752", ""}}))))[0]
          .beta_se));
}

TEST(Forecast, ABetterGridCostsNoMore) {
  std::vector<double> narrow;
  for (const double d : {1e8, 2e8, 4e8, 6e8, 7e8}) narrow.insert(narrow.end(), 3, d);
  const BetterGrid grid = FindBetterGrid(narrow, 0.003);
  ASSERT_FALSE(grid.tokens.empty());
  double now = 0, then = 0;
  for (const double d : narrow) now += d;
  for (size_t i = 0; i < grid.tokens.size(); ++i) then += grid.tokens[i] * grid.seeds[i];
  EXPECT_LE(then, now);
  EXPECT_LT(grid.beta_se, 0.8 * BetaStandardError(narrow, 0.003));
  EXPECT_LE(grid.slope_se, SlopeStandardError(narrow, 0.003));
  // What is found is not bettered again.
  std::vector<double> found;
  for (size_t i = 0; i < grid.tokens.size(); ++i) {
    found.insert(found.end(), grid.seeds[i], grid.tokens[i]);
  }
  EXPECT_THAT(FindBetterGrid(found, 0.003).tokens, IsEmpty());
  EXPECT_THAT(FindBetterGrid({}, 0.003).tokens, IsEmpty());
}

}  // namespace
}  // namespace loglog
