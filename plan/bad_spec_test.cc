// Every way of getting a spec wrong that we thought of, with its message and place; and
// how errors look.
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "plan/spec_testing.h"

namespace loglog {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

struct BadSpec {
  std::string name;
  std::map<int, std::string> lines;
  std::vector<std::string> overrides;
  std::vector<std::string> errors;
};

std::vector<BadSpec> ReadTable() {
  const auto text = ReadFile(absl::StrCat(LOGLOG_PLAN_TESTDATA, "/bad_specs.txt"));
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<BadSpec> table;
  for (absl::string_view line : absl::StrSplit(text.ok() ? *text : "", '\n')) {
    const size_t bar = line.find('|');
    int number = 0;
    if (line.empty() || line[0] == '#') continue;
    if (absl::ConsumePrefix(&line, "== ")) {
      table.push_back({std::string(line), {}, {}, {}});
    } else if (absl::ConsumePrefix(&line, "> ")) {
      table.back().errors.emplace_back(line);
    } else if (absl::ConsumePrefix(&line, "+")) {
      table.back().overrides.emplace_back(line);
    } else if (bar != absl::string_view::npos && absl::SimpleAtoi(line.substr(0, bar), &number)) {
      table.back().lines[number] =
          absl::StrReplaceAll(line.substr(bar + 1), {{"\\t", "\t"}, {"\\x04", "\x04"}});
    } else {
      ADD_FAILURE() << "the table has a line that means nothing: " << line;
    }
  }
  return table;
}

std::string Told(const SpecError& error) {
  const std::string file = error.file == "phase.yaml" ? "" : error.file + ":";
  return absl::StrCat(file, error.line, ":", error.column, ": ", error.message, " [",
                      error.suggestion, "] ", error.hint);
}

TEST(BadSpecs, EachErrorHasItsMessageAndPlace) {
  const std::vector<BadSpec> table = ReadTable();
  EXPECT_GE(table.size(), 130u);
  for (const BadSpec& bad : table) {
    const auto spec = ParseSpec(SpecText(bad.lines), "phase.yaml", bad.overrides);
    std::vector<std::string> told;
    for (const SpecError& error : SpecErrorsOf(spec.status())) told.push_back(Told(error));
    EXPECT_EQ(told, bad.errors) << bad.name;
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << bad.name;
  }
}

TEST(BadSpecs, LookAsPromised) {
  const auto spec = ParseSpec(
      SpecText({{13, "  lambda: {path: train.weigth_decay, values: [0, 0.01, 0.1, 1.0]}"}}),
      "phase.yaml");
  EXPECT_EQ(spec.status().message(),
            "error: unknown key `weigth_decay`\n"
            "  --> phase.yaml:13:24\n"
            "   |   lambda: {path: train.weigth_decay, values: [0, 0.01, 0.1, 1.0]}\n"
            "   |                        ^^^^^^^^^^^^ did you mean `weight_decay`?\n"
            "hint: loglog explain train");
}

TEST(BadSpecs, PointAtOverrides) {
  const auto spec = ParseSpec(SpecText(), "phase.yaml", {"train.warmup=2%", "train.lr=1e-3"});
  EXPECT_EQ(spec.status().message(),
            "error: `1e-3` is a number to some YAML loaders and text to others\n"
            "  --> override 2:1:10\n"
            "   | train.lr=1e-3\n"
            "   |          ^^^^ write 1.0e-3\n"
            "hint: loglog explain train");
}

TEST(BadSpecs, CountColumnsInCharacters) {
  const auto spec = ParseSpec(
      SpecText({{4, "data: {train: {format: llmc, glob: \"größe/*\"}, val: {fromat: llmc}}"}}),
      "phase.yaml");
  const auto errors = SpecErrorsOf(spec.status());
  ASSERT_EQ(errors.size(), 1u) << spec.status().message();
  EXPECT_EQ(errors[0].column, 54);
  EXPECT_THAT(std::string(spec.status().message()),
              HasSubstr("\n   | " + std::string(53, ' ') + "^^^^^^ did you mean `format`?"));
}

TEST(BadSpecs, ShowAWindowOfALongLine) {
  std::string json = CanonicalJson(MustParse(SpecText()));
  json.replace(json.find("\"warmup\":0.05"), 13, "\"warmup\":7.5");
  const auto spec = ParseSpec(json, "spec.json");
  const std::string message(spec.status().message());
  EXPECT_THAT(message, HasSubstr("\n   | ..."));
  for (const absl::string_view line : absl::StrSplit(message, '\n')) EXPECT_LT(line.size(), 170u);
  std::vector<std::string> lines = absl::StrSplit(message, '\n');
  EXPECT_EQ(lines[2].substr(lines[3].find('^'), 3), "7.5");
}

TEST(BadSpecs, ManyErrorsAreCountedAndTwentyShown) {
  std::string values;
  for (int i = 0; i < 50; ++i) absl::StrAppend(&values, i > 0 ? ", " : "", "1e-", i);
  const auto spec = ParseSpec(
      SpecText({{12, "  gamma: {path: init.gamma, values: [" + values + "]}"}}), "phase.yaml");
  EXPECT_EQ(SpecErrorsOf(spec.status()).size(), 20u);
  EXPECT_THAT(std::string(spec.status().message()), EndsWith("\n\n20 of 50 errors shown"));
}

TEST(BadSpecs, AreJsonToo) {
  const auto spec = ParseSpec(SpecText({{7, "  lr: 1e-3"}}), "phase.yaml");
  const auto json = nlohmann::json::parse(SpecErrorsJson(spec.status()));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["line"], 7);
  EXPECT_EQ(json[0]["column"], 7);
  EXPECT_EQ(json[0]["field_path"], "train.lr");
  EXPECT_EQ(json[0]["suggestion"], "write 1.0e-3");
  EXPECT_EQ(SpecErrorsJson(absl::NotFoundError("x")), "[]");
  EXPECT_TRUE(SpecErrorsOf(absl::OkStatus()).empty());
}

TEST(BadSpecs, ErrorsOfExpandNameTheField) {
  SweepSpec spec = MustParse(SpecText());
  spec.axes[0].values[0] = SpecValue(int64_t{1000});
  const auto expansion = Expand(spec);
  ASSERT_FALSE(expansion.ok());
  const auto errors = SpecErrorsOf(expansion.status());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].field_path, "axes.D.values[0]");
  EXPECT_EQ(expansion.status().message(),
            "error: train.tokens 1000 is not a multiple of train.batch_tokens 131072\n"
            "  --> axes.D.values[0]\n"
            "   | the nearest good value is 131072\n"
            "hint: loglog explain train");
}

}  // namespace
}  // namespace loglog
