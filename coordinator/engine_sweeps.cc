// Sweeps: submitting and steering them.
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/refusal.h"
#include "base/status.h"
#include "coordinator/engine.h"
#include "coordinator/names.h"
#include "nlohmann/json.hpp"
#include "plan/grid.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

using nlohmann::json;

// Takes the expansion apart: of the largest sweeps two copies would be some hundred megabytes.
NewSweep ToNewSweep(const SweepSpec& spec, Expansion expansion) {
  NewSweep sweep;
  for (TaskPlan& task : PlanTasks(spec, expansion)) {
    sweep.tasks.push_back({std::move(task.members), task.token_begin, task.token_end, task.parent});
  }
  sweep.name = spec.name;
  sweep.spec_json = CanonicalJson(spec);
  sweep.spec_sha256 = Sha256Hex(sweep.spec_json);
  for (Cell& cell : expansion.cells) {
    json axes = json::object();
    for (const auto& [axis, value] : cell.axes) axes[axis] = value;
    sweep.cells.push_back({.sha256 = std::move(cell.sha256),
                           .config_json = std::move(cell.config_json),
                           .arm = std::move(cell.arm),
                           .axes_json = axes.dump(),
                           .params_total = cell.cost.params.total,
                           .params_non_embedding = cell.cost.params.non_embedding,
                           .tokens = cell.cost.tokens,
                           .steps = cell.cost.steps,
                           .flops = cell.cost.flops});
  }
  for (PlannedTrial& trial : expansion.trials) {
    sweep.trials.push_back({trial.cell, trial.seed, std::move(trial.sha256)});
  }
  return sweep;
}

// Users' reasons may hold any bytes.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

void AddReason(const std::string& reason, json* detail) {
  if (!reason.empty()) (*detail)["reason"] = reason;
}

std::string WithReason(absl::string_view what, const std::string& reason) {
  return reason.empty() ? std::string(what) : absl::StrCat(what, ": ", reason);
}

absl::Status HasEnded(const SweepRow& sweep, absl::string_view verb) {
  return absl::FailedPreconditionError(
      absl::StrCat("sweeps/", sweep.name, " is ", StateName(sweep.state), "; it cannot be ", verb));
}

}  // namespace

// ---- requests that came before

absl::StatusOr<std::optional<std::string>> Engine::ServedBefore(const std::string& request_id,
                                                                const std::string& what) {
  if (request_id.empty()) return std::optional<std::string>();
  LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> answer, store_->FindRequest(request_id));
  if (!answer.has_value()) return std::optional<std::string>();
  absl::string_view rest = *answer;
  if (!absl::ConsumePrefix(&rest, absl::StrCat(what, "|"))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "request_id: '", request_id, "' was used for another request; take a new one"));
  }
  return std::optional<std::string>(rest);
}

void Engine::RememberServed(const std::string& request_id, const std::string& what,
                            absl::string_view answer) {
  if (request_id.empty()) return;
  Must(store_->SaveRequest(request_id, absl::StrCat(what, "|", answer), wall_ms_));
}

// ---- submitting

void Engine::CreateSweep(const std::string& spec_json, const std::string& request_id,
                         bool validate_only, Reply<CreateAnswer> reply, const std::string& caller) {
  if (!Admit(&user_calls_, &reply) || !Admit(&submits_, &reply)) return;
  const auto expand = [=, this](const absl::StatusOr<SweepSpec>& spec) {
    if (!spec.ok()) return reply(spec.status());
    absl::StatusOr<Expansion> expansion = Expand(*spec);
    if (!expansion.ok()) return reply(expansion.status());
    auto sweep = std::make_shared<NewSweep>(ToNewSweep(*spec, *std::move(expansion)));
    sweep->request_id = request_id;
    OnStrandFor<CreateAnswer>(
        caller, reply,
        [this, sweep, info = InfoOf(*spec), validate_only] {
          return ApplyCreate(sweep.get(), info, validate_only);
        },
        Strand::Lane::kPatient);
  };
  // A large spec takes a while: not on the strand, and not on a thread of gRPC. A small one is
  // done sooner than another thread wakes up.
  constexpr size_t kSmallBytes = 4 << 10;
  constexpr int64_t kFewTrials = 16;
  if (spec_json.size() <= kSmallBytes) {
    // The strand and the disk wake up while the spec is read. Where the strand stops, so does
    // what follows.
    (void)strand_->Post([] { return Strand::After(); });
    if (disk_wake_.Due(clock_->monotonic_ms())) {
      readers_->Post([this](const ReadStore&) { disk_wake_.Wake(); }, [](const absl::Status&) {});
    }
    const absl::StatusOr<SweepSpec> spec = ParseSpec(spec_json, "spec_json");
    if (!spec.ok() || Grid(*spec).full_trials() <= kFewTrials) return expand(spec);
  }
  readers_->Post([=](const ReadStore&) { expand(ParseSpec(spec_json, "spec_json")); }, reply);
}

