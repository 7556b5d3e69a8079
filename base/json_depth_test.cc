#include "base/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace loglog {
namespace {

TEST(JsonDepthTest, CountsLevelsOutsideOfText) {
  EXPECT_EQ(JsonDepth(""), 0);
  EXPECT_EQ(JsonDepth("17"), 0);
  EXPECT_EQ(JsonDepth("[]"), 1);
  EXPECT_EQ(JsonDepth(R"({"a": [1, {"b": []}], "c": [[]]})"), 4);
  EXPECT_EQ(JsonDepth(R"(["[[[[", "\"[[[", "\\", [1]])"), 2);
  EXPECT_EQ(JsonDepth(std::string(100'000, '[')), 100'000);
}

}  // namespace
}  // namespace loglog
