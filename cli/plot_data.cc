#include "cli/plot_data.h"

#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "cli/fit_report.h"
#include "cli/predicted_losses.h"
#include "cli/render/text.h"
#include "cli/trial_stats.h"

namespace loglog::cli {
namespace {

// How far beyond the points a law is drawn, dashed. A local slope belongs to its range alone.
constexpr double kBeyond = 4;

std::string AxisLabel(const std::string& axis) {
  if (axis == "N") return "N: parameters without embeddings";
  if (axis == "C") return "C: training FLOPs";
  return "D: training tokens";
}

bool IsPlotted(const v1::Trial& trial, const std::string& axis) {
  return trial.state() == v1::Trial::DONE && trial.final_loss() > 0 && ScaleOf(trial, axis) > 0;
}

std::string Legend(const std::string& arm, const v1::Fit* fit) {
  const std::string name = OneLine(arm);
  if (fit == nullptr || fit->parameters().empty()) return name;
  return absl::StrCat(name, ": ", fit->parameters(0).name(), " ", HeadlineOf(*fit));
}

}  // namespace

std::vector<Place> PlotPlaces(const std::vector<v1::Trial>& trials, const std::string& arm,
                              const PlotRequest& request) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const v1::Trial& trial : trials) {
    if (trial.arm() != arm || !IsPlotted(trial, request.axis)) continue;
    low = std::min(low, ScaleOf(trial, request.axis));
    high = std::max(high, ScaleOf(trial, request.axis));
  }
  return CurvePlaces(low, high, request.curve == "local_slope" ? 1 : kBeyond, /*n_params=*/0);
}

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
      if (!IsPlotted(trial, request.axis)) continue;
      const double x = ScaleOf(trial, request.axis);
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
    if (drawn != nullptr) series.curves = CurvesOf(PredictionsOf(*drawn), drawn->x_max());
    series.name = Legend(arm, drawn);
    plot.series.push_back(std::move(series));
  }
  plot.note =
      absl::StrCat(shown, " of ", total, " trials",
                   diverged > 0 ? absl::StrCat("; ", diverged, " diverged") : "",
                   request.curve == "saturating"    ? "; curves: L = E + B*x^-beta, bands 95%"
                   : request.curve == "local_slope" ? "; lines: local log-log slope, bands 95%"
                                                    : "");
  return plot;
}

}  // namespace loglog::cli
