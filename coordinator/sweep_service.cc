#include "coordinator/sweep_service.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/refusal.h"
#include "base/status.h"
#include "base/utf8.h"
#include "coordinator/names.h"
#include "coordinator/service_convert.h"
#include "coordinator/service_unary.h"
#include "coordinator/watch_service.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

using Unary = grpc::ServerUnaryReactor;
using Context = grpc::CallbackServerContext;

absl::Status CheckRequestId(const std::string& request_id) {
  if (request_id.size() <= limits::kRequestIdBytesMax) return absl::OkStatus();
  return OverLimit("request_id", request_id.size(), "bytes", limits::kRequestIdBytesMax,
                   "take a random one");
}

v1::Sweep ToProto(const SweepView& view) {
  v1::Sweep sweep = ToProto(view.row);
  sweep.set_tokens_per_second(view.tokens_per_second);
  sweep.set_slot_seconds_left(view.slot_seconds_left);
  sweep.set_slot_seconds_left_low(view.slot_seconds_left_low);
  sweep.set_slot_seconds_left_high(view.slot_seconds_left_high);
  sweep.set_slot_seconds_used(view.slot_seconds_used);
  sweep.set_slots_busy(view.slots_busy);
  sweep.set_slots_total(view.slots_total);
  return sweep;
}

v1::Trial ToProto(const TrialView& view) {
  v1::Trial trial = ToProto(view.row);
  trial.set_pending_reason(view.pending_reason);
  return trial;
}

v1::Worker ToProto(const WorkerView& view) {
  v1::Worker worker = ToProto(view.row);
  worker.set_slots_busy(view.slots_busy);
  return worker;
}

absl::Status FillFit(const FitView& view, v1::Fit* fit) {
  LOGLOG_ASSIGN_OR_RETURN(*fit, ToProto(view.row, view.sweep));
  for (const PredictedLoss& loss : view.predictions.at) *fit->add_predictions() = ToProto(loss);
  fit->set_why_unpredicted(view.predictions.why);
  return absl::OkStatus();
}

// What a user says about a change, cut to a length that events can bear.
template <typename Request>
std::string ReasonOf(const Request& request) {
  return std::string(CutUtf8(request.reason(), limits::kReasonBytesMax));
}

// Numbers of trials that must be of this sweep.
absl::StatusOr<std::vector<int64_t>> NumbersFrom(
    const google::protobuf::RepeatedPtrField<std::string>& names, const std::string& sweep) {
  std::vector<int64_t> numbers;
  if (names.size() > limits::kNamesOfCallMax) {
    return OverLimit("trials", names.size(), "names", limits::kNamesOfCallMax,
                     "name none for all of the sweep, or call several times");
  }
  for (const std::string& name : names) {
    LOGLOG_ASSIGN_OR_RETURN(const NumberedName trial, ParseTrialName(name));
    if (trial.sweep != sweep) {
      return absl::InvalidArgumentError(
          absl::StrCat("trials: ", name, " is not of ", SweepName(sweep)));
    }
    numbers.push_back(trial.number);
  }
  return numbers;
}

}  // namespace

absl::StatusOr<Principal> SweepServiceImpl::Admit(Context* context, absl::string_view rpc) const {
  return gate_->Admit(*context, absl::StrCat("SweepService.", rpc));
}

// ---- sweeps

Unary* SweepServiceImpl::CreateSweep(Context* context, const v1::CreateSweepRequest* request,
                                     v1::CreateSweepResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "CreateSweep"));
  absl::Status status = CheckRequestId(request->request_id());
  if (request->spec_json().size() > limits::kSpecBytesMax) {
    status = OverLimit("spec_json", request->spec_json().size(), "bytes", limits::kSpecBytesMax,
                       "split the sweep");
  }
  if (!status.ok()) return Refuse(context, status);
  Unary* const reactor = context->DefaultReactor();
  engine_->CreateSweep(
      request->spec_json(), request->request_id(), request->validate_only(),
      ReplyTo<CreateAnswer>(reactor,
                            [response](const CreateAnswer& answer) {
                              *response->mutable_sweep() = ToProto(answer.sweep);
                              response->set_created(answer.created);
                              response->set_trials_new(static_cast<int32_t>(answer.trials_new));
                              response->set_trials_reused(
                                  static_cast<int32_t>(answer.trials_reused));
                            }),
      caller.name);
  return reactor;
}

