#ifndef LOGLOG_TESTS_SIM_SIMULATION_H_
#define LOGLOG_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/coordinator.h"
#include "tests/sim/faulty_vfs.h"
#include "tests/sim/model.h"
#include "tests/sim/network.h"
#include "tests/sim/worker.h"
#include "tests/sim/world.h"

namespace loglog::sim {

// One run: a coordinator, some workers and users who submit and steer sweeps, for some
// minutes of simulated time in which things go wrong, and then until all is done.
class Simulation {
 public:
  struct Options {
    uint64_t seed = 0;
    bool faults = true;
    bool verbose = false;
    std::string dir;  // of its files; must be empty
  };
  // What the run was, for the tables at the end.
  struct Report {
    std::string breach;                          // empty: all was well
    std::map<std::string, std::string> results;  // by trial
    int64_t simulated_ms = 0;
    std::map<std::string, int64_t> counts;  // of faults and deeds, by kind
  };

  explicit Simulation(const Options& options);
  ~Simulation();
  Report Run();

  // The sweeps of a run depend on this alone.
  static uint64_t WorkloadOf(uint64_t seed) { return seed % 10; }

 private:
  void MakeWorkload();
  std::string Schedule();
  void MakeWorkers();
  // Lets `deed` happen now and then, until the faults end.
  void Often(const std::string& kind, int64_t mean_ms, std::function<void()> deed);
  void PlanFaults();
  void PlanDeeds();
  void Heal();
  void Tend();  // what an operator does until all is done
  void TendHanging();
  Misfortune MakeMisfortune(int worker);
  bool AllDone();
  void Look();
  void OnStart(const Worker& worker, const Process& started);
  void OnFailpoint(const char* name);
  void AskSweeps(const std::function<void(const SweepView&)>& take);
  void Steer(Engine::SweepVerb verb, const std::string& sweep);
  void Submit(const std::string& spec);
  void StopTrial(const std::string& sweep, int64_t number);
  void CancelTrial(const std::string& sweep, int64_t number);
  void AskWhy(const std::string& sweep, int64_t number);
  // Tells the model of the answer to a request, which its user may never hear.
  template <typename T>
  Engine::Reply<T> Noted(const std::string& request_id, Engine::Reply<T> reply) {
    return [this, request_id, life = coordinator_.life(),
            reply = std::move(reply)](absl::StatusOr<T> answer) {
      if (life == coordinator_.life() && !disk_.dead()) {
        model_.OnAnswered(request_id, answer.status());
      }
      reply(std::move(answer));
    };
  }
  std::string RequestId();
  Worker& AnyWorker() { return *workers_[world_.Between(0, workers_.size() - 1)]; }
  bool faulty() const { return world_.now_ms() < faults_end_ms_; }
  void Count(const std::string& kind) { ++report_.counts[kind]; }

  const Options options_;
  const std::string store_path_;
  World world_;
  World workload_;  // only its dice
  FaultyVfs disk_;
  Coordinator coordinator_;
  Network network_;
  Model model_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::string> specs_;
  std::set<std::string> sweeps_;       // that were promised
  std::set<std::string> asked_again_;  // cancelled sweeps
  int64_t faults_end_ms_ = 0;
  int64_t requests_ = 0;
  int submits_open_ = 0;
  std::set<std::string> crash_at_;          // failpoints, each once
  std::map<int, int64_t> broken_until_ms_;  // hosts that break all trainers, by worker
  struct Progress {
    int64_t attempt_id = 0;
    int64_t step = -1;
    int64_t since_ms = 0;
  };
  std::map<std::pair<std::string, int64_t>, Progress> progress_;  // by sweep and number
  Report report_;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_SIMULATION_H_
