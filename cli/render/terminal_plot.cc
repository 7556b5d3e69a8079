#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/render/plot.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

constexpr const char* kAsciiMarkers[] = {"o", "x", "+", "*", "#", "@"};
constexpr const char* kUnicodeMarkers[] = {"●", "×", "▲", "◆", "■", "○"};

// Characters of the plotting area, each with up to eight braille dots and the series
// that owns it. Later calls win, so markers are drawn after curves.
class Canvas {
 public:
  Canvas(int width, int height, bool unicode)
      : width_(width), height_(height), unicode_(unicode), cells_(width * height) {}

  // x and y from 0 to 1; y grows upwards.
  void Dot(double x, double y, int series) {
    const int px = Index(x, width_ * 2);
    const int py = Index(1 - y, height_ * 4);
    if (px < 0 || py < 0) return;
    Cell& cell = cells_[(py / 4) * width_ + px / 2];
    static constexpr int kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cell.dots |= kBits[py % 4][px % 2];
    cell.series = series;
  }
  void Mark(double x, double y, int series) {
    const int px = Index(x, width_);
    const int py = Index(1 - y, height_);
    if (px < 0 || py < 0) return;
    Cell& cell = cells_[py * width_ + px];
    cell.marked = true;
    cell.series = series;
  }
  std::string Row(int row, const Style& style) const {
    std::string out;
    for (int x = 0; x < width_; ++x) {
      const Cell& cell = cells_[row * width_ + x];
      absl::StrAppend(&out, cell.series < 0 ? " " : style.Series(cell.series, Glyph(cell)));
    }
    return out;
  }

 private:
  struct Cell {
    int dots = 0;
    bool marked = false;
    int series = -1;
  };

  static int Index(double share, int size) {
    if (!(share >= 0) || !(share <= 1)) return -1;
    return std::min(size - 1, static_cast<int>(share * size));
  }
  std::string Glyph(const Cell& cell) const {
    if (cell.marked)
      return unicode_ ? kUnicodeMarkers[cell.series % 6] : kAsciiMarkers[cell.series % 6];
    if (!unicode_) return ".";
    const int code = 0x2800 + cell.dots;
    return {static_cast<char>(0xE0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3F)),
            static_cast<char>(0x80 | (code & 0x3F))};
  }

  const int width_;
  const int height_;
  const bool unicode_;
  std::vector<Cell> cells_;
};

void Draw(const Plot& plot, const PlotRange& range, int width, Canvas& canvas) {
  const auto x_share = [&](double x) {
    return (std::log(x) - range.x_min) / (range.x_max - range.x_min);
  };
  const auto y_share = [&](double y) {
    return (std::log(y) - range.y_min) / (range.y_max - range.y_min);
  };
  for (size_t s = 0; s < plot.series.size(); ++s) {
    for (const PlotCurve& curve : plot.series[s].curves) {
      for (size_t i = 0; i + 1 < curve.points.size(); ++i) {
        const PlotPoint& a = curve.points[i];
        const PlotPoint& b = curve.points[i + 1];
        const double ax = x_share(a.x), bx = x_share(b.x), ay = y_share(a.y), by = y_share(b.y);
        const int steps = std::max(2, static_cast<int>(std::hypot(bx - ax, by - ay) * width * 4));
        for (int k = 0; k <= steps; ++k) {
          const double t = static_cast<double>(k) / steps;
          const double x = ax + t * (bx - ax);
          // Dashes of two characters, two apart.
          if (curve.dashed && static_cast<int>(x * width / 2) % 2 == 1) continue;
          canvas.Dot(x, ay + t * (by - ay), static_cast<int>(s));
        }
      }
    }
  }
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const PlotSeries& series = plot.series[s];
    for (const PlotPoint& p : series.means.empty() ? series.trials : series.means) {
      canvas.Mark(x_share(p.x), y_share(p.y), static_cast<int>(s));
    }
  }
}

std::string XAxis(const PlotRange& range, int left, int width, const Style& style) {
  const std::vector<double> ticks =
      LogTicks(std::exp(range.x_min), std::exp(range.x_max), std::max(2, width / 14));
  const std::vector<std::string> labels = TickLabels(ticks);
  std::string text;
  std::vector<std::string> cells(width, style.unicode ? "─" : "-");
  int used = 0;
  for (size_t i = 0; i < ticks.size(); ++i) {
    const int at = std::min(width - 1, static_cast<int>((std::log(ticks[i]) - range.x_min) /
                                                        (range.x_max - range.x_min) * width));
    const int start = std::max(0, at - DisplayWidth(labels[i]) / 2);
    if (start < used) continue;
    cells[at] = style.unicode ? "┬" : "+";
    text += std::string(start - DisplayWidth(text), ' ') + labels[i];
    used = DisplayWidth(text) + 1;
  }
  std::string line;
  for (const std::string& cell : cells) line += cell;
  return absl::StrCat(std::string(left, ' '), style.unicode ? "└" : "+", line, "\n",
                      std::string(left + 1, ' '), text, "\n");
}

}  // namespace

std::string RenderTerminalPlot(const Plot& plot, int width, int height, const Style& style) {
  const PlotRange range = RangeOf(plot);
  std::string out = plot.title.empty() ? "" : absl::StrCat(style.Bold(plot.title), "\n");
  if (range.empty) return absl::StrCat(out, "nothing to draw yet: no trial is done\n");
  const std::vector<double> ticks =
      LogTicks(std::exp(range.y_min), std::exp(range.y_max), std::max(2, height / 3));
  const std::vector<std::string> labels = TickLabels(ticks);
  int left = 0;
  for (const std::string& label : labels) left = std::max(left, DisplayWidth(label));
  ++left;
  const int inner = std::max(10, width - left - 1);
  Canvas canvas(inner, height, style.unicode);
  Draw(plot, range, inner, canvas);

  absl::StrAppend(&out, PadLeft("", left), style.Dim(plot.y_label), "\n");
  std::vector<std::string> row_labels(height);
  for (size_t i = 0; i < ticks.size(); ++i) {
    const double share = (std::log(ticks[i]) - range.y_min) / (range.y_max - range.y_min);
    row_labels[std::clamp(static_cast<int>((1 - share) * height), 0, height - 1)] = labels[i];
  }
  const char* wall = style.unicode ? "│" : "|";
  const char* notch = style.unicode ? "┤" : "+";
  for (int row = 0; row < height; ++row) {
    const std::string line =
        absl::StrCat(PadLeft(row_labels[row], left), row_labels[row].empty() ? wall : notch,
                     canvas.Row(row, style));
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  out += XAxis(range, left, inner, style);
  absl::StrAppend(&out, PadLeft(plot.x_label, width), "\n");
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const char* marker = style.unicode ? kUnicodeMarkers[s % 6] : kAsciiMarkers[s % 6];
    absl::StrAppend(&out, "  ", style.Series(static_cast<int>(s), marker), " ", plot.series[s].name,
                    "\n");
  }
  if (!plot.note.empty()) absl::StrAppend(&out, "  ", style.Dim(plot.note), "\n");
  return out;
}

}  // namespace loglog::cli
