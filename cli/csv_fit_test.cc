// `loglog fit --csv`: no coordinator is asked.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/commands_testing.h"
#include "cli/spec_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CsvFitTest : public CommandsTest {
 protected:
  // Two arms, 6 budgets, 2 seeds; small scatter that no generator is needed for.
  static std::string TwoArms() {
    std::string text = "arm,tokens,seed,loss\n";
    int k = 0;
    for (const char* arm : {"small", "large"}) {
      const double beta = arm[0] == 's' ? 0.4 : 0.3;
      for (int i = 0; i < 6; ++i) {
        for (int seed = 0; seed < 2; ++seed) {
          const double d = 1e8 * std::pow(64, i / 5.0);
          const double loss = 2 + 1.5 * std::pow(d / 8e8, -beta);
          absl::StrAppend(&text, arm, ",", d, ",", seed, ",",
                          loss * (1 + 0.001 * std::sin(37.0 * ++k)), "\n");
        }
      }
    }
    return text;
  }
};

TEST_F(CsvFitTest, SlopesExponentsAndTheComparison) {
  const std::string path = WriteFile("points.csv", TwoArms());
  ASSERT_EQ(
      Run({"fit", "--csv", path, "--x", "tokens", "--y", "loss", "--by", "arm", "--seed", "seed"}),
      0)
      << err();
  EXPECT_THAT(fake_.fits_asked, IsEmpty());
  EXPECT_THAT(out(), HasSubstr("Local slope in D"));
  EXPECT_THAT(out(), HasSubstr("Exponent with a floor, in D"));
  EXPECT_THAT(out(), HasSubstr("small against large"));
  EXPECT_THAT(out(), HasSubstr("small is steeper than large"));
  // Both arms were planted with one floor.
  EXPECT_THAT(out(), HasSubstr("What the arms share (saturating form)\n  all free          6 "));
  EXPECT_THAT(out(),
              testing::ContainsRegex("shared E          5 parameters, AICc .* \\(least\\), l"));
  EXPECT_THAT(err(), HasSubstr("24 of 24 rows"));
}

TEST_F(CsvFitTest, LossesAtPlaces) {
  const std::string path = WriteFile("points.csv", TwoArms());
  const std::vector<std::string> fit = {"fit", "--csv", path, "--x", "tokens", "--by", "arm"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), fit.begin(), fit.end());
    return Run(more);
  };
  ASSERT_EQ(with({"--form", "saturating", "--at", "1B", "--at", "D=25.6B"}), 0) << err();
  EXPECT_THAT(out(),
              testing::ContainsRegex("loss at D = 1B  3\\.[34][0-9]+  law 95% \\[3\\..*, a new"));
  EXPECT_THAT(out(), testing::ContainsRegex("loss at D = 25.6B  2\\.[0-9]+  law 95% .*beyond"));
  // Programs get nothing else.
  ASSERT_EQ(with({"--form", "saturating", "--at", "1e9", "--confidence", "0.8", "-o", "json"}), 0);
  const nlohmann::json at = nlohmann::json::parse(out())["losses"];
  ASSERT_EQ(at.size(), 2u);
  EXPECT_EQ(at[0]["arm"], "small");
  EXPECT_NEAR(at[0]["loss"].get<double>(), 2 + 1.5 * std::pow(1 / 0.8, -0.4), 0.01);
  EXPECT_LT(at[0]["trial_low"].get<double>(), at[0]["law_low"].get<double>());
  EXPECT_EQ(at[0]["extrapolated"], false);
  // Slope and floor each say their own; the comparison says none.
  ASSERT_EQ(with({"--at", "1B", "-o", "json"}), 0) << err();
  EXPECT_EQ(nlohmann::json::parse(out())["losses"].size(), 4u);

  for (const char* bad : {"0", "-1", "many", "1e999", "Q=3", "D=1,D=2", "D=", "N=1e8"}) {
    EXPECT_EQ(with({"--at", bad}), 2) << bad;
    EXPECT_THAT(err(), HasSubstr(absl::StrCat("--at is `", bad, "`"))) << bad;
  }
  EXPECT_EQ(with({"--form", "joint", "--at", "D=1B"}), 2);
  EXPECT_THAT(err(), HasSubstr("the joint law is one of N and D; it says no N"));
}

