#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/binaries.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/task_file.h"
#include "nlohmann/json.hpp"
#include "plan/spec.h"

namespace loglog::cli {
namespace {

const Positional kTrial = {.name = "TRIAL",
                           .help = "17, phase-50m/17 or sweeps/phase-50m/trials/17"};
const Flag kSweepFlag = {.name = "sweep",
                         .value = "SWEEP",
                         .help = "the sweep that a bare number is in (default: the newest)"};

const Flag kReasonFlag = {.name = "reason", .value = "TEXT", .help = "kept with the event"};

// The full name of the trial the user means.
absl::StatusOr<std::string> TrialToShow(Context& context, Client& client) {
  const std::string name = context.args().One("TRIAL");
  if (absl::StrContains(name, "/")) return TrialName(name, "");
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, client, context.args().Get("sweep")));
  return TrialName(name, sweep.name());
}

absl::StatusOr<int> List(Context& context) {
  std::vector<v1::Trial::State> states;
  for (const std::string& word : context.args().All("state")) states.push_back(TrialStateOf(word));
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(std::vector<v1::Trial> trials, client->ListTrials(sweep.name(), states));
  if (const std::string arm = context.args().Get("arm"); !arm.empty()) {
    trials.erase(std::remove_if(trials.begin(), trials.end(),
                                [&](const v1::Trial& t) { return t.arm() != arm; }),
                 trials.end());
  }
  context.Print(TrialTable(trials));
  if (!context.machine_output()) {
    context.Note(absl::StrCat(trials.size(), " of ", Plural(sweep.counts().total(), "trial")));
  }
  if (!trials.empty()) {
    context.Next({absl::StrCat("loglog trial show ", ShortName(sweep.name()), "/",
                               ShortName(trials[0].name()))});
  }
  return kExitOk;
}

absl::StatusOr<int> Show(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::string name, TrialToShow(context, *client));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Trial trial, client->GetTrial(name));
  Table table = TrialTable({trial});
  // A single record has room for everything that a list keeps back.
  for (Column& column : table.columns) column.hidden = false;
  const nlohmann::json config = nlohmann::json::parse(trial.config_json(), nullptr, false);
  table.columns.push_back({.key = "config"});
  table.rows[0].push_back(Cell::Json(config.is_discarded() ? trial.config_json() : config.dump(1),
                                     trial.config_json()));
  context.PrintRecord(table);
  context.Next(
      {absl::StrCat("loglog trial logs ", name), absl::StrCat("loglog trial reproduce ", name)});
  return kExitOk;
}

// The trainer's last words, as the newest event that has some tells them.
std::string LastWords(const std::vector<v1::Event>& events) {
  for (auto it = events.rbegin(); it != events.rend(); ++it) {
    const nlohmann::json detail = nlohmann::json::parse(it->detail_json(), nullptr, false);
    if (!detail.is_object()) continue;
    for (const char* key : {"message", "last_words", "reason"}) {
      const auto text = detail.find(key);
      if (text != detail.end() && text->is_string() && !text->get<std::string>().empty()) {
        return absl::StrCat(it->kind(), ": ", text->get<std::string>());
      }
    }
  }
  return "";
}

absl::StatusOr<int> Logs(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t max_events, context.args().Int("max", 1, 100000));
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::string name, TrialToShow(context, *client));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Trial trial, client->GetTrial(name));
  LOGLOG_ASSIGN_OR_RETURN(std::vector<v1::Event> events,
                          client->GetTrialEvents(name, static_cast<int>(max_events)));
  std::sort(events.begin(), events.end(),
            [](const v1::Event& a, const v1::Event& b) { return a.event_id() < b.event_id(); });
  context.Print(EventTable(events));
  if (context.machine_output()) return kExitOk;
  const std::string message =
      OneLine(trial.state() == v1::Trial::PENDING ? trial.pending_reason() : trial.message());
  context.Note(absl::StrCat(StateWord(trial.state()), message.empty() ? "" : ": ", message));
  const std::string words = OneLine(LastWords(events));
  if (!words.empty() && (message.empty() || !absl::StrContains(words, message))) {
    context.Note(absl::StrCat("last words: ", words));
  }
  context.Next({absl::StrCat("loglog trial reproduce ", name)});
  return kExitOk;
}

absl::StatusOr<int> CancelOne(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::string name, TrialToShow(context, *client));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Trial trial,
                          client->CancelTrial(name, context.args().Get("reason")));
  if (context.machine_output()) {
    context.PrintRecord(TrialTable({trial}));
  } else {
    context.Note(absl::StrCat("trial ", trial.name(), " is ", StateWord(trial.state())));
  }
  return kExitOk;
}

absl::StatusOr<int> StopOne(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::string name, TrialToShow(context, *client));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Trial trial,
                          client->StopTrial(name, context.args().Get("reason")));
  if (context.machine_output()) {
    context.PrintRecord(TrialTable({trial}));
  } else {
    context.Note(absl::StrCat("trial ", trial.name(), " is ", StateWord(trial.state()), " at step ",
                              trial.step(), " of ", trial.steps(), "; fits leave it out"));
  }
  const size_t cut = trial.name().find("/trials/");
  context.Next(
      {absl::StrCat("loglog sweep retry --stopped ", ShortName(trial.name().substr(0, cut)), " ",
                    ShortName(trial.name()))});
  return kExitOk;
}

