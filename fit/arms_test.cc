#include "fit/arms.h"

#include <cmath>

#include "fit/fit.h"
#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

ArmTrials Line(const std::string& name, double e, double fall, double beta, double sd,
               uint64_t seed) {
  Noise noise(seed);
  const auto law = [&](double d) { return e + fall * std::pow(d / 8e8, -beta); };
  return {name, Planted(LogRange(1e8, 64, 7), 2, sd, &noise, law)};
}

const FitParameter* Find(const ArmsChoice& choice, const std::string& name) {
  for (const FitParameter& p : choice.parameters) {
    if (p.name == name) return &p;
  }
  return nullptr;
}

TEST(Arms, AllFreeIsEachArmAlone) {
  const std::vector<ArmTrials> arms = {Line("small", 1.9, 1.4, 0.35, 0.002, 1),
                                       Line("large", 2.1, 1.0, 0.28, 0.002, 2)};
  const ArmsFit fit = *FitArms(arms, {.law = Law::kSaturating});
  ASSERT_EQ(fit.choices.size(), 3u);
  EXPECT_EQ(fit.choices[0].sharing, "all free");
  EXPECT_EQ(fit.choices[1].sharing, "shared E");
  EXPECT_EQ(fit.choices[2].sharing, "shared B, beta");
  for (const ArmTrials& arm : arms) {
    const FitResult alone = *FitSaturating(arm.trials);
    for (const char* name : {"beta", "E", "B"}) {
      EXPECT_NEAR(Find(fit.choices[0], absl::StrCat(name, "[", arm.name, "]"))->estimate /
                      alone.Find(name)->estimate,
                  1, 1e-6)
          << name;
    }
  }
  EXPECT_EQ(fit.choices[0].n_parameters, 6);
  EXPECT_EQ(fit.choices[1].n_parameters, 5);
}

TEST(Arms, SharedFloorIsChosenWhereItIsTrueAndFoundExactly) {
  const std::vector<ArmTrials> exact = {Line("a", 2, 1.4, 0.35, 0, 1),
                                        Line("b", 2, 1.0, 0.28, 0, 2)};
  const ArmsFit found = *FitArms(exact, {.law = Law::kSaturating});
  EXPECT_NEAR(Find(found.choices[1], "E")->estimate, 2, 1e-7);
  EXPECT_NEAR(Find(found.choices[1], "beta[a]")->estimate, 0.35, 1e-7);
  EXPECT_NEAR(Find(found.choices[1], "beta[b]")->estimate, 0.28, 1e-7);
  EXPECT_NEAR(Find(found.choices[1], "B[b]")->estimate / std::pow(8e8, 0.28), 1, 1e-5);

  int shared = 0, free = 0;
  for (uint64_t seed = 10; seed < 15; ++seed) {
    const ArmsFit same =
        *FitArms({Line("a", 2, 1.4, 0.35, 0.002, seed), Line("b", 2, 1.0, 0.28, 0.002, seed + 100)},
                 {.law = Law::kSaturating});
    shared += same.best_by_aicc == 1;
    const ArmsFit other = *FitArms(
        {Line("a", 2, 1.4, 0.35, 0.002, seed), Line("b", 1.5, 1.0, 0.45, 0.002, seed + 100)},
        {.law = Law::kSaturating});
    free += other.best_by_aicc == 0;
    // A shared floor that is true narrows every arm's exponent.
    EXPECT_LT(Find(same.choices[1], "beta[a]")->high - Find(same.choices[1], "beta[a]")->low,
              Find(same.choices[0], "beta[a]")->high - Find(same.choices[0], "beta[a]")->low);
    EXPECT_TRUE(std::isfinite(same.choices[1].held_out_error));
  }
  EXPECT_GE(shared, 3);
  EXPECT_EQ(free, 5);
}

TEST(Arms, JointFormSharesItsSizeTerm) {
  const auto grid = [](const std::string& name, double b, double beta, uint64_t seed) {
    Noise noise(seed);
    ArmTrials arm{name, {}};
    for (const double n : LogRange(1e7, 64, 4)) {
      for (const double d : LogRange(2e8, 64, 5)) {
        const double loss = 1.8 + 250 * std::pow(n, -0.34) + b * std::pow(d, -beta);
        arm.trials.push_back(At(n, d, loss * std::exp(0.001 * noise.Next())));
      }
    }
    return arm;
  };
  const ArmsFit fit =
      *FitArms({grid("a", 500, 0.3, 1), grid("b", 900, 0.33, 2)}, {.law = Law::kJoint});
  ASSERT_EQ(fit.choices.size(), 4u);
  EXPECT_EQ(fit.choices[3].sharing, "shared E, A, alpha");
  EXPECT_EQ(fit.choices[3].n_parameters, 7);
  EXPECT_EQ(fit.best_by_aicc, 3);
  const FitParameter& alpha = *Find(fit.choices[3], "alpha");
  EXPECT_LT(alpha.low, 0.34);
  EXPECT_GT(alpha.high, 0.34);
  for (size_t i = 1; i < fit.choices.size(); ++i) {
    EXPECT_GE(fit.choices[i].rss, fit.choices[0].rss * (1 - 1e-9)) << fit.choices[i].sharing;
  }
}

TEST(Arms, RefusesWithTheArmsName) {
  const ArmTrials good = Line("a", 2, 1.4, 0.35, 0.002, 1);
  ArmTrials thin = Line("b", 2, 1.4, 0.35, 0.002, 1);
  thin.trials.resize(4);
  EXPECT_THAT(FitArms({good, thin}, {.law = Law::kSaturating})->reason,
              HasSubstr("arm b: 3 parameters need 4 configurations"));
  EXPECT_THAT(FitArms({good, good}, {.law = Law::kSaturating}).status().message(),
              HasSubstr("'a' is given twice"));
  EXPECT_THAT(FitArms({good}, {.law = Law::kSaturating}).status().message(), HasSubstr("2 to 12"));
  EXPECT_THAT(FitArms({good, thin}, {.law = Law::kBroken}).status().message(),
              HasSubstr("not of 'broken'"));
}

}  // namespace
}  // namespace loglog
