#ifndef LOGLOG_COORDINATOR_SCHEDULER_TYPES_H_
#define LOGLOG_COORDINATOR_SCHEDULER_TYPES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "store/rows.h"

// What goes into the scheduler and what comes out of it.
namespace loglog {

struct SchedulerOptions {
  int64_t lease_ms = 30'000;
  // The worker kills this much before its lease ends, the coordinator waits this much
  // longer before it calls an attempt lost.
  int64_t lease_margin_ms = 5'000;
  int64_t backoff_ms_min = 1'000;
  int64_t backoff_ms_max = 300'000;
  int quarantine_failures = 5;           // on as many different cells, in a row
  int cell_failed_workers_max = 2;       // a cell that failed on so many is not tried again
  int64_t sync_interval_ms_max = 5'000;  // with few workers
  int64_t syncs_per_second_max = 50;     // of all workers together
  // An attempt at a task that was preempted before runs at least so long.
  int64_t preempt_again_ms = 300'000;
  uint64_t seed = 0;  // of the backoff's jitter
};

// How the tasks of a sweep compete for slots.
struct SweepSchedule {
  int priority = 0;                             // higher goes first
  int64_t max_concurrent = 0;                   // trials at one time; 0: any number
  std::map<std::string, std::string> selector;  // labels that a worker must have
  int slots = 1;                                // of one worker, for each task
  double share = 1;                             // weight among sweeps of one priority
  // One seed after the other, in this order, and in each what takes longest first. Without
  // seeds tasks go by the numbers of their trials.
  std::vector<int64_t> longest_first_seeds;
};

// ---- what a worker says

enum class SlotState { kIdle, kRunning, kStopping, kUploading, kFinished };

enum class OutcomeKind {
  kDone,
  kDiverged,
  kStopped,
  kFailed,
  kRefused,
  kOutOfMemory,
  kDeviceError,
  kLost,
};

struct ReportedOutcome {
  OutcomeKind kind = OutcomeKind::kLost;
  int exit_code = 0;
  int signal = 0;
  std::string message;
};

struct SlotReport {
  int slot = 0;
  SlotState state = SlotState::kIdle;
  int64_t attempt_id = 0;
  ReportedOutcome outcome;  // only when kFinished
};

struct HeldReport {
  int64_t attempt_id = 0;
  ReportedOutcome outcome;
};

struct SyncReport {
  std::string worker_id;
  std::vector<SlotReport> slots;  // every slot once
  std::vector<HeldReport> held;
  std::vector<int64_t> owed;  // attempts of an earlier boot that are still uploaded
  bool draining = false;
  std::string unhealthy;
};

// What the store knows of an attempt that is not live.
struct EndedAttempt {
  int64_t task_id = 0;
  int slot = 0;  // its lead
  int slot_count = 1;
  AttemptState state = AttemptState::kLost;
  bool newest = false;     // no newer attempt of its task exists
  bool cancelled = false;  // its task was
};

// ---- what it is told

enum class DesiredAction { kNone, kRun, kStop, kKill, kForget };

struct SlotDesire {
  int slot = 0;
  DesiredAction action = DesiredAction::kNone;
  int64_t attempt_id = 0;
  std::string reason;
  int64_t forget_attempt_id = 0;  // only with kRun: the finished one that the slot holds
};

struct WorkerDesire {
  std::vector<SlotDesire> slots;
  std::vector<int64_t> forget;  // of what it held
  bool drain = false;           // asked for by the operator

  // Whether a parked call has something to say. A drain alone is none: the slots it
  // concerns are told to stop.
  bool Anything() const;
};

// A task for one or more slots of a worker. The attempt does not exist yet: the store
// makes its id, and Scheduler::Granted tells.
struct Grant {
  int64_t task_id = 0;
  int64_t sweep_id = 0;  // for whose sake
  std::string worker_id;
  std::vector<int> slots;  // the lead first
};

// What an attempt at a task trains.
struct Work {
  float shape = 0;  // FLOPs per token
  int64_t tokens = 0;
};

// ---- what the engine then writes, in this order and in the same transaction

struct EndAttempt {
  int64_t attempt_id = 0;
  int64_t task_id = 0;
  std::string worker_id;
  AttemptState state = AttemptState::kLost;
  int exit_code = 0;
  int signal = 0;
  std::string message;
};

// The attempt moved between live states.
struct MarkAttempt {
  int64_t attempt_id = 0;
  AttemptState state = AttemptState::kRunning;
  StopCause cause = StopCause::kNone;  // only when STOPPING
  std::string message;
};

// PENDING after `wait_ms`, DONE, or FAILED together with the open trials named.
struct PutTask {
  int64_t task_id = 0;
  TaskState state = TaskState::kPending;
  int failure_count = 0;
  int lost_count = 0;
  int64_t wait_ms = 0;
  std::string message;
  std::vector<int64_t> trials;
};

struct PutWorker {
  std::string worker_id;
  WorkerState state = WorkerState::kLive;
  std::string reason;
};

// Its last open trial ended.
struct EndSweep {
  int64_t sweep_id = 0;
};

using Action = std::variant<EndAttempt, MarkAttempt, PutTask, PutWorker, EndSweep>;
using Actions = std::vector<Action>;

// ---- what it starts from, beside the rows of the store

struct TaskContext {
  int failures_max = 3;
  int losses_max = 20;
  std::vector<std::string> failed_on;  // workers
  // Who can read its newest usable checkpoint: this worker, and others of its scope.
  std::string checkpoint_worker;
  std::string checkpoint_scope;
  bool branches = false;  // that checkpoint is its trunk's, for which it need not wait any more
  int64_t wait_ms = 0;    // left of its backoff
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SCHEDULER_TYPES_H_
