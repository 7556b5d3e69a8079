#include "plan/expand.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/spec_testing.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr char kTrain[] = "train: {lr: 0.01, batch_tokens: 128}\n";

std::string Small(const std::string& more) { return SmallSpec(kTrain + more); }

std::map<std::string, int64_t> DroppedBy(const Expansion& expansion) {
  std::map<std::string, int64_t> counts;
  for (const DroppedTrials& drop : expansion.dropped) counts[drop.constraint] = drop.count;
  return counts;
}

std::set<std::string> TrialIds(const Expansion& expansion) {
  std::set<std::string> ids;
  for (const PlannedTrial& trial : expansion.trials) ids.insert(trial.sha256);
  return ids;
}

// "<seed> <arm> <tokens>" of each trial.
std::vector<std::string> Order(const Expansion& expansion) {
  std::vector<std::string> order;
  for (const PlannedTrial& trial : expansion.trials) {
    const Cell& cell = expansion.cells[trial.cell];
    order.push_back(absl::StrCat(trial.seed, " ", cell.arm, " ", cell.cost.tokens));
  }
  return order;
}

TEST(Expand, TheExampleHasNineTimesFourTimesTwoTimesThreeTrials) {
  const Expansion expansion = MustExpand(MustParse(SpecText()));
  EXPECT_EQ(expansion.trials.size(), 216u);
  EXPECT_EQ(expansion.cells.size(), 72u);
  EXPECT_EQ(expansion.arms.size(), 36u);
  EXPECT_EQ(expansion.grid_trials, 216);
  EXPECT_EQ(expansion.arms[0], "gamma=0.4,lambda=0");
  EXPECT_EQ(expansion.arms[35], "gamma=0.8,lambda=1");
  EXPECT_EQ(expansion.cells[0].cost.steps, 1000);
}

TEST(Expand, IdentityIsTheHashOfTheCanonicalConfiguration) {
  const Expansion expansion = MustExpand(
      MustParse(Small("axes: {D: {path: train.tokens, values: [1280]}, seed: {values: [7]}}\n")));
  ASSERT_EQ(expansion.cells.size(), 1u);
  const Cell& cell = expansion.cells[0];
  EXPECT_EQ(cell.sha256, Sha256Hex(cell.config_json));
  EXPECT_EQ(expansion.trials[0].sha256, Sha256Hex(cell.sha256 + ":7"));
  EXPECT_EQ(cell.arm, "all");
  EXPECT_THAT(cell.axes, ElementsAre(Pair("D", "1280")));
  // The whole contract with the trainer, byte for byte. A change here re-runs everybody's
  // trials: it needs a new apiVersion.
  EXPECT_EQ(cell.config_json,
            "{\"data\":{\"synthetic\":{\"branching\":8,\"contexts\":64,\"seed\":0,\"zipf\":1.5},"
            "\"train\":{\"format\":\"synthetic\",\"glob\":null},"
            "\"val\":{\"format\":\"synthetic\",\"glob\":null}},"
            "\"eval\":{\"every\":0.25,\"tokens\":65536},"
            "\"init\":{\"d_in\":\"fan_in\",\"depth_factor\":\"none\",\"gamma\":0.5,"
            "\"gamma_embed\":null,\"gamma_lm_head\":null,\"gamma_mlp_in\":null,"
            "\"gamma_mlp_out\":null,\"gamma_qk\":null,\"gamma_vo\":null,\"sigma\":null},"
            "\"metrics\":{\"every\":10,\"probe_every\":100},"
            "\"model\":{\"d_ff\":176,\"d_model\":64,\"heads\":4,\"kv_heads\":4,\"layers\":2,"
            "\"norm_eps\":1.0e-06,\"rope_theta\":10000.0,\"seq_len\":64,\"tied_head\":false,"
            "\"vocab\":256},"
            "\"train\":{\"adam_eps\":1.0e-08,\"batch_tokens\":128,\"beta1\":0.9,\"beta2\":0.95,"
            "\"clip\":1.0,\"cooldown\":0.2,\"decay\":\"coupled\",\"decay_embed\":true,\"lr\":0.01,"
            "\"min_lr_ratio\":0.1,\"optimizer\":\"adamw\",\"precision\":\"fp32\","
            "\"schedule\":\"cosine\",\"tokens\":1280,\"warmup\":0.05,\"weight_decay\":0.1}}");
}

