#include "tests/sim/worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "loglog/v1/common.pb.h"
#include "tests/sim/worker_crash.h"
#include "worker/session.h"
#include "worker/wire.h"

namespace loglog::sim {
namespace {

// As worker/sync_loop.cc and metric_stream.cc have them.
constexpr int64_t kRegisterTimeoutMs = 10'000;
constexpr int64_t kSyncSlackMs = 5'000;
constexpr int64_t kQuietPauseMs = 100;
constexpr int64_t kAnswerTimeoutMs = 30'000;
constexpr int64_t kBackoffFirstMs = 100;
constexpr int64_t kBackoffLimitMs = 3'000;
constexpr int64_t kLookMs = 50;
constexpr int64_t kHealthMs = 2'000;
constexpr int64_t kLatelyMs = 5 * 60'000;

constexpr int64_t kStopGraceMs = 3'000;

}  // namespace

struct Worker::Daemon {
  std::unique_ptr<worker::RunDir> run_dir;
  std::unique_ptr<worker::Outbox> outbox;
  std::unique_ptr<worker::Seats> seats;
  worker::WorkerView view;
  std::string boot_id;
  bool booted = false;  // it has had a session
  int64_t epoch = 0;
  int64_t lease_ms = 0;
  int64_t lease_margin_ms = 0;
  int64_t lease_deadline_ms = 0;
  int64_t sync_interval_ms = 0;
  int64_t last_call = 0;
  bool calling = false;     // a sync is on its way
  bool looping = false;     // the loop's next step is due
  bool taken_back = false;  // the last sync was
  bool news = false;        // for the coordinator, since the last sync left
  worker::WorkerView told;  // by the last sync, which might park so long:
  int64_t told_wait_ms = 0;
  bool draining = false;
  worker::Backoff backoff{kBackoffFirstMs, kBackoffLimitMs, 1};
  int64_t stream = 0;
  int64_t stream_epoch = 0;
  int64_t stream_not_before_ms = 0;
  bool pumping = false;
  worker::Backoff stream_backoff{kBackoffFirstMs, kBackoffLimitMs, 2};
};

Worker::Worker(Options options)
    : options_(std::move(options)),
      world_(options_.world),
      network_(options_.network),
      id_(absl::StrCat("w", options_.index)),
      clock_(world_, options_.clock_rate, options_.wall_offset_ms),
      disk_(world_) {}

Worker::~Worker() { KillDaemon(0); }

// ---- the daemon's life

void Worker::StartDaemon() {
  if (daemon_ != nullptr) return;
  // KillSurvivors: no daemon starts beside a trainer of the one before.
  for (const std::shared_ptr<Process>& process : processes_) process->Kill();
  processes_.clear();
  world_->Note(absl::StrCat(id_, " starts"));
  const int64_t life = ++life_;
  auto run_dir = worker::RunDir::Open({.root = options_.root, .name = id_});
  LOGLOG_CHECK(run_dir.ok());
  daemon_ = std::make_unique<Daemon>();
  Daemon& d = *daemon_;
  d.run_dir = *std::move(run_dir);
  d.boot_id = absl::StrCat("boot", ++boots_);
  const auto later = [this, life](std::function<void()> action) {
    if (life == life_) AsDaemon(0, std::move(action));
  };
  d.outbox = std::make_unique<worker::Outbox>(worker::Outbox::Options{
      .clock = &clock_,
      .on_uploaded =
          [this, later](int64_t id) {
            later([this, id] {
              daemon_->seats->OnUploaded(id);
              Changed();
            });
          },
      .on_fenced =
          [this, later](int64_t id) {
            later([this, id] {
              world_->Note(absl::StrCat(id_, ": attempt ", id, " is fenced off"));
              daemon_->seats->FenceAttempt(id);
              Changed();
            });
          }});
  std::vector<worker::Device> devices(options_.slots);
  d.seats = std::make_unique<worker::Seats>(
      worker::Seats::Options{.run_dir = d.run_dir.get(),
                             .devices = devices,
                             .stop_grace_ms = kStopGraceMs,
                             .clock = &clock_,
                             .outbox = d.outbox.get(),
                             .start = [this](const std::string& dir) { return StartTrainer(dir); },
                             .away =
                                 [this](std::function<void()> work, std::function<void()> done) {
                                   // The daemon may die before, in between or after.
                                   const int64_t life = life_;
                                   world_->After(world_->About(5), [this, life, work, done] {
                                     if (life != life_) return;
                                     AsDaemon(0, [work, done] {
                                       work();
                                       done();
                                     });
                                   });
                                 }});
  d.seats->Fill(&d.view);
  LoopAfter(world_->About(20));
  LookAround();
}

// What nobody tells of: trainers that ended, and timers.
void Worker::LookAround() {
  AsDaemon(kLookMs, [this] {
    daemon_->seats->ReapEnded();
    daemon_->seats->Tick();
    if (world_->now_ms() >= disk_looked_ms_ + kHealthMs) {
      disk_looked_ms_ = world_->now_ms();
      disk_problem_ = disk_.full() ? "disk almost full (simulated)" : "";
    }
    Changed();
    LookAround();
  });
}

void Worker::KillDaemon(int64_t survivors_ms) {
  if (daemon_ == nullptr) return;
  world_->Note(absl::StrCat(id_, " is killed"));
  ++life_;
  if (daemon_->stream != 0) network_->CloseStream(daemon_->stream);
  // The kernel kills a trainer whose parent is gone, mostly at once.
  std::vector<std::shared_ptr<Process>> living;
  for (const std::shared_ptr<Process>& process : processes_) {
    if (process->alive()) living.push_back(process);
  }
  for (auto& seat : daemon_->seats->seats()) {
    if (survivors_ms > 0 && seat->trainer != nullptr) {
      static_cast<SimTrainer*>(seat->trainer.get())->LetGo();
    }
  }
  daemon_.reset();
  for (const std::shared_ptr<Process>& process : living) {
    world_->After(survivors_ms, [process] { process->Kill(); });
  }
}

void Worker::StopDaemon(int64_t ms) {
  stopped_until_ms_ = std::max(stopped_until_ms_, world_->now_ms() + ms);
  slept_until_ms_ = std::max(slept_until_ms_, stopped_until_ms_);
  world_->Note(absl::StrCat(id_, "'s daemon stops for ", ms, " ms"));
}

void Worker::StopHost(int64_t ms) {
  StopDaemon(ms);
  host_stopped_until_ms_ = std::max(host_stopped_until_ms_, world_->now_ms() + ms);
}

void Worker::BreakStream() { network_->BreakStreams(options_.index); }

void Worker::SetUnhealthy(const std::string& why) {
  unhealthy_ = why;
  if (daemon_ != nullptr) AsDaemon(0, [this] { Changed(); });
}

void Worker::DrainDaemon() {
  if (daemon_ == nullptr) return;
  AsDaemon(0, [this] {
    world_->Note(absl::StrCat(id_, " drains"));
    daemon_->draining = true;
    daemon_->seats->Drain();
    Changed();
  });
}

void Worker::FillDisk(int64_t ms) {
  world_->Note(absl::StrCat(id_, "'s disk is full for ", ms, " ms"));
  disk_.Fill(ms);
}

bool Worker::RunsUnderLease(int64_t attempt_id) const {
  if (daemon_ == nullptr || clock_.monotonic_ms() >= daemon_->lease_deadline_ms) return false;
  const auto& slots = daemon_->view.slots;
  return std::any_of(slots.begin(), slots.end(), [&](const worker::SlotView& slot) {
    return slot.attempt_id == attempt_id && slot.state == worker::Slot::State::kRunning;
  });
}

bool Worker::WasUnhealthy() const {
  return said_unhealthy_ms_ >= 0 && world_->now_ms() < said_unhealthy_ms_ + kLatelyMs;
}

bool Worker::Idle() const { return daemon_ == nullptr || !daemon_->view.busy; }

void Worker::AsDaemon(int64_t delay_ms, std::function<void()> action) {
  world_->After(delay_ms, [this, life = life_, action = std::move(action)]() mutable {
    if (life != life_ || daemon_ == nullptr) return;
    const int64_t wait_ms = stopped_until_ms_ - world_->now_ms();
    if (wait_ms > 0) return AsDaemon(wait_ms, std::move(action));
    try {
      const HostDisk::Use use(disk_);
      action();
    } catch (const WorkerCrash&) {
      KillDaemon(0);
      world_->After(100 + world_->About(5'000), [this] { StartDaemon(); });
    }
  });
}

absl::StatusOr<std::unique_ptr<worker::Trainer>> Worker::StartTrainer(
    const std::string& attempt_dir) {
  if (options_.start_fails()) return absl::ResourceExhaustedError("fork: no memory (simulated)");
  std::erase_if(processes_, [](const auto& process) { return !process->alive(); });
  int held = 0;
  for (const auto& process : processes_) held += process->slots();
  int slots = 1;
  for (const auto& seat : daemon_->seats->seats()) {
    if (absl::EndsWith(attempt_dir, absl::StrCat("/attempt-", seat->machine.attempt_id()))) {
      slots += static_cast<int>(seat->machine.followers().size());
    }
  }
  if (held + slots > options_.slots) options_.on_crowded(*this);
  const auto process = std::make_shared<Process>(Process::Options{
      .world = world_,
      .disk = &disk_,
      .attempt_dir = attempt_dir,
      .slots = slots,
      // Some trials outlast a lease.
      .step_ms = world_->Chance(0.3) ? world_->Between(500, 2'500) : world_->Between(5, 60),
      .misfortune = options_.misfortune(),
      .diverge_at = options_.diverge_at,
      .stopped_until_ms = [this] { return host_stopped_until_ms_; },
      .bell =
          [this, attempt_dir] {
            if (daemon_ == nullptr || world_->Chance(0.1)) return;
            for (const auto& seat : daemon_->seats->seats()) {
              daemon_->outbox->Bell(seat->machine.attempt_id());
            }
          },
      .fill_disk = [this] { FillDisk(world_->About(15'000)); },
      .on_start = [this](const Process& started) { options_.on_start(*this, started); }});
  processes_.push_back(process);
  process->Start();
  return std::make_unique<SimTrainer>(process, ++last_pid_);
}

// As the supervisor publishes: what is urgent wakes the loop.
void Worker::Changed() {
  Daemon& d = *daemon_;
  worker::WorkerView view;
  const std::string spawn = d.seats->SpawnProblem();
  view.unhealthy = !unhealthy_.empty()      ? unhealthy_
                   : !disk_problem_.empty() ? disk_problem_
                                            : spawn;
  d.seats->Fill(&view);
  bool urgent = view.unhealthy != d.view.unhealthy || view.held.size() > d.view.held.size();
  for (size_t i = 0; i < view.slots.size(); ++i) {
    const worker::Slot::State state = view.slots[i].state;
    const bool wants_answer =
        state == worker::Slot::State::kIdle || state == worker::Slot::State::kFinished;
    urgent = urgent || (wants_answer && view.slots[i] != d.view.slots[i]);
  }
  d.view = std::move(view);
  PumpLater();
  if (!urgent) return;
  d.news = true;
  if (d.calling && !d.taken_back) {
    // The call is taken back; its answer, if there is one, is dropped.
    d.calling = false;
    ++d.last_call;
    d.taken_back = true;
    LoopAfter(0);
  }
}

// ---- the sync loop

void Worker::LoopAfter(int64_t delay_ms) {
  if (std::exchange(daemon_->looping, true)) return;
  AsDaemon(delay_ms, [this] {
    daemon_->looping = false;
    Loop();
  });
}

void Worker::Loop() {
  Daemon& d = *daemon_;
  if (d.calling) return;
  if (d.draining && d.epoch != 0 && !d.view.busy) {
    // Its last word is on the way; a new daemon comes some time later.
    const bool told = world_->Chance(0.8);
    if (told) Sync();
    const int64_t life = life_;
    world_->After(200 + world_->About(2'000), [this, life] {
      if (life != life_) return;
      KillDaemon(0);
      StartDaemon();
    });
    return;
  }
  if (d.epoch == 0) {
    Register();
  } else {
    Sync();
  }
}

void Worker::Register() {
  Daemon& d = *daemon_;
  const std::string store = d.run_dir->LastStore();
  v1::RegisterWorkerRequest request;
  request.set_protocol(v1::PROTOCOL_CURRENT);
  request.set_worker_id(id_);
  request.set_boot_id(d.boot_id);
  request.set_version("sim");
  request.set_host(id_);
  for (const auto& [key, value] : options_.labels()) (*request.mutable_labels())[key] = value;
  for (int i = 0; i < options_.slots; ++i) {
    v1::SlotInfo* const slot = request.add_slots();
    slot->set_slot(i);
    slot->set_device("cpu");
  }
  for (const int64_t attempt_id : d.run_dir->ListAttempts(store)) {
    const bool seated = std::any_of(
        d.view.slots.begin(), d.view.slots.end(),
        [attempt_id](const worker::SlotView& slot) { return slot.attempt_id == attempt_id; });
    if (!seated) request.add_held(attempt_id);
  }
  d.calling = true;
  const int64_t call = ++d.last_call;
  const std::set<int64_t> held(request.held().begin(), request.held().end());
  network_->Register(
      options_.index, request, kRegisterTimeoutMs,
      [this, life = life_, call, store, held](absl::StatusOr<v1::RegisterWorkerResponse> answer) {
        if (life != life_) return;
        AsDaemon(0, [this, call, store, held, answer = std::move(answer)] {
          if (call != daemon_->last_call) return;
          daemon_->calling = false;
          OnRegistered(answer, store, held);
        });
      });
}

void Worker::OnRegistered(const absl::StatusOr<v1::RegisterWorkerResponse>& response,
                          const std::string& assumed_store, const std::set<int64_t>& held) {
  Daemon& d = *daemon_;
  if (!response.ok()) return LoopAfter(d.backoff.NextMs());
  if (!d.run_dir->SetLastStore(response->store_id()).ok()) return LoopAfter(d.backoff.NextMs());
  if (response->store_id() != assumed_store &&
      (!held.empty() || !d.run_dir->ListAttempts(response->store_id()).empty())) {
    d.boot_id = absl::StrCat("boot", ++boots_);
    return LoopAfter(0);
  }
  if (!d.seats->Serves(response->store_id())) {
    LOGLOG_CHECK(!d.seats->AnyTrainer());  // there is one store here
    d.seats->TakeUpStore(response->store_id());
  }
  d.epoch = response->session_epoch();
  if (!std::exchange(d.booted, true)) options_.on_booted(*this, d.boot_id, d.epoch, held);
  d.lease_ms = response->lease_ms();
  d.lease_margin_ms = std::min(response->lease_margin_ms(), d.lease_ms / 2);
  d.sync_interval_ms = response->sync_interval_ms();
  d.backoff.Reset();
  world_->Note(absl::StrCat(id_, " is registered, session ", d.epoch));
  Changed();
  LoopAfter(0);
}

void Worker::Sync() {
  Daemon& d = *daemon_;
  int64_t wait_ms = std::min(d.sync_interval_ms, (d.lease_ms - d.lease_margin_ms) / 3);
  if (d.taken_back) wait_ms = 0;
  if (d.draining) wait_ms = std::min<int64_t>(wait_ms, 500);
  v1::SyncWorkerRequest request = worker::ToProto(d.view);
  request.set_worker_id(id_);
  request.set_session_epoch(d.epoch);
  request.set_draining(d.draining);
  request.set_wait_ms(wait_ms);
  const auto alive = std::count_if(processes_.begin(), processes_.end(),
                                   [](const auto& process) { return process->alive(); });
  const auto taken = std::count_if(
      d.view.slots.begin(), d.view.slots.end(),
      [](const worker::SlotView& slot) { return slot.state != worker::Slot::State::kIdle; });
  if (alive > taken) options_.on_idle_untrue(*this);
  if (!d.view.unhealthy.empty()) said_unhealthy_ms_ = world_->now_ms();
  d.news = false;
  d.told = d.view;
  d.told_wait_ms = wait_ms;
  d.calling = true;
  const int64_t call = ++d.last_call;
  const int64_t sent_ms = clock_.monotonic_ms();
  network_->Sync(options_.index, request, wait_ms + kSyncSlackMs,
                 [this, life = life_, call, sent_ms,
                  epoch = d.epoch](absl::StatusOr<v1::SyncWorkerResponse> answer) {
                   if (life != life_) return;
                   AsDaemon(0, [this, call, sent_ms, epoch, answer = std::move(answer)] {
                     OnSynced(call, sent_ms, epoch, answer);
                   });
                 });
}

void Worker::OnSynced(int64_t call, int64_t sent_ms, int64_t epoch,
                      const absl::StatusOr<v1::SyncWorkerResponse>& response) {
  Daemon& d = *daemon_;
  if (call != d.last_call || !d.calling) return;  // it was taken back
  d.calling = false;
  d.taken_back = false;
  if (!response.ok()) {
    if (worker::SaysStaleSession(response.status().message()) && d.epoch == epoch) {
      d.epoch = 0;
      return LoopAfter(0);
    }
    return LoopAfter(d.backoff.NextMs());
  }
  d.backoff.Reset();
  if (response->lease_ms() > 0) {
    d.lease_ms = response->lease_ms();
    d.lease_margin_ms = std::min(d.lease_margin_ms, d.lease_ms / 2);
  }
  NoteForgotten(*response);
  if (response->sync_interval_ms() > 0) d.sync_interval_ms = response->sync_interval_ms();
  d.lease_deadline_ms = sent_ms + d.lease_ms - d.lease_margin_ms;
  d.seats->Apply(worker::WishesFromProto(*response),
                 std::vector<int64_t>(response->forget().begin(), response->forget().end()),
                 response->drain(), d.lease_deadline_ms);
  Changed();
  const bool quick = clock_.monotonic_ms() - sent_ms < d.told_wait_ms;
  LoopAfter(!d.news && quick && d.view.SameReport(d.told) ? kQuietPauseMs : 0);
}

void Worker::NoteForgotten(const v1::SyncWorkerResponse& response) {
  const auto ended_well = [](const worker::Outcome& outcome) {
    return outcome.kind == worker::Outcome::Kind::kDone ||
           outcome.kind == worker::Outcome::Kind::kDiverged;
  };
  const worker::WorkerView& view = daemon_->view;
  for (const v1::SlotDesired& desired : response.slots()) {
    const int64_t forgotten = desired.action() == v1::SlotDesired::FORGET
                                  ? desired.attempt_id()
                                  : desired.forget_attempt_id();
    const worker::SlotView& slot = view.slots.at(desired.slot());
    if (slot.state == worker::Slot::State::kFinished && slot.attempt_id == forgotten &&
        ended_well(slot.outcome)) {
      options_.on_forgotten(slot.attempt_id);
    }
  }
  for (const int64_t attempt_id : response.forget()) {
    const auto held = view.held.find(attempt_id);
    if (held != view.held.end() && ended_well(held->second)) options_.on_forgotten(attempt_id);
  }
}

// ---- the metric stream

void Worker::PumpLater() {
  if (!std::exchange(daemon_->pumping, true)) {
    AsDaemon(1, [this] {
      daemon_->pumping = false;
      Pump();
    });
  }
}

void Worker::Pump() {
  Daemon& d = *daemon_;
  if (d.stream != 0 && d.stream_epoch != d.epoch) {
    network_->CloseStream(d.stream);
    d.stream = 0;
    d.outbox->Restart();
  }
  if (d.epoch == 0 || world_->now_ms() < d.stream_not_before_ms) return;
  worker::EventBatch batch;
  while (d.outbox->NextBatch(0, &batch)) {
    if (d.stream == 0) {
      d.stream_epoch = d.epoch;
      const auto mine = [this, life = life_](std::function<void()> action) {
        if (life == life_) AsDaemon(0, std::move(action));
      };
      d.stream = network_->OpenStream(
          options_.index, {.on_ack =
                               [this, mine](int64_t stream, const v1::MetricAck& ack) {
                                 mine([this, stream, ack] { OnAck(stream, ack); });
                               },
                           .on_end =
                               [this, mine](int64_t stream, const absl::Status& status) {
                                 mine([this, stream, status] { OnStreamEnded(stream, status); });
                               }});
    }
    network_->Send(d.stream, worker::ToProto(batch, id_, d.epoch));
  }
  if (d.outbox->OldestUnanswered() > kAnswerTimeoutMs) {
    network_->CloseStream(d.stream);
    OnStreamEnded(d.stream, absl::CancelledError("no acknowledgement in time"));
  }
}

void Worker::OnAck(int64_t stream, const v1::MetricAck& ack) {
  Daemon& d = *daemon_;
  if (stream != d.stream) return;
  if (!ack.forget()) options_.on_acknowledged(ack.attempt_id(), ack.last_seq());
  d.outbox->Acknowledge(ack.attempt_id(), ack.last_seq(), ack.forget());
  d.stream_backoff.Reset();
  PumpLater();
}

void Worker::OnStreamEnded(int64_t stream, const absl::Status& status) {
  Daemon& d = *daemon_;
  if (stream != d.stream) return;
  d.stream = 0;
  if (worker::SaysStaleSession(status.message())) {
    if (d.stream_epoch == d.epoch) {
      d.epoch = 0;
      if (!d.calling) LoopAfter(0);
    }
  } else if (absl::IsInvalidArgument(status)) {
    const int64_t attempt_id = d.outbox->BlameRefusal(status.message());
    options_.on_refused(absl::StrCat(id_, ": ", status.message()));
    if (attempt_id != 0) d.seats->StopAttempt(attempt_id);
  }
  d.outbox->Restart();
  d.stream_not_before_ms = world_->now_ms() + d.stream_backoff.NextMs();
  Changed();
}

}  // namespace loglog::sim
