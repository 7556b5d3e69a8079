#ifndef LOGLOG_STORE_ROWS_H_
#define LOGLOG_STORE_ROWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/no_number.h"

// The plain rows that go into and come out of the store. Ids are positive and only
// grow; 0 means "none". Times are wall milliseconds since the Unix epoch and 0 means
// "not yet". Hashes are lower-case hex. Doubles may be NaN, which means "no number".
namespace loglog {

enum class SweepState { kActive, kPaused, kCancelled, kDone };
// STOPPED: ended early by a user's wish, with what it had reached.
enum class TrialState { kPending, kRunning, kDone, kDiverged, kFailed, kCancelled, kStopped };
// RUNNING: its newest attempt is live.
enum class TaskState { kPending, kRunning, kDone, kFailed, kCancelled };
// The first three are live: they hold their task and their slot.
enum class AttemptState {
  kLeased,
  kRunning,
  kStopping,
  kDone,
  kDiverged,
  kStopped,
  kFailed,
  kRefused,
  kOutOfMemory,
  kDeviceError,
  kLost,
  kCancelled,
};
// Why a live attempt was asked to leave: for the sake of its worker, of a task of higher
// priority, or because nobody wants its trials.
enum class StopCause { kNone, kDrain, kPreempted, kUnwanted };
enum class WorkerState { kLive, kDraining, kQuarantined, kLost, kGone };
// What a caller may do; coordinator/access.h says what that is.
enum class Role { kViewer, kSubmitter, kWorker, kAdmin };

// The words that the tables and views hold ("OUT_OF_MEMORY").
const char* StateName(SweepState state);
const char* StateName(TrialState state);
const char* StateName(TaskState state);
const char* StateName(AttemptState state);
const char* StateName(WorkerState state);
const char* StateName(StopCause cause);
const char* RoleName(Role role);
bool IsLive(AttemptState state);
// DONE, DIVERGED, FAILED, CANCELLED or STOPPED.
bool IsEnded(TrialState state);

// ---- sweeps, cells, trials, tasks

struct TrialCounts {
  int64_t total = 0;
  int64_t pending = 0;
  int64_t running = 0;
  int64_t done = 0;
  int64_t diverged = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t reused = 0;  // of total: trials that were there before the sweep
  int64_t stopped = 0;
};

struct SweepRow {
  int64_t sweep_id = 0;
  std::string name;  // without "sweeps/"
  SweepState state = SweepState::kActive;
  std::string spec_json;  // empty in lists
  std::string spec_sha256;
  int64_t create_ms = 0;
  int64_t end_ms = 0;
  int64_t revision = 0;  // grows with each change of state; the etag
  int64_t last_event_id = 0;
  TrialCounts counts;
};

struct NewCell {
  std::string sha256;
  std::string config_json;
  std::string arm;
  std::string axes_json;  // {"axis": "canonical value"}
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  int64_t tokens = 0;
  int64_t steps = 0;
  double flops = 0;  // of the whole training
};

struct NewTrial {
  int cell = 0;  // index into NewSweep::cells
  int64_t seed = 0;
  std::string sha256;
};

struct NewTask {
  std::vector<int> members;  // indices into NewSweep::trials
  int64_t token_begin = 0;
  int64_t token_end = 0;
  // Index into NewSweep::tasks, smaller than this task's own: its trunk, at whose checkpoint of
  // token_begin it may begin. Where no trial of that is new, this one begins at 0.
  int parent = -1;
};

// Trials are numbered from 1 in the order given; tasks get growing ids in theirs.
struct NewSweep {
  std::string name;
  std::string spec_json;
  std::string spec_sha256;
  std::string request_id;  // empty: no deduplication by request
  int64_t create_ms = 0;
  std::vector<NewCell> cells;
  std::vector<NewTrial> trials;
  std::vector<NewTask> tasks;
};

struct CreatedSweep {
  SweepRow sweep;
  bool created = false;  // false: this spec (or this request) was here already
  int64_t trials_new = 0;
  int64_t trials_reused = 0;
};

// How a sweep counts a trial.
struct SweepOfTrial {
  int64_t sweep_id = 0;
  int64_t number = 0;  // "sweeps/<name>/trials/<number>"
  std::string arm;
};

struct TaskMember {
  int member = 0;
  int64_t trial_id = 0;
};

struct TaskRow {
  int64_t task_id = 0;
  int64_t sweep_id = 0;  // that planned it
  TaskState state = TaskState::kPending;
  int64_t token_begin = 0;
  int64_t token_end = 0;
  int64_t parent_task_id = 0;
  int failure_count = 0;
  int lost_count = 0;
  int64_t not_before_ms = 0;
  int64_t last_attempt_id = 0;  // the fence: older attempts are stale
  std::string message;
  std::vector<TaskMember> members;  // by member
};

// A task that may go on from another's checkpoint.
struct BranchRow {
  int64_t task_id = 0;
  int64_t step = 0;  // of that checkpoint
};

// A trial that has not ended, with all that scheduling needs.
struct OpenTrial {
  int64_t trial_id = 0;
  int64_t cell_id = 0;
  int64_t seed = 0;
  TrialState state = TrialState::kPending;
  int64_t task_id = 0;  // whose end is the trial's end
  int64_t tokens = 0;   // planned
  int64_t steps = 0;
  double flops = 0;
  std::vector<SweepOfTrial> sweeps;  // all that count it, ended ones too; without arms
};

// What a trainer is told about a member.
struct MemberConfig {
  int member = 0;
  int64_t trial_id = 0;
  int64_t cell_id = 0;
  std::string trial_sha256;
  int64_t seed = 0;
  std::string config_json;
};

struct TrialRow {
  int64_t trial_id = 0;
  int64_t sweep_id = 0;
  std::string sweep;  // name
  int64_t number = 0;
  int64_t cell_id = 0;
  std::string trial_sha256;
  std::string cell_sha256;
  int64_t seed = 0;
  TrialState state = TrialState::kPending;
  bool reused = false;
  std::string arm;
  std::string axes_json;
  std::string config_json;  // empty in lists
  std::string message;
  int64_t steps = 0;  // planned
  int64_t tokens_planned = 0;
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  double flops = 0;
  int64_t step = 0;  // newest stored
  int64_t tokens = 0;
  double last_loss = kNoNumber;  // newest loss/train
  double final_loss = kNoNumber;
  int64_t diverged_step = 0;  // only when DIVERGED
  std::string summary_json;   // empty until the end
  int64_t task_id = 0;
  int failure_count = 0;
  int lost_count = 0;
  int64_t not_before_ms = 0;
  // Of the newest attempt.
  int64_t attempt_id = 0;
  int attempts = 0;
  std::string worker_id;
  std::string data_sha256;
  std::string trainer_version;
  double tokens_per_second = 0;
  int64_t start_ms = 0;
  int64_t end_ms = 0;  // of the trial, once it has ended
};

// ---- workers and attempts

struct WorkerRow {
  std::string worker_id;
  std::string boot_id;
  int64_t session_epoch = 0;
  WorkerState state = WorkerState::kLive;
  std::string reason;
  std::string host;
  std::string version;
  int slots = 0;
  std::string slots_json;   // as registered
  std::string labels_json;  // {"key": "value"}
  std::string device;
  std::string checkpoint_scope;
  int64_t register_ms = 0;
  int64_t last_sync_ms = 0;
};

// A bearer token, without the token: store/token.h makes them.
struct TokenRow {
  int64_t token_id = 0;
  std::string name;  // of the caller: [a-z0-9][a-z0-9-]{0,62}
  Role role = Role::kViewer;
  std::string worker;  // only of a WORKER: the id it may be, "gpu-*" or "*"
  std::string sha256;  // of the token's text
  int64_t create_ms = 0;
  int64_t expire_ms = 0;  // 0: never
  int64_t revoke_ms = 0;
  int64_t last_use_ms = 0;  // the begin of that day, UTC
};

struct NewAttempt {
  int64_t task_id = 0;
  std::string worker_id;
  int slot = 0;
  std::vector<int> followers;  // further slots that it holds
  int64_t session_epoch = 0;
  int64_t lease_ms = 0;
  int64_t resume_step = 0;  // 0: from fresh weights
  int64_t create_ms = 0;
};

// Superseding: what a new attempt takes back because it trains those steps again.
struct Superseded {
  int64_t points = 0;
  int64_t checkpoints = 0;
};

struct LeasedAttempt {
  int64_t attempt_id = 0;
  Superseded superseded;
};

struct AttemptRow {
  int64_t attempt_id = 0;
  int64_t task_id = 0;
  std::string worker_id;
  int slot = 0;
  int slot_count = 1;
  std::vector<int> followers;  // further slots that it holds, while it is live
  int64_t session_epoch = 0;
  AttemptState state = AttemptState::kLeased;
  StopCause stop_cause = StopCause::kNone;
  int64_t lease_ms = 0;
  int64_t resume_step = 0;
  int64_t last_seq = -1;
  int64_t create_ms = 0;
  int64_t start_ms = 0;  // first event of the trainer
  int64_t end_ms = 0;
  int exit_code = 0;
  int signal = 0;
  std::string message;
  std::string trainer_version;
  std::string data_sha256;
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  double flops_per_token = 0;
  int64_t total_steps = 0;
  double tokens_per_second = 0;
};

// How an attempt ended, or that it moved between live states (end_ms 0).
struct AttemptUpdate {
  AttemptState state = AttemptState::kRunning;
  int64_t end_ms = 0;
  int exit_code = 0;
  int signal = 0;
  std::string message;
  StopCause stop_cause = StopCause::kNone;  // kNone: as it is
};

struct TaskUpdate {
  TaskState state = TaskState::kPending;
  int failure_count = 0;
  int lost_count = 0;
  int64_t not_before_ms = 0;
  std::string message;
  int64_t time_ms = 0;  // end of the trials that end with the task
};

// ---- the trainer's events, in the order of its events file

struct AttemptStart {
  int64_t resume_step = 0;  // where it really resumed
  std::string trainer_version;
  std::string data_sha256;
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  double flops_per_token = 0;
  int64_t total_steps = 0;
};

struct MetricValue {
  int metric = 0;  // index into Batch::metrics
  double value = 0;
};

struct MetricRow {
  int member = 0;
  int64_t step = 0;
  int64_t tokens = 0;
  std::vector<MetricValue> values;
};

struct CheckpointCommit {
  int64_t step = 0;
  std::string path;
  std::string sha256;
  int64_t bytes = 0;
};

struct MemberEnd {
  int member = 0;
  bool diverged = false;
  int64_t step = 0;
  int64_t tokens = 0;
  double final_loss = kNoNumber;
  std::string summary_json;
};

// An event that the store only counts (a notice, an unknown kind).
struct CountedOnly {};

using TrainerEvent =
    std::variant<CountedOnly, AttemptStart, MetricRow, CheckpointCommit, MemberEnd>;

struct Batch {
  int64_t attempt_id = 0;
  int64_t first_seq = 0;
  std::vector<std::string> metrics;  // dictionary of MetricValue::metric
  std::vector<TrainerEvent> events;
  int64_t time_ms = 0;
  double tokens_per_second = 0;  // measured by the coordinator; 0: leave as it is
};

struct EndedTrial {
  int64_t trial_id = 0;
  int member = 0;
  TrialState state = TrialState::kDone;  // DONE or DIVERGED
  double final_loss = kNoNumber;
};

struct BatchResult {
  bool stale = false;     // a newer attempt exists: nothing was applied, answer Forget
  int64_t last_seq = -1;  // durable after the commit
  int skipped = 0;        // leading events that were stored before
  Superseded superseded;
  std::vector<EndedTrial> ended;
};

struct CheckpointRow {
  int64_t checkpoint_id = 0;
  int64_t task_id = 0;
  int64_t attempt_id = 0;
  std::string worker_id;
  std::string scope;
  int64_t step = 0;
  std::string path;
  std::string sha256;
  int64_t bytes = 0;
  int64_t create_ms = 0;
};

// ---- curves

struct PointQuery {
  int64_t trial_id = 0;
  std::string metric;
  int64_t step_min = 0;
  int64_t step_max = 0;    // 0: no upper end
  int64_t max_points = 0;  // 0: all; else thinned evenly, first and last kept
};

struct PointRow {
  int64_t step = 0;
  int64_t tokens = 0;
  double value = 0;
};

struct Curve {
  int64_t total_points = 0;  // in the range, before thinning
  std::vector<PointRow> points;
};

// ---- events and fits

struct EventRow {
  int64_t event_id = 0;
  int64_t time_ms = 0;
  std::string kind;
  int64_t sweep_id = 0;
  int64_t trial_id = 0;
  int64_t attempt_id = 0;
  std::string worker_id;
  std::string detail_json;
  // Filled when read.
  std::string sweep;         // name
  int64_t trial_number = 0;  // within that sweep
};

struct FitRow {
  int64_t fit_id = 0;
  int64_t sweep_id = 0;
  int64_t number = 0;  // "sweeps/<name>/fits/<number>"
  std::string kind;
  std::string axis;
  std::string arm;
  std::string arm_b;
  std::string inputs_sha256;
  std::string verdict;
  std::string definition;
  std::string parameter;  // the main one: its name and 95% interval
  double estimate = kNoNumber;
  double low = kNoNumber;
  double high = kNoNumber;
  double p_value = kNoNumber;
  int n_trials = 0;
  std::string message;
  std::string fit_json;  // the whole result
  int64_t create_ms = 0;
};

// What a fit looks at: one row for each trial of a sweep, ended or not.
struct ObservationRow {
  int64_t trial_id = 0;
  int64_t number = 0;
  // An open row may stand for several of its arm from `number` on, also of other N and D, of which
  // there are then rows enough to see that they vary. It says nothing else.
  int64_t trials = 1;
  std::string arm;
  std::string cell_sha256;
  std::string axes_json;
  int64_t seed = 0;
  TrialState state = TrialState::kPending;
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  int64_t tokens = 0;
  double flops = 0;
  double final_loss = kNoNumber;
  std::string trial_sha256;
  // Of the attempt that ended a DONE trial.
  std::string data_sha256;
  std::string trainer_version;
  // Of a STOPPED trial, where ReadStore::ReadStoppedLosses was asked for it: its newest loss/val.
  double stopped_loss = kNoNumber;
  // The task whose steps it shares with other trials, its own for the trunk itself; 0: none.
  int64_t trunk_task_id = 0;
};

// ---- start of a coordinator

// Beside the open trials and tasks (ReadStore::EachOpenTrial and EachOpenTask).
struct LiveState {
  std::vector<SweepRow> sweeps;      // ACTIVE and PAUSED, with specs and counts
  std::vector<AttemptRow> attempts;  // live ones
  std::vector<WorkerRow> workers;    // all but GONE
  int64_t last_event_id = 0;
};

struct CancelResult {
  std::vector<int64_t> trials;  // now CANCELLED, or STOPPED
  std::vector<int64_t> tasks;   // now CANCELLED, no member being wanted
  // Live attempts of those tasks; they keep their slots until they are ended.
  std::vector<int64_t> attempts;
};

// Which ended trials a retry is for, beside failed ones.
struct RetryKinds {
  bool cancelled = false;
  bool stopped = false;
};

struct RetryResult {
  std::vector<int64_t> trials;  // now PENDING
  std::vector<int64_t> tasks;   // now PENDING with fresh budgets
};

struct StoreInfo {
  std::string path;
  std::string store_id;
  int schema = 0;
  int64_t bytes = 0;  // database and write-ahead log
  std::string sqlite_version;
};

// ---- `loglog sql`

// NULL, INTEGER, REAL, TEXT, BLOB.
using SqlValue = std::variant<std::monostate, int64_t, double, std::string, std::vector<uint8_t>>;

struct SqlResult {
  std::vector<std::string> columns;
  std::vector<std::vector<SqlValue>> rows;
  bool truncated = false;  // there were more rows than asked for
};

}  // namespace loglog

#endif  // LOGLOG_STORE_ROWS_H_
