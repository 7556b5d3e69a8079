#ifndef LOGLOG_TESTS_SIM_WORKER_H_
#define LOGLOG_TESTS_SIM_WORKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "loglog/v1/worker_service.pb.h"
#include "tests/sim/host_disk.h"
#include "tests/sim/network.h"
#include "tests/sim/trainer.h"
#include "tests/sim/world.h"
#include "worker/backoff.h"
#include "worker/seats.h"

namespace loglog::sim {

// A host with a worker daemon on it: the real run directory, seats and outbox, and in
// the place of the sync loop and the metric stream the same steps over a network that
// can fail. Daemon and host can stop for a while; the daemon can die and come back.
class Worker {
 public:
  struct Options {
    World* world = nullptr;
    Network* network = nullptr;
    int index = 0;
    int slots = 1;
    std::string root;                                            // of its files
    std::function<std::map<std::string, std::string>()> labels;  // at each registration
    double clock_rate = 1;
    int64_t wall_offset_ms = 0;
    FakeTraining::DivergeAt diverge_at;
    // What happens to the trainer that is about to start.
    std::function<Misfortune()> misfortune;
    // Whether starting a trainer fails.
    std::function<bool()> start_fails;
    // News for the model.
    std::function<void(const Worker&, const Process&)> on_start;
    // It starts a trainer while as many as it has slots are still alive.
    std::function<void(const Worker&)> on_crowded;
    // It reports more slots idle than it has without a living trainer.
    std::function<void(const Worker&)> on_idle_untrue;
    std::function<void(int64_t attempt_id, int64_t last_seq)> on_acknowledged;
    std::function<void(const std::string& why)> on_refused;  // events of an honest trainer
    // A boot has its first session: what it holds of earlier ones.
    std::function<void(const Worker&, const std::string& boot, int64_t epoch,
                       const std::set<int64_t>& held)>
        on_booted;
    // The coordinator wants to hear no more of an attempt that it was told has ended well.
    std::function<void(int64_t attempt_id)> on_forgotten;
  };

  explicit Worker(Options options);
  ~Worker();

  const std::string& id() const { return id_; }
  int slots() const { return options_.slots; }
  bool running() const { return daemon_ != nullptr; }
  // ---- faults
  void StartDaemon();
  // kill -9. Its trainers die with it, by the parent-death signal, but for `survivors`
  // milliseconds that one may take.
  void KillDaemon(int64_t survivors_ms);
  void StopDaemon(int64_t ms);  // SIGSTOP
  void StopHost(int64_t ms);    // and its trainers
  void BreakStream();
  void SetUnhealthy(const std::string& why);
  void JumpClock(int64_t ms) { clock_.Jump(ms); }
  void FillDisk(int64_t ms);
  // Leaves as SIGTERM asks it to, then starts again.
  void DrainDaemon();

  // ---- for the model
  const std::vector<std::shared_ptr<Process>>& processes() const { return processes_; }
  // The daemon could not look after its leases within this time.
  bool SleptWithin(int64_t ms) const { return world_->now_ms() < slept_until_ms_ + ms; }
  bool Idle() const;
  // It runs this attempt, by its own clock under a lease.
  bool RunsUnderLease(int64_t attempt_id) const;
  // It has said that it is not well within the last minutes.
  bool WasUnhealthy() const;

 private:
  struct Daemon;

  // Calls `action` when the daemon of now runs, later if it is stopped; never if it died.
  void AsDaemon(int64_t delay_ms, std::function<void()> action);
  absl::StatusOr<std::unique_ptr<worker::Trainer>> StartTrainer(const std::string& attempt_dir);
  void LookAround();
  void Changed();

  // The sync loop.
  void Loop();
  void Register();
  void OnRegistered(const absl::StatusOr<v1::RegisterWorkerResponse>& response,
                    const std::string& assumed_store, const std::set<int64_t>& held);
  void Sync();
  void OnSynced(int64_t call, int64_t sent_ms, int64_t epoch,
                const absl::StatusOr<v1::SyncWorkerResponse>& response);
  void LoopAfter(int64_t delay_ms);
  void NoteForgotten(const v1::SyncWorkerResponse& response);

  // The metric stream.
  void Pump();
  void PumpLater();
  void OnAck(int64_t stream, const v1::MetricAck& ack);
  void OnStreamEnded(int64_t stream, const absl::Status& status);

  const Options options_;
  World* const world_;
  Network* const network_;
  const std::string id_;
  HostClock clock_;
  int64_t stopped_until_ms_ = 0;       // the daemon
  int64_t host_stopped_until_ms_ = 0;  // everything
  int64_t slept_until_ms_ = 0;
  int64_t life_ = 0;  // of the daemon; what was meant for an earlier one is dropped
  int64_t boots_ = 0;
  std::string unhealthy_;
  HostDisk disk_;
  std::string disk_problem_;  // as seen when somebody last looked
  int64_t disk_looked_ms_ = 0;
  int64_t said_unhealthy_ms_ = -1;
  std::unique_ptr<Daemon> daemon_;
  std::vector<std::shared_ptr<Process>> processes_;  // that live, or lived lately
  pid_t last_pid_ = 1000;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_WORKER_H_
