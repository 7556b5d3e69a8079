#include "worker/trainer_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/limits.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TrainerEventTest : public ::testing::Test {
 protected:
  template <typename Line>
  Line Parse(absl::string_view text) {
    const TrainerEvent event = ParseTrainerEvent(text, &names_, &problem_);
    EXPECT_TRUE(std::holds_alternative<Line>(event)) << text << ": " << problem_;
    const Line* line = std::get_if<Line>(&event);
    return line == nullptr ? Line() : *line;
  }
  NameTable names_;
  std::string problem_;
};

TEST_F(TrainerEventTest, Start) {
  const auto line = Parse<AttemptStartedLine>(
      R"({"e":"start","attempt_id":17,"resume_step":3,"total_steps":500,"trainer_version":"0.1.0",)"
      R"("data_sha256":"ab","params_total":7,"params_non_embedding":5,"flops_per_token":1.5})");
  EXPECT_EQ(line.resume_step, 3);
  EXPECT_EQ(line.total_steps, 500);
  EXPECT_EQ(line.trainer_version, "0.1.0");
  EXPECT_EQ(line.data_sha256, "ab");
  EXPECT_EQ(line.params_total, 7);
  EXPECT_EQ(line.params_non_embedding, 5);
  EXPECT_EQ(line.flops_per_token, 1.5);
}

TEST_F(TrainerEventTest, RowsShareOneTableOfNames) {
  const auto first = Parse<MetricRowLine>(
      R"({"e":"row","member":1,"step":10,"tokens":20480,"values":{"loss/train":5.5,"norm/grad":1}})");
  EXPECT_EQ(first.member, 1);
  EXPECT_EQ(first.step, 10);
  EXPECT_EQ(first.tokens, 20480);
  EXPECT_THAT(first.values, ElementsAre(5.5, 1.0));
  EXPECT_THAT(first.names, ElementsAre(0, 1));
  const auto second = Parse<MetricRowLine>(
      R"({"e":"row","member":0,"step":11,"tokens":1,"values":{"loss/val":2,"norm/grad":3}})");
  EXPECT_THAT(second.names, ElementsAre(2, 1));
  EXPECT_THAT(names_.names(), ElementsAre("loss/train", "norm/grad", "loss/val"));
}

// T21: numbers that are not finite keep their identity.
TEST_F(TrainerEventTest, T21_non_finite_values) {
  const auto row = Parse<MetricRowLine>(
      R"({"e":"row","member":0,"step":1,"tokens":1,"values":{"a":"nan","b":"inf","c":"-inf"}})");
  EXPECT_TRUE(std::isnan(row.values[0]));
  EXPECT_EQ(row.values[1], INFINITY);
  EXPECT_EQ(row.values[2], -INFINITY);
}

TEST_F(TrainerEventTest, CheckpointNoticeAndEnds) {
  const auto checkpoint = Parse<CheckpointLine>(
      R"({"e":"checkpoint","step":500,"path":"/a b","sha256":"cd","bytes":123})");
  EXPECT_EQ(checkpoint.step, 500);
  EXPECT_EQ(checkpoint.path, "/a b");
  EXPECT_EQ(checkpoint.sha256, "cd");
  EXPECT_EQ(checkpoint.bytes, 123);
  const auto notice =
      Parse<NoticeLine>(R"({"e":"notice","kind":"spike","step":77,"detail":{"x":[1]}})");
  EXPECT_EQ(notice.kind, "spike");
  EXPECT_EQ(notice.step, 77);
  EXPECT_EQ(notice.detail_json, R"({"x":[1]})");
  const auto done = Parse<MemberEndedLine>(
      R"({"e":"end","member":0,"outcome":"done","step":500,"tokens":9,"final_loss":3.25,)"
      R"("summary":{"loss/val":3.25}})");
  EXPECT_FALSE(done.diverged);
  EXPECT_EQ(done.final_loss, 3.25);
  EXPECT_EQ(done.summary_json, R"({"loss/val":3.25})");
  const auto diverged = Parse<MemberEndedLine>(
      R"({"e":"end","member":0,"outcome":"diverged","step":5,"tokens":9,"final_loss":null})");
  EXPECT_TRUE(diverged.diverged);
  EXPECT_TRUE(std::isnan(diverged.final_loss));
}

TEST_F(TrainerEventTest, UnknownKindsAreIgnoredWithoutAWord) {
  Parse<IgnoredLine>(R"({"e":"weather","sun":true})");
  EXPECT_EQ(problem_, "");
}

// Writing the summary again would take a stack frame for each level.
TEST_F(TrainerEventTest, DeepLinesAreMalformed) {
  const auto line = [](int levels) {
    return R"({"e":"end","member":0,"outcome":"done","step":1,"tokens":1,"summary":)" +
           std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
  };
  Parse<MemberEndedLine>(line(limits::kJsonDepthMax));
  Parse<IgnoredLine>(line(limits::kJsonDepthMax + 1));
  EXPECT_THAT(problem_, HasSubstr("nested too deeply"));
  Parse<IgnoredLine>(line(500'000));
}

TEST_F(TrainerEventTest, MalformedLinesSayWhy) {
  const std::pair<const char*, const char*> bad[] = {
      {"", "parse error"},
      {"{\"e\":\"row\"", "parse error"},
      {"[1]", "not an object"},
      {"{}", "no field 'e'"},
      {R"({"e":5})", "field 'e' is not a string"},
      {R"({"e":"row","step":1,"tokens":1,"values":{}})", "no field 'member'"},
      {R"({"e":"row","member":-1,"step":1,"tokens":1,"values":{}})", "out of range"},
      {R"({"e":"row","member":0,"step":18446744073709551615,"tokens":1,"values":{}})",
       "'step' is out of range"},
      {R"({"e":"row","member":0,"step":1.5,"tokens":1,"values":{}})", "'step' is not an integer"},
      {R"({"e":"row","member":0,"step":1,"tokens":1,"values":[1]})", "'values' is not an object"},
      {R"({"e":"row","member":0,"step":1,"tokens":1,"values":{"a":"huge"}})",
       "'a' is not a number"},
      {R"({"e":"row","member":0,"step":1,"tokens":1,"values":{"a":null}})", "'a' is not a number"},
      {R"({"e":"end","member":0,"outcome":"bored","step":1,"tokens":1})", "'bored' is neither"},
      {"{\"e\":\"notice\",\"kind\":\"\xff\",\"step\":1}", "UTF-8"},
  };
  for (const auto& [line, why] : bad) {
    Parse<IgnoredLine>(line);
    EXPECT_THAT(problem_, HasSubstr(why)) << line;
  }
}

}  // namespace
}  // namespace loglog::worker
