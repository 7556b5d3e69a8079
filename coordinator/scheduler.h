#ifndef LOGLOG_COORDINATOR_SCHEDULER_H_
#define LOGLOG_COORDINATOR_SCHEDULER_H_

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/few.h"
#include "coordinator/id_map.h"
#include "coordinator/id_set.h"
#include "coordinator/ready_queue.h"
#include "coordinator/scheduler_types.h"
#include "coordinator/speeds.h"

namespace loglog {

// Which slot runs which task, and what becomes of leases: a function of its state, an
// event and the time. No input or output, no clock, no store: events come in as calls,
// what has to be written comes out as actions, and `now_ms` is a monotonic time that
// never goes back. After a write that failed the engine throws the scheduler away and
// makes a new one from the store.
// Confined to one thread (the strand).
class Scheduler {
 public:
  // Looks up an attempt that is not live; nullopt when the store has none.
  using FindEnded = std::function<std::optional<EndedAttempt>(int64_t attempt_id)>;

  explicit Scheduler(const SchedulerOptions& options);

  // ---- what there is. Sweeps first, then trials, tasks, workers, live attempts.
  // Adding again brings up to date (a trial that one more sweep wants).
  void AddSweep(int64_t sweep_id, absl::string_view name, bool paused,
                const SweepSchedule& schedule = {});
  void AddTrial(const OpenTrial& trial);
  void AddTask(const TaskRow& task, const TaskContext& context, int64_t now_ms);
  void AddWorker(const WorkerRow& worker, int64_t now_ms);
  // A lease that was granted before this scheduler was made lasts for one more lease
  // from now, whatever was left of it.
  void AddAttempt(const AttemptRow& attempt, int64_t now_ms);

  // ---- time
  // Everything that is due: leases that ran out, backoffs that ended, silent workers.
  void Tick(int64_t now_ms, Actions* actions);
  // When Tick next has something to do; INT64_MAX for never.
  int64_t NextTickMs() const;

  // ---- workers
  // The state that a worker's row gets when it announces itself: what an operator has
  // to end (a drain of theirs, a quarantine) outlives the daemon.
  WorkerState StateWhenRegistered(absl::string_view worker_id) const;
  // A worker announced itself (its row as stored, with the new epoch). With another
  // boot id than before its leases end at once, except those of `held`.
  void Register(const WorkerRow& worker, absl::Span<const int64_t> held, int64_t now_ms,
                Actions* actions);
  bool IsSession(absl::string_view worker_id, int64_t session_epoch) const;
  // 0 for an unknown worker.
  int SlotCount(absl::string_view worker_id) const;
  void Sync(const SyncReport& report, const FindEnded& find_ended, int64_t now_ms,
            Actions* actions);
  // What the worker should do, from what it said last.
  WorkerDesire Desire(absl::string_view worker_id) const;
  // Whether somebody waits for Desire's answer: only then are slots filled.
  void SetOffering(absl::string_view worker_id, bool offering);
  // Workers whose Desire may have changed since the last call.
  std::vector<std::string> TakeWoken();
  void DrainWorker(absl::string_view worker_id, absl::string_view reason, Actions* actions);
  void ResumeWorker(absl::string_view worker_id, int64_t now_ms, Actions* actions);

  // ---- dispatch: call NextGrant, make the attempt, call Granted, until there is none;
  // then MakeRoom
  std::optional<Grant> NextGrant(int64_t now_ms);
  // `resume_step`: of the task's checkpoint; 0 from fresh weights.
  void Granted(const Grant& grant, int64_t attempt_id, int64_t resume_step, int64_t now_ms);
  // Stops attempts of lower priority for tasks that found no slot.
  void MakeRoom(int64_t now_ms, Actions* actions);
  // How fast a live attempt trains.
  void NoteSpeed(int64_t attempt_id, double tokens_per_second);