Unary* SweepServiceImpl::GetSweep(Context* context, const v1::GetSweepRequest* request,
                                  v1::Sweep* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "GetSweep"));
  LOGLOG_OR_REFUSE(const std::string name, ParseSweepName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->GetSweep(name, ReplyTo<SweepView>(reactor, [response](const SweepView& view) {
                      *response = ToProto(view);
                    }));
  return reactor;
}

Unary* SweepServiceImpl::ListSweeps(Context* context, const v1::ListSweepsRequest* request,
                                    v1::ListSweepsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ListSweeps"));
  LOGLOG_OR_REFUSE(const int size, PageSize(request->page_size()));
  LOGLOG_OR_REFUSE(const int64_t before, PositionFrom("sweeps", request->page_token()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ListSweeps(
      before, size,
      ReplyTo<std::vector<SweepView>>(reactor, [=](const std::vector<SweepView>& views) {
        for (const SweepView& view : views) *response->add_sweeps() = ToProto(view);
        if (static_cast<int>(views.size()) == size) {
          response->set_next_page_token(
              MakePageToken("sweeps", absl::StrCat(views.back().row.sweep_id)));
        }
      }));
  return reactor;
}

Unary* SweepServiceImpl::Change(Context* context, absl::string_view rpc, Engine::SweepVerb verb,
                                const v1::SweepVerbRequest& request, v1::Sweep* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, rpc));
  LOGLOG_OR_REFUSE(const std::string name, ParseSweepName(request.name()));
  LOGLOG_OR_REFUSE(const int64_t revision, ParseEtag(request.etag()));
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return Refuse(context, status);
  }
  Unary* const reactor = context->DefaultReactor();
  engine_->ChangeSweep(
      verb, name, revision, ReasonOf(request), request.request_id(),
      ReplyTo<SweepView>(reactor, [response](const SweepView& view) { *response = ToProto(view); }),
      caller.name);
  return reactor;
}

Unary* SweepServiceImpl::PauseSweep(Context* context, const v1::SweepVerbRequest* request,
                                    v1::Sweep* response) {
  return Change(context, "PauseSweep", Engine::SweepVerb::kPause, *request, response);
}

Unary* SweepServiceImpl::ResumeSweep(Context* context, const v1::SweepVerbRequest* request,
                                     v1::Sweep* response) {
  return Change(context, "ResumeSweep", Engine::SweepVerb::kResume, *request, response);
}

Unary* SweepServiceImpl::CancelSweep(Context* context, const v1::SweepVerbRequest* request,
                                     v1::Sweep* response) {
  return Change(context, "CancelSweep", Engine::SweepVerb::kCancel, *request, response);
}

grpc::ServerWriteReactor<v1::Event>* SweepServiceImpl::WatchSweep(
    Context* context, const v1::WatchSweepRequest* request) {
  const absl::StatusOr<Principal> caller = Admit(context, "WatchSweep");
  if (!caller.ok()) return RefuseWatch(caller.status());
  std::string sweep;
  if (!request->name().empty()) {
    absl::StatusOr<std::string> name = ParseSweepName(request->name());
    if (!name.ok()) return RefuseWatch(name.status());
    sweep = *std::move(name);
  }
  return StartWatch(engine_, gate_, *caller, sweep, request->after_event_id());
}

// ---- trials

