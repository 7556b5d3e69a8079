#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "store/check.h"
#include "store/upkeep.h"

namespace loglog::cli {
namespace {

std::string Bytes(int64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

absl::StatusOr<int> CheckFile(Context& context) {
  const std::string path = context.args().One("FILE");
  const bool quick = context.args().On("quick");
  LOGLOG_ASSIGN_OR_RETURN(const CheckReport report, CheckStore(path, {.quick = quick}));
  Table table;
  table.kind = "breaches";
  table.columns = {{"object"}, {"breach"}, {"fix"}};
  for (const Breach& breach : report.breaches) {
    table.rows.push_back(
        {Cell::Text(breach.object), Cell::Text(breach.what), Cell::Text(breach.fix)});
  }
  if (context.machine_output()) {
    context.Print(table);
  } else {
    for (const Breach& breach : report.breaches) {
      context.Print(absl::StrCat(OneLine(breach.object), ": ", OneLine(breach.what),
                                 "\n  fix: ", OneLine(breach.fix), "\n"));
    }
  }
  if (table.rows.empty()) {
    context.Note(absl::StrCat(
        path, " is sound: ", Plural(report.sweeps, "sweep"), ", ", Plural(report.trials, "trial"),
        quick ? "" : absl::StrCat(", ", Plural(report.chunks, "row"), " of points"), ", ",
        Bytes(report.bytes), quick ? "; points and indexes not compared" : ""));
    return kExitOk;
  }
  const size_t count = report.breaches.size();
  context.Note(absl::StrCat(path, " is not sound: ", count, count == 1 ? " breach" : " breaches",
                            report.truncated ? ", and more of the same kinds" : ""));
  return kExitFailure;
}

// One object that says what came of it.
void PrintCopied(Context& context, const std::string& path, const CopiedStore& copied,
                 absl::string_view verb) {
  if (context.machine_output()) {
    Table table;
    table.columns = {{"file"}, {"bytes"}, {"trials_open"}};
    table.rows = {{Cell::Text(path), Cell::Int(copied.bytes), Cell::Int(copied.trials_open)}};
    context.PrintRecord(table);
  } else {
    context.Note(absl::StrCat(verb, " ", path, ", ", Bytes(copied.bytes), ", one file"));
  }
  if (copied.trials_open > 0) {
    context.Note(absl::StrCat(Plural(copied.trials_open, "trial"), " in it had not ended"));
  }
}

absl::StatusOr<int> BackupFile(Context& context) {
  const std::string to = context.args().One("TO");
  LOGLOG_ASSIGN_OR_RETURN(const CopiedStore copied, BackupStore(context.args().One("FILE"), to));
  PrintCopied(context, to, copied, "copied to");
  return kExitOk;
}

absl::StatusOr<int> SealFile(Context& context) {
  const std::string path = context.args().One("FILE");
  const std::string to = context.args().One("TO");
  LOGLOG_ASSIGN_OR_RETURN(const CopiedStore sealed, SealStore(path, to));
  PrintCopied(context, to.empty() ? path : to, sealed, "sealed");
  return kExitOk;
}

absl::StatusOr<int> CompactFile(Context& context) {
  const std::string path = context.args().One("FILE");
  LOGLOG_ASSIGN_OR_RETURN(const CompactedStore compacted, CompactStore(path));
  if (context.machine_output()) {
    Table table;
    table.columns = {{"file"}, {"bytes_before"}, {"bytes_after"}};
    table.rows = {
        {Cell::Text(path), Cell::Int(compacted.bytes_before), Cell::Int(compacted.bytes_after)}};
    context.PrintRecord(table);
  } else {
    context.Note(absl::StrCat("compacted ", path, ": ", Bytes(compacted.bytes_before), " before, ",
                              Bytes(compacted.bytes_after), " after"));
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> StoreCommands() {
  const Positional file = {.name = "FILE", .help = "the store's file"};
  return {
      {.path = "store check",
       .summary = "is the file sound, and do its rows say one thing?",
       .details = "Only reads, also while a coordinator writes; its log grows until this ends.\n"
                  "Exit code 1 when something is wrong; each breach is said with what to do.",
       .positionals = {file},
       .flags = {{.name = "quick", .help = "pass over all points and over what indexes hold"}},
       .run = CheckFile},
      {.path = "store backup",
       .summary = "copy a store as it is now, also while a coordinator writes",
       .details = "The copy is one file, read back before it has its name; nothing is replaced.\n"
                  "  loglog store backup loglog.db backups/loglog-$(date +%F).db",
       .positionals = {file, {.name = "TO", .help = "the copy; must not exist"}},
       .run = BackupFile},
      {.path = "store seal",
       .summary = "make a store one file that anybody may read anywhere",
       .details = "For archives and colleagues: it opens also from a folder that cannot be "
                  "written.\nWith no coordinator running. One that opens it later makes it an "
                  "ordinary store again.",
       .positionals = {file,
                       {.name = "TO",
                        .help = "make a sealed copy instead; must not exist",
                        .required = false}},
       .run = SealFile},
      {.path = "store compact",
       .summary = "rewrite a store without unused space",
       .details = "With no coordinator running; needs as much free disk as the store will have.\n"
                  "The store is sealed then, until a coordinator opens it again.",
       .positionals = {file},
       .run = CompactFile},
  };
}

}  // namespace loglog::cli