  // ---- trials
  void NoteCheckpoint(int64_t task_id, absl::string_view worker_id);
  // Whether tasks wait for a checkpoint of this one; and that the one which `task_id` waits for is
  // there, written by this worker.
  bool HasWaitingBranches(int64_t trunk_task_id) const;
  void NoteBranchPoint(int64_t task_id, absl::string_view worker_id, int64_t now_ms);
  void TrialEnded(int64_t trial_id, Actions* actions);
  // The store has cancelled (or stopped early) these; their attempts are stopped.
  void Cancel(const CancelResult& cancelled, absl::string_view why, Actions* actions);
  // A sweep that was cancelled or is done: nothing is wanted for its sake any more.
  void RemoveSweep(int64_t sweep_id);
  void SetSweepPaused(int64_t sweep_id, bool paused);
  // A trial gets a fresh start: where its cell failed before does not count.
  void ClearFailures(int64_t trial_id);
  // Ends a sweep that has no open trial.
  void EndIfEmpty(int64_t sweep_id, Actions* actions);

  // ---- questions
  std::vector<int64_t> Sweeps() const;
  // Sweeps that want the trial now.
  std::vector<int64_t> SweepsOf(int64_t trial_id) const;
  // Trials of the task that are open.
  std::vector<int64_t> OpenTrialsOf(int64_t task_id) const;
  // What an attempt at the task trains; nothing when none of its trials is open.
  std::optional<Work> WorkOf(int64_t task_id) const;
  // Tokens of the sweep's open trials, by shape.
  std::map<float, int64_t> OpenTokensOf(int64_t sweep_id) const;
  // Live attempts at trials of this sweep.
  std::vector<int64_t> LiveAttemptsOf(int64_t sweep_id) const;
  // The slots that they hold.
  int SlotsBusyFor(int64_t sweep_id) const;
  struct LiveAttempt {
    int64_t task_id = 0;
    std::string worker_id;
    std::vector<int> slots;  // the lead first
  };
  std::optional<LiveAttempt> FindLive(int64_t attempt_id) const;
  // Why a pending trial is pending, as true as can be told in one line; empty for a
  // trial that is not.
  std::string PendingReason(int64_t trial_id, int64_t now_ms) const;
  // How often workers should call, and how long their leases last: both grow with the
  // number of workers, so that all calls together stay within a budget.
  int64_t SyncIntervalMs() const;
  int64_t LeaseMs() const;
  bool IsConnected(absl::string_view worker_id) const;
  int WorkersConnected() const;
  int SlotsTotal() const;  // of workers that are connected
  int64_t TrialsOpen() const { return static_cast<int64_t>(trials_.size()); }
  int SlotsBusy(absl::string_view worker_id) const;
  // Unhealthy, why it is quarantined, ...; empty when there is nothing to say.
  std::string WorkerNote(absl::string_view worker_id) const;

 private:
  // Sweeps with tasks that may start, in the order in which they are served: by priority,
  // then by slots held for each unit of share, then by who waited longest.
  struct Turn {
    int minus_priority = 0;
    double load = 0;
    int64_t served = 0;
    int64_t sweep_id = 0;
    auto operator<=>(const Turn&) const = default;
  };
  struct Sweep {
    std::string name;
    SweepSchedule schedule;
    absl::flat_hash_map<int64_t, int32_t> bands;  // by seed
    bool paused = false;
    absl::btree_set<int64_t> open;         // trials
    std::map<float, int64_t> open_tokens;  // of those, by shape
    // Of live attempts at its trials, whoever they were granted for.
    int64_t trials_live = 0;
    int slots_busy = 0;
    int64_t served = 0;        // when it was last given a slot, in grants
    std::optional<Turn> turn;  // its place in turns_
  };
  // A sweep that wants a trial. Both numbers have limits far below 2^31.
  struct Wish {
    int32_t sweep_id = 0;
    int32_t number = 0;
    bool operator==(const Wish&) const = default;
  };
  // A million of these and of Task may be there: what few of them have lies elsewhere.
  struct Trial {
    int64_t cell_id = 0;
    int64_t task_id = 0;  // whose end is its end
    int64_t seed = 0;
    int64_t tokens = 0;
    float shape = 0;  // FLOPs per token
    int32_t steps = 0;
    Few<Wish> sweeps;  // those that want it
    IdSet tasks;       // all that train it

