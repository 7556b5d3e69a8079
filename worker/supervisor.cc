#include "worker/supervisor.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"

namespace loglog::worker {
namespace {

constexpr int64_t kHealthPeriodMs = 2'000;
// How long a failed start keeps work away.
constexpr int64_t kSpawnProblemMs = 30'000;
// How often the rest of a dead trainer's group is looked for.
constexpr int64_t kReapPollMs = 5;

Outbox::Options WithCallbacks(Outbox::Options options, std::function<void(int64_t)> on_uploaded,
                              std::function<void(int64_t)> on_fenced) {
  options.on_uploaded = std::move(on_uploaded);
  options.on_fenced = std::move(on_fenced);
  return options;
}

// True when the coordinator should hear of the change at once.
bool IsUrgent(const WorkerView& before, const WorkerView& after) {
  if (before.unhealthy != after.unhealthy || before.held.size() < after.held.size()) return true;
  for (size_t i = 0; i < after.slots.size(); ++i) {
    const Slot::State state = after.slots[i].state;
    const bool wants_answer = state == Slot::State::kIdle || state == Slot::State::kFinished;
    if (wants_answer && (i >= before.slots.size() || before.slots[i] != after.slots[i]))
      return true;
  }
  return false;
}

}  // namespace

Supervisor::Supervisor(Options options)
    : options_(std::move(options)),
      health_({.trainer = options_.trainer,
               .paths = {options_.run_dir->root(), options_.run_dir->checkpoint_root()},
               .free_bytes_min = options_.free_bytes_min}),
      outbox_(WithCallbacks(
          options_.outbox, [this](int64_t id) { Post([this, id] { OnUploaded(id); }); },
          [this](int64_t id) {
            Post([this, id] {
              FeedAttempt(id, SlotEvent::Kind::kFence);
              ForgetHeld(id);
            });
          })) {
  BecomeSubreaper();
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  LOGLOG_CHECK(wake_fd_ >= 0);
  for (size_t i = 0; i < options_.devices.size(); ++i) {
    seats_.push_back(std::make_unique<Seat>(options_.stop_grace_ms));
  }
  Publish();
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() {
  // The next daemon reports what these leave behind.
  PostAndWait([this] { AbandonAll(); });
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  Post([] {});
  thread_.join();
  close(wake_fd_);
}

// Handing work in. -----------------------------------------------------------------------

void Supervisor::Post(std::function<void()> work) {
  MutexLock lock(mutex_);
  posted_.push_back(std::move(work));
  const uint64_t one = 1;
  LOGLOG_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
}

void Supervisor::PostAndWait(const std::function<void()>& work) {
  Mutex done_mutex;
  CondVar done_changed;
  bool done = false;
  Post([&] {
    work();
    Publish();
    MutexLock lock(done_mutex);
    done = true;
    done_changed.NotifyAll();
  });
  MutexLock lock(done_mutex);
  done_changed.Wait(done_mutex, [&] { return done; });
}

void Supervisor::SetStore(const std::string& store) {
  bool same = false;
  PostAndWait([&] {
    same = store == store_;
    if (same || store_.empty()) return;
    spdlog::warn(
        "the coordinator serves another store ({}) than before ({}); stopping its trainers", store,
        store_);
    AbandonAll();
  });
  if (same) return;
  for (bool ready = false; !ready;) {
    PostAndWait([&] {
      ReapEnded();
      ready = !AnyProcess();
      if (ready) TakeUpStore(store);
    });
    if (!ready) poll(nullptr, 0, kReapPollMs);
  }
}

void Supervisor::Apply(const std::vector<SlotWish>& wishes, const std::vector<int64_t>& forget_held,
                       bool stop_all, int64_t lease_deadline_ms) {
  PostAndWait([&] {
    lease_deadline_ms_ = lease_deadline_ms;
    for (const SlotWish& wish : wishes) {
      if (wish.slot < 0 || wish.slot >= static_cast<int>(seats_.size())) {
        spdlog::error("the coordinator spoke of slot {}, but there are {}", wish.slot,
                      seats_.size());
        continue;
      }
      if (wish.kind == SlotEvent::Kind::kRun && (draining_ || stop_all)) continue;
      Feed(*seats_[wish.slot],
           {.kind = wish.kind, .attempt_id = wish.attempt_id, .order = wish.order});
    }
    for (const int64_t attempt_id : forget_held) ForgetHeld(attempt_id);
    if (!stop_all) return;
    for (const auto& seat : seats_) {
      Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
    }
  });
}

void Supervisor::Drain() {
  PostAndWait([this] {
    draining_ = true;
    for (const auto& seat : seats_) {
      Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
    }
  });
}

void Supervisor::KillAll() {
  PostAndWait([this] {
    for (const auto& seat : seats_) {
      Feed(*seat, {.kind = SlotEvent::Kind::kStop, .attempt_id = seat->machine.attempt_id()});
      if (seat->process != nullptr) seat->process->Kill();
    }
  });
}

void Supervisor::StopAttempt(int64_t attempt_id) {
  Post([this, attempt_id] { FeedAttempt(attempt_id, SlotEvent::Kind::kStop); });
}

std::vector<int64_t> Supervisor::HeldAttempts(const std::string& store) const {
  const WorkerView view = View();
  std::vector<int64_t> held = options_.run_dir->ListAttempts(store);
  held.erase(std::remove_if(held.begin(), held.end(),
                            [&](int64_t id) {
                              return std::any_of(
                                  view.slots.begin(), view.slots.end(),
                                  [id](const SlotView& slot) { return slot.attempt_id == id; });
                            }),
             held.end());
  return held;
}

WorkerView Supervisor::View() const {
  MutexLock lock(mutex_);
  return view_;
}

void Supervisor::OnUrgent(std::function<void()> callback) {
  MutexLock lock(callback_mutex_);
  on_urgent_ = std::move(callback);
}

// The thread. ----------------------------------------------------------------------------

void Supervisor::Run() {
  for (;;) {
    RunPosted();
    ReapEnded();
    CheckTimers();
    Publish();
    {
      MutexLock lock(mutex_);
      if (stopping_ && posted_.empty() && !AnyProcess()) return;
    }
    WaitForSomething();
  }
}

void Supervisor::RunPosted() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof(count));
  std::vector<std::function<void()>> work;
  {
    MutexLock lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& item : work) item();
}

