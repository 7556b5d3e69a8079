#include <chrono>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/live.h"
#include "cli/render/text.h"
#include "cli/tables.h"

namespace loglog::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

std::string Detached(const std::string& sweep) {
  return absl::StrCat("detached; the sweep goes on. Come back with: loglog status -w ", sweep);
}

// Waits for news at most `seconds`, in slices so that Ctrl-C is seen at once.
void WaitForNews(Client::Watch& watch, double seconds) {
  const SteadyClock::time_point start = SteadyClock::now();
  while (SecondsSince(start) < seconds && !InterruptGuard::Interrupted()) {
    if (watch.WaitForEvent(100)) return;
  }
}

absl::StatusOr<int> Status(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  if (context.args().On("watch")) {
    return FollowSweep(context, *client, sweep.name(), {.data_on_stdout = true});
  }
  if (context.machine_output()) {
    context.PrintRecord(SweepTable({sweep}));
    return kExitOk;
  }
  LOGLOG_ASSIGN_OR_RETURN(const CheckInput input, FetchSweep(*client, sweep.name()));
  context.Print(RenderScreen(BuildScreen(input), context.style()));
  const std::string name = ShortName(sweep.name());
  if (HasEnded(input.sweep)) {
    context.Next({absl::StrCat("loglog fit ", name), absl::StrCat("loglog plot ", name)});
  } else {
    context.Next({absl::StrCat("loglog status -w ", name)});
  }
  return kExitOk;
}

}  // namespace

int ExitCodeOfSweep(const v1::Sweep& sweep) {
  return sweep.counts().failed() > 0 || sweep.state() == v1::Sweep::CANCELLED ? kExitTrialsFailed
                                                                              : kExitOk;
}

absl::StatusOr<v1::Sweep> SweepToShow(Context& context, Client& client, absl::string_view name) {
  if (!name.empty()) {
    absl::StatusOr<v1::Sweep> sweep = client.GetSweep(SweepName(name));
    if (sweep.ok() || sweep.status().code() != absl::StatusCode::kNotFound) return sweep;
    const absl::StatusOr<std::vector<v1::Sweep>> sweeps = client.ListSweeps();
    if (!sweeps.ok()) return sweep;
    std::vector<std::string> names;
    for (const v1::Sweep& s : *sweeps) names.push_back(ShortName(s.name()));
    const std::string guess = Nearest(ShortName(name), names);
    return WithHint(absl::NotFoundError(absl::StrCat(
                        "no sweep named `", ShortName(name), "`",
                        guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                    "loglog sweep list");
  }
  LOGLOG_ASSIGN_OR_RETURN(v1::Sweep sweep, client.NewestSweep());
  if (context.io().err_terminal && !context.machine_output()) {
    context.Note(context.err_style().Dim(absl::StrCat("newest sweep: ", ShortName(sweep.name()))));
  }
  return sweep;
}

absl::StatusOr<CheckInput> FetchSweep(Client& client, absl::string_view name) {
  CheckInput input;
  LOGLOG_ASSIGN_OR_RETURN(input.sweep, client.GetSweep(name));
  LOGLOG_ASSIGN_OR_RETURN(input.trials, client.ListTrials(name));
  LOGLOG_ASSIGN_OR_RETURN(input.fits, client.ListFits(name));
  LOGLOG_ASSIGN_OR_RETURN(input.workers, client.ListWorkers());
  return input;
}

absl::StatusOr<int> FollowSweep(Context& context, Client& client, const std::string& name,
                                const FollowOptions& options) {
  const bool machine = options.data_on_stdout && context.machine_output();
  const bool live =
      !machine && (options.data_on_stdout ? context.io().out_terminal : context.io().err_terminal);
  std::ostream& out = options.data_on_stdout ? *context.io().out : *context.io().err;
  const Style& style = options.data_on_stdout ? context.style() : context.err_style();
  LiveRegion region(out, context.io().columns, context.io().rows);
  InterruptGuard interrupt;
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep first, client.GetSweep(name));
  const std::unique_ptr<Client::Watch> watch = client.WatchSweep(name, first.last_event_id());
  const SteadyClock::time_point start = SteadyClock::now();
  std::string last_line;
  while (true) {
    const SteadyClock::time_point fetch_start = SteadyClock::now();
    LOGLOG_ASSIGN_OR_RETURN(const CheckInput input, FetchSweep(client, name));
    const double fetch_s = SecondsSince(fetch_start);
    const Screen screen = BuildScreen(input);
    if (live) {
      region.Update(RenderScreen(screen, style));
    } else {
      const std::string line = machine
                                   ? RenderTable(SweepTable({input.sweep}), Format::kJsonl, style)
                                   : absl::StrCat(RenderScreenLine(screen), "\n");
      if (line != last_line) out << line << std::flush;
      last_line = line;
    }
    if (HasEnded(input.sweep)) return ExitCodeOfSweep(input.sweep);
    if (InterruptGuard::Interrupted()) {
      region.Finish();
      context.Note(Detached(ShortName(name)));
      return kExitInterrupted;
    }
    if (options.timeout_s > 0 && SecondsSince(start) >= options.timeout_s) {
      return WithHint(absl::DeadlineExceededError(
                          absl::StrCat("sweep `", ShortName(name), "` has not ended within ",
                                       HumanDuration(options.timeout_s), "; it goes on")),
                      absl::StrCat("loglog sweep wait ", ShortName(name)));
    }
    // A screen costs at most a tenth of the coordinator's time, however large the sweep.
    const double pause = std::max(0.25, 10 * fetch_s);
    WaitForNews(*watch, std::max(1.0, pause));
    const double rest = pause - SecondsSince(fetch_start);
    if (rest > 0) WaitForNews(*watch, rest);
  }
}

std::vector<Command> StatusCommands() {
  return {{.path = "status",
           .summary = "where a sweep stands: counts, ETA, grid, checks",
           .details = "Without SWEEP: the newest. With -w it follows the sweep to its end; Ctrl-C\n"
                      "only detaches. Exit code of -w: 7 when trials failed.",
           .positionals = {{.name = "SWEEP", .help = "name of the sweep", .required = false}},
           .flags = {{.name = "watch", .letter = 'w', .help = "keep the screen up to date"}},
           .run = Status}};
}

}  // namespace loglog::cli
