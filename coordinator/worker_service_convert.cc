#include "coordinator/worker_service_convert.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json_depth.h"
#include "base/limits.h"
#include "base/refusal.h"
#include "base/status.h"
#include "base/utf8.h"
#include "coordinator/names.h"
#include "loglog/v1/common.pb.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

absl::Status CheckBytes(absl::string_view field, const std::string& text, int64_t bytes_max,
                        absl::string_view fix) {
  if (text.size() <= bytes_max) return absl::OkStatus();
  return OverLimit(field, text.size(), "bytes", bytes_max, fix);
}

// What others say of themselves.
absl::Status CheckText(absl::string_view field, const std::string& text) {
  return CheckBytes(field, text, limits::kTextBytesMax, "shorten it");
}

absl::Status CheckJson(absl::string_view field, const std::string& text, int64_t bytes_max,
                       absl::string_view fix) {
  LOGLOG_RETURN_IF_ERROR(CheckBytes(field, text, bytes_max, fix));
  const int depth = JsonDepth(text);
  if (depth <= limits::kJsonDepthMax) return absl::OkStatus();
  return OverLimit(field, depth, "levels", limits::kJsonDepthMax, "flatten it");
}

constexpr char kHeldFix[] = "report them, then register the others";

absl::Status CheckCount(absl::string_view field, int count, int max, absl::string_view fix) {
  if (count <= max) return absl::OkStatus();
  return OverLimit(field, count, "", max, fix);
}

absl::StatusOr<ReportedOutcome> OutcomeFrom(const v1::AttemptOutcome& message) {
  ReportedOutcome outcome;
  switch (message.kind()) {
    case v1::AttemptOutcome::DONE:
      outcome.kind = OutcomeKind::kDone;
      break;
    case v1::AttemptOutcome::DIVERGED:
      outcome.kind = OutcomeKind::kDiverged;
      break;
    case v1::AttemptOutcome::STOPPED:
      outcome.kind = OutcomeKind::kStopped;
      break;
    case v1::AttemptOutcome::FAILED:
      outcome.kind = OutcomeKind::kFailed;
      break;
    case v1::AttemptOutcome::REFUSED:
      outcome.kind = OutcomeKind::kRefused;
      break;
    case v1::AttemptOutcome::OUT_OF_MEMORY:
      outcome.kind = OutcomeKind::kOutOfMemory;
      break;
    case v1::AttemptOutcome::DEVICE_ERROR:
      outcome.kind = OutcomeKind::kDeviceError;
      break;
    case v1::AttemptOutcome::LOST:
      outcome.kind = OutcomeKind::kLost;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("outcome: kind ", static_cast<int>(message.kind()), " is not known"));
  }
  outcome.exit_code = message.exit_code();
  outcome.signal = message.signal();
  outcome.message = std::string(CutUtf8(message.message(), limits::kOutcomeMessageBytesMax));
  return outcome;
}

absl::StatusOr<SlotReport> SlotFrom(const v1::SlotReport& message) {
  SlotReport slot;
  slot.slot = message.slot();
  slot.attempt_id = message.attempt_id();
  switch (message.state()) {
    case v1::SlotReport::IDLE:
      slot.state = SlotState::kIdle;
      break;
    case v1::SlotReport::RUNNING:
      slot.state = SlotState::kRunning;
      break;
    case v1::SlotReport::STOPPING:
      slot.state = SlotState::kStopping;
      break;
    case v1::SlotReport::UPLOADING:
      slot.state = SlotState::kUploading;
      break;
    case v1::SlotReport::FINISHED: {
      slot.state = SlotState::kFinished;
      LOGLOG_ASSIGN_OR_RETURN(slot.outcome, OutcomeFrom(message.outcome()));
      break;
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("state ", static_cast<int>(message.state()), " is not known"));
  }
  return slot;
}

v1::SlotDesired::Action ActionToProto(DesiredAction action) {
  switch (action) {
    case DesiredAction::kNone:
      return v1::SlotDesired::NONE;
    case DesiredAction::kRun:
      return v1::SlotDesired::RUN;
    case DesiredAction::kStop:
      return v1::SlotDesired::STOP;
    case DesiredAction::kKill:
      return v1::SlotDesired::KILL;
    case DesiredAction::kForget:
      return v1::SlotDesired::FORGET;
  }
  return v1::SlotDesired::ACTION_UNSPECIFIED;
}

