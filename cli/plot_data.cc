#include "cli/plot_data.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "cli/fit_report.h"
#include "cli/trial_stats.h"

namespace loglog::cli {
namespace {

constexpr int kCurvePoints = 60;

std::string AxisLabel(const std::string& axis) {
  if (axis == "N") return "N: parameters without embeddings";
  if (axis == "C") return "C: training FLOPs";
  return "D: training tokens";
}

// Loss of a stored fit at x; NaN for forms that are not drawn.
double LossAt(const v1::Fit& fit, double x) {
  const auto value = [&](const char* name) {
    const v1::Parameter* p = FindParameter(fit, name);
    return p == nullptr ? NAN : p->estimate();
  };
  const double scale = fit.axis() == "N" ? value("A") : value("B");
  if (fit.kind() == "local_slope") return scale * std::pow(x, value("slope"));
  if (fit.kind() == "saturating") {
    return value("E") + scale * std::pow(x, -value(fit.axis() == "N" ? "alpha" : "beta"));
  }
  return NAN;
}

PlotCurve CurveOf(const v1::Fit& fit, double x_low, double x_high, bool dashed) {
  PlotCurve curve = {.dashed = dashed};
  for (int i = 0; i <= kCurvePoints; ++i) {
    const double x = x_low * std::pow(x_high / x_low, static_cast<double>(i) / kCurvePoints);
    const double y = LossAt(fit, x);
    if (!std::isfinite(y) || y <= 0) return {};
    curve.points.push_back({x, y});
  }
  return curve;
}

std::string Legend(const std::string& arm, const v1::Fit* fit) {
  if (fit == nullptr || fit->parameters().empty()) return arm;
  return absl::StrCat(arm, ": ", fit->parameters(0).name(), " ", HeadlineOf(*fit));
}

}  // namespace

Plot BuildPlot(const std::vector<v1::Trial>& trials, const std::vector<v1::Fit>& fits,
               const PlotRequest& request) {
  Plot plot = {
      .title = request.title, .x_label = AxisLabel(request.axis), .y_label = "final loss/val"};
  int shown = 0, total = 0, diverged = 0;
  for (const std::string& arm : Arms(trials)) {
    if (!request.arm.empty() && arm != request.arm) continue;
    PlotSeries series;
    std::map<double, std::vector<double>> by_x;
    for (const v1::Trial& trial : trials) {
      if (trial.arm() != arm) continue;
      ++total;
      diverged += trial.state() == v1::Trial::DIVERGED;
      const double x = ScaleOf(trial, request.axis);
      if (trial.state() != v1::Trial::DONE || !(trial.final_loss() > 0) || !(x > 0)) continue;
      ++shown;
      series.trials.push_back({x, trial.final_loss()});
      by_x[x].push_back(trial.final_loss());
    }
    for (const auto& [x, losses] : by_x) series.means.push_back({x, MomentsOf(losses).mean});
    const v1::Fit* drawn = nullptr;
    for (const v1::Fit& fit : fits) {
      if (fit.kind() == request.curve && fit.arm() == arm && fit.axis() == request.axis)
        drawn = &fit;
    }
    if (drawn != nullptr && drawn->x_max() > drawn->x_min() && drawn->x_min() > 0) {
      PlotCurve inside = CurveOf(*drawn, drawn->x_min(), drawn->x_max(), false);
      if (!inside.points.empty()) series.curves.push_back(std::move(inside));
    }
    series.name = Legend(arm, drawn);
    plot.series.push_back(std::move(series));
  }
  plot.note = absl::StrCat(shown, " of ", total, " trials",
                           diverged > 0 ? absl::StrCat("; ", diverged, " diverged") : "",
                           request.curve == "saturating" ? "; curves: L = E + B*x^-beta"
                                                         : "; lines: local log-log slope");
  return plot;
}

}  // namespace loglog::cli
