// Every documented status of the unary calls, over the wire.
#include <gmock/gmock.h>

#include "coordinator/service_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;
using Sweeps = v1::SweepService::Stub;
using Workers = v1::WorkerService::Stub;

class RpcTest : public ServiceWorld {
 protected:
  v1::SweepVerbRequest Verb(const std::string& name, const std::string& etag = "") {
    v1::SweepVerbRequest request;
    request.set_name(name);
    request.set_etag(etag);
    return request;
  }
  template <typename Request>
  static Request Named(const std::string& name) {
    Request request;
    request.set_name(name);
    return request;
  }
};

TEST_F(RpcTest, CreateSweep) {
  const v1::CreateSweepResponse response = Submit("s");
  EXPECT_TRUE(response.created());
  EXPECT_EQ(response.sweep().name(), "sweeps/s");
  EXPECT_EQ(response.sweep().counts().total(), 2);
  EXPECT_EQ(response.trials_new(), 2);
  EXPECT_FALSE(Submit("s").created());

  v1::CreateSweepRequest request;
  request.set_spec_json("name: [");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::INVALID_ARGUMENT);
  request.set_spec_json(TinySpec("t"));
  request.set_request_id(std::string(200, 'x'));
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("request_id"));
  request.set_spec_json(
      "{apiVersion: loglog/v1, name: big, model: {preset: llama-20k}, data: {train: {format: "
      "synthetic}, val: {format: synthetic}, synthetic: {contexts: 32}}, train: {batch_tokens: "
      "1024, tokens: 1024000, lr: 1.0e-3}, axes: "
      "{a: {path: init.gamma, range: [0, 2, 0.0005]}, seed: {path: seed, range: [0, 999, 1]}}}");
  request.set_request_id("");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::RESOURCE_EXHAUSTED)
      << last_status_.error_message();
}

TEST_F(RpcTest, SweepsAreReadAndSteered) {
  Submit("s");
  v1::Sweep sweep;
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetSweep, Named<v1::GetSweepRequest>("sweeps/s"), &sweep),
            grpc::OK);
  EXPECT_NE(sweep.spec_json(), "");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetSweep, Named<v1::GetSweepRequest>("sweeps/none")),
            grpc::NOT_FOUND);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetSweep, Named<v1::GetSweepRequest>("Sweeps/S")),
            grpc::INVALID_ARGUMENT);

  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeSweep, Verb("sweeps/s")), grpc::FAILED_PRECONDITION);
  v1::Sweep paused;
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::PauseSweep, Verb("sweeps/s", sweep.etag()), &paused),
            grpc::OK);
  EXPECT_EQ(paused.state(), v1::Sweep::PAUSED);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeSweep, Verb("sweeps/s", sweep.etag())),
            grpc::ABORTED);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeSweep, Verb("sweeps/s", "nonsense")),
            grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::PauseSweep, Verb("sweeps/none")), grpc::NOT_FOUND);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CancelSweep, Verb("sweeps/s")), grpc::OK);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CancelSweep, Verb("sweeps/s")), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CancelSweep, Verb("sweeps/none")), grpc::NOT_FOUND);
}

TEST_F(RpcTest, ListsComeInPages) {
  for (const char* name : {"a", "b", "c"}) Submit(name);
  v1::ListSweepsRequest request;
  request.set_page_size(2);
  v1::ListSweepsResponse page;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListSweeps, request, &page), grpc::OK);
  ASSERT_EQ(page.sweeps_size(), 2);
  EXPECT_EQ(page.sweeps(0).name(), "sweeps/c");
  request.set_page_token(page.next_page_token());
  v1::ListSweepsResponse rest;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListSweeps, request, &rest), grpc::OK);
  ASSERT_EQ(rest.sweeps_size(), 1);
  EXPECT_EQ(rest.sweeps(0).name(), "sweeps/a");
  EXPECT_EQ(rest.next_page_token(), "");

  v1::ListTrialsRequest trials;
  trials.set_sweep("sweeps/a");
  trials.set_page_token(page.next_page_token());  // of another list
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, trials), grpc::INVALID_ARGUMENT);
  trials.clear_page_token();
  trials.set_page_size(-1);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, trials), grpc::INVALID_ARGUMENT);
  trials.set_page_size(1);
  v1::ListTrialsResponse first;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, trials, &first), grpc::OK);
  EXPECT_EQ(first.total(), 2);
  EXPECT_EQ(first.trials(0).name(), "sweeps/a/trials/1");
  EXPECT_THAT(first.trials(0).pending_reason(), HasSubstr("no worker"));
  trials.set_page_token(first.next_page_token());
  v1::ListTrialsResponse second;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, trials, &second), grpc::OK);
  EXPECT_EQ(second.trials(0).name(), "sweeps/a/trials/2");
  trials.set_sweep("sweeps/none");
  trials.clear_page_token();
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, trials), grpc::NOT_FOUND);
}