    bool WantedBy(int64_t sweep_id) const {
      return std::any_of(sweeps.begin(), sweeps.end(),
                         [&](const Wish& wish) { return wish.sweep_id == sweep_id; });
    }
  };
  // Of a task that is or was tried.
  struct Past {
    int64_t attempt_id = 0;  // live one
    int failure_count = 0;
    int lost_count = 0;
    int64_t not_before_ms = 0;
    bool preempted = false;  // once
    bool made_room = false;  // its last attempt was
    std::string message;     // why it was tried again
    // Who can read its newest usable checkpoint: this worker, and others of its scope. They
    // come first for a while.
    std::string checkpoint_worker;
    std::string checkpoint_scope;
    int64_t prefer_until_ms = 0;
    // It is its trunk's, and beginning elsewhere would train the trunk again: they come first for
    // as long as one of them is there.
    bool branches = false;
  };
  struct Task {
    enum class State : uint8_t { kBlocked, kBackoff, kReady, kLive };
    IdSet open;                  // trials
    int64_t failure_key = 0;     // its cell; with several cells, the task itself
    int64_t parent_task_id = 0;  // 0 once that has left a checkpoint for it, or has ended
    int64_t tokens = 0;
    int32_t losses_max = 0;
    int16_t failures_max = 0;
    State state = State::kBlocked;
    bool ends_trials : 1 = false;  // else a trunk, whose end is its own report
    bool cancelled : 1 = false;    // waits for its attempt to stop
    bool queued : 1 = false;       // in ready_, while which its trials stay as they are

    int64_t attempt_id() const { return past().attempt_id; }  // live one
    bool has_past() const { return past_ != nullptr; }
    const Past& past() const {
      static const Past* const none = new Past();
      return past_ == nullptr ? *none : *past_;
    }
    Past* mutable_past() {
      if (past_ == nullptr) past_ = std::make_unique<Past>();
      return past_.get();
    }

   private:
    std::unique_ptr<Past> past_;
  };
  // What a live attempt counts for in a sweep that wants its trials.
  struct Charge {
    int64_t sweep_id = 0;
    int64_t trials = 0;
  };
  struct Attempt {
    int64_t task_id = 0;
    std::string worker_id;
    std::vector<int> slots;  // the lead first; it speaks for the others
    AttemptState state = AttemptState::kLeased;
    int64_t start_ms = 0;
    double left = 1;          // share of the task's tokens that it trains
    int64_t deadline_ms = 0;  // end of the lease, without margin
    StopCause cause = StopCause::kNone;
    std::string stop_reason;  // not empty: should stop
    std::vector<Charge> charges;

    int lead() const { return slots.front(); }
  };
  struct Slot {
    bool reported = false;
    SlotState state = SlotState::kIdle;
    int64_t reported_attempt_id = 0;
    bool stale = false;      // the reported attempt's data are of no use any more
    bool follows = false;    // the reported attempt is led by another slot
    bool settled = false;    // the reported attempt has finished, and its report was applied
    int64_t attempt_id = 0;  // live one

    // A settled attempt is forgotten on the way to the next one, which saves its worker a call
    // and the store a commit.
    bool free() const {
      return reported && (state == SlotState::kIdle || settled) && attempt_id == 0;
    }
  };
  // Slots of a worker that are kept for a sweep as they become free: for a task that
  // needs several, or because attempts were stopped for its sake.
  struct Reservation {
    int64_t sweep_id = 0;  // 0: none
    int slots = 0;
    bool by_stopping = false;
  };
  struct Worker {
    std::string boot_id;
    int64_t session_epoch = 0;
    std::string scope;
    std::map<std::string, std::string> labels;
    WorkerState state = WorkerState::kLive;
    std::string reason;
    bool operator_drain = false;
    bool draining = false;  // its own wish
    std::string unhealthy;
    int64_t deadline_ms = 0;  // silent for too long
    bool offering = false;
    int slot_count = 0;  // slots beyond are of an earlier registration
    std::vector<Slot> slots;
    std::vector<int> idle;  // free slots that may be filled now
    Reservation reserved;
    std::vector<int64_t> held;
    // Live attempts that ran before its boot, as it said last; it reports how they ended
    // once all of them is uploaded.
    std::set<int64_t> owed;
    std::vector<int64_t> failed_keys;  // different ones, in a row
  };
  using Workers = std::map<std::string, Worker, std::less<>>;

