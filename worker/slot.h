#ifndef LOGLOG_WORKER_SLOT_H_
#define LOGLOG_WORKER_SLOT_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "worker/outcome.h"

namespace loglog::worker {

// A task as the coordinator orders it (TaskOrder on the wire).
struct TaskOrder {
  int64_t attempt_id = 0;
  int64_t task_id = 0;
  std::string task_json;
  int64_t resume_step = 0;
  std::string resume_path;
  std::string resume_sha256;
  bool branches = false;  // the checkpoint is another task's
  // Every slot that the attempt holds, the lead first. Empty: the ordered slot alone.
  std::vector<int> slots;
};

// The slots beside its lead that an order takes.
std::vector<int> FollowersOf(const TaskOrder& order);

// What happens to a slot: the coordinator's wishes and the worker's observations.
struct SlotEvent {
  enum class Kind {
    // Wishes, each for one attempt; one for another attempt than the slot's is stale.
    kRun,
    kStop,     // checkpoint and leave
    kKill,     // the lease is gone: SIGKILL, then forget
    kForget,   // the report was applied, or is stale
    kFence,    // the metric stream says that a newer attempt exists
    kAbandon,  // another store answers now: kill, but keep what is owed to the old one
    // Observations.
    kStarted,   // the trainer runs
    kEnded,     // its process group is reaped, or it could not be started
    kUploaded,  // every event is acknowledged
    kTick,
  };
  Kind kind = Kind::kTick;
  int64_t attempt_id = 0;
  TaskOrder order;                // kRun
  Outcome outcome;                // kEnded; kUploaded when it replaces the trainer's own
  bool replaces_outcome = false;  // kUploaded
  int64_t lease_deadline_ms = 0;  // kTick
};

struct SlotAction {
  enum class Kind {
    kSpawn,      // prepare the run directory, start the trainer
    kTerminate,  // SIGTERM (and SIGCONT, in case it is stopped)
    kKill,       // SIGKILL to the process group
    kUpload,     // no event comes after `last_seq`: say when all are acknowledged
    kForget,     // drop the run directory and what was not sent
    kKeep,       // drop what was not sent, keep the run directory
  };
  Kind kind;
  int64_t attempt_id = 0;
  TaskOrder order;        // kSpawn
  int64_t last_seq = -1;  // kUpload
  bool accepted = false;  // kForget: the coordinator has taken all that the attempt did
};

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// The life of one slot as a pure state machine: it is told what happened and when, and
// says what to do. Idle -> running -> (stopping) -> uploading -> finished -> idle; idle
// only once the old process group is reaped. The slot that leads a gang holds other slots,
// which have no life of their own meanwhile, until that same moment.
// Not thread-safe; the supervisor's thread owns it.
class Slot {
 public:
  enum class State { kIdle, kRunning, kStopping, kUploading, kFinished };

  // A trainer that was asked to leave is killed `stop_grace_ms` later.
  explicit Slot(int64_t stop_grace_ms) : stop_grace_ms_(stop_grace_ms) {}

  std::vector<SlotAction> Handle(const SlotEvent& event, int64_t now_ms);
  // When the next kTick is due; kNever when only an event can change something.
  int64_t NextTick(int64_t lease_deadline_ms) const;

  // As reported to the coordinator: running from accepting the task on.
  State state() const { return state_; }
  int64_t attempt_id() const { return attempt_id_; }  // 0 when idle
  StopCause stop_cause() const { return cause_; }
  const Outcome& outcome() const { return outcome_; }  // when uploading or finished
  // Slots that are occupied by this one's trainer, too.
  const std::vector<int>& followers() const { return followers_; }

 private:
  std::vector<SlotAction> HandleRun(const TaskOrder& order);
  std::vector<SlotAction> Stop(int64_t now_ms);
  std::vector<SlotAction> Kill(StopCause cause);
  std::vector<SlotAction> HandleStarted(int64_t now_ms);
  std::vector<SlotAction> HandleEnded(const Outcome& outcome);
  std::vector<SlotAction> HandleTick(int64_t lease_deadline_ms, int64_t now_ms);
  std::vector<SlotAction> BecomeIdle(SlotAction::Kind last_action, bool accepted = false);
  bool HasTrainer() const { return state_ == State::kRunning || state_ == State::kStopping; }

  const int64_t stop_grace_ms_;
  State state_ = State::kIdle;
  int64_t attempt_id_ = 0;
  std::vector<int> followers_;
  bool started_ = false;  // kStarted was seen: signals reach a process
  bool killed_ = false;   // SIGKILL was sent, or will be as soon as it started
  StopCause cause_ = StopCause::kNone;
  int64_t kill_at_ms_ = kNever;
  Outcome outcome_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SLOT_H_
