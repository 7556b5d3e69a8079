#include "plan/check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "plan/plan_checks.h"

namespace loglog {
namespace {

// Evaluations of a sweep that cost a larger share of its training's FLOPs are worth a word, and
// this share is what the fix aims at.
constexpr double kEvalShareMax = 0.5;
constexpr double kEvalShareGood = 0.1;

void CheckEvaluations(const Expansion& expansion, const PlanContext& context,
                      std::vector<PlanWarning>* warnings) {
  double train_flops = 0, eval_flops = 0, worst_share = 0;
  const TrialCost* worst = nullptr;
  for (const PlannedTrial& trial : expansion.trials) {
    const TrialCost& cost = expansion.cells[trial.cell].cost;
    const double flops = cost.EvalFlops(context.val_data_tokens);
    train_flops += cost.flops;
    eval_flops += flops;
    if (flops / cost.flops <= worst_share) continue;
    worst_share = flops / cost.flops;
    worst = &cost;
  }
  const double share = eval_flops / train_flops;
  if (!(share > kEvalShareMax)) return;
  const EvaluationCost& evaluation = worst->evaluation;
  const int64_t tokens =
      std::min(evaluation.tokens, context.val_data_tokens.value_or(evaluation.tokens));
  const double times = std::ceil(share / kEvalShareGood);
  warnings->push_back(
      {"EVAL",
       absl::StrFormat("evaluations cost %.3g times the FLOPs of all training; at the worst %d of "
                       "them, each a forward pass over %s tokens, beside %s trained ones",
                       share, evaluation.evaluations, DisplayCount(tokens),
                       DisplayCount(worst->tokens)),
       evaluation.by_eval_tokens
           ? absl::StrFormat("divide eval.tokens by %.0f, or evaluate at a larger eval.every",
                             times)
           : "evaluate at a larger eval.every: this task's sets have one size"});
}

void CheckTrunks(const SweepSpec& spec, const Expansion& expansion,
                 std::vector<PlanWarning>* warnings) {
  const std::vector<TaskPlan> tasks = PlanTasks(spec, expansion);
  const bool shares = std::any_of(tasks.begin(), tasks.end(),
                                  [](const TaskPlan& task) { return task.parent >= 0; });
  warnings->push_back(
      shares ? PlanWarning{"TRUNK",
                           "trials that share a trunk are not independent: fits over them are "
                           "estimates without intervals, and comparisons have no test",
                           "write schedule.trunks=false where an interval is wanted"}
             : PlanWarning{"TRUNK",
                           "schedule.trunks shares nothing: no two trials differ in train.tokens "
                           "alone",
                           "remove it, or add an axis of train.tokens"});
}

}  // namespace

std::vector<PlanWarning> CheckPlan(const SweepSpec& spec, const Expansion& expansion,
                                   const PlanContext& context) {
  std::vector<PlanWarning> warnings;
  CheckDesign(spec, expansion, context, &warnings);
  CheckCells(spec, context, &warnings);
  CheckEvaluations(expansion, context, &warnings);
  if (spec.schedule.trunks) CheckTrunks(spec, expansion, &warnings);
  for (const DroppedTrials& drop : expansion.dropped) {
    if (drop.constraint == "duplicate") {
      warnings.push_back(
          {"DUPLICATE", absl::StrCat(drop.count, " trials of the grid are the same as others"),
           "some axis or arm changes nothing: see what `loglog explain` says of it"});
    }
    if (drop.count > 0) continue;
    const bool when = drop.constraint.rfind("when", 0) == 0;
    warnings.push_back({"CONSTRAINT",
                        drop.constraint + (when ? " holds everywhere" : " drops nothing"),
                        "check its values, or remove it"});
  }
  return warnings;
}

}  // namespace loglog
