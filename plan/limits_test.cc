// What a spec may hold at most: one more is refused with its place and the fix.
#include "base/limits.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "plan/grid.h"
#include "plan/spec_testing.h"

namespace loglog {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The refusal of a spec, or "" when it is taken.
std::string Refusal(const std::string& text) {
  const auto spec = ParseSpec(text, "spec.yaml");
  return std::string(spec.status().message());
}

std::string Line(const std::string& axis, const std::string& values) {
  return absl::StrCat("  ", axis, ": {path: init.gamma, ", values, "}");
}

TEST(SpecLimits, Bytes) {
  std::string text = SpecText();
  text.resize(limits::kSpecBytesMax - 1, ' ');
  text += '\n';
  EXPECT_EQ(Refusal(text), "");
  text += '\n';
  EXPECT_THAT(Refusal(text), AllOf(HasSubstr("the text has 1048577 bytes"),
                                   HasSubstr("at most 1048576"), HasSubstr("split the sweep")));
}

TEST(SpecLimits, Depth) {
  // The root mapping is a level, too.
  const auto nested = [](int levels) {
    return SpecText({{18, absl::StrCat("budget: ", std::string(levels - 1, '['),
                                       std::string(levels - 1, ']'))}});
  };
  EXPECT_THAT(Refusal(nested(limits::kSpecDepthMax)), testing::Not(HasSubstr("levels deep")));
  EXPECT_THAT(Refusal(nested(limits::kSpecDepthMax + 1)), HasSubstr("more than 16 levels deep"));
  EXPECT_THAT(Refusal(nested(100'000)), HasSubstr("more than 16 levels deep"));
}

// Ten lines of ten aliases each would be ten thousand million values.
TEST(SpecLimits, AliasesDoNotMultiply) {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    absl::StrAppend(&bomb, std::string(1, c), ": &", std::string(1, c), " [");
    for (int i = 0; i < 10; ++i) absl::StrAppend(&bomb, i == 0 ? "*" : ", *", before);
    absl::StrAppend(&bomb, "]\n");
  }
  EXPECT_THAT(Refusal(bomb), HasSubstr("anchors (`&a`) are not accepted"));
}

TEST(SpecLimits, Values) {
  const auto listed = [](int count) {
    std::string values = "[1";
    for (int i = 1; i < count; ++i) values += ",1";
    return SpecText({{18, absl::StrCat("budget: ", values, "]")}});
  };
  EXPECT_THAT(Refusal(listed(limits::kSpecValuesMax - 1'000)),
              testing::Not(HasSubstr("more than 200000 values")));
  EXPECT_THAT(Refusal(listed(limits::kSpecValuesMax)),
              AllOf(HasSubstr("more than 200000 values"), HasSubstr("use range or logrange")));
}

TEST(SpecLimits, Axes) {
  // Refused before the axes are read: what they set does not matter.
  const auto with_axes = [](int count) {
    std::string axes = "axes:";
    for (int i = 0; i < count; ++i) {
      absl::StrAppend(&axes, "\n  a", i, ": {path: init.gamma, values: [1]}");
    }
    return SmallSpec(axes + "\n");
  };
  EXPECT_THAT(Refusal(with_axes(limits::kAxesMax)), testing::Not(HasSubstr("more than 32 axes")));
  EXPECT_THAT(Refusal(with_axes(limits::kAxesMax + 1)),
              AllOf(HasSubstr("more than 32 axes"), HasSubstr("split the sweep")));
}

TEST(SpecLimits, ValuesOfAnAxis) {
  const auto seeds = [](int64_t count) {
    std::string values = "0";
    for (int64_t i = 1; i < count; ++i) absl::StrAppend(&values, ",", i);
    return SpecText({{12, Line("gamma", "values: [0.5]")},
                     {15, absl::StrCat("  seed: {path: seed, values: [", values, "]}")}});
  };
  EXPECT_EQ(Refusal(seeds(limits::kAxisValuesMax)), "");
  EXPECT_THAT(
      Refusal(seeds(limits::kAxisValuesMax + 1)),
      AllOf(HasSubstr("axis `seed` has more than 10000 values"), HasSubstr("split the sweep")));
}

TEST(SpecLimits, Names) {
  const std::string longest(limits::kNameBytesMax, 'a');
  EXPECT_EQ(Refusal(SpecText({{2, "name: " + longest}})), "");
  EXPECT_THAT(Refusal(SpecText({{2, "name: a" + longest}})), HasSubstr("at most 63"));
  const std::string axis(limits::kAxisNameBytesMax, 'g');
  const auto named = [](const std::string& name) {
    return SpecText({{12, Line(name, "values: [1]")}, {16, "arms: [" + name + ", lambda]"}});
  };
  EXPECT_EQ(Refusal(named(axis)), "");
  EXPECT_THAT(Refusal(named(axis + "g")), HasSubstr("at most 32"));
}

TEST(SpecLimits, Trials) {
  // 9 x 4 x 2 cells of the good spec's axes.
  const auto check = [](int64_t seeds, int64_t gammas) {
    const std::string text = SpecText(
        {{12, Line("gamma", absl::StrCat("range: [0.5, ", 0.5 + 0.001 * (gammas - 1), ", 0.001]"))},
         {13, "  lambda: {path: train.weight_decay, values: [0]}"},
         {14, "  D: {path: train.tokens, values: [131072000]}"},
         {15, absl::StrCat("  seed: {path: seed, range: [1, ", seeds, ", 1]}")}});
    return ParseSpec(text, "test.yaml").status();
  };
  static_assert(limits::kTrialsOfSweepMax == 200'000);
  EXPECT_TRUE(check(2'000, 100).ok());
  const absl::Status over = check(2'000, 101);
  EXPECT_TRUE(absl::IsResourceExhausted(over));
  EXPECT_THAT(std::string(over.message()),
              AllOf(HasSubstr("202000 trials; at most 200000"), HasSubstr("split the sweep")));
}

}  // namespace
}  // namespace loglog
