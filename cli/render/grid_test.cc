#include "cli/render/grid.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

GridCell Done(double value) { return {.total = 1, .done = 1, .value = value}; }

Grid Example() {
  Grid grid = {.title = "final loss/val at D = 800M, mean over seeds",
               .row_axis = "gamma",
               .column_axis = "lambda"};
  grid.rows = {"0.4", "0.8"};
  grid.columns = {"0", "0.01", "0.1", "1.0"};
  grid.cells = {{Done(3.5), Done(3.25), {.total = 2, .pending = 2}, {.total = 1, .diverged = 1}},
                {{.total = 2, .running = 1, .done = 1, .value = 3.3},
                 {.total = 2, .running = 2, .progress = 0.42},
                 {.total = 1, .failed = 1},
                 {}}};
  return grid;
}

TEST(GridTest, MarksEveryStateAndTheBest) {
  EXPECT_EQ(RenderGrid(Example(), {}),
            "final loss/val at D = 800M, mean over seeds\n"
            "           lambda\n"
            "  gamma         0      0.01       0.1       1.0\n"
            "  0.4      3.5000  [3.2500]         .         x\n"
            "  0.8     3.3000*       42%         !\n"
            "  [ ] best   x diverged   * seeds missing   % running   . pending   ! failed, "
            "cancelled or stopped\n");
}

TEST(GridTest, EachColumnHasItsBestWhenScalesDiffer) {
  Grid grid = {.title = "t",
               .row_axis = "arm",
               .column_axis = "D",
               .rows = {"a", "b"},
               .columns = {"1M", "2M"}};
  grid.one_best = false;
  grid.cells = {{Done(3.0), Done(2.9)}, {Done(3.1), Done(2.8)}};
  EXPECT_EQ(RenderGrid(grid, {}),
            "t\n"
            "              D\n"
            "  arm        1M        2M\n"
            "  a    [3.0000]    2.9000\n"
            "  b      3.1000  [2.8000]\n"
            "  [ ] best of its column\n");
}

TEST(GridTest, DivergedSeedsBesideAMeanAreCounted) {
  Grid grid = {.title = "t", .row_axis = "r", .column_axis = "c", .rows = {"1"}, .columns = {"1"}};
  grid.cells = {{{.total = 3, .done = 1, .diverged = 2, .value = 3.5}}};
  EXPECT_THAT(RenderGrid(grid, {}), testing::HasSubstr("3.5000x2"));
}

TEST(GridTest, NothingToShowIsNothing) { EXPECT_EQ(RenderGrid({}, {}), ""); }

TEST(BarTest, SharesFillTheBar) {
  EXPECT_EQ(RenderBar({.done = 0.5, .running = 0.25}, 8, {}), "[####>>..]");
  EXPECT_EQ(RenderBar({.done = 1, .running = 0}, 4, {}), "[####]");
  EXPECT_EQ(RenderBar({.done = 0, .running = 0}, 4, {.unicode = true}), "[····]");
  EXPECT_EQ(RenderBar({.done = 2, .running = 1}, 4, {}), "[####]");
}

}  // namespace
}  // namespace loglog::cli
