#include "coordinator/service_convert.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/names.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

v1::Sweep::State StateToProto(SweepState state) {
  switch (state) {
    case SweepState::kActive:
      return v1::Sweep::ACTIVE;
    case SweepState::kPaused:
      return v1::Sweep::PAUSED;
    case SweepState::kCancelled:
      return v1::Sweep::CANCELLED;
    case SweepState::kDone:
      return v1::Sweep::DONE;
  }
  return v1::Sweep::STATE_UNSPECIFIED;
}

v1::Trial::State StateToProto(TrialState state) {
  switch (state) {
    case TrialState::kPending:
      return v1::Trial::PENDING;
    case TrialState::kRunning:
      return v1::Trial::RUNNING;
    case TrialState::kDone:
      return v1::Trial::DONE;
    case TrialState::kDiverged:
      return v1::Trial::DIVERGED;
    case TrialState::kFailed:
      return v1::Trial::FAILED;
    case TrialState::kCancelled:
      return v1::Trial::CANCELLED;
    case TrialState::kStopped:
      return v1::Trial::STOPPED;
  }
  return v1::Trial::STATE_UNSPECIFIED;
}

v1::Worker::State StateToProto(WorkerState state) {
  switch (state) {
    case WorkerState::kLive:
      return v1::Worker::LIVE;
    case WorkerState::kDraining:
      return v1::Worker::DRAINING;
    case WorkerState::kQuarantined:
      return v1::Worker::QUARANTINED;
    case WorkerState::kLost:
      return v1::Worker::LOST;
    case WorkerState::kGone:
      return v1::Worker::GONE;
  }
  return v1::Worker::STATE_UNSPECIFIED;
}

v1::Fit::Verdict VerdictToProto(const std::string& verdict) {
  v1::Fit::Verdict value = v1::Fit::VERDICT_UNSPECIFIED;
  v1::Fit::Verdict_Parse(verdict, &value);
  return value;
}

