#include <chrono>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/live.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "plan/suggest.h"

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
    if (context.format() == Format::kCsv || context.format() == Format::kName) {
      return WithHint(absl::InvalidArgumentError(
                          absl::StrCat("status -w cannot print -o ", context.args().Get("output"),
                                       ": it prints the sweep again whenever it changed")),
                      "use -o jsonl, one object a line, or leave -w out");
    }
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
  const bool whole = sweep.counts().failed() == 0 && sweep.counts().cancelled() == 0 &&
                     sweep.state() != v1::Sweep::CANCELLED;
  return whole ? kExitOk : kExitTrialsFailed;
}

absl::StatusOr<v1::Sweep> SweepToShow(Context& context, Client& client, absl::string_view name) {
  if (!name.empty()) {
    absl::StatusOr<v1::Sweep> sweep = client.GetSweep(SweepName(name));
    if (sweep.ok() || sweep.status().code() != absl::StatusCode::kNotFound) return sweep;
    const absl::StatusOr<std::vector<v1::Sweep>> sweeps = client.ListSweeps();
    if (!sweeps.ok()) return sweep;
    std::vector<std::string> names;
    for (const v1::Sweep& s : *sweeps) names.push_back(ShortName(s.name()));
    const std::string guess = NearestWord(ShortName(name), names);
    return WithHint(absl::NotFoundError(absl::StrCat(
                        "no sweep named `", ShortName(name), "`",
                        guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                    "loglog sweep list");
  }
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep newest, client.NewestSweep());
  // Lists leave the spec out.
  LOGLOG_ASSIGN_OR_RETURN(v1::Sweep sweep, client.GetSweep(newest.name()));
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

namespace {

// How long a coordinator may be away (a restart, a network gap) before following ends.
constexpr double kOutageMaxS = 60;

// One run of FollowSweep.
class Follower {
 public:
  Follower(Context& context, Client& client, const std::string& name, const FollowOptions& options)
      : context_(context),
        client_(client),
        name_(name),
        options_(options),
        machine_(options.data_on_stdout && context.machine_output()),
        live_(!machine_ &&
              (options.data_on_stdout ? context.animate_out() : context.animate_err())),
        out_(options.data_on_stdout ? *context.io().out : *context.io().err),
        style_(options.data_on_stdout ? context.style() : context.err_style()),
        region_(out_, context.io().columns, context.io().rows) {}

  absl::StatusOr<int> Run() {
    LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep first, client_.GetSweep(name_));
    const std::unique_ptr<Client::Watch> watch = client_.WatchSweep(name_, first.last_event_id());
    while (true) {
      const SteadyClock::time_point fetch_start = SteadyClock::now();
      const absl::StatusOr<CheckInput> input = FetchSweep(client_, name_);
      const double fetch_s = SecondsSince(fetch_start);
      if (input.ok()) {
        away_ = false;
        Show(*input);
        if (HasEnded(input->sweep)) return ExitCodeOfSweep(input->sweep);
        // RunLoglog tells a reader that left from a disk that is full.
        if (options_.data_on_stdout && NobodyReads()) return kExitOk;
      } else {
        LOGLOG_RETURN_IF_ERROR(Bear(input.status()));
      }
      if (InterruptGuard::Interrupted()) {
        region_.Finish();
        context_.Note(Detached(ShortName(name_)));
        return kExitInterrupted;
      }
      if (options_.timeout_s > 0 && SecondsSince(start_) >= options_.timeout_s) {
        return WithHint(absl::DeadlineExceededError(
                            absl::StrCat("sweep `", ShortName(name_), "` has not ended within ",
                                         HumanDuration(options_.timeout_s), "; it goes on")),
                        absl::StrCat("loglog sweep wait ", ShortName(name_)));
      }
      // A screen costs at most a tenth of the coordinator's time, however large the sweep.
      const double pause = std::max(0.25, 10 * fetch_s);
      WaitForNews(*watch, std::max(1.0, pause));
      const double rest = pause - SecondsSince(fetch_start);
      if (rest > 0) WaitForNews(*watch, rest);
    }
  }

 private:
  // Whether what is shown from now on would be lost.
  bool NobodyReads() const {
    const Io& io = context_.io();
    return !*io.out || (io.reader_left && io.reader_left());
  }

  void Show(const CheckInput& input) {
    const Screen screen = BuildScreen(input);
    if (live_) {
      region_.Update(RenderScreen(screen, style_));
      return;
    }
    const std::string line = machine_
                                 ? RenderTable(SweepTable({input.sweep}), Format::kJsonl, style_)
                                 : absl::StrCat(RenderScreenLine(screen), "\n");
    if (line != last_line_) out_ << line << std::flush;
    last_line_ = line;
  }

  // OK while a coordinator that does not answer may still come back.
  absl::Status Bear(const absl::Status& status) {
    if (status.code() != absl::StatusCode::kUnavailable &&
        status.code() != absl::StatusCode::kDeadlineExceeded) {
      return status;
    }
    if (!away_) {
      away_ = true;
      away_since_ = SteadyClock::now();
      region_.Finish();
      context_.Note(
          absl::StrCat(status.message(), "; trying again for ", HumanDuration(kOutageMaxS)));
    }
    return SecondsSince(away_since_) < kOutageMaxS ? absl::OkStatus() : status;
  }

  Context& context_;
  Client& client_;
  const std::string name_;
  const FollowOptions options_;
  const bool machine_;
  const bool live_;
  std::ostream& out_;
  const Style& style_;
  LiveRegion region_;
  InterruptGuard interrupt_;
  const SteadyClock::time_point start_ = SteadyClock::now();
  std::string last_line_;
  bool away_ = false;
  SteadyClock::time_point away_since_;
};

}  // namespace

absl::StatusOr<int> FollowSweep(Context& context, Client& client, const std::string& name,
                                const FollowOptions& options) {
  return Follower(context, client, name, options).Run();
}

std::vector<Command> StatusCommands() {
  return {{.path = "status",
           .summary = "where a sweep stands: counts, ETA, grid, checks",
           .details = "Without SWEEP: the newest. With -w it follows the sweep to its end; Ctrl-C\n"
                      "only detaches. Exit code of -w: 7 when trials failed or were cancelled.",
           .positionals = {{.name = "SWEEP", .help = "name of the sweep", .required = false}},
           .flags = {{.name = "watch", .letter = 'w', .help = "keep the screen up to date"}},
           .run = Status}};
}

}  // namespace loglog::cli
