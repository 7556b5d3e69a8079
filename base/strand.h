#ifndef LOGLOG_BASE_STRAND_H_
#define LOGLOG_BASE_STRAND_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"

namespace loglog {

// One thread that runs posted closures in order, in batches: everything queued when
// a batch starts is run as one group between `begin` and `commit`, so that one
// durable commit serves many callers (group commit). A closure returns what to do
// once its group has been committed: answering the caller.
//
// There are two lanes. All urgent closures that are queued go into the next group; patient
// ones follow them there only for a bounded time, so that however many wait, what is urgent
// waits for one group at most. A lane keeps its order; between the lanes there is none.
// Thread-safe; hooks and closures run on the strand's own thread. A strand without one
// runs them when RunGroup is called: a simulation, whose time is its own, is one thread.
class Strand {
 public:
  enum class Thread { kOwn, kCaller };
  enum class Lane { kUrgent, kPatient };
  // Told how the group's commit ended; not OK means that all of it was rolled back.
  using After = std::function<void(const absl::Status& committed)>;
  // Returns the work to do after the group's commit; may be empty.
  using Work = std::function<After()>;
  struct Hooks {
    // Runs before the group's first closure: the place for whatever is due by now.
    std::function<void()> begin;
    // Makes the group durable, or rolls all of it back and says why.
    std::function<absl::Status()> commit;
    // Asked after each group: the milliseconds after which a group without closures is
    // run if nothing is posted, so that `begin` sees the time pass. Without this hook
    // the strand sleeps until something is posted.
    std::function<int64_t()> idle_ms;
    // Monotonic milliseconds; a group starts no further patient closure once they have
    // taken kPatientMs. Without it only the number of closures bounds a group.
    std::function<int64_t()> now_ms;
  };
  static constexpr int64_t kPatientMs = 10;

  explicit Strand(Hooks hooks, int max_group = 512, Thread thread = Thread::kOwn);
  // Nothing runs before this, so that what the closures and hooks reach through whoever
  // owns the strand, the strand itself included, is there. Once.
  void Start();
  // Stops; see Stop().
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  // False once stopping: the closure was dropped and will never run.
  [[nodiscard]] bool Post(Work work, Lane lane = Lane::kUrgent) LOGLOG_EXCLUDES(mutex_);
  // Thread::kCaller only: runs one group, an empty one too, so that what is due by the
  // clock is done. True when more is queued.
  bool RunGroup() LOGLOG_EXCLUDES(mutex_);
  // Runs what is queued (here when it was never started), then joins. Idempotent. Not
  // callable from the strand.
  void Stop() LOGLOG_EXCLUDES(mutex_);
  bool InStrand() const { return std::this_thread::get_id() == thread_id_; }

 private:
  void Run();
  // Waits for work or for the time to run without; false when there is nothing left
  // to do for ever. `*group` may come back empty.
  bool WaitForGroup(int64_t idle_ms, std::vector<Work>* urgent) LOGLOG_EXCLUDES(mutex_);
  std::vector<Work> TakeUrgent() LOGLOG_REQUIRES(mutex_);
  Work TakePatient() LOGLOG_EXCLUDES(mutex_);
  // Runs a group: these, then patient ones as far as the time goes.
  void Execute(std::vector<Work>* urgent);

  const Hooks hooks_;
  const int max_group_;
  const Thread where_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Work> urgent_ LOGLOG_GUARDED_BY(mutex_);
  std::deque<Work> patient_ LOGLOG_GUARDED_BY(mutex_);
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::thread thread_;
  std::thread::id thread_id_;  // set before the thread runs anything
};

}  // namespace loglog

#endif  // LOGLOG_BASE_STRAND_H_
