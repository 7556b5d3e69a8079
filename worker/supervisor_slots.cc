// What the supervisor does with its slots and with what is owed.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/supervisor.h"

namespace loglog::worker {
namespace {

// How long a failed start keeps work away.
constexpr int64_t kSpawnProblemMs = 30'000;

}  // namespace

// Slots. ---------------------------------------------------------------------------------

void Supervisor::Feed(Seat& seat, const SlotEvent& event) {
  for (const SlotAction& action : seat.machine.Handle(event, options_.clock->monotonic_ms())) {
    Perform(seat, action);
  }
}

void Supervisor::AbandonAll() {
  for (const auto& seat : seats_) {
    Feed(*seat, {.kind = SlotEvent::Kind::kAbandon, .attempt_id = seat->machine.attempt_id()});
  }
}

void Supervisor::FeedAttempt(int64_t attempt_id, SlotEvent::Kind kind) {
  for (const auto& seat : seats_) {
    if (seat->machine.attempt_id() == attempt_id) {
      Feed(*seat, {.kind = kind, .attempt_id = attempt_id});
    }
  }
}

void Supervisor::Perform(Seat& seat, const SlotAction& action) {
  switch (action.kind) {
    case SlotAction::Kind::kSpawn:
      return Spawn(seat, action.order);
    case SlotAction::Kind::kTerminate:
      spdlog::info("attempt {}: asking its trainer to leave", action.attempt_id);
      return seat.process->Terminate();
    case SlotAction::Kind::kKill:
      spdlog::warn("attempt {}: killing its trainer{}", action.attempt_id,
                   seat.machine.stop_cause() == StopCause::kLease
                       ? "; no sync succeeded before the end of the lease"
                       : "");
      seat.kill_sent_ms = std::min(seat.kill_sent_ms, options_.clock->monotonic_ms());
      return seat.process->Kill();
    case SlotAction::Kind::kUpload:
      return outbox_.Seal(action.attempt_id, action.last_seq);
    case SlotAction::Kind::kForget:
      return Discard(action.attempt_id);
    case SlotAction::Kind::kKeep:
      return outbox_.Drop(action.attempt_id);
  }
}

// Orders are repeated until they are true, so one that is passed over here comes again.
bool Supervisor::IsTaken(const TaskOrder& order) {
  const int64_t attempt_id = order.attempt_id;
  if (discarding_.count({store_, attempt_id}) > 0) return true;
  if (std::any_of(seats_.begin(), seats_.end(), [attempt_id](const auto& seat) {
        return seat->machine.attempt_id() == attempt_id;
      })) {
    return true;
  }
  if (!options_.run_dir->HoldsEventsOf(store_, order)) return false;
  if (last_taken_ != attempt_id) {
    spdlog::warn("attempt {} is ordered again, but an earlier daemon ran it; reporting that",
                 attempt_id);
    last_taken_ = attempt_id;
  }
  if (held_.count(attempt_id) == 0) TakeUp(attempt_id);
  return true;
}

void Supervisor::Spawn(Seat& seat, const TaskOrder& order) {
  const int slot = static_cast<int>(
      std::find_if(seats_.begin(), seats_.end(), [&](const auto& s) { return s.get() == &seat; }) -
      seats_.begin());
  const int64_t attempt_id = order.attempt_id;
  const std::string dir = options_.run_dir->AttemptDir(store_, attempt_id);
  held_.erase(attempt_id);
  absl::Status status =
      options_.run_dir->Prepare(store_, order, options_.devices[slot].name, /*threads=*/1);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<TrainerProcess>> process =
        TrainerProcess::Start(options_.trainer, dir, &lease_guard_);
    if (process.ok()) seat.process = *std::move(process);
    status = process.status();
  }
  if (status.ok()) {
    seat.child_ended = false;
    seat.kill_sent_ms = kNever;
    outbox_.Add(attempt_id, dir + "/events.jsonl");
    status = options_.run_dir->WritePid(store_, attempt_id, seat.process->pid());
    if (!status.ok()) spdlog::warn("attempt {}: {}", attempt_id, std::string(status.message()));
    spdlog::info("attempt {} of task {} runs in slot {} on {} from step {}, pid {}", attempt_id,
                 order.task_id, slot, options_.devices[slot].name, order.resume_step,
                 seat.process->pid());
    return Feed(seat, {.kind = SlotEvent::Kind::kStarted, .attempt_id = attempt_id});
  }
  // The trial is not to blame for a host that cannot start a trainer, except for a task
  // that nobody could read.
  Outcome outcome{.kind = Outcome::Kind::kRefused};
  if (!absl::IsInvalidArgument(status)) {
    outcome.kind = Outcome::Kind::kLost;
    spawn_problem_ = absl::StrCat("cannot start a trainer: ", status.message());
    spawn_problem_until_ms_ = options_.clock->monotonic_ms() + kSpawnProblemMs;
  }
  outcome.message = CleanMessage(status.message());
  spdlog::error("attempt {} of task {} does not start: {}", attempt_id, order.task_id,
                outcome.message);
  outbox_.Add(attempt_id, dir + "/events.jsonl");
  Feed(seat, {.kind = SlotEvent::Kind::kEnded, .attempt_id = attempt_id, .outcome = outcome});
}

