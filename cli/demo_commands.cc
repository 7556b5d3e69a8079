#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/demo_cluster.h"
#include "cli/exit_codes.h"
#include "cli/fit_report.h"
#include "cli/fit_targets.h"
#include "cli/live.h"
#include "cli/plot_data.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "plan/embedded_configs.h"
#include "plan/plan.h"
#include "shards/pack.h"

namespace loglog::cli {
namespace {

constexpr char kDataFolder[] = "data";

// The folder that the demo works in, removed at the end unless it is to be kept.
class Workspace {
 public:
  static absl::StatusOr<std::unique_ptr<Workspace>> Make(Context& context) {
    auto workspace = std::make_unique<Workspace>();
    workspace->path_ = context.args().Get("dir");
    std::error_code error;
    if (!workspace->path_.empty()) {
      workspace->keep_ = true;
      std::filesystem::create_directories(workspace->path_, error);
      workspace->path_ = std::filesystem::absolute(workspace->path_, error).string();
      if (!std::filesystem::is_directory(workspace->path_, error)) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot use --dir ", workspace->path_, " as a folder"));
      }
      return workspace;
    }
    workspace->keep_ = context.args().On("keep");
    const std::string tmp = context.env("TMPDIR").empty() ? "/tmp" : context.env("TMPDIR");
    std::string pattern = absl::StrCat(tmp, "/loglog-demo-XXXXXX");
    if (mkdtemp(pattern.data()) == nullptr) {
      return absl::InternalError(
          absl::StrCat("cannot make a folder in ", tmp, ": name one with --dir"));
    }
    workspace->path_ = pattern;
    return workspace;
  }
  ~Workspace() {
    std::error_code error;
    if (!keep_ && !path_.empty()) std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }
  bool keep() const { return keep_; }
  void Keep() { keep_ = true; }

 private:
  std::string path_;
  bool keep_ = false;
};

absl::StatusOr<SweepSpec> DemoSpec(Context& context, const Workspace& workspace) {
  std::vector<std::string> overrides;
  if (const std::string text = context.args().Get("text"); !text.empty()) {
    try {
      const ShardManifest manifest =
          Pack({.inputs = {text},
                .output = absl::StrCat(workspace.path(), "/", kDataFolder),
                .documents = DocumentRule::kBlankLines,
                .overwrite = true});
      context.Note(absl::StrCat(
          "packed ", text, ": ", HumanCount(static_cast<double>(manifest.train.tokens)),
          " training and ", HumanCount(static_cast<double>(manifest.val.tokens)),
          " validation tokens (bytes)"));
    } catch (const std::exception& error) {
      return absl::InvalidArgumentError(error.what());
    }
    overrides = {"name=demo-text", "++model.vocab=256"};
    for (const char* split : {"train", "val"}) {
      overrides.push_back(absl::StrCat("++data.", split, ".format=llmc"));
      overrides.push_back(
          absl::StrCat("++data.", split, ".glob=", kDataFolder, "/", split, "-*.bin"));
    }
  }
  for (const EmbeddedConfig& example : EmbeddedExamples()) {
    if (example.name == "quickstart")
      return ParseSpec(example.text, "configs/quickstart.yaml", overrides);
  }
  return absl::InternalError(
      "this program was built without configs/quickstart.yaml: build it again");
}

// Kills one process after another while the sweep runs, each when its share of the
// trials is done.
class Chaos {
 public:
  Chaos(DemoCluster& cluster, Context& context) : cluster_(cluster), context_(context) {}

