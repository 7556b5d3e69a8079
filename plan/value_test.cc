#include "plan/value.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"
#include "plan/decimal.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

TEST(CanonicalNumber, IsWhatTheContractSays) {
  EXPECT_EQ(CanonicalNumber(1), "1.0");
  EXPECT_EQ(CanonicalNumber(1e-5), "1.0e-05");
  EXPECT_EQ(CanonicalNumber(0.0001), "0.0001");
  EXPECT_EQ(CanonicalNumber(0.1), "0.1");
  EXPECT_EQ(CanonicalNumber(-2.5), "-2.5");
  EXPECT_EQ(CanonicalNumber(0), "0.0");
  EXPECT_EQ(CanonicalNumber(-0.0), "0.0");
  EXPECT_EQ(CanonicalNumber(123456.75), "123456.75");
  EXPECT_EQ(CanonicalNumber(1e15), "1000000000000000.0");
  EXPECT_EQ(CanonicalNumber(1e16), "1.0e+16");
  EXPECT_EQ(CanonicalNumber(1.5e300), "1.5e+300");
  EXPECT_EQ(CanonicalNumber(5e-324), "5.0e-324");
  EXPECT_EQ(CanonicalNumber(0.1 + 0.2), "0.30000000000000004");
}

TEST(CanonicalNumber, ReadsBackToTheSameBits) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 5000; ++i) {
    const double value = std::ldexp(std::uniform_real_distribution<>(-1, 1)(random),
                                    std::uniform_int_distribution<>(-200, 200)(random));
    const std::string text = CanonicalNumber(value);
    ASSERT_EQ(std::stod(text), value) << text;
    ASSERT_NE(text.find('.'), std::string::npos) << text;
    const auto decimal = ParseDecimal(text);
    ASSERT_TRUE(decimal.has_value()) << text;
    ASSERT_EQ(decimal->ToDouble(), value) << text;
  }
}

TEST(DisplayCount, UsesAUnitOnlyWhenShorter) {
  EXPECT_EQ(DisplayCount(200'000'000), "200M");
  EXPECT_EQ(DisplayCount(1'600'000'000), "1.6B");
  EXPECT_EQ(DisplayCount(131'072), "131072");
  EXPECT_EQ(DisplayCount(1'000), "1k");
  EXPECT_EQ(DisplayCount(7), "7");
  EXPECT_EQ(DisplayCount(-5), "-5");
  EXPECT_EQ(ApproximateCount(200'015'872), "200M");
  EXPECT_EQ(ApproximateCount(1.4001e9), "1.4B");
  EXPECT_EQ(ApproximateCount(24'576), "24.6k");
  EXPECT_EQ(ApproximateCount(512), "512");
}

TEST(Decimal, IsExact) {
  EXPECT_EQ(ParseDecimal("1.6")->Scaled(9).ToInt(), 1'600'000'000);
  EXPECT_EQ(ParseDecimal("1e18")->ToInt(), 1'000'000'000'000'000'000);
  EXPECT_EQ(ParseDecimal("5")->Scaled(-2).ToDouble(), 0.05);
  EXPECT_EQ(ParseDecimal("0.5")->ToInt(), std::nullopt);
  EXPECT_EQ(ParseDecimal("1e19")->ToInt(), std::nullopt);
  EXPECT_EQ(ParseDecimal("-12.50")->ToText(), "-12.5");
  EXPECT_EQ(ParseDecimal("0.05")->ToText(), "0.05");
  EXPECT_EQ(ParseDecimal("1.6e9")->ToText(), "1600000000");
  for (const char* text : {"", "-", ".", "1.2.3", "e5", "1e", "1e5x", "1e 5", "0x10", "1e999"}) {
    EXPECT_FALSE(ParseDecimal(text).has_value()) << text;
  }
}

std::vector<double> RangeOf(const char* start, const char* stop, const char* step) {
  const auto values =
      DecimalRange(*ParseDecimal(start), *ParseDecimal(stop), *ParseDecimal(step), 100);
  std::vector<double> doubles;
  if (values) {
    for (const Decimal& value : *values) doubles.push_back(value.ToDouble());
  }
  return doubles;
}

TEST(DecimalRange, HitsDecimalValuesExactly) {
  EXPECT_EQ(RangeOf("0.40", "0.80", "0.05"),
            (std::vector<double>{0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8}));
  EXPECT_EQ(RangeOf("0", "1", "0.3"), (std::vector<double>{0, 0.3, 0.6, 0.9}));
  EXPECT_EQ(RangeOf("3", "1", "-1"), (std::vector<double>{3, 2, 1}));
  EXPECT_EQ(RangeOf("2", "2", "1"), (std::vector<double>{2}));
}

TEST(DecimalRange, TakesAStopThatARoundedStepJustMisses) {
  EXPECT_EQ(RangeOf("0", "1", "0.33333333"), (std::vector<double>{0, 0.33333333, 0.66666666, 1}));
  EXPECT_EQ(RangeOf("0", "1", "0.33333334"), (std::vector<double>{0, 0.33333334, 0.66666668, 1}));
  EXPECT_EQ(RangeOf("0", "1", "0.334").size(), 3u);
}

TEST(DecimalRange, RefusesWhatLeadsNowhere) {
  EXPECT_TRUE(RangeOf("0", "1", "0").empty());
  EXPECT_TRUE(RangeOf("0", "1", "-0.1").empty());
  EXPECT_TRUE(RangeOf("0", "1", "0.001").empty());
  EXPECT_TRUE(RangeOf("0", "1e30", "1e-30").empty());
}

TEST(NearestWord, GuessesTyposAndBeginnings) {
  const std::vector<std::string> words = {"warmup", "weight_decay", "schedule", "lr"};
  EXPECT_EQ(NearestWord("weigth_decay", words), "weight_decay");
  EXPECT_EQ(NearestWord("Warm_Up", words), "warmup");
  EXPECT_EQ(NearestWord("sched", words), "schedule");
  EXPECT_EQ(NearestWord("banana", words), "");
  EXPECT_EQ(NearestWord("", words), "");
  EXPECT_EQ(EditDistance("abcd", "abdc"), 1);
}

}  // namespace
}  // namespace loglog
