#ifndef LOGLOG_TESTS_SIM_COORDINATOR_H_
#define LOGLOG_TESTS_SIM_COORDINATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "coordinator/engine.h"
#include "tests/sim/faulty_vfs.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace loglog::sim {

// The process of the coordinator: the real engine on a disk that fails. It dies, stops
// for a while, and comes back on what the disk kept.
class Coordinator : public Server {
 public:
  struct Options {
    World* world = nullptr;
    FaultyVfs* disk = nullptr;
    std::string store_path;
    double clock_rate = 1;
    std::function<void()> on_up;  // it has come back
    std::function<void()> on_down;
  };

  explicit Coordinator(Options options);
  ~Coordinator() override;

  bool down() const override { return engine_ == nullptr; }
  int64_t life() const override { return life_; }
  // Tries until it is up.
  void Start();
  void Kill(bool power_lost);
  void StopProcess(int64_t ms);
  void JumpClock(int64_t ms) { clock_.Jump(ms); }
  int64_t starts() const { return starts_; }
  int64_t wall_ms() const { return clock_.wall_ms(); }

  void Register(const v1::RegisterWorkerRequest& request,
                Reply<v1::RegisterWorkerResponse> reply) override;
  void Sync(const v1::SyncWorkerRequest& request, Reply<v1::SyncWorkerResponse> reply) override;
  void Store(const v1::MetricBatch& batch, Reply<v1::MetricAck> reply) override;

  // A user's request, tried again until it is answered by anything but a refusal to
  // answer now. `done` gets the answer.
  template <typename T>
  void Ask(std::function<void(Engine*, Engine::Reply<T>)> call,
           std::function<void(const absl::StatusOr<T>&)> done);

 private:
  // Lets the engine work soon, as its threads would.
  void RunSoon(int64_t delay_ms);
  void Run(int64_t wake);
  // A reply that nobody hears once the process has died.
  template <typename T>
  Engine::Reply<T> Alive(std::function<void(absl::StatusOr<T>)> reply) {
    return [this, life = life_, reply = std::move(reply)](absl::StatusOr<T> answer) {
      if (life == life_ && !options_.disk->dead()) reply(std::move(answer));
    };
  }

  const Options options_;
  World* const world_;
  HostClock clock_;
  int64_t life_ = 0;
  int64_t starts_ = 0;
  int64_t stopped_until_ms_ = 0;
  int64_t wake_ms_ = 0;  // when the engine is to work next
  int64_t last_wake_ = 0;
  bool power_fails_ = false;
  std::unique_ptr<Engine> engine_;
};

template <typename T>
void Coordinator::Ask(std::function<void(Engine*, Engine::Reply<T>)> call,
                      std::function<void(const absl::StatusOr<T>&)> done) {
  const auto again = [this, call, done] {
    world_->After(200 + world_->About(300), [this, call, done] { Ask<T>(call, done); });
  };
  // Whether an answer came is seen from here: a request or its answer may be lost.
  const auto answered = std::make_shared<bool>(false);
  world_->After(5'000, [answered, again] {
    if (!std::exchange(*answered, true)) again();
  });
  if (down() || world_->Chance(0.05)) return;
  call(engine_.get(), Alive<T>([this, answered, again, done](const absl::StatusOr<T>& answer) {
         if (*answered || world_->Chance(0.05)) return;
         *answered = true;
         const bool refused =
             absl::IsUnavailable(answer.status()) || absl::IsResourceExhausted(answer.status());
         if (refused) return again();
         done(answer);
       }));
  RunSoon(0);
}

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_COORDINATOR_H_
