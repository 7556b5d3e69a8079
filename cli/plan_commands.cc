#include <algorithm>
#include <fstream>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/plan_report.h"
#include "cli/render/text.h"
#include "cli/spec_file.h"
#include "cli/tables.h"
#include "plan/explain.h"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

const Positional kSpec = {.name = "SPEC", .help = "spec file (YAML), or - for standard input"};
const Positional kOverrides = {.name = "OVERRIDE",
                               .help = "train.lr=3.0e-4, +x=y (add) or ~x (remove)",
                               .required = false,
                               .many = true};

// No model is so small or machine so slow, and none so fast.
constexpr double kTokensPerSecondMin = 1e-3;
constexpr double kTokensPerSecondMax = 1e12;
// A speed is not worth reading every trial of a large store for.
constexpr int kSweepsForSpeed = 5;

// FLOP/s of one slot in the middle of what these trials had; 0 when none was measured.
// Tokens a second would hold for models of one size only.
double MeasuredFlopsPerSecond(const std::vector<v1::Trial>& trials) {
  std::vector<double> speeds;
  for (const v1::Trial& trial : trials) {
    if (trial.tokens_per_second() > 0 && trial.flops() > 0 && trial.tokens_planned() > 0) {
      speeds.push_back(trial.tokens_per_second() * trial.flops() /
                       static_cast<double>(trial.tokens_planned()));
    }
  }
  if (speeds.empty()) return 0;
  const auto middle = speeds.begin() + static_cast<int64_t>(speeds.size() / 2);
  std::nth_element(speeds.begin(), middle, speeds.end());
  return *middle;
}

// Looks through the sweeps, the newest first, for the trials that this spec would share, and
// for the speed that the first sweep with any had. What cannot be read is left out: a plan
// that is a little dear is better than none.
void LookThroughSweeps(Client& client, const Expansion& expansion, const std::string& same_sweep,
                       PlanOnServer* server) {
  absl::flat_hash_set<std::string> wanted;
  for (const PlannedTrial& trial : expansion.trials) wanted.insert(trial.sha256);
  std::vector<std::string> names = {same_sweep};
  if (same_sweep.empty()) {
    const absl::StatusOr<std::vector<v1::Sweep>> sweeps = client.ListSweeps();
    if (!sweeps.ok()) return;
    names.clear();
    for (const v1::Sweep& sweep : *sweeps) names.push_back(sweep.name());
  }
  int looked = 0;
  for (const std::string& name : names) {
    const bool all_found = static_cast<int>(server->known_trials.size()) >= server->trials_reused;
    const bool speed_is_there = server->flops_per_second > 0 || looked++ >= kSweepsForSpeed;
    if (all_found && speed_is_there) return;
    const absl::StatusOr<std::vector<v1::Trial>> trials = client.ListTrials(name);
    if (!trials.ok()) return;
    for (const v1::Trial& trial : *trials) {
      if (wanted.contains(trial.trial_sha256())) server->known_trials.insert(trial.trial_sha256());
    }
    if (server->flops_per_second <= 0) server->flops_per_second = MeasuredFlopsPerSecond(*trials);
  }
}

// Asks the coordinator what of this spec it already has. That no coordinator answers is
// no error: plan works offline.
absl::StatusOr<std::optional<PlanOnServer>> AskServer(Context& context, const SweepSpec& spec,
                                                      const Expansion& expansion) {
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Create({.address = context.address(),
                      .security = context.security(),
                      .deadline_ms = context.args().Has("coordinator") ? 5'000 : 1'000,
                      .tries = 1});
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::CreateSweepResponse> response =
      (*client)->CreateSweep(CanonicalJson(spec), /*validate_only=*/true);
  if (response.status().code() == absl::StatusCode::kUnavailable ||
      response.status().code() == absl::StatusCode::kDeadlineExceeded) {
    return std::optional<PlanOnServer>();
  }
  if (absl::IsPermissionDenied(response.status()) || absl::IsUnauthenticated(response.status())) {
    context.Note(absl::StrCat("planned without the coordinator: ", response.status().message()));
    return std::optional<PlanOnServer>();
  }
  if (!response.ok()) return response.status();
  PlanOnServer server = {.trials_new = response->trials_new(),
                         .trials_reused = response->trials_reused()};
  if (const auto workers = (*client)->ListWorkers(); workers.ok()) {
    for (const v1::Worker& worker : *workers) {
      if (worker.state() == v1::Worker::LIVE) server.slots_total += worker.slots();
    }
  }
  LookThroughSweeps(**client, expansion, response->created() ? "" : response->sweep().name(),
                    &server);
  return std::optional<PlanOnServer>(server);
}