// The answer whose request comes again: "<name> <created> <new> <reused>", or a name alone as
// stores of older coordinators have it.
absl::StatusOr<CreateAnswer> Engine::CreatedBefore(absl::string_view served) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(served, ' ');
  CreateAnswer answer;
  LOGLOG_ASSIGN_OR_RETURN(answer.sweep.row, store_->read().GetSweep(std::string(parts[0])));
  if (parts.size() == 4) {
    answer.created = parts[1] == "1";
    if (!absl::SimpleAtoi(parts[2], &answer.trials_new) ||
        !absl::SimpleAtoi(parts[3], &answer.trials_reused)) {
      return absl::DataLossError(
          absl::StrCat("the answer stored for a request, `", served, "`, cannot be read"));
    }
  }
  FillSweep(&answer.sweep);
  return answer;
}

absl::StatusOr<CreateAnswer> Engine::ApplyCreate(NewSweep* sweep, const SpecInfo& info,
                                                 bool validate_only) {
  CreateAnswer answer;
  CreatedSweep created;
  if (validate_only) {
    LOGLOG_ASSIGN_OR_RETURN(created, store_->PreviewSweep(*sweep));
  } else {
    LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
    const std::string request_id = std::exchange(sweep->request_id, "");
    const std::string what = absl::StrCat("create ", sweep->spec_sha256);
    LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> served,
                            ServedBefore(request_id, what));
    if (served.has_value()) {
      return CreatedBefore(*served);
    }
    sweep->create_ms = wall_ms_;
    LOGLOG_RETURN_IF_ERROR(store_->Atomically([&]() -> absl::Status {
      LOGLOG_ASSIGN_OR_RETURN(created, store_->CreateSweep(*sweep));
      if (!created.created) return absl::OkStatus();
      if (created.sweep.sweep_id > options_.capacity.sweeps_max) {
        return NoRoom(absl::StrCat(
            "the store has ", options_.capacity.sweeps_max,
            " sweeps, the most it may have; start a coordinator on a new store (--store)"));
      }
      return CheckRoomForTrials(created.trials_new);
    }));
    RememberServed(request_id, what,
                   absl::StrCat(created.sweep.name, " ", created.created ? 1 : 0, " ",
                                created.trials_new, " ", created.trials_reused));
  }
  answer.sweep.row = created.sweep;
  answer.created = created.created;
  answer.trials_new = created.trials_new;
  answer.trials_reused = created.trials_reused;
  if (validate_only) {
    // What is not there yet has counts all the same.
    if (created.created) {
      answer.sweep.row.counts.total = created.trials_new + created.trials_reused;
      answer.sweep.row.counts.reused = created.trials_reused;
    }
    return answer;
  }
  // What is stored is read back one by one; of a large sweep both at once would be twice the room.
  constexpr int64_t kManyTrials = 10'000;
  const bool is_large = created.trials_new > kManyTrials;
  if (is_large) *sweep = NewSweep();
  const int64_t sweep_id = created.sweep.sweep_id;
  if (created.created) {
    SweepEvent("sweep.created", sweep_id,
               json({{"trials_new", created.trials_new}, {"trials_reused", created.trials_reused}})
                   .dump());
    scheduler_->AddSweep(sweep_id, created.sweep.name, /*paused=*/false, info.schedule);
    specs_[sweep_id] = info;
    Must(AddOpen(sweep_id, scheduler_.get()));
    if (created.trials_reused > 0) MarkForRefit(sweep_id, "");
    Actions actions;
    scheduler_->EndIfEmpty(sweep_id, &actions);
    Apply(actions);
    Log(spdlog::level::info,
        absl::StrCat("sweeps/", created.sweep.name, " was submitted: ", created.trials_new,
                     " new trials, ", created.trials_reused, " that exist"));
    LOGLOG_ASSIGN_OR_RETURN(answer.sweep.row, store_->read().GetSweep(sweep_id));
  }
  if (is_large) malloc_trim(0);
  FillSweep(&answer.sweep);
  return answer;
}

absl::Status Engine::CheckRoomForTrials(int64_t trials) const {
  const int64_t open = scheduler_->TrialsOpen();
  if (open + trials <= options_.capacity.open_trials_max) return absl::OkStatus();
  return NoRoom(absl::StrCat(trials, " more trials and the ", open, " that are open would be over ",
                             options_.capacity.open_trials_max,
                             " open trials; wait until some have ended, or cancel a sweep"));
}

