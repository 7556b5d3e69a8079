#include "worker/slot.h"

#include <algorithm>

#include "base/failpoint.h"

namespace loglog::worker {

std::vector<int> FollowersOf(const TaskOrder& order) {
  if (order.slots.empty()) return {};
  return std::vector<int>(order.slots.begin() + 1, order.slots.end());
}

using Actions = std::vector<SlotAction>;
using Kind = SlotEvent::Kind;

Actions Slot::Handle(const SlotEvent& event, int64_t now_ms) {
  if (event.kind == Kind::kTick) return HandleTick(event.lease_deadline_ms, now_ms);
  if (event.kind == Kind::kRun) return HandleRun(event.order);
  if (state_ == State::kIdle || event.attempt_id != attempt_id_) {
    LOGLOG_FAILPOINT("worker.stale_word");
    return {};
  }
  switch (event.kind) {
    case Kind::kStop:
      return HasTrainer() ? Stop(now_ms) : Actions{};
    case Kind::kKill:
    case Kind::kForget:
    case Kind::kFence:
      LOGLOG_FAILPOINT("worker.told_to_discard");
      if (HasTrainer()) return Kill(StopCause::kDiscard);
      return BecomeIdle(SlotAction::Kind::kForget,
                        event.kind == Kind::kForget && state_ == State::kFinished);
    case Kind::kAbandon:
      LOGLOG_FAILPOINT("worker.told_to_abandon");
      return HasTrainer() ? Kill(StopCause::kAbandon) : BecomeIdle(SlotAction::Kind::kKeep);
    case Kind::kStarted:
      return HandleStarted(now_ms);
    case Kind::kEnded:
      return HasTrainer() ? HandleEnded(event.outcome) : Actions{};
    case Kind::kUploaded:
      if (state_ != State::kUploading) return {};
      state_ = State::kFinished;
      if (event.replaces_outcome) outcome_ = event.outcome;
      return {};
    case Kind::kRun:
    case Kind::kTick:
      break;
  }
  return {};
}

int64_t Slot::NextTick(int64_t lease_deadline_ms) const {
  if (!HasTrainer() || killed_) return kNever;
  return std::min(lease_deadline_ms, kill_at_ms_);
}

// A slot that is busy with another attempt goes on with it and reports it; the
// coordinator then says what shall become of that one first.
Actions Slot::HandleRun(const TaskOrder& order) {
  if (state_ != State::kIdle) {
    LOGLOG_FAILPOINT("worker.order_while_busy");
    return {};
  }
  state_ = State::kRunning;
  attempt_id_ = order.attempt_id;
  followers_ = FollowersOf(order);
  started_ = false;
  killed_ = false;
  cause_ = StopCause::kNone;
  kill_at_ms_ = kNever;
  outcome_ = Outcome();
  return {{.kind = SlotAction::Kind::kSpawn, .attempt_id = attempt_id_, .order = order}};
}

Actions Slot::Stop(int64_t now_ms) {
  if (state_ == State::kStopping) return {};
  state_ = State::kStopping;
  cause_ = StopCause::kAsked;
  LOGLOG_FAILPOINT("worker.told_to_stop");
  if (!started_) return {};
  kill_at_ms_ = now_ms + stop_grace_ms_;
  return {{.kind = SlotAction::Kind::kTerminate, .attempt_id = attempt_id_}};
}

Actions Slot::Kill(StopCause cause) {
  // The strongest cause decides what is reported: fenced off beats a lease, a lease
  // beats a polite stop.
  state_ = State::kStopping;
  cause_ = std::max(cause_, cause);
  if (killed_) return {};
  killed_ = true;
  if (!started_) return {};
  return {{.kind = SlotAction::Kind::kKill, .attempt_id = attempt_id_}};
}

Actions Slot::HandleStarted(int64_t now_ms) {
  if (!HasTrainer() || started_) return {};
  started_ = true;
  if (killed_) return {{.kind = SlotAction::Kind::kKill, .attempt_id = attempt_id_}};
  if (state_ != State::kStopping) return {};
  kill_at_ms_ = now_ms + stop_grace_ms_;
  return {{.kind = SlotAction::Kind::kTerminate, .attempt_id = attempt_id_}};
}

Actions Slot::HandleEnded(const Outcome& outcome) {
  followers_.clear();
  if (cause_ == StopCause::kDiscard) return BecomeIdle(SlotAction::Kind::kForget);
  if (cause_ == StopCause::kAbandon) return BecomeIdle(SlotAction::Kind::kKeep);
  outcome_ = outcome;
  // What the trainer wrote is uploaded even for a lost attempt: the checkpoints in it
  // are what the next attempt resumes from.
  state_ = State::kUploading;
  return {{.kind = SlotAction::Kind::kUpload,
           .attempt_id = attempt_id_,
           .last_seq = outcome_.last_seq}};
}

Actions Slot::HandleTick(int64_t lease_deadline_ms, int64_t now_ms) {
  if (!HasTrainer() || killed_) return {};
  if (now_ms >= lease_deadline_ms) {
    LOGLOG_FAILPOINT("worker.lease_kill");
    return Kill(StopCause::kLease);
  }
  if (now_ms >= kill_at_ms_) {
    LOGLOG_FAILPOINT("worker.grace_kill");
    return Kill(cause_);
  }
  return {};
}

Actions Slot::BecomeIdle(SlotAction::Kind last_action, bool accepted) {
  Actions actions = {{.kind = last_action, .attempt_id = attempt_id_, .accepted = accepted}};
  state_ = State::kIdle;
  attempt_id_ = 0;
  cause_ = StopCause::kNone;
  outcome_ = Outcome();
  return actions;
}

}  // namespace loglog::worker