absl::Status CheckBatchSize(const v1::MetricBatch& batch) {
  constexpr char kFix[] = "send it in parts";
  LOGLOG_RETURN_IF_ERROR(
      CheckCount("events", batch.events_size(), limits::kEventsOfBatchMax, kFix));
  int64_t points = 0;
  for (const v1::TrainerEvent& event : batch.events()) points += event.row().value_size();
  if (points > limits::kPointsOfBatchMax) {
    return OverLimit("events", points, "points", limits::kPointsOfBatchMax, kFix);
  }
  const auto bytes = static_cast<int64_t>(batch.ByteSizeLong());
  if (bytes > limits::kBatchBytesMax) {
    return OverLimit("batch", bytes, "bytes", limits::kBatchBytesMax, kFix);
  }
  return absl::OkStatus();
}

// A row's names are indices into the batch's dictionary.
absl::StatusOr<MetricRow> RowFrom(const v1::MetricRow& row) {
  if (row.name_size() != row.value_size()) {
    return absl::InvalidArgumentError(absl::StrCat("row of step ", row.step(), " has ",
                                                   row.name_size(), " names and ", row.value_size(),
                                                   " values"));
  }
  MetricRow out;
  out.member = row.member();
  out.step = row.step();
  out.tokens = row.tokens();
  for (int i = 0; i < row.name_size(); ++i) {
    out.values.push_back({static_cast<int>(row.name(i)), row.value(i)});
  }
  return out;
}

absl::StatusOr<TrainerEvent> EventFrom(const v1::TrainerEvent& event) {
  switch (event.event_case()) {
    case v1::TrainerEvent::kStarted: {
      const v1::AttemptStarted& started = event.started();
      LOGLOG_RETURN_IF_ERROR(CheckText("trainer_version", started.trainer_version()));
      LOGLOG_RETURN_IF_ERROR(CheckText("data_sha256", started.data_sha256()));
      return AttemptStart{started.resume_step(),          started.trainer_version(),
                          started.data_sha256(),          started.params_total(),
                          started.params_non_embedding(), started.flops_per_token(),
                          started.total_steps()};
    }
    case v1::TrainerEvent::kRow: {
      LOGLOG_ASSIGN_OR_RETURN(MetricRow row, RowFrom(event.row()));
      return row;
    }
    case v1::TrainerEvent::kCheckpoint: {
      const v1::CheckpointCommitted& checkpoint = event.checkpoint();
      LOGLOG_RETURN_IF_ERROR(CheckText("sha256", checkpoint.sha256()));
      LOGLOG_RETURN_IF_ERROR(CheckBytes("path", checkpoint.path(), limits::kPathBytesMax,
                                        "choose a shorter --run-dir"));
      return CheckpointCommit{checkpoint.step(), checkpoint.path(), checkpoint.sha256(),
                              checkpoint.bytes()};
    }
    case v1::TrainerEvent::kMemberEnded: {
      const v1::MemberEnded& ended = event.member_ended();
      LOGLOG_RETURN_IF_ERROR(CheckJson("summary_json", ended.summary_json(),
                                       limits::kSummaryBytesMax, "log fewer metrics"));
      return MemberEnd{ended.member(), ended.diverged(),   ended.step(),
                       ended.tokens(), ended.final_loss(), ended.summary_json()};
    }
    case v1::TrainerEvent::kNotice: {
      LOGLOG_RETURN_IF_ERROR(CheckText("kind", event.notice().kind()));
      LOGLOG_RETURN_IF_ERROR(CheckJson("detail_json", event.notice().detail_json(),
                                       limits::kNoticeDetailBytesMax, "say less"));
      return CountedOnly{};
    }
    default:  // ignored lines, and kinds of a newer worker: they keep their number
      return CountedOnly{};
  }
}

}  // namespace

