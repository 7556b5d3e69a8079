#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/fit_report.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "plan/spec.h"

namespace loglog::cli {
namespace {

const Flag kAxis = {.name = "axis",
                    .value = "AXIS",
                    .help =
                        "what the loss is a function of: D tokens, N parameters, C FLOPs "
                        "(default: D, or N when only sizes vary)",
                    .choices = {"D", "N", "C"}};

// An arm by its label, or a guess in the error.
absl::Status CheckArm(const std::vector<std::string>& arms, const std::string& arm,
                      const std::string& sweep) {
  if (std::find(arms.begin(), arms.end(), arm) != arms.end()) return absl::OkStatus();
  const std::string guess = Nearest(arm, arms);
  std::string known;
  for (size_t i = 0; i < arms.size() && i < 12; ++i)
    absl::StrAppend(&known, i > 0 ? "; " : "", arms[i]);
  return WithHint(absl::NotFoundError(absl::StrCat(
                      "sweep ", sweep, " has no arm `", arm, "`",
                      guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                  absl::StrCat("its arms: ", known, arms.size() > 12 ? "; ..." : ""));
}

void PrintFits(Context& context, const std::vector<v1::Fit>& fits) {
  if (context.machine_output()) {
    context.Print(FitTable(fits));
    return;
  }
  context.Print(
      RenderFitReport(fits, {.detailed = context.format() == Format::kWide}, context.style()));
}

absl::StatusOr<int> Fit(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep listed,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep, client->GetSweep(listed.name()));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::string name = ShortName(sweep.name());
  std::vector<std::string> arms = Arms(trials);
  const std::string only = context.args().Get("arm");
  if (!only.empty()) {
    LOGLOG_RETURN_IF_ERROR(CheckArm(arms, only, name));
    arms = {only};
  }
  const std::string axis =
      context.args().Has("axis") ? context.args().Get("axis") : MainScale(trials);
  std::vector<v1::Fit> fits;
  for (const char* kind : {"local_slope", "saturating"}) {
    for (const std::string& arm : arms) {
      LOGLOG_ASSIGN_OR_RETURN(v1::Fit fit, client->CreateFit(sweep.name(), arm, kind, axis));
      fits.push_back(std::move(fit));
    }
  }
  if (only.empty()) {
    for (const auto& [arm, arm_b] : ComparisonsOf(sweep, arms)) {
      LOGLOG_ASSIGN_OR_RETURN(v1::Fit fit, client->CompareArms(sweep.name(), arm, arm_b, axis));
      fits.push_back(std::move(fit));
    }
  }
  PrintFits(context, fits);
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
  LOGLOG_ASSIGN_OR_RETURN(const v1::Fit fit, client->CompareArms(sweep.name(), arm, arm_b, axis));
  PrintFits(context, {fit});
  context.Next({absl::StrCat("loglog plot ", ShortName(sweep.name()))});
  return kExitOk;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ComparisonsOf(
    const v1::Sweep& sweep, const std::vector<std::string>& arms) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (const absl::StatusOr<SweepSpec> spec = ParseSpec(sweep.spec_json(), "stored spec");
      spec.ok()) {
    for (const FitRequest& request : spec->fit) {
      if (request.kind == "comparison") pairs.push_back({request.arm, request.arm_b});
    }
  }
  if (pairs.empty() && arms.size() == 2) pairs.push_back({arms[0], arms[1]});
  return pairs;
}

std::vector<Command> FitCommands() {
  return {
      {.path = "fit",
       .summary = "fitted slopes and exponents with intervals",
       .details =
           "For each arm the local log-log slope and the exponent with a free floor E, then the\n"
           "comparisons that the spec asks for. -o wide adds objectives and provenance.",
       .positionals = {{.name = "SWEEP",
                        .help = "name of the sweep (default: the newest)",
                        .required = false}},
       .flags = {{.name = "arm", .value = "ARM", .help = "only this arm"}, kAxis},
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
