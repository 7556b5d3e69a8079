#include "cli/fit_report.h"

#include <cmath>

#include "cli/fixtures_testing.h"
#include "cli/plot_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FitReportTest, GoldenReport) {
  EXPECT_EQ(RenderFitReport(
                {SlopeFit("small", -0.0712, -0.0801, -0.0623),
                 SlopeFit("large", -0.0901, -0.0999, -0.0803),
                 SaturatingFit("small", v1::Fit::IDENTIFIED),
                 SaturatingFit("large", v1::Fit::REFUSED), ComparisonFit(-0.0189, -0.021, -0.0168)},
                {}, {}),
            R"(Local slope in D   L = B*D^slope
  local slope d ln L / d ln D over the range fitted
  small  ok
    slope  -0.0712  95% [-0.0801, -0.0623]
    B          8.5  95% [8.1, 8.9]
    8 trials, 4 values of D from 1M to 16M; left out: 0 diverged, 0 unfinished
    largest D left out and predicted: +0.42%
    note: a note
  large  ok
    slope  -0.0901  95% [-0.0999, -0.0803]
    B          8.5  95% [8.1, 8.9]
    8 trials, 4 values of D from 1M to 16M; left out: 0 diverged, 0 unfinished
    largest D left out and predicted: +0.42%
    note: a note

Exponent with a floor, in D   L = E + B*D^-beta
  exponent beta of D with a free floor E
  small  identified
    beta  0.31  95% [0.25, 0.37]
    E     2.02  95% [1.9, 2.1]            floor of the loss
    B       60  95% [40, +inf]
    8 trials, 4 values of D from 1M to 16M; left out: 0 diverged, 0 unfinished
  large  refused
    3 values of D; at least 4 are needed
    8 trials, 4 values of D from 1M to 16M; left out: 0 diverged, 0 unfinished

Comparison of arms, in D
  difference of the local slopes of small and large
  small against large  ok
    slope difference  -0.0189  95% [-0.021, -0.0168]
    efficiency ratio      1.4  95% [1.2, 1.6]            times large's tokens for the same loss, mid-range
    small is steeper than large; one-sided p = 0.0004
    16 trials in 8 pairs, 4 values of D from 1M to 16M; left out: 0 diverged,
    0 unfinished
)");
}

