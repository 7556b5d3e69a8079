#include "fitting/stop_look.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace loglog {
namespace {

// The newest look whose trials have all ended; 0 before the first. After the last trial there
// is nothing left to end.
int NewestLook(absl::Span<const ObservationRow> trials, int total) {
  const auto open = std::find_if(trials.begin(), trials.end(),
                                 [](const ObservationRow& trial) { return !IsEnded(trial.state); });
  const int ended = static_cast<int>(open - trials.begin());
  int look = 0;
  while (look + 1 < kLooks && TrialsOfLook(look + 1, total) <= ended) ++look;
  return look;
}

std::vector<FitTarget> TargetsOf(const StopRule& rule, const FitPlan& plan,
                                 absl::Span<const ObservationRow> trials) {
  if (rule.quantity == "slope_difference") return plan.comparisons;
  std::vector<FitTarget> targets;
  for (const std::string& arm : ArmsOf(trials)) {
    targets.push_back(
        {rule.quantity == "slope" ? "local_slope" : "saturating", DefaultAxis(trials), arm, ""});
  }
  return targets;
}

std::string NameOf(const FitTarget& target) {
  if (target.arm_b.empty()) return absl::StrCat("arm ", target.arm);
  return absl::StrCat(target.arm, " against ", target.arm_b);
}

// NaN without an interval, and of a beta that the data do not fix.
double HalfWidth(const FitRow& fit) {
  const bool fixed = fit.verdict == "OK" || fit.verdict == "IDENTIFIED";
  return fixed ? (fit.high - fit.low) / 2 : kNoNumber;
}

}  // namespace

absl::StatusOr<std::optional<StopLook>> LookAtRule(const StopRule& rule, const FitPlan& plan,
                                                   absl::Span<const ObservationRow> trials) {
  StopLook look;
  int total = 0;
  for (const ObservationRow& trial : trials) total += static_cast<int>(trial.trials);
  look.look = NewestLook(trials, total);
  if (look.look == 0) return std::optional<StopLook>();
  look.n_trials = TrialsOfLook(look.look, total);
  const double confidence = LookConfidence(kFitConfidence);
  Fitter fitter(trials.first(look.n_trials), plan, confidence);
  const std::vector<FitTarget> targets = TargetsOf(rule, plan, trials);
  std::string where;
  for (const FitTarget& target : targets) {
    const absl::StatusOr<FitRow> fit = fitter.Compute(target);
    // An arm none of whose trials has come yet.
    const double half = fit.ok() ? HalfWidth(*fit) : kNoNumber;
    if (!where.empty() && half <= look.widest) continue;
    look.widest = half;
    where = NameOf(target);
    if (std::isnan(half)) break;
  }
  look.met = look.widest < rule.below;
  look.reason = absl::StrFormat(
      "stop_when: %s %s at look %d of %d (the first %d of %d trials): %s (%s), at %g%%",
      StopRuleText(rule), look.met ? "holds" : "does not hold", look.look, kLooks, look.n_trials,
      total, std::isnan(look.widest) ? "no interval" : absl::StrFormat("at most %.3g", look.widest),
      where.empty() ? "no arms" : where, 100 * confidence);
  return std::optional<StopLook>(std::move(look));
}

}  // namespace loglog