Unary* SweepServiceImpl::ListTrials(Context* context, const v1::ListTrialsRequest* request,
                                    v1::ListTrialsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ListTrials"));
  LOGLOG_OR_REFUSE(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_REFUSE(const int size, PageSize(request->page_size()));
  std::string list = absl::StrCat("trials of ", sweep);
  std::vector<TrialState> states;
  if (request->states_size() > v1::Trial::State_ARRAYSIZE) {
    return Refuse(context, OverLimit("states", request->states_size(), "",
                                     v1::Trial::State_ARRAYSIZE, "name each state once"));
  }
  for (const int state : request->states()) {
    if (!v1::Trial::State_IsValid(state) || state == v1::Trial::STATE_UNSPECIFIED) {
      return Refuse(context, absl::InvalidArgumentError(
                                 absl::StrCat("states: ", state, " is not a state of a trial")));
    }
    states.push_back(FromProto(static_cast<v1::Trial::State>(state)));
    absl::StrAppend(&list, " ", state);
  }
  LOGLOG_OR_REFUSE(const int64_t after, PositionFrom(list, request->page_token()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ListTrials(sweep, after, states, size,
                      ReplyTo<TrialPage>(reactor, [=](const TrialPage& page) {
                        for (const TrialView& view : page.trials) {
                          *response->add_trials() = ToProto(view);
                        }
                        response->set_total(static_cast<int32_t>(page.total));
                        if (static_cast<int>(page.trials.size()) == size) {
                          response->set_next_page_token(
                              MakePageToken(list, absl::StrCat(page.trials.back().row.number)));
                        }
                      }));
  return reactor;
}

Unary* SweepServiceImpl::GetTrial(Context* context, const v1::GetTrialRequest* request,
                                  v1::Trial* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "GetTrial"));
  LOGLOG_OR_REFUSE(const NumberedName name, ParseTrialName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->GetTrial(name.sweep, name.number,
                    ReplyTo<TrialView>(
                        reactor, [response](const TrialView& view) { *response = ToProto(view); }));
  return reactor;
}

Unary* SweepServiceImpl::RetryTrials(Context* context, const v1::RetryTrialsRequest* request,
                                     v1::RetryTrialsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "RetryTrials"));
  LOGLOG_OR_REFUSE(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_REFUSE(const std::vector<int64_t> numbers, NumbersFrom(request->trials(), sweep));
  if (const absl::Status status = CheckRequestId(request->request_id()); !status.ok()) {
    return Refuse(context, status);
  }
  Unary* const reactor = context->DefaultReactor();
  const RetryKinds kinds = {.cancelled = request->include_cancelled(),
                            .stopped = request->include_stopped()};
  engine_->RetryTrials(sweep, numbers, kinds, ReasonOf(*request), request->request_id(),
                       ReplyTo<int64_t>(reactor,
                                        [response](int64_t retried) {
                                          response->set_retried(static_cast<int32_t>(retried));
                                        }),
                       caller.name);
  return reactor;
}

Unary* SweepServiceImpl::CancelTrial(Context* context, const v1::CancelTrialRequest* request,
                                     v1::Trial* response) {
  return EndTrial(context, "CancelTrial", Engine::TrialVerb::kCancel, *request, response);
}

Unary* SweepServiceImpl::StopTrial(Context* context, const v1::StopTrialRequest* request,
                                   v1::Trial* response) {
  return EndTrial(context, "StopTrial", Engine::TrialVerb::kStop, *request, response);
}

template <typename Request>
Unary* SweepServiceImpl::EndTrial(Context* context, absl::string_view rpc, Engine::TrialVerb verb,
                                  const Request& request, v1::Trial* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, rpc));
  LOGLOG_OR_REFUSE(const NumberedName name, ParseTrialName(request.name()));
  if (const absl::Status status = CheckRequestId(request.request_id()); !status.ok()) {
    return Refuse(context, status);
  }
  Unary* const reactor = context->DefaultReactor();
  engine_->EndTrial(
      verb, name.sweep, name.number, ReasonOf(request), request.request_id(),
      ReplyTo<TrialView>(reactor, [response](const TrialView& view) { *response = ToProto(view); }),
      caller.name);
  return reactor;
}