void Supervisor::WaitForSomething() {
  std::vector<pollfd> fds = {{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
  int64_t until_ms = next_health_ms_;
  const int64_t now_ms = options_.clock->monotonic_ms();
  for (const auto& seat : seats_) {
    until_ms = std::min(until_ms, seat->machine.NextTick(lease_deadline_ms_));
    const TrainerProcess* process = seat->process.get();
    if (process == nullptr) continue;
    if (seat->child_ended) until_ms = std::min(until_ms, now_ms + kReapPollMs);
    // poll() passes over descriptors of -1.
    fds.push_back({.fd = seat->child_ended ? -1 : process->pidfd(), .events = POLLIN});
    fds.push_back({.fd = process->bell_fd(), .events = POLLIN});
    fds.push_back({.fd = process->output_fd(), .events = POLLIN});
  }
  poll(fds.data(), fds.size(), static_cast<int>(std::clamp<int64_t>(until_ms - now_ms, 0, 60'000)));
  size_t next = 1;
  for (const auto& seat : seats_) {
    if (seat->process == nullptr) continue;
    if (fds[next].revents != 0) seat->child_ended = true;
    if (fds[next + 1].revents != 0 && seat->process->DrainBell()) {
      outbox_.Bell(seat->machine.attempt_id());
    }
    if (fds[next + 2].revents != 0) seat->process->DrainOutput();
    next += 3;
  }
}

void Supervisor::ReapEnded() {
  for (const auto& seat : seats_) {
    ExitStatus status;
    if (seat->process != nullptr && seat->process->TryReap(&status)) OnReaped(*seat, status);
  }
}

void Supervisor::CheckTimers() {
  const int64_t now_ms = options_.clock->monotonic_ms();
  for (const auto& seat : seats_) {
    const bool over = now_ms >= lease_deadline_ms_ && seat->machine.NextTick(kNever) != kNever;
    if (over) spdlog::debug("attempt {}: the lease is over", seat->machine.attempt_id());
    Feed(*seat, {.kind = SlotEvent::Kind::kTick, .lease_deadline_ms = lease_deadline_ms_});
  }
  if (now_ms < next_health_ms_) return;
  next_health_ms_ = now_ms + kHealthPeriodMs;
  std::string problem = CheckHealth(health_);
  if (problem.empty() && now_ms < spawn_problem_until_ms_) problem = spawn_problem_;
  if (problem != unhealthy_) {
    if (problem.empty()) spdlog::info("healthy again");
    if (!problem.empty()) spdlog::error("taking no work: {}", problem);
    unhealthy_ = problem;
  }
}

void Supervisor::Publish() {
  WorkerView view;
  view.unhealthy = unhealthy_;
  view.busy = !held_.empty();
  for (const auto& seat : seats_) {
    const Slot& machine = seat->machine;
    SlotView slot{.state = machine.state(), .attempt_id = machine.attempt_id()};
    if (slot.state == Slot::State::kFinished) slot.outcome = machine.outcome();
    view.busy = view.busy || slot.state != Slot::State::kIdle;
    view.slots.push_back(std::move(slot));
  }
  for (const auto& [attempt_id, held] : held_) {
    if (held.uploaded) view.held[attempt_id] = held.outcome;
  }
  bool urgent = false;
  {
    MutexLock lock(mutex_);
    urgent = IsUrgent(view_, view);
    view.urgent = view_.urgent + (urgent ? 1 : 0);
    view_ = std::move(view);
  }
  if (!urgent) return;
  MutexLock lock(callback_mutex_);
  if (on_urgent_) on_urgent_();
}

bool Supervisor::AnyProcess() const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [](const auto& seat) { return seat->process != nullptr; });
}

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
      return seat.process->Kill();
    case SlotAction::Kind::kUpload:
      return outbox_.Seal(action.attempt_id, action.last_seq);
    case SlotAction::Kind::kForget:
      outbox_.Drop(action.attempt_id);
      return options_.run_dir->Forget(store_, action.attempt_id);
    case SlotAction::Kind::kKeep:
      return outbox_.Drop(action.attempt_id);
  }
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
        TrainerProcess::Start(options_.trainer, dir);
    if (process.ok()) seat.process = *std::move(process);
    status = process.status();
  }
  if (status.ok()) {
    seat.child_ended = false;
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
    next_health_ms_ = 0;
  }
  outcome.message = CleanMessage(status.message());
  spdlog::error("attempt {} of task {} does not start: {}", attempt_id, order.task_id,
                outcome.message);
  outbox_.Add(attempt_id, dir + "/events.jsonl");
  Feed(seat, {.kind = SlotEvent::Kind::kEnded, .attempt_id = attempt_id, .outcome = outcome});
}

