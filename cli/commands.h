#ifndef LOGLOG_CLI_COMMANDS_H_
#define LOGLOG_CLI_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/context.h"
#include "cli/screen.h"

namespace loglog::cli {

// One function a file of commands; AllCommands() puts them in order.
std::vector<Command> DemoCommands();
std::vector<Command> PlanCommands();  // plan submit explain schema
std::vector<Command> StatusCommands();
std::vector<Command> SweepCommands();
std::vector<Command> TrialCommands();
std::vector<Command> FitCommands();       // fit compare
std::vector<Command> FitStoreCommands();  // fit show, verify, export
std::vector<Command> ArmsCommands();      // fit arms
std::vector<Command> NextCommands();
std::vector<Command> PlotCommands();
std::vector<Command> ServerCommands();  // up, worker ...
std::vector<Command> TokenCommands();   // token create, list, revoke
std::vector<Command> DataCommands();
std::vector<Command> CkptCommands();  // ckpt export, verify
std::vector<Command> ExportCommands();
std::vector<Command> TensorBoardCommands();  // export tensorboard
std::vector<Command> SqlCommands();
std::vector<Command> StoreCommands();  // store check, backup, seal, compact
std::vector<Command> DoctorCommands();
std::vector<Command> ShellCommands();  // completion version

// The sweep that a command is about, with its spec: the one named, else the newest.
absl::StatusOr<v1::Sweep> SweepToShow(Context& context, Client& client, absl::string_view name);

// Everything about a sweep that screens and checks need, fetched afresh.
absl::StatusOr<CheckInput> FetchSweep(Client& client, absl::string_view name);

// Follows a sweep until it ends: a live screen on a terminal, else a line on stderr (or,
// with `lines_on_stdout`, data on stdout) whenever something changed. Ctrl-C leaves the
// sweep alone, says how to come back and returns 130. `timeout_s` <= 0: no limit.
// 0, or 7 when trials failed or the sweep was cancelled.
struct FollowOptions {
  bool data_on_stdout = false;
  double timeout_s = 0;
};
absl::StatusOr<int> FollowSweep(Context& context, Client& client, const std::string& name,
                                const FollowOptions& options);

// 7 when trials failed or the sweep was cancelled, else 0.
int ExitCodeOfSweep(const v1::Sweep& sweep);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_COMMANDS_H_
