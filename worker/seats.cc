#include "worker/seats.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"
#include "base/status.h"

namespace loglog::worker {
namespace {

// What SIGKILL has not ended after so long is stuck in the kernel.
constexpr int64_t kStuckMs = 10'000;
// How long a failed start keeps work away.
constexpr int64_t kSpawnProblemMs = 30'000;

}  // namespace

Seats::Seats(Options options) : options_(std::move(options)) {
  for (size_t i = 0; i < options_.devices.size(); ++i) {
    seats_.push_back(std::make_unique<Seat>(options_.stop_grace_ms));
  }
}

// Wishes. --------------------------------------------------------------------------------

void Seats::Apply(const std::vector<SlotWish>& wishes, const std::vector<int64_t>& forget_held,
                  bool stop_all, int64_t lease_deadline_ms) {
  lease_deadline_ms_ = lease_deadline_ms;
  for (const SlotWish& wish : wishes) {
    if (wish.slot < 0 || wish.slot >= static_cast<int>(seats_.size())) {
      spdlog::error("the coordinator spoke of slot {}, but there are {}", wish.slot, seats_.size());
      continue;
    }
    const bool run = wish.kind == SlotEvent::Kind::kRun;
    if (run && (draining_ || stop_all || !IsSound(wish.order, wish.slot) || IsTaken(wish.order) ||
                !HasRoom(wish.order, wish.slot))) {
      continue;
    }
    Feed(*seats_[wish.slot],
         {.kind = wish.kind, .attempt_id = wish.attempt_id, .order = wish.order});
  }
  for (const int64_t attempt_id : forget_held) ForgetHeld(attempt_id, /*fenced=*/false);
  if (!stop_all) return;
  for (const auto& seat : seats_) {
    Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
  }
}

void Seats::Drain() {
  draining_ = true;
  for (const auto& seat : seats_) {
    Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
  }
}

void Seats::KillAll() {
  for (const auto& seat : seats_) {
    Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
    if (seat->trainer == nullptr) continue;
    seat->trainer->Kill();
    seat->kill_sent_ms = std::min(seat->kill_sent_ms, now_ms());
  }
}

void Seats::AbandonAll() {
  for (const auto& seat : seats_) {
    Feed(*seat, {.kind = SlotEvent::Kind::kAbandon, .attempt_id = seat->machine.attempt_id()});
  }
}

void Seats::StopAttempt(int64_t attempt_id) { FeedAttempt(attempt_id, SlotEvent::Kind::kStop); }

void Seats::FenceAttempt(int64_t attempt_id) {
  FeedAttempt(attempt_id, SlotEvent::Kind::kFence);
  ForgetHeld(attempt_id, /*fenced=*/true);
}

// Slots. ---------------------------------------------------------------------------------

void Seats::Feed(Seat& seat, const SlotEvent& event) {
  for (const SlotAction& action : seat.machine.Handle(event, now_ms())) {
    Perform(seat, action);
  }
}

void Seats::FeedAttempt(int64_t attempt_id, SlotEvent::Kind kind) {
  for (const auto& seat : seats_) {
    if (seat->machine.attempt_id() == attempt_id) {
      Feed(*seat, {.kind = kind, .attempt_id = attempt_id});
    }
  }
}

void Seats::Perform(Seat& seat, const SlotAction& action) {
  switch (action.kind) {
    case SlotAction::Kind::kSpawn:
      return Spawn(seat, action.order);
    case SlotAction::Kind::kTerminate:
      spdlog::info("attempt {}: asking its trainer to leave", action.attempt_id);
      return seat.trainer->Terminate();
    case SlotAction::Kind::kKill:
      spdlog::warn("attempt {}: killing its trainer{}", action.attempt_id,
                   seat.machine.stop_cause() == StopCause::kLease
                       ? "; no sync succeeded before the end of the lease"
                       : "");
      seat.kill_sent_ms = std::min(seat.kill_sent_ms, now_ms());
      return seat.trainer->Kill();
    case SlotAction::Kind::kUpload:
      return options_.outbox->Seal(action.attempt_id, action.last_seq);
    case SlotAction::Kind::kForget:
      return Discard(action.attempt_id, action.accepted);
    case SlotAction::Kind::kKeep:
      return options_.outbox->Drop(action.attempt_id);
  }
}

bool Seats::IsFollower(int slot) const {
  return std::any_of(seats_.begin(), seats_.end(), [slot](const auto& seat) {
    const std::vector<int>& followers = seat->machine.followers();
    return std::find(followers.begin(), followers.end(), slot) != followers.end();
  });
}

bool Seats::HasRoom(const TaskOrder& order, int lead) const {
  const std::vector<int> followers = FollowersOf(order);
  return !IsFollower(lead) && std::all_of(followers.begin(), followers.end(), [this](int slot) {
    return seats_[slot]->machine.state() == Slot::State::kIdle && !IsFollower(slot);
  });
}

bool Seats::IsSound(const TaskOrder& order, int lead) {
  std::set<int> slots = {lead};
  for (const int slot : FollowersOf(order)) {
    if (slot >= 0 && slot < static_cast<int>(seats_.size())) slots.insert(slot);
  }
  const bool sound =
      order.attempt_id > 0 && order.task_id > 0 &&
      (order.slots.empty() || (order.slots.front() == lead && slots.size() == order.slots.size()));
  if (!sound && last_unsound_ != order.attempt_id) {
    spdlog::error(
        "attempt {} of task {} is ordered in slot {} with slots {}, of {}; it is not started, "
        "please report this",
        order.attempt_id, order.task_id, lead, absl::StrJoin(order.slots, ","), seats_.size());
    last_unsound_ = order.attempt_id;
  }
  return sound;
}

// Orders are repeated until they are true, so one that is passed over here comes again.
bool Seats::IsTaken(const TaskOrder& order) {
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

void Seats::Spawn(Seat& seat, const TaskOrder& order) {
  const int slot = SlotOf(seat);
  const int64_t attempt_id = order.attempt_id;
  const std::string dir = options_.run_dir->AttemptDir(store_, attempt_id);
  held_.erase(attempt_id);
  std::vector<int> slots = {slot};
  for (const int follower : seat.machine.followers()) slots.push_back(follower);
  const Placement placement = PlacementOf(options_.devices, slots);
  absl::Status status = options_.run_dir->Prepare(store_, order, placement);
  LOGLOG_FAILPOINT("worker.prepared");
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<Trainer>> trainer = options_.start(dir);
    status = trainer.status();
    if (status.ok()) seat.trainer = *std::move(trainer);
  }
  if (status.ok()) {
    LOGLOG_FAILPOINT("worker.started");
    seat.child_ended = false;
    seat.kill_sent_ms = kNever;
    options_.outbox->Add(attempt_id, dir + "/events.jsonl");
    status = options_.run_dir->WritePid(store_, attempt_id, seat.trainer->pid());
    if (!status.ok()) spdlog::warn("attempt {}: {}", attempt_id, std::string(status.message()));
    spdlog::info("attempt {} of task {} runs in slot {} on {} from step {}, pid {}", attempt_id,
                 order.task_id, absl::StrJoin(slots, ","), placement.device, order.resume_step,
                 seat.trainer->pid());
    return Feed(seat, {.kind = SlotEvent::Kind::kStarted, .attempt_id = attempt_id});
  }
  // The trial is not to blame for a host that cannot start a trainer, except for a task
  // that nobody could read.
  Outcome outcome{.kind = Outcome::Kind::kRefused};
  if (!absl::IsInvalidArgument(status)) {
    outcome.kind = Outcome::Kind::kLost;
    spawn_problem_ = absl::StrCat("cannot start a trainer: ", status.message());
    spawn_problem_until_ms_ = now_ms() + kSpawnProblemMs;
  }
  outcome.message = CleanMessage(status.message());
  spdlog::error("attempt {} of task {} does not start: {}", attempt_id, order.task_id,
                outcome.message);
  options_.outbox->Add(attempt_id, dir + "/events.jsonl");
  Feed(seat, {.kind = SlotEvent::Kind::kEnded, .attempt_id = attempt_id, .outcome = outcome});
}

int Seats::SlotOf(const Seat& seat) const {
  return static_cast<int>(
      std::find_if(seats_.begin(), seats_.end(), [&](const auto& s) { return s.get() == &seat; }) -
      seats_.begin());
}

void Seats::ReapEnded() {
  for (const auto& seat : seats_) {
    ExitStatus status;
    if (seat->trainer != nullptr && seat->trainer->TryReap(&status)) OnReaped(*seat, status);
  }
}

void Seats::Tick() {
  for (const auto& seat : seats_) {
    const bool over = now_ms() >= lease_deadline_ms_ && seat->machine.NextTick(kNever) != kNever;
    if (over) spdlog::debug("attempt {}: the lease is over", seat->machine.attempt_id());
    Feed(*seat, {.kind = SlotEvent::Kind::kTick, .lease_deadline_ms = lease_deadline_ms_});
  }
}

int64_t Seats::NextTick() const {
  int64_t next_ms = kNever;
  for (const auto& seat : seats_) {
    next_ms = std::min(next_ms, seat->machine.NextTick(lease_deadline_ms_));
  }
  return next_ms;
}

void Seats::OnReaped(Seat& seat, const ExitStatus& status) {
  const int64_t attempt_id = seat.machine.attempt_id();
  const bool by_guard = seat.trainer->killed_by_guard();
  const StopCause cause =
      std::max(seat.machine.stop_cause(), by_guard ? StopCause::kLease : StopCause::kNone);
  if (by_guard) {
    spdlog::error("attempt {}: its lease ended while this daemon was held up by a file system",
                  attempt_id);
  }
  const std::string last_output = seat.trainer->last_output();
  seat.trainer.reset();
  LOGLOG_FAILPOINT("worker.reaped");
  const std::string dir = options_.run_dir->AttemptDir(store_, attempt_id);
  Outcome outcome;
  if (cause != StopCause::kDiscard && cause != StopCause::kAbandon) {
    const absl::StatusOr<EventSummary> events = EventFile::Summarize(dir + "/events.jsonl");
    if (events.ok()) {
      outcome = ClassifyExit(status, cause, *events,
                             options_.run_dir->CountMembers(store_, attempt_id), last_output);
    } else {
      spdlog::error("attempt {}: {}", attempt_id, std::string(events.status().message()));
      outcome = ClassifyUnreadEnd(status, events.status().message());
    }
    if (options_.on_ended) options_.on_ended(SlotOf(seat), outcome);
    const absl::Status written = options_.run_dir->WriteOutcome(store_, attempt_id, outcome);
    if (!written.ok()) spdlog::error("attempt {}: {}", attempt_id, std::string(written.message()));
  }
  LOGLOG_FAILPOINT("worker.outcome_written");
  const absl::Status removed = RemoveTree(dir + "/pid");
  if (!removed.ok()) spdlog::warn("{}", std::string(removed.message()));
  spdlog::info("attempt {} ended: {}{}{}", attempt_id, std::string(OutcomeName(outcome.kind)),
               outcome.message.empty() ? "" : ": ", outcome.message);
  Feed(seat, {.kind = SlotEvent::Kind::kEnded, .attempt_id = attempt_id, .outcome = outcome});
}

// What is owed. --------------------------------------------------------------------------

void Seats::OnUploaded(int64_t attempt_id) {
  LOGLOG_FAILPOINT("worker.uploaded");
  const Outbox::Upload upload = options_.outbox->UploadOf(attempt_id);
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

void Seats::ForgetHeld(int64_t attempt_id, bool fenced) {
  const auto held = held_.find(attempt_id);
  if (held == held_.end()) return;
  const bool accepted = held->second.uploaded && !fenced;
  held_.erase(held);
  Discard(attempt_id, accepted);
}

// Removing many or large files takes its time, on some file systems a long one.
void Seats::Discard(int64_t attempt_id, bool accepted) {
  LOGLOG_FAILPOINT("worker.discarded");
  options_.outbox->Drop(attempt_id);
  discarding_.insert({store_, attempt_id});
  options_.away(
      [run_dir = options_.run_dir, store = store_, attempt_id, accepted] {
        run_dir->Forget(store, attempt_id, accepted);
        LOGLOG_FAILPOINT("worker.forgotten");
      },
      [this, store = store_, attempt_id] {
        discarding_.erase({store, attempt_id});
      });
}

void Seats::LeaveStore(const std::string& store) {
  if (store_.empty()) return;
  spdlog::warn("the coordinator serves another store ({}) than before ({}); stopping its trainers",
               store, store_);
  leaving_store_ = true;
  AbandonAll();
}

void Seats::TakeUpStore(const std::string& store) {
  for (const auto& [attempt_id, held] : held_) options_.outbox->Drop(attempt_id);
  held_.clear();
  store_ = store;
  leaving_store_ = false;
  for (const int64_t attempt_id : options_.run_dir->ListAttempts(store)) {
    if (discarding_.count({store, attempt_id}) == 0) TakeUp(attempt_id);
  }
}

void Seats::TakeUp(int64_t attempt_id) {
  const absl::StatusOr<Outcome> outcome = options_.run_dir->RecoverOutcome(store_, attempt_id);
  if (!outcome.ok()) {
    spdlog::error("attempt {} of an earlier daemon: {}", attempt_id,
                  std::string(outcome.status().message()));
    return;
  }
  spdlog::info("attempt {} of an earlier daemon is reported as {}", attempt_id,
               std::string(OutcomeName(outcome->kind)));
  LOGLOG_FAILPOINT("worker.held_taken_up");
  held_[attempt_id] = {.outcome = *outcome};
  options_.outbox->Add(attempt_id,
                       options_.run_dir->AttemptDir(store_, attempt_id) + "/events.jsonl");
  options_.outbox->Seal(attempt_id, outcome->last_seq);
}

// How things stand. ----------------------------------------------------------------------

void Seats::Fill(WorkerView* view) const {
  view->busy = !held_.empty();
  for (const auto& seat : seats_) {
    const Slot& machine = seat->machine;
    SlotView slot{.state = machine.state(), .attempt_id = machine.attempt_id()};
    if (slot.state == Slot::State::kFinished) slot.outcome = machine.outcome();
    view->busy = view->busy || slot.state != Slot::State::kIdle;
    view->slots.push_back(std::move(slot));
  }
  for (const auto& seat : seats_) {
    for (const int follower : seat->machine.followers()) {
      view->slots[follower] = {.state = seat->machine.state(),
                               .attempt_id = seat->machine.attempt_id()};
    }
  }
  for (const auto& [attempt_id, held] : held_) {
    if (held.uploaded) {
      view->held[attempt_id] = held.outcome;
    } else {
      view->owed.push_back(attempt_id);
    }
  }
}

bool Seats::AnyTrainer() const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [](const auto& seat) { return seat->trainer != nullptr; });
}

bool Seats::IsStuck(const Seat& seat) const {
  return seat.trainer != nullptr && seat.kill_sent_ms != kNever &&
         now_ms() - seat.kill_sent_ms >= kStuckMs;
}

bool Seats::AnyEnding() const {
  return std::any_of(seats_.begin(), seats_.end(), [this](const auto& seat) {
    return seat->trainer != nullptr && !IsStuck(*seat);
  });
}

std::string Seats::StuckProblem() const {
  for (const auto& seat : seats_) {
    if (IsStuck(*seat)) return ProcessDoesNotEnd(seat->trainer->pid());
  }
  return "";
}

std::string Seats::SpawnProblem() const {
  return now_ms() < spawn_problem_until_ms_ ? spawn_problem_ : "";
}

void Seats::LeaveStuckBehind() {
  static auto* const left_behind = new std::vector<std::unique_ptr<Trainer>>();
  for (const auto& seat : seats_) {
    if (seat->trainer == nullptr) continue;
    spdlog::error("leaving all the same: {}", ProcessDoesNotEnd(seat->trainer->pid()));
    left_behind->push_back(std::move(seat->trainer));
  }
}

}  // namespace loglog::worker
