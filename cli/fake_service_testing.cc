#include "cli/fake_service_testing.h"

#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/refusal.h"
#include "cli/fixtures_testing.h"
#include "loglog/v1/admin_service.grpc.pb.h"
#include "loglog/v1/sweep_service.grpc.pb.h"
#include "proto/rpc_status.h"

namespace loglog::cli {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

}  // namespace

struct FakeService::Impl : v1::SweepService::Service {
  struct Admin : v1::AdminService::Service {
    explicit Admin(Impl* impl) : impl(impl) {}
    Status CreateToken(ServerContext* c, const v1::CreateTokenRequest* in,
                       v1::Token* out) override {
      if (Status s = impl->Enter(c, "CreateToken"); !s.ok()) return s;
      std::vector<v1::Token>& tokens = impl->fake->tokens;
      out->set_name(absl::StrCat("tokens/", tokens.size() + 1));
      out->set_caller(in->caller());
      out->set_role(in->role());
      out->set_worker(in->worker());
      out->set_create_time_ms(1);
      out->set_expire_time_ms(in->ttl_ms());
      tokens.push_back(*out);
      impl->fake->hashes.push_back(in->sha256());
      return Status::OK;
    }
    Status ListTokens(ServerContext* c, const v1::ListTokensRequest*,
                      v1::ListTokensResponse* out) override {
      if (Status s = impl->Enter(c, "ListTokens"); !s.ok()) return s;
      for (const v1::Token& token : impl->fake->tokens) *out->add_tokens() = token;
      return Status::OK;
    }
    Status RevokeToken(ServerContext* c, const v1::RevokeTokenRequest* in,
                       v1::Token* out) override {
      if (Status s = impl->Enter(c, "RevokeToken"); !s.ok()) return s;
      for (v1::Token& token : impl->fake->tokens) {
        if (token.name() != in->name()) continue;
        token.set_revoke_time_ms(5);
        *out = token;
        return Status::OK;
      }
      return Status(StatusCode::NOT_FOUND, absl::StrCat(in->name(), " is not in the store"));
    }
    Impl* const impl;
  };

