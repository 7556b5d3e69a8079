#include "worker/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace loglog::worker {
namespace {

using ::testing::HasSubstr;

absl::Status CheckTrainGlob(const std::string& glob) {
  nlohmann::json task;
  task["members"] = nlohmann::json::array({nlohmann::json::object(), nlohmann::json::object()});
  task["members"][1]["config"]["data"]["train"]["glob"] = glob;
  return CheckGlobs(task);
}

TEST(PathsTest, GlobsMayGoAnywhereButUpFromTheDataRoot) {
  for (const char* fine : {"train.bin", "a/b/*.bin", "/data/*.bin", "/data/../x.bin", "a/../b.bin",
                           "..a/b", "a..", "./x", ""}) {
    EXPECT_EQ(CheckTrainGlob(fine), absl::OkStatus()) << fine;
  }
  for (const char* bad :
       {"..", "../x.bin", "./../x", "a/../../x", "a/b/../../../x", "../../etc/*"}) {
    const absl::Status status = CheckTrainGlob(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("members[1].config.data.train.glob '", bad, "'")));
  }
}

TEST(PathsTest, DomainsAndWeightsStayInTheDataRootToo) {
  const auto check = [](const char* place, const char* text) {
    nlohmann::json task = {{"members", {nlohmann::json::object()}}};
    task["members"][0][nlohmann::json::json_pointer(place)] = text;
    return std::string(CheckGlobs(task).message());
  };
  EXPECT_EQ(check("/config/init/weights/path", "llama/model.safetensors"), "");
  EXPECT_THAT(check("/config/init/weights/path", "../model.safetensors"),
              HasSubstr("members[0].config.init.weights.path '../model.safetensors' leaves"));
  EXPECT_EQ(check("/config/data/val/domains", "web 0.7 web/*.bin; code 0.3 /data/*.bin"), "");
  EXPECT_THAT(check("/config/data/val/domains", "web 0.7 web/*.bin;code 0.3 ../*.bin"),
              HasSubstr("members[0].config.data.val.domains 'web"));
}

// Tasks of other forms are the trainer's to refuse.
TEST(PathsTest, TasksWithoutGlobsPass) {
  for (const char* text :
       {"{}", "[]", "7", R"({"members":3})", R"({"members":[3]})", R"({"members":[{"config":4}]})",
        R"({"members":[{"config":{"data":{"train":{"glob":null}}}}]})",
        R"({"members":[{"config":{"data":{"train":[]}}}]})"}) {
    EXPECT_EQ(CheckGlobs(nlohmann::json::parse(text)), absl::OkStatus()) << text;
  }
}

TEST(PathsTest, StoreIdsNameFoldersOfTheirOwn) {
  for (const char* good : {"5eed", "0-a_B", "survivor"}) EXPECT_TRUE(IsStoreId(good)) << good;
  for (const char* bad : {"", ".", "..", "a/b", "a b", "checkpoints", "lock", "worker-id",
                          "store-id", "survivor-17", "a\n"}) {
    EXPECT_FALSE(IsStoreId(bad)) << bad;
  }
  EXPECT_FALSE(IsStoreId(std::string(65, 'a')));
}

}  // namespace
}  // namespace loglog::worker
