#ifndef LOGLOG_COORDINATOR_SERVICE_TESTING_H_
#define LOGLOG_COORDINATOR_SERVICE_TESTING_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "coordinator/engine_testing.h"
#include "coordinator/service_host.h"
#include "loglog/v1/sweep_service.grpc.pb.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog {

// A client context with a deadline that only a broken server reaches.
inline std::unique_ptr<grpc::ClientContext> NewContext(int64_t ms = 60'000) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(ms));
  return context;
}

// An engine with the real clock, served in the process, and stubs of both services.
class ServiceWorld : public ::testing::Test {
 protected:
  ServiceWorld() {
    spdlog::set_level(spdlog::level::off);
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Open(folder_ / "store.db", EngineOptions());
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ServiceOptions options;
    options.listen = "unix:" + (folder_ / "socket");
    options.version = "0.1.0";
    absl::StatusOr<std::unique_ptr<ServiceHost>> host = ServiceHost::Start(engine_.get(), options);
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    channel_ = grpc::CreateChannel(host_->address(), grpc::InsecureChannelCredentials());
    sweeps_ = v1::SweepService::NewStub(channel_);
    workers_ = v1::WorkerService::NewStub(channel_);
  }
  ~ServiceWorld() override {
    host_->Shutdown(/*grace_ms=*/0);
    engine_->Stop();
  }

  // Calls a method of a stub; the response is dropped or kept in *response.
  template <typename Stub, typename Request, typename Response>
  grpc::StatusCode Code(Stub* stub,
                        grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        const Request& request, Response* response = nullptr) {
    Response scratch;
    last_status_ =
        (stub->*method)(NewContext().get(), request, response == nullptr ? &scratch : response);
    return last_status_.error_code();
  }

  // Submits TinySpec(name, ...).
  v1::CreateSweepResponse Submit(const std::string& name, int budgets = 1, int seeds = 1) {
    v1::CreateSweepRequest request;
    request.set_spec_json(TinySpec(name, budgets, seeds));
    v1::CreateSweepResponse response;
    const grpc::Status status = sweeps_->CreateSweep(NewContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  v1::RegisterWorkerRequest Registration(const std::string& worker_id) {
    v1::RegisterWorkerRequest request;
    request.set_protocol(v1::PROTOCOL_CURRENT);
    request.set_worker_id(worker_id);
    request.set_boot_id("boot");
    request.set_version("0.1.0");
    request.add_slots()->set_device("cpu");
    return request;
  }
  int64_t Register(const std::string& worker_id) {
    v1::RegisterWorkerResponse response;
    const grpc::Status status =
        workers_->RegisterWorker(NewContext().get(), Registration(worker_id), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.session_epoch();
  }
  static v1::SyncWorkerRequest IdleSync(const std::string& worker_id, int64_t epoch,
                                        int64_t wait_ms = 0) {
    v1::SyncWorkerRequest request;
    request.set_worker_id(worker_id);
    request.set_session_epoch(epoch);
    request.set_wait_ms(wait_ms);
    request.add_slots()->set_state(v1::SlotReport::IDLE);
    return request;
  }
  // Takes a task; returns its order.
  v1::TaskOrder TakeTask(const std::string& worker_id, int64_t epoch) {
    v1::SyncWorkerResponse response;
    const grpc::Status status =
        workers_->SyncWorker(NewContext().get(), IdleSync(worker_id, epoch), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.slots_size(), 1);
    EXPECT_EQ(response.slots(0).action(), v1::SlotDesired::RUN);
    return response.slots(0).task();
  }

  ScratchFolder folder_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ServiceHost> host_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  grpc::Status last_status_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_TESTING_H_
