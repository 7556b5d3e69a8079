#ifndef LOGLOG_COORDINATOR_READER_POOL_H_
#define LOGLOG_COORDINATOR_READER_POOL_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "store/read_store.h"

namespace loglog {

// Threads that answer questions, each with its own read-only connection to the store:
// lists, curves and fits take none of the strand's time.
// Thread-safe.
class ReaderPool {
 public:
  using Job = std::function<void(const ReadStore& store)>;

  static absl::StatusOr<std::unique_ptr<ReaderPool>> Open(const std::string& path, int threads);
  ~ReaderPool();
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  // False when stopping or when more jobs wait than anybody would wait for: the job
  // was dropped.
  [[nodiscard]] bool Post(Job job) LOGLOG_EXCLUDES(mutex_);
  // Runs what is queued, then joins. Idempotent.
  void Stop() LOGLOG_EXCLUDES(mutex_);

 private:
  ReaderPool() = default;
  void Run(const ReadStore& store);

  std::vector<std::unique_ptr<ReadStore>> stores_;  // one for each thread
  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> queue_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_READER_POOL_H_
