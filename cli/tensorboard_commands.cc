#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/tensorboard.h"

namespace loglog::cli {
namespace {

// Trials a request: keeps each response small whatever the length of the curves.
constexpr size_t kTrialsPerRequest = 20;

absl::StatusOr<int> ExportTensorBoard(Context& context) {
  const std::string dir = context.args().Get("out");
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  int64_t points = 0, written = 0;
  for (size_t begin = 0; begin < trials.size(); begin += kTrialsPerRequest) {
    v1::ListPointsRequest request;
    request.set_sweep(sweep.name());
    const size_t end = std::min(trials.size(), begin + kTrialsPerRequest);
    for (size_t i = begin; i < end; ++i) request.add_trials(trials[i].name());
    for (const std::string& metric : context.args().All("metric")) request.add_metrics(metric);
    LOGLOG_ASSIGN_OR_RETURN(const v1::ListPointsResponse response, client->ListPoints(request));
    for (size_t i = begin; i < end; ++i) {
      std::vector<v1::Series> own;
      for (const v1::Series& series : response.series()) {
        if (series.trial() != trials[i].name()) continue;
        own.push_back(series);
        points += series.points_size();
      }
      if (own.empty()) continue;
      LOGLOG_RETURN_IF_ERROR(WriteTensorBoard(dir, trials[i], own));
      ++written;
    }
  }
  context.Note(absl::StrCat("exported ", Plural(points, "point"), " of ", written, " of ",
                            Plural(static_cast<int64_t>(trials.size()), "trial"), " to ", dir,
                            "; see them with tensorboard --logdir ", ShellQuote(dir)));
  return kExitOk;
}

}  // namespace

std::vector<Command> TensorBoardCommands() {
  return {{.path = "export tensorboard",
           .summary = "a sweep's curves as TensorBoard event files, its axes as hyperparameters",
           .details =
               "  loglog export tensorboard --out tb --metric loss/val --metric norm/grad\n\n"
               "One folder a trial; a second export of the same sweep replaces it. Seeds "
               "of one cell are one group of the HPARAMS tab.",
           .positionals = {{.name = "SWEEP",
                            .help = "name of the sweep (default: the newest)",
                            .required = false}},
           .flags = {{.name = "out",
                      .value = "DIR",
                      .help = "folder to write into",
                      .default_value = "tensorboard"},
                     {.name = "metric",
                      .value = "NAME",
                      .help = "loss/val, norm/grad, ... (default loss/train and loss/val)",
                      .repeated = true}},
           .run = ExportTensorBoard}};
}

}  // namespace loglog::cli
