#ifndef LOGLOG_TESTS_SIM_MODEL_H_
#define LOGLOG_TESTS_SIM_MODEL_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/sim/schedule_model.h"

namespace loglog::sim {

// What must hold of a run, whatever goes wrong. It is told what the outside sees and
// looks into the store with SQL of its own; it knows nothing of how the parts work.
// The first breach is kept and ends the run.
class Model {
 public:
  const std::string& breach() const { return breach_; }
  void Breach(const std::string& what);

  // A worker heard that the coordinator has the events up to this number.
  void OnAcknowledged(int64_t attempt_id, int64_t last_seq);
  // A user heard that this sweep exists.
  void OnSubmitted(const std::string& sweep) { submitted_.insert(sweep); }
  // A retry by a user gives tasks fresh budgets: their counts tell nothing any more.
  void OnRetried() { retried_ = true; }
  // A request has been carried out, or refused for good, whether its user heard of it or not.
  void OnAnswered(const std::string& request_id, const absl::Status& status);
  // The first session of a worker's boot, which holds these attempts of earlier boots.
  void OnBooted(const std::string& worker_id, const std::string& boot, int64_t epoch,
                const std::set<int64_t>& held) {
    boots_[worker_id] = {boot, epoch, held};
  }
  // A worker was told to forget an attempt that it had reported to have ended well.
  void OnForgotten(int64_t attempt_id) { forgotten_.insert(attempt_id); }
  // The coordinator knows no more than what is stored.
  void OnReload() { reloaded_ = true; }
  // The store at rest: what it may say at any time.
  void LookAtStore(const std::string& path);
  // What it must say when all is over.
  void LookAtEnd(const std::string& path);

  // Attempts whose lease has run out, as the coordinator sees it.
  static std::vector<int64_t> CalledLost(const std::string& path);
  // Every sweep that was not cancelled is done, and no trial is open.
  static bool AllEndedWell(const std::string& path);
  // What keeps it from being so, for a message.
  static std::string WhatIsOpen(const std::string& path);
  // All that a store knows of its trials but who did the work and when, as text by trial.
  static std::map<std::string, std::string> Results(const std::string& path);

 private:
  struct Table;

  void CheckAcknowledged(const Table& attempts);
  void CheckFenced(const Table& attempts);
  void CheckBudgets(const std::string& path);
  // model_workers.cc
  void CheckBoots(const std::string& path);
  void CheckForgotten(const std::string& path);
  void CheckQuarantine(const std::string& path);
  // Rows of `sql` are breaches; the text says of what.
  void ExpectNone(const std::string& path, const std::string& what, const std::string& sql);

  std::string breach_;
  std::map<int64_t, int64_t> acknowledged_;  // last number by attempt
  std::map<int64_t, int64_t> fenced_at_;     // by attempt that is not its task's newest
  std::set<std::string> submitted_;
  bool retried_ = false;
  std::set<std::string> done_requests_;
  struct Boot {
    std::string id;
    int64_t epoch = 0;
    std::set<int64_t> held;
  };
  std::map<std::string, Boot> boots_;  // by worker
  std::set<int64_t> forgotten_;        // attempts
  // What a worker's failures are counted by, as far as it is sure.
  struct HostRecord {
    std::set<int64_t> failed_cells;
    bool quarantined = false;
  };
  std::map<std::string, HostRecord> hosts_;
  int64_t last_event_id_ = 0;
  bool reloaded_ = false;
  ScheduleModel schedule_;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_MODEL_H_
