// Fits: on request, and again whenever a trial of their arms ends.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/engine.h"
#include "coordinator/names.h"
#include "nlohmann/json.hpp"
#include "plan/stop_rule.h"

namespace loglog {
namespace {

using nlohmann::json;

// Fits of a sweep rest for so many times as long as they took: a tenth of a processor.
constexpr int64_t kRefitRest = 9;
constexpr int64_t kRefitRestMsMax = 60'000;

bool Wants(const std::set<std::string>& arms, const std::string& arm) {
  return arms.contains("") || arms.contains(arm);
}

// Every fit that a sweep keeps up to date: what its spec asks for, and the local slope
// and the saturating form of each arm on the same axes.
std::vector<FitTarget> TargetsOf(const std::vector<FitRequest>& requests, const FitPlan& plan,
                                 absl::Span<const ObservationRow> trials,
                                 const std::set<std::string>& arms) {
  std::vector<FitTarget> targets;
  const auto add = [&](FitTarget target) {
    const bool known = std::any_of(targets.begin(), targets.end(), [&](const FitTarget& other) {
      return other.kind == target.kind && other.axis == target.axis && other.arm == target.arm &&
             other.arm_b == target.arm_b;
    });
    if (!known) targets.push_back(std::move(target));
  };
  // Laws of N and D together are filed under D; IsoFLOP has C, which asks for no slope in C.
  std::vector<std::pair<std::string, Axis>> laws;
  std::set<Axis> axes;
  for (const FitRequest& request : requests) {
    if (request.kind == kStopRuleKind) continue;
    const absl::StatusOr<Axis> axis = ParseAxis(request.axis);
    if (!axis.ok()) continue;
    const bool own = request.kind == "comparison" || request.kind == "local_slope" ||
                     request.kind == "saturating";
    if (!own) laws.emplace_back(request.kind, *axis);
    if (!request.axis.empty() && request.kind != "isoflop") axes.insert(*axis);
  }
  if (axes.empty()) axes.insert(DefaultAxis(trials));
  for (const std::string& arm : ArmsOf(trials)) {
    if (!Wants(arms, arm)) continue;
    for (const Axis axis : axes) {
      add({"local_slope", axis, arm, ""});
      add({"saturating", axis, arm, ""});
    }
    for (const auto& [kind, axis] : laws) add({kind, axis, arm, ""});
  }
  // All of them together: a p-value that changes adjusts the others.
  const bool any = std::any_of(
      plan.comparisons.begin(), plan.comparisons.end(), [&](const FitTarget& comparison) {
        return Wants(arms, comparison.arm) || Wants(arms, comparison.arm_b);
      });
  if (any) targets.insert(targets.end(), plan.comparisons.begin(), plan.comparisons.end());
  return targets;
}

}  // namespace

// ---- on request

void Engine::CreateFit(const std::string& sweep, const FitTarget& target, Reply<FitView> reply,
                       bool censored, std::vector<Place> at) {
  if (!Admit(&user_calls_, &reply)) return;
  const auto compute = [=, this](const ReadStore& store) {
    const absl::StatusOr<SweepRow> row = store.GetSweep(sweep);
    if (!row.ok()) return reply(row.status());
    absl::StatusOr<FitPlan> plan = FitPlanOf(row->spec_json);
    if (!plan.ok()) return reply(Annotate(plan.status(), SweepName(sweep)));
    if (censored) plan->censored.insert({target.kind, target.axis});
    const absl::StatusOr<std::vector<ObservationRow>> trials =
        ReadFitTrials(store, row->sweep_id, *plan);
    if (!trials.ok()) return reply(trials.status());
    Fitter fitter(*trials, *plan);
    absl::StatusOr<FitRow> fit = fitter.Compute(target);
    if (!fit.ok()) return reply(fit.status());
    absl::StatusOr<LawPredictions> predictions = LawPredictions();
    if (!at.empty()) predictions = fitter.Predict(target, at);
    if (!predictions.ok()) return reply(predictions.status());
    const int64_t sweep_id = row->sweep_id;
    OnStrand<FitView>(
        reply,
        [=, this]() -> absl::StatusOr<FitView> {
          FitView view;
          view.sweep = sweep;
          view.predictions = *predictions;
          LOGLOG_ASSIGN_OR_RETURN(view.row, InsertFit(sweep_id, *fit));
          return view;
        },
        Strand::Lane::kPatient);
  };
  compute_->Post(compute, reply);
}

absl::StatusOr<FitRow> Engine::InsertFit(int64_t sweep_id, FitRow fit) {
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  fit.sweep_id = sweep_id;
  fit.create_ms = wall_ms_;
  bool created = false;
  LOGLOG_ASSIGN_OR_RETURN(FitRow stored, store_->InsertFit(fit, &created));
  if (created) {
    SweepEvent("fit.updated", sweep_id,
               json({{"number", stored.number},
                     {"kind", stored.kind},
                     {"axis", stored.axis},
                     {"arm", stored.arm},
                     {"arm_b", stored.arm_b},
                     {"verdict", stored.verdict}})
                   .dump());
  }
  return stored;
}

void Engine::GetFit(const std::string& sweep, int64_t number, Reply<FitView> reply) {
  OnReader<FitView>(readers_.get(), std::move(reply),
                    [=](const ReadStore& store) -> absl::StatusOr<FitView> {
                      FitView view;
                      view.sweep = sweep;
                      LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
                      LOGLOG_ASSIGN_OR_RETURN(view.row, store.GetFit(row.sweep_id, number));
                      return view;
                    });
}

void Engine::ListFits(const std::string& sweep, Reply<std::vector<FitView>> reply) {
  OnReader<std::vector<FitView>>(
      readers_.get(), std::move(reply),
      [=](const ReadStore& store) -> absl::StatusOr<std::vector<FitView>> {
        LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
        LOGLOG_ASSIGN_OR_RETURN(std::vector<FitRow> rows, store.ListFits(row.sweep_id));
        std::vector<FitView> views;
        for (FitRow& fit : rows) views.push_back({std::move(fit), sweep});
        return views;
      });
}

// ---- in the background

void Engine::MarkForRefit(int64_t sweep_id, const std::string& arm) {
  refits_[sweep_id].arms.insert(arm);
}

void Engine::MarkTrialForRefit(int64_t trial_id) {
  const absl::StatusOr<std::vector<SweepOfTrial>> sweeps =
      store_->read().ListSweepsOfTrial(trial_id);
  Must(sweeps.status());
  if (!sweeps.ok()) return;
  for (const SweepOfTrial& sweep : *sweeps) MarkForRefit(sweep.sweep_id, sweep.arm);
}

// One computation for each sweep at a time; trials that end meanwhile wait for the next.
// It reads every trial of the sweep, so between two of them there is a rest: what fitting
// takes of the processor must not grow with the sweep.
void Engine::StartRefits() {
  for (auto it = refits_.begin(); it != refits_.end();) {
    const int64_t sweep_id = it->first;
    PendingRefit& refit = it->second;
    if (refit.running || refit.not_before_ms > now_ms_) {
      ++it;
      continue;
    }
    if (refit.arms.empty()) {
      it = refits_.erase(it);
      continue;
    }
    ++it;
    const absl::StatusOr<const SpecInfo*> spec = SpecOf(sweep_id);
    if (!spec.ok()) {
      spdlog::error("no fits of sweep {}: {}", sweep_id, spec.status().ToString());
      refits_.erase(sweep_id);
      continue;
    }
    std::set<std::string> arms;
    arms.swap(refit.arms);
    refit.running = true;
    const auto compute = [this, sweep_id, arms, requests = (*spec)->fit](const ReadStore& store) {
      const int64_t begin_ms = clock_->monotonic_ms();
      Refits refits = ComputeRefits(sweep_id, arms, requests, store);
      StoreRefits(sweep_id, std::move(refits), clock_->monotonic_ms() - begin_ms);
    };
    // Dropped only when stopping: the next start fits what is not fitted.
    compute_->Post(compute, [](const absl::Status&) {});
  }
}

int64_t Engine::NextRefitMs() const {
  int64_t next_ms = std::numeric_limits<int64_t>::max();
  if (!options_.refit) return next_ms;
  for (const auto& [sweep_id, refit] : refits_) {
    if (!refit.running && !refit.arms.empty()) next_ms = std::min(next_ms, refit.not_before_ms);
  }
  return next_ms;
}

void Engine::StoreRefits(int64_t sweep_id, Refits computed, int64_t took_ms) {
  auto refits = std::make_shared<Refits>(std::move(computed));
  OnStrand<int>([](const absl::StatusOr<int>&) {},
                [this, sweep_id, refits, took_ms]() -> absl::StatusOr<int> {
                  const auto pending = refits_.find(sweep_id);
                  if (pending != refits_.end()) {
                    pending->second.running = false;
                    pending->second.not_before_ms =
                        now_ms_ + std::min(kRefitRestMsMax, kRefitRest * took_ms);
                  }
                  for (FitRow& fit : refits->fits) {
                    LOGLOG_RETURN_IF_ERROR(InsertFit(sweep_id, std::move(fit)).status());
                  }
                  if (refits->look.has_value() && refits->look->met) {
                    LOGLOG_RETURN_IF_ERROR(EndByRule(sweep_id, *refits->look));
                  }
                  return static_cast<int>(refits->fits.size());
                },
                Strand::Lane::kPatient);
}

Engine::Refits Engine::ComputeRefits(int64_t sweep_id, const std::set<std::string>& arms,
                                     const std::vector<FitRequest>& requests,
                                     const ReadStore& store) const {
  Refits refits;
  const absl::StatusOr<SweepRow> sweep = store.GetSweep(sweep_id);
  const absl::StatusOr<FitPlan> plan =
      sweep.ok() ? FitPlanOf(sweep->spec_json, &requests) : sweep.status();
  if (!plan.ok()) {
    spdlog::error("no fits of sweep {}: {}", sweep_id, plan.status().ToString());
    return refits;
  }
  // After a start all sweeps are looked at, and the trials of one may be a million.
  const TrialCounts& counts = sweep->counts;
  if (counts.pending + counts.running == counts.total) return refits;
  const absl::StatusOr<std::vector<ObservationRow>> trials = ReadFitTrials(store, sweep_id, *plan);
  if (!trials.ok()) {
    spdlog::error("no fits of sweep {}: {}", sweep_id, trials.status().ToString());
    return refits;
  }
  Fitter fitter(*trials, *plan);
  for (const FitTarget& target : TargetsOf(requests, *plan, *trials, arms)) {
    if (stop_asked_) break;
    const absl::StatusOr<std::optional<FitRow>> known =
        store.FindFit(sweep_id, target.kind, AxisSymbol(target.axis), target.arm, target.arm_b,
                      fitter.InputsSha256(target));
    if (known.ok() && known->has_value()) continue;
    absl::StatusOr<FitRow> fit = fitter.Compute(target);
    if (fit.ok()) {
      refits.fits.push_back(*std::move(fit));
    } else {
      spdlog::warn("{} of arm {} in sweep {}: {}", target.kind, target.arm, sweep_id,
                   fit.status().ToString());
    }
  }
  if (!plan->stop_rule.has_value() || stop_asked_) return refits;
  absl::StatusOr<std::optional<StopLook>> look = LookAtRule(*plan->stop_rule, *plan, *trials);
  if (look.ok()) {
    refits.look = *std::move(look);
  } else {
    spdlog::error("stop rule of sweep {}: {}", sweep_id, look.status().ToString());
  }
  return refits;
}

// Trials that other sweeps wait for go on.
absl::Status Engine::EndByRule(int64_t sweep_id, const StopLook& look) {
  LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, store_->read().GetSweep(sweep_id));
  if (sweep.state != SweepState::kActive && sweep.state != SweepState::kPaused) {
    return absl::OkStatus();
  }
  std::vector<int64_t> own;
  LOGLOG_RETURN_IF_ERROR(store_->read().EachOpenTask(sweep_id, [&](const TaskRow& task) {
    for (const int64_t trial_id : scheduler_->OpenTrialsOf(task.task_id)) {
      if (scheduler_->SweepsOf(trial_id).size() == 1) own.push_back(trial_id);
    }
    return absl::OkStatus();
  }));
  if (own.empty()) return absl::OkStatus();
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  LOGLOG_ASSIGN_OR_RETURN(const CancelResult ended, store_->StopTrials(own, look.reason, wall_ms_));
  SweepEvent("sweep.stop_rule", sweep_id,
             json({{"reason", look.reason},
                   {"look", look.look},
                   {"halfwidth", look.widest},
                   {"trials", ended.trials.size()}})
                 .dump());
  Actions actions;
  scheduler_->Cancel(ended, absl::StrCat("stopped: ", look.reason), &actions);
  Apply(actions);
  MarkForRefit(sweep_id, "");
  Log(spdlog::level::info, absl::StrCat("sweeps/", sweep.name, ": ", look.reason, "; ",
                                        ended.trials.size(), " trials are stopped"));
  return absl::OkStatus();
}

}  // namespace loglog
