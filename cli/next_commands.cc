#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/csv_source.h"
#include "cli/exit_codes.h"
#include "cli/next_arms.h"
#include "cli/next_spec.h"
#include "cli/render/text.h"
#include "fit/fit.h"

namespace loglog::cli {
namespace {

constexpr int kDigits = 3;

// A goal as --goal names it and as the summary does.
struct GoalWords {
  NextGoal goal;
  const char* word;
  const char* what;
};
constexpr GoalWords kGoals[] = {
    {NextGoal::kSlope, "slope", "slope"},
    {NextGoal::kExponent, "beta", "beta"},
    {NextGoal::kDifference, "difference", "slope difference"},
    {NextGoal::kPrediction, "prediction", "ln loss at the target"},
};

absl::StatusOr<NextOptions> OptionsOf(const Args& args, bool two_arms) {
  NextOptions options;
  const std::string goal = args.Has("goal") ? args.Get("goal") : two_arms ? "difference" : "slope";
  if ((goal == "difference") != two_arms) {
    return absl::InvalidArgumentError(two_arms
                                          ? "two arms are compared: the goal is difference"
                                          : "the goal difference needs two arms: --arm A --arm B");
  }
  for (const GoalWords& known : kGoals) {
    if (goal == known.word) options.goal = known.goal;
  }
  if (options.goal == NextGoal::kPrediction) {
    if (!args.Has("target")) {
      return absl::InvalidArgumentError("the goal prediction needs --target TOKENS");
    }
    LOGLOG_ASSIGN_OR_RETURN(options.target, args.Number("target", 1e-12, 1e18));
    if (args.Has("target-params")) {
      LOGLOG_ASSIGN_OR_RETURN(options.target_params, args.Number("target-params", 1, 1e18));
    }
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t steps, args.Int("steps", 1, 1000));
  options.steps_max = static_cast<int>(steps);
  return options;
}

// A budget in time needs a speed.
absl::Status ReadBudget(const Args& args, const NextCost& cost, NextOptions* options) {
  options->budget = 1e300;
  if (!args.Has("budget")) return absl::OkStatus();
  if (cost.unit != NextCost::kTime) {
    return WithHint(absl::FailedPreconditionError(
                        "a budget is time of a slot, and no trial has a measured speed"),
                    "state it: --throughput TOKENS_PER_S");
  }
  LOGLOG_ASSIGN_OR_RETURN(options->budget, args.Seconds("budget", 1e-3, 1e12));
  return absl::OkStatus();
}

// Whether the arms have trials of this size in pairs.
bool HasPairs(double n_params, const NextArm& arm, const NextArm& arm_b) {
  std::set<std::pair<double, int64_t>> there;
  for (const Observation& o : arm.comparable) {
    if (o.n_params == n_params) there.insert({o.d_tokens, o.seed});
  }
  return std::any_of(arm_b.comparable.begin(), arm_b.comparable.end(), [&](const Observation& o) {
    return o.n_params == n_params && there.contains({o.d_tokens, o.seed});
  });
}

// A number of tokens that is no one's yet is as good as any beside it.
double Rounded(double tokens) {
  double rounded = tokens;
  return absl::SimpleAtod(absl::StrFormat("%.3g", tokens), &rounded) ? rounded : tokens;
}

// Where trials could be added: in whole batches where these are known, else at the data's D or at
// round numbers between and beyond them. Pairs only at sizes that have some.
std::vector<NextCandidate> CandidatesOf(NextArms* from) {
  const std::vector<NextArm>& arms = from->arms;
  const NextArm& arm = arms[0];
  std::vector<NextCandidate> candidates = NextCandidates(arm.done);
  if (arms.size() > 1) {
    std::set<double> left_out;
    std::erase_if(candidates, [&](const NextCandidate& c) {
      if (HasPairs(c.n_params, arms[0], arms[1])) return false;
      left_out.insert(c.n_params);
      return true;
    });
    for (const double n : left_out) {
      from->notes.push_back(absl::StrCat("N = ", HumanCount(n),
                                         " has no pair (no D and seed that both arms have): no "
                                         "trial of this size is proposed"));
    }
  }
  for (NextCandidate& c : candidates) {
    if (const auto batch = arm.batch_tokens.find(c.n_params); batch != arm.batch_tokens.end()) {
      const auto unit = static_cast<double>(batch->second);
      c.d_tokens = std::max(1.0, std::round(c.d_tokens / unit)) * unit;
    } else if (!arm.seeds.contains({c.n_params, c.d_tokens})) {
      c.d_tokens = Rounded(c.d_tokens);
    }
  }
  return candidates;
}

// In tokens, or in what a file counts them in.
Cell TokensCell(double tokens) {
  if (tokens == std::round(tokens) && tokens < 1e18) return Cell::Int(std::llround(tokens));
  Cell cell = Cell::Real(tokens, kDigits);
  cell.text = Significant(tokens, 6);
  return cell;
}

// This command with --spec, to be read by the shell.
std::string SpecCommand(const Args& args, const std::vector<Flag>& flags) {
  std::string command = "loglog next";
  if (const std::string sweep = args.One("SWEEP"); !sweep.empty()) {
    absl::StrAppend(&command, " ", ShellQuote(sweep));
  }
  for (const Flag& flag : flags) {
    if (flag.name == "spec" || !args.OnLine(flag.name)) continue;
    for (const std::string& value : args.All(flag.name)) {
      absl::StrAppend(&command, " --", flag.name, " ", ShellQuote(value));
    }
  }
  if (args.Has("csv") && !args.Has("base")) absl::StrAppend(&command, " --base SPEC");
  return absl::StrCat(command, " --spec > next.yaml");
}

// Each step with its seed; `added` gets its trials.
Table StepsTable(const NextPlan& plan, NextArms* from, std::vector<NextTrial>* added) {
  std::vector<std::string> names;
  for (const NextArm& arm : from->arms) names.push_back(arm.name);
  Table table;
  table.kind = "steps";
  table.columns = {{"step", true}, {"arms"},       {"N", true},     {"D", true},
                   {"seed", true}, {"cost", true}, {"spent", true}, {"half_width", true}};
  for (const NextStep& step : plan.steps) {
    const int64_t seed = TakeSeed(step.n_params, step.d_tokens, &from->arms);
    const double n = from->has_sizes ? step.n_params : 0;
    for (const std::string& name : names) {
      added->push_back({name, n, std::llround(step.d_tokens), seed});
    }
    Cell half = Cell::Real(step.half_width, kDigits);
    half.text = Significant(step.half_width, kDigits);
    table.rows.push_back({Cell::Int(static_cast<int64_t>(table.rows.size()) + 1),
                          Cell::Text(absl::StrJoin(names, "; ")),
                          from->has_sizes ? Cell::Int(std::llround(n)) : Cell::Text(""),
                          TokensCell(step.d_tokens), Cell::Int(seed), Cell::Count(step.cost),
                          Cell::Count(step.spent), half});
  }
  return table;
}

std::string Summary(const NextPlan& plan, NextGoal goal, const std::string& unit) {
  const GoalWords* const known =
      std::find_if(std::begin(kGoals), std::end(kGoals),
                   [goal](const GoalWords& words) { return words.goal == goal; });
  return absl::StrCat(known->what, " now ", Significant(plan.estimate, 4), " +-",
                      Significant(plan.half_width, kDigits), " (95%); expected by ", plan.law,
                      " at the scatter of the data, ", Significant(100 * plan.noise, 2), "% of a ",
                      goal == NextGoal::kDifference ? "pair" : "trial", "; costs are ", unit);
}

// What is only for --csv.
std::vector<Flag> NextCsvFlags() {
  std::vector<Flag> flags = {
      {.name = "base", .value = "SPEC", .help = "csv: the spec that the points came from"}};
  const std::vector<Flag> source_flags = CsvSourceFlags();
  flags.insert(flags.end(), source_flags.begin(), source_flags.end());
  return flags;
}

std::vector<Flag> NextFlags() {
  std::vector<std::string> goals;
  for (const GoalWords& known : kGoals) goals.push_back(known.word);
  std::vector<Flag> flags = {
      {.name = "arm",
       .value = "ARM",
       .help = "the arm, or twice: the two to compare (default: the first two)",
       .repeated = true},
      {.name = "goal",
       .value = "GOAL",
       .help = "slope of an arm, its exponent beta beside a floor, difference of two arms' slopes, "
               "prediction at --target",
       .choices = goals},
      {.name = "target", .value = "TOKENS", .help = "where the loss is to be predicted"},
      {.name = "target-params",
       .value = "N",
       .help = "and of which size, with several (default: the largest)"},
      {.name = "budget", .value = "TIME", .help = "slot time to spend, as 20h"},
      {.name = "throughput",
       .value = "TOKENS_PER_S",
       .help = "speed of one slot, at the largest size (default: as measured)",
       .from_env = true},
      {.name = "steps", .value = "N", .help = "at most this many", .default_value = "12"},
      {.name = "spec", .help = "print a spec of these and the trials there are, to be submitted"}};
  const std::vector<Flag> csv_flags = NextCsvFlags();
  flags.insert(flags.end(), csv_flags.begin(), csv_flags.end());
  return flags;
}

absl::StatusOr<int> Next(Context& context) {
  const Args& args = context.args();
  if (!args.Has("csv")) LOGLOG_RETURN_IF_ERROR(RefuseCsvFlags(args, NextCsvFlags()));
  LOGLOG_ASSIGN_OR_RETURN(NextArms from, ReadNextArms(context));
  const bool two = from.arms.size() > 1;
  LOGLOG_ASSIGN_OR_RETURN(NextOptions options, OptionsOf(args, two));
  LOGLOG_ASSIGN_OR_RETURN(const NextCost cost, CostOfNext(args, from));
  LOGLOG_RETURN_IF_ERROR(ReadBudget(args, cost, &options));
  const std::vector<Observation> none;
  const std::vector<NextCandidate> candidates = CandidatesOf(&from);
  LOGLOG_ASSIGN_OR_RETURN(
      const NextPlan plan,
      ChooseNextRuns(
          two ? from.arms[0].comparable : from.arms[0].done, two ? from.arms[1].comparable : none,
          candidates,
          [&](const NextCandidate& c) { return c.d_tokens * cost.per_token.at(c.n_params); },
          options));
  if (plan.steps.empty()) {
    return WithHint(absl::FailedPreconditionError(plan.reason),
                    "loglog plan SPEC tells what a grid will be able to say");
  }
  const std::vector<NextTrial> there = TrialsThere(from);
  std::vector<NextTrial> added;
  const Table table = StepsTable(plan, &from, &added);
  if (args.On("spec")) {
    if (from.spec.empty()) {
      return absl::InvalidArgumentError(
          "--spec widens the spec that the points came from: name it with --base SPEC");
    }
    LOGLOG_ASSIGN_OR_RETURN(const std::string spec, SpecOfTrials(from.spec, there, added));
    context.Print(spec);
    return kExitOk;
  }
  context.Print(table);
  if (!context.machine_output()) {
    context.Note(Summary(plan, options.goal, cost.unit));
    for (const std::string& note : from.notes) context.Note(note);
  }
  context.Next({SpecCommand(args, NextFlags()), "loglog submit next.yaml"});
  return kExitOk;
}

}  // namespace

std::vector<Command> NextCommands() {
  return {
      {.path = "next",
       .summary = "which trials to run next: the most information for a slot's time",
       .details =
           "Chooses trials one by one that narrow the goal's interval most for what they cost,\n"
           "with the half-width to expect after each. --spec prints a spec of the trials that the\n"
           "choice was made from, which are shared and not run again, and of these.\n"
           "  loglog next --arm small --arm large --budget 20h\n"
           "  loglog next --arm small --goal prediction --target 10B --spec > next.yaml\n"
           "  loglog next --csv points.csv --x tokens --by arm --seed seed --base sweep.yaml "
           "--spec",
       .positionals = {{.name = "SWEEP",
                        .help = "name of the sweep (default: the newest)",
                        .required = false}},
       .flags = NextFlags(),
       .run = Next},
  };
}

}  // namespace loglog::cli
