#include "bench/control/prober.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "bench/control/workloads.h"
#include "loglog/v1/common.pb.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog::bench {
namespace {

// Between two calls of a thread: it looks, it does not load.
constexpr auto kPause = std::chrono::milliseconds(2);
constexpr auto kPauseWhenRefused = std::chrono::milliseconds(20);

using Context = grpc::ClientContext;

// Everything that one thread asks in turn.
class Questions {
 public:
  Questions(const std::string& address, std::string sweep, int thread)
      : channel_(Connect(address)),
        sweeps_(v1::SweepService::NewStub(channel_)),
        workers_(v1::WorkerService::NewStub(channel_)),
        sweep_(std::move(sweep)),
        worker_id_(absl::StrCat("probe-", thread)) {
    Reads();
    Writes();
  }

  // To the end, so that the sweep it submits is cancelled.
  template <typename Note>
  void AskAll(Note note) {
    for (const auto& [name, ask] : questions_) {
      const auto begin = SteadyClock::now();
      grpc::Status status = ask(NewContext().get());
      note(name, 1000 * SecondsSince(begin));
      // In a flood, to be turned away is an answer; what comes next needs the sweep all the same.
      while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
        std::this_thread::sleep_for(kPauseWhenRefused);
        status = ask(NewContext().get());
      }
      Must(status, name.c_str());
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  using Ask = std::function<grpc::Status(Context*)>;

  void Reads() {
    questions_.emplace_back("GetSweep", [this](Context* context) {
      v1::GetSweepRequest request;
      request.set_name(sweep_);
      v1::Sweep answer;
      return sweeps_->GetSweep(context, request, &answer);
    });
    questions_.emplace_back("ListSweeps", [this](Context* context) {
      v1::ListSweepsRequest request;
      request.set_page_size(20);
      v1::ListSweepsResponse answer;
      return sweeps_->ListSweeps(context, request, &answer);
    });
    questions_.emplace_back("GetTrial", [this](Context* context) {
      v1::GetTrialRequest request;
      request.set_name(sweep_ + "/trials/1");
      v1::Trial answer;
      return sweeps_->GetTrial(context, request, &answer);
    });
    questions_.emplace_back("ListTrials", [this](Context* context) {
      v1::ListTrialsRequest request;
      request.set_sweep(sweep_);
      v1::ListTrialsResponse answer;
      return sweeps_->ListTrials(context, request, &answer);
    });
    questions_.emplace_back("ListPoints", [this](Context* context) {
      v1::ListPointsRequest request;
      request.set_sweep(sweep_);
      request.add_trials(sweep_ + "/trials/1");
      request.set_max_points(200);
      v1::ListPointsResponse answer;
      return sweeps_->ListPoints(context, request, &answer);
    });
    questions_.emplace_back("GetTrialEvents", [this](Context* context) {
      v1::GetTrialEventsRequest request;
      request.set_name(sweep_ + "/trials/1");
      v1::GetTrialEventsResponse answer;
      return sweeps_->GetTrialEvents(context, request, &answer);
    });
    questions_.emplace_back("ListWorkers", [this](Context* context) {
      v1::ListWorkersRequest request;
      v1::ListWorkersResponse answer;
      return sweeps_->ListWorkers(context, request, &answer);
    });
    questions_.emplace_back("ListFits", [this](Context* context) {
      v1::ListFitsRequest request;
      request.set_sweep(sweep_);
      v1::ListFitsResponse answer;
      return sweeps_->ListFits(context, request, &answer);
    });
    questions_.emplace_back("GetServerInfo", [this](Context* context) {
      v1::ServerInfo answer;
      return sweeps_->GetServerInfo(context, v1::GetServerInfoRequest(), &answer);
    });
  }

  void Writes() {
    questions_.emplace_back("CreateSweep", [this](Context* context) {
      const int64_t salt = NewSalt();
      v1::CreateSweepRequest request;
      request.set_spec_json(User::Canonical(SpecText(absl::StrCat("probe-", salt), 1, salt)));
      v1::CreateSweepResponse answer;
      const grpc::Status status = sweeps_->CreateSweep(context, request, &answer);
      own_sweep_ = answer.sweep().name();
      return status;
    });
    const auto verb = [this](const char* name, auto method) {
      questions_.emplace_back(name, [this, method](Context* context) {
        v1::SweepVerbRequest request;
        request.set_name(own_sweep_);
        v1::Sweep answer;
        return (sweeps_.get()->*method)(context, request, &answer);
      });
    };
    verb("PauseSweep", &v1::SweepService::Stub::PauseSweep);
    verb("ResumeSweep", &v1::SweepService::Stub::ResumeSweep);
    verb("CancelSweep", &v1::SweepService::Stub::CancelSweep);
    questions_.emplace_back("RegisterWorker", [this](Context* context) {
      v1::RegisterWorkerRequest request;
      request.set_protocol(v1::PROTOCOL_CURRENT);
      request.set_worker_id(worker_id_);
      request.set_boot_id("probe");
      request.set_host("bench");
      request.add_slots()->set_device("cpu");
      v1::RegisterWorkerResponse answer;
      const grpc::Status status = workers_->RegisterWorker(context, request, &answer);
      session_epoch_ = answer.session_epoch();
      return status;
    });
    questions_.emplace_back("SyncWorker", [this](Context* context) {
      v1::SyncWorkerRequest request;
      request.set_worker_id(worker_id_);
      request.set_session_epoch(session_epoch_);
      request.set_unhealthy("takes no work");
      request.add_slots()->set_state(v1::SlotReport::IDLE);
      v1::SyncWorkerResponse answer;
      return workers_->SyncWorker(context, request, &answer);
    });
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::SweepService::Stub> sweeps_;
  const std::unique_ptr<v1::WorkerService::Stub> workers_;
  const std::string sweep_;
  const std::string worker_id_;
  std::string own_sweep_;
  int64_t session_epoch_ = 0;
  std::vector<std::pair<std::string, Ask>> questions_;
};

}  // namespace

Prober::Prober(const std::string& address, const std::string& sweep, int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([=, this] { Run(address, sweep, i); });
  }
}

Prober::~Prober() { Stop(); }

void Prober::Run(const std::string& address, const std::string& sweep, int thread) {
  Questions questions(address, sweep, thread);
  while (!stop_) {
    questions.AskAll([this](const std::string& name, double ms) {
      MutexLock lock(mutex_);
      ms_[name].push_back(ms);
    });
  }
}

std::map<std::string, std::vector<double>> Prober::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  MutexLock lock(mutex_);
  return ms_;
}

std::vector<double> AllOf(const std::map<std::string, std::vector<double>>& ms) {
  std::vector<double> all;
  for (const auto& [name, values] : ms) all.insert(all.end(), values.begin(), values.end());
  return all;
}

}  // namespace loglog::bench
