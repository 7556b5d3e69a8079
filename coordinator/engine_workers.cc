// Workers: sessions, syncs, dispatch and metric batches.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/refusal.h"
#include "base/status.h"
#include "coordinator/engine.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

// How old the stored time of a worker's last sync may grow.
constexpr int64_t kSyncTimeStoredEveryMs = 15'000;

absl::Status StaleSession(absl::string_view worker_id, int64_t session_epoch) {
  return absl::FailedPreconditionError(absl::StrCat("STALE_SESSION: session ", session_epoch,
                                                    " of workers/", worker_id,
                                                    " is over; register again"));
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

// ---- sessions

void Engine::RegisterWorker(const RegisterRequest& request, Reply<RegisterAnswer> reply,
                            const std::string& caller) {
  OnStrandFor<RegisterAnswer>(caller, std::move(reply),
                              [this, request] { return ApplyRegister(request); });
}

// Two hosts under one name would take each other's leases for ever.
absl::Status Engine::CheckNameIsFree(const RegisterRequest& request) const {
  const absl::StatusOr<WorkerRow> known = store_->read().GetWorker(request.worker_id);
  const auto synced = synced_wall_ms_.find(request.worker_id);
  if (!known.ok() || known->host == request.host || synced == synced_wall_ms_.end() ||
      known->state == WorkerState::kGone || wall_ms_ - synced->second >= scheduler_->LeaseMs()) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(absl::StrCat(
      "workers/", request.worker_id, " is running on host ", known->host, ", heard of ",
      (wall_ms_ - synced->second) / 1000, " s ago; give the worker on ", request.host,
      " another --name and --run-dir, or wait for the other's lease to end"));
}

absl::Status Engine::CheckRoomForWorker(const std::string& worker_id) const {
  const int workers_max = options_.capacity.workers_max;
  if (scheduler_->IsConnected(worker_id) || scheduler_->WorkersConnected() < workers_max) {
    return absl::OkStatus();
  }
  return Overloaded(absl::StrCat("workers/", worker_id, " would be one more than the ", workers_max,
                                 " workers that may be connected at one time; start fewer workers "
                                 "with more --slots, or drain others"),
                    scheduler_->LeaseMs());
}

absl::StatusOr<RegisterAnswer> Engine::ApplyRegister(const RegisterRequest& request) {
  if (stopping_) return Stopping();
  LOGLOG_RETURN_IF_ERROR(CheckNameIsFree(request));
  LOGLOG_RETURN_IF_ERROR(CheckRoomForWorker(request.worker_id));
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  WorkerRow row;
  row.worker_id = request.worker_id;
  row.boot_id = request.boot_id;
  row.state = scheduler_->StateWhenRegistered(request.worker_id);
  row.reason = row.state == WorkerState::kLive ? "" : scheduler_->WorkerNote(request.worker_id);
  row.host = request.host;
  row.version = request.version;
  row.slots = request.slots;
  row.slots_json = request.slots_json;
  row.labels_json = request.labels_json;
  row.device = request.device;
  row.checkpoint_scope = request.checkpoint_scope;
  row.register_ms = wall_ms_;
  row.last_sync_ms = wall_ms_;
  LOGLOG_ASSIGN_OR_RETURN(row.session_epoch, store_->UpsertWorker(row));
  synced_wall_ms_[row.worker_id] = synced_stored_ms_[row.worker_id] = wall_ms_;

  Actions actions;
  scheduler_->Register(row, request.held, now_ms_, &actions);
  Apply(actions);
  EventRow event;
  event.kind = "worker.registered";
  event.worker_id = row.worker_id;
  const json labels = json::parse(row.labels_json, nullptr, /*allow_exceptions=*/false);
  event.detail_json = Dump({{"host", row.host},
                            {"slots", row.slots},
                            {"labels", labels.is_object() ? labels : json::object()},
                            {"version", row.version},
                            {"session_epoch", row.session_epoch}});
  AppendEvent(std::move(event));
  Log(spdlog::level::info,
      absl::StrCat("workers/", row.worker_id, " registered from ", row.host, " with ", row.slots,
                   " slot(s), session ", row.session_epoch));
  return RegisterAnswer{row.session_epoch, scheduler_->LeaseMs(),
                        options_.scheduler.lease_margin_ms, scheduler_->SyncIntervalMs(),
                        store_->store_id()};
}

void Engine::DrainWorker(const std::string& worker_id, const std::string& reason,
                         Reply<WorkerView> reply, const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<WorkerView>(
      caller, std::move(reply),
      [=, this]() -> absl::StatusOr<WorkerView> {
        LOGLOG_ASSIGN_OR_RETURN(const WorkerRow row, store_->read().GetWorker(worker_id));
        if (row.state == WorkerState::kGone) {
          return absl::FailedPreconditionError(absl::StrCat(
              "workers/", worker_id, " is GONE and takes nothing; there is nothing to drain"));
        }
        Actions actions;
        scheduler_->DrainWorker(worker_id, reason, &actions);
        Apply(actions);
        return ViewOfWorker(worker_id);
      },
      Strand::Lane::kPatient);
}

void Engine::ResumeWorker(const std::string& worker_id, Reply<WorkerView> reply,
                          const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<WorkerView>(
      caller, std::move(reply),
      [=, this]() -> absl::StatusOr<WorkerView> {
        LOGLOG_ASSIGN_OR_RETURN(const WorkerRow row, store_->read().GetWorker(worker_id));
        if (row.state == WorkerState::kLive) {
          return absl::FailedPreconditionError(
              absl::StrCat("workers/", worker_id, " is live already; there is nothing to resume"));
        }
        if (row.state == WorkerState::kLost || row.state == WorkerState::kGone) {
          return absl::FailedPreconditionError(
              absl::StrCat("workers/", worker_id, " is ", StateName(row.state),
                           "; start loglog-worker on its host again instead"));
        }
        Actions actions;
        scheduler_->ResumeWorker(worker_id, now_ms_, &actions);
        Apply(actions);
        return ViewOfWorker(worker_id);
      },
      Strand::Lane::kPatient);
}

absl::StatusOr<WorkerView> Engine::ViewOfWorker(const std::string& worker_id) const {
  WorkerView view;
  LOGLOG_ASSIGN_OR_RETURN(view.row, store_->read().GetWorker(worker_id));
  FillWorker(&view);
  return view;
}

// ---- syncs

absl::Status Engine::CheckSync(const SyncRequest& request) const {
  const std::string& worker_id = request.report.worker_id;
  if (!scheduler_->IsSession(worker_id, request.session_epoch)) {
    LOGLOG_FAILPOINT("lease.stale_session");
    return StaleSession(worker_id, request.session_epoch);
  }
  const int count = scheduler_->SlotCount(worker_id);
  std::vector<bool> seen(count, false);
  for (const SlotReport& slot : request.report.slots) {
    if (slot.slot < 0 || slot.slot >= count) {
      return absl::InvalidArgumentError(absl::StrCat("slots: workers/", worker_id,
                                                     " has slots 0 to ", count - 1,
                                                     " registered, not ", slot.slot));
    }
    if (seen[slot.slot]) {
      return absl::InvalidArgumentError(absl::StrCat("slots: slot ", slot.slot, " is there twice"));
    }
    seen[slot.slot] = true;
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end()) {
    return absl::InvalidArgumentError(absl::StrCat("slots: slot ", missing - seen.begin(),
                                                   " is missing; every slot is reported"));
  }
  return absl::OkStatus();
}

int64_t Engine::SyncWorker(const SyncRequest& request, Reply<SyncAnswer> reply) {
  const int64_t ticket = ++last_ticket_;
  const bool posted = strand_->Post([this, ticket, request, reply]() -> Strand::After {
    const auto refuse = [reply](const absl::Status& why) -> Strand::After {
      return
          [reply, why](const absl::Status& committed) { reply(committed.ok() ? why : committed); };
    };
    if (!group_error_.ok()) return refuse(group_error_);
    if (stopping_) return refuse(Stopping());
    if (const absl::Status status = CheckSync(request); !status.ok()) return refuse(status);

    const std::string& worker_id = request.report.worker_id;
    Actions actions;
    scheduler_->Sync(
        request.report,
        [this, &worker_id](int64_t attempt_id) { return FindEnded(worker_id, attempt_id); },
        now_ms_, &actions);
    Apply(actions);
    synced_wall_ms_[worker_id] = wall_ms_;
    if (wall_ms_ - synced_stored_ms_[worker_id] >= kSyncTimeStoredEveryMs &&
        EnsureTransaction().ok()) {
      synced_stored_ms_[worker_id] = wall_ms_;
      Must(store_->SetWorkerSyncTime(worker_id, wall_ms_));
    }
    // A worker calls again when it has given the call before up.
    const auto before = parked_.find(worker_id);
    if (before != parked_.end()) sync_answers_.emplace_back(before->second.reply, SyncAnswer());
    const int64_t wait_ms = std::clamp<int64_t>(request.wait_ms, 0, scheduler_->LeaseMs() / 2);
    parked_[worker_id] = {ticket, now_ms_ + wait_ms, scheduler_->LeaseMs(), reply};
    scheduler_->SetOffering(worker_id, true);
    recheck_.insert(worker_id);
    return nullptr;
  });
  if (!posted) reply(Stopping());
  return ticket;
}

std::optional<EndedAttempt> Engine::FindEnded(const std::string& worker_id, int64_t attempt_id) {
  const absl::StatusOr<AttemptRow> attempt = store_->read().GetAttempt(attempt_id);
  if (!attempt.ok()) {
    if (!absl::IsNotFound(attempt.status())) Must(attempt.status());
    return std::nullopt;
  }
  // Nobody's report counts for what another worker did.
  if (attempt->worker_id != worker_id) return std::nullopt;
  const absl::StatusOr<TaskRow> task = store_->read().GetTask(attempt->task_id);
  Must(task.status());
  if (!task.ok()) return std::nullopt;
  return EndedAttempt{attempt->task_id,
                      attempt->slot,
                      attempt->slot_count,
                      attempt->state,
                      task->last_attempt_id == attempt_id,
                      task->state == TaskState::kCancelled};
}

void Engine::CancelSync(const std::string& worker_id, int64_t ticket) {
  const bool posted = strand_->Post([this, worker_id, ticket]() -> Strand::After {
    const auto parked = parked_.find(worker_id);
    if (parked == parked_.end() || parked->second.ticket != ticket) return nullptr;
    Reply<SyncAnswer> reply = std::move(parked->second.reply);
    parked_.erase(parked);
    if (loaded_) scheduler_->SetOffering(worker_id, false);
    return [reply](const absl::Status&) { reply(absl::CancelledError("the caller has gone")); };
  });
  (void)posted;  // then the call has been answered
}

void Engine::CollectSyncAnswers() {
  for (std::string& worker_id : scheduler_->TakeWoken()) recheck_.insert(std::move(worker_id));
  for (const auto& [worker_id, call] : parked_) {
    if (call.until_ms <= now_ms_) recheck_.insert(worker_id);
  }
  std::set<std::string> recheck;
  recheck.swap(recheck_);
  for (const std::string& worker_id : recheck) {
    const auto it = parked_.find(worker_id);
    if (it == parked_.end()) continue;
    ParkedSync& call = it->second;
    SyncAnswer answer;
    answer.desire = scheduler_->Desire(worker_id);
    if (!answer.desire.Anything() && call.until_ms > now_ms_) continue;
    // What its attempts were renewed with: it may not count on more.
    answer.lease_ms = call.lease_ms;
    answer.sync_interval_ms = scheduler_->SyncIntervalMs();
    for (const SlotDesire& slot : answer.desire.slots) {
      if (slot.action != DesiredAction::kRun) continue;
      absl::StatusOr<TaskOrder> order = OrderOf(slot.attempt_id);
      Must(order.status());
      if (!order.ok()) return;
      answer.orders[slot.slot] = *std::move(order);
    }
    sync_answers_.emplace_back(std::move(call.reply), std::move(answer));
    parked_.erase(it);
    scheduler_->SetOffering(worker_id, false);
  }
}

// ---- dispatch

void Engine::Dispatch() {
  while (const std::optional<Grant> grant = scheduler_->NextGrant(now_ms_)) {
    const absl::Status status = Execute(*grant);
    Must(status);
    if (!status.ok()) return;
  }
  Actions actions;
  scheduler_->MakeRoom(now_ms_, &actions);
  Apply(actions);
}

absl::Status Engine::Execute(const Grant& grant) {
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  LOGLOG_ASSIGN_OR_RETURN(const WorkerRow worker, store_->read().GetWorker(grant.worker_id));
  LOGLOG_ASSIGN_OR_RETURN(const StartPoint start, StartPointOn(worker, grant.task_id));
  NewAttempt attempt;
  attempt.task_id = grant.task_id;
  attempt.worker_id = grant.worker_id;
  attempt.slot = grant.slots.front();
  attempt.followers.assign(grant.slots.begin() + 1, grant.slots.end());
  attempt.session_epoch = worker.session_epoch;
  attempt.lease_ms = scheduler_->LeaseMs();
  attempt.resume_step = start.step();
  attempt.create_ms = wall_ms_;
  LOGLOG_ASSIGN_OR_RETURN(const LeasedAttempt leased, store_->InsertAttempt(attempt));
  LOGLOG_FAILPOINT("engine.grant.stored");
  scheduler_->Granted(grant, leased.attempt_id, attempt.resume_step, now_ms_);

  AttemptRow row;
  row.attempt_id = leased.attempt_id;
  row.task_id = grant.task_id;
  row.slot = attempt.slot;
  row.followers = attempt.followers;
  LOGLOG_ASSIGN_OR_RETURN(orders_[leased.attempt_id], MakeOrder(row, start));
  json detail = {{"task_id", grant.task_id},
                 {"slot", attempt.slot},
                 {"resume_step", attempt.resume_step},
                 {"superseded_points", leased.superseded.points}};
  if (grant.slots.size() > 1) detail["slots"] = grant.slots;
  for (const int64_t trial_id : scheduler_->OpenTrialsOf(grant.task_id)) {
    TrialEvent("attempt.leased", trial_id, leased.attempt_id, grant.worker_id, Dump(detail));
  }
  if (const std::optional<Work> work = scheduler_->WorkOf(grant.task_id)) {
    progress_->AttemptStarted(leased.attempt_id, *work, now_ms_);
  }
  return absl::OkStatus();
}

// ---- metric batches

void Engine::StoreBatch(BatchRequest request, Reply<BatchAnswer> reply) {
  OnStrand<BatchAnswer>(std::move(reply),
                        [this, request = std::make_shared<BatchRequest>(std::move(request))] {
                          return ApplyBatch(request.get());
                        });
}

// Live ones are known by heart; of an ended one the store tells whose it was. One that is
// not there is nobody's, and what is sent for it is forgotten.
absl::Status Engine::CheckAttemptIsOf(const std::string& worker_id, int64_t attempt_id) const {
  std::string owner;
  if (const std::optional<Scheduler::LiveAttempt> live = scheduler_->FindLive(attempt_id)) {
    owner = live->worker_id;
  } else {
    const absl::StatusOr<AttemptRow> ended = store_->read().GetAttempt(attempt_id);
    if (absl::IsNotFound(ended.status())) return absl::OkStatus();
    if (!ended.ok()) return ended.status();
    owner = ended->worker_id;
  }
  if (owner == worker_id) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("attempt_id: attempt ", attempt_id,
                                                 " was leased to workers/", owner,
                                                 ", not to workers/", worker_id));
}

