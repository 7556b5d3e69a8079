// Groups of changes: how they begin, commit, fail, and what is loaded from the store.
#include "coordinator/engine.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/refusal.h"
#include "base/status.h"
#include "coordinator/names.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

// Trainers' last words may hold anything; events are JSON.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

SweepSchedule ScheduleOf(const SweepSpec& spec) {
  const ScheduleSpec& wanted = spec.schedule;
  SweepSchedule schedule;
  schedule.priority = static_cast<int>(wanted.priority);
  schedule.max_concurrent = wanted.max_concurrent.value_or(0);
  schedule.selector = wanted.selector;
  schedule.slots = static_cast<int>(wanted.slots);
  schedule.share = wanted.share;
  // An order of the user's own is kept to.
  const bool by_default = spec.order.size() == 2 && spec.order[0].key == "seed" &&
                          spec.order[1].key == "cost" && !spec.order[0].reversed &&
                          !spec.order[1].reversed;
  if (!by_default) return schedule;
  const AxisSpec* const seeds = spec.FindAxis("seed");
  if (seeds == nullptr) schedule.longest_first_seeds = {0};
  for (size_t i = 0; seeds != nullptr && i < seeds->values.size(); ++i) {
    schedule.longest_first_seeds.push_back(std::get<int64_t>(seeds->values[i]));
  }
  return schedule;
}

absl::Status CommitError(const absl::Status& status) {
  const std::string message =
      absl::StrCat("the store could not keep this (", status.message(), ")");
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(message, "; free some space on the store's disk, then call again"));
  }
  return absl::UnavailableError(absl::StrCat(message, "; nothing was changed, call again"));
}

}  // namespace

bool IsStoreFailure(const absl::Status& status) {
  if (IsOwnLimit(status)) return false;
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnavailable:
      return false;
    default:
      return true;
  }
}

absl::Status TooManyCalls(int64_t calls_max) {
  constexpr int64_t kRetryMs = 1'000;
  return Overloaded(absl::StrCat(calls_max, " such calls are under way, the most there may be"),
                    kRetryMs);
}

absl::Status Stopping() {
  return absl::UnavailableError("the coordinator is stopping; call again when it is back");
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(const std::string& store_path,
                                                     const EngineOptions& options) {
  LOGLOG_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(store_path));
  std::unique_ptr<Engine> engine(new Engine(std::move(store), options));
  const bool own = options.own_threads;
  LOGLOG_ASSIGN_OR_RETURN(engine->readers_,
                          ReaderPool::Open(store_path, own ? options.reader_threads : 0));
  LOGLOG_ASSIGN_OR_RETURN(engine->compute_,
                          ReaderPool::Open(store_path, own ? options.compute_threads : 0));
  LOGLOG_RETURN_IF_ERROR(engine->LoadTokens());
  LOGLOG_RETURN_IF_ERROR(engine->Reload());
  Engine* const self = engine.get();
  constexpr int kGroupMax = 512;
  engine->strand_ = std::make_unique<Strand>(
      Strand::Hooks{.begin = [self] { self->BeginGroup(); },
                    .commit = [self] { return self->CommitGroup(); },
                    .idle_ms = [self] { return self->IdleMs(); },
                    .now_ms = [self] { return self->clock_->monotonic_ms(); }},
      kGroupMax, own ? Strand::Thread::kOwn : Strand::Thread::kCaller);
  // Fits that it starts at once come back through engine->strand_.
  engine->strand_->Start();
  return engine;
}

Engine::Engine(std::unique_ptr<Store> store, const EngineOptions& options)
    : options_(options),
      clock_(options.clock),
      start_wall_ms_(options.clock->wall_ms()),
      owned_store_(std::move(store)),
      user_calls_(options.capacity.user_calls_max),
      submits_(options.capacity.submits_max),
      disk_wake_(owned_store_->path() + ".lock"),
      watch_hub_(options.capacity.watchers_max),
      stream_hub_(options.capacity.metric_streams_max),
      store_(owned_store_.get()),
      now_ms_(options.clock->monotonic_ms()),
      wall_ms_(options.clock->wall_ms()) {}