  explicit Impl(FakeService* fake) : fake(fake), admin(this) {
    char pattern[] = "/tmp/loglog-cli-test-XXXXXX";
    folder = mkdtemp(pattern);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("unix:", folder, "/s"),
                             grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    builder.RegisterService(&admin);
    server = builder.BuildAndStart();
  }
  ~Impl() override {
    server->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder);
  }

  // What every call does first.
  Status Enter(ServerContext* context, const char* name, const std::string& request_id = "") {
    MutexLock lock(mutex);
    fake->calls.push_back(name);
    const auto header = context->client_metadata().find("authorization");
    fake->authorization = header == context->client_metadata().end()
                              ? ""
                              : std::string(header->second.data(), header->second.size());
    if (fake->refusal != 0) return Status(static_cast<StatusCode>(fake->refusal), "refused");
    if (!request_id.empty()) fake->request_ids.push_back(request_id);
    if (fake->hang) {
      while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (fake->unavailable_calls > 0) {
      --fake->unavailable_calls;
      return Status(StatusCode::UNAVAILABLE, "stopping");
    }
    if (fake->overloaded_calls > 0) {
      --fake->overloaded_calls;
      return ToGrpcStatus(Overloaded("too much", fake->advised_ms));
    }
    return Status::OK;
  }
  Status CheckSweep(const std::string& name) {
    if (name == fake->data.sweep.name()) return Status::OK;
    return Status(StatusCode::NOT_FOUND, absl::StrCat("no sweep ", name));
  }
  v1::Trial* FindTrial(const std::string& name) {
    for (v1::Trial& trial : fake->data.trials) {
      if (trial.name() == name) return &trial;
    }
    return nullptr;
  }

  Status CreateSweep(ServerContext* c, const v1::CreateSweepRequest* in,
                     v1::CreateSweepResponse* out) override {
    if (Status s = Enter(c, "CreateSweep", in->request_id()); !s.ok()) return s;
    *out->mutable_sweep() = fake->data.sweep;
    // As the coordinator does: with validate_only it says what would be.
    out->set_created(!fake->spec_exists);
    const int total = fake->data.sweep.counts().total();
    out->set_trials_new(fake->spec_exists ? 0 : total - fake->trials_reused);
    out->set_trials_reused(fake->spec_exists ? total : fake->trials_reused);
    return Status::OK;
  }
  Status GetSweep(ServerContext* c, const v1::GetSweepRequest* in, v1::Sweep* out) override {
    if (Status s = Enter(c, "GetSweep"); !s.ok()) return s;
    if (Status s = CheckSweep(in->name()); !s.ok()) return s;
    *out = fake->data.sweep;
    return Status::OK;
  }
  Status ListSweeps(ServerContext* c, const v1::ListSweepsRequest*,
                    v1::ListSweepsResponse* out) override {
    if (Status s = Enter(c, "ListSweeps"); !s.ok()) return s;
    if (fake->data.sweep.name().empty()) return Status::OK;
    *out->add_sweeps() = fake->data.sweep;
    out->mutable_sweeps(0)->clear_spec_json();
    return Status::OK;
  }
  Status Verb(ServerContext* c, const v1::SweepVerbRequest* in, v1::Sweep* out,
              v1::Sweep::State state) {
    if (Status s = Enter(c, "Verb", in->request_id()); !s.ok()) return s;
    if (Status s = CheckSweep(in->name()); !s.ok()) return s;
    if (fake->data.sweep.state() == v1::Sweep::DONE) {
      return Status(StatusCode::FAILED_PRECONDITION, absl::StrCat(in->name(), " has ended"));
    }
    fake->data.sweep.set_state(state);
    *out = fake->data.sweep;
    return Status::OK;
  }
  Status PauseSweep(ServerContext* c, const v1::SweepVerbRequest* in, v1::Sweep* out) override {
    return Verb(c, in, out, v1::Sweep::PAUSED);
  }
  Status ResumeSweep(ServerContext* c, const v1::SweepVerbRequest* in, v1::Sweep* out) override {
    return Verb(c, in, out, v1::Sweep::ACTIVE);
  }
  Status CancelSweep(ServerContext* c, const v1::SweepVerbRequest* in, v1::Sweep* out) override {
    return Verb(c, in, out, v1::Sweep::CANCELLED);
  }
  Status WatchSweep(ServerContext*, const v1::WatchSweepRequest*,
                    grpc::ServerWriter<v1::Event>* writer) override {
    v1::Event event;
    event.set_event_id(1);
    event.set_kind("trial.done");
    writer->Write(event);
    return Status::OK;
  }
  Status ListTrials(ServerContext* c, const v1::ListTrialsRequest* in,
                    v1::ListTrialsResponse* out) override {
    if (Status s = Enter(c, "ListTrials"); !s.ok()) return s;
    if (Status s = CheckSweep(in->sweep()); !s.ok()) return s;
    ++lists;
    if (fake->done_after_lists > 0 && lists >= fake->done_after_lists) Finish();
    if (fake->unavailable_after_lists == lists)
      fake->unavailable_calls = fake->unavailable_calls_then;
    int64_t begin = 0;
    if (!in->page_token().empty() && !absl::SimpleAtoi(in->page_token(), &begin)) {
      return Status(StatusCode::INVALID_ARGUMENT, "page_token");
    }
    const int size = std::min(in->page_size(), fake->page_size_max);
    for (size_t i = begin; i < fake->data.trials.size(); ++i) {
      if (out->trials_size() == size) {
        out->set_next_page_token(absl::StrCat(i));
        break;
      }
      const v1::Trial& trial = fake->data.trials[i];
      bool wanted = in->states().empty();
      for (const int state : in->states()) wanted = wanted || state == trial.state();
      if (wanted) *out->add_trials() = trial;
    }
    return Status::OK;
  }
  void Finish() {
    for (v1::Trial& t : fake->data.trials) {
      if (t.state() == v1::Trial::PENDING || t.state() == v1::Trial::RUNNING) {
        t.set_state(v1::Trial::DONE);
        t.set_final_loss(3);
      }
    }
    fake->data.sweep.set_state(v1::Sweep::DONE);
    Recount(&fake->data);
  }
  Status GetTrial(ServerContext* c, const v1::GetTrialRequest* in, v1::Trial* out) override {
    if (Status s = Enter(c, "GetTrial"); !s.ok()) return s;
    const v1::Trial* trial = FindTrial(in->name());
    if (trial == nullptr)
      return Status(StatusCode::NOT_FOUND, absl::StrCat("no trial ", in->name()));
    *out = *trial;
    out->set_config_json(fake->trial_config);
    return Status::OK;
  }
  Status RetryTrials(ServerContext* c, const v1::RetryTrialsRequest* in,
                     v1::RetryTrialsResponse* out) override {
    if (Status s = Enter(c, "RetryTrials", in->request_id()); !s.ok()) return s;
    out->set_retried(fake->data.sweep.counts().failed());
    return Status::OK;
  }
  Status CancelTrial(ServerContext* c, const v1::CancelTrialRequest* in, v1::Trial* out) override {
    if (Status s = Enter(c, "CancelTrial", in->request_id()); !s.ok()) return s;
    v1::Trial* trial = FindTrial(in->name());
    if (trial == nullptr)
      return Status(StatusCode::NOT_FOUND, absl::StrCat("no trial ", in->name()));
    trial->set_state(v1::Trial::CANCELLED);
    *out = *trial;
    return Status::OK;
  }
  Status StopTrial(ServerContext* c, const v1::StopTrialRequest* in, v1::Trial* out) override {
    if (Status s = Enter(c, "StopTrial", in->request_id()); !s.ok()) return s;
    v1::Trial* trial = FindTrial(in->name());
    if (trial == nullptr)
      return Status(StatusCode::NOT_FOUND, absl::StrCat("no trial ", in->name()));
    trial->set_state(v1::Trial::STOPPED);
    trial->set_message(in->reason());
    *out = *trial;
    return Status::OK;
  }
  Status ListPoints(ServerContext* c, const v1::ListPointsRequest* in,
                    v1::ListPointsResponse* out) override {
    if (Status s = Enter(c, "ListPoints"); !s.ok()) return s;
    if (fake->refuse_points) return Status(StatusCode::INTERNAL, "refused");
    for (const std::string& trial : in->trials()) {
      v1::Series* series = out->add_series();
      series->set_trial(trial);
      series->set_metric("loss/val");
      for (int step : {0, 10}) {
        v1::Point* point = series->add_points();
        point->set_step(step);
        point->set_tokens(step * 100);
        point->set_value(step == 0 ? 5.5 : NAN);
      }
      series->set_total_points(2);
    }
    return Status::OK;
  }
  Status GetTrialEvents(ServerContext* c, const v1::GetTrialEventsRequest* in,
                        v1::GetTrialEventsResponse* out) override {
    if (Status s = Enter(c, "GetTrialEvents"); !s.ok()) return s;
    for (int id : {8, 7}) {
      v1::Event* event = out->add_events();
      event->set_event_id(id);
      event->set_time_ms(1700000000000 + id);
      event->set_kind(id == 8 ? "attempt.failed" : "attempt.leased");
      event->set_trial(in->name());
      event->set_attempt_id(3);
      event->set_worker("workers/w1");
      event->set_detail_json(
          id == 8 ? R"({"message":"token id 300 is outside the vocabulary of 256"})" : "{}");
    }
    return Status::OK;
  }
  Status CreateFit(ServerContext* c, const v1::CreateFitRequest* in, v1::Fit* out) override {
    if (Status s = Enter(c, "CreateFit"); !s.ok()) return s;
    fake->fits_asked.push_back(absl::StrCat(in->kind(), " ", in->axis(), " ", in->arm(),
                                            in->censored() ? " censored" : ""));
    if (in->arm() == fake->refused_arm) {
      return Status(StatusCode::NOT_FOUND, absl::StrCat("no arm ", in->arm()));
    }
    *out = in->kind() == "saturating" ? SaturatingFit(in->arm(), v1::Fit::IDENTIFIED)
                                      : SlopeFit(in->arm(), -0.07, -0.08, -0.06);
    out->set_axis(in->axis());
    out->set_n_unfinished(fake->unfinished);
    for (const v1::FitPlace& place : in->at()) {
      AddPrediction(out, place.x(), 8.5 * std::pow(place.x(), -0.07));
    }
    return Status::OK;
  }
  Status CompareArms(ServerContext* c, const v1::CompareArmsRequest* in, v1::Fit* out) override {
    if (Status s = Enter(c, "CompareArms"); !s.ok()) return s;
    fake->fits_asked.push_back(
        absl::StrCat("comparison ", in->axis(), " ", in->arm(), " ", in->arm_b()));
    if (in->arm_b() == fake->refused_arm) {
      return Status(StatusCode::INVALID_ARGUMENT, absl::StrCat("no arm ", in->arm_b()));
    }
    *out = ComparisonFit(-0.0189, -0.021, -0.0168);
    out->set_n_unfinished(fake->unfinished);
    return Status::OK;
  }
  Status ListFits(ServerContext* c, const v1::ListFitsRequest*,
                  v1::ListFitsResponse* out) override {
    if (Status s = Enter(c, "ListFits"); !s.ok()) return s;
    for (const v1::Fit& fit : fake->data.fits) *out->add_fits() = fit;
    return Status::OK;
  }
  Status ListWorkers(ServerContext* c, const v1::ListWorkersRequest*,
                     v1::ListWorkersResponse* out) override {
    if (Status s = Enter(c, "ListWorkers"); !s.ok()) return s;
    for (const v1::Worker& worker : fake->data.workers) *out->add_workers() = worker;
    return Status::OK;
  }
  Status WorkerVerb(ServerContext* c, const v1::WorkerVerbRequest* in, v1::Worker* out,
                    v1::Worker::State state) {
    if (Status s = Enter(c, "WorkerVerb"); !s.ok()) return s;
    for (v1::Worker& worker : fake->data.workers) {
      if (worker.name() != in->name()) continue;
      worker.set_state(state);
      *out = worker;
      return Status::OK;
    }
    return Status(StatusCode::NOT_FOUND, absl::StrCat("no worker ", in->name()));
  }
  Status DrainWorker(ServerContext* c, const v1::WorkerVerbRequest* in, v1::Worker* out) override {
    return WorkerVerb(c, in, out, v1::Worker::DRAINING);
  }
  Status ResumeWorker(ServerContext* c, const v1::WorkerVerbRequest* in, v1::Worker* out) override {
    return WorkerVerb(c, in, out, v1::Worker::LIVE);
  }
  Status GetServerInfo(ServerContext* c, const v1::GetServerInfoRequest*,
                       v1::ServerInfo* out) override {
    if (Status s = Enter(c, "GetServerInfo"); !s.ok()) return s;
    out->set_version("0.1.0");
    out->set_store_path(fake->store_path);
    out->set_pid(42);
    return Status::OK;
  }

  FakeService* const fake;
  Admin admin;
  std::string folder;
  Mutex mutex;
  int lists = 0;
  std::unique_ptr<grpc::Server> server;
};

FakeService::FakeService() : data(DoneSweep()), impl_(std::make_unique<Impl>(this)) {}
FakeService::~FakeService() = default;
std::string FakeService::address() const { return absl::StrCat("unix:", impl_->folder, "/s"); }

}  // namespace loglog::cli
