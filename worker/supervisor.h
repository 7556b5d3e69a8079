#ifndef LOGLOG_WORKER_SUPERVISOR_H_
#define LOGLOG_WORKER_SUPERVISOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "worker/clock_watch.h"
#include "worker/device.h"
#include "worker/device_watch.h"
#include "worker/file_thread.h"
#include "worker/health.h"
#include "worker/lease_guard.h"
#include "worker/outbox.h"
#include "worker/run_dir.h"
#include "worker/seats.h"
#include "worker/survivor.h"
#include "worker/trainer_process.h"

namespace loglog::worker {

// Runs the trainers of all slots: the seats on a thread of its own, which starts the
// trainers too (their parent-death signal is tied to it), the outbox, and the host's
// health. Knows nothing of the wire.
// Thread-safe but for construction and destruction.
class Supervisor {
 public:
  struct Options {
    const RunDir* run_dir = nullptr;
    std::string trainer;          // absolute path
    std::vector<Device> devices;  // one for each slot
    int64_t stop_grace_ms = 10'000;
    int64_t health_period_ms = 2'000;  // between two looks at the host
    // Asks the GPUs how they are, on a thread of its own, and may take long. Empty: nobody does.
    std::function<absl::StatusOr<std::vector<GpuReading>>()> read_gpus;
    int64_t gpu_period_ms = 30'000;
    int64_t free_bytes_min = int64_t{256} << 20;
    std::vector<Survivor> survivors;  // of earlier daemons; they keep work away
    Clock* clock = Clock::Real();
    Outbox::Options outbox;  // its callbacks are the supervisor's own
  };

  explicit Supervisor(Options options);
  // Kills what still runs; its files stay for the next daemon. Does not wait for ever
  // for a process that SIGKILL does not end.
  ~Supervisor();

  Outbox& outbox() { return outbox_; }

  // Attempts of this store that are on disk but in no slot.
  std::vector<int64_t> HeldAttempts(const std::string& store) const;
  // The store behind the coordinator. When it is another one than before, running
  // trainers are killed (their files stay) and what is on disk for it is taken up. Waits
  // until that is done. UNAVAILABLE, with the process named, when a trainer does not end;
  // to be tried again.
  absl::Status SetStore(const std::string& store);

  // The answer to a sync that was sent so that the lease ends at `lease_deadline_ms`.
  // Returns once it is applied, so that a view taken next shows it.
  void Apply(const std::vector<SlotWish>& wishes, const std::vector<int64_t>& forget_held,
             bool stop_all, int64_t lease_deadline_ms);
  // No more tasks; asks running trainers to leave.
  void Drain();
  // Kills running trainers now. They count as stopped.
  void KillAll();
  // The coordinator refuses the events of this attempt.
  void StopAttempt(int64_t attempt_id);

  WorkerView View() const LOGLOG_EXCLUDES(mutex_);
  // Calls `callback` whenever View().urgent has grown; empty: nobody any more, and no
  // call is under way once this returns. The callback must not call the supervisor.
  void OnUrgent(std::function<void()> callback) LOGLOG_EXCLUDES(callback_mutex_);

 private:
  // Queues for the supervisor's thread.
  void Post(std::function<void()> work) LOGLOG_EXCLUDES(mutex_);
  void PostAndWait(const std::function<void()>& work);

  // On the supervisor's thread. ------------------------------------------------------
  void Run();
  void RunPosted() LOGLOG_EXCLUDES(mutex_);
  void WaitForSomething();
  void CheckHost();
  void CheckGpus(int64_t now_ms);
  std::string LookAtHost();  // on the file thread
  std::string Problem(int64_t now_ms) const;
  void Publish() LOGLOG_EXCLUDES(mutex_);

  const Options options_;
  const HealthOptions health_;
  Outbox outbox_;
  LeaseGuard lease_guard_;
  int wake_fd_ = -1;
  std::vector<Survivor> survivors_;  // the thread of looks_ only
  mutable Mutex mutex_;
  std::vector<std::function<void()>> posted_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  WorkerView view_ LOGLOG_GUARDED_BY(mutex_);
  Mutex callback_mutex_;
  std::function<void()> on_urgent_ LOGLOG_GUARDED_BY(callback_mutex_);
  std::unique_ptr<FileThread> files_;  // removes what is done with
  std::unique_ptr<FileThread> looks_;  // at the disks
  std::unique_ptr<FileThread> gpus_;   // none: nobody asks them

  // The supervisor's thread only.
  Seats seats_;
  int64_t next_health_ms_ = 0;
  bool health_pending_ = false;
  int64_t health_asked_ms_ = 0;
  std::string host_problem_;  // as it was found last
  std::string unhealthy_;
  DeviceWatch device_watch_;
  int64_t next_gpu_look_ms_ = 0;
  bool gpu_look_pending_ = false;
  ClockWatch clock_watch_;

  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SUPERVISOR_H_
