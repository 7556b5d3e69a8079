#ifndef LOGLOG_CLI_PLOT_DATA_H_
#define LOGLOG_CLI_PLOT_DATA_H_

#include <string>
#include <vector>

#include "cli/render/plot.h"
#include "fit/law_prediction.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

struct PlotRequest {
  std::string title;
  std::string axis = "D";  // "D", "N" or "C"
  std::string arm;         // only this arm; empty: all
  // Which fit is drawn over the points: "local_slope", "saturating" or "" for none.
  std::string curve = "local_slope";
};

// Where the fit of `arm` must be asked for its loss to be drawn.
std::vector<Place> PlotPlaces(const std::vector<v1::Trial>& trials, const std::string& arm,
                              const PlotRequest& request);

// Every done trial as a point, means over seeds, one curve an arm through the losses that its
// fit says, with the band that holds the whole law. The note says how many trials are shown of
// how many.
Plot BuildPlot(const std::vector<v1::Trial>& trials, const std::vector<v1::Fit>& fits,
               const PlotRequest& request);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_PLOT_DATA_H_
