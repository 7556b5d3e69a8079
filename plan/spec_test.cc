#include "plan/spec.h"

#include <ctime>
#include <random>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/fields.h"
#include "plan/spec_testing.h"
#include "plan/stop_rule.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

TEST(ParseSpec, ReadsTheExample) {
  const SweepSpec spec = MustParse(SpecText());
  EXPECT_EQ(spec.name, "phase-50m");
  EXPECT_EQ(spec.base.Int("model.layers"), 14);
  EXPECT_EQ(spec.base.Int("model.seq_len"), 1024);
  EXPECT_EQ(spec.base.Number("train.warmup"), 0.05);
  EXPECT_EQ(spec.base.Number("train.beta2"), 0.95);
  EXPECT_TRUE(spec.base.IsNull("train.tokens"));
  EXPECT_THAT(spec.arm_axes, ElementsAre("gamma", "lambda"));
  ASSERT_EQ(spec.axes.size(), 4u);
  EXPECT_EQ(spec.axes[0].name, "D");
  EXPECT_EQ(spec.FindAxis("gamma")->values.size(), 9u);
  EXPECT_EQ(std::get<double>(spec.FindAxis("gamma")->values[3]), 0.55);
  EXPECT_EQ(spec.order[1].key, "D");
  EXPECT_EQ(spec.budget.gpu_hours, 60);
  EXPECT_EQ(spec.fit[0].kind, "saturating");
  EXPECT_EQ(spec.retries.losses, 20);
}