Engine::~Engine() { Stop(); }

void Engine::BeginStop() {
  stop_asked_ = true;
  watch_hub_.Close();
  stream_hub_.Close();
  readers_->DropQueued();
  compute_->DropQueued();
  const bool posted = strand_->Post([this]() -> Strand::After {
    stopping_ = true;
    return [this](const absl::Status&) {
      std::map<std::string, ParkedSync> parked;
      parked.swap(parked_);
      for (auto& [worker_id, call] : parked) {
        if (loaded_) scheduler_->SetOffering(worker_id, false);
        call.reply(Stopping());
      }
    };
  });
  (void)posted;  // stopped already
}

void Engine::Stop() {
  if (stopped_) return;
  stopped_ = true;
  if (strand_ != nullptr) BeginStop();
  // What they finish with, the strand still stores.
  if (compute_ != nullptr) compute_->Stop();
  if (readers_ != nullptr) readers_->Stop();
  if (strand_ != nullptr) strand_->Stop();
}

int64_t Engine::Run() {
  bool more = true;
  while (more) {
    more = strand_->RunGroup();
    more = readers_->RunQueued() || more;
    more = compute_->RunQueued() || more;
  }
  return IdleMs();
}

size_t Engine::Poke() {
  size_t parked = 0;
  Mutex mutex;
  CondVar done_changed;
  bool done = false;
  const auto finish = [&] {
    MutexLock lock(mutex);
    parked = parked_.size();
    done = true;
    done_changed.NotifyAll();
  };
  const bool posted =
      strand_->Post([&]() -> Strand::After { return [&](const absl::Status&) { finish(); }; },
                    Strand::Lane::kPatient);
  if (!posted) return 0;
  MutexLock lock(mutex);
  done_changed.Wait(mutex, [&] { return done; });
  return parked;
}

// ---- groups

void Engine::BeginGroup() {
  now_ms_ = clock_->monotonic_ms();
  wall_ms_ = clock_->wall_ms();
  group_error_ = absl::OkStatus();
  if (!loaded_) {
    const absl::Status status = Reload();
    if (!status.ok()) {
      group_error_ = status;
      return;
    }
  }
  Actions actions;
  if (check_sweeps_) {
    check_sweeps_ = false;
    for (const int64_t sweep_id : scheduler_->Sweeps()) {
      scheduler_->EndIfEmpty(sweep_id, &actions);
    }
  }
  scheduler_->Tick(now_ms_, &actions);
  Apply(actions);
}

absl::Status Engine::CommitGroup() {
  if (group_error_.ok()) Dispatch();
  if (group_error_.ok()) CollectSyncAnswers();
  absl::Status status = group_error_;
  LOGLOG_FAILPOINT("engine.commit.before");
  if (status.ok() && store_->in_transaction()) status = store_->Commit();
  LOGLOG_FAILPOINT("engine.answer.before");
  EndTransaction();
  const bool events = std::exchange(events_appended_, false);
  std::vector<std::pair<Reply<SyncAnswer>, SyncAnswer>> answers;
  answers.swap(sync_answers_);
  if (!status.ok()) {
    LOGLOG_FAILPOINT("engine.commit.failed");
    WriteLog();
    spdlog::error("a group of changes was given up: {}", status.ToString());
    status = CommitError(status);
    for (const auto& [reply, answer] : answers) reply(status);
    loaded_ = false;  // the next group begins by loading
    std::map<std::string, ParkedSync> parked;
    parked.swap(parked_);
    for (const auto& [worker_id, call] : parked) call.reply(status);
    return status;
  }
  for (auto& [reply, answer] : answers) reply(std::move(answer));
  WriteLog();  // nobody waits for it
  if (events) watch_hub_.Ring();
  if (loaded_ && options_.refit) StartRefits();
  return absl::OkStatus();
}

