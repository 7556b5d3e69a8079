#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/next_spec.h"
#include "cli/render/text.h"
#include "cli/trial_stats.h"
#include "fit/fit.h"

namespace loglog::cli {
namespace {

constexpr int kDigits = 3;

struct ArmTrialsOf {
  std::vector<Observation> done;
  std::map<int64_t, std::set<int64_t>> seeds;  // by tokens, of all trials
  std::map<std::string, std::string> axes;
  std::vector<double> tokens_per_second;
  double flops_per_token = 0;
  int64_t batch_tokens = 1;
};

ArmTrialsOf TrialsOf(const std::vector<v1::Trial>& trials, const std::string& arm) {
  ArmTrialsOf own;
  for (const v1::Trial& trial : trials) {
    if (trial.arm() != arm) continue;
    own.seeds[trial.tokens_planned()].insert(trial.seed());
    own.axes = {trial.axes().begin(), trial.axes().end()};
    if (trial.steps() > 0) own.batch_tokens = trial.tokens_planned() / trial.steps();
    own.flops_per_token = trial.flops() / static_cast<double>(trial.tokens_planned());
    if (trial.tokens_per_second() > 0) own.tokens_per_second.push_back(trial.tokens_per_second());
    if (trial.state() != v1::Trial::DONE || !std::isfinite(trial.final_loss())) continue;
    own.done.push_back({.n_params = static_cast<double>(trial.params_non_embedding()),
                        .d_tokens = static_cast<double>(trial.tokens_planned()),
                        .c_flops = trial.flops(),
                        .loss = trial.final_loss(),
                        .seed = trial.seed(),
                        .config = trial.cell_sha256(),
                        .cluster = ""});
  }
  return own;
}

// Tokens a second of a slot: stated, or the median that was measured; 0: not known.
absl::StatusOr<double> SpeedOf(const Args& args, const ArmTrialsOf& arm) {
  if (args.Has("throughput")) return args.Number("throughput", 1e-3, 1e15);
  std::vector<double> speeds = arm.tokens_per_second;
  if (speeds.empty()) return 0.0;
  std::nth_element(speeds.begin(), speeds.begin() + speeds.size() / 2, speeds.end());
  return speeds[speeds.size() / 2];
}

// The smallest seed at these tokens that no trial of either arm has; it counts as taken then.
int64_t NextSeed(int64_t tokens, ArmTrialsOf* a, ArmTrialsOf* b) {
  int64_t seed = 0;
  while (a->seeds[tokens].contains(seed) || b->seeds[tokens].contains(seed)) ++seed;
  a->seeds[tokens].insert(seed);
  b->seeds[tokens].insert(seed);
  return seed;
}

absl::StatusOr<NextOptions> OptionsOf(const Args& args, bool two_arms) {
  NextOptions options;
  const std::string goal = args.Has("goal") ? args.Get("goal") : two_arms ? "difference" : "slope";
  if ((goal == "difference") != two_arms) {
    return absl::InvalidArgumentError(two_arms
                                          ? "two arms are compared: the goal is difference"
                                          : "the goal difference needs two arms: --arm A --arm B");
  }
  options.goal = goal == "difference"   ? NextGoal::kDifference
                 : goal == "prediction" ? NextGoal::kPrediction
                                        : NextGoal::kSlope;
  if (options.goal == NextGoal::kPrediction) {
    if (!args.Has("target")) {
      return absl::InvalidArgumentError("the goal prediction needs --target TOKENS");
    }
    LOGLOG_ASSIGN_OR_RETURN(options.target, args.Number("target", 1, 1e18));
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t steps, args.Int("steps", 1, 1000));
  options.steps_max = static_cast<int>(steps);
  return options;
}

absl::StatusOr<int> Next(Context& context) {
  const Args& args = context.args();
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep, SweepToShow(context, *client, args.One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::vector<std::string> known = Arms(trials);
  std::vector<std::string> arms = args.All("arm");
  if (arms.empty()) arms.assign(known.begin(), known.begin() + std::min<size_t>(2, known.size()));
  for (const std::string& arm : arms) {
    if (std::find(known.begin(), known.end(), arm) != known.end()) continue;
    return WithHint(absl::NotFoundError(absl::StrCat("the sweep has no arm `", arm, "`")),
                    "loglog trial list shows its arms");
  }
  if (arms.empty() || arms.size() > 2) {
    return absl::InvalidArgumentError("name one arm, or the two to compare, with --arm");
  }
  ArmTrialsOf a = TrialsOf(trials, arms[0]);
  ArmTrialsOf b = arms.size() > 1 ? TrialsOf(trials, arms[1]) : ArmTrialsOf();
  LOGLOG_ASSIGN_OR_RETURN(NextOptions options, OptionsOf(args, arms.size() > 1));
  LOGLOG_ASSIGN_OR_RETURN(const double speed, SpeedOf(args, a));
  options.budget = 1e300;
  if (args.Has("budget")) {
    if (!(speed > 0)) {
      return WithHint(absl::FailedPreconditionError(
                          "a budget is time of a slot, and no trial has a measured speed"),
                      "state it: --throughput TOKENS_PER_S");
    }
    LOGLOG_ASSIGN_OR_RETURN(options.budget, args.Seconds("budget", 1e-3, 1e12));
  }
  const double batch = static_cast<double>(a.batch_tokens);
  std::vector<double> candidates = NextCandidates(a.done);
  for (double& d : candidates) d = std::max(1.0, std::round(d / batch)) * batch;
  // Seconds of a slot; without a speed FLOPs, which rank alike within one size.
  const auto cost = [&](double d) { return speed > 0 ? d / speed : d * a.flops_per_token; };
  LOGLOG_ASSIGN_OR_RETURN(const NextPlan plan,
                          ChooseNextRuns(a.done, b.done, candidates, cost, options));
  if (plan.steps.empty()) {
    return WithHint(absl::FailedPreconditionError(plan.reason),
                    "loglog plan SPEC tells what a grid will be able to say");
  }
  NextTrials next{.arms = arms, .arm_axes = {{arms[0], a.axes}}, .seeds = {}};
  if (arms.size() > 1) next.arm_axes[arms[1]] = b.axes;
  Table table;
  table.kind = "steps";
  table.columns = {{"step", true}, {"arms"},        {"D", true},         {"seed", true},
                   {"cost", true}, {"spent", true}, {"half_width", true}};
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const NextStep& step = plan.steps[i];
    const int64_t tokens = std::llround(step.d_tokens);
    const int64_t seed = NextSeed(tokens, &a, &b);
    next.seeds[tokens].insert(seed);
    Cell half = Cell::Real(step.half_width, kDigits);
    half.text = Significant(step.half_width, kDigits);
    table.rows.push_back(
        {Cell::Int(static_cast<int64_t>(i) + 1),
         Cell::Text(arms.size() > 1 ? absl::StrCat(arms[0], "; ", arms[1]) : arms[0]),
         Cell::Int(tokens), Cell::Int(seed), Cell::Count(step.cost), Cell::Count(step.spent),
         half});
  }
  if (args.On("spec")) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string spec, SpecOfTrials(sweep.spec_json(), next));
    context.Print(spec);
    return kExitOk;
  }
  context.Print(table);
  if (!context.machine_output()) {
    const char* goal = options.goal == NextGoal::kDifference   ? "slope difference"
                       : options.goal == NextGoal::kPrediction ? "ln loss at the target"
                                                               : "slope";
    context.Note(absl::StrCat(goal, " now ", Significant(plan.estimate, 4), " +-",
                              Significant(plan.half_width, kDigits), " (95%); expected by ",
                              plan.law, " at the scatter of the data, ",
                              Significant(100 * plan.noise, 2), "% of a ",
                              options.goal == NextGoal::kDifference ? "pair" : "trial",
                              "; costs are ", speed > 0 ? "seconds of a slot" : "FLOPs"));
  }
  context.Next({"loglog next --spec > next.yaml", "loglog submit next.yaml"});
  return kExitOk;
}

}  // namespace

