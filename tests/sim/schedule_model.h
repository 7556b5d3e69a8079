#ifndef LOGLOG_TESTS_SIM_SCHEDULE_MODEL_H_
#define LOGLOG_TESTS_SIM_SCHEDULE_MODEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/select.h"

namespace loglog::sim {

// Whether what was started may have been started: the events of the store told again, with
// the schedules of the specs beside them. For each lease there must be a sweep that wants
// the trial, is not paused, selects the worker, asks for so many slots and had not yet as
// many trials running as it allows.
class ScheduleModel {
 public:
  using Select = std::function<Rows(const std::string& sql)>;

  // Looks at the events that came since. Returns the first breach, or "".
  std::string Look(const Select& select);

 private:
  struct Sweep {
    std::map<std::string, std::string> selector;
    int64_t slots = 1;
    int64_t max_concurrent = 0;  // 0: any number
    bool paused = false;
    bool wants = false;         // active or paused
    std::set<int64_t> running;  // attempts
  };
  struct Event {
    int64_t event_id = 0;
    std::string kind;
    int64_t sweep_id = 0;
    int64_t trial_id = 0;
    int64_t attempt_id = 0;
    std::string worker_id;
    std::string detail_json;
  };

  void LoadSweeps(const Select& select);
  void On(const Event& event);
  std::string CheckLease(const Event& event) const;
  void EndAttempt(int64_t attempt_id);
  void EndTrial(int64_t trial_id);

  int64_t last_event_id_ = 0;
  std::map<int64_t, Sweep> sweeps_;
  std::map<int64_t, std::set<int64_t>> sweeps_of_;                    // by trial
  std::map<int64_t, int64_t> trial_of_;                               // live attempts
  std::map<std::string, std::map<std::string, std::string>> labels_;  // by worker
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_SCHEDULE_MODEL_H_
