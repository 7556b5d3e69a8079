#include "cli/render/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();

// Marks seen while rendering, for the legend.
struct Seen {
  bool best = false, diverged = false, pending = false, running = false, failed = false,
       partial = false, some_diverged = false;
};

bool HasValue(const GridCell& cell) { return cell.done > 0 && std::isfinite(cell.value); }

std::string CellText(const GridCell& cell, bool best, Seen* seen) {
  if (cell.total == 0) return "";
  if (HasValue(cell)) {
    std::string text = Fixed(cell.value, 4);
    if (cell.pending + cell.running > 0) {
      text += "*";
      seen->partial = true;
    }
    if (cell.diverged > 0) {
      absl::StrAppend(&text, "x", cell.diverged);
      seen->some_diverged = true;
    }
    seen->best = seen->best || best;
    return best ? absl::StrCat("[", text, "]") : text;
  }
  if (cell.running > 0) {
    seen->running = true;
    return absl::StrCat(static_cast<int>(100 * cell.progress), "%");
  }
  if (cell.pending > 0) {
    seen->pending = true;
    return ".";
  }
  if (cell.diverged > 0) {
    seen->diverged = true;
    return "x";
  }
  seen->failed = true;
  return "!";
}

std::string Paint(const GridCell& cell, bool best, const std::string& text, const Style& style) {
  if (best) return style.Green(text);
  if (HasValue(cell)) return text;
  if (cell.running > 0) return style.Cyan(text);
  if (cell.pending > 0) return style.Dim(text);
  return style.Red(text);
}

// Row and column of the best square among those where `column` matches.
std::pair<size_t, size_t> Best(const Grid& grid, size_t column) {
  std::pair<size_t, size_t> best = {kNone, kNone};
  double lowest = INFINITY;
  for (size_t r = 0; r < grid.rows.size(); ++r) {
    for (size_t c = 0; c < grid.columns.size(); ++c) {
      if (column != kNone && c != column) continue;
      if (HasValue(grid.cells[r][c]) && grid.cells[r][c].value < lowest) {
        lowest = grid.cells[r][c].value;
        best = {r, c};
      }
    }
  }
  return best;
}

}  // namespace

std::string RenderGrid(const Grid& grid, const Style& style) {
  if (grid.rows.empty() || grid.columns.empty()) return "";
  std::vector<std::vector<bool>> is_best(grid.rows.size(),
                                         std::vector<bool>(grid.columns.size(), false));
  for (size_t c = 0; c < grid.columns.size(); ++c) {
    const auto [row, column] = Best(grid, grid.one_best ? kNone : c);
    if (row != kNone && grid.rows.size() * (grid.one_best ? grid.columns.size() : 1) > 1) {
      is_best[row][column] = true;
    }
  }
  Seen seen;
  std::vector<std::vector<std::string>> texts(grid.rows.size());
  int width = 7;
  for (size_t r = 0; r < grid.rows.size(); ++r) {
    for (size_t c = 0; c < grid.columns.size(); ++c) {
      texts[r].push_back(CellText(grid.cells[r][c], is_best[r][c], &seen));
      width = std::max(width, DisplayWidth(texts[r][c]));
    }
  }
  for (const std::string& column : grid.columns) width = std::max(width, DisplayWidth(column));
  int left = DisplayWidth(grid.row_axis);
  for (const std::string& row : grid.rows) left = std::max(left, DisplayWidth(row));

  std::string out = absl::StrCat(style.Bold(grid.title), "\n");
  std::string heads = PadRight(grid.row_axis, left);
  for (const std::string& column : grid.columns)
    absl::StrAppend(&heads, "  ", PadLeft(column, width));
  absl::StrAppend(&out, "  ", PadRight("", left), "  ", PadLeft(grid.column_axis, width), "\n  ",
                  heads, "\n");
  for (size_t r = 0; r < grid.rows.size(); ++r) {
    std::string line = PadRight(grid.rows[r], left);
    for (size_t c = 0; c < grid.columns.size(); ++c) {
      absl::StrAppend(&line, "  ",
                      Paint(grid.cells[r][c], is_best[r][c], PadLeft(texts[r][c], width), style));
    }
    absl::StrAppend(&out, "  ", absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  std::vector<std::string> legend;
  if (seen.best) legend.push_back(grid.one_best ? "[ ] best" : "[ ] best of its column");
  if (seen.diverged) legend.push_back("x diverged");
  if (seen.some_diverged) legend.push_back("x1 one seed diverged");
  if (seen.partial) legend.push_back("* seeds missing");
  if (seen.running) legend.push_back("% running");
  if (seen.pending) legend.push_back(". pending");
  if (seen.failed) legend.push_back("! failed, cancelled or stopped");
  if (!legend.empty()) absl::StrAppend(&out, "  ", style.Dim(absl::StrJoin(legend, "   ")), "\n");
  return out;
}

std::string RenderBar(const BarParts& parts, int width, const Style& style) {
  const int done = std::clamp(static_cast<int>(std::lround(parts.done * width)), 0, width);
  const int running = std::clamp(
      static_cast<int>(std::lround((parts.done + parts.running) * width)) - done, 0, width - done);
  const auto repeat = [](const char* text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  return absl::StrCat("[", style.Green(repeat(style.unicode ? "█" : "#", done)),
                      style.Cyan(repeat(style.unicode ? "▒" : ">", running)),
                      style.Dim(repeat(style.unicode ? "·" : ".", width - done - running)), "]");
}

}  // namespace loglog::cli
