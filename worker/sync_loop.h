#ifndef LOGLOG_WORKER_SYNC_LOOP_H_
#define LOGLOG_WORKER_SYNC_LOOP_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "loglog/v1/worker_service.grpc.pb.h"
#include "proto/credentials.h"
#include "worker/backoff.h"
#include "worker/device.h"
#include "worker/run_dir.h"
#include "worker/session.h"
#include "worker/supervisor.h"

namespace loglog::worker {

// Registers the worker and keeps reporting what its slots do and applying what they
// should do. Run() belongs to one thread; the other public functions are thread-safe.
class SyncLoop {
 public:
  struct Options {
    std::string address;  // for messages
    std::string version;
    std::string host;
    std::vector<Device> devices;
    std::map<std::string, std::string> labels;
    std::string checkpoint_scope;
    std::string ready_file;          // written after the first registration
    int64_t connect_timeout_ms = 0;  // to the first registration; 0: for ever
    int64_t backoff_limit_ms = 3'000;
    // Between two syncs after an answer that came at once and changed nothing here.
    int64_t quiet_pause_ms = 100;
    int64_t drain_ms = 30'000;
    int64_t hurried_drain_ms = 5'000;
    Clock* clock = Clock::Real();
  };

  SyncLoop(Options options, std::shared_ptr<grpc::Channel> channel, const RunDir* run_dir,
           Supervisor* supervisor, Session* session);
  ~SyncLoop();

  // OK after a drain. Any other status names what to fix: the coordinator speaks another
  // protocol or another worker has the same id (FAILED_PRECONDITION), it refuses the
  // worker (its code), or could not be reached in connect_timeout_ms (UNAVAILABLE).
  absl::Status Run();

  // Something changed that the coordinator should hear at once.
  void Wake() LOGLOG_EXCLUDES(mutex_);
  // Asks running trainers to checkpoint and leave, uploads, reports, and ends Run().
  void BeginDrain() LOGLOG_EXCLUDES(mutex_);
  // The same, at once: trainers are killed.
  void Hurry() LOGLOG_EXCLUDES(mutex_);

 private:
  struct SyncCall;
  enum class Drain { kNo, kAsked, kHurried };

  absl::Status Register();
  v1::RegisterWorkerRequest RegisterRequest(const std::string& store) const;
  absl::Status OnRegistered(const v1::RegisterWorkerResponse& response);
  // Reports and applies the answer. UNAVAILABLE: the coordinator could not be asked.
  absl::Status Sync();
  int64_t WaitMs() const;
  bool Call(SyncCall* call, uint64_t wakes_seen) LOGLOG_EXCLUDES(mutex_);
  void ApplyAnswer(const v1::SyncWorkerResponse& response, int64_t sent_ms);
  // Counts the session that was lost, if one was. FAILED_PRECONDITION when so many were
  // that it cannot be chance any more.
  absl::Status NoteLostSession();
  int LostSessions();  // in the last minute
  bool SessionsAreShort();
  // Starts what a new drain request asks for; true when the daemon may leave.
  bool DrainStep();
  bool DrainIsOver(int64_t now_ms);
  void OnUnreachable(const grpc::Status& status);
  void OnReached();
  // Ends early when a drain is asked for.
  void Pause(int64_t ms) LOGLOG_EXCLUDES(mutex_);
  Drain drain_asked() LOGLOG_EXCLUDES(mutex_);

  const Options options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const RunDir* const run_dir_;
  Supervisor* const supervisor_;
  Session* const session_;

  // Run()'s thread only.
  std::string boot_id_;
  int64_t lease_ms_ = 0;
  int64_t lease_margin_ms_ = 0;
  int64_t sync_interval_ms_ = 0;
  bool registered_once_ = false;
  Backoff backoff_;
  int64_t advised_ms_ = 0;  // the coordinator's advice when to register again
  Drain drain_begun_ = Drain::kNo;
  int64_t drain_deadline_ms_ = 0;
  bool taken_back_ = false;           // the last sync was
  bool told_idle_ = false;            // a sync said: draining, nothing left
  int64_t unreachable_since_ms_ = 0;  // 0: reached
  int64_t next_warning_ms_ = 0;
  bool had_session_ = false;            // since the last look at lost ones
  std::vector<int64_t> lost_times_ms_;  // recent losses of the session

  Mutex mutex_;
  CondVar changed_;
  uint64_t wakes_ LOGLOG_GUARDED_BY(mutex_) = 0;
  Drain drain_asked_ LOGLOG_GUARDED_BY(mutex_) = Drain::kNo;
};

// A channel to a coordinator ("host:port" or "unix:/path") with this protocol's
// keepalive, reconnect and message limits. As MakeSecureChannel.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address,
                                                           const ClientSecurity& security);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SYNC_LOOP_H_