TEST(Expand, FieldsAddedLaterAreLeftOutAtTheirDefaults) {
  const auto cell = [](const std::string& more) {
    return MustExpand(MustParse(Small("axes: {D: {path: train.tokens, values: [1280]}}\n" + more)))
        .cells[0];
  };
  const std::string plain = cell("").config_json;
  EXPECT_EQ(plain.find("sandwich_norm"), std::string::npos);
  const Cell set = cell("arms: {one: {model.sandwich_norm: true, train.decay_end: 50%}}\n");
  EXPECT_THAT(set.config_json, HasSubstr("\"sandwich_norm\":true"));
  EXPECT_THAT(set.config_json, HasSubstr("\"decay_end\":0.5"));
  const Cell spelled = cell("arms: {one: {model.sandwich_norm: false, train.decay_end: 100%}}\n");
  EXPECT_EQ(spelled.config_json, plain);
  const auto read = ParseCellConfig(plain);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Text("model.norm"), "rms");
  EXPECT_EQ(read->CanonicalJson(), plain);
  EXPECT_EQ(ParseCellConfig(set.config_json)->CanonicalJson(), set.config_json);
}

// A trial from a file's weights says nothing of how it would have drawn them, which the trainer
// refuses to be told beside the file.
TEST(Expand, WeightsFromAFileStandInPlaceOfWhatDrawsThem) {
  const std::string sha256(64, 'a');
  const SweepSpec spec = MustParse(
      SmallSpec("train: {lr: 1.0e-2, batch_tokens: 128, tokens: 1280}\n"
                "arms:\n"
                "  drawn: {init.gamma: 0.7}\n"
                "  read: {init.weights.path: llama/model.safetensors, init.weights.sha256: " +
                sha256 + "}\n"));
  const Expansion expansion = MustExpand(spec);
  ASSERT_EQ(expansion.cells.size(), 2u);
  EXPECT_THAT(expansion.cells[0].config_json, HasSubstr("\"gamma\":0.7"));
  const std::string& json = expansion.cells[1].config_json;
  EXPECT_THAT(json, HasSubstr("\"init\":{\"weights\":{\"path\":\"llama/model.safetensors\","
                              "\"sha256\":\"" +
                              sha256 + "\"}},\"metrics\""));
  const auto read = ParseCellConfig(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->CanonicalJson(), json);
  EXPECT_EQ(CanonicalJson(MustParse(CanonicalJson(spec))), CanonicalJson(spec));
  // The warning about norm_eps and gamma does not concern them.
  const SweepSpec tiny =
      MustParse(SmallSpec("train: {lr: 1.0e-2, batch_tokens: 128, tokens: 1280}\n"
                          "init: {weights: {path: m.safetensors, sha256: " +
                          sha256 + "}}\n"),
                {"+model.norm_eps=0.5"});
  for (const PlanWarning& warning : CheckPlan(tiny, MustExpand(tiny))) {
    EXPECT_NE(warning.code, "EPS") << warning.message;
  }
}

TEST(Expand, SameCellsHoweverTheSpecIsCut) {
  // The same point of the grid, once by an axis, once written into the base, under
  // another name, order, budget and fit: the same trial.
  const auto ids = [](const std::string& text) { return TrialIds(MustExpand(MustParse(text))); };
  const auto one = ids(Small("axes: {D: {path: train.tokens, values: [1280]}}\n"));
  EXPECT_EQ(one, ids(SmallSpec("train: {lr: 1.0e-2, batch_tokens: 128, tokens: 1.28k}\n"
                               "budget: {gpu_hours: 2}\ncheckpoint: {every: 7}\norder: [cost]\n"
                               "schedule: {priority: 5, slots: 2, selector: {gpu: h100}}\n")));
  EXPECT_EQ(one, ids(Small("axes: {T: {path: train.tokens, values: [1280]}}\n"
                           "arms: {only: {init.gamma: 0.5}}\n")));
}

