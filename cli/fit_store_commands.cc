// Commands about fits that are in a store: they read its file and need no coordinator.
#include <charconv>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/fit_export.h"
#include "cli/render/text.h"
#include "cli/store_file.h"
#include "fitting/verify.h"

namespace loglog::cli {
namespace {

const Positional kFits = {.name = "FITS",
                          .help =
                              "SWEEP for its newest fits, SWEEP/NUMBER for one (default: the "
                              "newest sweep)",
                          .required = false};

struct StoredFits {
  std::unique_ptr<ReadStore> store;
  SweepRow sweep;
  std::vector<FitRow> fits;
};

// "s", "s/12", "sweeps/s" or "sweeps/s/fits/12"; number 0: all.
absl::Status ParseFitName(absl::string_view text, std::string* sweep, int64_t* number) {
  absl::ConsumePrefix(&text, "sweeps/");
  std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() == 3 && parts[1] == "fits") parts = {parts[0], parts[2]};
  *sweep = parts[0];
  *number = 0;
  if (parts.size() == 1) return absl::OkStatus();
  const std::string& digits = parts[1];
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *number);
  if (parts.size() == 2 && error == std::errc() && end == digits.data() + digits.size() &&
      *number > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("`", text, "` names no fit: write SWEEP or SWEEP/NUMBER"));
}

absl::StatusOr<StoredFits> ReadFits(Context& context) {
  StoredFits stored;
  std::string name;
  int64_t number = 0;
  LOGLOG_RETURN_IF_ERROR(ParseFitName(context.args().One("FITS"), &name, &number));
  LOGLOG_ASSIGN_OR_RETURN(const std::string path, StorePath(context));
  LOGLOG_ASSIGN_OR_RETURN(stored.store, OpenStore(path));
  if (name.empty()) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<SweepRow> newest, stored.store->ListSweeps(0, 1));
    if (newest.empty()) {
      return WithHint(absl::NotFoundError(absl::StrCat(path, " holds no sweep")),
                      "loglog submit SPEC adds one");
    }
    name = newest[0].name;
  }
  LOGLOG_ASSIGN_OR_RETURN(stored.sweep, stored.store->GetSweep(name));
  const int64_t sweep_id = stored.sweep.sweep_id;
  if (number > 0) {
    LOGLOG_ASSIGN_OR_RETURN(FitRow fit, stored.store->GetFit(sweep_id, number));
    stored.fits.push_back(std::move(fit));
  } else {
    LOGLOG_ASSIGN_OR_RETURN(stored.fits, stored.store->ListFits(sweep_id));
  }
  if (stored.fits.empty()) {
    return WithHint(absl::NotFoundError(absl::StrCat("sweep ", name, " has no stored fit")),
                    absl::StrCat("loglog fit ", name, " makes them"));
  }
  return stored;
}

absl::StatusOr<int> Show(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const StoredFits stored, ReadFits(context));
  if (context.machine_output()) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string json, FitsAsJson(stored.sweep.name, stored.fits));
    context.Print(json);
    return kExitOk;
  }
  for (size_t i = 0; i < stored.fits.size(); ++i) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string text, DescribeFit(stored.sweep.name, stored.fits[i],
                                                                context.style().columns));
    context.Print(absl::StrCat(i > 0 ? "\n" : "", text));
  }
  context.Next({absl::StrCat("loglog fit verify ", stored.sweep.name)});
  return kExitOk;
}

absl::StatusOr<int> Export(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const StoredFits stored, ReadFits(context));
  const std::string as = context.args().Get("as");
  const auto write = as == "latex" ? FitsAsLatex : as == "python" ? FitsAsPython : FitsAsJson;
  LOGLOG_ASSIGN_OR_RETURN(const std::string text, write(stored.sweep.name, stored.fits));
  context.Print(text);
  return kExitOk;
}

absl::StatusOr<int> Verify(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const StoredFits stored, ReadFits(context));
  LOGLOG_ASSIGN_OR_RETURN(const FitPlan plan, FitPlanOf(stored.sweep.spec_json));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<ObservationRow> trials,
                          ReadFitTrials(*stored.store, stored.sweep.sweep_id, plan));
  Table table;
  table.kind = "checks";
  table.columns = {{"fit"}, {"kind"}, {"axis"}, {"arm"}, {"arm_b"}, {"outcome"}, {"differences"}};
  std::vector<std::string> told;
  int differ = 0, moved_on = 0;
  for (const FitRow& fit : stored.fits) {
    LOGLOG_ASSIGN_OR_RETURN(const FitCheck check, VerifyFit(fit, trials, plan));
    differ += check.outcome == FitCheck::Outcome::kSame ? 0 : 1;
    moved_on += check.moved_on ? 1 : 0;
    table.rows.push_back({Cell::Int(fit.number), Cell::Text(fit.kind), Cell::Text(fit.axis),
                          Cell::Text(fit.arm), Cell::Text(fit.arm_b),
                          Cell::Text(OutcomeWord(check.outcome)),
                          Cell::Int(static_cast<int64_t>(check.differences.size()))});
    for (const std::string& difference : check.differences) {
      told.push_back(absl::StrCat("fit ", fit.number, ": ", OneLine(difference)));
    }
  }
  context.Print(table);
  constexpr size_t kToldMax = 20;
  for (size_t i = 0; i < told.size() && i < kToldMax; ++i) context.Note(told[i]);
  if (told.size() > kToldMax) context.Note(absl::StrCat(told.size() - kToldMax, " more"));
  context.Note(absl::StrCat(stored.fits.size() - differ, " of ", stored.fits.size(),
                            " fits come out the same to the last digit"));
  if (moved_on > 0) {
    context.Note(absl::StrCat(Plural(moved_on, "fit"),
                              " made again from the trials they list: others have ended since"));
  }
  return differ > 0 ? kExitDifferences : kExitOk;
}

}  // namespace

std::vector<Command> FitStoreCommands() {
  return {
      {.path = "fit show",
       .summary = "all that is stored of a fit: numbers, what went in, how it was made",
       .positionals = {kFits},
       .flags = {kStoreFlag},
       .run = Show},
      {.path = "fit verify",
       .summary = "make stored fits again from their trials and compare every digit",
       .details = "Reads the store's file, also a sealed one. 8 when a number or a word differs,\n"
                  "with both values; a fit that another version made may differ and says so.",
       .positionals = {kFits},
       .flags = {kStoreFlag},
       .run = Verify},
      {.path = "fit export",
       .summary = "stored fits for papers: JSON, rows of a LaTeX table, a Python figure",
       .details = "  loglog fit export phase --as python > figure.py\n"
                  "  loglog export csv phase --file trials.csv\n"
                  "  python3 figure.py trials.csv figure.svg\n"
                  "docs/fit.schema.json describes the JSON.",
       .positionals = {kFits},
       .flags = {kStoreFlag,
                 {.name = "as",
                  .value = "FORM",
                  .help = "json, latex or python",
                  .default_value = "json",
                  .choices = {"json", "latex", "python"}}},
       .run = Export},
  };
}

}  // namespace loglog::cli
