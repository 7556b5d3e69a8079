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

// A look at the disks that takes longer means a file system that hangs.
constexpr int64_t kHealthTimeoutMs = 10'000;
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

TrainerProcess& ProcessOf(const Seat& seat) { return static_cast<TrainerProcess&>(*seat.trainer); }

}  // namespace

Supervisor::Supervisor(Options options)
    : options_(std::move(options)),
      health_({.trainer = options_.trainer,
               .paths = {options_.run_dir->root(), options_.run_dir->checkpoint_root()},
               .free_bytes_min = options_.free_bytes_min}),
      outbox_(WithCallbacks(
          options_.outbox, [this](int64_t id) { Post([this, id] { seats_.OnUploaded(id); }); },
          [this](int64_t id) { Post([this, id] { seats_.FenceAttempt(id); }); })),
      lease_guard_(options_.clock),
      survivors_(options_.survivors),
      files_(std::make_unique<FileThread>()),
      looks_(std::make_unique<FileThread>()),
      seats_({.run_dir = options_.run_dir,
              .devices = options_.devices,
              .stop_grace_ms = options_.stop_grace_ms,
              .clock = options_.clock,
              .outbox = &outbox_,
              .start =
                  [this](const std::string& dir) {
                    return TrainerProcess::Start(options_.trainer, dir, &lease_guard_);
                  },
              .away =
                  [this](std::function<void()> work, std::function<void()> done) {
                    files_->Post([this, work = std::move(work), done = std::move(done)] {
                      work();
                      Post(done);
                    });
                  },
              .on_ended =
                  [this](int slot, const Outcome& outcome) {
                    device_watch_.OnEnded(slot, outcome, options_.clock->monotonic_ms());
                  }}),
      device_watch_(options_.devices),
      clock_watch_(options_.clock->monotonic_ms(), options_.clock->wall_ms()) {
  if (options_.read_gpus) gpus_ = std::make_unique<FileThread>();
  BecomeSubreaper();
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  LOGLOG_CHECK(wake_fd_ >= 0);
  // Known before the first report, so that a host that is not well gets no work.
  host_problem_ = LookAtHost();
  unhealthy_ = host_problem_;
  if (!unhealthy_.empty()) spdlog::error("taking no work: {}", unhealthy_);
  next_health_ms_ = options_.clock->monotonic_ms() + options_.health_period_ms;
  Publish();
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() {
  // The next daemon reports what these leave behind.
  PostAndWait([this] { seats_.AbandonAll(); });
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  Post([] {});
  thread_.join();
  files_.reset();  // what they still do posts here
  looks_.reset();
  gpus_.reset();
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
    same = seats_.Serves(store);
    if (!same) seats_.LeaveStore(store);
  });
  if (same) return absl::OkStatus();
  for (;;) {
    bool ready = false;
    std::string stuck;
    PostAndWait([&] {
      seats_.ReapEnded();
      ready = !seats_.AnyTrainer();
      if (ready) seats_.TakeUpStore(store);
      if (!ready && !seats_.AnyEnding()) stuck = seats_.StuckProblem();
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
  PostAndWait([&] { seats_.Apply(wishes, forget_held, stop_all, lease_deadline_ms); });
}

void Supervisor::Drain() {
  PostAndWait([this] { seats_.Drain(); });
}

void Supervisor::KillAll() {
  PostAndWait([this] { seats_.KillAll(); });
}

void Supervisor::StopAttempt(int64_t attempt_id) {
  Post([this, attempt_id] { seats_.StopAttempt(attempt_id); });
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
    seats_.ReapEnded();
    seats_.Tick();
    CheckHost();
    Publish();
    {
      MutexLock lock(mutex_);
      if (stopping_ && posted_.empty() && !seats_.AnyEnding()) break;
    }
    WaitForSomething();
  }
  seats_.LeaveStuckBehind();
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
  int64_t until_ms = std::min(next_health_ms_, seats_.NextTick());
  const int64_t now_ms = options_.clock->monotonic_ms();
  for (const auto& seat : seats_.seats()) {
    if (seat->trainer == nullptr) continue;
    const TrainerProcess& process = ProcessOf(*seat);
    if (seat->child_ended) until_ms = std::min(until_ms, now_ms + kReapPollMs);
    // poll() passes over descriptors of -1.
    fds.push_back({.fd = seat->child_ended ? -1 : process.pidfd(), .events = POLLIN});
    fds.push_back({.fd = process.bell_fd(), .events = POLLIN});
    fds.push_back({.fd = process.output_fd(), .events = POLLIN});
  }
  poll(fds.data(), fds.size(), static_cast<int>(std::clamp<int64_t>(until_ms - now_ms, 0, 60'000)));
  size_t next = 1;
  for (const auto& seat : seats_.seats()) {
    if (seat->trainer == nullptr) continue;
    TrainerProcess& process = ProcessOf(*seat);
    if (fds[next].revents != 0) {
      // Reaping it kills the rest of its group.
      seat->child_ended = true;
      seat->kill_sent_ms = std::min(seat->kill_sent_ms, options_.clock->monotonic_ms());
    }
    if (fds[next + 1].revents != 0 && process.DrainBell()) {
      outbox_.Bell(seat->machine.attempt_id());
    }
    if (fds[next + 2].revents != 0) process.DrainOutput();
    next += 3;
  }
}

// Another thread looks, because a file system that hangs must not hold up this one.
void Supervisor::CheckHost() {
  const int64_t now_ms = options_.clock->monotonic_ms();
  const std::string problem = Problem(now_ms);
  if (problem != unhealthy_) {
    if (problem.empty()) spdlog::info("healthy again");
    if (!problem.empty()) spdlog::error("taking no work: {}", problem);
    unhealthy_ = problem;
  }
  CheckGpus(now_ms);
  if (now_ms < next_health_ms_) return;
  const std::string moved = clock_watch_.Look(now_ms, options_.clock->wall_ms());
  if (!moved.empty()) spdlog::warn("{}", moved);
  next_health_ms_ = now_ms + options_.health_period_ms;
  if (health_pending_) return;
  health_pending_ = true;
  health_asked_ms_ = now_ms;
  // Not behind what is being removed, which may be much and says nothing of the file system.
  looks_->Post([this] {
    Post([this, problem = LookAtHost()] {
      health_pending_ = false;
      host_problem_ = problem;
    });
  });
}

// A driver that hangs must not hold up the look at the disks either.
void Supervisor::CheckGpus(int64_t now_ms) {
  if (gpus_ == nullptr || gpu_look_pending_ || now_ms < next_gpu_look_ms_) return;
  next_gpu_look_ms_ = now_ms + options_.gpu_period_ms;
  gpu_look_pending_ = true;
  gpus_->Post([this] {
    Post([this, readings = options_.read_gpus()] {
      gpu_look_pending_ = false;
      device_watch_.OnReadings(readings);
    });
  });
}

std::string Supervisor::LookAtHost() {
  std::string problem = CheckHealth(health_);
  if (problem.empty()) problem = CheckSurvivors(&survivors_);
  return problem;
}

std::string Supervisor::Problem(int64_t now_ms) const {
  std::string stuck = seats_.StuckProblem();
  if (!stuck.empty()) return stuck;
  if (health_pending_ && now_ms - health_asked_ms_ >= kHealthTimeoutMs) {
    return absl::StrCat("the file system of ", options_.run_dir->root(), " or ",
                        options_.run_dir->checkpoint_root(),
                        " does not answer; look at its mount and its server");
  }
  if (!host_problem_.empty()) return host_problem_;
  std::string device = device_watch_.Problem(now_ms);
  if (!device.empty()) return device;
  return seats_.SpawnProblem();
}

void Supervisor::Publish() {
  WorkerView view;
  view.unhealthy = unhealthy_;
  seats_.Fill(&view);
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

}  // namespace loglog::worker
