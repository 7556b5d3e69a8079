#ifndef LOGLOG_CLI_RENDER_PLOT_H_
#define LOGLOG_CLI_RENDER_PLOT_H_

#include <limits>
#include <string>
#include <vector>

#include "cli/render/style.h"

namespace loglog::cli {

// What a log-log plot shows. x and y are positive; others are left out by the caller,
// who says how many in `note`.
struct PlotPoint {
  double x = 0;
  double y = 0;
};

struct PlotCurve {
  std::vector<PlotPoint> points;  // dense, in order of x
  // Below and above the points, at the same x, where the curve has a band. A band may leave
  // the picture: it does not widen the axes.
  std::vector<PlotPoint> band_low = {};
  std::vector<PlotPoint> band_high = {};
  bool dashed = false;  // outside the range of the data
};

struct PlotSeries {
  std::string name;               // "small: slope -0.071 [-0.080, -0.062]"
  std::vector<PlotPoint> trials;  // one a trial
  std::vector<PlotPoint> means;   // over seeds
  std::vector<PlotCurve> curves;
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::string note;  // "16 of 16 trials; 0 diverged"
  std::vector<PlotSeries> series;
};

// The rectangle that holds everything in `plot`, with a margin; in logarithms.
struct PlotRange {
  double x_min, x_max, y_min, y_max;  // natural logarithms
  bool empty = true;
};
PlotRange RangeOf(const Plot& plot);

// Round values between `low` and `high` (both positive) for a logarithmic axis, about
// `wanted` of them: powers of ten, or 1-2-5, or even steps when the range is narrow.
std::vector<double> LogTicks(double low, double high, int wanted);
// Labels that tell the ticks apart: "200k", "3.5".
std::vector<std::string> TickLabels(const std::vector<double>& ticks);

// A plot of `width` x `height` characters: braille dots for curves where the terminal
// knows Unicode, plain characters elsewhere; every series has its own marker.
std::string RenderTerminalPlot(const Plot& plot, int width, int height, const Style& style);

// A self-contained SVG file: trials as small hollow markers, means filled, curves,
// ticks and a legend. Colours (Okabe-Ito) and marker shapes both tell series apart.
std::string RenderSvgPlot(const Plot& plot);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_RENDER_PLOT_H_
