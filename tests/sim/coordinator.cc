#include "tests/sim/coordinator.h"

#include <algorithm>

#include "coordinator/worker_service_convert.h"

namespace loglog::sim {
namespace {

constexpr int64_t kLeaseMs = 15'000;
constexpr int64_t kMarginMs = 2'500;

}  // namespace

Coordinator::Coordinator(Options options)
    : options_(std::move(options)),
      world_(options_.world),
      clock_(world_, options_.clock_rate, /*wall_offset_ms=*/0) {}

Coordinator::~Coordinator() {
  // Nobody is left to hear of it.
  options_.disk->Die();
  engine_.reset();
}

void Coordinator::Start() {
  if (!down()) return;
  const int64_t life = ++life_;
  EngineOptions options;
  options.clock = &clock_;
  options.version = "sim";
  options.own_threads = false;
  options.refit = false;
  options.scheduler.lease_ms = kLeaseMs;
  options.scheduler.lease_margin_ms = kMarginMs;
  options.scheduler.backoff_ms_max = 20'000;
  options.scheduler.preempt_again_ms = 10'000;
  options.scheduler.seed = static_cast<uint64_t>(life);
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(options_.store_path, options);
  if (!engine.ok() || options_.disk->dead()) {
    world_->Note(absl::StrCat("coordinator does not start: ", engine.status().message()));
    engine = absl::UnavailableError("");
    if (options_.disk->dead()) options_.disk->Revive(std::exchange(power_fails_, false));
    world_->After(300 + world_->About(500), [this, life] {
      if (life == life_) Start();
    });
    return;
  }
  engine_ = *std::move(engine);
  ++starts_;
  world_->Note("coordinator is up");
  wake_ms_ = 0;
  RunSoon(1);
  options_.on_up();
}

void Coordinator::Kill(bool power_lost) {
  ++life_;
  if (engine_ == nullptr) return;
  world_->Note(power_lost ? "coordinator loses power" : "coordinator is killed");
  options_.disk->Die();
  engine_.reset();  // in vain: nothing reaches the disk
  options_.on_down();
  options_.disk->Revive(power_lost);
}

void Coordinator::StopProcess(int64_t ms) {
  stopped_until_ms_ = std::max(stopped_until_ms_, world_->now_ms() + ms);
  world_->Note(absl::StrCat("coordinator stops for ", ms, " ms"));
}

void Coordinator::RunSoon(int64_t delay_ms) {
  const int64_t due_ms = world_->now_ms() + delay_ms;
  if (wake_ms_ > world_->now_ms() && wake_ms_ <= due_ms) return;
  wake_ms_ = due_ms;
  const int64_t wake = ++last_wake_;
  world_->After(delay_ms, [this, life = life_, wake] {
    if (life == life_) Run(wake);
  });
}

void Coordinator::Run(int64_t wake) {
  if (wake != last_wake_) return;
  const int64_t wait_ms = stopped_until_ms_ - world_->now_ms();
  if (wait_ms > 0) {
    wake_ms_ = 0;
    return RunSoon(wait_ms);
  }
  const int64_t next_ms = engine_->Run();
  if (options_.disk->dead()) {
    Kill(world_->Chance(0.3));
    const int64_t life = life_;
    world_->After(100 + world_->About(2'000), [this, life] {
      if (life == life_) Start();
    });
    return;
  }
  wake_ms_ = 0;
  RunSoon(std::max<int64_t>(next_ms, 1));
}

void Coordinator::Register(const v1::RegisterWorkerRequest& request,
                           Reply<v1::RegisterWorkerResponse> reply) {
  const absl::StatusOr<RegisterRequest> converted = FromProto(request, "sim");
  if (!converted.ok()) return reply(converted.status());
  engine_->RegisterWorker(*converted,
                          Alive<RegisterAnswer>([reply](absl::StatusOr<RegisterAnswer> answer) {
                            if (!answer.ok()) return reply(answer.status());
                            reply(ToProto(*answer));
                          }));
  RunSoon(0);
}

void Coordinator::Sync(const v1::SyncWorkerRequest& request, Reply<v1::SyncWorkerResponse> reply) {
  const absl::StatusOr<SyncRequest> converted = FromProto(request);
  if (!converted.ok()) return reply(converted.status());
  engine_->SyncWorker(*converted, Alive<SyncAnswer>([reply](absl::StatusOr<SyncAnswer> answer) {
    if (!answer.ok()) return reply(answer.status());
    reply(ToProto(*answer));
  }));
  RunSoon(0);
}

void Coordinator::Store(const v1::MetricBatch& batch, Reply<v1::MetricAck> reply) {
  absl::StatusOr<BatchRequest> converted = FromProto(batch);
  if (!converted.ok()) return reply(converted.status());
  engine_->StoreBatch(
      *std::move(converted),
      Alive<BatchAnswer>([reply, id = batch.attempt_id()](absl::StatusOr<BatchAnswer> answer) {
        if (!answer.ok()) return reply(answer.status());
        v1::MetricAck ack;
        ack.set_attempt_id(id);
        ack.set_last_seq(answer->last_seq);
        ack.set_forget(answer->forget);
        reply(ack);
      }));
  RunSoon(0);
}

}  // namespace loglog::sim
