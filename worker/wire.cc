#include "worker/wire.h"

#include <optional>
#include <variant>

namespace loglog::worker {
namespace {

v1::AttemptOutcome::Kind KindToProto(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::kDone:
      return v1::AttemptOutcome::DONE;
    case Outcome::Kind::kDiverged:
      return v1::AttemptOutcome::DIVERGED;
    case Outcome::Kind::kStopped:
      return v1::AttemptOutcome::STOPPED;
    case Outcome::Kind::kFailed:
      return v1::AttemptOutcome::FAILED;
    case Outcome::Kind::kRefused:
      return v1::AttemptOutcome::REFUSED;
    case Outcome::Kind::kOutOfMemory:
      return v1::AttemptOutcome::OUT_OF_MEMORY;
    case Outcome::Kind::kDeviceError:
      return v1::AttemptOutcome::DEVICE_ERROR;
    case Outcome::Kind::kLost:
      return v1::AttemptOutcome::LOST;
  }
  return v1::AttemptOutcome::KIND_UNSPECIFIED;
}

v1::SlotReport::State StateToProto(Slot::State state) {
  switch (state) {
    case Slot::State::kIdle:
      return v1::SlotReport::IDLE;
    case Slot::State::kRunning:
      return v1::SlotReport::RUNNING;
    case Slot::State::kStopping:
      return v1::SlotReport::STOPPING;
    case Slot::State::kUploading:
      return v1::SlotReport::UPLOADING;
    case Slot::State::kFinished:
      return v1::SlotReport::FINISHED;
  }
  return v1::SlotReport::STATE_UNSPECIFIED;
}

// Fills one event of the message from each kind of line.
struct EventFiller {
  v1::TrainerEvent* event;

  void operator()(const IgnoredLine&) const { event->mutable_ignored(); }
  void operator()(const AttemptStartedLine& line) const {
    v1::AttemptStarted* started = event->mutable_started();
    started->set_resume_step(line.resume_step);
    started->set_trainer_version(line.trainer_version);
    started->set_data_sha256(line.data_sha256);
    started->set_params_total(line.params_total);
    started->set_params_non_embedding(line.params_non_embedding);
    started->set_flops_per_token(line.flops_per_token);
    started->set_total_steps(line.total_steps);
  }
  void operator()(const MetricRowLine& line) const {
    v1::MetricRow* row = event->mutable_row();
    row->set_member(line.member);
    row->set_step(line.step);
    row->set_tokens(line.tokens);
    row->mutable_name()->Add(line.names.begin(), line.names.end());
    row->mutable_value()->Add(line.values.begin(), line.values.end());
  }
  void operator()(const CheckpointLine& line) const {
    v1::CheckpointCommitted* checkpoint = event->mutable_checkpoint();
    checkpoint->set_step(line.step);
    checkpoint->set_path(line.path);
    checkpoint->set_sha256(line.sha256);
    checkpoint->set_bytes(line.bytes);
  }
  void operator()(const MemberEndedLine& line) const {
    v1::MemberEnded* ended = event->mutable_member_ended();
    ended->set_member(line.member);
    ended->set_diverged(line.diverged);
    ended->set_step(line.step);
    ended->set_tokens(line.tokens);
    ended->set_final_loss(line.final_loss);
    ended->set_summary_json(line.summary_json);
  }
  void operator()(const NoticeLine& line) const {
    v1::Notice* notice = event->mutable_notice();
    notice->set_kind(line.kind);
    notice->set_step(line.step);
    notice->set_detail_json(line.detail_json);
  }
};

std::optional<SlotEvent::Kind> WishKind(v1::SlotDesired::Action action) {
  switch (action) {
    case v1::SlotDesired::RUN:
      return SlotEvent::Kind::kRun;
    case v1::SlotDesired::STOP:
      return SlotEvent::Kind::kStop;
    case v1::SlotDesired::KILL:
      return SlotEvent::Kind::kKill;
    case v1::SlotDesired::FORGET:
      return SlotEvent::Kind::kForget;
    default:
      return std::nullopt;
  }
}

}  // namespace

v1::AttemptOutcome ToProto(const Outcome& outcome) {
  v1::AttemptOutcome message;
  message.set_kind(KindToProto(outcome.kind));
  message.set_exit_code(outcome.exit_code);
  message.set_signal(outcome.signal);
  message.set_last_seq(outcome.last_seq);
  message.set_message(outcome.message);
  return message;
}

v1::MetricBatch ToProto(const EventBatch& batch, const std::string& worker_id,
                        int64_t session_epoch) {
  v1::MetricBatch message;
  message.set_worker_id(worker_id);
  message.set_session_epoch(session_epoch);
  message.set_attempt_id(batch.attempt_id);
  message.set_first_seq(batch.first_seq);
  for (const std::string& name : batch.names.names()) message.add_names(name);
  for (const TrainerEvent& event : batch.events) {
    std::visit(EventFiller{message.add_events()}, event);
  }
  return message;
}

v1::SyncWorkerRequest ToProto(const WorkerView& view) {
  v1::SyncWorkerRequest request;
  for (size_t i = 0; i < view.slots.size(); ++i) {
    const SlotView& slot = view.slots[i];
    v1::SlotReport* report = request.add_slots();
    report->set_slot(static_cast<int>(i));
    report->set_state(StateToProto(slot.state));
    report->set_attempt_id(slot.attempt_id);
    if (slot.state == Slot::State::kFinished) *report->mutable_outcome() = ToProto(slot.outcome);
  }
  for (const auto& [attempt_id, outcome] : view.held) {
    v1::HeldReport* held = request.add_held();
    held->set_attempt_id(attempt_id);
    *held->mutable_outcome() = ToProto(outcome);
  }
  request.mutable_owed()->Add(view.owed.begin(), view.owed.end());
  request.set_unhealthy(CleanMessage(view.unhealthy));
  return request;
}

std::vector<SlotWish> WishesFromProto(const v1::SyncWorkerResponse& response) {
  std::vector<SlotWish> wishes;
  for (const v1::SlotDesired& desired : response.slots()) {
    const std::optional<SlotEvent::Kind> kind = WishKind(desired.action());
    if (!kind.has_value()) continue;
    SlotWish wish{.slot = desired.slot(), .kind = *kind, .attempt_id = desired.attempt_id()};
    if (*kind == SlotEvent::Kind::kRun) {
      if (desired.forget_attempt_id() != 0) {
        wishes.push_back({.slot = desired.slot(),
                          .kind = SlotEvent::Kind::kForget,
                          .attempt_id = desired.forget_attempt_id()});
      }
      const v1::TaskOrder& task = desired.task();
      wish.attempt_id = task.attempt_id();
      wish.order = {.attempt_id = task.attempt_id(),
                    .task_id = task.task_id(),
                    .task_json = task.task_json(),
                    .resume_step = task.resume_step(),
                    .resume_path = task.resume_path(),
                    .resume_sha256 = task.resume_sha256(),
                    .branches = task.branches(),
                    .slots = {task.slots().begin(), task.slots().end()}};
    }
    wishes.push_back(std::move(wish));
  }
  return wishes;
}

}  // namespace loglog::worker
