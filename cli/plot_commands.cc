#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/plot_data.h"
#include "cli/predicted_losses.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"

namespace loglog::cli {
namespace {

// All that is drawn, as numbers.
Table PointsTable(const Plot& plot) {
  Table table;
  table.kind = "points";
  table.columns = {{"series"}, {"what"}, {"x", true}, {"y", true}};
  for (const PlotSeries& series : plot.series) {
    const auto add = [&](const char* what, const std::vector<PlotPoint>& points) {
      for (const PlotPoint& point : points) {
        table.rows.push_back({Cell::Text(series.name), Cell::Text(what), Cell::Count(point.x),
                              Cell::Real(point.y, 4)});
      }
    };
    add("trial", series.trials);
    add("mean", series.means);
    for (const PlotCurve& curve : series.curves) {
      add("curve", curve.points);
      add("band_low", curve.band_low);
      add("band_high", curve.band_high);
    }
  }
  return table;
}

absl::StatusOr<int> PlotSweep(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t height, context.args().Int("height", 5, 200));
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::string name = ShortName(sweep.name());
  PlotRequest request = {
      .title = name,
      .axis = context.args().Has("axis") ? context.args().Get("axis") : MainScale(trials),
      .arm = context.args().Get("arm"),
      .curve = context.args().Get("curve")};
  std::vector<v1::Fit> fits;
  if (request.curve != "none") {
    for (const std::string& arm : Arms(trials)) {
      if (!request.arm.empty() && arm != request.arm) continue;
      LOGLOG_ASSIGN_OR_RETURN(
          v1::Fit fit,
          client->CreateFit(sweep.name(), arm, request.curve, request.axis,
                            /*censored=*/false, AsMessages(PlotPlaces(trials, arm, request))));
      fits.push_back(std::move(fit));
    }
  }
  const Plot plot = BuildPlot(trials, fits, request);
  const std::string svg = context.args().Get("svg");
  if (context.machine_output() && svg.empty()) {
    context.Print(PointsTable(plot));
    return kExitOk;
  }
  if (svg.empty()) {
    Style style = context.style();
    if (context.args().On("ascii")) style.unicode = false;
    context.Print(RenderTerminalPlot(plot, std::min(context.io().columns, 100),
                                     static_cast<int>(height), style));
    context.Next({absl::StrCat("loglog plot ", name, " --svg ", name, ".svg")});
    return kExitOk;
  }
  if (svg == "-") {
    context.Print(RenderSvgPlot(plot));
    return kExitOk;
  }
  std::ofstream file(svg, std::ios::binary);
  file << RenderSvgPlot(plot);
  file.close();
  if (!file) {
    return absl::InternalError(
        absl::StrCat("cannot write ", svg, ": check the folder and the disk"));
  }
  context.Note(absl::StrCat("wrote ", svg, " (", plot.note, ")"));
  return kExitOk;
}

}  // namespace

std::vector<Command> PlotCommands() {
  return {{.path = "plot",
           .summary = "log-log plot of final losses with the fitted lines",
           .positionals = {{.name = "SWEEP",
                            .help = "name of the sweep (default: the newest)",
                            .required = false}},
           .flags = {{.name = "svg",
                      .value = "FILE",
                      .help = "write an SVG file instead (- for stdout)"},
                     {.name = "axis",
                      .value = "AXIS",
                      .help = "D tokens, N parameters or C FLOPs (default: what varies)",
                      .choices = {"D", "N", "C"}},
                     {.name = "arm", .value = "ARM", .help = "only this arm"},
                     {.name = "curve",
                      .value = "KIND",
                      .help = "which fit is drawn",
                      .default_value = "local_slope",
                      .choices = {"local_slope", "saturating", "none"}},
                     {.name = "height",
                      .value = "ROWS",
                      .help = "rows of the terminal plot",
                      .default_value = "18"},
                     {.name = "ascii", .help = "plain characters, no braille"}},
           .run = PlotSweep}};
}

}  // namespace loglog::cli
