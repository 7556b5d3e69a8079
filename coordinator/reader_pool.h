#ifndef LOGLOG_COORDINATOR_READER_POOL_H_
#define LOGLOG_COORDINATOR_READER_POOL_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "store/read_store.h"

namespace loglog {

// Threads that answer questions, each with its own read-only connection to the store:
// lists, curves and fits take none of the strand's time. A pool of no threads answers when
// RunQueued is called.
// Thread-safe.
class ReaderPool {
 public:
  using Job = std::function<void(const ReadStore& store)>;
  using Dropped = std::function<void(const absl::Status& why)>;

  static absl::StatusOr<std::unique_ptr<ReaderPool>> Open(const std::string& path, int threads);
  ~ReaderPool();
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  // Calls either `job`, on a thread of the pool, or `dropped` with UNAVAILABLE, here or
  // in DropQueued, when stopping. How many may wait is the callers' affair.
  void Post(Job job, Dropped dropped) LOGLOG_EXCLUDES(mutex_);
  // On the calling thread, for a pool of no threads. False when nothing was queued.
  bool RunQueued() LOGLOG_EXCLUDES(mutex_);
  // Takes no more jobs and drops those that wait. Idempotent.
  void DropQueued() LOGLOG_EXCLUDES(mutex_);
  // DropQueued, then waits for the jobs that run. Idempotent.
  void Stop() LOGLOG_EXCLUDES(mutex_);

 private:
  ReaderPool() = default;
  void Run(const ReadStore& store);

  std::vector<std::unique_ptr<ReadStore>> stores_;  // one for each thread, at least one
  Mutex mutex_;
  CondVar wake_;
  std::deque<std::pair<Job, Dropped>> queue_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_READER_POOL_H_