// A map of text to text that the store keeps as a JSON object.
void FillMap(const std::string& text, google::protobuf::Map<std::string, std::string>* map) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return;
  for (const auto& [key, value] : object.items()) {
    (*map)[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
}

// Numbers that JSON lacks are kept as text (see FitRow::fit_json).
double ReadNumber(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

void FillFit(const json& result, v1::Fit* fit) {
  fit->set_form(result.at("form").get<std::string>());
  for (const json& parameter : result.at("parameters")) {
    v1::Parameter* out = fit->add_parameters();
    out->set_name(parameter.at("name").get<std::string>());
    out->set_estimate(ReadNumber(parameter.at("estimate")));
    out->set_low(ReadNumber(parameter.at("low")));
    out->set_high(ReadNumber(parameter.at("high")));
  }
  for (const json& point : result.at("points")) {
    v1::FitPoint* out = fit->add_points();
    out->set_x(ReadNumber(point.at("x")));
    out->set_mean_loss(ReadNumber(point.at("mean_loss")));
    out->set_sd_loss(ReadNumber(point.at("sd_loss")));
    out->set_n(point.at("n").get<int>());
  }
  fit->set_n_configs(result.at("n_configs").get<int>());
  fit->set_n_pairs(result.at("n_pairs").get<int>());
  fit->set_n_diverged(result.at("n_diverged").get<int>());
  fit->set_n_unfinished(result.at("n_unfinished").get<int>());
  fit->set_n_stopped(result.value("n_stopped", 0));  // fits of earlier versions have none
  fit->set_x_min(ReadNumber(result.at("x_min")));
  fit->set_x_max(ReadNumber(result.at("x_max")));
  fit->set_leave_largest_out_error(ReadNumber(result.at("leave_largest_out_error")));
  fit->set_provenance_json(result.at("provenance").dump());
}

}  // namespace

v1::Sweep ToProto(const SweepRow& row) {
  v1::Sweep sweep;
  sweep.set_name(SweepName(row.name));
  sweep.set_state(StateToProto(row.state));
  sweep.set_spec_json(row.spec_json);
  sweep.set_spec_sha256(row.spec_sha256);
  sweep.set_create_time_ms(row.create_ms);
  sweep.set_end_time_ms(row.end_ms);
  sweep.set_etag(MakeEtag(row.revision));
  sweep.set_last_event_id(row.last_event_id);
  v1::TrialCounts* counts = sweep.mutable_counts();
  counts->set_total(static_cast<int32_t>(row.counts.total));
  counts->set_pending(static_cast<int32_t>(row.counts.pending));
  counts->set_running(static_cast<int32_t>(row.counts.running));
  counts->set_done(static_cast<int32_t>(row.counts.done));
  counts->set_diverged(static_cast<int32_t>(row.counts.diverged));
  counts->set_failed(static_cast<int32_t>(row.counts.failed));
  counts->set_cancelled(static_cast<int32_t>(row.counts.cancelled));
  counts->set_reused(static_cast<int32_t>(row.counts.reused));
  counts->set_stopped(static_cast<int32_t>(row.counts.stopped));
  return sweep;
}

v1::Trial ToProto(const TrialRow& row) {
  v1::Trial trial;
  trial.set_name(TrialName(row.sweep, row.number));
  trial.set_trial_sha256(row.trial_sha256);
  trial.set_cell_sha256(row.cell_sha256);
  trial.set_seed(row.seed);
  trial.set_state(StateToProto(row.state));
  trial.set_arm(row.arm);
  FillMap(row.axes_json, trial.mutable_axes());
  trial.set_config_json(row.config_json);
  trial.set_step(row.step);
  trial.set_steps(row.steps);
  trial.set_tokens(row.tokens);
  trial.set_tokens_planned(row.tokens_planned);
  trial.set_params_total(row.params_total);
  trial.set_params_non_embedding(row.params_non_embedding);
  trial.set_flops(row.flops);
  trial.set_final_loss(row.final_loss);
  trial.set_last_loss(row.last_loss);
  trial.set_failure_count(row.failure_count);
  trial.set_lost_count(row.lost_count);
  trial.set_worker(row.worker_id.empty() ? "" : WorkerName(row.worker_id));
  trial.set_attempt_id(row.attempt_id);
  trial.set_message(row.message);
  trial.set_start_time_ms(row.start_ms);
  trial.set_end_time_ms(row.end_ms);
  trial.set_attempts(row.attempts);
  trial.set_data_sha256(row.data_sha256);
  trial.set_trainer_version(row.trainer_version);
  trial.set_tokens_per_second(row.tokens_per_second);
  trial.set_diverged_step(row.diverged_step);
  return trial;
}

v1::Worker ToProto(const WorkerRow& row) {
  v1::Worker worker;
  worker.set_name(WorkerName(row.worker_id));
  worker.set_state(StateToProto(row.state));
  worker.set_reason(row.reason);
  worker.set_slots(row.slots);
  FillMap(row.labels_json, worker.mutable_labels());
  worker.set_version(row.version);
  worker.set_last_sync_time_ms(row.last_sync_ms);
  worker.set_register_time_ms(row.register_ms);
  worker.set_device(row.device);
  return worker;
}

v1::Event ToProto(const EventRow& row) {
  v1::Event event;
  event.set_event_id(row.event_id);
  event.set_time_ms(row.time_ms);
  event.set_kind(row.kind);
  if (!row.sweep.empty()) event.set_sweep(SweepName(row.sweep));
  if (!row.sweep.empty() && row.trial_number > 0) {
    event.set_trial(TrialName(row.sweep, row.trial_number));
  }
  event.set_attempt_id(row.attempt_id);
  if (!row.worker_id.empty()) event.set_worker(WorkerName(row.worker_id));
  event.set_detail_json(row.detail_json);
  return event;
}

v1::PredictedLoss ToProto(const PredictedLoss& loss) {
  v1::PredictedLoss message;
  message.set_x(loss.at.x);
  message.set_n_params(loss.at.n_params);
  message.set_loss(loss.loss);
  message.set_law_low(loss.law_low);
  message.set_law_high(loss.law_high);
  message.set_trial_low(loss.trial_low);
  message.set_trial_high(loss.trial_high);
  message.set_band_low(loss.band_low);
  message.set_band_high(loss.band_high);
  message.set_extrapolated(loss.extrapolated);
  return message;
}

absl::StatusOr<v1::Fit> ToProto(const FitRow& row, absl::string_view sweep) {
  v1::Fit fit;
  fit.set_name(FitName(sweep, row.number));
  fit.set_sweep(SweepName(sweep));
  fit.set_kind(row.kind);
  fit.set_axis(row.axis);
  fit.set_arm(row.arm);
  fit.set_arm_b(row.arm_b);
  fit.set_definition(row.definition);
  fit.set_verdict(VerdictToProto(row.verdict));
  fit.set_message(row.message);
  fit.set_n_trials(row.n_trials);
  fit.set_p_value(row.p_value);
  fit.set_inputs_sha256(row.inputs_sha256);
  fit.set_create_time_ms(row.create_ms);
  try {
    FillFit(json::parse(row.fit_json), &fit);
  } catch (const json::exception& error) {
    return absl::DataLossError(absl::StrCat("the stored result of ", fit.name(),
                                            " cannot be read (", error.what(),
                                            "); fit again: loglog fit ", sweep));
  }
  return fit;
}

TrialState FromProto(v1::Trial::State state) {
  switch (state) {
    case v1::Trial::RUNNING:
      return TrialState::kRunning;
    case v1::Trial::DONE:
      return TrialState::kDone;
    case v1::Trial::DIVERGED:
      return TrialState::kDiverged;
    case v1::Trial::FAILED:
      return TrialState::kFailed;
    case v1::Trial::CANCELLED:
      return TrialState::kCancelled;
    case v1::Trial::STOPPED:
      return TrialState::kStopped;
    default:
      return TrialState::kPending;
  }
}

std::string MakeEtag(int64_t revision) { return absl::StrCat("r", revision); }

absl::StatusOr<int64_t> ParseEtag(absl::string_view etag) {
  int64_t revision = 0;
  if (etag.empty()) return revision;
  if (etag[0] != 'r' || !absl::SimpleAtoi(etag.substr(1), &revision) || revision < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("etag: '", etag, "' is none of a sweep; get the sweep and send its etag"));
  }
  return revision;
}

}  // namespace loglog
