#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/help.h"
#include "cli/version.h"

namespace loglog::cli {
namespace {

absl::StatusOr<int> Completion(Context& context) {
  context.Print(CompletionScript(context.commands(), context.args().One("SHELL")));
  return kExitOk;
}

absl::StatusOr<int> Version(Context& context) {
  Table table;
  table.columns = {{"name"}, {"version"}};
  table.rows = {{Cell::Text("loglog"), Cell::Text(kVersion)}};
  if (context.format() == Format::kTable) {
    context.Print(absl::StrCat("loglog ", kVersion, "\n"));
  } else {
    context.PrintRecord(table);
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> AllCommands() {
  std::vector<Command> all;
  for (const auto& group :
       {DemoCommands(),     PlanCommands(),  StatusCommands(), FitCommands(),
        FitStoreCommands(), ArmsCommands(),  NextCommands(),   PlotCommands(),
        ServerCommands(),   TokenCommands(), SweepCommands(),  TrialCommands(),
        DataCommands(),     CkptCommands(),  ExportCommands(), TensorBoardCommands(),
        SqlCommands(),      StoreCommands(), DoctorCommands(), ShellCommands()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

std::vector<Command> ShellCommands() {
  return {
      {.path = "completion",
       .summary = "shell completion: bash, zsh or fish",
       .details = "  bash: source <(loglog completion bash)\n"
                  "  zsh:  source <(loglog completion zsh)\n"
                  "  fish: loglog completion fish | source",
       .positionals = {{.name = "SHELL",
                        .help = "bash, zsh or fish",
                        .choices = {"bash", "zsh", "fish"}}},
       .run = Completion},
      {.path = "version", .summary = "the program's version", .run = Version},
  };
}

}  // namespace loglog::cli
