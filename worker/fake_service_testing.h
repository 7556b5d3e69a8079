#ifndef LOGLOG_WORKER_FAKE_SERVICE_TESTING_H_
#define LOGLOG_WORKER_FAKE_SERVICE_TESTING_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "loglog/v1/worker_service.grpc.pb.h"
#include "worker/slot.h"

namespace loglog::worker {

// A coordinator in little, level-triggered like the real one, that tests set up and
// then ask what it heard. Serves on a Unix socket from Start() to Stop(), both of which
// may be called again. Thread-safe.
class FakeService : public v1::WorkerService::Service {
 public:
  struct Rules {
    std::string store_id = "5eed";
    int64_t lease_ms = 60'000;
    int64_t lease_margin_ms = 5'000;
    int64_t sync_interval_ms = 20'000;
    grpc::Status register_status = grpc::Status::OK;
    grpc::Status sync_status = grpc::Status::OK;
    bool forget = true;  // answer reports with FORGET
    int breaks = 0;      // so many batches end their stream instead of an answer
    bool store_before_break = false;
    int broken_questions = 0;     // likewise the questions where to resume
    int64_t refused_attempt = 0;  // INVALID_ARGUMENT for its events
    int64_t fenced_attempt = 0;
    bool drain = false;
    int64_t think_ms = 0;                           // from a sync's arrival to its answer, at least
    grpc::Status stream_status = grpc::Status::OK;  // else of every batch
    int64_t forever_killed = 0;  // an attempt whose KILL is repeated in every answer
  };

  explicit FakeService(std::string address) : address_(std::move(address)) {}
  ~FakeService() override { Stop(); }
  void Start();
  void Stop();

  // Changes the rules and wakes what is parked.
  template <typename Change>
  void SetRules(Change change) {
    MutexLock lock(mutex_);
    change(rules_);
    changed_.NotifyAll();
  }
  void Order(int slot, const TaskOrder& order);
  // More for the slot, each as soon as the one before it was reported and forgotten.
  void OrderNext(int slot, const TaskOrder& order);
  void StopAttempt(int64_t attempt_id);
  void KillAttempt(int64_t attempt_id);
  void EndSession();

  // What was heard. Waits return false after kLongMs.
  bool WaitForState(int slot, v1::SlotReport::State state, int64_t attempt_id);
  bool WaitForOutcome(int64_t attempt_id, v1::AttemptOutcome* outcome);
  bool WaitForRegistrations(int count);
  bool WaitForSyncs(int more);
  bool WaitForStreams(int count);
  bool WaitForEvents(int64_t attempt_id, int64_t count);
  std::vector<v1::RegisterWorkerRequest> registrations();
  v1::SyncWorkerRequest last_sync();
  int64_t event_count(int64_t attempt_id);
  int reports(int64_t attempt_id);  // how often its outcome was reported
  int syncs();
  int streams();
  int full_waits();  // long polls that nothing ended early

  grpc::Status RegisterWorker(grpc::ServerContext*, const v1::RegisterWorkerRequest* request,
                              v1::RegisterWorkerResponse* response) override;
  grpc::Status SyncWorker(grpc::ServerContext* context, const v1::SyncWorkerRequest* request,
                          v1::SyncWorkerResponse* response) override;
  grpc::Status StreamMetrics(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::MetricAck, v1::MetricBatch>* stream) override;

 private:
  bool Desire(const v1::SyncWorkerRequest& request, v1::SyncWorkerResponse* response)
      LOGLOG_REQUIRES(mutex_);
  void Note(const v1::SyncWorkerRequest& request) LOGLOG_REQUIRES(mutex_);
  grpc::Status StoreBatch(const v1::MetricBatch& batch, v1::MetricAck* ack);
  template <typename Condition>
  bool WaitUntil(Condition condition);

  const std::string address_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  Rules rules_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  int64_t epoch_ LOGLOG_GUARDED_BY(mutex_) = 100;
  std::map<int, TaskOrder> orders_ LOGLOG_GUARDED_BY(mutex_);
  std::map<int, std::deque<TaskOrder>> next_orders_ LOGLOG_GUARDED_BY(mutex_);
  std::set<int64_t> to_stop_ LOGLOG_GUARDED_BY(mutex_), to_kill_ LOGLOG_GUARDED_BY(mutex_);
  std::vector<v1::RegisterWorkerRequest> registrations_ LOGLOG_GUARDED_BY(mutex_);
  v1::SyncWorkerRequest last_sync_ LOGLOG_GUARDED_BY(mutex_);
  int syncs_ LOGLOG_GUARDED_BY(mutex_) = 0;
  int full_waits_ LOGLOG_GUARDED_BY(mutex_) = 0;
  int streams_ LOGLOG_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, v1::AttemptOutcome> outcomes_ LOGLOG_GUARDED_BY(mutex_);
  std::map<int64_t, int> reports_ LOGLOG_GUARDED_BY(mutex_);
  std::map<int64_t, int64_t> events_ LOGLOG_GUARDED_BY(mutex_);  // stored, by attempt
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_FAKE_SERVICE_TESTING_H_
