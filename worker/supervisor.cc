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
// A look at the disks that takes longer means a file system that hangs.
constexpr int64_t kHealthTimeoutMs = 10'000;
// What SIGKILL has not ended after so long is stuck in the kernel.
constexpr int64_t kStuckMs = 10'000;
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
          })),
      lease_guard_(options_.clock),
      survivors_(options_.survivors),
      files_(std::make_unique<FileThread>()) {
  BecomeSubreaper();
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  LOGLOG_CHECK(wake_fd_ >= 0);
  for (size_t i = 0; i < options_.devices.size(); ++i) {
    seats_.push_back(std::make_unique<Seat>(options_.stop_grace_ms));
  }
  // Known before the first report, so that a host that is not well gets no work.
  host_problem_ = LookAtHost();
  unhealthy_ = host_problem_;
  if (!unhealthy_.empty()) spdlog::error("taking no work: {}", unhealthy_);
  next_health_ms_ = options_.clock->monotonic_ms() + kHealthPeriodMs;
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
  files_.reset();  // what it still does posts here
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

absl::Status Supervisor::SetStore(const std::string& store) {
  bool same = false;
  PostAndWait([&] {
    same = store == store_ && !leaving_store_;
    if (same || store_.empty()) return;
    spdlog::warn(
        "the coordinator serves another store ({}) than before ({}); stopping its trainers", store,
        store_);
    leaving_store_ = true;
    AbandonAll();
  });
  if (same) return absl::OkStatus();
  for (;;) {
    bool ready = false;
    std::string stuck;
    PostAndWait([&] {
      ReapEnded();
      ready = !AnyProcess();
      if (ready) TakeUpStore(store);
      if (!ready && !AnyEnding()) stuck = StuckProblem(options_.clock->monotonic_ms());
    });
    if (ready) return absl::OkStatus();
    if (!stuck.empty()) {
      return absl::UnavailableError(absl::StrCat("cannot serve store ", store, ": ", stuck));
    }
    poll(nullptr, 0, kReapPollMs);
  }
}

void Supervisor::Apply(const std::vector<SlotWish>& wishes, const std::vector<int64_t>& forget_held,
                       bool stop_all, int64_t lease_deadline_ms) {
  // Not by the supervisor's thread, which may be held up.
  lease_guard_.SetDeadline(lease_deadline_ms);
  PostAndWait([&] {
    lease_deadline_ms_ = lease_deadline_ms;
    for (const SlotWish& wish : wishes) {
      if (wish.slot < 0 || wish.slot >= static_cast<int>(seats_.size())) {
        spdlog::error("the coordinator spoke of slot {}, but there are {}", wish.slot,
                      seats_.size());
        continue;
      }
      const bool run = wish.kind == SlotEvent::Kind::kRun;
      if (run && (draining_ || stop_all || IsTaken(wish.order))) continue;
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
      if (seat->process == nullptr) continue;
      seat->process->Kill();
      seat->kill_sent_ms = std::min(seat->kill_sent_ms, options_.clock->monotonic_ms());
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
      if (stopping_ && posted_.empty() && !AnyEnding()) break;
    }
    WaitForSomething();
  }
  LeaveStuckBehind();
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
    if (fds[next].revents != 0) {
      // Reaping it kills the rest of its group.
      seat->child_ended = true;
      seat->kill_sent_ms = std::min(seat->kill_sent_ms, options_.clock->monotonic_ms());
    }
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
  CheckHost(now_ms);
  const std::string problem = Problem(now_ms);
  if (problem != unhealthy_) {
    if (problem.empty()) spdlog::info("healthy again");
    if (!problem.empty()) spdlog::error("taking no work: {}", problem);
    unhealthy_ = problem;
  }
}

// Another thread looks, because a file system that hangs must not hold up this one.
void Supervisor::CheckHost(int64_t now_ms) {
  if (now_ms < next_health_ms_) return;
  next_health_ms_ = now_ms + kHealthPeriodMs;
  if (health_pending_) return;
  health_pending_ = true;
  health_asked_ms_ = now_ms;
  files_->Post([this] {
    Post([this, problem = LookAtHost()] {
      health_pending_ = false;
      host_problem_ = problem;
    });
  });
}

std::string Supervisor::LookAtHost() {
  std::string problem = CheckHealth(health_);
  if (problem.empty()) problem = CheckSurvivors(&survivors_);
  return problem;
}

std::string Supervisor::Problem(int64_t now_ms) const {
  std::string stuck = StuckProblem(now_ms);
  if (!stuck.empty()) return stuck;
  if (health_pending_ && now_ms - health_asked_ms_ >= kHealthTimeoutMs) {
    return absl::StrCat("the file system of ", options_.run_dir->root(), " or ",
                        options_.run_dir->checkpoint_root(),
                        " does not answer; look at its mount and its server");
  }
  if (!host_problem_.empty()) return host_problem_;
  return now_ms < spawn_problem_until_ms_ ? spawn_problem_ : "";
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

bool Supervisor::IsStuck(const Seat& seat, int64_t now_ms) const {
  return seat.process != nullptr && seat.kill_sent_ms != kNever &&
         now_ms - seat.kill_sent_ms >= kStuckMs;
}

std::string Supervisor::StuckProblem(int64_t now_ms) const {
  for (const auto& seat : seats_) {
    if (IsStuck(*seat, now_ms)) return ProcessDoesNotEnd(seat->process->pid());
  }
  return "";
}

bool Supervisor::AnyEnding() const {
  const int64_t now_ms = options_.clock->monotonic_ms();
  return std::any_of(seats_.begin(), seats_.end(), [&](const auto& seat) {
    return seat->process != nullptr && !IsStuck(*seat, now_ms);
  });
}

void Supervisor::LeaveStuckBehind() {
  // Their destructors would wait for them again. The daemon is about to end; the next one
  // finds them by their pid files.
  static auto* const left_behind = new std::vector<std::unique_ptr<TrainerProcess>>();
  for (const auto& seat : seats_) {
    if (seat->process == nullptr) continue;
    spdlog::error("leaving all the same: {}", ProcessDoesNotEnd(seat->process->pid()));
    left_behind->push_back(std::move(seat->process));
  }
}

}  // namespace loglog::worker
