#ifndef LOGLOG_CLI_RENDER_GRID_H_
#define LOGLOG_CLI_RENDER_GRID_H_

#include <string>
#include <vector>

#include "cli/render/style.h"

namespace loglog::cli {

// Trials of one arm at one scale, over seeds, as one square of a grid.
struct GridCell {
  int total = 0;  // 0: the sweep has no such trial
  int pending = 0;
  int running = 0;
  int done = 0;
  int diverged = 0;
  int failed = 0;       // and cancelled or stopped
  double progress = 0;  // of the running ones
  double value = 0;     // mean over the done ones
};

struct Grid {
  std::string title;  // what the numbers are and where they are taken
  std::string row_axis, column_axis;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<GridCell>> cells;  // [row][column]
  // True when every square shares one scale, so that one is the best of all; otherwise
  // each column has its own best.
  bool one_best = true;
};

// x = diverged, the best (lowest) in brackets, "." pending, "40%" running, "!" failed;
// "*" marks a mean that still misses seeds. With a legend of the marks that occur.
std::string RenderGrid(const Grid& grid, const Style& style);

// Where the trials stand, as a bar of `width` characters in brackets.
struct BarParts {
  double done = 0;  // shares of the whole
  double running = 0;
};
std::string RenderBar(const BarParts& parts, int width, const Style& style);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_RENDER_GRID_H_
