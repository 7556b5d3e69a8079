#ifndef LOGLOG_BENCH_CONTROL_SIM_WORKER_H_
#define LOGLOG_BENCH_CONTROL_SIM_WORKER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "bench/control/bench.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog::bench {

// A worker daemon without trainers, on a connection of its own: it registers, keeps one
// long poll open as the daemon does (a report that is out of date is taken back), streams
// what it is given and reports how attempts end. Its trainers are the hooks, called on
// threads of gRPC without a lock held. Thread-safe.
class SimWorker {
 public:
  struct Hooks {
    // The slot was told to run this attempt.
    std::function<void(SimWorker*, int slot, int64_t attempt_id)> start;
    // Everything up to this number is in the store.
    std::function<void(SimWorker*, int slot, int64_t last_seq)> acknowledged;
    // Asked to stop; without this hook the attempt ends as STOPPED at once.
    std::function<void(SimWorker*, int slot)> stop;
    // The coordinator has the report; the slot is idle.
    std::function<void(SimWorker*, int slot)> forgotten;
  };

  // `quick`: attempts end within milliseconds, so that nothing is said before they have;
  // the daemon waits as long.
  SimWorker(const std::string& address, std::string worker_id, int slots, bool quick, Hooks hooks);
  ~SimWorker();
  SimWorker(const SimWorker&) = delete;
  SimWorker& operator=(const SimWorker&) = delete;

  // Registers, opens the stream and the poll. Returns when registered.
  void Start();
  // Takes no more part: what is under way is cut off.
  void Stop();

  // Sends a batch of this slot's attempt; who and which attempt is filled in.
  void Send(int slot, v1::MetricBatch batch);
  // The trainer has ended and all it wrote is acknowledged.
  void Finish(int slot, v1::AttemptOutcome::Kind kind);

  const std::string& worker_id() const { return worker_id_; }

 private:
  class Stream;
  struct SyncCall {
    grpc::ClientContext context;
    v1::SyncWorkerRequest request;
    v1::SyncWorkerResponse response;
  };
  struct Slot {
    v1::SlotReport::State state = v1::SlotReport::IDLE;
    int64_t attempt_id = 0;
    v1::AttemptOutcome::Kind outcome = v1::AttemptOutcome::KIND_UNSPECIFIED;
  };

  // Opens a poll if none is open and there is something to say; takes one back that says
  // what is no longer so.
  void Sync() LOGLOG_EXCLUDES(mutex_);
  void OnAnswer(const grpc::Status& status) LOGLOG_EXCLUDES(mutex_);
  void OnAck(const v1::MetricAck& ack) LOGLOG_EXCLUDES(mutex_);

  const std::string worker_id_;
  const bool quick_;
  const Hooks hooks_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  int64_t session_epoch_ = 0;
  std::unique_ptr<Stream> stream_;

  Mutex mutex_;
  CondVar ended_;
  int answering_ LOGLOG_GUARDED_BY(mutex_) = 0;  // callbacks that still use this worker
  std::vector<Slot> slots_ LOGLOG_GUARDED_BY(mutex_);
  std::unique_ptr<SyncCall> call_ LOGLOG_GUARDED_BY(mutex_);
  bool taken_back_ LOGLOG_GUARDED_BY(mutex_) = false;   // the call before was
  bool out_of_date_ LOGLOG_GUARDED_BY(mutex_) = false;  // what the open call says
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
};

// The hooks of a trial that does nothing: it starts, reports ten points, ends.
// `forgotten` is called when all of it is over.
SimWorker::Hooks NothingTrial(std::function<void()> forgotten);
// One row for each of `rows` steps that follow `first_step`, each with `metrics` values.
v1::MetricBatch Rows(int64_t first_seq, int64_t first_step, int rows, int metrics);

// Several workers, ready.
using Fleet = std::vector<std::unique_ptr<SimWorker>>;
Fleet StartFleet(const std::string& address, int workers, int slots, bool quick,
                 const SimWorker::Hooks& hooks);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_SIM_WORKER_H_
