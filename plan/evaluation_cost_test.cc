// What evaluations cost beside training, and when a plan says so.
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "plan/plan.h"
#include "plan/spec_testing.h"

namespace loglog {
namespace {

using testing::Contains;
using testing::Not;

MATCHER_P2(Warns, code, text, "") {
  return arg.code == code && arg.message.find(text) != std::string::npos;
}
MATCHER_P(HasCode, code, "") { return arg.code == code; }

// By hand, for each way in which eval.every and a task decide how much is evaluated.
TEST(Cost, CountsEvaluations) {
  const auto cost = [](const std::string& more, const std::string& data = "") {
    std::string text = SmallSpec("train: {lr: 0.1, batch_tokens: 64, tokens: 640}\n" + more);
    if (!data.empty())
      text = absl::StrReplaceAll(text, {{"{train: {format: synthetic}, val: {"
                                         "format: synthetic}, synthetic: "
                                         "{contexts: 64}}",
                                         data}});
    return EvaluationCostOf(MustParse(text).base);
  };
  EXPECT_EQ(cost("").evaluations, 4);
  EXPECT_EQ(cost("").tokens, 65'536);
  EXPECT_EQ(cost("eval: {every: 0, tokens: 100}\n").evaluations, 1);
  EXPECT_EQ(cost("eval: {every: 0, tokens: 100}\n").tokens, 64);  // whole sequences
  EXPECT_EQ(cost("eval: {every: 30%}\n").evaluations, 4);         // 30, 60, 90 and 100%
  EXPECT_EQ(cost("eval: {every: 1%}\n").evaluations, 10);         // no more than steps
  EXPECT_EQ(cost("eval: {every: 100%}\n").evaluations, 1);
  const std::string files = "{train: {format: llmc, glob: a}, val: {format: llmc, ";
  EXPECT_EQ(cost("", files + "glob: b}}").tokens, 65'536);
  EXPECT_EQ(cost("", files + "domains: \"a 1 b; c 1 d\"}}").tokens, 2 * 65'536);
  // Forward is a third of training, and no file is read twice.
  EXPECT_DOUBLE_EQ(cost("").Flops(30), 4 * 65'536 * 10.0);
  EXPECT_DOUBLE_EQ(cost("").Flops(30, 1000), 4 * 1000 * 10.0);
  const SweepSpec windows = MustParse(
      "apiVersion: loglog/v1\nname: w\nmodel: {layers: 1, d_model: 8, heads: 1, kv_heads: 1, d_ff: "
      "8, vocab: 24, seq_len: 3}\ndata: {train: {format: windows}, val: {format: windows}}\n"
      "train: {lr: 0.1, batch_tokens: 3, tokens: 300}\n");
  EXPECT_EQ(EvaluationCostOf(windows.base).tokens, 16 * 64 * 3);
  EXPECT_FALSE(EvaluationCostOf(windows.base).by_eval_tokens);
}

TEST(Eval, WarnsWhenItCostsMoreThanHalfOfTraining) {
  const auto warnings = [](const std::string& eval, const PlanContext& context = {}) {
    const SweepSpec spec =
        MustParse(SmallSpec("train: {lr: 0.01, batch_tokens: 64}\naxes: {D: {path: train.tokens, "
                            "values: [64000, 640000]}}\neval: " +
                            eval + "\n"));
    return CheckPlan(spec, MustExpand(spec), context);
  };
  // 4 x 262144 / 3 = 349525 for each of two trials of 352000 on average.
  const auto told = warnings("{tokens: 262144}");
  ASSERT_THAT(told, Contains(Warns("EVAL",
                                   "evaluations cost 0.993 times the FLOPs of all training; "
                                   "at the worst 4 of them, each a forward pass over 262144 "
                                   "tokens, beside 64k trained ones")));
  for (const PlanWarning& warning : told) {
    if (warning.code != "EVAL") continue;
    EXPECT_EQ(warning.fix, "divide eval.tokens by 10, or evaluate at a larger eval.every");
  }
  EXPECT_THAT(warnings("{tokens: 131072}"), Not(Contains(HasCode("EVAL"))));
  EXPECT_THAT(warnings("{tokens: 262144, every: 50%}"), Not(Contains(HasCode("EVAL"))));
  EXPECT_THAT(warnings("{tokens: 262144}", {.val_data_tokens = 10'000}),
              Not(Contains(HasCode("EVAL"))));
}

}  // namespace
}  // namespace loglog
