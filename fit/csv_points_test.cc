#include "fit/csv_points.h"

#include <cmath>
#include <random>

#include "fit/fit.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CsvColumns kTokens = {.tokens = "tokens"};

std::string ErrorOf(const std::string& text, const CsvColumns& columns = kTokens) {
  const auto points = ReadCsvPoints(text, columns);
  return points.ok() ? "no error" : std::string(points.status().message());
}

TEST(CsvPoints, ArmsSeedsAndReplicates) {
  const CsvPoints points = *ReadCsvPoints(
      "arm,tokens,loss,seed\nsmall,1e8,3.5,0\nsmall,1e8,3.4,1\nlarge,2e8,3.25,0\nsmall,2e8,nan,0\n",
      {.tokens = "tokens", .arm = "arm", .seed = "seed"});
  ASSERT_EQ(points.arms.size(), 2u);
  EXPECT_EQ(points.arms[0].name, "small");
  ASSERT_EQ(points.arms[0].trials.size(), 2u);
  EXPECT_EQ(points.arms[0].trials[1].seed, 1);
  EXPECT_EQ(points.arms[0].trials[0].config, points.arms[0].trials[1].config);
  EXPECT_EQ(points.arms[0].diverged, 1);
  EXPECT_EQ(points.arms[1].trials[0].loss, 3.25);
  EXPECT_EQ(points.n_rows, 4);
}

TEST(CsvPoints, RowsAlikeAreReplicatesWithoutASeedColumn) {
  const CsvPoints points = *ReadCsvPoints("tokens,loss\n1e8,3.5\n1e8,3.4\n2e8,3.1\n", kTokens);
  EXPECT_EQ(MeansOverSeeds(points.arms[0].trials, Axis::kTokens)->points.size(), 2u);
}

TEST(CsvPoints, TheThirdSizeFollowsFromTheOtherTwo) {
  const CsvPoints points = *ReadCsvPoints("N,C,loss\n1e6,6e14,3\n", {.params = "N", .flops = "C"});
  EXPECT_DOUBLE_EQ(points.arms[0].trials[0].d_tokens, 1e8);
  const CsvPoints only = *ReadCsvPoints("C,loss\n6e14,3\n", {.flops = "C"});
  EXPECT_EQ(only.arms[0].trials[0].c_flops, 6e14);
}

TEST(CsvPoints, EverySpellingOfOneFile) {
  const std::string variants[] = {
      "tokens,loss\n1e8,3.5\n2e8,3.25\n",
      "tokens,loss\r\n1e8,3.5\r\n2e8,3.25\r\n",
      "tokens,loss\r1e8,3.5\r2e8,3.25",
      "\xEF\xBB\xBFtokens,loss\n1e8,3.5\n2e8,3.25",
      "\"tokens\",\"loss\"\n\"1e8\",\"3.5\"\n 2e8 , 3.25 \n",
      "tokens;loss\n1e8;3.5\n2e8;3.25\n",
      "tokens\tloss\n1e8\t3.5\n2e8\t3.25\n",
      "\n\ntokens,loss\n\n1e8,3.5\n,\n2e8,3.25\n\n",
      "comment,tokens,loss\n\"a, \"\"b\"\"\nc\",1e8,3.5\nx,100000000.0e0,3.5\ny,2E+8,3.25\n"};
  for (const std::string& text : variants) {
    const auto points = ReadCsvPoints(text, kTokens);
    ASSERT_TRUE(points.ok()) << text << points.status();
    EXPECT_EQ(points->arms[0].trials.front().d_tokens, 1e8) << text;
    EXPECT_EQ(points->arms[0].trials.back().loss, 3.25) << text;
  }
  EXPECT_THAT(*CsvHeader("\xEF\xBB\xBF\"a b\", c \r\nnever,read"), ElementsAre("a b", "c"));
}

