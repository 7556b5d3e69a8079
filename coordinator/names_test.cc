#include "coordinator/names.h"

#include "gtest/gtest.h"

namespace loglog {
namespace {

TEST(Names, RoundTrip) {
  EXPECT_EQ(*ParseSweepName(SweepName("phase-50m")), "phase-50m");
  EXPECT_EQ(*ParseSweepName("phase-50m"), "phase-50m");
  EXPECT_EQ(*ParseWorkerName(WorkerName("gpu-3")), "gpu-3");
  const auto trial = ParseTrialName(TrialName("a", 17));
  ASSERT_TRUE(trial.ok());
  EXPECT_EQ(trial->sweep, "a");
  EXPECT_EQ(trial->number, 17);
  EXPECT_EQ(ParseFitName(FitName("a", 3))->number, 3);
}

TEST(Names, MalformedOnesAreRefusedAndNamed) {
  for (const char* name : {"", "sweeps/", "sweeps/A", "sweeps/a/b", "sweeps/../x", "sweeps/-a",
                           "sweeps/a\n", "workers/a"}) {
    EXPECT_EQ(ParseSweepName(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(ParseSweepName("sweeps/" + std::string(64, 'a')).ok());
  EXPECT_TRUE(ParseSweepName("sweeps/" + std::string(63, 'a')).ok());
  for (const char* name :
       {"sweeps/a/trials/0", "sweeps/a/trials/-1", "sweeps/a/trials/01", "sweeps/a/trials/1/",
        "sweeps/a/trials/99999999999999999999", "sweeps/a/fits/1", "a/trials/1"}) {
    EXPECT_FALSE(ParseTrialName(name).ok()) << name;
  }
  EXPECT_EQ(ParseTrialName("sweeps/a/trials/x").status().message(),
            "'sweeps/a/trials/x' is not of the form sweeps/<name>/trials/<number>");
}

TEST(Names, PageTokensBelongToTheirList) {
  const std::string token = MakePageToken("trials of a", "17");
  EXPECT_EQ(*ParsePageToken("trials of a", token), "17");
  EXPECT_EQ(*ParsePageToken("trials of a", ""), "");
  EXPECT_FALSE(ParsePageToken("trials of ab", token).ok());
  EXPECT_FALSE(ParsePageToken("trials of a", "garbage!").ok());
}

}  // namespace
}  // namespace loglog