int64_t Engine::IdleMs() const {
  if (!loaded_) return 1000;
  int64_t next_ms = std::min(scheduler_->NextTickMs(), NextRefitMs());
  for (const auto& [worker_id, call] : parked_) next_ms = std::min(next_ms, call.until_ms);
  if (next_ms == std::numeric_limits<int64_t>::max()) return 60'000;
  return std::clamp<int64_t>(next_ms - clock_->monotonic_ms(), 1, 60'000);
}

absl::Status Engine::EnsureTransaction() {
  if (!group_error_.ok()) return group_error_;
  if (store_->in_transaction()) return absl::OkStatus();
  const absl::Status status = store_->Begin();
  if (status.ok()) {
    no_io_.emplace();
  } else {
    Must(status);
  }
  return status;
}

void Engine::EndTransaction() {
  if (store_->in_transaction()) store_->Rollback();
  no_io_.reset();
}

void Engine::Must(const absl::Status& status) {
  if (!status.ok() && group_error_.ok()) group_error_ = status;
}

void Engine::Log(spdlog::level::level_enum level, std::string line) {
  log_lines_.emplace_back(level, std::move(line));
}

void Engine::WriteLog() {
  for (const auto& [level, line] : log_lines_) spdlog::log(level, line);
  log_lines_.clear();
}

// ---- from the store

absl::Status Engine::Reload() {
  LOGLOG_FAILPOINT("engine.reload");
  auto scheduler = std::make_unique<Scheduler>(options_.scheduler);
  auto progress = std::make_unique<Progress>();
  orders_.clear();
  refits_.clear();
  specs_.clear();
  LOGLOG_RETURN_IF_ERROR(LoadInto(scheduler.get(), progress.get()));
  scheduler_ = std::move(scheduler);
  progress_ = std::move(progress);
  loaded_ = true;
  check_sweeps_ = true;
  // The rows took more than what is kept of them: a million open trials half a gigabyte more.
  malloc_trim(0);
  return absl::OkStatus();
}

absl::Status Engine::LoadInto(Scheduler* scheduler, Progress* progress) {
  LOGLOG_ASSIGN_OR_RETURN(const LiveState live, store_->LoadLive());
  for (const SweepRow& sweep : live.sweeps) {
    LOGLOG_ASSIGN_OR_RETURN(const SpecInfo* spec, SpecOf(sweep.sweep_id));
    scheduler->AddSweep(sweep.sweep_id, sweep.name, sweep.state == SweepState::kPaused,
                        spec->schedule);
    MarkForRefit(sweep.sweep_id, "");
  }
  LOGLOG_RETURN_IF_ERROR(AddOpen(0, scheduler));
  for (const WorkerRow& worker : live.workers) scheduler->AddWorker(worker, now_ms_);
  for (const AttemptRow& attempt : live.attempts) {
    scheduler->AddAttempt(attempt, now_ms_);
    if (const std::optional<Work> work = scheduler->WorkOf(attempt.task_id)) {
      progress->AttemptStarted(attempt.attempt_id, *work, now_ms_);
    }
  }
  // Sweeps that ended lately: the last fit may have been cut off.
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<SweepRow> newest, store_->read().ListSweeps(0, 20));
  for (const SweepRow& sweep : newest) MarkForRefit(sweep.sweep_id, "");
  return absl::OkStatus();
}

Engine::SpecInfo Engine::InfoOf(const SweepSpec& spec) {
  return {spec.checkpoint, spec.retries, ScheduleOf(spec), spec.fit};
}

absl::StatusOr<const Engine::SpecInfo*> Engine::SpecOf(int64_t sweep_id) {
  const auto known = specs_.find(sweep_id);
  if (known != specs_.end()) return &known->second;
  LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, store_->read().GetSweep(sweep_id));
  absl::StatusOr<SweepSpec> spec = ParseSpec(sweep.spec_json, SweepName(sweep.name));
  if (!spec.ok()) {
    return absl::DataLossError(absl::StrCat("the spec stored with sweeps/", sweep.name,
                                            " cannot be read: ", spec.status().message()));
  }
  return &specs_.insert_or_assign(sweep_id, InfoOf(*spec)).first->second;
}