TEST(T10_restore_changes_the_plan, AnEditedSpecAddsOnlyWhatIsMissing) {
  const std::string axes =
      "axes: {D: {path: train.tokens, values: [1280, 12800]}, seed: {values: [";
  const auto before = TrialIds(MustExpand(MustParse(Small(axes + "0, 1]}}\n"))));
  const auto after = TrialIds(MustExpand(MustParse(Small(axes + "0, 1, 2]}}\n"))));
  EXPECT_EQ(before.size(), 4u);
  EXPECT_EQ(after.size(), 6u);
  EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()));
  // And a plan made again from what a store keeps is the same plan.
  const SweepSpec stored = MustParse(CanonicalJson(MustParse(Small(axes + "0, 1]}}\n"))));
  EXPECT_EQ(TrialIds(MustExpand(stored)), before);
}

TEST(Expand, OneSeedFirstAndLongTrialsEarly) {
  const std::string axes =
      "axes: {D: {path: train.tokens, values: [1280, 12800]}, seed: {values: [5, 1]}}\n"
      "arms: {small: {init.gamma: 1.0}, large: {init.gamma: 0.5}}\n";
  EXPECT_THAT(Order(MustExpand(MustParse(Small(axes)))),
              ElementsAre("5 large 12800", "5 small 12800", "5 large 1280", "5 small 1280",
                          "1 large 12800", "1 small 12800", "1 large 1280", "1 small 1280"));
  EXPECT_THAT(Order(MustExpand(MustParse(Small(axes + "order: [-arm, D, seed]\n")))),
              ElementsAre("5 small 1280", "1 small 1280", "5 small 12800", "1 small 12800",
                          "5 large 1280", "1 large 1280", "5 large 12800", "1 large 12800"));
}

TEST(Expand, CellsComeInTheOrderOfTheirFirstTrial) {
  const Expansion expansion = MustExpand(MustParse(SpecText({{17, "order: [D, -seed]"}})));
  int next = 0;
  for (const PlannedTrial& trial : expansion.trials) {
    ASSERT_LE(trial.cell, next);
    next = std::max(next, trial.cell + 1);
  }
  EXPECT_EQ(next, static_cast<int>(expansion.cells.size()));
}

TEST(Exclude, DropsTrialsAndCountsThem) {
  const Expansion expansion = MustExpand(MustParse(
      SpecText({{18,
                 "exclude: [{D: 1310720000, lambda: 1.0}, {seed: [1, 2], gamma: [0.4, 0.45]}, "
                 "{train.lr: 0.5}]"}})));
  const auto dropped = DroppedBy(expansion);
  EXPECT_EQ(dropped.at("exclude[0] {D: 1310720000, lambda: 1}"), 27);  // 9 gamma x 3 seeds
  // 2 gamma x 4 lambda x 2 D x 2 seeds, less the 2 x 1 x 1 x 2 that went before.
  EXPECT_EQ(dropped.at("exclude[1] {gamma: [0.4, 0.45], seed: [1, 2]}"), 28);
  EXPECT_EQ(dropped.at("exclude[2] {train.lr: 0.5}"), 0);
  EXPECT_EQ(expansion.trials.size(), 216u - 27 - 28);
}

TEST(When, AnAxisVariesOnlyWhereItHolds) {
  const Expansion expansion = MustExpand(MustParse(
      Small("axes:\n"
            "  D: {path: train.tokens, values: [1280, 12800]}\n"
            "  eps: {path: model.norm_eps, values: [1.0e-12, 1.0e-9, 1.0e-6], when: {arm: small}}\n"
            "  seed: {values: [0, 1, 2], when: {D: 1280}}\n"
            "arms: {small: {init.gamma: 1.0}, large: {init.gamma: 0.5}}\n")));
  // small: 3 eps x (3 seeds at 1280 + 1 at 12800); large: 1 x (3 + 1).
  EXPECT_EQ(expansion.trials.size(), 16u);
  const auto dropped = DroppedBy(expansion);
  EXPECT_EQ(dropped.at("when of axis eps {arm: small}"), 2 * 2 * 3);
  EXPECT_EQ(dropped.at("when of axis seed {D: 1280}"), (3 + 1) * 2);
  EXPECT_EQ(expansion.grid_trials, 36);
  for (const Cell& cell : expansion.cells) {
    EXPECT_EQ(cell.axes.size(), cell.arm == "small" ? 2u : 1u);
    if (cell.arm == "large") {
      EXPECT_THAT(cell.config_json, HasSubstr("\"norm_eps\":1.0e-06"));
    }
  }
}

