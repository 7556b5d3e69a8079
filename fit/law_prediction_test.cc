#include "fit/law_prediction.h"

#include <cmath>

#include "fit/joint.h"
#include "fit/local_slope.h"
#include "fit/planted_testing.h"
#include "fit/saturating.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using testing::HasSubstr;

double Bent(double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); }
double Straight(double d) { return 30 * std::pow(d, -0.1); }

std::vector<Observation> SixBudgets(double (*law)(double), uint64_t seed = 7) {
  Noise noise(seed);
  return Planted(LogRange(1e8, 64, 6), 3, 0.003, &noise, law);
}

PredictedLoss One(absl::Span<const Observation> trials, const LawOptions& options, Place place) {
  const absl::StatusOr<LawPredictions> all = PredictLaw(trials, options, {&place, 1});
  EXPECT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->why, "");
  return all->at.at(0);
}

// The loss is that of the parameters that the fits print.
TEST(LawPredictionTest, SaysWhatTheFitsSay) {
  const std::vector<Observation> bent = SixBudgets(Bent);
  const FitResult saturating = *FitSaturating(bent);
  const double d = 3e9;
  const PredictedLoss floor = One(bent, {.law = Law::kSaturating}, {.x = d});
  EXPECT_NEAR(floor.loss,
              saturating.Find("E")->estimate +
                  saturating.Find("B")->estimate * std::pow(d, -saturating.Find("beta")->estimate),
              1e-9);
  EXPECT_FALSE(floor.extrapolated);

  const std::vector<Observation> straight = SixBudgets(Straight);
  const FitResult slope = *FitLocalSlope(straight);
  EXPECT_NEAR(One(straight, {.law = *LawOfKind("local_slope")}, {.x = d}).loss,
              slope.Find("B")->estimate * std::pow(d, slope.Find("slope")->estimate), 1e-9);

  Noise noise(3);
  std::vector<Observation> grid;
  for (const double n : LogRange(1e7, 16, 4)) {
    for (const double tokens : LogRange(1e8, 64, 5)) {
      const double loss = 1.8 + 480 * std::pow(n, -0.35) + 2100 * std::pow(tokens, -0.37);
      grid.push_back(At(n, tokens, loss * std::exp(0.002 * noise.Next())));
    }
  }
  const FitResult joint = *FitJoint(grid);
  const auto value = [&](const char* name) { return joint.Find(name)->estimate; };
  const PredictedLoss both = One(grid, {.law = Law::kJoint}, {.x = 2e10, .n_params = 5e8});
  EXPECT_NEAR(both.loss,
              value("E") + value("A") * std::pow(5e8, -value("alpha")) +
                  value("B") * std::pow(2e10, -value("beta")),
              1e-6);
  EXPECT_TRUE(both.extrapolated);
}

TEST(LawPredictionTest, ThreeIntervalsOfThreeWidths) {
  const std::vector<Observation> trials = SixBudgets(Bent);
  const PredictedLoss inside = One(trials, {.law = Law::kSaturating}, {.x = 1e9});
  const PredictedLoss beyond = One(trials, {.law = Law::kSaturating}, {.x = 1e11});
  for (const PredictedLoss& at : {inside, beyond}) {
    EXPECT_LT(at.law_low, at.loss);
    EXPECT_GT(at.law_high, at.loss);
    EXPECT_LT(at.band_low, at.law_low);
    EXPECT_GT(at.band_high, at.law_high);
    EXPECT_LT(at.trial_low, at.law_low);
    EXPECT_GT(at.trial_high, at.law_high);
  }
  EXPECT_TRUE(beyond.extrapolated);
  EXPECT_GT(beyond.law_high - beyond.law_low, 2 * (inside.law_high - inside.law_low));
  const PredictedLoss less = One(trials, {.law = Law::kSaturating, .confidence = 0.8}, {.x = 1e9});
  EXPECT_LT(less.law_high, inside.law_high);
}

