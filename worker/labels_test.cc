#include "worker/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string ErrorOf(const std::vector<std::string>& labels) {
  const absl::Status status = ParseLabels(labels).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << labels.front();
  return std::string(status.message());
}

TEST(LabelsTest, KeysAndValues) {
  const auto labels = ParseLabels({"gpu=h100", "zone=a=b", "owner=Zoë", "gpu=h100"});
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT(*labels, ElementsAre(Pair("gpu", "h100"), Pair("owner", "Zoë"), Pair("zone", "a=b")));
  EXPECT_TRUE(ParseLabels({})->empty());
}

TEST(LabelsTest, MistakesAreNamed) {
  EXPECT_THAT(ErrorOf({"gpu"}), HasSubstr("'gpu'; write key=value"));
  EXPECT_THAT(ErrorOf({"=h100"}), HasSubstr("key is empty"));
  EXPECT_THAT(ErrorOf({"gpu="}), HasSubstr("value is empty"));
  EXPECT_THAT(ErrorOf({"a=1", "a=2"}), HasSubstr("gives a twice, as '1' and as '2'"));
  EXPECT_THAT(ErrorOf({"a=x\ny"}), HasSubstr("control characters"));
  EXPECT_THAT(ErrorOf({"a=\xff"}), HasSubstr("UTF-8"));
  EXPECT_THAT(ErrorOf({"a =1"}), HasSubstr("its key must be"));
}

TEST(LabelsTest, Limits) {
  const std::string key(limits::kLabelKeyBytesMax, 'k');
  const std::string value(limits::kLabelValueBytesMax, 'v');
  EXPECT_TRUE(ParseLabels({key + "=" + value}).ok());
  EXPECT_THAT(ErrorOf({key + "k=" + value}),
              HasSubstr(absl::StrCat("key has ", key.size() + 1, " bytes, at most ", key.size())));
  EXPECT_THAT(
      ErrorOf({key + "=" + value + "v"}),
      HasSubstr(absl::StrCat("value has ", value.size() + 1, " bytes, at most ", value.size())));
  std::vector<std::string> many;
  for (int i = 0; i < limits::kLabelsOfWorkerMax; ++i) many.push_back(absl::StrCat("k", i, "=v"));
  EXPECT_TRUE(ParseLabels(many).ok());
  many.push_back("one=more");
  EXPECT_THAT(ErrorOf(many), HasSubstr(absl::StrCat("at most ", limits::kLabelsOfWorkerMax)));
}

TEST(LabelsTest, FlagsThatAreTexts) {
  EXPECT_TRUE(CheckFlagText("--checkpoint-scope", "nfs-1").ok());
  EXPECT_TRUE(CheckFlagText("--checkpoint-scope", "").ok());
  EXPECT_THAT(
      std::string(CheckFlagText("--checkpoint-scope", std::string(limits::kTextBytesMax + 1, 'x'))
                      .message()),
      HasSubstr("--checkpoint-scope has 257 bytes, at most 256"));
  EXPECT_FALSE(CheckFlagText("--checkpoint-scope", "a\tb").ok());
}

}  // namespace
}  // namespace loglog::worker