TEST(FitReportTest, NamesCannotSteerTheTerminal) {
  const std::string name = "sm\x1b[2Jall\nbig";
  v1::Fit compared = ComparisonFit(-0.0189, -0.021, -0.0168);
  compared.set_arm(name);
  compared.set_arm_b("large\xc2\x9b");
  compared.set_message(name);
  v1::Fit refused = SaturatingFit(name, v1::Fit::REFUSED);
  refused.set_message(name);
  refused.set_definition(name);
  refused.set_provenance_json(R"({"notes": ["of sm\u001b[2Jall"], "version": "1\u001b[2J"})");
  const std::string report =
      RenderFitReport({SlopeFit(name, -0.0712, -0.0801, -0.0623), refused, compared},
                      {.detailed = true}, {}) +
      RenderFloors({refused}, {.entropy_rate = 2}, {});
  EXPECT_THAT(report, HasSubstr("sm [2Jall / big  refused"));
  EXPECT_THAT(report, HasSubstr("sm [2Jall / big is steeper than large"));
  EXPECT_THAT(report, HasSubstr("note: of sm [2Jall"));
  EXPECT_THAT(report, Not(HasSubstr("\x1b")));
  EXPECT_THAT(report, Not(HasSubstr("\x9b")));
}

// The stored p is that of one direction, so the other's is a difference of 1.
TEST(FitReportTest, ASteeperSecondArmHasAPValueToo) {
  v1::Fit fit = ComparisonFit(0.0189, 0.0168, 0.021);
  fit.set_p_value(1);
  EXPECT_THAT(RenderFitReport({fit}, {}, {}),
              HasSubstr("large is steeper than small; one-sided p < 1e-15\n"));
  fit.set_provenance_json(R"({"holm": {"m": 3, "p_adjusted": 0}})");
  EXPECT_THAT(RenderFitReport({fit}, {}, {}),
              HasSubstr("two-sided p < 1e-15 as one of 3 comparisons (Holm)"));
}

TEST(FitReportTest, DetailsNameTheObjectivesAndTheStoredFit) {
  const std::string report =
      RenderFitReport({SlopeFit("small", -0.07, -0.08, -0.06)}, {.detailed = true}, {});
  EXPECT_THAT(report, HasSubstr("slope by objective: huber -0.071, lad -, least_squares -0.07\n"));
  EXPECT_THAT(report, HasSubstr("stored as sweeps/demo/fits/1, inputs 0123456789abcdef\n"));
}

TEST(FitReportTest, APValueIsOfTheHypothesisThatIsNamed) {
  const auto conclusion = [](double difference, double low, double high, double p) {
    v1::Fit fit = ComparisonFit(difference, low, high);
    fit.set_p_value(p);
    return RenderFitReport({fit}, {}, {});
  };
  // The stored p is one-sided for the first arm.
  EXPECT_THAT(conclusion(-0.01, -0.02, -0.004, 0.002),
              HasSubstr("small is steeper than large; one-sided p = 0.002\n"));
  EXPECT_THAT(conclusion(0.01, 0.004, 0.02, 0.998),
              HasSubstr("large is steeper than small; one-sided p = 0.002\n"));
  EXPECT_THAT(
      conclusion(0.001, -0.002, 0.004, 0.75),
      HasSubstr("neither arm is shown to be steeper; two-sided p = 0.5 for equal slopes\n"));
}

TEST(FitReportTest, OneOfSeveralComparisonsSaysSo) {
  v1::Fit fit = ComparisonFit(-0.01, -0.02, -0.004);
  fit.set_provenance_json(R"({"holm":{"m":3,"tested":3,"p_adjusted":0.006}})");
  EXPECT_THAT(RenderFitReport({fit}, {}, {}),
              HasSubstr("    two-sided p = 0.006 as one of 3 comparisons (Holm)\n"));
  fit.set_provenance_json(R"({"holm":{"m":1,"tested":1,"p_adjusted":0.004}})");
  EXPECT_THAT(RenderFitReport({fit}, {}, {}), Not(HasSubstr("Holm")));
}

TEST(FitReportTest, ConfigurationsAndValuesOfTheAxisAreToldApart) {
  v1::Fit fit = SlopeFit("small", -0.07, -0.08, -0.06);
  fit.set_n_configs(6);
  for (const double x : {1e6, 1e6, 4e6, 4e6, 1.6e7, 1.6e7}) fit.add_points()->set_x(x);
  EXPECT_THAT(RenderFitReport({fit}, {}, {}),
              HasSubstr("8 trials, 6 configurations, 3 values of D from 1M to 16M"));
}

TEST(FitReportTest, NoNumberPretendsToHaveAnInterval) {
  const std::string report = RenderFitReport({SlopeFit("small", -0.07, NAN, NAN)}, {}, {});
  EXPECT_THAT(report, HasSubstr("-0.07  no interval"));
  EXPECT_THAT(report, Not(HasSubstr("nan")));
  EXPECT_EQ(HeadlineOf(SaturatingFit("a", v1::Fit::REFUSED)),
            "refused: 3 values of D; at least 4 are needed");
}

// The loss is measured on a fixed sample, whose own floor is the truth where it is known.
TEST(FitReportTest, TheFloorOfTheSampleIsTheTruthOfTheLoss) {
  const std::vector<v1::Fit> fits = {SaturatingFit("small", v1::Fit::IDENTIFIED)};
  EXPECT_EQ(RenderFloors(fits, {.entropy_rate = 1.95}, {}),
            "The floor E beside the truth   the source's entropy rate is 1.9500 nats a token\n"
            "  small: E = 2.02 [1.9, 2.1], which holds the truth\n");
  EXPECT_EQ(RenderFloors(fits, {.entropy_rate = 1.95, .val_floor = 1.89}, {}),
            "The floor E beside the truth   the source's entropy rate is 1.9500 nats a token; "
            "1.8900 on the validation sample\n"
            "  small: E = 2.02 [1.9, 2.1], above the truth: the arm stays short of it, or "
            "the form does not hold\n");
  EXPECT_EQ(RenderFloors(fits, {}, {}), "");
}

TEST(PlotDataTest, AllTrialsMeansAndFittedLines) {
  CheckInput input = DoneSweep();
  input.trials[0].set_state(v1::Trial::DIVERGED);
  input.trials[0].set_final_loss(NAN);
  const PlotRequest request = {.title = "demo"};
  v1::Fit fit = SlopeFit("small", -0.07, -0.08, -0.06);
  for (const Place& place : PlotPlaces(input.trials, "small", request)) {
    AddPrediction(&fit, place.x, 8.5 * std::pow(place.x, -0.07));
  }
  const Plot plot = BuildPlot(input.trials, {fit}, request);
  ASSERT_EQ(plot.series.size(), 2u);
  EXPECT_EQ(plot.series[0].trials.size(), 7u);
  EXPECT_EQ(plot.series[0].means.size(), 4u);
  EXPECT_EQ(plot.series[0].name, "small: slope -0.07 [-0.08, -0.06]");
  ASSERT_EQ(plot.series[0].curves.size(), 1u);
  EXPECT_NEAR(plot.series[0].curves[0].points.front().x, 1e6, 1);
  EXPECT_NEAR(plot.series[0].curves[0].points.front().y, 8.5 * std::pow(1e6, -0.07), 1e-9);
  EXPECT_NEAR(plot.series[0].curves[0].points.back().x, 1.6e7, 1);
  ASSERT_EQ(plot.series[0].curves[0].band_low.size(), plot.series[0].curves[0].points.size());
  EXPECT_NEAR(plot.series[0].curves[0].band_low[3].y, 0.98 * plot.series[0].curves[0].points[3].y,
              1e-9);
  EXPECT_EQ(plot.series[1].name, "large");
  EXPECT_EQ(plot.note, "15 of 16 trials; 1 diverged; lines: local log-log slope, bands 95%");
}

TEST(PlotDataTest, SaturatingCurve) {
  const PlotRequest request = {.title = "demo", .arm = "small", .curve = "saturating"};
  const std::vector<v1::Trial> trials = DoneSweep().trials;
  v1::Fit fit = SaturatingFit("small", v1::Fit::IDENTIFIED);
  for (const Place& place : PlotPlaces(trials, "small", request)) {
    AddPrediction(&fit, place.x, 2.02 + 60 * std::pow(place.x, -0.31));
  }
  const Plot plot = BuildPlot(trials, {fit}, request);
  ASSERT_EQ(plot.series.size(), 1u);
  // Inside, and dashed beyond.
  ASSERT_EQ(plot.series[0].curves.size(), 2u);
  EXPECT_NEAR(plot.series[0].curves[0].points.back().y, 2.02 + 60 * std::pow(1.6e7, -0.31), 1e-9);
  EXPECT_TRUE(plot.series[0].curves[1].dashed);
  EXPECT_NEAR(plot.series[0].curves[1].points.back().x, 6.4e7, 1);
  // Nobody is asked for a curve of an arm without trials.
  EXPECT_TRUE(PlotPlaces(trials, "none", request).empty());
  EXPECT_TRUE(BuildPlot(trials, {SaturatingFit("small", v1::Fit::IDENTIFIED)}, request)
                  .series[0]
                  .curves.empty());
}

}  // namespace
}  // namespace loglog::cli
