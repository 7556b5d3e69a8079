#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/render/plot.h"

namespace loglog::cli {
namespace {

// Okabe and Ito's palette, without its yellow (too faint on white).
constexpr const char* kColors[] = {"#0072B2", "#D55E00", "#009E73",
                                   "#CC79A7", "#56B4E9", "#000000"};

constexpr double kWidth = 720;
constexpr double kLeft = 64;
constexpr double kRight = 24;
constexpr double kTop = 44;
constexpr double kPlotHeight = 360;

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Number(double value) { return absl::StrFormat("%.1f", value); }

std::string Text(double x, double y, absl::string_view anchor, absl::string_view text,
                 absl::string_view extra = "") {
  return absl::StrCat("<text x=\"", Number(x), "\" y=\"", Number(y), "\" text-anchor=\"", anchor,
                      "\"", extra, ">", Escape(text), "</text>\n");
}

// Six shapes, so that series stay apart without colour.
std::string Marker(int series, double x, double y, double r, absl::string_view paint) {
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners) {
      absl::StrAppend(&points, points.empty() ? "" : " ", Number(x + dx * r), ",",
                      Number(y + dy * r));
    }
    return absl::StrCat("<polygon points=\"", points, "\" ", paint, "/>\n");
  };
  switch (series % 6) {
    case 0:
      return absl::StrCat("<circle cx=\"", Number(x), "\" cy=\"", Number(y), "\" r=\"", Number(r),
                          "\" ", paint, "/>\n");
    case 1:
      return polygon({{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}});
    case 2:
      return polygon({{0, -1.2}, {1.1, 0.9}, {-1.1, 0.9}});
    case 3:
      return polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
    case 4:
      return polygon({{0, 1.2}, {1.1, -0.9}, {-1.1, -0.9}});
    default:
      return polygon({{-0.4, -1.1},
                      {0.4, -1.1},
                      {0.4, -0.4},
                      {1.1, -0.4},
                      {1.1, 0.4},
                      {0.4, 0.4},
                      {0.4, 1.1},
                      {-0.4, 1.1},
                      {-0.4, 0.4},
                      {-1.1, 0.4},
                      {-1.1, -0.4},
                      {-0.4, -0.4}});
  }
}

// Data coordinates to pixels.
struct Frame {
  PlotRange range;
  double X(double x) const {
    return kLeft +
           (std::log(x) - range.x_min) / (range.x_max - range.x_min) * (kWidth - kLeft - kRight);
  }
  double Y(double y) const {
    return kTop + (range.y_max - std::log(y)) / (range.y_max - range.y_min) * kPlotHeight;
  }
  // Of something that may lie outside.
  double YInside(double y) const { return std::clamp(Y(y), kTop, kTop + kPlotHeight); }
};

std::string Axes(const Plot& plot, const Frame& frame) {
  const double bottom = kTop + kPlotHeight;
  std::string out = absl::StrCat("<g stroke=\"#e3e3e3\">\n");
  const std::vector<double> xs =
      LogTicks(std::exp(frame.range.x_min), std::exp(frame.range.x_max), 6);
  const std::vector<double> ys =
      LogTicks(std::exp(frame.range.y_min), std::exp(frame.range.y_max), 6);
  const auto line = [](double x1, double y1, double x2, double y2) {
    return absl::StrCat("<line x1=\"", Number(x1), "\" y1=\"", Number(y1), "\" x2=\"", Number(x2),
                        "\" y2=\"", Number(y2), "\"/>\n");
  };
  for (const double x : xs) out += line(frame.X(x), kTop, frame.X(x), bottom);
  for (const double y : ys) out += line(kLeft, frame.Y(y), kWidth - kRight, frame.Y(y));
  out += "</g>\n<g stroke=\"#333333\">\n";
  out += line(kLeft, bottom, kWidth - kRight, bottom);
  out += line(kLeft, kTop, kLeft, bottom);
  out += "</g>\n";
  const std::vector<std::string> x_labels = TickLabels(xs);
  const std::vector<std::string> y_labels = TickLabels(ys);
  for (size_t i = 0; i < xs.size(); ++i)
    out += Text(frame.X(xs[i]), bottom + 18, "middle", x_labels[i]);
  for (size_t i = 0; i < ys.size(); ++i)
    out += Text(kLeft - 8, frame.Y(ys[i]) + 4, "end", y_labels[i]);
  out += Text((kLeft + kWidth - kRight) / 2, bottom + 38, "middle", plot.x_label);
  const double middle = kTop + kPlotHeight / 2;
  out += Text(16, middle, "middle", plot.y_label,
              absl::StrCat(" transform=\"rotate(-90 16 ", Number(middle), ")\""));
  return out;
}