TEST_F(RpcTest, Trials) {
  Submit("s");
  v1::Trial trial;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::GetTrial, Named<v1::GetTrialRequest>("sweeps/s/trials/1"),
                 &trial),
            grpc::OK);
  EXPECT_EQ(trial.state(), v1::Trial::PENDING);
  EXPECT_NE(trial.config_json(), "");
  EXPECT_EQ(trial.steps(), 10);
  EXPECT_EQ(trial.axes().at("D"), "640");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetTrial, Named<v1::GetTrialRequest>("sweeps/s/trials/9")),
            grpc::NOT_FOUND);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetTrial, Named<v1::GetTrialRequest>("sweeps/s/trials/x")),
            grpc::INVALID_ARGUMENT);
  EXPECT_EQ(
      Code(sweeps_.get(), &Sweeps::CancelTrial, Named<v1::CancelTrialRequest>("sweeps/s/trials/1")),
      grpc::OK);
  EXPECT_EQ(
      Code(sweeps_.get(), &Sweeps::CancelTrial, Named<v1::CancelTrialRequest>("sweeps/s/trials/1")),
      grpc::FAILED_PRECONDITION);
  EXPECT_EQ(
      Code(sweeps_.get(), &Sweeps::CancelTrial, Named<v1::CancelTrialRequest>("sweeps/s/trials/9")),
      grpc::NOT_FOUND);

  v1::RetryTrialsRequest retry;
  retry.set_sweep("sweeps/s");
  retry.add_trials("sweeps/s/trials/1");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, retry), grpc::FAILED_PRECONDITION);
  retry.set_include_cancelled(true);
  v1::RetryTrialsResponse retried;
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, retry, &retried), grpc::OK);
  EXPECT_EQ(retried.retried(), 1);
  retry.set_trials(0, "sweeps/other/trials/1");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, retry), grpc::INVALID_ARGUMENT);
  retry.set_sweep("sweeps/none");
  retry.clear_trials();
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, retry), grpc::NOT_FOUND);

  v1::GetTrialEventsResponse events;
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetTrialEvents,
                 Named<v1::GetTrialEventsRequest>("sweeps/s/trials/1"), &events),
            grpc::OK);
  EXPECT_EQ(events.events_size(), 2);
  EXPECT_EQ(events.events(0).trial(), "sweeps/s/trials/1");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetTrialEvents,
                 Named<v1::GetTrialEventsRequest>("sweeps/s/trials/9")),
            grpc::NOT_FOUND);
}

TEST_F(RpcTest, Points) {
  Submit("s");
  v1::ListPointsRequest request;
  request.set_sweep("sweeps/s");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListPoints, request), grpc::OK);
  request.set_max_points(-1);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListPoints, request), grpc::INVALID_ARGUMENT);
  request.set_max_points(0);
  request.set_sweep("sweeps/none");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListPoints, request), grpc::NOT_FOUND);
}

TEST_F(RpcTest, Fits) {
  Submit("s");
  v1::CreateFitRequest request;
  request.set_sweep("sweeps/s");
  request.set_arm("a");
  request.set_kind("local_slope");
  v1::Fit fit;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request, &fit), grpc::OK);
  EXPECT_EQ(fit.verdict(), v1::Fit::REFUSED);
  EXPECT_EQ(fit.axis(), "D");
  EXPECT_EQ(fit.n_unfinished(), 1);
  EXPECT_NE(fit.message(), "");
  v1::Fit same;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request, &same), grpc::OK);
  EXPECT_EQ(same.name(), fit.name());
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetFit, Named<v1::GetFitRequest>(fit.name())), grpc::OK);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::GetFit, Named<v1::GetFitRequest>("sweeps/s/fits/99")),
            grpc::NOT_FOUND);
  request.add_at()->set_x(-1);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("finite positive D"));
  request.clear_at();
  request.set_arm("none");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request), grpc::NOT_FOUND);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("its arms are a, b"));
  request.set_axis("Q");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request), grpc::INVALID_ARGUMENT);

  v1::CompareArmsRequest compare;
  compare.set_sweep("sweeps/s");
  compare.set_arm("a");
  compare.set_arm_b("b");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CompareArms, compare), grpc::OK);
  compare.set_arm_b("a");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CompareArms, compare), grpc::INVALID_ARGUMENT);
  compare.set_arm_b("c");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CompareArms, compare), grpc::NOT_FOUND);

  v1::ListFitsRequest list;
  list.set_sweep("sweeps/s");
  v1::ListFitsResponse fits;
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListFits, list, &fits), grpc::OK);
  EXPECT_GE(fits.fits_size(), 2);
  list.set_sweep("sweeps/none");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListFits, list), grpc::NOT_FOUND);
}

