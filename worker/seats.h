#ifndef LOGLOG_WORKER_SEATS_H_
#define LOGLOG_WORKER_SEATS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "worker/device.h"
#include "worker/outbox.h"
#include "worker/run_dir.h"
#include "worker/slot.h"
#include "worker/trainer.h"

namespace loglog::worker {

// What the coordinator wishes of a slot.
struct SlotWish {
  int slot = 0;
  SlotEvent::Kind kind = SlotEvent::Kind::kTick;  // kRun, kStop, kKill or kForget
  int64_t attempt_id = 0;
  TaskOrder order;  // kRun
};

// What the worker reports.
struct SlotView {
  Slot::State state = Slot::State::kIdle;
  int64_t attempt_id = 0;
  Outcome outcome;  // when finished
  bool operator==(const SlotView&) const = default;
};
struct WorkerView {
  std::vector<SlotView> slots;
  std::map<int64_t, Outcome> held;  // of earlier daemons: uploaded, report owed
  std::vector<int64_t> owed;        // of earlier daemons: not all uploaded yet
  std::string unhealthy;
  bool busy = false;  // a slot is not idle, or something is still owed
  // Grows when the coordinator should hear at once: a slot became idle or finished, a
  // held attempt was uploaded, or health changed.
  uint64_t urgent = 0;

  // The coordinator would hear the same of both.
  bool SameReport(const WorkerView& other) const {
    return slots == other.slots && held == other.held && owed == other.owed &&
           unhealthy == other.unhealthy;
  }
};

// A slot with what belongs to it.
struct Seat {
  explicit Seat(int64_t stop_grace_ms) : machine(stop_grace_ms) {}
  Slot machine;
  std::unique_ptr<Trainer> trainer;
  bool child_ended = false;  // wait for the rest of its group
  int64_t kill_sent_ms = kNever;
};

// What a worker does with its slots and with what it owes: slot state machines, trainers,
// run directories and the outbox. No threads, no waiting; whoever owns it says what
// happened and when to look.
// Confined to one thread, its owner's.
class Seats {
 public:
  struct Options {
    const RunDir* run_dir = nullptr;
    std::vector<Device> devices;  // one for each slot
    int64_t stop_grace_ms = 10'000;
    Clock* clock = Clock::Real();
    Outbox* outbox = nullptr;
    // Starts a trainer in an attempt's folder that is prepared.
    std::function<absl::StatusOr<std::unique_ptr<Trainer>>(const std::string& attempt_dir)> start;
    // Does `work`, which may take long, elsewhere, and then `done` on the owner's thread.
    std::function<void(std::function<void()> work, std::function<void()> done)> away;
    // A trainer that ended by itself, or was ended. May be empty.
    std::function<void(int slot, const Outcome& outcome)> on_ended;
  };

  explicit Seats(Options options);

  // ---- the store that is served
  bool Serves(const std::string& store) const { return store == store_ && !leaving_store_; }
  // Trainers of another store are killed; their files stay.
  void LeaveStore(const std::string& store);
  // Takes up what is on disk for the store. No trainer runs any more.
  void TakeUpStore(const std::string& store);

  // ---- wishes
  // The answer to a sync that was sent so that the lease ends at `lease_deadline_ms`.
  void Apply(const std::vector<SlotWish>& wishes, const std::vector<int64_t>& forget_held,
             bool stop_all, int64_t lease_deadline_ms);
  // No more tasks; asks running trainers to leave.
  void Drain();
  // Kills running trainers. They count as stopped.
  void KillAll();
  // Kills running trainers; what they owe stays on disk for the next daemon.
  void AbandonAll();
  void StopAttempt(int64_t attempt_id);
  // A newer attempt of its task exists: nothing of it counts.
  void FenceAttempt(int64_t attempt_id);

  // ---- observations
  // All events of the attempt are acknowledged, or will never be.
  void OnUploaded(int64_t attempt_id);
  void ReapEnded();
  void Tick();
  int64_t NextTick() const;

  // ---- how things stand
  void Fill(WorkerView* view) const;
  bool AnyTrainer() const;
  bool AnyEnding() const;  // a trainer that is not stuck
  // SIGKILL did not end a process; empty: none is.
  std::string StuckProblem() const;
  // Why no trainer could be started a moment ago; empty: none failed to.
  std::string SpawnProblem() const;
  // Lets go of trainers that do not end: their destructors would wait for them. The next
  // daemon finds them by their pid files.
  void LeaveStuckBehind();
  std::vector<std::unique_ptr<Seat>>& seats() { return seats_; }

 private:
  struct Held {
    Outcome outcome;
    bool uploaded = false;
  };

  void Feed(Seat& seat, const SlotEvent& event);
  void FeedAttempt(int64_t attempt_id, SlotEvent::Kind kind);
  void Perform(Seat& seat, const SlotAction& action);
  // The order must not start: the attempt is here already.
  bool IsTaken(const TaskOrder& order);
  // The slot is held by a gang that another one leads.
  bool IsFollower(int slot) const;
  // The order's numbers are such as orders have. Says so once of one whose are not.
  bool IsSound(const TaskOrder& order, int lead);
  // Nobody holds its slots; whether the lead itself is idle, its machine knows.
  bool HasRoom(const TaskOrder& order, int lead) const;
  void Spawn(Seat& seat, const TaskOrder& order);
  void OnReaped(Seat& seat, const ExitStatus& status);
  int SlotOf(const Seat& seat) const;
  void ForgetHeld(int64_t attempt_id, bool fenced);
  void Discard(int64_t attempt_id, bool accepted);
  void TakeUp(int64_t attempt_id);
  // SIGKILL was sent long ago, and it is still there.
  bool IsStuck(const Seat& seat) const;
  int64_t now_ms() const { return options_.clock->monotonic_ms(); }

  const Options options_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::map<int64_t, Held> held_;
  std::string store_;
  bool leaving_store_ = false;  // its trainers were told so, another is not taken up yet
  std::set<std::pair<std::string, int64_t>> discarding_;  // store, attempt
  int64_t last_taken_ = 0;                                // attempt whose order was not started
  int64_t last_unsound_ = 0;                              // the same, for another reason
  int64_t lease_deadline_ms_ = kNever;
  std::string spawn_problem_;  // of the last start that failed; cleared by time
  int64_t spawn_problem_until_ms_ = 0;
  bool draining_ = false;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SEATS_H_
