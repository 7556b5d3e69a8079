#include <ostream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/live.h"
#include "cli/render/grid.h"
#include "cli/render/text.h"
#include "shards/inspect.h"
#include "shards/pack.h"
#include "shards/token_shard.h"

namespace loglog::cli {
namespace {

absl::StatusOr<int> PackText(Context& context) {
  PackOptions options = {.inputs = context.args().Many("TEXT"),
                         .output = context.args().Get("out")};
  LOGLOG_ASSIGN_OR_RETURN(options.val_share, context.args().Number("val-share", 0, 1));
  const std::string rule = context.args().Get("documents");
  const bool files = rule == "files" || (rule == "auto" && options.inputs.size() > 1);
  options.documents = files ? DocumentRule::kFiles : DocumentRule::kBlankLines;
  options.overwrite = context.args().On("overwrite");
  LiveRegion region(*context.io().err, context.io().columns, context.io().rows);
  if (context.animate_err()) {
    options.progress = [&](int64_t done, int64_t total) {
      const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
      region.Update(absl::StrCat(RenderBar({.done = share}, 32, context.err_style()), " ",
                                 HumanBytes(static_cast<double>(done)), " of ",
                                 HumanBytes(static_cast<double>(total))));
    };
  }
  ShardManifest manifest;
  try {
    manifest = Pack(options);
  } catch (const ShardError& error) {
    return absl::InvalidArgumentError(error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
  if (options.progress) region.Update("");
  Table table;
  table.columns = {{"folder"},          {"train_tokens", true}, {"val_tokens", true},
                   {"documents", true}, {"vocab", true},        {"data_sha256", false, true}};
  table.rows = {
      {Cell::Text(options.output), Cell::Count(static_cast<double>(manifest.train.tokens)),
       Cell::Count(static_cast<double>(manifest.val.tokens)), Cell::Int(manifest.documents()),
       Cell::Int(manifest.vocab), Cell::Text(manifest.data_sha256)}};
  // One object, not a list of one.
  if (context.machine_output()) {
    context.PrintRecord(table);
  } else {
    context.Print(table);
    context.Note(absl::StrCat("in a spec: data: {train: {format: llmc, glob: \"", options.output,
                              "/train-*.bin\"}, val: {format: llmc, glob: \"", options.output,
                              "/val-*.bin\"}}, model: {vocab: ", manifest.vocab, "}"));
  }
  context.Next({absl::StrCat("loglog data inspect ", ShellQuote(options.output))});
  return kExitOk;
}

absl::StatusOr<int> InspectData(Context& context) {
  InspectReport report;
  try {
    report = Inspect(context.args().One("PATH"),
                     {.verify_hashes = !context.args().On("no-hashes"),
                      .raw_bytes = context.args().Get("raw") == "u32" ? 4 : 2});
  } catch (const ShardError& error) {
    return absl::NotFoundError(error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
  Table table;
  table.kind = "files";
  table.columns = {{"file"},
                   {"format"},
                   {"tokens", true},
                   {"documents", true, true},
                   {"bytes", true, true},
                   {"min", true},
                   {"max", true},
                   {"distinct", true},
                   {"entropy_nats", true},
                   {"top_tokens", false, true},
                   {"sha256", false, true}};
  for (const ShardFileReport& file : report.files) {
    std::string top, top_json = "[";
    for (const auto& [id, count] : file.top_tokens) {
      absl::StrAppend(&top, top.empty() ? "" : " ", id, ":", count);
      absl::StrAppend(&top_json, top_json.size() > 1 ? ", " : "", "{\"id\": ", id,
                      ", \"count\": ", count, "}");
    }
    table.rows.push_back({Cell::Text(file.path), Cell::Text(file.format), Cell::Int(file.tokens),
                          file.documents ? Cell::Int(*file.documents) : Cell::None(),
                          Cell::Int(file.bytes), Cell::Int(file.min_token),
                          Cell::Int(file.max_token), Cell::Int(file.distinct_tokens),
                          Cell::Real(file.unigram_entropy, 4),
                          Cell::Json(top, absl::StrCat(top_json, "]")), Cell::Text(file.sha256)});
  }
  context.Print(table);
  if (report.manifest.has_value() && !context.machine_output()) {
    context.Note(absl::StrCat("manifest: ", Plural(report.manifest->tokens(), "token"), ", ",
                              Plural(report.manifest->documents(), "document"), ", vocabulary ",
                              report.manifest->vocab, ", data ",
                              report.manifest->data_sha256.substr(0, 16)));
  }
  if (report.problems.empty()) return kExitOk;
  for (const std::string& problem : report.problems)
    context.Note(absl::StrCat("problem: ", problem));
  return absl::DataLossError(
      absl::StrCat(Plural(static_cast<int64_t>(report.problems.size()), "problem"), " in ",
                   context.args().One("PATH"), ": pack it again"));
}

}  // namespace

std::vector<Command> DataCommands() {
  return {
      {.path = "data pack",
       .summary = "text files to training and validation shards of bytes",
       .details = "  loglog data pack book.txt --out data/book",
       .positionals = {{.name = "TEXT", .help = "text files", .many = true}},
       .flags = {{.name = "out",
                  .value = "DIR",
                  .help = "folder to make",
                  .default_value = "data/packed"},
                 {.name = "val-share",
                  .value = "SHARE",
                  .help = "share of the bytes for validation",
                  .default_value = "0.05"},
                 {.name = "documents",
                  .value = "RULE",
                  .help = "what a document is: each file, or what blank lines part; auto: blank "
                          "lines in a single file, else files. None is cut by the split",
                  .default_value = "auto",
                  .choices = {"auto", "files", "blank-lines"}},
                 {.name = "overwrite", .help = "replace shards that are there"}},
       .run = PackText},
      {.path = "data inspect",
       .summary = "what shards hold, and whether they are sound",
       .positionals = {{.name = "PATH", .help = "a shard or a folder of shards"}},
       .flags = {{.name = "raw",
                  .value = "TYPE",
                  .help = "type of the ids in files without a header",
                  .default_value = "u16",
                  .choices = {"u16", "u32"}},
                 {.name = "no-hashes", .help = "do not check hashes (faster)"}},
       .run = InspectData},
  };
}

}  // namespace loglog::cli
