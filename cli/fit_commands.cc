#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/csv_fit.h"
#include "cli/csv_source.h"
#include "cli/exit_codes.h"
#include "cli/fit_report.h"
#include "cli/fit_targets.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "plan/suggest.h"

namespace loglog::cli {
namespace {

const Flag kAxis = {.name = "axis",
                    .value = "AXIS",
                    .help =
                        "what the loss is a function of: D tokens, N parameters, C FLOPs "
                        "(default: what the spec says, else D, or N when only sizes vary)",
                    .choices = {"D", "N", "C"}};

// An arm by its label, or a guess in the error.
absl::Status CheckArm(const std::vector<std::string>& arms, const std::string& arm,
                      const std::string& sweep) {
  if (std::find(arms.begin(), arms.end(), arm) != arms.end()) return absl::OkStatus();
  const std::string guess = NearestWord(arm, arms);
  std::string known;
  for (size_t i = 0; i < arms.size() && i < 12; ++i)
    absl::StrAppend(&known, i > 0 ? "; " : "", arms[i]);
  return WithHint(absl::NotFoundError(absl::StrCat(
                      "sweep ", sweep, " has no arm `", arm, "`",
                      guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                  absl::StrCat("its arms: ", known, arms.size() > 12 ? "; ..." : ""));
}

void PrintFits(Context& context, const MadeFits& made, const std::vector<v1::Trial>& trials) {
  if (context.machine_output()) {
    context.Print(context.args().Has("at") ? PredictionTable(made.fits, made.predictions)
                                           : FitTable(made.fits));
    return;
  }
  context.Print(RenderFitReport(made.fits,
                                {.detailed = context.format() == Format::kWide,
                                 .lost = LostByArm(trials),
                                 .predictions = made.predictions},
                                context.style()));
}

// What was made is printed already. A coordinator that is gone is the one thing to say;
// otherwise each fit that could not be made says why.
absl::Status ReportErrors(Context& context, const MadeFits& made, size_t wanted) {
  if (IsUnreachable(made.errors.back())) return made.errors.back();
  if (!context.machine_output()) {
    for (const absl::Status& error : made.errors) context.Note(Printable(error.message()));
  }
  std::string message =
      absl::StrCat(made.errors.size(), " of ", Plural(static_cast<int64_t>(wanted), "fit"),
                   " could not be made");
  if (context.machine_output()) {
    for (const absl::Status& error : made.errors) absl::StrAppend(&message, "; ", error.message());
  }
  return WithHint(absl::InternalError(message),
                  "loglog trial list shows the arms and their trials");
}

absl::StatusOr<int> Fit(Context& context) {
  if (context.args().Has("csv")) {
    if (context.args().On("with-censored")) {
      return WithHint(absl::InvalidArgumentError("--with-censored is for a sweep's stopped trials"),
                      "--censored COLUMN says which rows of a CSV are ends");
    }
    return FitCsv(context);
  }
  LOGLOG_RETURN_IF_ERROR(RefuseCsvFlags(context.args(), CsvFitFlags()));
  if (const std::vector<std::string> arms = context.args().All("arm"); arms.size() > 1) {
    return WithHint(absl::InvalidArgumentError("fit of a sweep takes one --arm"),
                    "loglog compare A B compares two of its arms");
  }
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::string name = ShortName(sweep.name());
  if (const std::string only = context.args().Get("arm"); !only.empty()) {
    LOGLOG_RETURN_IF_ERROR(CheckArm(Arms(trials), only, name));
  }
  const std::vector<FitWanted> wanted =
      FitsWanted(sweep, trials,
                 {.arm = context.args().Get("arm"),
                  .axis = context.args().Get("axis"),
                  .censored = context.args().On("with-censored")});
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<AskedPlace> at, AskedPlaces(context.args()));
  const MadeFits made = MakeFits(*client, sweep.name(), wanted, at);
  if (!made.fits.empty() || made.errors.empty()) PrintFits(context, made, trials);
  if (!made.errors.empty()) return ReportErrors(context, made, wanted.size());
  if (!HasEnded(sweep) && !context.machine_output()) {
    context.Note(absl::StrCat("sweep ", name, " has not ended: ", sweep.counts().done(), " of ",
                              Plural(sweep.counts().total(), "trial"),
                              " done; these numbers will change"));
  }
  context.Next({absl::StrCat("loglog plot ", name), absl::StrCat("loglog fit ", name, " -o wide")});
  return kExitOk;
}

absl::StatusOr<int> Compare(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().Get("sweep")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::vector<std::string> arms = Arms(trials);
  const std::string arm = context.args().One("ARM");
  const std::string arm_b = context.args().One("ARM_B");
  LOGLOG_RETURN_IF_ERROR(CheckArm(arms, arm, ShortName(sweep.name())));
  LOGLOG_RETURN_IF_ERROR(CheckArm(arms, arm_b, ShortName(sweep.name())));
  if (arm == arm_b) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", arm, "` is compared with itself: name two arms"));
  }
  const std::string axis =
      context.args().Has("axis") ? context.args().Get("axis") : MainScale(trials);
  MadeFits made;
  LOGLOG_ASSIGN_OR_RETURN(made.fits.emplace_back(),
                          client->CompareArms(sweep.name(), arm, arm_b, axis));
  PrintFits(context, made, trials);
  context.Next({absl::StrCat("loglog plot ", ShortName(sweep.name()))});
  return kExitOk;
}

}  // namespace

std::vector<Command> FitCommands() {
  std::vector<Flag> fit_flags = {
      {.name = "arm",
       .value = "ARM",
       .help = "only this arm; of a CSV also several, which are compared",
       .repeated = true},
      kAxis,
      AtFlag(),
      {.name = "with-censored",
       .help = "also what the estimates become with the stopped trials, held to end below "
               "their last loss"}};
  const std::vector<Flag> csv_flags = CsvFitFlags();
  fit_flags.insert(fit_flags.end(), csv_flags.begin(), csv_flags.end());
  return {
      {.path = "fit",
       .summary = "fitted slopes and exponents with intervals",
       .details =
           "The fits that the spec asks for; when it names none, for each arm the local log-log\n"
           "slope and the exponent with a free floor E. Then the comparisons. -o wide adds\n"
           "objectives and provenance. With --csv the points of a file are fitted, without a\n"
           "coordinator: loglog fit --csv points.csv --x tokens --y loss --by arm",
       .positionals = {{.name = "SWEEP",
                        .help = "name of the sweep (default: the newest)",
                        .required = false}},
       .flags = fit_flags,
       .run = Fit},
      {.path = "compare",
       .summary = "is one arm steeper than another? paired over budgets and seeds",
       .positionals = {{.name = "ARM", .help = "label of an arm"},
                       {.name = "ARM_B", .help = "label of the other"}},
       .flags = {{.name = "sweep",
                  .value = "SWEEP",
                  .help = "name of the sweep (default: the newest)"},
                 kAxis},
       .run = Compare},
  };
}

}  // namespace loglog::cli
