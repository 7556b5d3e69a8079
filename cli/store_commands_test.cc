#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "cli/store_testing.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "store/store.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using StoreCommandsTest = StoreFileTest;

TEST_F(StoreCommandsTest, ASoundStorePassesTheCheck) {
  EXPECT_EQ(Run({"store", "check", path_}), 0) << err();
  EXPECT_THAT(out(), IsEmpty());
  EXPECT_THAT(err(), HasSubstr("store.db is sound: 1 sweep, 1 trial, 0 rows of points, "));
  EXPECT_EQ(Run({"store", "check", path_, "--quick", "-o", "json"}), 0) << err();
  EXPECT_THAT(json::parse(out())["breaches"], IsEmpty());
  EXPECT_THAT(err(), HasSubstr("; points and indexes not compared"));
  EXPECT_EQ(Run({"store", "check", folder_ + "/none.db"}), 3);
}

TEST_F(StoreCommandsTest, BreachesAreSaidWithTheirFixAndExitWithOne) {
  {
    auto store = Store::Open(path_);
    ASSERT_TRUE((*store)->Begin().ok());
    // A task that ended without its trial, which no coordinator does.
    ASSERT_TRUE((*store)->UpdateTask(1, {TaskState::kDone}).ok());
    ASSERT_TRUE((*store)->Commit().ok());
  }
  EXPECT_EQ(Run({"store", "check", path_}), 1);
  EXPECT_THAT(out(), StartsWith("trial 1: is PENDING, but its task 1 is DONE, so that nothing will "
                                "ever run it\n  fix: with a coordinator running, retry"));
  EXPECT_THAT(err(), HasSubstr("is not sound: 1 breach\n"));
  EXPECT_EQ(Run({"store", "check", path_, "-o", "json"}), 1);
  EXPECT_EQ(json::parse(out())["breaches"][0]["object"], "trial 1");
}

TEST_F(StoreCommandsTest, CopiesSealsAndCompacts) {
  const std::string copy = folder_ + "/copy.db";
  EXPECT_EQ(Run({"store", "backup", path_, copy}), 0) << err();
  EXPECT_THAT(err(), HasSubstr(absl::StrCat("copied to ", copy, ", ")));
  EXPECT_THAT(err(), HasSubstr("1 trial in it had not ended\n"));
  EXPECT_EQ(Run({"store", "backup", path_, copy}), 1);
  EXPECT_THAT(err(), HasSubstr("copy.db exists; move it away or choose another name"));
  EXPECT_EQ(Run({"store", "seal", path_, folder_ + "/sealed.db", "-o", "json"}), 0) << err();
  EXPECT_EQ(json::parse(out())["trials_open"], 1);
  EXPECT_EQ(Run({"store", "seal", path_}), 0) << err();
  EXPECT_THAT(err(), HasSubstr(absl::StrCat("sealed ", path_)));
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  EXPECT_EQ(Run({"store", "compact", path_}), 0) << err();
  EXPECT_THAT(err(), HasSubstr(" before, "));
  EXPECT_EQ(Run({"store", "compact", path_, "-o", "json"}), 0) << err();
  EXPECT_GT(json::parse(out())["bytes_before"], 0);
  EXPECT_EQ(Run({"sql", "--store", copy, "SELECT count(*) AS n FROM v_trials", "-o", "csv"}), 0);
  EXPECT_EQ(out(), "n\n1\n");
}

TEST_F(StoreCommandsTest, AStoreInUseIsNamedWithItsProcess) {
  auto store = Store::Open(path_);
  ASSERT_TRUE(store.ok());
  EXPECT_EQ(Run({"store", "compact", path_}), 1);
  EXPECT_THAT(err(), HasSubstr("is in use"));
  EXPECT_THAT(err(), HasSubstr(absl::StrCat("process ", getpid())));
  EXPECT_EQ(Run({"store", "check", path_}), 0) << err();
  EXPECT_EQ(Run({"store", "backup", path_, folder_ + "/live.db"}), 0) << err();
}

}  // namespace
}  // namespace loglog::cli
