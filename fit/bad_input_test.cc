// One table of what may be wrong with the points: each row ends in a refusal that says what
// and what to do, or in the right answer, with a warning where one is due.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fit/csv_points.h"
#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

constexpr double kSlope = -0.1;

double Law(double d) { return 30 * std::pow(d, kSlope); }

std::vector<Observation> Good(int tokens = 5, int seeds = 2) {
  Noise noise(1);
  return Planted(LogRange(1e8, 16, tokens), seeds, 0.001, &noise, Law);
}

std::vector<Observation> With(const std::function<void(Observation*)>& change) {
  std::vector<Observation> trials = Good();
  change(&trials[3]);
  return trials;
}

std::vector<Observation> Wide(double first, double range) {
  Noise noise(2);
  return Planted(LogRange(first, range, 7), 2, 0.001, &noise,
                 [](double d) { return std::exp(kSlope * std::log(d)); });
}

// What a user reads: an error, or the verdict's reason and the notes.
std::string Told(const absl::StatusOr<FitResult>& fit) {
  if (!fit.ok()) return std::string(fit.status().message());
  std::string told = fit->reason;
  for (const std::string& note : fit->notes) absl::StrAppend(&told, "; ", note);
  return told;
}

struct Points {
  std::string name;
  std::vector<Observation> trials;
  std::string slope_says;  // "": the slope is right
  std::string saturating_says;
};

TEST(BadInput, PointsAreRefusedOrFittedRight) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<Observation> twice = Good();
  twice.push_back(twice.back());
  Noise noise(3);
  std::vector<Observation> many = Planted(LogRange(1e8, 64, 10), 10'000, 0.01, &noise, Law);
  std::vector<Observation> two_sizes = Good();
  two_sizes[1].d_tokens *= 2;
  const std::string needs = "a fit needs a finite positive loss; leave diverged and unfinished";
  const std::string positive = "it must be finite and positive";
  const std::vector<Points> table = {
      {"good", Good(), "", ""},
      {"loss NaN", With([=](Observation* o) { o->loss = nan; }), "loss is nan, and " + needs,
       "loss is nan, and " + needs},
      {"loss inf", With([=](Observation* o) { o->loss = inf; }), "loss is inf, and " + needs,
       "loss is inf, and " + needs},
      {"loss 0", With([](Observation* o) { o->loss = 0; }), "loss is 0, and " + needs,
       "loss is 0, and " + needs},
      {"loss below 0", With([](Observation* o) { o->loss = -3; }), "loss is -3, and " + needs,
       "loss is -3, and " + needs},
      {"tokens NaN", With([=](Observation* o) { o->d_tokens = nan; }),
       "D (tokens) is nan; " + positive, "D (tokens) is nan; " + positive},
      {"tokens 0", With([](Observation* o) { o->d_tokens = 0; }), "D (tokens) is 0; " + positive,
       "D (tokens) is 0; " + positive},
      {"tokens below 0", With([](Observation* o) { o->d_tokens = -1e8; }),
       "D (tokens) is -1e+08; " + positive, "D (tokens) is -1e+08; " + positive},
      {"tokens inf", With([=](Observation* o) { o->d_tokens = inf; }),
       "D (tokens) is inf; " + positive, "D (tokens) is inf; " + positive},
      {"unique tokens below 0", With([](Observation* o) { o->d_unique = -1; }),
       "unique tokens are -1", "unique tokens are -1"},
      {"no points",
       {},
       "at 3 different D and there are 0; train 3 more",
       "need 4 configurations at different D and there are 0"},
      {"one point",
       {At(1e7, 1e8, 3)},
       "at 3 different D and there are 1; train 2 more",
       "need 4 configurations at different D and there are 1"},
      {"all x equal",
       {At(1e7, 1e8, 3, 0), At(1e7, 1e8, 3.1, 1), At(1e7, 1e8, 3.2, 2)},
       "at 3 different D and there are 1; train 2 more",
       "need 4 configurations at different D and there are 1"},
      {"two x",
       {At(1e7, 1e8, 3), At(1e7, 2e8, 2.9)},
       "at 3 different D and there are 2; train 1 more",
       "need 4 configurations at different D and there are 2"},
      {"a trial twice", twice, "given twice; each trial counts once",
       "given twice; each trial counts once"},
      {"two sizes in a configuration", two_sizes, "one configuration has one size",
       "one configuration has one size"},
      {"1e5 points", many, "", ""},
      {"tokens from 1e-300 to 1e300", Wide(1e-300, 1e300), "", ""},
      {"tokens around 1e300", Wide(1e290, 1e10), "", ""},
      {"tokens around 1e-300", Wide(1e-300, 1e10), "", ""},
  };
  for (const Points& row : table) {
    SCOPED_TRACE(row.name);
    const absl::StatusOr<FitResult> slope = FitLocalSlope(row.trials);
    const absl::StatusOr<FitResult> saturating = FitSaturating(row.trials);
    EXPECT_THAT(Told(saturating), HasSubstr(row.saturating_says));
    if (!row.slope_says.empty()) {
      EXPECT_THAT(Told(slope), HasSubstr(row.slope_says));
      EXPECT_TRUE(!slope.ok() || slope->verdict == FitVerdict::kRefused);
      EXPECT_TRUE(!saturating.ok() || saturating->verdict == FitVerdict::kRefused);
      continue;
    }
    ASSERT_TRUE(slope.ok()) << slope.status();
    EXPECT_EQ(slope->verdict, FitVerdict::kOk);
    EXPECT_NEAR(slope->Find("slope")->estimate, kSlope, 0.002);
    EXPECT_LE(slope->Find("slope")->low, kSlope);
    EXPECT_GE(slope->Find("slope")->high, kSlope);
    ASSERT_TRUE(saturating.ok()) << saturating.status();
    EXPECT_TRUE(std::isfinite(saturating->parameters.front().estimate));
  }
}