Unary* SweepServiceImpl::ListPoints(Context* context, const v1::ListPointsRequest* request,
                                    v1::ListPointsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ListPoints"));
  PointsRequest points;
  LOGLOG_OR_REFUSE(points.sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_REFUSE(points.numbers, NumbersFrom(request->trials(), points.sweep));
  points.metrics.assign(request->metrics().begin(), request->metrics().end());
  points.step_min = request->step_min();
  points.step_max = request->step_max();
  points.max_points = request->max_points();
  if (points.max_points < 0 || points.step_min < 0 || points.step_max < 0) {
    return Refuse(context, absl::InvalidArgumentError(
                               "max_points, step_min and step_max must not be negative"));
  }
  Unary* const reactor = context->DefaultReactor();
  engine_->ListPoints(
      points, ReplyTo<std::vector<SeriesView>>(
                  reactor, [response, sweep = points.sweep](const std::vector<SeriesView>& all) {
                    for (const SeriesView& view : all) {
                      v1::Series* series = response->add_series();
                      series->set_trial(TrialName(sweep, view.number));
                      series->set_metric(view.metric);
                      series->set_total_points(view.curve.total_points);
                      for (const PointRow& row : view.curve.points) {
                        v1::Point* point = series->add_points();
                        point->set_step(row.step);
                        point->set_tokens(row.tokens);
                        point->set_value(row.value);
                      }
                    }
                  }));
  return reactor;
}

Unary* SweepServiceImpl::GetTrialEvents(Context* context, const v1::GetTrialEventsRequest* request,
                                        v1::GetTrialEventsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "GetTrialEvents"));
  LOGLOG_OR_REFUSE(const NumberedName name, ParseTrialName(request->name()));
  LOGLOG_OR_REFUSE(const int limit, PageSize(request->max_events()));
  Unary* const reactor = context->DefaultReactor();
  engine_->GetTrialEvents(
      name.sweep, name.number, limit,
      ReplyTo<std::vector<EventRow>>(reactor, [response](const std::vector<EventRow>& events) {
        for (const EventRow& event : events) *response->add_events() = ToProto(event);
      }));
  return reactor;
}

// ---- fits

Unary* SweepServiceImpl::CreateFit(Context* context, const v1::CreateFitRequest* request,
                                   v1::Fit* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "CreateFit"));
  LOGLOG_OR_REFUSE(const std::string sweep, ParseSweepName(request->sweep()));
  FitTarget target;
  LOGLOG_OR_REFUSE(target.axis, ParseAxis(request->axis()));
  target.kind = request->kind();
  target.arm = request->arm();
  if (target.kind == "comparison") {
    return Refuse(context, absl::InvalidArgumentError(
                               "kind: two arms are compared by CompareArms, not CreateFit"));
  }
  if (request->at_size() > limits::kPlacesOfFitMax) {
    return Refuse(context, OverLimit("at", request->at_size(), "places", limits::kPlacesOfFitMax,
                                     "call several times"));
  }
  std::vector<Place> at;
  for (const v1::FitPlace& place : request->at()) at.push_back({place.x(), place.n_params()});
  Unary* const reactor = context->DefaultReactor();
  engine_->CreateFit(
      sweep, target,
      ReplyTo<FitView>(reactor,
                       [response](const FitView& view) { return FillFit(view, response); }),
      request->censored(), std::move(at));
  return reactor;
}

Unary* SweepServiceImpl::CompareArms(Context* context, const v1::CompareArmsRequest* request,
                                     v1::Fit* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "CompareArms"));
  LOGLOG_OR_REFUSE(const std::string sweep, ParseSweepName(request->sweep()));
  FitTarget target;
  LOGLOG_OR_REFUSE(target.axis, ParseAxis(request->axis()));
  target.kind = "comparison";
  target.arm = request->arm();
  target.arm_b = request->arm_b();
  if (target.arm == target.arm_b) {
    return Refuse(context, absl::InvalidArgumentError(absl::StrCat(
                               "arm_b: '", target.arm_b, "' is arm itself; name two arms")));
  }
  Unary* const reactor = context->DefaultReactor();
  engine_->CreateFit(sweep, target, ReplyTo<FitView>(reactor, [response](const FitView& view) {
                       return FillFit(view, response);
                     }));
  return reactor;
}