std::string Band(const PlotCurve& curve, const char* color, const Frame& frame) {
  std::string points;
  const auto add = [&](const PlotPoint& p) {
    absl::StrAppend(&points, points.empty() ? "" : " ", Number(frame.X(p.x)), ",",
                    Number(frame.YInside(p.y)));
  };
  for (const PlotPoint& p : curve.band_low) add(p);
  for (auto p = curve.band_high.rbegin(); p != curve.band_high.rend(); ++p) add(*p);
  if (points.empty()) return "";
  return absl::StrCat("<polygon fill=\"", color, "\" fill-opacity=\"0.12\" points=\"", points,
                      "\"/>\n");
}

std::string Series(const PlotSeries& series, int index, const Frame& frame) {
  const char* color = kColors[index % 6];
  std::string out;
  for (const PlotCurve& curve : series.curves) out += Band(curve, color, frame);
  for (const PlotCurve& curve : series.curves) {
    std::string points;
    for (const PlotPoint& p : curve.points) {
      absl::StrAppend(&points, points.empty() ? "" : " ", Number(frame.X(p.x)), ",",
                      Number(frame.Y(p.y)));
    }
    absl::StrAppend(&out, "<polyline fill=\"none\" stroke=\"", color, "\" stroke-width=\"1.5\"",
                    curve.dashed ? " stroke-dasharray=\"6 5\"" : "", " points=\"", points,
                    "\"/>\n");
  }
  const std::string hollow =
      absl::StrCat("fill=\"none\" stroke=\"", color, "\" stroke-opacity=\"0.6\"");
  const std::string solid = absl::StrCat("fill=\"", color, "\"");
  for (const PlotPoint& p : series.trials)
    out += Marker(index, frame.X(p.x), frame.Y(p.y), 3, hollow);
  for (const PlotPoint& p : series.means)
    out += Marker(index, frame.X(p.x), frame.Y(p.y), 4.5, solid);
  return out;
}

}  // namespace

std::string RenderSvgPlot(const Plot& plot) {
  const Frame frame = {RangeOf(plot)};
  const double legend_top = kTop + kPlotHeight + 62;
  const double height = legend_top + 20.0 * plot.series.size() + (plot.note.empty() ? 0 : 20);
  std::string out = absl::StrCat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", Number(kWidth), "\" height=\"",
      Number(height), "\" viewBox=\"0 0 ", Number(kWidth), " ", Number(height),
      "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n<title>",
      Escape(plot.title), "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
  out += Text(kLeft, 26, "start", plot.title, " font-size=\"15\" font-weight=\"bold\"");
  if (frame.range.empty) {
    out += Text(kWidth / 2, kTop + kPlotHeight / 2, "middle", "no trial is done yet");
  } else {
    out += Axes(plot, frame);
    for (size_t s = 0; s < plot.series.size(); ++s) {
      out += Series(plot.series[s], static_cast<int>(s), frame);
    }
  }
  double y = legend_top;
  for (size_t s = 0; s < plot.series.size(); ++s, y += 20) {
    out += Marker(static_cast<int>(s), kLeft + 6, y - 4, 4.5,
                  absl::StrCat("fill=\"", kColors[s % 6], "\""));
    out += Text(kLeft + 20, y, "start", plot.series[s].name);
  }
  if (!plot.note.empty()) out += Text(kLeft, y, "start", plot.note, " fill=\"#666666\"");
  return out + "</svg>\n";
}

}  // namespace loglog::cli