std::vector<Command> NextCommands() {
  return {
      {.path = "next",
       .summary = "which trials to run next: the most information for a slot's time",
       .details =
           "Chooses trials one by one that narrow the goal's interval most for what they cost,\n"
           "with the half-width to expect after each. --spec prints a spec of just these trials.\n"
           "  loglog next --arm small --arm large --budget 20h\n"
           "  loglog next --arm small --goal prediction --target 10B --spec > next.yaml",
       .positionals = {{.name = "SWEEP",
                        .help = "name of the sweep (default: the newest)",
                        .required = false}},
       .flags =
           {{.name = "arm",
             .value = "ARM",
             .help = "the arm, or twice: the two to compare (default: the first two)",
             .repeated = true},
            {.name = "goal",
             .value = "GOAL",
             .help = "slope of an arm, difference of two arms' slopes, prediction at --target",
             .choices = {"slope", "difference", "prediction"}},
            {.name = "target", .value = "TOKENS", .help = "where the loss is to be predicted"},
            {.name = "budget", .value = "TIME", .help = "slot time to spend, as 20h"},
            {.name = "throughput",
             .value = "TOKENS_PER_S",
             .help = "speed of one slot (default: as measured)",
             .from_env = true},
            {.name = "steps", .value = "N", .help = "at most this many", .default_value = "12"},
            {.name = "spec", .help = "print a spec of these trials, to be submitted"}},
       .run = Next},
  };
}

}  // namespace loglog::cli