void Supervisor::OnReaped(Seat& seat, const ExitStatus& status) {
  const int64_t attempt_id = seat.machine.attempt_id();
  const bool by_guard = seat.process->killed_by_guard();
  const StopCause cause =
      std::max(seat.machine.stop_cause(), by_guard ? StopCause::kLease : StopCause::kNone);
  if (by_guard) {
    spdlog::error("attempt {}: its lease ended while this daemon was held up by a file system",
                  attempt_id);
  }
  const std::string last_output = seat.process->last_output();
  seat.process.reset();
  const std::string dir = options_.run_dir->AttemptDir(store_, attempt_id);
  Outcome outcome;
  if (cause != StopCause::kDiscard && cause != StopCause::kAbandon) {
    absl::StatusOr<EventSummary> events = EventFile::Summarize(dir + "/events.jsonl");
    if (!events.ok()) {
      spdlog::error("attempt {}: {}", attempt_id, std::string(events.status().message()));
      events = EventSummary();
    }
    outcome = ClassifyExit(status, cause, *events,
                           options_.run_dir->CountMembers(store_, attempt_id), last_output);
    const absl::Status written = options_.run_dir->WriteOutcome(store_, attempt_id, outcome);
    if (!written.ok()) spdlog::error("attempt {}: {}", attempt_id, std::string(written.message()));
  }
  const absl::Status removed = RemoveTree(dir + "/pid");
  if (!removed.ok()) spdlog::warn("{}", std::string(removed.message()));
  spdlog::info("attempt {} ended: {}{}{}", attempt_id, std::string(OutcomeName(outcome.kind)),
               outcome.message.empty() ? "" : ": ", outcome.message);
  Feed(seat, {.kind = SlotEvent::Kind::kEnded, .attempt_id = attempt_id, .outcome = outcome});
}

// What is owed. --------------------------------------------------------------------------

void Supervisor::OnUploaded(int64_t attempt_id) {
  const Outbox::Upload upload = outbox_.UploadOf(attempt_id);
  const auto held = held_.find(attempt_id);
  SlotEvent event{.kind = SlotEvent::Kind::kUploaded, .attempt_id = attempt_id};
  if (!upload.refusal.empty()) {
    // Part of its points is missing for good, so whatever it says of itself is void.
    event.outcome = {.kind = Outcome::Kind::kFailed, .last_seq = upload.last_acknowledged};
    event.outcome.message =
        CleanMessage(absl::StrCat("the coordinator refused the events after number ",
                                  upload.last_acknowledged, ": ", upload.refusal));
    event.replaces_outcome = true;
    const absl::Status written = options_.run_dir->WriteOutcome(store_, attempt_id, event.outcome);
    if (!written.ok()) spdlog::error("attempt {}: {}", attempt_id, std::string(written.message()));
  }
  if (held != held_.end()) {
    held->second.uploaded = true;
    if (event.replaces_outcome) held->second.outcome = event.outcome;
    return;
  }
  for (const auto& seat : seats_) Feed(*seat, event);
}

void Supervisor::ForgetHeld(int64_t attempt_id) {
  if (held_.erase(attempt_id) > 0) Discard(attempt_id);
}

// Removing many or large files takes its time, on some file systems a long one.
void Supervisor::Discard(int64_t attempt_id) {
  outbox_.Drop(attempt_id);
  discarding_.insert({store_, attempt_id});
  files_->Post([this, store = store_, attempt_id] {
    options_.run_dir->Forget(store, attempt_id);
    Post([this, store, attempt_id] { discarding_.erase({store, attempt_id}); });
  });
}

void Supervisor::TakeUpStore(const std::string& store) {
  for (const auto& [attempt_id, held] : held_) outbox_.Drop(attempt_id);
  held_.clear();
  store_ = store;
  leaving_store_ = false;
  for (const int64_t attempt_id : options_.run_dir->ListAttempts(store)) {
    if (discarding_.count({store, attempt_id}) == 0) TakeUp(attempt_id);
  }
}

void Supervisor::TakeUp(int64_t attempt_id) {
  const absl::StatusOr<Outcome> outcome = options_.run_dir->RecoverOutcome(store_, attempt_id);
  if (!outcome.ok()) {
    spdlog::error("attempt {} of an earlier daemon: {}", attempt_id,
                  std::string(outcome.status().message()));
    return;
  }
  spdlog::info("attempt {} of an earlier daemon is reported as {}", attempt_id,
               std::string(OutcomeName(outcome->kind)));
  held_[attempt_id] = {.outcome = *outcome};
  outbox_.Add(attempt_id, options_.run_dir->AttemptDir(store_, attempt_id) + "/events.jsonl");
  outbox_.Seal(attempt_id, outcome->last_seq);
}

}  // namespace loglog::worker
