#ifndef LOGLOG_BASE_STRAND_H_
#define LOGLOG_BASE_STRAND_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>

#include "absl/status/status.h"
#include "base/mutex.h"

namespace loglog {

// One thread that runs posted closures in order, in batches: everything queued when
// a batch starts is run as one group between `begin` and `commit`, so that one
// durable commit serves many callers (group commit). A closure returns what to do
// once its group has been committed: answering the caller.
// Thread-safe; hooks and closures run on the strand's own thread.
class Strand {
 public:
  // Told how the group's commit ended; not OK means that all of it was rolled back.
  using After = std::function<void(const absl::Status& committed)>;
  // Returns the work to do after the group's commit; may be empty.
  using Work = std::function<After()>;
  struct Hooks {
    std::function<void()> begin;
    // Makes the group durable, or rolls all of it back and says why.
    std::function<absl::Status()> commit;
    // Called when idle at the time asked for by its last return value; returns the
    // milliseconds until the next call. Runs as a group of its own.
    std::function<int64_t()> tick;
  };

  explicit Strand(Hooks hooks, int max_group = 512);
  // Stops; see Stop().
  ~Strand();

  // False once stopping: the closure was dropped and will never run.
  [[nodiscard]] bool Post(Work work) LOGLOG_EXCLUDES(mutex_);
  // Runs what is queued, then joins. Idempotent. Not callable from the strand.
  void Stop() LOGLOG_EXCLUDES(mutex_);
  bool InStrand() const { return std::this_thread::get_id() == thread_id_; }

 private:
  void Run();

  const Hooks hooks_;
  const int max_group_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Work> queue_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::thread thread_;
  std::thread::id thread_id_;
};

}  // namespace loglog

#endif  // LOGLOG_BASE_STRAND_H_
