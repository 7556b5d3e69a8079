#include "fit/joint.h"

#include <cmath>

#include "fit/planted_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

std::vector<Observation> Grid(int sizes, int tokens, int seeds, double sd, uint64_t random_seed) {
  Noise noise(random_seed);
  std::vector<Observation> trials;
  for (const double n : LogRange(1e7, 64, sizes)) {
    for (const double d : LogRange(2e8, 64, tokens)) {
      for (int seed = 0; seed < seeds; ++seed) {
        const double loss = 1.8 + 250 * std::pow(n, -0.34) + 500 * std::pow(d, -0.3);
        trials.push_back(At(n, d, loss * std::exp(sd * noise.Next()), seed));
      }
    }
  }
  return trials;
}

TEST(Joint, RecoversAPlantedLawWithIntervals) {
  const FitResult fit = *FitJoint(Grid(5, 5, 2, 0.001, 1));
  EXPECT_EQ(fit.verdict, FitVerdict::kIdentified) << fit.reason;
  EXPECT_EQ(fit.parameters.front().name, "beta");
  const std::pair<const char*, double> truth[] = {
      {"beta", 0.3}, {"alpha", 0.34}, {"E", 1.8}, {"B", 500}, {"A", 250}};
  for (const auto& [name, value] : truth) {
    const FitParameter& parameter = *fit.Find(name);
    EXPECT_LT(parameter.low, value) << name;
    EXPECT_GT(parameter.high, value) << name;
    EXPECT_LT(parameter.low, parameter.estimate) << name;
    EXPECT_GT(parameter.high, parameter.estimate) << name;
  }
  EXPECT_EQ(fit.n_configs, 25);
  EXPECT_EQ(fit.n_trials, 50);
  EXPECT_EQ(fit.triples.size(), 3u);
}

TEST(Joint, SharedTrunksHaveNoIntervals) {
  std::vector<Observation> trials = Grid(5, 5, 2, 0.001, 1);
  for (Observation& o : trials) o.cluster = absl::StrCat(o.n_params, " ", o.seed);
  const FitResult fit = *FitJoint(trials);
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_THAT(fit.reason, HasSubstr("not identified: trials share trunks"));
  ASSERT_EQ(fit.parameters.size(), 5u);
  for (const FitParameter& parameter : fit.parameters) {
    EXPECT_FALSE(std::isnan(parameter.estimate)) << parameter.name;
    EXPECT_TRUE(std::isnan(parameter.low) && std::isnan(parameter.high)) << parameter.name;
  }
}

TEST(Joint, EveryObjectiveNamesTheWeights) {
  for (const JointObjective objective :
       {JointObjective::kLeastSquares, JointObjective::kHuber, JointObjective::kLad}) {
    EXPECT_THAT(FitJoint({}, {.objective = objective})->provenance.objective,
                HasSubstr("weighted by their precision"));
  }
}

TEST(Joint, RefusesWhatFiveParametersCannotUse) {
  EXPECT_EQ(FitJoint(Grid(2, 5, 2, 0.001, 1))->reason,
            "five parameters need 6 configurations with 3 values of N and 3 of D; there are 10 "
            "with 2 and 5");
  EXPECT_EQ(FitJoint({})->verdict, FitVerdict::kRefused);
}

TEST(Joint, NoiseThatDrownsTheLawIsNotIdentified) {
  const FitResult fit = *FitJoint(Grid(3, 3, 1, 0.05, 2));
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_THAT(fit.reason, HasSubstr("not identified: "));
}

}  // namespace
}  // namespace loglog