TEST(BadInput, ArmsOnDifferentGridsAreNotCompared) {
  std::vector<Observation> other = Good();
  for (Observation& o : other) o.d_tokens *= 1.5;
  EXPECT_THAT(Told(CompareArms(Good(), other)),
              HasSubstr("IMBALANCE: no trial of one arm has a partner at the same N, D and seed"));
  // Where some meet, those are compared and the rest is counted.
  std::vector<Observation> half = Good();
  half[0].d_tokens = half[1].d_tokens = 7e7;
  half[0].config = half[1].config = "elsewhere";
  const absl::StatusOr<FitResult> fit = CompareArms(Good(), half);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->n_pairs, 8);
  EXPECT_NEAR(fit->Find("slope_difference")->estimate, 0, 1e-12);
  EXPECT_THAT(Told(fit), HasSubstr("IMBALANCE: 2 trials of arm 1 and 2 of arm 2 have no partner"));
}

struct Csv {
  std::string name;
  std::string text;
  std::string says;  // "": read, and the slope is right
  int diverged = 0;
};

std::string Rows(const std::string& header, const std::string& separator = ",",
                 const std::string& end = "\n") {
  std::string text = header + end;
  for (const Observation& o : Good()) {
    absl::StrAppend(&text, absl::StrFormat("%.17g", o.d_tokens), separator,
                    absl::StrFormat("%.17g", o.loss), separator, o.seed, end);
  }
  return text;
}

TEST(BadInput, FilesAreRefusedOrReadRight) {
  const std::string good = Rows("tokens,loss,seed");
  std::string diverged = good;
  for (int seed = 10; seed < 30; ++seed) absl::StrAppend(&diverged, "1e8,nan,", seed, "\n");
  std::string units = "tokens,loss,seed,loss_unit\n1e8,3,0,nats\n2e8,2.9,0,bits\n";
  const std::vector<Csv> table = {
      {"good", good, ""},
      {"CRLF", Rows("tokens,loss,seed", ",", "\r\n"), ""},
      {"a byte order mark", "\xEF\xBB\xBF" + good, ""},
      {"semicolons", Rows("tokens;loss;seed", ";"), ""},
      {"quotes", Rows("\"tokens\",\"loss\",\"seed\""), ""},
      {"a diverged majority", diverged, "", 20},
      {"locale commas", "tokens;loss;seed\n1e8;3,5;0\n",
       "'3,5' has a decimal comma; write a point"},
      {"thousands", "tokens,loss,seed\n\"100,000,000\",3,0\n", "thousands separator"},
      {"a missing column", "tokens,seed\n1e8,0\n", "no column 'loss'"},
      {"a column by another case", "Tokens,loss,seed\n1e8,3,0\n", "did you mean 'Tokens'?"},
      {"a column twice", "tokens,tokens,loss,seed\n1,2,3,0\n", "two columns are named 'tokens'"},
      {"a short row", "tokens,loss,seed\n1e8\n", "row 2 has 1 columns and the header 3"},
      {"an open quote", "tokens,loss,seed\n\"1e8,3,0\n", "row 2: a quote is opened"},
      {"mixed loss units", units, "mixes 'bits' and 'nats'"},
      {"loss 0", "tokens,loss,seed\n1e8,0,0\n", "'0' must be above 0 and finite"},
      {"tokens below 0", "tokens,loss,seed\n-1e8,3,0\n", "'-1e8' must be above 0 and finite"},
      {"tokens NaN", "tokens,loss,seed\nnan,3,0\n", "'nan' is no number"},
      {"beyond a double", "tokens,loss,seed\n1e999,3,0\n", "must be above 0 and finite"},
      {"UTF-16", std::string("\xFF\xFEt\0", 4), "UTF-16"},
      {"nothing", "", "the file is empty"},
  };
  for (const Csv& row : table) {
    SCOPED_TRACE(row.name);
    const absl::StatusOr<CsvPoints> points =
        ReadCsvPoints(row.text, {.tokens = "tokens", .seed = "seed"});
    if (!row.says.empty()) {
      EXPECT_FALSE(points.ok());
      EXPECT_THAT(std::string(points.status().message()), HasSubstr(row.says));
      continue;
    }
    ASSERT_TRUE(points.ok()) << points.status();
    EXPECT_EQ(points->arms[0].diverged, row.diverged);
    const absl::StatusOr<FitResult> fit = FitLocalSlope(points->arms[0].trials);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->Find("slope")->estimate, kSlope, 0.002);
  }
}

}  // namespace
}  // namespace loglog