absl::StatusOr<int> Plan(Context& context) {
  const std::string path = context.args().One("SPEC");
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec, LoadSpec(path, context.args().Many("OVERRIDE")));
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(spec));
  ReportOptions options;
  const bool stated = context.args().Has("throughput");
  if (stated) {
    LOGLOG_ASSIGN_OR_RETURN(
        options.throughput.tokens_per_second,
        context.args().Number("throughput", kTokensPerSecondMin, kTokensPerSecondMax));
  }
  PlanScreen screen = {.name = spec.name, .spec_sha256 = SpecSha256(spec), .arms = expansion.arms};
  LOGLOG_ASSIGN_OR_RETURN(screen.server, AskServer(context, spec, expansion));
  if (screen.server.has_value()) {
    options.known_trials = screen.server->known_trials;
    // Who states a speed means other machines than those measured.
    if (!stated && screen.server->flops_per_second > 0) {
      options.throughput = {.flops_per_second = screen.server->flops_per_second, .measured = true};
    }
  }
  if (context.args().Has("slots")) {
    LOGLOG_ASSIGN_OR_RETURN(const int64_t slots, context.args().Int("slots", 1, 100'000));
    options.slots = static_cast<int>(slots);
  } else if (screen.server.has_value() && screen.server->slots_total > 0) {
    options.slots = screen.server->slots_total;
  }
  const std::string root = context.args().Get("data-root");
  options.context.train_data_tokens = CountDataTokens(spec, "train", root);
  options.context.val_data_tokens = CountDataTokens(spec, "val", root);
  screen.report = MakeReport(spec, expansion, options);
  for (const AxisSpec& axis : spec.axes) {
    screen.axes.push_back(absl::StrCat(axis.name, " ", axis.values.size()));
  }
  if (context.machine_output()) {
    context.PrintRecord(PlanTable(screen));
    return kExitOk;
  }
  context.Print(RenderPlan(screen, context.style()));
  if (!screen.server.has_value()) {
    context.Note(context.err_style().Dim(absl::StrCat("no coordinator at ", context.address(),
                                                      ": what is already trained is not known")));
  }
  std::string submit = absl::StrCat("loglog submit ", ShellQuote(path));
  for (const std::string& change : context.args().Many("OVERRIDE")) {
    absl::StrAppend(&submit, " ", ShellQuote(change));
  }
  context.Next({submit});
  return kExitOk;
}

absl::StatusOr<int> Submit(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec,
                          LoadSpec(context.args().One("SPEC"), context.args().Many("OVERRIDE")));
  // Errors that need no coordinator come before the coordinator is looked for.
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(spec));
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::CreateSweepResponse response,
                          client->CreateSweep(CanonicalJson(spec), /*validate_only=*/false));
  const v1::Sweep& sweep = response.sweep();
  const std::string name = ShortName(sweep.name());
  const std::string what =
      response.created() ? "submitted sweep " : "this spec is there already: sweep ";
  context.Note(absl::StrCat(what, name, ", ", Plural(sweep.counts().total(), "trial"), ": ",
                            response.trials_new(), " new, ", response.trials_reused(), " reused"));
  if (response.created() && name != spec.name) {
    context.Note(absl::StrCat("another spec is named ", spec.name, ", so this one is ", name));
  }
  if (context.args().On("wait")) {
    LOGLOG_ASSIGN_OR_RETURN(const int code, FollowSweep(context, *client, sweep.name(), {}));
    if (code == kExitInterrupted) return code;
    LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep ended, client->GetSweep(sweep.name()));
    context.Print(SweepTable({ended}));
    context.Next({absl::StrCat("loglog fit ", name), absl::StrCat("loglog plot ", name)});
    return code;
  }
  if (context.machine_output()) {
    const std::string json = RenderTable(SweepTable({sweep}), Format::kJsonl, {});
    context.PrintRecord(
        {.columns = {{"name"}, {"created"}, {"trials_new"}, {"trials_reused"}, {"sweep"}},
         .rows = {{Cell::Text(sweep.name()), Cell::Bool(response.created()),
                   Cell::Int(response.trials_new()), Cell::Int(response.trials_reused()),
                   Cell::Json("", absl::StripTrailingAsciiWhitespace(json))}}});
  } else {
    context.Print(SweepTable({sweep}));
  }
  context.Next({absl::StrCat("loglog status -w ", name)});
  return kExitOk;
}

absl::StatusOr<int> Explain(Context& context) {
  const std::string field = context.args().One("FIELD");
  LOGLOG_ASSIGN_OR_RETURN(const std::string text, ExplainField(field));
  if (context.machine_output()) {
    context.PrintRecord(
        {.columns = {{"field"}, {"text"}}, .rows = {{Cell::Text(field), Cell::Text(text)}}});
    return kExitOk;
  }
  context.Print(text);
  if (!absl::EndsWith(text, "\n")) context.Print("\n");
  return kExitOk;
}

absl::StatusOr<int> Schema(Context& context) {
  context.Print(absl::StrCat(JsonSchema(), "\n"));
  return kExitOk;
}

}  // namespace

std::vector<Command> PlanCommands() {
  return {
      {.path = "plan",
       .summary = "what a spec would run and cost; starts nothing",
       .details = "With a coordinator in reach it also counts what is already trained.\n"
                  "  loglog plan phase.yaml --throughput 150k\n"
                  "  loglog plan phase.yaml train.lr=3.0e-4 'axes.seed.values=[0,1,2]'",
       .positionals = {kSpec, kOverrides},
       .flags = {{.name = "throughput",
                  .value = "TOKENS_PER_S",
                  .help = "speed of one slot, for times (default: as measured, else the spec's)",
                  .from_env = true},
                 {.name = "slots",
                  .value = "N",
                  .help = "slots to reckon with (default: the live ones)"},
                 {.name = "data-root",
                  .value = "DIR",
                  .help = "folder that data globs are relative to",
                  .default_value = "."}},
       .run = Plan},
      {.path = "submit",
       .summary = "add a sweep from a spec; what is already trained is reused",
       .details = "The same spec again adds nothing; an edited one runs only what is missing.",
       .positionals = {kSpec, kOverrides},
       .flags = {{.name = "wait",
                  .letter = 'w',
                  .help = "follow it to its end (Ctrl-C only detaches); 7 when trials failed"}},
       .run = Submit},
      {.path = "explain",
       .summary = "what a field of a spec means",
       .details = "  loglog explain\n  loglog explain train.warmup",
       .positionals = {{.name = "FIELD",
                        .help = "train, axes.path, init.gamma, ...",
                        .required = false}},
       .run = Explain},
      {.path = "schema", .summary = "the JSON Schema of a spec, for editors", .run = Schema},
  };
}

}  // namespace loglog::cli