absl::Status Engine::AddOpen(int64_t sweep_id, Scheduler* scheduler) {
  LOGLOG_RETURN_IF_ERROR(store_->read().EachOpenTrial(sweep_id, [&](const OpenTrial& trial) {
    scheduler->AddTrial(trial);
    return absl::OkStatus();
  }));
  return store_->read().EachOpenTask(sweep_id, [&](const TaskRow& task) -> absl::Status {
    LOGLOG_ASSIGN_OR_RETURN(const TaskContext context, ContextOf(task));
    scheduler->AddTask(task, context, now_ms_);
    return absl::OkStatus();
  });
}

// ---- steering

void Engine::ChangeSweep(SweepVerb verb, const std::string& name, int64_t revision,
                         const std::string& reason, const std::string& request_id,
                         Reply<SweepView> reply, const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<SweepView>(
      caller, std::move(reply),
      [=, this] { return ApplyVerb(verb, name, revision, reason, request_id); },
      Strand::Lane::kPatient);
}

absl::StatusOr<SweepView> Engine::ApplyVerb(SweepVerb verb, const std::string& name,
                                            int64_t revision, const std::string& reason,
                                            const std::string& request_id) {
  static constexpr const char* kVerbs[] = {"paused", "resumed", "cancelled"};
  const char* const word = kVerbs[static_cast<int>(verb)];
  const std::string what = absl::StrCat(word, " ", name);
  SweepView view;
  LOGLOG_ASSIGN_OR_RETURN(view.row, store_->read().GetSweep(name));
  LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> before, ServedBefore(request_id, what));
  if (before.has_value()) {
    FillSweep(&view);
    return view;
  }
  const SweepState state = view.row.state;
  if (state == SweepState::kDone || state == SweepState::kCancelled) {
    return HasEnded(view.row, word);
  }
  if (verb == SweepVerb::kResume && state != SweepState::kPaused) {
    return absl::FailedPreconditionError(
        absl::StrCat("sweeps/", name, " is ", StateName(state), ", not PAUSED; nothing to resume"));
  }
  const int64_t sweep_id = view.row.sweep_id;
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  const SweepState next = verb == SweepVerb::kPause    ? SweepState::kPaused
                          : verb == SweepVerb::kResume ? SweepState::kActive
                                                       : SweepState::kCancelled;
  const int64_t end_ms = next == SweepState::kCancelled ? wall_ms_ : 0;
  LOGLOG_RETURN_IF_ERROR(store_->SetSweepState(sweep_id, next, end_ms, revision).status());
  int64_t cancelled_trials = 0;
  if (verb == SweepVerb::kCancel) {
    const absl::StatusOr<CancelResult> cancelled = store_->CancelSweepTrials(sweep_id, wall_ms_);
    Must(cancelled.status());
    if (!cancelled.ok()) return cancelled.status();
    cancelled_trials = static_cast<int64_t>(cancelled->trials.size());
    Actions actions;
    scheduler_->RemoveSweep(sweep_id);
    scheduler_->Cancel(*cancelled, WithReason("cancelled", reason), &actions);
    Apply(actions);
  } else {
    scheduler_->SetSweepPaused(sweep_id, verb == SweepVerb::kPause);
  }
  json detail = json::object();
  if (verb == SweepVerb::kCancel) detail["trials"] = cancelled_trials;
  AddReason(reason, &detail);
  SweepEvent(absl::StrCat("sweep.", word), sweep_id, Dump(detail));
  RememberServed(request_id, what, "");
  Log(spdlog::level::info, absl::StrCat("sweeps/", name, " was ", word));
  LOGLOG_ASSIGN_OR_RETURN(view.row, store_->read().GetSweep(sweep_id));
  FillSweep(&view);
  return view;
}

void Engine::RetryTrials(const std::string& sweep, const std::vector<int64_t>& numbers,
                         const RetryKinds& kinds, const std::string& reason,
                         const std::string& request_id, Reply<int64_t> reply,
                         const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<int64_t>(
      caller, std::move(reply),
      [=, this] { return ApplyRetry(sweep, numbers, kinds, reason, request_id); },
      Strand::Lane::kPatient);
}