void Supervisor::OnReaped(Seat& seat, const ExitStatus& status) {
  const int64_t attempt_id = seat.machine.attempt_id();
  const StopCause cause = seat.machine.stop_cause();
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
  if (held_.erase(attempt_id) == 0) return;
  outbox_.Drop(attempt_id);
  options_.run_dir->Forget(store_, attempt_id);
}

void Supervisor::TakeUpStore(const std::string& store) {
  for (const auto& [attempt_id, held] : held_) outbox_.Drop(attempt_id);
  held_.clear();
  store_ = store;
  for (const int64_t attempt_id : options_.run_dir->ListAttempts(store)) {
    const absl::StatusOr<Outcome> outcome = options_.run_dir->RecoverOutcome(store, attempt_id);
    if (!outcome.ok()) {
      spdlog::error("attempt {} of an earlier daemon: {}", attempt_id,
                    std::string(outcome.status().message()));
      continue;
    }
    spdlog::info("attempt {} of an earlier daemon is reported as {}", attempt_id,
                 std::string(OutcomeName(outcome->kind)));
    held_[attempt_id] = {.outcome = *outcome};
    outbox_.Add(attempt_id, options_.run_dir->AttemptDir(store, attempt_id) + "/events.jsonl");
    outbox_.Seal(attempt_id, outcome->last_seq);
  }
}

}  // namespace loglog::worker
