#include <ostream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/tables.h"

namespace loglog::cli {
namespace {

const Positional kSweep = {.name = "SWEEP", .help = "name of the sweep"};
const Positional kSweepOrNewest = {
    .name = "SWEEP", .help = "name of the sweep (default: the newest)", .required = false};

const Flag kReason = {.name = "reason", .value = "TEXT", .help = "kept with the event"};

constexpr double kWaitMinS = 1e-3;
constexpr double kWaitMaxS = 365 * 86400.0;

absl::StatusOr<int> List(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Sweep> sweeps, client->ListSweeps());
  context.Print(SweepTable(sweeps));
  if (sweeps.empty()) context.Next({"loglog submit SPEC"});
  return kExitOk;
}

absl::StatusOr<int> Show(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  Table table = SweepTable({sweep});
  table.columns.push_back({.key = "spec", .wide = true, .hidden = true});
  table.rows[0].push_back(Cell::Json(sweep.spec_json(), sweep.spec_json()));
  context.PrintRecord(table);
  const std::string name = ShortName(sweep.name());
  context.Next({absl::StrCat("loglog status ", name), absl::StrCat("loglog trial list ", name)});
  return kExitOk;
}

absl::StatusOr<int> Change(Context& context, Client::SweepVerb verb, absl::string_view past,
                           absl::string_view next) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  // Steering never guesses: the name has to be given, and has to be right.
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep found,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          client->ChangeSweep(verb, found.name(), context.args().Get("reason")));
  const std::string name = ShortName(sweep.name());
  if (context.machine_output()) {
    context.PrintRecord(SweepTable({sweep}));
  } else {
    context.Note(absl::StrCat("sweep ", name, " ", past, ": ", sweep.counts().done(), " of ",
                              Plural(sweep.counts().total(), "trial"), " done, ",
                              sweep.counts().running(), " running"));
  }
  context.Next({absl::StrCat("loglog ", next, " ", name)});
  return kExitOk;
}

absl::StatusOr<int> Retry(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  std::vector<std::string> trials;
  for (const std::string& trial : context.args().Many("TRIAL")) {
    trials.push_back(TrialName(trial, sweep.name()));
  }
  LOGLOG_ASSIGN_OR_RETURN(
      const int retried,
      client->RetryTrials(sweep.name(), trials, context.args().On("cancelled"),
                          context.args().On("stopped"), context.args().Get("reason")));
  const std::string name = ShortName(sweep.name());
  if (context.machine_output()) {
    context.PrintRecord({.columns = {{"sweep"}, {"retried", true}},
                         .rows = {{Cell::Text(sweep.name()), Cell::Int(retried)}}});
  } else {
    context.Note(absl::StrCat(Plural(retried, "trial"), " of sweep ", name,
                              " pending again, with fresh retry budgets"));
  }
  if (retried > 0) context.Next({absl::StrCat("loglog status -w ", name)});
  return kExitOk;
}

absl::StatusOr<int> Wait(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  FollowOptions options;
  if (context.args().Has("timeout")) {
    LOGLOG_ASSIGN_OR_RETURN(options.timeout_s,
                            context.args().Seconds("timeout", kWaitMinS, kWaitMaxS));
  }
  LOGLOG_ASSIGN_OR_RETURN(const int code, FollowSweep(context, *client, sweep.name(), options));
  if (code == kExitInterrupted) return code;
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep ended, client->GetSweep(sweep.name()));
  context.Print(SweepTable({ended}));
  context.Next({absl::StrCat("loglog fit ", ShortName(sweep.name()))});
  return code;
}

}  // namespace

std::vector<Command> SweepCommands() {
  return {
      {.path = "sweep list", .summary = "all sweeps, newest first", .run = List},
      {.path = "sweep show",
       .summary = "one sweep; -o wide or json with its resolved spec",
       .positionals = {kSweepOrNewest},
       .run = Show},
      {.path = "sweep pause",
       .summary = "start nothing new; running trials go on",
       .positionals = {kSweep},
       .flags = {kReason},
       .run =
           [](Context& c) {
             return Change(c, Client::SweepVerb::kPause, "paused", "sweep resume");
           }},
      {.path = "sweep resume",
       .summary = "start trials again",
       .positionals = {kSweep},
       .flags = {kReason},
       .run =
           [](Context& c) { return Change(c, Client::SweepVerb::kResume, "active", "status -w"); }},
      {.path = "sweep cancel",
       .summary = "stop what is open; results so far stay",
       .positionals = {kSweep},
       .flags = {kReason},
       .run =
           [](Context& c) {
             return Change(c, Client::SweepVerb::kCancel, "cancelled", "sweep retry --cancelled");
           }},
      {.path = "sweep retry",
       .summary = "run failed trials again",
       .positionals =
           {kSweep,
            {.name = "TRIAL", .help = "only these trials", .required = false, .many = true}},
       .flags = {{.name = "cancelled", .help = "cancelled trials too"},
                 {.name = "stopped", .help = "trials that were stopped early too"},
                 kReason},
       .run = Retry},
      {.path = "sweep wait",
       .summary = "follow a sweep to its end, for scripts",
       .details =
           "Progress goes to stderr, the sweep's row to stdout. Exit code 0: every trial ended\n"
           "well or diverged; 7: some failed or were cancelled; 6: --timeout passed.",
       .positionals = {kSweepOrNewest},
       .flags = {{.name = "timeout", .value = "TIME", .help = "give up waiting after this long"}},
       .run = Wait},
  };
}

}  // namespace loglog::cli
