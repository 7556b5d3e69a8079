#include "plan/report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "base/duration.h"
#include "plan/grid.h"

namespace loglog {
namespace {

// Of two counts that are not negative, the highest there is where they are more.
int64_t Sum(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

// One trial, of which its trunk trains `shared` already.
void Count(const Cell& cell, double shared, const PlanContext& context, PlanTotals* totals) {
  ++totals->trials;
  if (shared > 0) ++totals->branches;
  totals->shared_flops += shared * cell.cost.flops;
  totals->eval_flops += cell.cost.EvalFlops(context.val_data_tokens);
  totals->tokens =
      Sum(totals->tokens, std::llround((1 - shared) * static_cast<double>(cell.cost.tokens)));
  totals->flops += (1 - shared) * cell.cost.flops;
  totals->flops_6nd += (1 - shared) * cell.cost.flops_6nd;
}

// Seconds that one trial takes on a slot; FLOP/s first, because it fits all sizes. A stated speed
// is that of training, and evaluations come on top; a measured one is of whole trials.
std::optional<double> Seconds(const Throughput& speed, const TrialCost& cost, double shared,
                              double eval_flops) {
  const double whole = 1 - shared + (speed.measured ? 0 : eval_flops / cost.flops);
  if (speed.flops_per_second) return whole * cost.flops / *speed.flops_per_second;
  if (speed.tokens_per_second) {
    return whole * static_cast<double>(cost.tokens) / *speed.tokens_per_second;
  }
  return std::nullopt;
}

void CheckBudget(const BudgetSpec& budget, PlanReport* report) {
  if (!report->slot_hours) return;
  if (budget.gpu_hours && *report->slot_hours > *budget.gpu_hours) {
    report->warnings.push_back(
        {"BUDGET",
         absl::StrFormat("about %.3g slot-hours are needed, and budget.gpu_hours is %.3g",
                         *report->slot_hours, *budget.gpu_hours),
         "fewer seeds or values, smaller budgets of tokens, or a larger budget"});
  }
  if (budget.wall_time_ms && report->wall_hours &&
      *report->wall_hours > static_cast<double>(*budget.wall_time_ms) / 3.6e6) {
    report->warnings.push_back(
        {"BUDGET",
         absl::StrFormat("about %.3g hours on %d slot%s are needed, and budget.wall_time is %s",
                         *report->wall_hours, report->slots, report->slots == 1 ? "" : "s",
                         FormatDurationMs(*budget.wall_time_ms)),
         "add slots, or plan less"});
  }
}

void EstimateSizes(const SweepSpec& spec, PlanReport* report) {
  const Grid grid(spec);
  grid.Walk([&](const GridCell& cell) {
    const ModelShape model = cell.config.model();
    const int64_t params = CountParams(model).total, tokens = cell.config.tokens();
    const auto lower = [](int64_t* least, int64_t value) {
      *least = *least == 0 ? value : std::min(*least, value);
    };
    lower(&report->params_min, params);
    lower(&report->tokens_min, tokens);
    report->params_max = std::max(report->params_max, params);
    report->tokens_max = std::max(report->tokens_max, tokens);
    report->memory_bytes_max =
        std::max(report->memory_bytes_max, EstimateMemory(cell.config).total_bytes());
    const int64_t checkpoint = CheckpointBytes(model);
    report->checkpoint_bytes_max = std::max(report->checkpoint_bytes_max, checkpoint);
    const int64_t made = std::max<int64_t>(1, cell.config.steps() / spec.checkpoint.every);
    const double kept = static_cast<double>(std::min(made, spec.checkpoint.keep));
    const double bytes =
        static_cast<double>(cell.seeds.size()) * kept * static_cast<double>(checkpoint);
    report->disk_bytes = Sum(report->disk_bytes, static_cast<int64_t>(std::min(bytes, 1e18)));
    return true;
  });
}

}  // namespace

PlanReport MakeReport(const SweepSpec& spec, const Expansion& expansion,
                      const ReportOptions& options) {
  PlanReport report;
  report.formula = kCostFormula;
  report.dropped = expansion.dropped;
  report.grid_trials = expansion.grid_trials;
  report.slots = std::max(1, options.slots);
  report.throughput = options.throughput;
  if (!report.throughput.tokens_per_second && !report.throughput.flops_per_second) {
    report.throughput = {.tokens_per_second = spec.budget.tokens_per_second,
                         .flops_per_second = spec.budget.flops_per_second};
  }
  std::vector<bool> fresh_cell(expansion.cells.size(), false);
  double seconds = 0, longest = 0;
  const std::vector<TaskPlan> tasks = PlanTasks(spec, expansion);
  const auto trial_of = [&](const TaskPlan& task) -> const PlannedTrial& {
    return expansion.trials[task.members[0]];
  };
  for (const TaskPlan& task : tasks) {
    const PlannedTrial& trial = trial_of(task);
    const Cell& cell = expansion.cells[trial.cell];
    double shared = static_cast<double>(task.token_begin) / static_cast<double>(cell.cost.tokens);
    Count(cell, shared, options.context, &report.all);
    if (options.known_trials.contains(trial.sha256)) {
      ++report.reused;
      continue;
    }
    if (task.parent >= 0) {
      report.disk_bytes += CheckpointBytes(ParseCellConfig(cell.config_json)->model());
      // A trunk that is trained already kept no checkpoint for this one, which is trained whole.
      if (options.known_trials.contains(trial_of(tasks[task.parent]).sha256)) shared = 0;
    }
    Count(cell, shared, options.context, &report.fresh);
    fresh_cell[trial.cell] = true;
    const double eval_flops = cell.cost.EvalFlops(options.context.val_data_tokens);
    if (const auto one = Seconds(report.throughput, cell.cost, shared, eval_flops)) {
      seconds += *one;
      longest = std::max(longest, *one);
    }
  }
  report.all.cells = static_cast<int64_t>(expansion.cells.size());
  report.fresh.cells = std::count(fresh_cell.begin(), fresh_cell.end(), true);
  if (report.throughput.tokens_per_second || report.throughput.flops_per_second) {
    report.slot_hours = seconds / 3600;
    const ScheduleSpec& schedule = spec.schedule;
    int64_t at_once = report.slots / schedule.slots;
    if (schedule.max_concurrent) at_once = std::min<int64_t>(at_once, *schedule.max_concurrent);
    const double each = static_cast<double>(schedule.slots);
    if (at_once > 0) {
      report.wall_hours =
          std::max(seconds / (static_cast<double>(at_once) * each), longest / each) / 3600;
    }
  }
  EstimateSizes(spec, &report);
  report.warnings = CheckPlan(spec, expansion, options.context);
  if (report.slots < spec.schedule.slots) {
    report.warnings.push_back({"SLOTS",
                               absl::StrCat("a trial takes schedule.slots ", spec.schedule.slots,
                                            " slots of one worker, and the plan is for ",
                                            report.slots, ": none can start"),
                               "say --slots of all workers, or lower schedule.slots"});
  }
  // Its standard errors are those of independent trials.
  if (report.all.branches == 0) {
    report.forecasts = ForecastDesign(spec, expansion, options.context);
  }
  report.seed_noise = options.context.seed_noise;
  if (!report.forecasts.empty() && report.forecasts[0].axis == "D") {
    std::vector<double> tokens;
    int64_t size = 0;
    for (const PlannedTrial& trial : expansion.trials) {
      const Cell& cell = expansion.cells[trial.cell];
      if (cell.arm != report.forecasts[0].arm) continue;
      if (size == 0) size = cell.cost.params.non_embedding;
      if (cell.cost.params.non_embedding == size) {
        tokens.push_back(static_cast<double>(cell.cost.tokens));
      }
    }
    report.better_grid = FindBetterGrid(tokens, options.context.seed_noise);
  }
  CheckBudget(spec.budget, &report);
  return report;
}

}  // namespace loglog
