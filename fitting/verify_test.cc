#include "fitting/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "fitting/trials_testing.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<ObservationRow> TwoArms() {
  std::vector<ObservationRow> rows = TrialsOf({"a", "b"});
  for (ObservationRow& row : rows) row.data_sha256 = "3fa9";
  return rows;
}

FitRow Stored(const std::vector<ObservationRow>& trials, const std::string& kind) {
  const std::string arm_b = kind == "comparison" ? "b" : "";
  return *Fitter(trials, FitPlan()).Compute({kind, Axis::kTokens, "a", arm_b});
}

class VerifyKinds : public testing::TestWithParam<std::string> {};

TEST_P(VerifyKinds, TheSameTrialsGiveTheSameDigits) {
  const std::vector<ObservationRow> trials = TwoArms();
  const FitRow stored = Stored(trials, GetParam());
  // The order in which a store gives its trials is no part of a fit.
  const std::vector<ObservationRow> turned(trials.rbegin(), trials.rend());
  for (const std::vector<ObservationRow>& rows : {trials, turned}) {
    FitCheck check = *VerifyFit(stored, rows, {});
    std::erase_if(check.differences,
                  [](const std::string& d) { return d.rfind("trials/", 0) == 0; });
    EXPECT_THAT(check.differences, IsEmpty());
    EXPECT_FALSE(check.moved_on);
  }
}

INSTANTIATE_TEST_SUITE_P(All, VerifyKinds,
                         testing::Values("local_slope", "power", "saturating", "comparison",
                                         "joint", "broken", "isoflop"),
                         [](const auto& info) { return info.param; });

TEST(Verify, ALastDigitIsADifference) {
  const std::vector<ObservationRow> trials = TwoArms();
  FitRow stored = Stored(trials, "local_slope");
  json fit = json::parse(stored.fit_json);
  double& estimate = fit["parameters"][0]["estimate"].get_ref<double&>();
  estimate = std::nextafter(estimate, 0);
  stored.fit_json = fit.dump();
  const FitCheck check = *VerifyFit(stored, trials, {});
  EXPECT_EQ(check.outcome, FitCheck::Outcome::kDiffers);
  EXPECT_THAT(check.differences, ElementsAre(HasSubstr("parameters/0/estimate: stored -0.")));
  // From older code the same is said otherwise.
  fit["provenance"]["version"] = "fit-1";
  stored.fit_json = fit.dump();
  EXPECT_EQ(VerifyFit(stored, trials, {})->outcome, FitCheck::Outcome::kOtherCode);
}

TEST(Verify, TrialsThatEndedSinceAreNotHeldAgainstAFit) {
  const std::vector<ObservationRow> all = TwoArms();
  std::vector<ObservationRow> early = all;
  early[14].state = TrialState::kRunning;
  early[14].final_loss = kNoNumber;
  const FitRow stored = Stored(early, "saturating");
  const FitCheck check = *VerifyFit(stored, all, {});
  EXPECT_TRUE(check.moved_on);
  EXPECT_THAT(check.differences, IsEmpty());
  EXPECT_EQ(check.outcome, FitCheck::Outcome::kSame);
}

// Fewer trials of an arm are left by then than are gone, which the fit had no note of.
TEST(Verify, TrialsThatDivergedSinceAreNotHeldAgainstAFit) {
  std::vector<ObservationRow> trials = TwoArms();
  const FitRow slope = Stored(trials, "local_slope"), contrast = Stored(trials, "comparison");
  for (int i = 0; i < 16; ++i) {
    ObservationRow gone = trials[0];
    gone.seed = 10 + i;
    gone.state = TrialState::kDiverged;
    gone.final_loss = kNoNumber;
    gone.trial_sha256 = absl::StrCat("gone ", i);
    trials.push_back(gone);
  }
  for (const FitRow& stored : {slope, contrast}) {
    const FitCheck check = *VerifyFit(stored, trials, {});
    EXPECT_TRUE(check.moved_on);
    EXPECT_THAT(check.differences, IsEmpty());
    EXPECT_EQ(check.outcome, FitCheck::Outcome::kSame);
  }
}

TEST(Verify, AnotherLossOrALostTrialIsNamed) {
  std::vector<ObservationRow> trials = TwoArms();
  const FitRow stored = Stored(trials, "local_slope");
  trials[2].final_loss *= 1 + 1e-15;
  const FitCheck other = *VerifyFit(stored, trials, {});
  EXPECT_EQ(other.outcome, FitCheck::Outcome::kDiffers);
  EXPECT_THAT(other.differences, testing::Contains(HasSubstr("trials/2/final_loss: stored")));
  trials = TwoArms();
  trials.erase(trials.begin() + 2);
  EXPECT_THAT(VerifyFit(stored, trials, {})->differences,
              testing::Contains(HasSubstr("the fit lists trial a 1000000 2")));
}

// Stopped trials that a fit holds as ends come out the same, and those stopped since are not
// held against it.
TEST(Verify, CensoredTrialsAreThoseThatTheFitLists) {
  FitPlan plan;
  plan.censored = {{"saturating", Axis::kTokens}};
  std::vector<ObservationRow> trials = TwoArms();
  trials[14].state = TrialState::kStopped;
  trials[14].stopped_loss = trials[14].final_loss;
  trials[13].state = TrialState::kRunning;
  const FitRow stored = *Fitter(trials, plan).Compute({"saturating", Axis::kTokens, "a", ""});
  EXPECT_EQ(json::parse(stored.fit_json)["provenance"]["censored"]["n"], 1);
  EXPECT_THAT(VerifyFit(stored, trials, plan)->differences, IsEmpty());
  trials[13].state = TrialState::kStopped;
  trials[13].stopped_loss = trials[13].final_loss;
  const FitCheck later = *VerifyFit(stored, trials, plan);
  EXPECT_TRUE(later.moved_on);
  EXPECT_THAT(later.differences, IsEmpty());
  trials[14].stopped_loss *= 1.001;
  EXPECT_THAT(VerifyFit(stored, trials, plan)->differences,
              testing::Contains(HasSubstr("provenance/censored/trials/0/loss_below: stored")));
}

TEST(Verify, WhatIsNoFitIsSaid) {
  FitRow stored = Stored(TwoArms(), "local_slope");
  stored.fit_json = "{";
  EXPECT_EQ(VerifyFit(stored, TwoArms(), {}).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace loglog