absl::StatusOr<TaskContext> Engine::ContextOf(const TaskRow& task) {
  TaskContext context;
  LOGLOG_ASSIGN_OR_RETURN(const SpecInfo* spec, SpecOf(task.sweep_id));
  context.failures_max = static_cast<int>(spec->retries.failures);
  context.losses_max = static_cast<int>(spec->retries.losses);
  if (task.not_before_ms > 0) {
    context.wait_ms = std::max<int64_t>(0, task.not_before_ms - wall_ms_);
  }
  if (task.parent_task_id != 0) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> trunk,
                            store_->read().ListBranchCheckpoints(task.task_id));
    if (!trunk.empty()) {
      context.checkpoint_worker = trunk.front().worker_id;
      context.checkpoint_scope = trunk.front().scope;
      context.branches = true;
    }
  }
  if (task.last_attempt_id == 0) return context;
  if (task.failure_count > 0) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<AttemptRow> attempts,
                            store_->read().ListAttempts(task.task_id));
    // The newest that make up the count: older ones were forgiven by a retry.
    int left = task.failure_count;
    for (auto attempt = attempts.rbegin(); attempt != attempts.rend() && left > 0; ++attempt) {
      if (attempt->state != AttemptState::kFailed && attempt->state != AttemptState::kOutOfMemory) {
        continue;
      }
      context.failed_on.push_back(attempt->worker_id);
      --left;
    }
  }
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> checkpoints,
                          store_->read().ListCheckpoints(task.task_id));
  if (!checkpoints.empty()) {
    context.checkpoint_worker = checkpoints.front().worker_id;
    context.checkpoint_scope = checkpoints.front().scope;
    context.branches = false;
  }
  return context;
}

// ---- actions

void Engine::Apply(const Actions& actions) {
  if (actions.empty()) return;
  if (!EnsureTransaction().ok()) return;
  for (const Action& action : actions) {
    std::visit([this](const auto& one) { ApplyOne(one); }, action);
  }
}

void Engine::ApplyOne(const EndAttempt& action) {
  Must(store_->UpdateAttempt(action.attempt_id, {.state = action.state,
                                                 .end_ms = wall_ms_,
                                                 .exit_code = action.exit_code,
                                                 .signal = action.signal,
                                                 .message = action.message}));
  const bool complete =
      action.state == AttemptState::kDone || action.state == AttemptState::kDiverged;
  progress_->AttemptEnded(action.attempt_id, complete, now_ms_);
  orders_.erase(action.attempt_id);
  const std::string detail = Dump({{"state", StateName(action.state)},
                                   {"exit_code", action.exit_code},
                                   {"signal", action.signal},
                                   {"message", action.message}});
  const absl::StatusOr<std::vector<int64_t>> trials =
      store_->read().ListTrialsOfTask(action.task_id);
  Must(trials.status());
  if (!trials.ok()) return;
  for (const int64_t trial_id : *trials) {
    TrialEvent("attempt.ended", trial_id, action.attempt_id, action.worker_id, detail);
  }
  if (!complete) {
    Log(spdlog::level::warn,
        absl::StrCat("attempt ", action.attempt_id, " of task ", action.task_id, " is ",
                     StateName(action.state), ": ", action.message));
  }
}

void Engine::ApplyOne(const MarkAttempt& action) {
  Must(store_->UpdateAttempt(
      action.attempt_id,
      {.state = action.state, .message = action.message, .stop_cause = action.cause}));
  if (action.cause != StopCause::kPreempted) return;
  const auto live = scheduler_->FindLive(action.attempt_id);
  if (!live.has_value()) return;
  for (const int64_t trial_id : scheduler_->OpenTrialsOf(live->task_id)) {
    TrialEvent("attempt.preempted", trial_id, action.attempt_id, live->worker_id,
               Dump({{"reason", action.message}}));
  }
}

