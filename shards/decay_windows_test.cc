#include "shards/decay_windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace loglog {
namespace {

using testing::HasSubstr;

std::vector<DecayWindow> Read(const std::string& text) {
  std::string error;
  const std::vector<DecayWindow> windows = ParseDecayWindows(text, &error);
  EXPECT_EQ(error, "") << text;
  return windows;
}

std::string Refusal(const std::string& text) {
  std::string error;
  EXPECT_TRUE(ParseDecayWindows(text, &error).empty()) << text;
  return error;
}

TEST(DecayWindows, AreReadAndSpeltOneWay) {
  const std::pair<const char*, const char*> texts[] = {
      {"0% 25%", "0% 25%"},
      {"  0%   25% ;50% 75%", "0% 25%; 50% 75%"},
      {"5000 1e4", "5000 10000"},
      {"0.0% 33.3% 0.50", "0% 33.3% 0.5"},
      {"0 50% 1", "0 50%"},
      {"0% 100% 1 0 linear", "0% 100% 1 0 linear"},
      {"0% 100% 1e0 0.1 cosine", "0% 100% 1 0.1 cosine"},
      {"0% 100% 2 2 cosine", "0% 100% 2"}};
  for (const auto& [text, canonical] : texts) {
    EXPECT_EQ(DecayWindowsText(Read(text)), canonical);
    EXPECT_EQ(Read(canonical), Read(text));
  }
}

TEST(DecayWindows, RefuseWhatIsNoWindow) {
  EXPECT_THAT(Refusal(""), HasSubstr("`` is no window: write FROM TO"));
  EXPECT_THAT(Refusal("0% 25%;"), HasSubstr("`` is no window"));
  EXPECT_THAT(Refusal("0% 25% 1 0"), HasSubstr("is no window"));
  EXPECT_THAT(Refusal("0% 25% 1 0 linear x"), HasSubstr("is no window"));
  EXPECT_EQ(Refusal("0% 101%"), "`101%` is no moment of a run: write 25% or a step, 5000");
  EXPECT_THAT(Refusal("0.25 0.5"), HasSubstr("`0.25` is no moment"));
  EXPECT_THAT(Refusal("-5 5"), HasSubstr("`-5` is no moment"));
  EXPECT_THAT(Refusal("nan% 5"), HasSubstr("`nan%` is no moment"));
  EXPECT_EQ(Refusal("0% 5% -1"), "`-1` is no factor of lambda: write a number from 0 to 1e6");
  EXPECT_THAT(Refusal("0% 5% inf"), HasSubstr("`inf` is no factor"));
  EXPECT_EQ(Refusal("0% 5% 1 0 sqrt"), "`sqrt` is no curve: write linear or cosine");
  std::string many = "0 1";
  for (int i = 1; i < 65; ++i) many += "; " + std::to_string(i) + " " + std::to_string(i + 1);
  EXPECT_EQ(Refusal(many), "more than 64 windows: join some");
}

TEST(DecayWindows, MustFitInTheRunInOrder) {
  const auto fault = [](const char* text) { return DecayWindowsFault(Read(text), 200); };
  EXPECT_EQ(fault("0% 25%; 50 100 0.5; 50% 100%"), "");
  EXPECT_EQ(
      fault("0% 25%; 40 100"),
      "window `40 100` begins before the one in front of it ends, at step 50 of the run's 200 "
      "steps; write windows in order, without overlap");
  EXPECT_THAT(fault("100 201"), HasSubstr("ends after the last of the run's 200 steps"));
  EXPECT_THAT(fault("50% 25%"), HasSubstr("has none of the run's 200 steps; end it later"));
  EXPECT_THAT(fault("50% 50.1%"), HasSubstr("has none"));
}

// Step by step against the formula, written out here by itself.
TEST(DecayWindows, FactorsFollowTheFormula) {
  const auto windows = Read("10% 20%; 40 50 0.25; 60 100 1 0.2 linear; 50% 200 2 0 cosine");
  for (int64_t t = 0; t < 200; ++t) {
    double expected = 0;
    if (t >= 20 && t < 40) expected = 1;
    if (t >= 40 && t < 50) expected = 0.25;
    if (t >= 60 && t < 100) expected = 1 - 0.8 * (t - 60) / 40.0;
    if (t >= 100) expected = 1 + std::cos(std::acos(-1.0) * (t - 100) / 100.0);
    EXPECT_NEAR(DecayFactor(windows, t, 200), expected, 1e-14) << t;
  }
  EXPECT_EQ(DecayFactor(windows, 200, 200), 0);
}

}  // namespace
}  // namespace loglog