absl::StatusOr<RegisterRequest> FromProto(const v1::RegisterWorkerRequest& message,
                                          absl::string_view version) {
  if (message.protocol() != v1::PROTOCOL_CURRENT) {
    return absl::FailedPreconditionError(
        absl::StrCat("this worker (version ", message.version().substr(0, limits::kTextBytesMax),
                     ") speaks protocol ", message.protocol(), ", the coordinator (version ",
                     version, ") speaks ", static_cast<int>(v1::PROTOCOL_CURRENT),
                     "; install loglog ", version, " on the worker's host"));
  }
  if (!IsResourceId(message.worker_id())) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker_id: '", message.worker_id().substr(0, limits::kTextBytesMax),
                     "' is not of the form [a-z0-9][a-z0-9-]{0,62}; set --name"));
  }
  if (message.boot_id().empty()) return absl::InvalidArgumentError("boot_id: is empty");
  LOGLOG_RETURN_IF_ERROR(CheckText("boot_id", message.boot_id()));
  LOGLOG_RETURN_IF_ERROR(CheckText("version", message.version()));
  LOGLOG_RETURN_IF_ERROR(CheckText("host", message.host()));
  LOGLOG_RETURN_IF_ERROR(CheckText("checkpoint_scope", message.checkpoint_scope()));
  if (message.slots_size() < 1) {
    return absl::InvalidArgumentError("slots: none; a worker has at least one");
  }
  LOGLOG_RETURN_IF_ERROR(CheckCount("slots", message.slots_size(), limits::kSlotsOfWorkerMax,
                                    "start several workers, each with a --name of its own"));
  LOGLOG_RETURN_IF_ERROR(CheckCount("labels", message.labels_size(), limits::kLabelsOfWorkerMax,
                                    "give fewer --label"));
  LOGLOG_RETURN_IF_ERROR(
      CheckCount("held", message.held_size(), limits::kHeldAttemptsMax, kHeldFix));
  for (const auto& [key, value] : message.labels()) {
    LOGLOG_RETURN_IF_ERROR(
        CheckBytes("labels: a key", key, limits::kLabelKeyBytesMax, "shorten the --label"));
    LOGLOG_RETURN_IF_ERROR(CheckBytes(absl::StrCat("labels: the value of ", key), value,
                                      limits::kLabelValueBytesMax, "shorten the --label"));
  }
  RegisterRequest request;
  request.worker_id = message.worker_id();
  request.boot_id = message.boot_id();
  request.version = message.version();
  request.host = message.host();
  request.slots = message.slots_size();
  request.checkpoint_scope = message.checkpoint_scope();
  request.held.assign(message.held().begin(), message.held().end());
  json slots = json::array();
  std::set<std::string> models;
  for (int i = 0; i < message.slots_size(); ++i) {
    const v1::SlotInfo& slot = message.slots(i);
    if (slot.slot() != i) {
      return absl::InvalidArgumentError(
          absl::StrCat("slots: entry ", i, " is slot ", slot.slot(), "; number them from 0"));
    }
    LOGLOG_RETURN_IF_ERROR(CheckText("slots: device", slot.device()));
    LOGLOG_RETURN_IF_ERROR(CheckText("slots: device_model", slot.device_model()));
    slots.push_back({{"slot", i},
                     {"device", slot.device()},
                     {"model", slot.device_model()},
                     {"memory_bytes", slot.memory_bytes()}});
    models.insert(slot.device_model().empty() ? slot.device() : slot.device_model());
  }
  json labels = json::object();
  for (const auto& [key, value] : message.labels()) labels[key] = value;
  request.slots_json = slots.dump(-1, ' ', false, json::error_handler_t::replace);
  request.labels_json = labels.dump(-1, ' ', false, json::error_handler_t::replace);
  request.device = absl::StrJoin(models, ", ");
  return request;
}