TEST(LawPredictionTest, TwoPointsAreALineWithoutIntervals) {
  const Place place = {.x = 4e8};
  const std::vector<Observation> two = {At(1e7, 1e8, 4), At(1e7, 1.6e9, 3)};
  const LawPredictions line = *PredictLaw(two, {.law = Law::kPower}, {&place, 1});
  ASSERT_EQ(line.at.size(), 1u);
  EXPECT_NEAR(line.at[0].loss, std::sqrt(12.0), 1e-9);
  EXPECT_TRUE(std::isnan(line.at[0].law_low));
  EXPECT_THAT(line.why, HasSubstr("train 1 more"));
  const LawPredictions none = *PredictLaw(two, {.law = Law::kSaturating}, {&place, 1});
  EXPECT_TRUE(none.at.empty());
  EXPECT_THAT(none.why, HasSubstr("train 2 more"));
  EXPECT_TRUE(PredictLaw({}, {.law = Law::kPower}, {&place, 1})->at.empty());
}

TEST(LawPredictionTest, SaysWhyThereIsNoInterval) {
  const Place place = {.x = 1e9};
  // A straight line leaves no room for a floor.
  const LawPredictions at_bound =
      *PredictLaw(SixBudgets([](double d) { return 3e4 * std::pow(d, -0.5); }),
                  {.law = Law::kSaturating}, {&place, 1});
  ASSERT_EQ(at_bound.at.size(), 1u);
  EXPECT_GT(at_bound.at[0].loss, 0);
  EXPECT_TRUE(std::isnan(at_bound.at[0].band_low));
  EXPECT_THAT(at_bound.why, HasSubstr("E at its lower bound 0.05"));

  std::vector<Observation> mixed = SixBudgets(Bent);
  mixed.push_back(At(2e7, 1e9, 3));
  const LawPredictions refused = *PredictLaw(mixed, {.law = Law::kPower}, {&place, 1});
  EXPECT_TRUE(refused.at.empty());
  EXPECT_THAT(refused.why, HasSubstr("mix 2 values of N"));

  std::vector<Observation> of_trunks = SixBudgets(Bent);
  for (Observation& o : of_trunks) o.cluster = "task 1";
  const LawPredictions dependent = *PredictLaw(of_trunks, {.law = Law::kSaturating}, {&place, 1});
  EXPECT_THAT(dependent.why, HasSubstr("share trunks"));
  ASSERT_EQ(dependent.at.size(), 1u);
  EXPECT_GT(dependent.at[0].loss, 0);
  EXPECT_TRUE(std::isnan(dependent.at[0].band_low));
}

TEST(LawPredictionTest, PlacesThatAreNone) {
  const std::vector<Observation> trials = SixBudgets(Bent);
  for (const double x : {0.0, -1.0, double{NAN}, double{INFINITY}}) {
    const Place place = {.x = x};
    EXPECT_EQ(PredictLaw(trials, {.law = Law::kPower}, {&place, 1}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  const Place without_n = {.x = 1e9};
  EXPECT_THAT(PredictLaw(trials, {.law = Law::kJoint}, {&without_n, 1}).status().message(),
              HasSubstr("N=124M,D=2.5B"));
  EXPECT_FALSE(PredictLaw(trials, {.law = Law::kDataConstrained}, {&without_n, 1}).ok());
  EXPECT_FALSE(LawOfKind("comparison").ok());
  EXPECT_FALSE(LawOfKind("isoflop").ok());
  EXPECT_FALSE(LawOfKind("nothing").ok());
}

TEST(LawPredictionTest, EvenRatiosHitBothEnds) {
  const std::vector<double> values = EvenRatios(1e8, 3e9, 7);
  ASSERT_EQ(values.size(), 8u);
  EXPECT_EQ(values.front(), 1e8);
  EXPECT_EQ(values.back(), 3e9);
  EXPECT_NEAR(values[4] / values[3], values[1] / values[0], 1e-12);
}

}  // namespace
}  // namespace loglog