absl::StatusOr<BatchAnswer> Engine::ApplyBatch(BatchRequest* request) {
  if (stopping_) return Stopping();
  Batch& batch = request->batch;
  if (!scheduler_->IsSession(request->worker_id, request->session_epoch)) {
    LOGLOG_FAILPOINT("lease.stale_stream");
    return StaleSession(request->worker_id, request->session_epoch);
  }
  LOGLOG_RETURN_IF_ERROR(CheckAttemptIsOf(request->worker_id, batch.attempt_id));
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  batch.time_ms = wall_ms_;
  int64_t tokens = 0;
  for (const TrainerEvent& event : batch.events) {
    if (const MetricRow* row = std::get_if<MetricRow>(&event))
      tokens = std::max(tokens, row->tokens);
  }
  if (tokens > 0) {
    batch.tokens_per_second = progress_->TokensArrived(batch.attempt_id, tokens, now_ms_);
    scheduler_->NoteSpeed(batch.attempt_id, batch.tokens_per_second);
  }
  const absl::StatusOr<BatchResult> result = store_->ApplyBatch(batch);
  LOGLOG_FAILPOINT("engine.batch.applied");
  if (absl::IsNotFound(result.status())) return BatchAnswer{-1, /*forget=*/true};
  if (absl::IsOutOfRange(result.status())) {
    return absl::InvalidArgumentError(absl::StrCat("first_seq: ", result.status().message()));
  }
  // A constraint of the store: it would refuse this batch for ever.
  if (absl::IsFailedPrecondition(result.status())) {
    return absl::InvalidArgumentError(result.status().message());
  }
  if (!result.ok()) return result.status();
  if (result->stale) return BatchAnswer{result->last_seq, /*forget=*/true};
  AfterBatch(*request, *result);
  return BatchAnswer{result->last_seq, /*forget=*/false};
}