TEST(When, AnArmAxisThatStandsStillIsNotInTheLabel) {
  const Expansion expansion = MustExpand(
      MustParse(Small("axes:\n"
                      "  D: {path: train.tokens, values: [1280]}\n"
                      "  sigma: {path: init.sigma, values: [null, 0.02]}\n"
                      "  gamma: {path: init.gamma, values: [0.5, 1.0], when: {init.sigma: null}}\n"
                      "arms: [gamma, sigma]\n")));
  EXPECT_THAT(expansion.arms, testing::UnorderedElementsAre("sigma=0.02", "gamma=0.5,sigma=null",
                                                            "gamma=1,sigma=null"));
}

TEST(Expand, MergesCellsThatCoincide) {
  // gamma_embed null means "as gamma" to the trainer but is another configuration; the
  // same value twice through two roads is one cell.
  const Expansion expansion = MustExpand(MustParse(
      Small("axes:\n"
            "  D: {path: train.tokens, values: [1280]}\n"
            "  g: {path: init.gamma, values: [0.5, 1.0]}\n"
            "  seed: {values: [0, 1]}\n"
            "  w: {path: train.weight_decay, values: [0.1, 0.2], when: {init.gamma: 1.0}}\n")));
  EXPECT_EQ(expansion.cells.size(), 3u);
  EXPECT_EQ(expansion.trials.size(), 6u);
  const Expansion presets = MustExpand(MustParse(
      "apiVersion: loglog/v1\nname: p\n"
      "model: {layers: 3, d_model: 64, heads: 4, kv_heads: 4, d_ff: 208, vocab: 256, seq_len: "
      "256}\n"
      "data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 64}}\n"
      "train: {lr: 0.01, batch_tokens: 256, tokens: 2560}\n"
      "axes: {N: {path: model.preset, values: [null, llama-200k, llama-20k]}, seed: {values: [0, "
      "1]}}\n"));
  // Written fields win, so that every preset is the same model here.
  EXPECT_EQ(presets.cells.size(), 1u);
  EXPECT_EQ(presets.trials.size(), 2u);
  EXPECT_EQ(DroppedBy(presets)["duplicate"], 4);
}

TEST(Preset, AnAxisOverSizesKeepsWrittenFields) {
  const Expansion expansion = MustExpand(MustParse(
      "apiVersion: loglog/v1\nname: sizes\nmodel: {vocab: 512, norm_eps: 1.0e-9}\n"
      "data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 64}}\n"
      "train: {lr: 0.01, batch_tokens: 512, tokens: 5120}\n"
      "axes: {N: {path: model.preset, values: [llama-20k, llama-2m]}}\n"));
  ASSERT_EQ(expansion.cells.size(), 2u);
  EXPECT_THAT(expansion.cells[0].axes, ElementsAre(Pair("N", "llama-2m")));  // the dearer first
  EXPECT_THAT(expansion.cells[0].config_json, HasSubstr("\"vocab\":512"));
  EXPECT_THAT(expansion.cells[0].config_json, HasSubstr("\"d_model\":160"));
  EXPECT_THAT(expansion.cells[0].config_json, HasSubstr("\"seq_len\":512"));
  EXPECT_THAT(expansion.cells[1].config_json, HasSubstr("\"seq_len\":128"));
  EXPECT_EQ(expansion.arms, std::vector<std::string>{"all"});
}