TEST_F(RpcTest, WorkersAndTheServer) {
  Register("w");
  v1::ListWorkersResponse workers;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListWorkers, v1::ListWorkersRequest(), &workers),
            grpc::OK);
  ASSERT_EQ(workers.workers_size(), 1);
  EXPECT_EQ(workers.workers(0).name(), "workers/w");
  EXPECT_EQ(workers.workers(0).device(), "cpu");
  const auto verb = [](const std::string& name) { return Named<v1::WorkerVerbRequest>(name); };
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeWorker, verb("workers/w")),
            grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::DrainWorker, verb("workers/w")), grpc::OK);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeWorker, verb("workers/w")), grpc::OK);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::DrainWorker, verb("workers/x")), grpc::NOT_FOUND);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ResumeWorker, verb("workers/x")), grpc::NOT_FOUND);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::DrainWorker, verb("W!")), grpc::INVALID_ARGUMENT);

  v1::ServerInfo info;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::GetServerInfo, v1::GetServerInfoRequest(), &info),
            grpc::OK);
  EXPECT_EQ(info.version(), "0.1.0");
  EXPECT_EQ(info.store_path(), folder_ / "store.db");
  EXPECT_GT(info.store_bytes(), 0);
}

TEST_F(RpcTest, Registration) {
  v1::RegisterWorkerRequest request = Registration("w");
  request.set_protocol(99);
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, request), grpc::FAILED_PRECONDITION);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("speaks protocol 99"));
  EXPECT_THAT(last_status_.error_message(), HasSubstr("install loglog 0.1.0"));
  request = Registration("Not An Id");
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, request), grpc::INVALID_ARGUMENT);
  request = Registration("w");
  request.clear_boot_id();
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, request), grpc::INVALID_ARGUMENT);
  request = Registration("w");
  request.clear_slots();
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, request), grpc::INVALID_ARGUMENT);
  request = Registration("w");
  request.mutable_slots(0)->set_slot(3);
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, request), grpc::INVALID_ARGUMENT);
  v1::RegisterWorkerResponse response;
  EXPECT_EQ(Code(workers_.get(), &Workers::RegisterWorker, Registration("w"), &response), grpc::OK);
  EXPECT_EQ(response.lease_ms(), 30'000);
  EXPECT_EQ(response.store_id().size(), 32);
}

TEST_F(RpcTest, Syncs) {
  const int64_t epoch = Register("w");
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, IdleSync("w", epoch)), grpc::OK);
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, IdleSync("w", epoch + 1)),
            grpc::FAILED_PRECONDITION);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("STALE_SESSION"));
  v1::SyncWorkerRequest request = IdleSync("w", epoch);
  request.mutable_slots(0)->set_slot(5);
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, request), grpc::INVALID_ARGUMENT);
  request = IdleSync("w", epoch);
  request.mutable_slots(0)->clear_state();
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, request), grpc::INVALID_ARGUMENT);
  request = IdleSync("w", epoch);
  request.mutable_slots(0)->set_state(v1::SlotReport::FINISHED);
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, request), grpc::INVALID_ARGUMENT)
      << "without an outcome";
}

TEST_F(RpcTest, AStoppingCoordinatorIsUnavailable) {
  const int64_t epoch = Register("w");
  engine_->Stop();
  EXPECT_EQ(Code(workers_.get(), &Workers::SyncWorker, IdleSync("w", epoch, 5'000)),
            grpc::UNAVAILABLE);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListSweeps, v1::ListSweepsRequest()), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace loglog