void Engine::AfterBatch(const BatchRequest& request, const BatchResult& result) {
  const Batch& batch = request.batch;
  const int64_t size = static_cast<int64_t>(batch.events.size());
  bool noteworthy = !request.notices.empty();
  for (int64_t i = result.skipped; i < size && !noteworthy; ++i) {
    noteworthy = !std::holds_alternative<MetricRow>(batch.events[i]) &&
                 !std::holds_alternative<CountedOnly>(batch.events[i]);
  }
  if (!noteworthy) return;
  const absl::StatusOr<AttemptRow> attempt = store_->read().GetAttempt(batch.attempt_id);
  Must(attempt.status());
  if (!attempt.ok()) return;
  const absl::StatusOr<TaskRow> task = store_->read().GetTask(attempt->task_id);
  Must(task.status());
  if (!task.ok()) return;
  const auto to_all_trials = [&](absl::string_view kind, const std::string& detail) {
    for (const TaskMember& member : task->members) {
      TrialEvent(kind, member.trial_id, batch.attempt_id, request.worker_id, detail);
    }
  };
  for (int64_t i = result.skipped; i < size; ++i) {
    if (const auto* start = std::get_if<AttemptStart>(&batch.events[i])) {
      to_all_trials("attempt.started", Dump({{"resume_step", start->resume_step},
                                             {"trainer_version", start->trainer_version},
                                             {"data_sha256", start->data_sha256}}));
    } else if (const auto* checkpoint = std::get_if<CheckpointCommit>(&batch.events[i])) {
      scheduler_->NoteCheckpoint(attempt->task_id, request.worker_id);
      Must(ReleaseBranches(attempt->task_id, checkpoint->step, request.worker_id));
      to_all_trials("checkpoint.committed", Dump({{"step", checkpoint->step},
                                                  {"path", checkpoint->path},
                                                  {"bytes", checkpoint->bytes}}));
    }
  }
  for (const BatchNotice& notice : request.notices) {
    if (notice.index < result.skipped) continue;
    json detail = json::parse(notice.detail_json, nullptr, /*allow_exceptions=*/false);
    if (detail.is_discarded()) detail = notice.detail_json;
    to_all_trials(
        "trial.notice",
        Dump({{"kind", notice.kind}, {"step", notice.step}, {"detail", std::move(detail)}}));
  }
  Actions actions;
  for (const EndedTrial& ended : result.ended) {
    const bool diverged = ended.state == TrialState::kDiverged;
    TrialEvent(diverged ? "trial.diverged" : "trial.done", ended.trial_id, batch.attempt_id,
               request.worker_id,
               diverged ? std::string("{}") : Dump({{"final_loss", ended.final_loss}}));
    MarkTrialForRefit(ended.trial_id);
    scheduler_->TrialEnded(ended.trial_id, &actions);
  }
  Apply(actions);
}

}  // namespace loglog