TEST_F(CsvFitTest, ConfidenceAndDelta) {
  const std::string path = WriteFile("points.csv", TwoArms());
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> all = {"fit", "--csv", path,    "--x", "tokens", "--by",
                                    "arm", "--arm", "small", "-o",  "json"};
    all.insert(all.end(), more.begin(), more.end());
    EXPECT_EQ(Run(all), 0) << err();
    return nlohmann::json::parse(out())["fits"];
  };
  const nlohmann::json usual = run({}), narrow = run({"--confidence", "0.5"});
  for (size_t i = 0; i < usual.size(); ++i) {
    EXPECT_EQ(usual[i]["estimate"], narrow[i]["estimate"]);
    EXPECT_LT(usual[i]["low"].get<double>(), narrow[i]["low"].get<double>());
  }
  // A delta beyond every residual leaves the squares.
  const auto huber = [](const nlohmann::json& fits) {
    return fits[0]["provenance"]["triples"]["slope"];
  };
  const nlohmann::json wide = huber(run({"--delta", "10"}));
  EXPECT_NEAR(wide["huber"].get<double>(), wide["least_squares"].get<double>(), 1e-9);
  EXPECT_NE(huber(usual)["huber"], wide["huber"]);
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "--confidence", "0.9"}), 0);
  EXPECT_THAT(out(), HasSubstr("  90% ["));
  EXPECT_THAT(out(), Not(HasSubstr("95%")));
  EXPECT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--confidence", "95"}), 2);
}

TEST_F(CsvFitTest, PicturesShowTheBand) {
  const std::string path = WriteFile("points.csv", TwoArms());
  const std::string svg = WriteFile("picture.svg", "");
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "--form", "saturating",
                 "--svg", svg}),
            0)
      << err();
  const std::string text = ReadTextFile(svg).value();
  EXPECT_THAT(text, HasSubstr("fill-opacity=\"0.12\""));
  EXPECT_THAT(text, HasSubstr("stroke-dasharray"));
}

TEST_F(CsvFitTest, JsonHoldsEveryNumberAndTheProvenance) {
  const std::string path = WriteFile("points.csv", TwoArms());
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "--form", "saturating", "-o",
                 "json"}),
            0)
      << err();
  const nlohmann::json fits = nlohmann::json::parse(out()).at("fits");
  ASSERT_EQ(fits.size(), 2u);
  EXPECT_EQ(fits[0].at("kind"), "saturating");
}

TEST_F(CsvFitTest, AColumnOfParametersIsTheAxisN) {
  std::string text = "params,loss\n";
  for (int i = 0; i < 6; ++i) {
    const double n = 1e6 * std::pow(3.0, i);
    absl::StrAppend(&text, n, ",", 2 + 50 * std::pow(n, -0.3), "\n");
  }
  ASSERT_EQ(Run({"fit", "--csv", WriteFile("sizes.csv", text), "--x", "params"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("Local slope in N"));
  EXPECT_THAT(out(), HasSubstr("alpha"));
}

TEST_F(CsvFitTest, DrawsAPicture) {
  const std::string path = WriteFile("points.csv", TwoArms());
  const std::string svg = testing::TempDir() + "/points.svg";
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "--svg", svg}), 0) << err();
  std::stringstream text;
  text << std::ifstream(svg).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("<svg"));
  EXPECT_THAT(text.str(), HasSubstr("small: slope -0."));
}