  // scheduler.cc: tasks and trials
  ReadyQueue::Places PlacesOf(const Task& task) const;
  void PutReady(int64_t task_id, Task* task);
  void RemoveReady(int64_t task_id, Task* task);
  // The task waits for no other any more.
  void LeaveTrunk(int64_t task_id, Task* task);
  void Enqueue(int64_t task_id, Task* task, int64_t now_ms);
  void Requeue(int64_t task_id, Task* task, int64_t wait_ms, absl::string_view message,
               int64_t now_ms, Actions* actions);
  void FinishTask(int64_t task_id, Actions* actions);
  void FailTask(int64_t task_id, absl::string_view message, Actions* actions);
  void EraseTask(int64_t task_id);
  int64_t BackoffBeforeJitter(int count) const;
  int64_t Backoff(int count);

  // scheduler_dispatch.cc: who is next, and where
  bool MayStartMore(const Sweep& sweep) const;
  void UpdateTurn(int64_t sweep_id);
  void ChargeFor(Attempt* attempt);
  void Discharge(const Attempt& attempt);
  static bool Matches(const Sweep& sweep, const Worker& worker);
  // It could hold a task of the sweep, were it empty.
  static bool Suits(const Sweep& sweep, const Worker& worker);
  bool MayTake(int64_t task_id, const Sweep& sweep, const std::string& worker_id, int64_t now_ms);
  int64_t FirstReady(int64_t sweep_id, absl::FunctionRef<bool(int64_t task_id)> may_take) const;
  std::optional<double> ExpectedMs(const Task& task, int slots) const;
  std::optional<Grant> PlaceFor(int64_t sweep_id, int64_t now_ms);
  bool EndsBy(int64_t task_id, int slots, std::optional<int64_t> end_ms, int64_t now_ms) const;

  // scheduler_reserve.cc: slots that are kept, and attempts that make room
  static int FreeSlots(const Worker& worker);
  bool YieldsTo(const Worker& worker, int64_t sweep_id) const;
  std::optional<int64_t> WhenFree(const Worker& worker, int slots, int64_t now_ms) const;
  void KeepSlots(const std::string& worker_id, const Reservation& reservation);
  void TrimReservations();
  void ReserveFor(int64_t sweep_id, int64_t now_ms);
  int PriorityOf(const Attempt& attempt) const;
  struct Room {
    std::string worker_id;
    int priority = 0;               // the highest of the victims
    int64_t start_ms = 0;           // of the one that runs longest
    std::vector<int64_t> attempts;  // to stop
  };
  std::optional<Room> RoomOn(const std::string& worker_id, const Worker& worker, int64_t sweep_id,
                             int64_t now_ms);
  void MakeRoomFor(int64_t sweep_id, int64_t now_ms, Actions* actions);