TEST(CsvPoints, RefusalsNameRowColumnAndFix) {
  EXPECT_EQ(ErrorOf("tokens;loss\n1e8;3,5\n"),
            "row 2, column 'loss': '3,5' has a decimal comma; write a point");
  EXPECT_THAT(ErrorOf("tokens,loss\n\"1,000,000\",3\n"), HasSubstr("thousands separator"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e8,3.5\n200M,3\n"),
              HasSubstr("row 3, column 'tokens': '200M' is no plain number; write 2e8 for 200M"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1 000,3\n"), HasSubstr("has separators"));
  EXPECT_THAT(ErrorOf("tokens,loss\n0,3\n"), HasSubstr("'0' must be above 0 and finite"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e8,-3\n"), HasSubstr("'-3' must be above 0"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e999,3\n"), HasSubstr("must be above 0 and finite"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e-999,3\n"), HasSubstr("must be above 0 and finite"));
  EXPECT_THAT(ErrorOf("tokens,loss\nnan,3\n"), HasSubstr("'nan' is no number"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e8\n"), HasSubstr("row 2 has 1 columns and the header 2"));
  EXPECT_THAT(ErrorOf("tokens,loss\n1e8,3,\n"), HasSubstr("row 2 has 3 columns"));
  EXPECT_THAT(ErrorOf("tokens,loss\n\"1e8,3\n"), HasSubstr("row 2: a quote is opened"));
  EXPECT_THAT(ErrorOf("Tokens,loss\n1e8,3\n"), HasSubstr("did you mean 'Tokens'?"));
  EXPECT_THAT(ErrorOf("x,y\n1e8,3\n"), HasSubstr("no column 'loss'; the columns are x, y"));
  EXPECT_THAT(ErrorOf("tokens,tokens,loss\n1,2,3\n"), HasSubstr("two columns are named 'tokens'"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ErrorOf("\xFF\xFEt\0o"), HasSubstr("UTF-16"));
  EXPECT_THAT(ErrorOf(std::string("tokens,loss\n\0\0", 14)), HasSubstr("binary"));
  EXPECT_EQ(ErrorOf("tokens,loss,arm\r\n1e8,3,gr\xc3\xbc"
                    "n\r\n1e8,3,gr\xfcn\r\n"),
            "line 3 is not UTF-8 text; save the file as CSV UTF-8");
  EXPECT_THAT(ErrorOf("tokens,loss\n1e8,3\n", {}), HasSubstr("at least one of tokens"));
  EXPECT_THAT(ErrorOf("loss,loss_unit,tokens\n3,nats,1e8\n4,bits,2e8\n"),
              HasSubstr("mixes 'bits' and 'nats'"));
  EXPECT_THAT(ErrorOf("tokens,loss,seed\n1e8,3,zero\n", {.tokens = "tokens", .seed = "seed"}),
              HasSubstr("'zero' is no whole number"));
}

TEST(CsvPoints, TheSameTrialTwiceIsRefusedByTheFit) {
  const CsvPoints points = *ReadCsvPoints("tokens,loss,seed\n1e8,3.5,0\n1e8,3.4,0\n2e8,3,0\n",
                                          {.tokens = "tokens", .seed = "seed"});
  EXPECT_THAT(FitLocalSlope(points.arms[0].trials).status().message(),
              HasSubstr("configuration row 2, seed 0: given twice"));
}

// Whatever bytes come, the answer is points that a fit can judge, or a message.
TEST(CsvPoints, RandomBytesAndMutations) {
  const uint64_t seed = 20240601;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 engine(seed);
  const std::string good =
      "arm,tokens,loss,seed\n\"a,\"\"x\"\"\",1e8,3.5,0\r\nb,2e8,3.1,1\na,4e8,nan,2\nb,8e8,2.9,3\n";
  const std::string alphabet = "\"\"\"\r\n,,;\t0123456789.eE+-naif \0\xEF\xBB\xFF";
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    const int edits = 1 + static_cast<int>(engine() % 6);
    for (int e = 0; e < edits; ++e) {
      const size_t at = engine() % (text.size() + 1);
      const char c =
          engine() % 4 == 0 ? static_cast<char>(engine()) : alphabet[engine() % alphabet.size()];
      switch (engine() % 3) {
        case 0:
          text.insert(at, 1, c);
          break;
        case 1:
          text = text.substr(0, at) + text.substr(std::min(text.size(), at + engine() % 9));
          break;
        default:
          if (at < text.size()) text[at] = c;
      }
    }
    const auto points = ReadCsvPoints(text, {.tokens = "tokens", .arm = "arm", .seed = "seed"});
    if (!points.ok()) {
      EXPECT_FALSE(points.status().message().empty());
      continue;
    }
    ++accepted;
    for (const CsvArm& arm : points->arms) {
      for (const Observation& o : arm.trials) {
        EXPECT_TRUE(std::isfinite(o.loss) && o.loss > 0 && o.d_tokens > 0);
      }
      if (round % 16 == 0) FitSaturating(arm.trials).IgnoreError();
    }
  }
  EXPECT_GT(accepted, 500);
  EXPECT_LT(accepted, 19500);
}

// Which row of one arm belongs to which of the other is not known without seeds: what stands in
// pairs is the same in any order of the rows, and where some of them diverged.
TEST(CsvPoints, RowsWithoutSeedsAreComparedByTheirMeans) {
  const std::string rows[] = {"1e8,4\n", "1e8,nan\n", "1e8,9\n", "2e8,3\n", "2e8,\n"};
  for (const auto& order : {std::vector{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {1, 2, 0, 4, 3}}) {
    std::string text = "tokens,loss\n";
    for (const int i : order) text += rows[i];
    const CsvPoints points = *ReadCsvPoints(text, kTokens);
    const CsvArm& arm = points.arms[0];
    EXPECT_EQ(arm.trials.size(), 3u);
    EXPECT_EQ(arm.diverged, 1);
    EXPECT_EQ(arm.empty, 1);
    EXPECT_EQ(arm.lost.size(), 2u);
    const std::vector<Observation> means = CsvComparable(points, arm);
    ASSERT_EQ(means.size(), 2u);
    EXPECT_DOUBLE_EQ(means[0].loss, 6);
    EXPECT_DOUBLE_EQ(means[1].loss, 3);
    for (const Observation& mean : means) EXPECT_EQ(mean.seed, 0);
  }
  const CsvPoints seeded = *ReadCsvPoints("tokens,loss,seed\n1e8,4,3\n1e8,9,5\n1e8,nan,7\n1e8,,\n",
                                          {.tokens = "tokens", .seed = "seed"});
  EXPECT_EQ(CsvComparable(seeded, seeded.arms[0]).size(), 2u);
  EXPECT_EQ(seeded.arms[0].lost[0].seed, 7);
}

// Two arms of a frontier, with a column of C alone, have pairs at each C.
TEST(CsvPoints, ComputeAloneTellsConfigurationsApart) {
  const CsvPoints points = *ReadCsvPoints("c,loss\n1e18,4\n1e19,3\n", {.flops = "c"});
  EXPECT_NE(points.arms[0].trials[0].d_tokens, points.arms[0].trials[1].d_tokens);
}

TEST(CsvPoints, CensoredRowsStandApart) {
  const CsvColumns columns = {.tokens = "d", .censored = "end"};
  const CsvPoints points = *ReadCsvPoints(
      "d,loss,end\n1e8,3.5,\n2e8,3.3, Below \n2e8,3.4,above\n4e8,nan,below\n", columns);
  ASSERT_EQ(points.arms.size(), 1u);
  EXPECT_EQ(points.arms[0].trials.size(), 1u);
  ASSERT_EQ(points.arms[0].censored.size(), 2u);
  EXPECT_EQ(points.arms[0].censored[0].trial.loss, 3.3);
  EXPECT_FALSE(points.arms[0].censored[0].loss_is_lower);
  EXPECT_TRUE(points.arms[0].censored[1].loss_is_lower);
  EXPECT_EQ(points.arms[0].diverged, 1);  // nothing is known of it
  EXPECT_THAT(ReadCsvPoints("d,loss,end\n1e8,3.5,yes\n", columns).status().message(),
              HasSubstr("row 2, column 'end': 'yes' must be empty, or say"));
}

}  // namespace
}  // namespace loglog
