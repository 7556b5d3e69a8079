#include "cli/render/text.h"

#include <cmath>

#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

TEST(TextTest, WidthCountsCharactersAndNoEscapes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("é█·"), 3);
  EXPECT_EQ(DisplayWidth("\x1b[31mred\x1b[0m"), 3);
  EXPECT_EQ(PadLeft("\x1b[31mx\x1b[0m", 3), "  \x1b[31mx\x1b[0m");
  EXPECT_EQ(PadRight("é", 3), "é  ");
}

TEST(TextTest, TruncateKeepsTheEscapesThatEndAColor) {
  EXPECT_EQ(Truncate("abcdef", 3), "abc");
  EXPECT_EQ(Truncate("\x1b[1mabcdef\x1b[0m", 2), "\x1b[1mab\x1b[0m");
  EXPECT_EQ(Truncate("ééé", 2), "éé");
}

TEST(TextTest, WrapBreaksAtSpacesAndKeepsLines) {
  EXPECT_EQ(Wrap("one two three", 7), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(Wrap("a\nb", 10), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Wrap("unbreakable", 4), (std::vector<std::string>{"unbreakable"}));
}

TEST(TextTest, CountsForPeople) {
  EXPECT_EQ(HumanCount(0), "0");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(131072), "131k");
  EXPECT_EQ(HumanCount(1048576), "1.05M");
  EXPECT_EQ(HumanCount(200000000), "200M");
  EXPECT_EQ(HumanCount(1.6e9), "1.6B");
  EXPECT_EQ(HumanCount(999999), "1M");
  EXPECT_EQ(HumanCount(3.2e18), "3.2e+18");
  EXPECT_EQ(HumanCount(NAN), "-");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(5), "5 B");
}

TEST(TextTest, DurationsForPeople) {
  EXPECT_EQ(HumanDuration(0.5), "0.5s");
  EXPECT_EQ(HumanDuration(0.004), "0s");
  EXPECT_EQ(HumanDuration(42), "42s");
  EXPECT_EQ(HumanDuration(61), "1m 01s");
  EXPECT_EQ(HumanDuration(4020), "1h 07m");
  EXPECT_EQ(HumanDuration(200000), "2d 08h");
  EXPECT_EQ(HumanDuration(NAN), "?");
  EXPECT_EQ(UtcTime(0), "-");
  EXPECT_EQ(UtcTime(1700000000000), "2023-11-14 22:13:20");
}

TEST(TextTest, SignificantDigits) {
  EXPECT_EQ(Significant(-0.07123456, 3), "-0.0712");
  EXPECT_EQ(Significant(0.00001234, 3), "1.23e-05");
  EXPECT_EQ(Significant(3, 4), "3");
  EXPECT_EQ(Significant(1234567, 3), "1234567");
  EXPECT_EQ(Significant(NAN, 3), "-");
  EXPECT_EQ(Interval(-0.08, -0.06, 3), "[-0.08, -0.06]");
  EXPECT_EQ(Interval(0.1, INFINITY, 3), "[0.1, +inf]");
}

TEST(TextTest, NoPValueIsZero) {
  EXPECT_EQ(PValue(0.01234, 2), "0.012");
  EXPECT_EQ(PEquals(0.01234, 2), "p = 0.012");
  EXPECT_EQ(PValue(2e-15, 2), "2e-15");
  for (const double p : {0.0, 1e-300, -1e-17}) {
    EXPECT_EQ(PValue(p, 2), "< 1e-15");
    EXPECT_EQ(PEquals(p, 2), "p < 1e-15");
  }
  EXPECT_EQ(PValue(NAN, 2), "-");
}

TEST(TextTest, JsonNumbersReadBackAndNeverNaN) {
  EXPECT_EQ(JsonNumber(0.1), "0.1");
  EXPECT_EQ(std::strtod(JsonNumber(1.0 / 3).c_str(), nullptr), 1.0 / 3);
  EXPECT_EQ(JsonNumber(NAN), "null");
  EXPECT_EQ(JsonNumber(-INFINITY), "null");
  EXPECT_EQ(PlainNumber(NAN), "");
  EXPECT_EQ(JsonString("a\"\\\n\x01"), "\"a\\\"\\\\\\n\\u0001\"");
}

TEST(TextTest, CsvAndShellQuotes) {
  EXPECT_EQ(CsvField("a,b"), "\"a,b\"");
  EXPECT_EQ(CsvField("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(CsvField("plain"), "plain");
  EXPECT_EQ(ShellQuote("axes.seed.values=[0,1]"), "'axes.seed.values=[0,1]'");
  EXPECT_EQ(ShellQuote("train.lr=3.0e-4"), "train.lr=3.0e-4");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote(""), "''");
}

TEST(TextTest, NoControlCharacterIsPrintable) {
  EXPECT_EQ(Printable("a\tb\x1b[2J\r\n\x7f"
                      "c"),
            "a b [2J \n c");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            " 31m");
  EXPECT_EQ(Printable("\xc2\xa0 \xc3\xa9 \xe2\x94\x80"), "\xc2\xa0 \xc3\xa9 \xe2\x94\x80");
  EXPECT_EQ(Printable("\xc2"), "\xc2");
  EXPECT_EQ(OneLine("one\ntwo\n\n"), "one / two");
  EXPECT_EQ(OneLine(""), "");
}

}  // namespace
}  // namespace loglog::cli
