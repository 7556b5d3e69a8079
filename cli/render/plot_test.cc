#include "cli/render/plot.h"

#include <cmath>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Plot Example() {
  Plot plot = {.title = "demo",
               .x_label = "D: training tokens",
               .y_label = "final loss/val",
               .note = "4 of 4 trials"};
  PlotSeries small = {.name = "small", .means = {{1e5, 4.0}, {1e6, 3.0}}};
  small.trials = small.means;
  PlotCurve line;
  for (int i = 0; i <= 20; ++i) {
    const double x = 1e5 * std::pow(10, i / 20.0);
    line.points.push_back({x, 4.0 * std::pow(x / 1e5, std::log10(0.75))});
  }
  small.curves = {line};
  const PlotSeries large = {
      .name = "large <b>", .trials = {{1e5, 4.4}, {1e6, 2.8}}, .means = {{1e5, 4.4}, {1e6, 2.8}}};
  plot.series = {small, large};
  return plot;
}

TEST(LogTicksTest, DecadesThenOneTwoFiveThenEvenSteps) {
  EXPECT_THAT(LogTicks(1e3, 1e9, 6), ElementsAre(1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9));
  EXPECT_THAT(LogTicks(1e5, 1e6, 5), ElementsAre(1e5, 2e5, 5e5, 1e6));
  EXPECT_THAT(TickLabels(LogTicks(2.9, 3.4, 5)),
              ElementsAre("2.9", "3", "3.1", "3.2", "3.3", "3.4"));
  EXPECT_TRUE(LogTicks(3, 3, 5).empty());
  EXPECT_TRUE(LogTicks(-1, 3, 5).empty());
}

TEST(LogTicksTest, LabelsTellTicksApart) {
  EXPECT_THAT(TickLabels({1e5, 2e5, 5e5, 1e6}), ElementsAre("100k", "200k", "500k", "1M"));
  EXPECT_THAT(TickLabels({3.2, 3.25, 3.3}), ElementsAre("3.2", "3.25", "3.3"));
}

TEST(TerminalPlotTest, GoldenAscii) {
  EXPECT_EQ(RenderTerminalPlot(Example(), 60, 10, {}),
            "demo\n"
            "  final loss/val\n"
            "  |  x\n"
            "  |\n"
            " 4+  o......\n"
            "  |        ..........\n"
            "  |                 ..........\n"
            "  |                          .........\n"
            "  |                                   .........\n"
            "  |                                            .........\n"
            " 3+                                                     .o\n"
            "  |                                                      x\n"
            "  +--+---------------+-------------------+---------------+--\n"
            "   100k            200k                500k             1M\n"
            "                                          D: training tokens\n"
            "  o small\n"
            "  x large <b>\n"
            "  4 of 4 trials\n");
}

TEST(TerminalPlotTest, BrailleWhereTheTerminalKnowsIt) {
  const std::string plot = RenderTerminalPlot(Example(), 60, 10, {.unicode = true});
  EXPECT_THAT(plot, HasSubstr("●"));
  EXPECT_THAT(plot, HasSubstr("×"));
  EXPECT_THAT(plot, Not(HasSubstr("\x1b")));
  bool braille = false;
  for (size_t i = 0; i + 1 < plot.size(); ++i) {
    braille = braille || (static_cast<unsigned char>(plot[i]) == 0xE2 &&
                          (static_cast<unsigned char>(plot[i + 1]) & 0xFC) == 0xA0);
  }
  EXPECT_TRUE(braille);
}

TEST(TerminalPlotTest, NothingDone) {
  EXPECT_EQ(RenderTerminalPlot({.title = "t"}, 60, 10, {}),
            "t\nnothing to draw yet: no trial is done\n");
}

TEST(SvgPlotTest, HoldsPointsMeansLinesTicksAndLegend) {
  const std::string svg = RenderSvgPlot(Example());
  EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr(">small</text>"));
  EXPECT_THAT(svg, HasSubstr("large &lt;b&gt;</text>"));
  EXPECT_THAT(svg, HasSubstr(">200k</text>"));
  EXPECT_THAT(svg, HasSubstr("final loss/val</text>"));
  EXPECT_THAT(svg, HasSubstr("4 of 4 trials</text>"));
  EXPECT_THAT(svg, HasSubstr("<polyline fill=\"none\" stroke=\"#0072B2\""));
  // Two trials hollow and two means plus one legend entry filled, for each series.
  const auto count = [&](const std::string& what) {
    int n = 0;
    for (size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("<circle"), 5);
  EXPECT_EQ(count("<polygon"), 5);
  EXPECT_EQ(count("stroke-opacity"), 4);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("http://www.w3.org/1999")));
}

TEST(SvgPlotTest, EmptyPlotSaysSo) {
  EXPECT_THAT(RenderSvgPlot({.title = "t"}), HasSubstr("no trial is done yet"));
}

}  // namespace
}  // namespace loglog::cli
