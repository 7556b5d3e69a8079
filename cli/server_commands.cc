#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/binaries.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/tables.h"

namespace loglog::cli {
namespace {

absl::StatusOr<int> Up(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string binary, FindBinary(context.io(), "loglog-coordinator"));
  std::vector<std::string> argv = {binary, "--store", context.args().Get("store"), "--listen",
                                   context.args().Get("listen")};
  // Flags of the coordinator that are also ours: what a client's settings say is not for it.
  for (const char* flag : {"tls-cert", "tls-key"}) {
    if (context.args().OnLine(flag)) {
      argv.insert(argv.end(), {absl::StrCat("--", flag), context.args().Get(flag)});
    }
  }
  if (context.args().OnLine("insecure") && context.args().On("insecure"))
    argv.push_back("--insecure");
  argv.insert(argv.end(), context.args().rest().begin(), context.args().rest().end());
  context.Note(absl::StrCat("coordinator on ", context.args().Get("listen"), ", store ",
                            context.args().Get("store"),
                            "; Ctrl-C stops it, and the next `loglog up` goes on where it was"));
  return context.io().exec(argv);
}

absl::StatusOr<int> WorkerStart(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string binary, FindBinary(context.io(), "loglog-worker"));
  std::vector<std::string> argv = {binary, "--coordinator", context.address()};
  for (const char* flag : {"tls-ca", "tls-cert", "tls-key", "token-file"}) {
    const std::string value = context.args().Get(flag);
    if (!value.empty()) argv.insert(argv.end(), {absl::StrCat("--", flag), value});
  }
  if (context.args().On("insecure")) argv.push_back("--insecure");
  argv.insert(argv.end(), context.args().rest().begin(), context.args().rest().end());
  return context.io().exec(argv);
}

absl::StatusOr<int> WorkerList(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Worker> workers, client->ListWorkers());
  context.Print(WorkerTable(workers, absl::ToUnixMillis(absl::Now())));
  if (workers.empty()) {
    context.Next({absl::StrCat("loglog worker start --coordinator ", context.address())});
  }
  return kExitOk;
}

absl::StatusOr<int> Drain(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(
      const v1::Worker worker,
      client->DrainWorker(WorkerName(context.args().One("WORKER")), context.args().Get("reason")));
  if (context.machine_output()) {
    context.PrintRecord(WorkerTable({worker}, 0));
  } else {
    context.Note(
        absl::StrCat("worker ", ShortName(worker.name()),
                     " is draining: running tasks checkpoint and leave, no new ones start"));
  }
  context.Next(
      {"loglog worker list", absl::StrCat("loglog worker resume ", ShortName(worker.name()))});
  return kExitOk;
}

absl::StatusOr<int> Resume(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Worker worker,
                          client->ResumeWorker(WorkerName(context.args().One("WORKER"))));
  if (context.machine_output()) {
    context.PrintRecord(WorkerTable({worker}, 0));
  } else {
    context.Note(absl::StrCat("worker ", ShortName(worker.name()), " takes tasks again"));
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> ServerCommands() {
  return {
      {.path = "up",
       .summary = "start a coordinator here",
       .details = "Every further flag goes to loglog-coordinator (see loglog-coordinator --help).\n"
                  "A wider address than loopback needs --tls-cert and --tls-key, which\n"
                  "deploy/make-certs makes; callers then show a token (docs/SECURITY.md).\n"
                  "--insecure serves whoever reaches it.",
       .flags = {{.name = "store",
                  .value = "FILE",
                  .help = "the sweep store, one SQLite file",
                  .default_value = "./loglog.db",
                  .from_env = true},
                 {.name = "listen",
                  .value = "ADDR",
                  .help = "address to serve at",
                  .default_value = "127.0.0.1:7070"}},
       .pass_through = true,
       .run = Up},
      {.path = "worker start",
       .summary = "start a worker daemon on this host",
       .details =
           "Every further flag goes to loglog-worker: --slots N, --run-dir DIR, --data-root DIR,\n"
           "--label k=v and so on (see loglog-worker --help).",
       .pass_through = true,
       .run = WorkerStart},
      {.path = "worker list", .summary = "workers, their slots and health", .run = WorkerList},
      {.path = "worker drain",
       .summary = "let a worker's tasks checkpoint and leave",
       .positionals = {{.name = "WORKER", .help = "name of the worker"}},
       .flags = {{.name = "reason", .value = "TEXT", .help = "shown in the worker list"}},
       .run = Drain},
      {.path = "worker resume",
       .summary = "end a drain or a quarantine",
       .positionals = {{.name = "WORKER", .help = "name of the worker"}},
       .run = Resume},
  };
}

}  // namespace loglog::cli