  absl::Status Tick(const v1::Sweep& sweep) {
    const v1::TrialCounts& n = sweep.counts();
    const double share = static_cast<double>(n.done() + n.diverged()) / std::max(1, n.total());
    if (step_ >= 3 || share < 0.2 * (step_ + 1) || n.running() == 0) return absl::OkStatus();
    const absl::StatusOr<std::string> victim = step_ == 0   ? cluster_.KillATrainer()
                                               : step_ == 1 ? cluster_.KillAWorker()
                                                            : cluster_.KillTheCoordinator();
    if (victim.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
    if (!victim.ok()) return victim.status();
    ++step_;
    log_.push_back(absl::StrCat("kill -9 of ", *victim, " with ", n.done(), " of ", n.total(),
                                " trials done"));
    if (!context_.animate_err()) context_.Note(absl::StrCat("chaos: ", log_.back()));
    return absl::OkStatus();
  }
  const std::vector<std::string>& log() const { return log_; }

 private:
  DemoCluster& cluster_;
  Context& context_;
  int step_ = 0;
  std::vector<std::string> log_;
};

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Runs the sweep to its end with a live screen.
absl::StatusOr<CheckInput> Run(Context& context, DemoCluster& cluster, const std::string& sweep,
                               Chaos* chaos) {
  const auto start = std::chrono::steady_clock::now();
  LiveRegion region(*context.io().err, context.io().columns, context.io().rows);
  const std::unique_ptr<Client::Watch> watch = cluster.client().WatchSweep(sweep, 0);
  std::string last_line;
  while (true) {
    LOGLOG_RETURN_IF_ERROR(cluster.CheckAlive());
    if (InterruptGuard::Interrupted())
      return absl::CancelledError("interrupted: everything was stopped");
    LOGLOG_ASSIGN_OR_RETURN(const CheckInput input, FetchSweep(cluster.client(), sweep));
    Screen screen = BuildScreen(input);
    screen.checks.clear();
    if (context.animate_err()) {
      std::string frame = RenderScreen(screen, context.err_style());
      absl::StrAppend(
          &frame, "\n",
          context.err_style().Dim(absl::StrCat("running for ", HumanDuration(SecondsSince(start)))),
          "\n");
      if (chaos != nullptr) {
        for (const std::string& line : chaos->log())
          absl::StrAppend(&frame, context.err_style().Red("chaos"), " ", line, "\n");
      }
      region.Update(frame);
    } else {
      const v1::TrialCounts& n = screen.counts;
      const std::string line =
          absl::StrCat(n.done(), " of ", Plural(n.total(), "trial"), " done",
                       n.diverged() > 0 ? absl::StrCat(", ", n.diverged(), " diverged") : "",
                       n.failed() > 0 ? absl::StrCat(", ", n.failed(), " failed") : "");
      if (line != last_line)
        context.Note(absl::StrCat(PadLeft(HumanDuration(SecondsSince(start)), 7), "  ", line));
      last_line = line;
    }
    if (HasEnded(input.sweep)) return input;
    if (chaos != nullptr) LOGLOG_RETURN_IF_ERROR(chaos->Tick(input.sweep));
    watch->WaitForEvent(500);
  }
}

// What the synthetic source says of itself; NaN where it says nothing.
TrueFloor FloorOf(Client& client, const CheckInput& input) {
  v1::ListPointsRequest request;
  request.set_sweep(input.sweep.name());
  request.add_trials(input.trials[0].name());
  request.add_metrics("data/entropy_rate");
  request.add_metrics("data/val_floor");
  TrueFloor floor;
  const absl::StatusOr<v1::ListPointsResponse> response = client.ListPoints(request);
  if (!response.ok()) return floor;
  for (const v1::Series& series : response->series()) {
    if (series.points().empty()) continue;
    double& value = series.metric() == "data/val_floor" ? floor.val_floor : floor.entropy_rate;
    value = series.points(0).value();
  }
  return floor;
}

void Report(Context& context, const CheckInput& input, const std::vector<v1::Fit>& fits,
            const TrueFloor& truth) {
  if (context.machine_output()) {
    context.Print(FitTable(fits));
    return;
  }
  const Style& style = context.style();
  const Plot plot =
      BuildPlot(input.trials, fits,
                {.title = absl::StrCat("loss against tokens: ", ShortName(input.sweep.name()))});
  std::string out = RenderGrid(BuildGrid(input.trials), style);
  absl::StrAppend(&out, "\n",
                  RenderTerminalPlot(plot, std::min(context.io().columns, 90), 16, style));
  absl::StrAppend(&out, "\n", RenderFitReport(fits, {.lost = LostByArm(input.trials)}, style));
  if (const std::string floors = RenderFloors(fits, truth, style); !floors.empty()) {
    absl::StrAppend(&out, "\n", floors);
  }
  context.Print(out);
}

absl::StatusOr<int> RunDemo(Context& context, Workspace& workspace) {
  InterruptGuard interrupt;
  LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec, DemoSpec(context, workspace));
  context.Note(
      absl::StrCat("starting a coordinator and two workers on loopback, in ", workspace.path()));
  LOGLOG_ASSIGN_OR_RETURN(const std::unique_ptr<DemoCluster> cluster,
                          DemoCluster::Start(context.io(), workspace.path()));
  LOGLOG_ASSIGN_OR_RETURN(const v1::CreateSweepResponse created,
                          cluster->client().CreateSweep(CanonicalJson(spec), false));
  context.Note(absl::StrCat("submitted sweep ", ShortName(created.sweep().name()), ": ",
                            Plural(created.sweep().counts().total(), "trial"), ", ",
                            created.trials_reused(), " of them reused"));
  std::unique_ptr<Chaos> chaos;
  if (context.args().On("chaos")) chaos = std::make_unique<Chaos>(*cluster, context);
  LOGLOG_ASSIGN_OR_RETURN(const CheckInput input,
                          Run(context, *cluster, created.sweep().name(), chaos.get()));
  for (const v1::Trial& trial : input.trials) {
    if (trial.state() != v1::Trial::FAILED) continue;
    return WithHint(absl::InternalError(absl::StrCat("trial ", trial.name(),
                                                     " failed: ", OneLine(trial.message()))),
                    absl::StrCat("logs are in ", workspace.path()));
  }
  const MadeFits made =
      MakeFits(cluster->client(), input.sweep.name(), FitsWanted(input.sweep, input.trials, {}));
  if (!made.errors.empty()) return made.errors.front();
  Report(context, input, made.fits, FloorOf(cluster->client(), input));
  if (chaos != nullptr) {
    int attempts = 0;
    for (const v1::Trial& trial : input.trials) attempts += trial.attempts();
    context.Note(absl::StrCat("chaos: ", chaos->log().size(), " kills, ", attempts,
                              " attempts for ",
                              Plural(static_cast<int64_t>(input.trials.size()), "trial"),
                              "; the numbers above are those of a run without kills"));
  }
  cluster->Stop();
  return kExitOk;
}

absl::StatusOr<int> Demo(Context& context) {
  const auto start = std::chrono::steady_clock::now();
  LOGLOG_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> workspace, Workspace::Make(context));
  const absl::StatusOr<int> code = RunDemo(context, *workspace);
  if (!code.ok()) {
    if (code.status().code() != absl::StatusCode::kCancelled) {
      workspace->Keep();
      context.Note(absl::StrCat("what there is stays in ", workspace->path()));
    }
    return code;
  }
  context.Note(absl::StrCat("the demo took ", HumanDuration(SecondsSince(start))));
  const std::string store = absl::StrCat(workspace->path(), "/loglog.db");
  if (workspace->keep()) {
    context.Note(absl::StrCat("results are in ", store, "; ask it with\n  loglog sql --store ",
                              store,
                              " 'SELECT arm, tokens_planned, seed, final_loss FROM v_trials'"));
    context.Next({absl::StrCat("loglog up --store ", store)});
  } else {
    context.Note(
        "nothing was kept; --keep (or --dir DIR) keeps the store, to ask it with `loglog sql`");
    context.Next({"loglog demo --chaos", "loglog demo --text FILE"});
  }
  return code;
}

