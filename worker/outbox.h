#ifndef LOGLOG_WORKER_OUTBOX_H_
#define LOGLOG_WORKER_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "worker/event_file.h"

namespace loglog::worker {

// What is still to be sent of each attempt's events, and how far the coordinator has
// acknowledged them. The events files are the truth: nothing is kept in memory, so a
// daemon that starts again goes on from what the coordinator says it has.
//
// The supervisor adds, seals and drops attempts; one metric stream at a time takes
// batches and hands in acknowledgements. Thread-safe; the callbacks are called without
// a lock held, from whichever thread brought the news.
class Outbox {
 public:
  struct Options {
    EventFile::Limits limits;
    // Least time between two batches of a live attempt, so that many small rows make
    // few commits in the coordinator.
    int64_t flush_ms = 200;
    // How often a file is looked at when no bell rings (the bell may drop).
    int64_t poll_ms = 1'000;
    // Unacknowledged batches of one attempt.
    int in_flight_max = 2;
    Clock* clock = Clock::Real();
    std::function<void(int64_t attempt_id)> on_uploaded;
    // The coordinator has a newer attempt of the task.
    std::function<void(int64_t attempt_id)> on_fenced;
  };

  explicit Outbox(Options options) : options_(std::move(options)) {}

  void Add(int64_t attempt_id, const std::string& events_path);
  // The trainer is gone and `last_seq` is its last event (-1: it wrote none).
  // on_uploaded follows once everything is acknowledged.
  void Seal(int64_t attempt_id, int64_t last_seq);
  void Drop(int64_t attempt_id);
  // There may be new lines.
  void Bell(int64_t attempt_id);

  // For the stream. ---------------------------------------------------------------
  // The stream broke: nothing is in flight, every attempt asks first where to resume.
  void Restart() LOGLOG_EXCLUDES(mutex_);
  // Waits up to `timeout_ms` for something to send. A batch without events is the
  // question where to resume.
  bool NextBatch(int64_t timeout_ms, EventBatch* batch) LOGLOG_EXCLUDES(mutex_);
  // Waits until there is something to send, without taking it.
  bool WaitForWork(int64_t timeout_ms) LOGLOG_EXCLUDES(mutex_);
  void Acknowledge(int64_t attempt_id, int64_t last_seq, bool forget) LOGLOG_EXCLUDES(mutex_);
  // Ends a wait in NextBatch or WaitForWork at once, now or next time.
  void Interrupt() LOGLOG_EXCLUDES(mutex_);
  // Milliseconds since the oldest unanswered batch was taken; 0 when none is.
  int64_t OldestUnanswered() LOGLOG_EXCLUDES(mutex_);
  // The coordinator refused the content of the stream, which names no attempt. When only
  // one attempt had something unanswered it is the one: it is returned, nothing more of
  // it is sent, and it counts as uploaded up to what was acknowledged. Otherwise 0, and
  // from now on attempts send one at a time, so that the next refusal tells.
  int64_t BlameRefusal(absl::string_view why) LOGLOG_EXCLUDES(mutex_);

  // For the supervisor's report. ----------------------------------------------------
  struct Upload {
    int64_t last_acknowledged = -1;
    std::string refusal;  // why the coordinator took no more; empty when it took all
  };
  Upload UploadOf(int64_t attempt_id) LOGLOG_EXCLUDES(mutex_);

 private:
  enum class Phase { kAsk, kAsking, kFlowing, kMute };
  struct InFlight {
    EventFile::Position end;  // just after the batch
    int64_t taken_ms = 0;
  };
  struct Entry {
    explicit Entry(const std::string& path) : file(path) {}
    EventFile file;
    Phase phase = Phase::kAsk;
    int64_t asked_ms = 0;
    EventFile::Position acked;  // of the first line that is not acknowledged
    std::deque<InFlight> in_flight;
    bool sealed = false;
    int64_t last_seq = -1;  // when sealed
    bool told = false;      // on_uploaded was called
    std::string refusal;
    bool rung = true;
    int64_t next_flush_ms = 0;
    int64_t next_poll_ms = 0;
  };

  Entry* Find(int64_t attempt_id) LOGLOG_REQUIRES(mutex_);
  void Changed() LOGLOG_REQUIRES(mutex_);
  bool TakeBatch(int64_t now_ms, EventBatch* batch) LOGLOG_REQUIRES(mutex_);
  bool TakeFrom(int64_t attempt_id, Entry& entry, int64_t now_ms, EventBatch* batch)
      LOGLOG_REQUIRES(mutex_);
  void Resume(Entry& entry, int64_t next_seq) LOGLOG_REQUIRES(mutex_);
  // When the entry is worth a look; kNever until something happens.
  int64_t DueTime(const Entry& entry) const LOGLOG_REQUIRES(mutex_);
  int64_t NextDueTime() const LOGLOG_REQUIRES(mutex_);
  // Waits until an entry is due; false after the timeout or when interrupted.
  bool WaitUntilDue(int64_t deadline_ms) LOGLOG_REQUIRES(mutex_);
  int Unanswered() const LOGLOG_REQUIRES(mutex_);
  // True once, when the attempt is sealed and all of it is acknowledged.
  bool BecameUploaded(Entry& entry) LOGLOG_REQUIRES(mutex_);

  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<int64_t, std::unique_ptr<Entry>> entries_ LOGLOG_GUARDED_BY(mutex_);
  int64_t last_taken_ LOGLOG_GUARDED_BY(mutex_) = 0;  // attempts take turns
  bool interrupted_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool something_changed_ LOGLOG_GUARDED_BY(mutex_) = false;
  bool one_at_a_time_ LOGLOG_GUARDED_BY(mutex_) = false;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_OUTBOX_H_