Unary* SweepServiceImpl::GetFit(Context* context, const v1::GetFitRequest* request,
                                v1::Fit* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "GetFit"));
  LOGLOG_OR_REFUSE(const NumberedName name, ParseFitName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->GetFit(name.sweep, name.number,
                  ReplyTo<FitView>(reactor, [response](const FitView& view) {
                    return FillFit(view, response);
                  }));
  return reactor;
}

Unary* SweepServiceImpl::ListFits(Context* context, const v1::ListFitsRequest* request,
                                  v1::ListFitsResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ListFits"));
  LOGLOG_OR_REFUSE(const std::string sweep, ParseSweepName(request->sweep()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ListFits(sweep,
                    ReplyTo<std::vector<FitView>>(
                        reactor, [response](const std::vector<FitView>& views) -> absl::Status {
                          for (const FitView& view : views) {
                            LOGLOG_RETURN_IF_ERROR(FillFit(view, response->add_fits()));
                          }
                          return absl::OkStatus();
                        }));
  return reactor;
}

// ---- workers and the coordinator

Unary* SweepServiceImpl::ListWorkers(Context* context, const v1::ListWorkersRequest* request,
                                     v1::ListWorkersResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ListWorkers"));
  LOGLOG_OR_REFUSE(const int size, PageSize(request->page_size()));
  LOGLOG_OR_REFUSE(const std::string after, ParsePageToken("workers", request->page_token()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ListWorkers(
      after, size,
      ReplyTo<std::vector<WorkerView>>(reactor, [=](const std::vector<WorkerView>& views) {
        for (const WorkerView& view : views) *response->add_workers() = ToProto(view);
        if (static_cast<int>(views.size()) == size) {
          response->set_next_page_token(MakePageToken("workers", views.back().row.worker_id));
        }
      }));
  return reactor;
}

Unary* SweepServiceImpl::DrainWorker(Context* context, const v1::WorkerVerbRequest* request,
                                     v1::Worker* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "DrainWorker"));
  LOGLOG_OR_REFUSE(const std::string worker_id, ParseWorkerName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->DrainWorker(
      worker_id, ReasonOf(*request),
      ReplyTo<WorkerView>(reactor,
                          [response](const WorkerView& view) { *response = ToProto(view); }),
      caller.name);
  return reactor;
}

Unary* SweepServiceImpl::ResumeWorker(Context* context, const v1::WorkerVerbRequest* request,
                                      v1::Worker* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "ResumeWorker"));
  LOGLOG_OR_REFUSE(const std::string worker_id, ParseWorkerName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ResumeWorker(
      worker_id,
      ReplyTo<WorkerView>(reactor,
                          [response](const WorkerView& view) { *response = ToProto(view); }),
      caller.name);
  return reactor;
}

Unary* SweepServiceImpl::GetServerInfo(Context* context, const v1::GetServerInfoRequest* request,
                                       v1::ServerInfo* response) {
  LOGLOG_OR_REFUSE(const Principal caller, Admit(context, "GetServerInfo"));
  (void)request;
  Unary* const reactor = context->DefaultReactor();
  engine_->GetServerInfo(
      ReplyTo<ServerView>(reactor, [this, response, caller](const ServerView& view) {
        response->set_version(version_);
        response->set_store_path(view.store.path);
        response->set_store_schema(view.store.schema);
        response->set_store_bytes(view.store.bytes);
        response->set_start_time_ms(view.start_wall_ms);
        response->set_pid(getpid());
        response->set_auth_required(gate_->required());
        response->set_caller(caller.name);
        if (gate_->required()) {
          response->set_caller_role(absl::AsciiStrToLower(RoleName(caller.role)));
        }
      }));
  return reactor;
}

}  // namespace loglog
