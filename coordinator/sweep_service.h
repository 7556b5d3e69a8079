#ifndef LOGLOG_COORDINATOR_SWEEP_SERVICE_H_
#define LOGLOG_COORDINATOR_SWEEP_SERVICE_H_

#include <string>

#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "loglog/v1/sweep_service.grpc.pb.h"

namespace loglog {

// The wire side of what users do: takes names, etags and page tokens apart, asks the
// engine, and makes messages of its answers. Holds no state. Thread-safe.
class SweepServiceImpl : public v1::SweepService::CallbackService {
 public:
  SweepServiceImpl(Engine* engine, const ServiceGate* gate, std::string version)
      : engine_(engine), gate_(gate), version_(std::move(version)) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateSweep(Context* context, const v1::CreateSweepRequest* request,
                     v1::CreateSweepResponse* response) override;
  Unary* GetSweep(Context* context, const v1::GetSweepRequest* request,
                  v1::Sweep* response) override;
  Unary* ListSweeps(Context* context, const v1::ListSweepsRequest* request,
                    v1::ListSweepsResponse* response) override;
  Unary* PauseSweep(Context* context, const v1::SweepVerbRequest* request,
                    v1::Sweep* response) override;
  Unary* ResumeSweep(Context* context, const v1::SweepVerbRequest* request,
                     v1::Sweep* response) override;
  Unary* CancelSweep(Context* context, const v1::SweepVerbRequest* request,
                     v1::Sweep* response) override;
  grpc::ServerWriteReactor<v1::Event>* WatchSweep(Context* context,
                                                  const v1::WatchSweepRequest* request) override;
  Unary* ListTrials(Context* context, const v1::ListTrialsRequest* request,
                    v1::ListTrialsResponse* response) override;
  Unary* GetTrial(Context* context, const v1::GetTrialRequest* request,
                  v1::Trial* response) override;
  Unary* RetryTrials(Context* context, const v1::RetryTrialsRequest* request,
                     v1::RetryTrialsResponse* response) override;
  Unary* CancelTrial(Context* context, const v1::CancelTrialRequest* request,
                     v1::Trial* response) override;
  Unary* StopTrial(Context* context, const v1::StopTrialRequest* request,
                   v1::Trial* response) override;
  Unary* ListPoints(Context* context, const v1::ListPointsRequest* request,
                    v1::ListPointsResponse* response) override;
  Unary* GetTrialEvents(Context* context, const v1::GetTrialEventsRequest* request,
                        v1::GetTrialEventsResponse* response) override;
  Unary* CreateFit(Context* context, const v1::CreateFitRequest* request,
                   v1::Fit* response) override;
  Unary* CompareArms(Context* context, const v1::CompareArmsRequest* request,
                     v1::Fit* response) override;
  Unary* GetFit(Context* context, const v1::GetFitRequest* request, v1::Fit* response) override;
  Unary* ListFits(Context* context, const v1::ListFitsRequest* request,
                  v1::ListFitsResponse* response) override;
  Unary* ListWorkers(Context* context, const v1::ListWorkersRequest* request,
                     v1::ListWorkersResponse* response) override;
  Unary* DrainWorker(Context* context, const v1::WorkerVerbRequest* request,
                     v1::Worker* response) override;
  Unary* ResumeWorker(Context* context, const v1::WorkerVerbRequest* request,
                      v1::Worker* response) override;
  Unary* GetServerInfo(Context* context, const v1::GetServerInfoRequest* request,
                       v1::ServerInfo* response) override;

 private:
  absl::StatusOr<Principal> Admit(Context* context, absl::string_view rpc) const;
  Unary* Change(Context* context, absl::string_view rpc, Engine::SweepVerb verb,
                const v1::SweepVerbRequest& request, v1::Sweep* response);
  template <typename Request>
  Unary* EndTrial(Context* context, absl::string_view rpc, Engine::TrialVerb verb,
                  const Request& request, v1::Trial* response);

  Engine* const engine_;
  const ServiceGate* const gate_;
  const std::string version_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SWEEP_SERVICE_H_
