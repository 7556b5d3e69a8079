#include "base/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/unique_id.h"

namespace loglog {
namespace {

TEST(DurationTest, ParsesAndFormats) {
  EXPECT_EQ(*ParseDurationMs("0"), 0);
  EXPECT_EQ(*ParseDurationMs("250ms"), 250);
  EXPECT_EQ(*ParseDurationMs("30s"), 30'000);
  EXPECT_EQ(*ParseDurationMs("1.5s"), 1'500);
  EXPECT_EQ(*ParseDurationMs("5m"), 300'000);
  EXPECT_EQ(*ParseDurationMs("2h"), 7'200'000);
  EXPECT_EQ(FormatDurationMs(30'000), "30s");
  EXPECT_EQ(FormatDurationMs(90'000), "90s");
  EXPECT_EQ(FormatDurationMs(1'500), "1500ms");
  EXPECT_EQ(FormatDurationMs(0), "0");
}

TEST(DurationTest, RefusesTheRest) {
  for (const char* text : {"", "30", "s", "-1s", "1 s", "1..2s", "1d", "1e3s", "99999999999999h"}) {
    const auto result = ParseDurationMs(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_THAT(std::string(result.status().message()), ::testing::HasSubstr("such as 30s"));
  }
}

TEST(DurationTest, ASignMayStandBeforeIt) {
  EXPECT_EQ(*ParseSignedDurationMs("-1h"), -3'600'000);
  EXPECT_EQ(*ParseSignedDurationMs("+1.5s"), 1'500);
  EXPECT_EQ(*ParseSignedDurationMs("250ms"), 250);
  EXPECT_EQ(*ParseSignedDurationMs("0"), 0);
  for (const char* text : {"", "-", "--1h", "+-1h", "-1"}) {
    EXPECT_FALSE(ParseSignedDurationMs(text).ok()) << text;
  }
}

TEST(UniqueIdTest, HexAndDistinct) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(RandomHexId());
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_THAT(*seen.begin(), ::testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(RandomHexId(3).size(), 6u);
}

}  // namespace
}  // namespace loglog
