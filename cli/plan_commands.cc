#include <fstream>

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

// Asks the coordinator what of this spec it already has. That no coordinator answers is
// no error: plan works offline.
absl::StatusOr<std::optional<PlanOnServer>> AskServer(Context& context, const SweepSpec& spec) {
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Create({.address = context.address(),
                      .tls_ca = context.args().Get("tls-ca"),
                      .deadline_ms = context.args().Has("coordinator") ? 5'000 : 1'000,
                      .tries = 1});
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::CreateSweepResponse> response =
      (*client)->CreateSweep(CanonicalJson(spec), /*validate_only=*/true);
  if (response.status().code() == absl::StatusCode::kUnavailable ||
      response.status().code() == absl::StatusCode::kDeadlineExceeded) {
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
  return std::optional<PlanOnServer>(server);
}

absl::StatusOr<int> Plan(Context& context) {
  const std::string path = context.args().One("SPEC");
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec, LoadSpec(path, context.args().Many("OVERRIDE")));
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(spec));
  ReportOptions options;
  if (context.args().Has("throughput")) {
    LOGLOG_ASSIGN_OR_RETURN(options.throughput.tokens_per_second,
                            context.args().Number("throughput"));
  }
  PlanScreen screen = {.name = spec.name, .spec_sha256 = SpecSha256(spec), .arms = expansion.arms};
  LOGLOG_ASSIGN_OR_RETURN(screen.server, AskServer(context, spec));
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
  context.Next({absl::StrCat("loglog submit ", path)});
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
  LOGLOG_ASSIGN_OR_RETURN(const std::string text, ExplainField(context.args().One("FIELD")));
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
                  .help = "speed of one slot, for times"},
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
