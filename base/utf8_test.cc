#include "base/utf8.h"

#include <gtest/gtest.h>

namespace loglog {
namespace {

TEST(Utf8, IsCutBetweenCharacters) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abc", 2), "ab");
  // Characters of two, three and four bytes.
  EXPECT_EQ(CutUtf8("a\xC3\xA4", 2), "a");
  EXPECT_EQ(CutUtf8("\xE2\x82\xAC", 2), "");
  EXPECT_EQ(CutUtf8("x\xF0\x9F\x98\x80y", 4), "x");
  EXPECT_EQ(CutUtf8("x\xF0\x9F\x98\x80y", 5), "x\xF0\x9F\x98\x80");
  EXPECT_EQ(CutUtf8("", 0), "");
}

}  // namespace
}  // namespace loglog