absl::StatusOr<int> ExecChild(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(const int64_t parent, context.args().Int("parent", 1, INT32_MAX));
  return BecomeChildOf(static_cast<pid_t>(parent), context.args().Many("PROGRAM"));
}

}  // namespace

std::vector<Command> DemoCommands() {
  return {
      {.path = "demo",
       .summary = "a whole sweep on this machine in under two minutes",
       .details =
           "Starts a coordinator and two workers on loopback, runs a small sweep of two arms,\n"
           "fits it, and stops. Progress goes to stderr, the result to stdout.",
       .flags = {{.name = "chaos",
                  .help = "kill -9 a trainer, a worker and the coordinator on the way"},
                 {.name = "text",
                  .value = "FILE",
                  .help = "train on this text instead of the synthetic source"},
                 {.name = "dir", .value = "DIR", .help = "work here, and leave everything there"},
                 {.name = "keep", .help = "do not remove the store at the end"}},
       .run = Demo},
      {.path = "exec-child",
       .summary = "become PROGRAM, bound to the life of a parent process",
       .positionals = {{.name = "PROGRAM", .help = "program and arguments", .many = true}},
       .flags = {{.name = "parent", .value = "PID", .help = "the parent process"}},
       .hidden = true,
       .run = ExecChild}};
}

}  // namespace loglog::cli