TEST(ParseSpec, ReadsUnitsSharesAndDurations) {
  const SweepSpec spec = MustParse(SpecText({{14,
                                              "  D: {path: train.tokens, values: [131.072M, "
                                              "1.31072B, 13107200000]}"},
                                             {9, "  warmup: 0.05"},
                                             {18,
                                              "budget: {wall_time: 1.5h, flops_per_second: "
                                              "4e14, tokens_per_second: 30k}"}}));
  EXPECT_EQ(spec.FindAxis("D")->values[1], SpecValue(int64_t{1'310'720'000}));
  EXPECT_EQ(spec.budget.wall_time_ms, 5'400'000);
  EXPECT_EQ(spec.budget.flops_per_second, 4e14);
  EXPECT_EQ(spec.budget.tokens_per_second, 30'000);
}

TEST(ParseSpec, ReadsTheSchedule) {
  const SweepSpec spec = MustParse(
      SpecText({{18,
                 "schedule: {priority: -7, max_concurrent: 4, slots: 2, share: 2.5, selector: "
                 "{gpu: h100, rack: 8}}"}}));
  EXPECT_EQ(spec.schedule.priority, -7);
  EXPECT_EQ(spec.schedule.max_concurrent, 4);
  EXPECT_EQ(spec.schedule.slots, 2);
  EXPECT_EQ(spec.schedule.share, 2.5);
  EXPECT_THAT(spec.schedule.selector, ElementsAre(Pair("gpu", "h100"), Pair("rack", "8")));
  const std::string json = CanonicalJson(spec);
  EXPECT_THAT(json, HasSubstr("\"schedule\":{\"max_concurrent\":4,\"priority\":-7,\"selector\":{"
                              "\"gpu\":\"h100\",\"rack\":\"8\"},\"share\":2.5,\"slots\":2}"));
  EXPECT_EQ(CanonicalJson(MustParse(json)), json);
}

// Specs that were submitted before there were schedules are the same specs still.
TEST(ParseSpec, AScheduleOfDefaultsIsNoSchedule) {
  const std::string json = CanonicalJson(MustParse(SpecText({{18, ""}})));
  EXPECT_THAT(json, Not(HasSubstr("\"schedule\":{")));
  for (const char* same : {"schedule: {}", "schedule: null", "schedule: {priority: 0, slots: 1}",
                           "schedule: {share: 1, max_concurrent: null, selector: {}}"}) {
    EXPECT_EQ(CanonicalJson(MustParse(SpecText({{18, same}}))), json) << same;
  }
  const auto overridden = MustParse(SpecText({{18, "schedule: {selector: {gpu: a100}}"}}),
                                    {"schedule.selector.gpu=h100", "+schedule.priority=3"});
  EXPECT_EQ(overridden.schedule.selector.at("gpu"), "h100");
  EXPECT_EQ(overridden.schedule.priority, 3);
}

TEST(ParseSpec, DecayWindowsHaveOneSpelling) {
  const auto spec = [](const std::string& windows) {
    return MustParse(SpecText({{9, "  decay_windows: " + windows}}));
  };
  const SweepSpec loose = spec("\" 0%  20.0%;25.0% 50% 1.0 0 linear\"");
  EXPECT_EQ(loose.base.Text("train.decay_windows"), "0% 20%; 25% 50% 1 0 linear");
  EXPECT_EQ(CanonicalJson(loose), CanonicalJson(spec("0% 20%; 25% 50% 1 0 linear")));
  EXPECT_EQ(CanonicalJson(MustParse(CanonicalJson(loose))), CanonicalJson(loose));
  EXPECT_EQ(CanonicalJson(spec("null")), CanonicalJson(MustParse(SpecText({{9, ""}}))));
}

TEST(ParseSpec, AcceptsJsonAndByteOrderMark) {
  const std::string json = CanonicalJson(MustParse(SpecText()));
  EXPECT_EQ(CanonicalJson(MustParse(json)), json);
  EXPECT_EQ(CanonicalJson(MustParse("\xef\xbb\xbf" + SpecText())), json);
  std::string windows;
  for (const char c : SpecText()) windows += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(CanonicalJson(MustParse(windows)), json);
}

TEST(Logrange, RoundsInsideAndKeepsTheEnds) {
  const SweepSpec spec =
      MustParse(SmallSpec("train: {lr: 0.01, batch_tokens: 128}\n"
                          "axes:\n"
                          "  D: {path: train.tokens, logrange: [12800, 204800, 4]}\n"
                          "  lr: {path: train.lr, logrange: [0.001, 0.1, 4]}\n"));
  const auto& tokens = spec.FindAxis("D")->values;
  EXPECT_EQ(tokens[0], SpecValue(int64_t{12'800}));
  EXPECT_EQ(tokens[1], SpecValue(int64_t{32'256}));  // 32253.98 to the nearest batch
  EXPECT_EQ(tokens[2], SpecValue(int64_t{81'280}));
  EXPECT_EQ(tokens[3], SpecValue(int64_t{204'800}));
  const auto& rates = spec.FindAxis("lr")->values;
  EXPECT_EQ(rates[1], SpecValue(0.00464159));
  EXPECT_EQ(rates[3], SpecValue(0.1));
}

TEST(CanonicalJson, HasTheHashOfItsBytes) {
  const SweepSpec spec = MustParse(SpecText());
  EXPECT_EQ(SpecSha256(spec), Sha256Hex(CanonicalJson(spec)));
  const auto parsed = nlohmann::json::parse(CanonicalJson(spec));
  EXPECT_EQ(parsed["axes"]["gamma"]["values"].size(), 9u);
  EXPECT_EQ(parsed["train"]["warmup"], 0.05);
}

TEST(CanonicalJson, OneSpellingForOneMeaning) {
  const std::string hash = SpecSha256(MustParse(SpecText()));
  const std::map<int, std::string> same[] = {
      {{1, "apiVersion: loglog/v1   # a comment"}},
      {{9, "  warmup: 0.05"}},
      {{9, "  warmup: 0.050"}},
      {{7, "  lr: 0.001"}},
      {{7, "  \"lr\": 1.00e-3"}},
      {{10, "  batch_tokens: 131.072k"}},
      {{8, "  beta1: 0.9"}},         // a default, and cosine left out
      {{6, "  weight_decay: 0.3"}},  // set by an axis everywhere
      {{12,
        "  gamma: {values: [0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.80], path: "
        "init.gamma}"}},
      {{13, "  lambda: {path: train.weight_decay, values: [0.0, 1.0e-2, 0.1, 1], when: null}"}},
      {{14, "  D: {path: train.tokens, values: [131.072M, 1.31072B]}"}},
      {{15, "  seed: {values: [0, 1, 2]}"}},
      {{15, "  seed: {range: [0, 2, 1]}"}},
      {{19, "fit: [{form: \"L = E+B*D^-beta\"}]"}},
      {{18, "budget: {gpu_hours: 60.0, wall_time: null}"}},
      {{3,
        "model: {layers: 14, d_model: 384, heads: 6, kv_heads: 6, d_ff: 1024, vocab: 32000, "
        "seq_len: 1024}"}},
  };
  for (const auto& lines : same) {
    EXPECT_EQ(SpecSha256(MustParse(SpecText(lines))), hash) << lines.begin()->second;
  }
  const std::map<int, std::string> different[] = {
      {{2, "name: phase-51m"}},
      {{7, "  lr: 1.1e-3"}},
      {{15, "  seed: {path: seed, values: [0, 2, 1]}"}},
      {{16, "arms: [lambda, gamma]"}},
      {{18, "exclude: [{D: 131072000, lambda: 1.0}]"}},
  };
  for (const auto& lines : different) {
    EXPECT_NE(SpecSha256(MustParse(SpecText(lines))), hash) << lines.begin()->second;
  }
}

TEST(CanonicalJson, KeyOrderDoesNotMatter) {
  std::vector<std::string> lines = GoodSpecLines();
  const std::string hash = SpecSha256(MustParse(SpecText()));
  // Top-level entries, each with its own lines.
  std::vector<std::string> blocks;
  for (const std::string& line : lines) {
    if (line[0] == ' ') {
      blocks.back() += line + "\n";
    } else {
      blocks.push_back(line + "\n");
    }
  }
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(blocks.begin(), blocks.end(), random);
    EXPECT_EQ(SpecSha256(MustParse(absl::StrJoin(blocks, ""))), hash);
  }
}

TEST(Overrides, ActAsHydras) {
  const auto parse = [](std::vector<std::string> overrides) {
    return MustParse(SpecText(), overrides);
  };
  EXPECT_EQ(parse({"train.lr=3.0e-4"}).base.Number("train.lr"), 3e-4);
  EXPECT_EQ(parse({"train.clip=2.0"}).base.Number("train.clip"), 2);  // a default counts as there
  EXPECT_EQ(parse({"+train.clip=2.0"}).base.Number("train.clip"), 2);
  EXPECT_EQ(parse({"++train.lr=2.0"}).base.Number("train.lr"), 2);
  EXPECT_EQ(parse({"~train.schedule"}).base.Text("train.schedule"), "cosine");
  EXPECT_EQ(parse({"axes.seed.values=[0,1]"}).FindAxis("seed")->values.size(), 2u);
  EXPECT_EQ(parse({"axes.gamma.values=[0.5]"}).FindAxis("gamma")->values.size(), 1u);
  EXPECT_EQ(parse({"~arms", "+axes.clip={path: train.clip, values: [1.0, 2.0]}"}).axes.size(), 5u);
  EXPECT_EQ(parse({"data.train.glob=more/*.bin"}).base.Text("data.train.glob"), "more/*.bin");
  EXPECT_EQ(parse({"axes.gamma.when.train.clip=[1.0,3.0]"}).FindAxis("gamma")->when[0].key,
            "train.clip");
  EXPECT_EQ(parse({"~axes.gamma", "~axes.lambda", "arms=null", "+arms.one.init.gamma=1.0",
                   "+arms.one.train.weight_decay=1.0", "+arms.two.init.gamma=0.5"})
                .bundles[0]
                .assignments.size(),
            2u);
  EXPECT_EQ(SpecSha256(parse({"train.lr=0.001", "name=phase-50m"})), SpecSha256(parse({})));
}

// Draws a random spec as text, with everything that a spec can hold.
class RandomSpec {
 public:
  explicit RandomSpec(unsigned seed) : random_(seed) {}

  std::string Text() {
    bundles_ = Chance(0.5);
    std::string text = SmallSpec("");
    text += absl::StrCat("train: {lr: ", Number(), ", batch_tokens: ", 64 * Int(1, 8), "}\n");
    text += absl::StrCat("init: {sigma: ", Chance(0.5) ? "null" : "0.02", "}\n");
    if (Chance(0.5)) text += "eval: {every: 12.5%, tokens: 1k}\n";
    text += "axes:\n  D: {path: train.tokens, values: [1075200, 2150400]}\n";
    if (Chance(0.7))
      text += absl::StrCat("  seed: {values: [", Int(0, 9), ", ", Int(10, 99), "]}\n");
    const bool clip = Chance(0.5);
    if (clip) {
      text += absl::StrCat("  clip: {path: train.clip, values: [", Number(), ", 7.5]",
                           Chance(0.5) ? ", when: {D: 1075200}" : "", "}\n");
    }
    if (!bundles_) text += "  gamma: {path: init.gamma, range: [0.5, 1.0, 0.25]}\n";
    if (bundles_) text += "arms: {b: {init.gamma: 0.5}, a: {init.gamma: 1.0, train.beta1: 0.8}}\n";
    if (Chance(0.5)) {
      text += absl::StrCat("exclude: [{D: 1075200, ", bundles_ ? "arm: a" : "gamma: [0.5, 1.0]",
                           "}]\n");
    }
    if (Chance(0.5)) text += "order: [-D, arm, seed]\n";
    if (Chance(0.5)) text += "budget: {gpu_hours: 3, wall_time: 90m}\nretries: {failures: 0}\n";
    if (bundles_ && Chance(0.5)) text += "fit: [{compare: [a, b]}, {form: B*D^-b}]\n";
    return text;
  }

 private:
  bool Chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  int Int(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }
  std::string Number() {
    return CanonicalNumber(std::exp(std::uniform_real_distribution<>(-12, 1.5)(random_)));
  }

  std::mt19937 random_;
  bool bundles_ = false;
};

TEST(CanonicalJson, RoundTripsRandomSpecs) {
  const unsigned start = std::random_device{}();
  for (unsigned i = 0; i < 60; ++i) {
    SCOPED_TRACE(testing::Message() << "RandomSpec(" << start + i << ")");
    RandomSpec random(start + i);
    std::string text = random.Text();
    auto spec = ParseSpec(text, "random.yaml");
    // Some batch sizes do not divide the budgets; then the error must say so.
    if (!spec.ok()) {
      ASSERT_THAT(std::string(spec.status().message()), HasSubstr("is not a multiple of")) << text;
      continue;
    }
    const std::string json = CanonicalJson(*spec);
    const SweepSpec again = MustParse(json);
    ASSERT_EQ(CanonicalJson(again), json) << text;
    const Expansion first = MustExpand(*spec), second = MustExpand(again);
    ASSERT_EQ(first.trials.size(), second.trials.size());
    for (size_t t = 0; t < first.trials.size(); ++t) {
      ASSERT_EQ(first.trials[t].sha256, second.trials[t].sha256);
      ASSERT_EQ(first.cells[first.trials[t].cell].arm, second.cells[second.trials[t].cell].arm);
    }
    if (testing::Test::HasFailure()) return;
  }
}

// A few bytes changed, added or taken away.
std::string Mutated(std::string text, std::mt19937* random) {
  const std::string alphabet = "{}[]:,#&*!|>'\"%@`~?- \n\t\\0123456789.eEkMB_\x7f\x80\xff";
  const auto below = [&](size_t end) {
    return std::uniform_int_distribution<size_t>(0, end - 1)(*random);
  };
  for (size_t edits = 1 + below(4); edits > 0; --edits) {
    const size_t at = below(text.size());
    const char c = alphabet[below(alphabet.size())];
    switch (below(3)) {
      case 0:
        text[at] = c;
        break;
      case 1:
        text.insert(at, 1, c);
        break;
      default:
        text.erase(at, 1 + below(12));
    }
  }
  return text;
}

// The end of the line makes it YAML.
TEST(ParseSpec, CanonicalJsonIsReadAsItsYamlWouldBe) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int specs = 0;
  for (unsigned i = 0; specs < 16; ++i) {
    // Some batch sizes do not divide the budgets.
    const auto spec = ParseSpec(RandomSpec(seed + i).Text(), "random.yaml");
    if (!spec.ok()) continue;
    ++specs;
    const std::string json = CanonicalJson(*spec);
    for (int mutation = 0; mutation < 20; ++mutation) {
      const std::string text = mutation == 0 ? json : Mutated(json, &random);
      const auto one = ParseSpec(text, "spec.json");
      const auto other = ParseSpec(text + "\n", "spec.json");
      ASSERT_EQ(one.ok(), other.ok()) << text;
      ASSERT_TRUE(one.ok() || mutation > 0) << text;
      if (!one.ok()) continue;
      ASSERT_EQ(CanonicalJson(*one), CanonicalJson(*other)) << text;
    }
  }
}

TEST(ParseSpec, SurvivesMutatedText) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 400; ++i) {
    const std::string text = Mutated(SpecText(), &random);
    const auto spec = ParseSpec(text, "mutated.yaml");
    if (spec.ok()) continue;
    const auto errors = SpecErrorsOf(spec.status());
    if (spec.status().code() == absl::StatusCode::kResourceExhausted) continue;
    ASSERT_FALSE(errors.empty()) << text;
    for (const SpecError& error : errors) {
      ASSERT_FALSE(error.message.empty()) << text;
      ASSERT_GE(error.line, 1) << text << error.message;
      ASSERT_GE(error.column, 1) << text << error.message;
    }
  }
}

TEST(ParseSpec, AStopRuleComesWithTheDefaultFitsOrBesideOthers) {
  const std::string base =
      "axes: {D: {path: train.tokens, values: [64, 128, 256]}}\n"
      "train: {lr: 0.1, batch_tokens: 64}\n";
  const SweepSpec plain = MustParse(SmallSpec(base));
  const SweepSpec spec =
      MustParse(SmallSpec(base + "fit: {stop_when: \"halfwidth( slope )<3.0e-3\"}\n"));
  ASSERT_EQ(spec.fit.size(), plain.fit.size() + 1);
  EXPECT_EQ(spec.fit.back().kind, kStopRuleKind);
  EXPECT_EQ(spec.fit.back().form, "halfwidth(slope) < 0.003");
  EXPECT_EQ(CanonicalJson(MustParse(CanonicalJson(spec))), CanonicalJson(spec));
  EXPECT_NE(SpecSha256(spec), SpecSha256(plain));
  const SweepSpec beside = MustParse(SmallSpec(
      base + "fit: [{stop_when: \"halfwidth(beta) < 0.05\"}, {form: \"E + B*D^-beta\"}]\n"));
  ASSERT_EQ(beside.fit.size(), 2u);
  EXPECT_EQ(beside.fit[0].kind, "saturating");
  EXPECT_EQ(beside.fit[1].form, "halfwidth(beta) < 0.05");
}

TEST(ParseSpec, BoundsTheWorkOnHostileText) {
  const std::clock_t start = std::clock();  // of the processor: other work counts not
  std::string deep = "a: ";
  deep.append(200'000, '[');
  EXPECT_FALSE(ParseSpec(deep, "deep").ok());
  std::string keys = "{";
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&keys, "k", i, ": 1,");
  EXPECT_FALSE(ParseSpec(keys + "}", "keys").ok());
  EXPECT_FALSE(
      ParseSpec(std::string(kSpecErrorsMax, '\n') + std::string(2 << 20, 'x'), "big").ok());
  std::string bombs = "a: &a [x, x]\n";
  for (char c = 'b'; c < 'z'; ++c) {
    bombs += std::string(1, c) + ": &" + c + " [*" + char(c - 1) + ", *" + char(c - 1) + "]\n";
  }
  EXPECT_FALSE(ParseSpec(bombs, "bombs").ok());
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 20);
}

TEST(CellFields, AreInJsonOrder) {
  const SweepSpec spec = MustParse(SmallSpec("train: {lr: 0.1, batch_tokens: 64, tokens: 64}\n"));
  const std::string json = spec.base.CanonicalJson();
  // nlohmann sorts keys and dumps as tersely; only the spelling of floats differs.
  const auto parsed = nlohmann::json::parse(json);
  std::vector<std::string> leaves;
  const auto flat = parsed.flatten();
  for (const auto& [path, value] : flat.items()) leaves.push_back(path);
  const auto& fields = CellFields();
  EXPECT_EQ(leaves.size(), std::count_if(fields.begin(), fields.end(), [](const SpecField* field) {
              return !field->added_later;
            }));
  std::string keys_of_json, keys_of_sorted;
  for (const auto& [text, out] :
       {std::pair{json, &keys_of_json}, {parsed.dump(), &keys_of_sorted}}) {
    for (const absl::string_view part : absl::StrSplit(text, '"')) {
      if (!part.empty() && part[0] >= 'a' && part[0] <= 'z') absl::StrAppend(out, part, " ");
    }
  }
  EXPECT_EQ(keys_of_json, keys_of_sorted);
}

TEST(ParseCellConfig, ReadsBackAndNamesWhatIsWrong) {
  const SweepSpec spec = MustParse(SmallSpec("train: {lr: 0.1, batch_tokens: 64, tokens: 64}\n"));
  const std::string json = spec.base.CanonicalJson();
  const auto config = ParseCellConfig(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->CanonicalJson(), json);
  EXPECT_EQ(config->model().d_ff, 176);
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string changed = json;
    changed.replace(changed.find(from), from.size(), to);
    return std::string(ParseCellConfig(changed).status().message());
  };
  EXPECT_THAT(error("\"layers\":2", "\"layers\":0"), HasSubstr("model.layers is 0"));
  EXPECT_THAT(error("\"layers\":2", "\"layers\":null"), HasSubstr("model.layers is null"));
  EXPECT_THAT(error("\"layers\":2", "\"layer\":2"), HasSubstr("model.layer "));
  EXPECT_THAT(error("\"layers\":2,", ""), HasSubstr("lacks the field model.layers"));
  EXPECT_THAT(error("\"d_in\":\"fan_in\"", "\"d_in\":3"), HasSubstr("init.d_in is 3"));
  EXPECT_FALSE(ParseCellConfig("[").ok());
}

}  // namespace
}  // namespace loglog
