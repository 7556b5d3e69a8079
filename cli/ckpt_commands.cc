// Checkpoints: loglog-trainer reads and writes them, this program asks it and shows the answer.
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/binaries.h"
#include "cli/child.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace loglog::cli {
namespace {

using Json = nlohmann::json;

// Reading and hashing the checkpoint of a large model from a slow disk.
constexpr int64_t kTimeoutMs = 30 * 60 * 1000;
// Exit codes of the trainer: it cannot be done, and not with this host's files or disk.
constexpr int kRefused = 20;
constexpr int kHost = 41;

std::string LastLine(absl::string_view output) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(output), '\n');
  return std::string(absl::StripPrefix(lines.back(), "loglog-trainer: "));
}

// The object that the trainer prints for this command line.
absl::StatusOr<Json> AskTrainer(Context& context, std::vector<std::string> arguments) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string trainer, FindBinary(context.io(), "loglog-trainer"));
  arguments.insert(arguments.begin(), trainer);
  arguments.push_back("--json");
  LOGLOG_ASSIGN_OR_RETURN(const CapturedRun run, RunCaptured(arguments, kTimeoutMs));
  const std::string line = LastLine(run.output);
  if (run.status.signal != 0) {
    return absl::InternalError(absl::StrCat(trainer, " was ended by signal ", run.status.signal,
                                            line.empty() ? "" : absl::StrCat(": ", line)));
  }
  switch (run.status.exit_code) {
    case 0:
      break;
    case kRefused:
    case kHost:
      return absl::FailedPreconditionError(line);
    default:
      return absl::DataLossError(line);
  }
  Json answer = Json::parse(line, nullptr, false);
  if (!answer.is_object()) {
    return WithHint(
        absl::InternalError(absl::StrCat(trainer, " gave an answer of another version: ", line)),
        "use programs of one version");
  }
  return answer;
}

absl::StatusOr<int> ExportCheckpoint(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t member, context.args().Int("member", 0, 1 << 20));
  const std::string out = context.args().Get("out");
  if (out.empty()) {
    return absl::InvalidArgumentError("--out is missing: name the folder to write into");
  }
  LOGLOG_ASSIGN_OR_RETURN(const Json answer,
                          AskTrainer(context, {"export", context.args().One("CHECKPOINT"), "--out",
                                               out, "--member", absl::StrCat(member)}));
  Table table;
  table.columns = {{"folder"}, {"step", true}, {"parameters", true}};
  table.rows = {{Cell::Text(answer.value("folder", out)), Cell::Int(answer.value("step", 0LL)),
                 Cell::Count(static_cast<double>(answer.value("parameters", 0LL)))}};
  context.PrintRecord(table);
  context.Note("load it with transformers: LlamaForCausalLM.from_pretrained(folder)");
  return kExitOk;
}

absl::StatusOr<int> VerifyCheckpoint(Context& context) {
  const std::string path = context.args().One("CHECKPOINT");
  LOGLOG_ASSIGN_OR_RETURN(const Json answer, AskTrainer(context, {"verify", path}));
  Table table;
  table.columns = {{"checkpoint"}, {"step", true}, {"tensors", true}, {"trainer_version"}};
  table.rows = {{Cell::Text(answer.value("checkpoint", path)), Cell::Int(answer.value("step", 0LL)),
                 Cell::Int(answer.value("tensors", 0LL)),
                 Cell::Text(answer.value("trainer_version", ""))}};
  context.PrintRecord(table);
  return kExitOk;
}

}  // namespace

std::vector<Command> CkptCommands() {
  return {
      {.path = "ckpt export",
       .summary = "a trial's weights for another program",
       .details = "  loglog ckpt export RUN/checkpoints/step-00000500 --to hf --out llama\n\n"
                  "Writes config.json and model.safetensors (float32), which transformers loads "
                  "as LlamaForCausalLM. A model with options that Llama does not have is refused, "
                  "with each of them named.",
       .positionals = {{.name = "CHECKPOINT", .help = "a checkpoint's folder, step-NNNNNNNN"}},
       .flags = {{.name = "to",
                  .value = "FORMAT",
                  .help = "what to write",
                  .default_value = "hf",
                  .choices = {"hf"}},
                 {.name = "out", .value = "DIR", .help = "folder to make"},
                 {.name = "member",
                  .value = "N",
                  .help = "which trial of a fused task, from 0",
                  .default_value = "0"}},
       .run = ExportCheckpoint},
      {.path = "ckpt verify",
       .summary = "whether a checkpoint is whole: its files against their SHA-256",
       .positionals = {{.name = "CHECKPOINT", .help = "a checkpoint's folder, step-NNNNNNNN"}},
       .run = VerifyCheckpoint},
  };
}

}  // namespace loglog::cli
