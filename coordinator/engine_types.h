#ifndef LOGLOG_COORDINATOR_ENGINE_TYPES_H_
#define LOGLOG_COORDINATOR_ENGINE_TYPES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "coordinator/scheduler_types.h"
#include "coordinator/task_order.h"
#include "fit/law_prediction.h"
#include "store/rows.h"

// What the engine is asked and what it answers.
namespace loglog {

// How much there may be at one time; tests choose less.
struct Capacity {
  int64_t sweeps_max = limits::kSweepsMax;
  int64_t open_trials_max = limits::kOpenTrialsMax;
  int64_t tokens_max = limits::kTokensMax;
  int workers_max = limits::kWorkersMax;
  int watchers_max = limits::kWatchersMax;
  int metric_streams_max = limits::kMetricStreamsMax;
  int user_calls_max = limits::kUserCallsMax;
  int submits_max = limits::kSubmitsMax;
  int64_t series_of_answer_max = limits::kSeriesOfAnswerMax;
  int64_t points_of_answer_max = limits::kPointsOfAnswerMax;
};

struct EngineOptions {
  SchedulerOptions scheduler;
  Clock* clock = Clock::Real();
  std::string version;
  int reader_threads = 2;
  int compute_threads = 1;
  // Without threads of its own the engine works only while Engine::Run is called.
  bool own_threads = true;
  // Keep the fits of running sweeps up to date. Off in benchmarks of other things.
  bool refit = true;
  Capacity capacity;
};

struct RegisterRequest {
  std::string worker_id;
  std::string boot_id;
  std::string version;
  std::string host;
  int slots = 0;
  std::string slots_json;
  std::string labels_json;
  std::string device;
  std::string checkpoint_scope;
  std::vector<int64_t> held;
};

struct RegisterAnswer {
  int64_t session_epoch = 0;
  int64_t lease_ms = 0;
  int64_t lease_margin_ms = 0;
  int64_t sync_interval_ms = 0;
  std::string store_id;
};

struct SyncRequest {
  int64_t session_epoch = 0;
  SyncReport report;
  int64_t wait_ms = 0;
};

struct SyncAnswer {
  WorkerDesire desire;
  std::map<int, TaskOrder> orders;  // by slot, for those that should run
  int64_t lease_ms = 0;
  int64_t sync_interval_ms = 0;
};

// A noteworthy event in a batch, such as a loss spike. The batch counts it.
struct BatchNotice {
  int64_t index = 0;  // into Batch::events
  std::string kind;
  int64_t step = 0;
  std::string detail_json;
};

struct BatchRequest {
  std::string worker_id;
  int64_t session_epoch = 0;
  Batch batch;  // without times
  std::vector<BatchNotice> notices;
};

struct BatchAnswer {
  int64_t last_seq = -1;
  bool forget = false;
};

// Only the hash of the token is told: whoever makes one keeps it.
struct NewToken {
  std::string name;
  Role role = Role::kViewer;
  std::string worker;
  std::string sha256;
  int64_t ttl_ms = 0;  // 0: does not expire
};

struct SweepView {
  SweepRow row;
  double tokens_per_second = 0;
  double slot_seconds_left = 0;
  double slot_seconds_left_low = 0;
  double slot_seconds_left_high = 0;
  double slot_seconds_used = 0;
  int slots_busy = 0;
  int slots_total = 0;
};

struct CreateAnswer {
  SweepView sweep;
  bool created = false;
  int64_t trials_new = 0;
  int64_t trials_reused = 0;
};

struct TrialView {
  TrialRow row;
  std::string pending_reason;
};

struct TrialPage {
  std::vector<TrialView> trials;
  int64_t total = 0;  // in these states, on all pages
};

struct WorkerView {
  WorkerRow row;
  int slots_busy = 0;
};

struct PointsRequest {
  std::string sweep;
  std::vector<int64_t> numbers;      // of trials; empty: all
  std::vector<std::string> metrics;  // empty: loss/train and loss/val
  int64_t step_min = 0;
  int64_t step_max = 0;
  int64_t max_points = 0;
};

struct SeriesView {
  int64_t number = 0;  // of the trial
  std::string metric;
  Curve curve;
};

struct FitView {
  FitRow row;
  std::string sweep;  // name
  LawPredictions predictions;
};

struct ServerView {
  StoreInfo store;
  int64_t start_wall_ms = 0;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ENGINE_TYPES_H_