// Row numbers are no seeds: shuffled rows, or one that diverged, do not change the pairs.
TEST_F(CsvFitTest, WithoutSeedsArmsAreComparedOnMeans) {
  std::vector<std::string> lines = absl::StrSplit(TwoArms(), '\n', absl::SkipEmpty());
  const auto compared = [&] {
    const std::string path = WriteFile("points.csv", absl::StrJoin(lines, "\n"));
    EXPECT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "-o", "json"}), 0)
        << err();
    return nlohmann::json::parse(out())["fits"].back();
  };
  const nlohmann::json fit = compared();
  EXPECT_EQ(fit["kind"], "comparison");
  EXPECT_EQ(fit["n_pairs"], 6);
  EXPECT_EQ(fit["n_trials"], 24);
  EXPECT_THAT(fit["provenance"]["notes"].dump(),
              HasSubstr("no --seed: arms are compared on means"));
  std::swap(lines[1], lines[2]);
  EXPECT_EQ(compared()["parameters"], fit["parameters"]);
  ASSERT_EQ(Run({"fit", "--csv", WriteFile("points.csv", TwoArms()), "--x", "tokens", "--by", "arm",
                 "--seed", "seed", "-o", "json"}),
            0);
  const nlohmann::json paired = nlohmann::json::parse(out())["fits"].back();
  EXPECT_EQ(paired["n_pairs"], 12);
  EXPECT_THAT(paired["provenance"]["notes"].dump(), Not(HasSubstr("no --seed")));
}

// A contrast that cannot be tested yet belongs to the family, and counts in its p-values.
TEST_F(CsvFitTest, AContrastWithoutAnAnswerKeepsItsPlaceInTheFamily) {
  const std::string two = TwoArms(), three = two + "third,1e8,0,3.5\n";
  std::vector<double> adjusted;
  for (const std::string& text : {two, three}) {
    ASSERT_EQ(Run({"fit", "--csv", WriteFile("points.csv", text), "--x", "tokens", "--by", "arm",
                   "--seed", "seed", "-o", "json"}),
              0)
        << err();
    const nlohmann::json printed = nlohmann::json::parse(out());
    for (const nlohmann::json& fit : printed["fits"]) {
      if (!fit["provenance"].contains("holm")) continue;
      adjusted.push_back(fit["provenance"]["holm"]["p_adjusted"]);
      EXPECT_EQ(fit["provenance"]["holm"]["m"], text == two ? 1 : 3);
    }
  }
  ASSERT_EQ(adjusted.size(), 2u);
  EXPECT_DOUBLE_EQ(adjusted[1], 3 * adjusted[0]);
}

TEST_F(CsvFitTest, DivergedAndEmptyRowsAreCountedApart) {
  std::string text = TwoArms();
  for (int seed = 2; seed < 15; ++seed) absl::StrAppend(&text, "small,1e8,", seed, ",nan\n");
  absl::StrAppend(&text, "large,1e8,2,\nlarge,1e8,3,n/a\n");
  const std::string path = WriteFile("points.csv", text);
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--by", "arm", "--seed", "seed"}), 0);
  EXPECT_THAT(err(), HasSubstr("24 of 39 rows; 13 diverged; 2 without a loss"));
  EXPECT_THAT(out(), HasSubstr("more than half of arm small diverged (13 of 25)"));
  EXPECT_THAT(out(), HasSubstr("diverged: 13 of 25 against 0 of 12"));
  EXPECT_THAT(out(), HasSubstr("exact p 0.0023"));
  EXPECT_THAT(out(), HasSubstr("    diverged, 2 unfinished"));
}

TEST_F(CsvFitTest, MoreArmsThanAreComparedAreSaid) {
  std::string text = "arm,tokens,seed,loss\n";
  for (const char* arm : {"a", "b", "c", "d", "e"}) {
    for (int i = 0; i < 4; ++i) {
      absl::StrAppend(&text, arm, ",", 1e8 * (1 << i), ",0,", 4 - 0.3 * i - (arm[0] - 'a') * 0.01,
                      "\n");
    }
  }
  const std::string path = WriteFile("five.csv", text);
  const std::vector<std::string> fit = {"fit",  "--csv", path,     "--x", "tokens",
                                        "--by", "arm",   "--seed", "seed"};
  ASSERT_EQ(Run(fit), 0) << err();
  EXPECT_THAT(out(), Not(HasSubstr(" against ")));
  EXPECT_THAT(err(), HasSubstr("5 arms would be 10 comparisons, and no more than 4 arms are "
                               "compared: name those with --arm A --arm B"));
  std::vector<std::string> two = fit;
  two.insert(two.end(), {"--arm", "b", "--arm", "e"});
  ASSERT_EQ(Run(two), 0) << err();
  EXPECT_THAT(out(), HasSubstr("b against e"));
  EXPECT_THAT(out(), Not(HasSubstr("a against")));
  EXPECT_EQ(Run({"fit", "phase", "--arm", "a", "--arm", "b"}), 2);
  EXPECT_THAT(err(), HasSubstr("loglog compare A B"));
}