void Engine::ApplyOne(const PutTask& action) {
  Must(store_->UpdateTask(action.task_id,
                          {.state = action.state,
                           .failure_count = action.failure_count,
                           .lost_count = action.lost_count,
                           .not_before_ms = action.wait_ms > 0 ? wall_ms_ + action.wait_ms : 0,
                           .message = action.message,
                           .time_ms = wall_ms_}));
  const bool failed = action.state == TaskState::kFailed;
  for (const int64_t trial_id : action.trials) {
    TrialEvent(failed ? "trial.failed" : "trial.requeued", trial_id, 0, "",
               Dump({{"message", action.message},
                     {"failure_count", action.failure_count},
                     {"lost_count", action.lost_count},
                     {"wait_ms", action.wait_ms}}));
  }
  if (failed) {
    Log(spdlog::level::err, absl::StrCat("task ", action.task_id, " failed: ", action.message));
  }
}

void Engine::ApplyOne(const PutWorker& action) {
  Must(store_->SetWorkerState(action.worker_id, action.state, action.reason));
  EventRow event;
  event.kind = absl::StrCat("worker.", absl::AsciiStrToLower(StateName(action.state)));
  event.worker_id = action.worker_id;
  event.detail_json = Dump({{"reason", action.reason}});
  AppendEvent(std::move(event));
  Log(spdlog::level::info,
      absl::StrCat("workers/", action.worker_id, " is ", StateName(action.state),
                   action.reason.empty() ? "" : ": ", action.reason));
}

void Engine::ApplyOne(const EndSweep& action) {
  absl::StatusOr<SweepRow> sweep =
      store_->SetSweepState(action.sweep_id, SweepState::kDone, wall_ms_);
  Must(sweep.status());
  if (!sweep.ok()) return;
  SweepEvent("sweep.done", action.sweep_id,
             Dump({{"done", sweep->counts.done},
                   {"diverged", sweep->counts.diverged},
                   {"failed", sweep->counts.failed},
                   {"cancelled", sweep->counts.cancelled},
                   {"stopped", sweep->counts.stopped}}));
  Log(spdlog::level::info, absl::StrCat("sweeps/", sweep->name, " is done"));
}

// ---- events

void Engine::AppendEvent(EventRow event) {
  event.time_ms = wall_ms_;
  if (event.detail_json.empty()) event.detail_json = "{}";
  if (!caller_.empty()) {
    const bool more = event.detail_json != "{}";
    event.detail_json = absl::StrCat("{\"by\":", json(caller_).dump(), more ? "," : "",
                                     event.detail_json.substr(1));
  }
  Must(store_->AppendEvent(event).status());
  events_appended_ = true;
}

void Engine::SweepEvent(absl::string_view kind, int64_t sweep_id, std::string detail_json) {
  EventRow event;
  event.kind = std::string(kind);
  event.sweep_id = sweep_id;
  event.detail_json = std::move(detail_json);
  AppendEvent(std::move(event));
}

void Engine::TrialEvent(absl::string_view kind, int64_t trial_id, int64_t attempt_id,
                        const std::string& worker_id, const std::string& detail_json) {
  const absl::StatusOr<std::vector<int64_t>> sweeps = store_->read().ListSweepIdsOfTrial(trial_id);
  Must(sweeps.status());
  if (!sweeps.ok()) return;
  for (const int64_t sweep_id : *sweeps) {
    EventRow event;
    event.kind = std::string(kind);
    event.sweep_id = sweep_id;
    event.trial_id = trial_id;
    event.attempt_id = attempt_id;
    event.worker_id = worker_id;
    event.detail_json = detail_json;
    AppendEvent(std::move(event));
  }
}

}  // namespace loglog