  // scheduler_attempts.cc: how attempts end
  void KeepHeld(int64_t attempt_id, int64_t now_ms, Actions* actions);
  void Renew(int64_t attempt_id, Attempt* attempt, int64_t now_ms);
  void RenewFor(int64_t attempt_id, Attempt* attempt, int64_t lease_ms, int64_t now_ms);
  void Close(int64_t attempt_id, AttemptState state, const ReportedOutcome& outcome,
             Actions* actions);
  void ApplyOutcome(int64_t attempt_id, const ReportedOutcome& outcome, int64_t now_ms,
                    Actions* actions);
  void ApplyLateOutcome(int64_t attempt_id, const EndedAttempt& ended,
                        const ReportedOutcome& outcome, Actions* actions);
  static bool MadeToLeave(const Attempt& attempt);
  void RequeueMadeToLeave(const Attempt& attempt, int64_t now_ms, Actions* actions);
  void Lose(int64_t attempt_id, absl::string_view why, int64_t now_ms, Actions* actions);
  void CountLoss(int64_t task_id, Task* task, absl::string_view message, int64_t wait_ms,
                 int64_t now_ms, Actions* actions);
  void CountFailure(int64_t task_id, Task* task, const std::string& worker_id,
                    absl::string_view message, int64_t now_ms, Actions* actions);
  void NoteFailureOf(const std::string& worker_id, int64_t failure_key, absl::string_view message,
                     Actions* actions);
  void Stop(int64_t attempt_id, StopCause cause, absl::string_view reason, Actions* actions);
  void StopAllOf(const std::string& worker_id, const Worker& worker, absl::string_view reason,
                 Actions* actions);

  // scheduler_workers.cc
  static bool IsConnected(const Worker& worker);
  static bool Accepts(const Worker& worker);
  void RefreshIdle(const std::string& worker_id, Worker* worker);
  void SetWorkerDeadline(const std::string& worker_id, Worker* worker, int64_t now_ms);
  void SetState(const std::string& worker_id, Worker* worker, WorkerState state,
                absl::string_view reason, Actions* actions);
  void SyncSlot(const std::string& worker_id, Worker* worker, const SlotReport& report,
                const FindEnded& find_ended, int64_t now_ms, Actions* actions);
  void ReturnUnstarted(const Worker& worker, int64_t attempt_id, int64_t now_ms, Actions* actions);
  SlotDesire DesireOf(const Worker& worker, int slot) const;

  // scheduler_reasons.cc
  // Slots that hold a task, or that are not idle yet.
  static int BusySlots(const Worker& worker);
  // The later in the order of checks, the closer the task is to a slot.
  struct Obstacle {
    int stage = 0;
    std::string text;
  };
  Obstacle ObstacleOf(const Task& task, int64_t sweep_id, int64_t now_ms) const;
  std::string WhyNoWorker(const Sweep& sweep) const;
  std::string WhyTooLarge(const Sweep& sweep) const;
  std::string WhyKept(int64_t sweep_id, const Sweep& sweep) const;
  std::string WhyNoSlot(const Task& task, int64_t sweep_id, const Sweep& sweep) const;
  std::string WhyBehind(const Sweep& sweep) const;
  std::string WhyAvoided(const Task& task, const Sweep& sweep) const;

  const SchedulerOptions options_;
  std::mt19937_64 random_;
  absl::flat_hash_map<int64_t, Sweep> sweeps_;
  IdMap<Trial> trials_;
  IdMap<Task> tasks_;
  absl::flat_hash_map<int64_t, std::vector<int64_t>> children_;  // tasks by parent; no empty ones
  absl::flat_hash_map<int64_t, Attempt> attempts_;               // live ones
  Workers workers_;
  // Workers on which a cell failed, until it succeeds or is retried.
  absl::flat_hash_map<int64_t, std::set<std::string>> failed_on_;
  ReadyQueue ready_;
  std::set<Turn> turns_;
  std::map<int, int> priorities_;  // how many sweeps have each
  int64_t grants_ = 0;
  Speeds speeds_;
  std::set<std::pair<int64_t, int64_t>> backoffs_;      // (not before, task)
  std::set<std::pair<int64_t, int64_t>> leases_;        // (deadline, attempt)
  std::set<std::pair<int64_t, std::string>> silences_;  // (deadline, worker)
  // Workers that offer slots, by the first of them, so that hosts fill up evenly.
  std::set<std::pair<int, std::string>> idle_;
  std::set<std::string> reserved_;  // workers on which slots are kept
  std::set<std::string> woken_;
  // When dispatch may find more although nothing happened: a task is kept for a better
  // worker till then, or an attempt may not be preempted before.
  int64_t dispatch_again_ms_ = INT64_MAX;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SCHEDULER_H_