absl::StatusOr<int64_t> Engine::ApplyRetry(const std::string& name,
                                           const std::vector<int64_t>& numbers,
                                           const RetryKinds& kinds, const std::string& reason,
                                           const std::string& request_id) {
  const std::string what = absl::StrCat("retry ", name);
  LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, store_->read().GetSweep(name));
  LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> before, ServedBefore(request_id, what));
  int64_t retried = 0;
  if (before.has_value()) return absl::SimpleAtoi(*before, &retried) ? retried : 0;

  std::vector<int64_t> trial_ids;
  for (const int64_t number : numbers) {
    LOGLOG_ASSIGN_OR_RETURN(const TrialRow trial, store_->read().GetTrial(sweep.sweep_id, number));
    const bool cancelled = trial.state == TrialState::kCancelled;
    const bool stopped = trial.state == TrialState::kStopped;
    const bool allowed = trial.state == TrialState::kFailed || (kinds.cancelled && cancelled) ||
                         (kinds.stopped && stopped);
    if (!allowed) {
      return absl::FailedPreconditionError(
          absl::StrCat(TrialName(name, number), " is ", StateName(trial.state),
                       "; only FAILED trials", kinds.cancelled ? " and CANCELLED ones" : "",
                       kinds.stopped ? " and STOPPED ones" : "", " can be retried",
                       cancelled ? " (ask for cancelled ones, too)"
                       : stopped ? " (ask for stopped ones, too)"
                                 : ""));
    }
    trial_ids.push_back(trial.trial_id);
  }
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  RetryResult result;
  LOGLOG_RETURN_IF_ERROR(store_->Atomically([&]() -> absl::Status {
    LOGLOG_ASSIGN_OR_RETURN(result, store_->RetryTrials(sweep.sweep_id, trial_ids, kinds));
    return CheckRoomForTrials(static_cast<int64_t>(result.trials.size()));
  }));
  retried = static_cast<int64_t>(result.trials.size());
  if (retried > 0) {
    json detail = json::object();
    AddReason(reason, &detail);
    const bool reopen = sweep.state == SweepState::kDone || sweep.state == SweepState::kCancelled;
    if (reopen) Must(store_->SetSweepState(sweep.sweep_id, SweepState::kActive, 0).status());
    LOGLOG_ASSIGN_OR_RETURN(const SpecInfo* spec, SpecOf(sweep.sweep_id));
    scheduler_->AddSweep(sweep.sweep_id, name, sweep.state == SweepState::kPaused, spec->schedule);
    Must(AddOpen(sweep.sweep_id, scheduler_.get()));
    for (const int64_t trial_id : result.trials) {
      scheduler_->ClearFailures(trial_id);
      MarkTrialForRefit(trial_id);  // which a stopped one was part of
      TrialEvent("trial.retried", trial_id, 0, "", Dump(detail));
    }
    detail["trials"] = retried;
    if (reopen) SweepEvent("sweep.reopened", sweep.sweep_id, Dump(detail));
    Log(spdlog::level::info, absl::StrCat("sweeps/", name, ": ", retried, " trials are retried",
                                          reason.empty() ? "" : ": ", reason));
  }
  RememberServed(request_id, what, absl::StrCat(retried));
  return retried;
}

void Engine::EndTrial(TrialVerb verb, const std::string& sweep, int64_t number,
                      const std::string& reason, const std::string& request_id,
                      Reply<TrialView> reply, const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<TrialView>(
      caller, std::move(reply),
      [=, this] { return ApplyEndTrial(verb, sweep, number, reason, request_id); },
      Strand::Lane::kPatient);
}

absl::StatusOr<TrialView> Engine::ApplyEndTrial(TrialVerb verb, const std::string& name,
                                                int64_t number, const std::string& reason,
                                                const std::string& request_id) {
  const bool stop = verb == TrialVerb::kStop;
  const char* const word = stop ? "stopped" : "cancelled";
  const std::string what = absl::StrCat(stop ? "stop " : "cancel ", TrialName(name, number));
  LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, store_->read().GetSweep(name));
  TrialView view;
  LOGLOG_ASSIGN_OR_RETURN(view.row, store_->read().GetTrial(sweep.sweep_id, number));
  LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> before, ServedBefore(request_id, what));
  if (before.has_value()) return view;
  if (IsEnded(view.row.state)) {
    return absl::FailedPreconditionError(absl::StrCat(
        TrialName(name, number), " is ", StateName(view.row.state), "; it cannot be ", word));
  }
  const int64_t trial_id = view.row.trial_id;
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  LOGLOG_ASSIGN_OR_RETURN(const CancelResult ended,
                          stop ? store_->StopTrials({trial_id}, reason, wall_ms_)
                               : store_->CancelTrials({trial_id}, wall_ms_));
  json detail = json::object();
  AddReason(reason, &detail);
  if (stop) detail["step"] = view.row.step;
  TrialEvent(absl::StrCat("trial.", word), trial_id, 0, "", Dump(detail));
  Actions actions;
  scheduler_->Cancel(ended, WithReason(word, reason), &actions);
  Apply(actions);
  // Fits say how many were left out, and why.
  if (stop) MarkTrialForRefit(trial_id);
  RememberServed(request_id, what, "");
  LOGLOG_ASSIGN_OR_RETURN(view.row, store_->read().GetTrial(sweep.sweep_id, number));
  return view;
}

}  // namespace loglog
