#include "base/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace loglog {
namespace {

using ::testing::HasSubstr;

TEST(LoggingTest, JsonLineSurvivesAnyBytes) {
  const std::string line = JsonLogLine("t", "warn", "p", 7, "say \"hi\"\n\xff\x01");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["level"], "warn");
  EXPECT_EQ(json["pid"], 7);
  EXPECT_EQ(json["message"], "say \"hi\"\n\xEF\xBF\xBD\x01");
}

TEST(LoggingTest, BadFlagsAreNamed) {
  EXPECT_THAT(std::string(SetUpLogging({.level = "loud"}, "p").message()),
              HasSubstr("--log-level is 'loud'; choose trace"));
  EXPECT_THAT(std::string(SetUpLogging({.format = "xml"}, "p").message()),
              HasSubstr("--log-format is 'xml'; choose text or json"));
}

TEST(LoggingTest, JsonLinesReachStandardError) {
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(SetUpLogging({.level = "info", .format = "json"}, "p").ok());
  spdlog::debug("hidden");
  spdlog::info("shown {}", 1);
  const std::string text = ::testing::internal::GetCapturedStderr();
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["message"], "shown 1");
  EXPECT_EQ(json["program"], "p");
  // A second set-up replaces the first.
  ASSERT_TRUE(SetUpLogging({.format = "text"}, "p").ok());
  ::testing::internal::CaptureStderr();
  spdlog::info("plain");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("info  plain\n"));
}

}  // namespace
}  // namespace loglog
