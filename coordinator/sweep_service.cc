#include "coordinator/sweep_service.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/names.h"
#include "coordinator/service_convert.h"
#include "coordinator/service_reply.h"
#include "coordinator/service_watch_reactor.h"

namespace loglog {
namespace {

constexpr int kPageDefault = 100;
constexpr int kPageMax = 1000;
constexpr int kTrialEventsDefault = 100;

absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0) {
    return absl::InvalidArgumentError(absl::StrCat("page_size: ", asked, " is negative; use 1 to ",
                                                   kPageMax, ", or 0 for ", kPageDefault));
  }
  return asked == 0 ? kPageDefault : std::min(asked, kPageMax);
}

absl::StatusOr<int64_t> PageNumber(absl::string_view list, absl::string_view token) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string position, ParsePageToken(list, token));
  int64_t number = 0;
  if (!position.empty() && !absl::SimpleAtoi(position, &number)) {
    return absl::InvalidArgumentError("page_token: damaged; start from the first page");
  }
  return number;
}

v1::Sweep SweepToProto(const SweepView& view) {
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

v1::Trial TrialToProto(const TrialView& view) {
  v1::Trial trial = ToProto(view.row);
  trial.set_pending_reason(view.pending_reason);
  return trial;
}

v1::Worker WorkerToProto(const WorkerView& view) {
  v1::Worker worker = ToProto(view.row);
  worker.set_slots_busy(view.slots_busy);
  return worker;
}

absl::Status FillSweep(const SweepView& view, v1::Sweep* response) {
  *response = SweepToProto(view);
  return absl::OkStatus();
}

absl::Status FillTrial(const TrialView& view, v1::Trial* response) {
  *response = TrialToProto(view);
  return absl::OkStatus();
}

absl::Status FillWorker(const WorkerView& view, v1::Worker* response) {
  *response = WorkerToProto(view);
  return absl::OkStatus();
}

absl::Status FillFit(const FitView& view, v1::Fit* response) {
  LOGLOG_ASSIGN_OR_RETURN(*response, ToProto(view.row, view.sweep));
  return absl::OkStatus();
}

// Numbers of trials that all belong to `sweep`.
absl::StatusOr<std::vector<int64_t>> NumbersOf(
    absl::string_view sweep, const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<int64_t> numbers;
  for (const std::string& name : names) {
    LOGLOG_ASSIGN_OR_RETURN(const NumberedName parsed, ParseTrialName(name));
    if (parsed.sweep != sweep) {
      return absl::InvalidArgumentError(
          absl::StrCat("trials: '", name, "' is not a trial of ", SweepName(sweep)));
    }
    numbers.push_back(parsed.number);
  }
  return numbers;
}

// Ends the call when `value` (an absl::StatusOr) is an error.
#define LOGLOG_OR_FINISH(lhs, value)                                         \
  auto LOGLOG_STATUS_CONCAT(or_, __LINE__) = (value);                        \
  if (!LOGLOG_STATUS_CONCAT(or_, __LINE__).ok())                             \
    return FinishNow(context, LOGLOG_STATUS_CONCAT(or_, __LINE__).status()); \
  lhs = *std::move(LOGLOG_STATUS_CONCAT(or_, __LINE__))

// Answers a watch that cannot start.
class RefusedWatch : public grpc::ServerWriteReactor<v1::Event> {
 public:
  explicit RefusedWatch(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

SweepServiceImpl::Reactor* SweepServiceImpl::CreateSweep(Context* context,
                                                         const v1::CreateSweepRequest* request,
                                                         v1::CreateSweepResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  engine_->CreateSweep(
      request->spec_json(), request->request_id(), request->validate_only(),
      Respond<CreateAnswer, v1::CreateSweepResponse>(
          reactor, response, [](const CreateAnswer& answer, v1::CreateSweepResponse* out) {
            *out->mutable_sweep() = SweepToProto(answer.sweep);
            out->set_created(answer.created);
            out->set_trials_new(static_cast<int32_t>(answer.trials_new));
            out->set_trials_reused(static_cast<int32_t>(answer.trials_reused));
            return absl::OkStatus();
          }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::GetSweep(Context* context,
                                                      const v1::GetSweepRequest* request,
                                                      v1::Sweep* response) {
  LOGLOG_OR_FINISH(const std::string name, ParseSweepName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->GetSweep(name, Respond<SweepView, v1::Sweep>(reactor, response, FillSweep));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ListSweeps(Context* context,
                                                        const v1::ListSweepsRequest* request,
                                                        v1::ListSweepsResponse* response) {
  LOGLOG_OR_FINISH(const int size, PageSize(request->page_size()));
  LOGLOG_OR_FINISH(const int64_t before, PageNumber("sweeps", request->page_token()));
  Reactor* reactor = context->DefaultReactor();
  // One more than asked for tells whether there is a next page.
  engine_->ListSweeps(
      before, size + 1,
      Respond<std::vector<SweepView>, v1::ListSweepsResponse>(
          reactor, response,
          [size](const std::vector<SweepView>& sweeps, v1::ListSweepsResponse* out) {
            for (int i = 0; i < std::min<int>(size, sweeps.size()); ++i) {
              *out->add_sweeps() = SweepToProto(sweeps[i]);
            }
            if (sweeps.size() > size) {
              out->set_next_page_token(
                  MakePageToken("sweeps", absl::StrCat(sweeps[size - 1].row.sweep_id)));
            }
            return absl::OkStatus();
          }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ChangeSweep(Context* context, Engine::SweepVerb verb,
                                                         const v1::SweepVerbRequest* request,
                                                         v1::Sweep* response) {
  LOGLOG_OR_FINISH(const std::string name, ParseSweepName(request->name()));
  LOGLOG_OR_FINISH(const int64_t revision, ParseEtag(request->etag()));
  Reactor* reactor = context->DefaultReactor();
  engine_->ChangeSweep(verb, name, revision, request->request_id(),
                       Respond<SweepView, v1::Sweep>(reactor, response, FillSweep));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::PauseSweep(Context* context,
                                                        const v1::SweepVerbRequest* request,
                                                        v1::Sweep* response) {
  return ChangeSweep(context, Engine::SweepVerb::kPause, request, response);
}

SweepServiceImpl::Reactor* SweepServiceImpl::ResumeSweep(Context* context,
                                                         const v1::SweepVerbRequest* request,
                                                         v1::Sweep* response) {
  return ChangeSweep(context, Engine::SweepVerb::kResume, request, response);
}

SweepServiceImpl::Reactor* SweepServiceImpl::CancelSweep(Context* context,
                                                         const v1::SweepVerbRequest* request,
                                                         v1::Sweep* response) {
  return ChangeSweep(context, Engine::SweepVerb::kCancel, request, response);
}

grpc::ServerWriteReactor<v1::Event>* SweepServiceImpl::WatchSweep(
    Context*, const v1::WatchSweepRequest* request) {
  std::string sweep;
  if (!request->name().empty()) {
    absl::StatusOr<std::string> name = ParseSweepName(request->name());
    if (!name.ok()) return new RefusedWatch(name.status());
    sweep = *std::move(name);
  }
  return WatchReactor::Start(engine_, std::move(sweep), request->after_event_id());
}

SweepServiceImpl::Reactor* SweepServiceImpl::ListTrials(Context* context,
                                                        const v1::ListTrialsRequest* request,
                                                        v1::ListTrialsResponse* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_FINISH(const int size, PageSize(request->page_size()));
  const std::string list = absl::StrCat("trials of ", sweep);
  LOGLOG_OR_FINISH(const int64_t after, PageNumber(list, request->page_token()));
  std::vector<TrialState> states;
  for (const int state : request->states()) {
    states.push_back(FromProto(static_cast<v1::Trial::State>(state)));
  }
  Reactor* reactor = context->DefaultReactor();
  engine_->ListTrials(
      sweep, after, states, size + 1,
      Respond<TrialPage, v1::ListTrialsResponse>(
          reactor, response, [size, list](const TrialPage& page, v1::ListTrialsResponse* out) {
            for (int i = 0; i < std::min<int>(size, page.trials.size()); ++i) {
              *out->add_trials() = TrialToProto(page.trials[i]);
            }
            if (page.trials.size() > size) {
              out->set_next_page_token(
                  MakePageToken(list, absl::StrCat(page.trials[size - 1].row.number)));
            }
            out->set_total(static_cast<int32_t>(page.total));
            return absl::OkStatus();
          }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::GetTrial(Context* context,
                                                      const v1::GetTrialRequest* request,
                                                      v1::Trial* response) {
  LOGLOG_OR_FINISH(const NumberedName name, ParseTrialName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->GetTrial(name.sweep, name.number,
                    Respond<TrialView, v1::Trial>(reactor, response, FillTrial));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::RetryTrials(Context* context,
                                                         const v1::RetryTrialsRequest* request,
                                                         v1::RetryTrialsResponse* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_FINISH(const std::vector<int64_t> numbers, NumbersOf(sweep, request->trials()));
  Reactor* reactor = context->DefaultReactor();
  engine_->RetryTrials(sweep, numbers, request->include_cancelled(), request->request_id(),
                       Respond<int64_t, v1::RetryTrialsResponse>(
                           reactor, response, [](int64_t count, v1::RetryTrialsResponse* out) {
                             out->set_retried(static_cast<int32_t>(count));
                             return absl::OkStatus();
                           }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::CancelTrial(Context* context,
                                                         const v1::CancelTrialRequest* request,
                                                         v1::Trial* response) {
  LOGLOG_OR_FINISH(const NumberedName name, ParseTrialName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->CancelTrial(name.sweep, name.number, request->request_id(),
                       Respond<TrialView, v1::Trial>(reactor, response, FillTrial));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ListPoints(Context* context,
                                                        const v1::ListPointsRequest* request,
                                                        v1::ListPointsResponse* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  PointsRequest points;
  points.sweep = sweep;
  LOGLOG_OR_FINISH(points.numbers, NumbersOf(sweep, request->trials()));
  points.metrics.assign(request->metrics().begin(), request->metrics().end());
  points.step_min = request->step_min();
  points.step_max = request->step_max();
  points.max_points = request->max_points();
  if (points.step_min < 0 || points.step_max < 0 || points.max_points < 0) {
    return FinishNow(context, absl::InvalidArgumentError(
                                  "step_min, step_max and max_points: must not be negative"));
  }
  Reactor* reactor = context->DefaultReactor();
  engine_->ListPoints(
      points, Respond<std::vector<SeriesView>, v1::ListPointsResponse>(
                  reactor, response,
                  [sweep](const std::vector<SeriesView>& series, v1::ListPointsResponse* out) {
                    for (const SeriesView& view : series) {
                      v1::Series* one = out->add_series();
                      one->set_trial(TrialName(sweep, view.number));
                      one->set_metric(view.metric);
                      one->set_total_points(view.curve.total_points);
                      for (const PointRow& row : view.curve.points) {
                        v1::Point* point = one->add_points();
                        point->set_step(row.step);
                        point->set_tokens(row.tokens);
                        point->set_value(row.value);
                      }
                    }
                    return absl::OkStatus();
                  }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::GetTrialEvents(
    Context* context, const v1::GetTrialEventsRequest* request,
    v1::GetTrialEventsResponse* response) {
  LOGLOG_OR_FINISH(const NumberedName name, ParseTrialName(request->name()));
  const int limit =
      request->max_events() <= 0 ? kTrialEventsDefault : std::min(request->max_events(), kPageMax);
  Reactor* reactor = context->DefaultReactor();
  engine_->GetTrialEvents(
      name.sweep, name.number, limit,
      Respond<std::vector<EventRow>, v1::GetTrialEventsResponse>(
          reactor, response,
          [](const std::vector<EventRow>& events, v1::GetTrialEventsResponse* out) {
            for (const EventRow& event : events) *out->add_events() = ToProto(event);
            return absl::OkStatus();
          }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::CreateFit(Context* context,
                                                       const v1::CreateFitRequest* request,
                                                       v1::Fit* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_FINISH(const Axis axis, ParseAxis(request->axis()));
  if (request->kind() == "comparison") {
    return FinishNow(context,
                     absl::InvalidArgumentError("kind: comparisons are made by CompareArms"));
  }
  Reactor* reactor = context->DefaultReactor();
  engine_->CreateFit(sweep, {request->kind(), axis, request->arm(), ""},
                     Respond<FitView, v1::Fit>(reactor, response, FillFit));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::CompareArms(Context* context,
                                                         const v1::CompareArmsRequest* request,
                                                         v1::Fit* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  LOGLOG_OR_FINISH(const Axis axis, ParseAxis(request->axis()));
  if (request->arm() == request->arm_b()) {
    return FinishNow(context, absl::InvalidArgumentError(
                                  absl::StrCat("arm_b: the arm '", request->arm(),
                                               "' cannot be compared with itself; name another")));
  }
  Reactor* reactor = context->DefaultReactor();
  engine_->CreateFit(sweep, {"comparison", axis, request->arm(), request->arm_b()},
                     Respond<FitView, v1::Fit>(reactor, response, FillFit));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::GetFit(Context* context,
                                                    const v1::GetFitRequest* request,
                                                    v1::Fit* response) {
  LOGLOG_OR_FINISH(const NumberedName name, ParseFitName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->GetFit(name.sweep, name.number, Respond<FitView, v1::Fit>(reactor, response, FillFit));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ListFits(Context* context,
                                                      const v1::ListFitsRequest* request,
                                                      v1::ListFitsResponse* response) {
  LOGLOG_OR_FINISH(const std::string sweep, ParseSweepName(request->sweep()));
  Reactor* reactor = context->DefaultReactor();
  engine_->ListFits(sweep, Respond<std::vector<FitView>, v1::ListFitsResponse>(
                               reactor, response,
                               [](const std::vector<FitView>& fits, v1::ListFitsResponse* out) {
                                 for (const FitView& fit : fits) {
                                   LOGLOG_RETURN_IF_ERROR(FillFit(fit, out->add_fits()));
                                 }
                                 return absl::OkStatus();
                               }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ListWorkers(Context* context,
                                                         const v1::ListWorkersRequest* request,
                                                         v1::ListWorkersResponse* response) {
  LOGLOG_OR_FINISH(const int size, PageSize(request->page_size()));
  LOGLOG_OR_FINISH(const std::string after, ParsePageToken("workers", request->page_token()));
  Reactor* reactor = context->DefaultReactor();
  engine_->ListWorkers(
      after, size + 1,
      Respond<std::vector<WorkerView>, v1::ListWorkersResponse>(
          reactor, response,
          [size](const std::vector<WorkerView>& workers, v1::ListWorkersResponse* out) {
            for (int i = 0; i < std::min<int>(size, workers.size()); ++i) {
              *out->add_workers() = WorkerToProto(workers[i]);
            }
            if (workers.size() > size) {
              out->set_next_page_token(MakePageToken("workers", workers[size - 1].row.worker_id));
            }
            return absl::OkStatus();
          }));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::DrainWorker(Context* context,
                                                         const v1::WorkerVerbRequest* request,
                                                         v1::Worker* response) {
  LOGLOG_OR_FINISH(const std::string worker, ParseWorkerName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->DrainWorker(worker, request->reason(),
                       Respond<WorkerView, v1::Worker>(reactor, response, FillWorker));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::ResumeWorker(Context* context,
                                                          const v1::WorkerVerbRequest* request,
                                                          v1::Worker* response) {
  LOGLOG_OR_FINISH(const std::string worker, ParseWorkerName(request->name()));
  Reactor* reactor = context->DefaultReactor();
  engine_->ResumeWorker(worker, Respond<WorkerView, v1::Worker>(reactor, response, FillWorker));
  return reactor;
}

SweepServiceImpl::Reactor* SweepServiceImpl::GetServerInfo(Context* context,
                                                           const v1::GetServerInfoRequest*,
                                                           v1::ServerInfo* response) {
  Reactor* reactor = context->DefaultReactor();
  engine_->GetServerInfo(Respond<ServerView, v1::ServerInfo>(
      reactor, response, [](const ServerView& view, v1::ServerInfo* out) {
        out->set_version(LOGLOG_VERSION);
        out->set_store_path(view.store.path);
        out->set_store_schema(view.store.schema);
        out->set_store_bytes(view.store.bytes);
        out->set_start_time_ms(view.start_wall_ms);
        out->set_pid(getpid());
        return absl::OkStatus();
      }));
  return reactor;
}

}  // namespace loglog