absl::StatusOr<SyncRequest> FromProto(const v1::SyncWorkerRequest& message) {
  LOGLOG_RETURN_IF_ERROR(CheckCount("slots", message.slots_size(), limits::kSlotsOfWorkerMax,
                                    "report each slot once"));
  LOGLOG_RETURN_IF_ERROR(
      CheckCount("held", message.held_size(), limits::kHeldAttemptsMax, kHeldFix));
  LOGLOG_RETURN_IF_ERROR(
      CheckCount("owed", message.owed_size(), limits::kHeldAttemptsMax, kHeldFix));
  SyncRequest request;
  request.session_epoch = message.session_epoch();
  request.wait_ms = message.wait_ms();
  request.report.worker_id = message.worker_id();
  request.report.draining = message.draining();
  request.report.unhealthy = std::string(CutUtf8(message.unhealthy(), limits::kReasonBytesMax));
  for (const v1::SlotReport& slot : message.slots()) {
    absl::StatusOr<SlotReport> converted = SlotFrom(slot);
    if (!converted.ok()) {
      return Annotate(converted.status(), absl::StrCat("slots: slot ", slot.slot()));
    }
    request.report.slots.push_back(*std::move(converted));
  }
  for (const v1::HeldReport& held : message.held()) {
    HeldReport report;
    report.attempt_id = held.attempt_id();
    absl::StatusOr<ReportedOutcome> outcome = OutcomeFrom(held.outcome());
    if (!outcome.ok()) {
      return Annotate(outcome.status(), absl::StrCat("held: attempt ", held.attempt_id()));
    }
    report.outcome = *std::move(outcome);
    request.report.held.push_back(std::move(report));
  }
  request.report.owed.assign(message.owed().begin(), message.owed().end());
  return request;
}

absl::StatusOr<BatchRequest> FromProto(const v1::MetricBatch& message) {
  LOGLOG_RETURN_IF_ERROR(CheckBatchSize(message));
  BatchRequest request;
  request.worker_id = message.worker_id();
  request.session_epoch = message.session_epoch();
  request.batch.attempt_id = message.attempt_id();
  request.batch.first_seq = message.first_seq();
  request.batch.metrics.assign(message.names().begin(), message.names().end());
  for (int i = 0; i < message.events_size(); ++i) {
    const v1::TrainerEvent& event = message.events(i);
    absl::StatusOr<TrainerEvent> converted = EventFrom(event);
    if (!converted.ok()) {
      return Annotate(converted.status(), absl::StrCat("attempt ", message.attempt_id(), ", event ",
                                                       message.first_seq() + i));
    }
    request.batch.events.push_back(*std::move(converted));
    if (event.event_case() == v1::TrainerEvent::kNotice) {
      request.notices.push_back(
          {i, event.notice().kind(), event.notice().step(), event.notice().detail_json()});
    }
  }
  return request;
}

v1::RegisterWorkerResponse ToProto(const RegisterAnswer& answer) {
  v1::RegisterWorkerResponse response;
  response.set_session_epoch(answer.session_epoch);
  response.set_lease_ms(answer.lease_ms);
  response.set_lease_margin_ms(answer.lease_margin_ms);
  response.set_sync_interval_ms(answer.sync_interval_ms);
  response.set_store_id(answer.store_id);
  return response;
}

v1::SyncWorkerResponse ToProto(const SyncAnswer& answer) {
  v1::SyncWorkerResponse response;
  for (const SlotDesire& desire : answer.desire.slots) {
    v1::SlotDesired* slot = response.add_slots();
    slot->set_slot(desire.slot);
    slot->set_action(ActionToProto(desire.action));
    slot->set_attempt_id(desire.attempt_id);
    slot->set_reason(desire.reason);
    slot->set_forget_attempt_id(desire.forget_attempt_id);
    const auto order = answer.orders.find(desire.slot);
    if (order == answer.orders.end()) continue;
    v1::TaskOrder* task = slot->mutable_task();
    task->set_attempt_id(order->second.attempt_id);
    task->set_task_id(order->second.task_id);
    task->set_task_json(order->second.task_json);
    task->set_resume_step(order->second.resume_step);
    task->set_resume_path(order->second.resume_path);
    task->set_resume_sha256(order->second.resume_sha256);
    task->set_branches(order->second.branches);
    for (const int held : order->second.slots) task->add_slots(held);
  }
  response.mutable_forget()->Add(answer.desire.forget.begin(), answer.desire.forget.end());
  response.set_lease_ms(answer.lease_ms);
  response.set_sync_interval_ms(answer.sync_interval_ms);
  response.set_drain(answer.desire.drain);
  return response;
}

}  // namespace loglog
