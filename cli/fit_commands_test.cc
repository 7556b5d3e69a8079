#include "absl/strings/str_cat.h"
#include "cli/commands_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FitCommandsTest : public CommandsTest {
 protected:
  void SetFits(const std::string& fits) {
    const auto spec = ParseSpec(absl::StrCat(kSpec, "fit: ", fits, "\n"), "tiny.yaml");
    ASSERT_TRUE(spec.ok()) << spec.status();
    fake_.data.sweep.set_spec_json(CanonicalJson(*spec));
  }
};

TEST_F(FitCommandsTest, WithoutRequestsEveryArmAndTheOnlyPair) {
  EXPECT_EQ(Run({"fit"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked,
              ElementsAre("local_slope D small", "local_slope D large", "saturating D small",
                          "saturating D large", "comparison D small large"));
}

TEST_F(FitCommandsTest, FitsAreThoseOfTheSpec) {
  SetFits(
      "[{form: \"E + A*N^-alpha\", by: arm}, {form: \"B*D^-b\", by: arm}, "
      "{compare: [large, small]}]");
  ASSERT_EQ(Run({"fit"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked,
              ElementsAre("saturating N small", "saturating N large", "local_slope D small",
                          "local_slope D large", "comparison D large small"));
  fake_.fits_asked.clear();
  EXPECT_EQ(Run({"fit", "--arm", "small"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked, ElementsAre("saturating N small", "local_slope D small"));
  fake_.fits_asked.clear();
  EXPECT_EQ(Run({"fit", "--axis", "N", "--arm", "small"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked, ElementsAre("saturating N small", "local_slope N small"));
}

TEST_F(FitCommandsTest, WhatStoppedTrialsSayIsAskedForWithoutTheSpec) {
  ASSERT_EQ(Run({"fit", "--with-censored"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked,
              ElementsAre("local_slope D small censored", "local_slope D large censored",
                          "saturating D small censored", "saturating D large censored",
                          "comparison D small large"));
  EXPECT_EQ(Run({"fit", "--csv", "x.csv", "--x", "tokens", "--with-censored"}), 2);
  EXPECT_THAT(err(), HasSubstr("--censored COLUMN says which rows"));
}

TEST_F(FitCommandsTest, WhatOnlyAFileHasIsRefusedForASweep) {
  const std::vector<std::vector<std::string>> lines = {
      {"fit", "demo", "--drop-highest", "3"}, {"fit", "--confidence", "0.9"},
      {"fit", "--form", "saturating"},        {"fit", "--svg", "x.svg"},
      {"fit", "demo", "--x", "tokens"},       {"next", "demo", "--x", "tokens"},
      {"next", "--base", "tiny.yaml"},        {"fit", "arms", "demo", "--by", "arm"}};
  for (const std::vector<std::string>& line : lines) {
    const std::string& flag = line[line.size() - 2];
    EXPECT_EQ(Run(line), 2) << flag;
    EXPECT_THAT(err(), HasSubstr(absl::StrCat("error: ", flag, " is for the points of --csv")));
    EXPECT_THAT(err(), HasSubstr("hint: name the file with --csv FILE, or leave " + flag));
    EXPECT_THAT(out(), IsEmpty());
  }
  EXPECT_THAT(fake_.calls, IsEmpty());
}

TEST_F(FitCommandsTest, ASpecOfComparisonsOnlyStillFitsEachArm) {
  SetFits("[{compare: [large, small]}]");
  EXPECT_EQ(Run({"fit"}), 0) << err();
  EXPECT_THAT(fake_.fits_asked,
              ElementsAre("local_slope D small", "local_slope D large", "saturating D small",
                          "saturating D large", "comparison D large small"));
}

TEST_F(FitCommandsTest, FailedAndCancelledTrialsAreNotUnfinished) {
  fake_.data.trials[0].set_state(v1::Trial::FAILED);
  fake_.data.trials[2].set_state(v1::Trial::CANCELLED);
  fake_.data.trials[4].set_state(v1::Trial::PENDING);
  ASSERT_EQ(fake_.data.trials[4].arm(), "small");
  fake_.unfinished = 3;  // the coordinator counts them all as one
  EXPECT_EQ(Run({"fit", "--arm", "small"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("left out: 0 diverged, 1 failed, 1\n    cancelled, 1 unfinished\n"));
  EXPECT_EQ(Run({"compare", "small", "large"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("1 failed,"));
  EXPECT_THAT(out(), HasSubstr("1 unfinished\n"));
}

TEST_F(FitCommandsTest, LossesAtPlaces) {
  EXPECT_EQ(Run({"fit", "--arm", "small", "--at", "64M", "--at", "2M"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("loss at D = 64M  2.4"));
  EXPECT_THAT(out(), HasSubstr("beyond the data"));
  EXPECT_THAT(out(), HasSubstr("loss at D = 2M  3.0"));
  EXPECT_EQ(Run({"fit", "--at", "64M", "-o", "csv"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("kind,axis,arm,x,n_params,loss,law_low,"));
  EXPECT_THAT(out(), HasSubstr("local_slope,D,small,6.4e+07,,2.4"));
  EXPECT_EQ(Run({"fit", "--at", "N=64M"}), 1);
  EXPECT_THAT(err(), HasSubstr("the local_slope fit is in D, which it does not say"));
}

TEST_F(FitCommandsTest, OneErrorDoesNotHideTheOtherFits) {
  fake_.refused_arm = "large";
  EXPECT_EQ(Run({"fit"}), 1);
  EXPECT_THAT(out(), HasSubstr("slope  -0.07"));
  EXPECT_THAT(out(), HasSubstr("Exponent with a floor"));
  EXPECT_THAT(err(), HasSubstr("saturating in D of large: no arm large"));
  EXPECT_THAT(err(), HasSubstr("comparison in D of small and large: no arm large"));
  EXPECT_THAT(err(), HasSubstr("error: 3 of 5 fits could not be made"));
  EXPECT_EQ(Run({"fit", "-o", "json"}), 1);
  EXPECT_EQ(json::parse(out())["fits"].size(), 2u);
  EXPECT_EQ(json::parse(err())["error"]["code"], "INTERNAL");
}

TEST_F(FitCommandsTest, ACoordinatorThatIsGoneIsSaidOnce) {
  fake_.unavailable_after_lists = 1;
  fake_.unavailable_calls_then = 5;
  EXPECT_EQ(Run({"fit"}), 5);
  EXPECT_THAT(fake_.fits_asked, IsEmpty());
}

}  // namespace
}  // namespace loglog::cli