TEST(PlanTasks, OneWholeTaskForEachTrial) {
  const SweepSpec spec = MustParse(SpecText());
  const Expansion expansion = MustExpand(spec);
  const std::vector<TaskPlan> tasks = PlanTasks(spec, expansion);
  ASSERT_EQ(tasks.size(), expansion.trials.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_THAT(tasks[i].members, ElementsAre(static_cast<int>(i)));
    EXPECT_EQ(tasks[i].token_end, expansion.cells[expansion.trials[i].cell].cost.tokens);
    EXPECT_EQ(tasks[i].parent, -1);
  }
}

// Its trials would all be counted under the other name, and a comparison find nothing.
TEST(Expand, RefusesAnArmWhoseCellsAreAnothers) {
  const auto refusal = [](const std::string& arms) {
    const auto expansion = Expand(MustParse(Small(
        absl::StrCat("axes: {D: {path: train.tokens, values: [1280, 2560]}}\narms:\n", arms))));
    return std::string(expansion.status().message());
  };
  // 0.5 is what gamma is without being set.
  EXPECT_THAT(refusal("  plain: {train.weight_decay: 0.2}\n"
                      "  same: {train.weight_decay: 0.2, init.gamma: 0.5}\n"),
              AllOf(HasSubstr("every cell of arm `same` is also a cell of arm `plain`"),
                    HasSubstr("let the arms differ")));
  EXPECT_EQ(refusal("  plain: {train.weight_decay: 0.2}\n"
                    "  other: {train.weight_decay: 0.2, init.gamma: 0.6}\n"),
            "");
}

TEST(When, KnowsAnAxisByItsFieldToo) {
  const auto refusal = [](const std::string& when) {
    const auto spec = ParseSpec(
        Small(absl::StrCat("axes:\n"
                           "  D: {path: train.tokens, values: [1280, 2560]}\n"
                           "  w: {path: train.weight_decay, values: [0.1, 0.2], when: {D: 1280}}\n"
                           "  g: {path: init.gamma, values: [0.5, 1.0], when: ",
                           when, "}\n")),
        "when.yaml");
    return std::string(spec.status().message());
  };
  for (const char* key : {"g", "init.gamma"}) {
    EXPECT_THAT(refusal(absl::StrCat("{", key, ": 0.5}")),
                HasSubstr("an axis cannot depend on itself"));
  }
  for (const char* key : {"w", "train.weight_decay"}) {
    EXPECT_THAT(refusal(absl::StrCat("{", key, ": 0.1}")),
                HasSubstr("axis `w` has a `when` itself"));
  }
  EXPECT_EQ(refusal("{train.tokens: 1280}"), "");
}

TEST(Axes, ALograngeThatNoWholeNumberHoldsIsNamed) {
  const auto spec = ParseSpec(Small("axes: {s: {path: init.gamma, logrange: [0.1, 1, 3]}, "
                                    "D: {path: train.tokens, logrange: [128, 1.0e+30, 9]}}\n"),
                              "large.yaml");
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("more than a whole number holds"));
}

TEST(Expand, RefusesAGridThatIsTooLarge) {
  const auto spec = ParseSpec(Small("axes:\n"
                                    "  D: {path: train.tokens, values: [1280]}\n"
                                    "  g: {path: init.gamma, range: [0, 1, 0.001]}\n"
                                    "  seed: {range: [0, 1000, 1]}\n"),
                              "large.yaml");
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(spec.status().message()),
              HasSubstr("sweep `small` has 1002001 trials; at most 200000"));
}

TEST(Expand, IsFastAtAHundredThousandTrials) {
  const std::clock_t start = std::clock();  // of the processor: other work counts not
  const SweepSpec spec =
      MustParse(Small("axes:\n"
                      "  D: {path: train.tokens, range: [128, 25600, 128]}\n"
                      "  g: {path: init.gamma, range: [0.02, 1.0, 0.02]}\n"
                      "  seed: {range: [0, 9, 1]}\n"));
  const Expansion expansion = MustExpand(spec);
  EXPECT_EQ(expansion.trials.size(), 100'000u);
  EXPECT_EQ(TrialIds(expansion).size(), 100'000u);
  // Generous: a debug build under sanitizers; release takes a tenth.
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 60);
}

}  // namespace
}  // namespace loglog