bool IsDevice(absl::string_view device) {
  int64_t index = 0;
  return device == "cpu" || (absl::ConsumePrefix(&device, "cuda:") && !device.empty() &&
                             absl::SimpleAtoi(device, &index) && index >= 0);
}

// The user's flags, and checkpoints as the trial's sweep makes them.
absl::StatusOr<TaskOptions> TaskOptionsFor(Context& context, Client& client,
                                           const v1::Trial& trial) {
  TaskOptions options = {.data_root = context.args().Get("data-root"),
                         .device = context.args().Get("device")};
  if (!options.device.empty() && !IsDevice(options.device)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device is `", options.device, "`: it takes cpu or cuda:<number>"));
  }
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          client.GetSweep(trial.name().substr(0, trial.name().find("/trials/"))));
  if (const auto spec = ParseSpec(sweep.spec_json(), "stored spec"); spec.ok()) {
    options.checkpoint_every = spec->checkpoint.every;
    options.checkpoint_keep = spec->checkpoint.keep;
  }
  return options;
}

absl::StatusOr<int> Reproduce(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::string name, TrialToShow(context, *client));
  LOGLOG_ASSIGN_OR_RETURN(const v1::Trial trial, client->GetTrial(name));
  LOGLOG_ASSIGN_OR_RETURN(const TaskOptions options, TaskOptionsFor(context, *client, trial));
  std::string folder = context.args().Get("dir");
  if (folder.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(trial.name(), '/');
    folder = absl::StrCat("reproduce-", parts.size() == 4 ? absl::StrCat(parts[1], "-", parts[3])
                                                          : ShortName(trial.name()));
  }
  const std::string path = absl::StrCat(folder, "/task.json");
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    return WithHint(absl::AlreadyExistsError(absl::StrCat(path, " exists: it is left as it is")),
                    "name another folder with --dir, or remove it");
  }
  LOGLOG_ASSIGN_OR_RETURN(const std::string task, TaskFileFor(trial, options));
  std::filesystem::create_directories(folder, error);
  std::ofstream file(path, std::ios::binary);
  file << task;
  file.close();
  if (!file) {
    return absl::InternalError(
        absl::StrCat("cannot write ", path, ": check the folder and the disk"));
  }
  const absl::StatusOr<std::string> trainer = FindBinary(context.io(), "loglog-trainer");
  const std::string command =
      absl::StrCat(ShellQuote(trainer.value_or("loglog-trainer")), " ", ShellQuote(path));
  if (context.machine_output()) {
    context.PrintRecord(
        {.columns = {{"trial"}, {"task"}, {"command"}},
         .rows = {{Cell::Text(trial.name()), Cell::Text(path), Cell::Text(command)}}});
    return kExitOk;
  }
  context.Note(absl::StrCat("wrote ", path, "; this runs ", trial.name(), " again, by hand:"));
  context.Print(absl::StrCat(command, "\n"));
  if (trial.state() == v1::Trial::DONE) {
    context.Note(absl::StrCat("its final loss/val was ", PlainNumber(trial.final_loss()),
                              ", on trainer ", trial.trainer_version()));
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> TrialCommands() {
  return {
      {.path = "trial list",
       .summary = "trials of a sweep",
       .positionals = {{.name = "SWEEP",
                        .help = "name of the sweep (default: the newest)",
                        .required = false}},
       .flags = {{.name = "state",
                  .value = "STATE",
                  .help = "only trials in this state",
                  .choices = {"pending", "running", "done", "diverged", "failed", "cancelled",
                              "stopped"},
                  .repeated = true},
                 {.name = "arm", .value = "ARM", .help = "only trials of this arm"}},
       .run = List},
      {.path = "trial show",
       .summary = "one trial with its resolved config",
       .positionals = {kTrial},
       .flags = {kSweepFlag},
       .run = Show},
      {.path = "trial logs",
       .summary = "what happened to a trial, with the trainer's last words",
       .positionals = {kTrial},
       .flags = {kSweepFlag,
                 {.name = "max",
                  .value = "N",
                  .help = "at most the newest N events",
                  .default_value = "100"}},
       .run = Logs},
      {.path = "trial cancel",
       .summary = "take one trial back, as if it had not been asked for",
       .positionals = {kTrial},
       .flags = {kSweepFlag, kReasonFlag},
       .run = CancelOne},
      {.path = "trial stop",
       .summary = "end one trial early and keep what it has reached",
       .details =
           "Its trainer saves its state and leaves; the trial is stopped in every sweep that\n"
           "counts it, keeps its newest step and loss, and is left out of fits.",
       .positionals = {kTrial},
       .flags = {kSweepFlag, kReasonFlag},
       .run = StopOne},
      {.path = "trial reproduce",
       .summary = "write a trial's task.json and print how to run it by hand",
       .positionals = {kTrial},
       .flags = {kSweepFlag,
                 {.name = "dir",
                  .value = "DIR",
                  .help = "folder to write to (default reproduce-SWEEP-N)"},
                 {.name = "data-root",
                  .value = "DIR",
                  .help = "folder that the spec's data globs are relative to (default: here)"},
                 {.name = "device",
                  .value = "DEVICE",
                  .help = "cpu or cuda:<number> (default: cuda:0 for bf16, else cpu)"}},
       .run = Reproduce},
  };
}

}  // namespace loglog::cli
