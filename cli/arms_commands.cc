// What the arms of a sweep, or of a file of points, may share.
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/csv_source.h"
#include "cli/exit_codes.h"
#include "cli/fit_report.h"
#include "cli/render/text.h"
#include "cli/side_by_side.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "fit/fit.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

constexpr int kDigits = 4;

struct ArmsRead {
  std::vector<ArmTrials> arms;
  Axis axis = Axis::kTokens;
  std::string left_out;
};

absl::StatusOr<ArmsRead> OfCsv(const Args& args) {
  LOGLOG_ASSIGN_OR_RETURN(const CsvSource source, ReadCsvSource(args));
  ArmsRead read{.arms = {}, .axis = source.axis};
  for (const CsvArm& arm : source.points.arms) read.arms.push_back({arm.name, arm.trials});
  read.left_out = CountedRows(source.points);
  return read;
}

absl::StatusOr<ArmsRead> OfSweep(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  ArmsRead read;
  LOGLOG_ASSIGN_OR_RETURN(
      read.axis,
      ParseAxis(context.args().Has("axis") ? context.args().Get("axis") : MainScale(trials)));
  const std::vector<std::string> arms = Arms(trials);
  LOGLOG_RETURN_IF_ERROR(CheckSideBySide(sweep, trials, arms));
  for (const std::string& arm : arms) read.arms.push_back({arm, DoneTrials(trials, arm)});
  read.left_out = LeftOutText(LostOf(trials, arms));
  return read;
}

// "beta[a] .352 (.341 to .364)" for people, an object by name for programs.
Cell Estimates(const ArmsChoice& choice) {
  std::string text;
  nlohmann::json object = nlohmann::json::object();
  const auto number = [](double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
  };
  for (const FitParameter& p : choice.parameters) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", p.name, " ", Significant(p.estimate, kDigits));
    if (std::isfinite(p.low) && std::isfinite(p.high)) {
      absl::StrAppend(&text, " (", Significant(p.low, kDigits), " to ",
                      Significant(p.high, kDigits), ")");
    }
    object[p.name] = {
        {"estimate", number(p.estimate)}, {"low", number(p.low)}, {"high", number(p.high)}};
  }
  return Cell::Json(text, object.dump());
}

Table ChoicesTable(const ArmsFit& fit) {
  Table table;
  table.kind = "choices";
  table.columns = {{"sharing"},
                   {"parameters", true},
                   {"aicc", true},
                   {"least_aicc"},
                   {"held_out", true},
                   {"least_held_out"},
                   {"estimates", false, true}};
  for (size_t i = 0; i < fit.choices.size(); ++i) {
    const ArmsChoice& choice = fit.choices[i];
    const int index = static_cast<int>(i);
    Cell aicc = Cell::Real(choice.aicc, kDigits);
    aicc.text = Significant(choice.aicc, kDigits);
    Cell held_out = Cell::Real(choice.held_out_error, 6);
    if (std::isfinite(choice.held_out_error)) {
      held_out.text = absl::StrCat(Significant(100 * choice.held_out_error, 3), "%");
    }
    table.rows.push_back({Cell::Text(choice.sharing), Cell::Int(choice.n_parameters), aicc,
                          Cell::Bool(index == fit.best_by_aicc), held_out,
                          Cell::Bool(index == fit.best_by_held_out), Estimates(choice)});
  }
  return table;
}

absl::StatusOr<int> FitArmsShare(Context& context) {
  const Args& args = context.args();
  if (!args.Has("csv")) LOGLOG_RETURN_IF_ERROR(RefuseCsvFlags(args, CsvSourceFlags()));
  LOGLOG_ASSIGN_OR_RETURN(const ArmsRead read, args.Has("csv") ? OfCsv(args) : OfSweep(context));
  if (read.arms.size() < 2) {
    return WithHint(absl::FailedPreconditionError("one arm shares nothing: there is no other"),
                    "loglog fit shows what one arm says");
  }
  const Law law = SharedLaw(args.Get("form"), read.arms);
  LOGLOG_ASSIGN_OR_RETURN(const ArmsFit fit, FitArms(read.arms, {.law = law, .axis = read.axis}));
  if (fit.choices.empty()) return absl::FailedPreconditionError(fit.reason);
  context.Print(ChoicesTable(fit));
  if (context.machine_output()) return kExitOk;
  context.Note(absl::StrCat(
      LawName(law), " form, ", Plural(static_cast<int64_t>(read.arms.size()), "arm"),
      "; held out: each arm's largest ", AxisSymbol(read.axis), ", predicted from the rest",
      fit.reason.empty() ? "" : absl::StrCat("; ", fit.reason)));
  context.Note(read.left_out);
  return kExitOk;
}

}  // namespace

std::vector<Command> ArmsCommands() {
  std::vector<Flag> flags = {
      {.name = "form",
       .value = "FORM",
       .help = "of the law (default: joint where sizes and tokens vary)",
       .choices = {"saturating", "joint"}},
      {.name = "axis",
       .value = "AXIS",
       .help = "of a saturating form (default: D, or N when only sizes vary)",
       .choices = {"D", "N", "C"}}};
  const std::vector<Flag> csv_flags = CsvSourceFlags();
  flags.insert(flags.end(), csv_flags.begin(), csv_flags.end());
  return {{.path = "fit arms",
           .summary = "what the arms may share: nothing, a floor, the terms of N",
           .details =
               "Fits all arms at once under every way of sharing that the form has, with AICc and\n"
               "the error at what was held out side by side; neither decides alone. -o wide and\n"
               "-o json have the estimates with their intervals.\n"
               "  loglog fit arms -o json\n"
               "  loglog fit arms --csv points.csv --x tokens --y loss --by arm",
           .positionals = {{.name = "SWEEP",
                            .help = "name of the sweep (default: the newest)",
                            .required = false}},
           .flags = flags,
           .run = FitArmsShare}};
}

}  // namespace loglog::cli