TEST_F(CsvFitTest, ADatasetsSizeIsTokens) {
  std::string text = "dataset_size,Model Size,loss\n";
  for (int i = 0; i < 5; ++i) {
    absl::StrAppend(&text, 1e8 * (1 << i), ",", 1e6 * (1 << i), ",", 4 - 0.3 * i, "\n");
  }
  const std::string path = WriteFile("sizes.csv", text);
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "dataset_size"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("Local slope in D"));
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "Model Size"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("Local slope in N"));
  // Nothing is stored of a file's fit, and none pretends to be.
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "dataset_size", "-o", "wide"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("objective: "));
  EXPECT_THAT(out(), Not(HasSubstr("stored as")));
}

TEST_F(CsvFitTest, DroppingAllRowsIsRefused) {
  const std::string path = WriteFile("few.csv", "tokens,loss\n1e8,3.5\n2e8,3.2\n4e8,3\n8e8,2.9\n");
  EXPECT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--drop-highest", "4"}), 2);
  EXPECT_THAT(err(), HasSubstr("--drop-highest 4 leaves nothing of 4 rows with a loss"));
  ASSERT_EQ(Run({"fit", "--csv", path, "--x", "tokens", "--drop-highest", "1"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("3 of 4 rows; the 1 highest losses are left out"));
}

// The arms' law is chosen by all arms, whichever comes first.
TEST_F(CsvFitTest, TheSharedLawIsThatOfAllArms) {
  std::string text = "arm,params,tokens,seed,loss\n";
  const auto add = [&](const char* arm, double n, double d) {
    const double loss = 1.8 + 400 * std::pow(n, -0.34) + 400 * std::pow(d, -0.28);
    absl::StrAppend(&text, arm, ",", n, ",", d, ",0,", loss, "\n");
  };
  for (const double d : {1e9, 3e9, 1e10, 3e10, 1e11}) add("one", 1e8, d);
  for (const double n : {1e7, 1e8, 1e9}) {
    for (const double d : {1e9, 3e9, 1e10, 3e10}) add("many", n, d);
  }
  ASSERT_EQ(Run({"fit", "--csv", WriteFile("points.csv", text), "--x", "tokens", "--params",
                 "params", "--by", "arm", "--seed", "seed"}),
            0)
      << err();
  EXPECT_THAT(out(), HasSubstr("What the arms share (joint form)"));
}

TEST_F(CsvFitTest, RefusalsNameTheFileAndTheFix) {
  const std::string bad = WriteFile("bad.csv", "tokens;loss\n1e8;3,5\n");
  EXPECT_EQ(Run({"fit", "--csv", bad, "--x", "tokens"}), 2);
  EXPECT_THAT(err(), HasSubstr("bad.csv: row 2, column 'loss': '3,5' has a decimal comma"));
  EXPECT_EQ(Run({"fit", "--csv", bad}), 2);
  EXPECT_THAT(err(), HasSubstr("--csv needs --x"));
  EXPECT_EQ(Run({"fit", "--csv", bad, "--x", "token"}), 2);
  EXPECT_THAT(err(), HasSubstr("no column 'token'"));
  EXPECT_EQ(Run({"fit", "--csv", "/nonexistent.csv", "--x", "tokens"}), 3);
  EXPECT_EQ(Run({"fit", "phase", "--csv", bad, "--x", "tokens"}), 2);
  EXPECT_THAT(err(), HasSubstr("give one of them"));
}

TEST_F(CsvFitTest, TooFewPointsAreAnAnswerWithItsCure) {
  const std::string path = WriteFile("few.csv", "tokens,loss\n1e8,3.5\n2e8,3.2\nnan");
  EXPECT_EQ(Run({"fit", "--csv", path, "--x", "tokens"}), 2);
  const std::string two = WriteFile("few.csv", "tokens,loss\n1e8,3.5\n2e8,3.2\n4e8,nan\n");
  ASSERT_EQ(Run({"fit", "--csv", two, "--x", "tokens"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("refused"));
  EXPECT_THAT(out(), HasSubstr("1 diverged"));
  EXPECT_THAT(out(), HasSubstr("train a trial at D = 4e+08"));
}

TEST_F(CsvFitTest, CensoredRowsAreOfferedAndNotMixedIn) {
  std::string text = "tokens,loss,end\n";
  for (int i = 0; i < 6; ++i) {
    const double d = 1e8 * std::pow(64, i / 5.0);
    absl::StrAppend(&text, d, ",", 30 * std::pow(d, -0.1) * (1 + 1e-3 * std::sin(37.0 * i)), ",\n");
  }
  const std::string open = WriteFile("open.csv", text);
  ASSERT_EQ(Run({"fit", "--csv", open, "--x", "tokens", "-o", "json"}), 0) << err();
  const nlohmann::json before = nlohmann::json::parse(out())["fits"][0];
  absl::StrAppend(&text, 6.4e9, ",", 30 * std::pow(6.4e9, -0.1) * 0.99, ",below\n");
  const std::string path = WriteFile("censored.csv", text);
  const std::vector<std::string> fit = {"fit", "--csv", path, "--x", "tokens", "--censored", "end"};
  std::vector<std::string> as_json = fit;
  as_json.insert(as_json.end(), {"-o", "json"});
  ASSERT_EQ(Run(as_json), 0) << err();
  const nlohmann::json after = nlohmann::json::parse(out())["fits"][0];
  EXPECT_EQ(after["parameters"], before["parameters"]);
  ASSERT_EQ(Run(fit), 0) << err();
  EXPECT_THAT(out(), HasSubstr("with 1 censored trial by maximum likelihood: B "));
  EXPECT_THAT(err(), HasSubstr("6 of 7 rows; 1 censored, which the intervals leave out"));
}

// The joint form is drawn at three sizes, and a law in C has its curve too.
TEST_F(CsvFitTest, LawsOfSizesAndOfComputeAreDrawn) {
  std::string text = "params,tokens,flops,loss\n";
  int k = 0;
  for (const double n : {1e7, 1e8, 1e9}) {
    for (const double d : {1e9, 3e9, 1e10, 3e10}) {
      const double loss = 1.8 + 400 * std::pow(n, -0.34) + 400 * std::pow(d, -0.28);
      absl::StrAppend(&text, n, ",", d, ",", 6 * n * d, ",",
                      loss * (1 + 0.001 * std::sin(37.0 * ++k)), "\n");
    }
  }
  const std::string path = WriteFile("sizes.csv", text);
  const std::string svg = testing::TempDir() + "/sizes.svg";
  const auto lines = [&] {
    std::stringstream picture;
    picture << std::ifstream(svg).rdbuf();
    const std::string drawn = picture.str();
    int n = 0;
    for (size_t at = drawn.find("<polyline"); at != std::string::npos;
         at = drawn.find("<polyline", at + 1)) {
      ++n;
    }
    return n;
  };
  ASSERT_EQ(Run({"fit", "--csv", path, "--params", "params", "--tokens", "tokens", "--form",
                 "joint", "--svg", svg}),
            0)
      << err();
  EXPECT_EQ(lines(), 6);  // each size in and beyond the range
  std::string frontier = "flops,loss\n";
  for (int i = 0; i < 6; ++i) {
    const double c = 1e17 * std::pow(10.0, i);
    absl::StrAppend(&frontier, c, ",", 1.7 + 30 * std::pow(c, -0.07), "\n");
  }
  ASSERT_EQ(Run({"fit", "--csv", WriteFile("frontier.csv", frontier), "--x", "flops", "--form",
                 "power", "--svg", svg}),
            0)
      << err();
  EXPECT_EQ(lines(), 2);
}

}  // namespace
}  // namespace loglog::cli
