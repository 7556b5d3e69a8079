#ifndef LOGLOG_STORE_READ_STORE_H_
#define LOGLOG_STORE_READ_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "store/rows.h"

namespace loglog {

class Connection;

struct SqlLimits {
  int64_t max_rows = 100'000;
  int64_t timeout_ms = 60'000;
};

// Questions to a store. One thread at a time; a reader pool keeps one for each
// thread. Every call is a short read transaction of its own, so that it never holds
// the write-ahead log back, and works while a coordinator writes.
class ReadStore {
 public:
  // Read-only. NOT_FOUND: no such file. FAILED_PRECONDITION: not a Loglog store, or
  // a schema that this program does not know. DATA_LOSS: damaged.
  static absl::StatusOr<std::unique_ptr<ReadStore>> Open(absl::string_view path);
  // Over a connection that somebody else owns and keeps.
  explicit ReadStore(Connection* borrowed);
  ~ReadStore();
  ReadStore(const ReadStore&) = delete;
  ReadStore& operator=(const ReadStore&) = delete;

  absl::StatusOr<StoreInfo> Info() const;

  // ---- sweeps; NOT_FOUND when missing
  absl::StatusOr<SweepRow> GetSweep(absl::string_view name) const;
  absl::StatusOr<SweepRow> GetSweep(int64_t sweep_id) const;
  // Newest first; those with an id below `before_sweep_id` (0: from the newest).
  absl::StatusOr<std::vector<SweepRow>> ListSweeps(int64_t before_sweep_id, int limit) const;
  // Wall time of all attempts at the sweep's trials, in seconds; live ones up to now.
  absl::StatusOr<double> SlotSecondsUsed(int64_t sweep_id, int64_t now_ms) const;

  // ---- trials
  absl::StatusOr<TrialRow> GetTrial(int64_t sweep_id, int64_t number) const;
  // By number; those after `after_number`. Empty `states`: all.
  absl::StatusOr<std::vector<TrialRow>> ListTrials(int64_t sweep_id, int64_t after_number,
                                                   absl::Span<const TrialState> states,
                                                   int limit) const;
  // How many trials of the sweep are in one of these states (empty: all).
  absl::StatusOr<int64_t> CountTrials(int64_t sweep_id, absl::Span<const TrialState> states) const;
  // What fits are made of, by number: a row for each ended trial and at most three for the open
  // ones of an arm, as there may be a million of these.
  absl::StatusOr<std::vector<ObservationRow>> ListObservations(int64_t sweep_id) const;
  // Sets `stopped_loss` of the STOPPED ones: a read of one curve for each.
  absl::Status ReadStoppedLosses(std::vector<ObservationRow>* observations) const;
  // Open trials with the sweeps that count them, one by one, as there may be a million: by
  // number, or with a `sweep_id` of 0 those of all sweeps by id. Ends with the first error of
  // `take`.
  absl::Status EachOpenTrial(int64_t sweep_id,
                             absl::FunctionRef<absl::Status(const OpenTrial&)> take) const;
  absl::StatusOr<std::vector<SweepOfTrial>> ListSweepsOfTrial(int64_t trial_id) const;
  absl::StatusOr<std::vector<int64_t>> ListSweepIdsOfTrial(int64_t trial_id) const;

  // ---- tasks and attempts
  absl::StatusOr<TaskRow> GetTask(int64_t task_id) const;
  // PENDING and RUNNING tasks with a trial of this sweep (0: all), by id.
  absl::Status EachOpenTask(int64_t sweep_id,
                            absl::FunctionRef<absl::Status(const TaskRow&)> take) const;
  absl::StatusOr<std::vector<TaskRow>> ListOpenTasks(int64_t sweep_id) const;
  absl::StatusOr<std::vector<MemberConfig>> ListMemberConfigs(int64_t task_id) const;
  // By member.
  absl::StatusOr<std::vector<int64_t>> ListTrialsOfTask(int64_t task_id) const;
  absl::StatusOr<AttemptRow> GetAttempt(int64_t attempt_id) const;
  // Oldest first.
  absl::StatusOr<std::vector<AttemptRow>> ListAttempts(int64_t task_id) const;
  // -1: nothing stored yet. NOT_FOUND.
  absl::StatusOr<int64_t> LastSeq(int64_t attempt_id) const;
  // Checkpoints that a new attempt could start from, newest first.
  absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(int64_t task_id) const;
  // The newest of them that this worker can read: its own, or one of its scope.
  absl::StatusOr<std::optional<CheckpointRow>> NewestCheckpoint(int64_t task_id,
                                                                absl::string_view worker_id,
                                                                absl::string_view scope) const;
  // Those of the task's trunk at the step where the task leaves it, newest first.
  absl::StatusOr<std::vector<CheckpointRow>> ListBranchCheckpoints(int64_t task_id) const;
  // Tasks of which this one is the trunk, and the steps where they leave it; by step.
  absl::StatusOr<std::vector<BranchRow>> ListBranches(int64_t task_id) const;

  // ---- curves
  absl::StatusOr<Curve> ReadCurve(const PointQuery& query) const;
  // Names of all metrics that some trial of the sweep has.
  absl::StatusOr<std::vector<std::string>> ListMetrics(int64_t sweep_id) const;

  // ---- workers; by id, after `after_worker_id`
  absl::StatusOr<WorkerRow> GetWorker(absl::string_view worker_id) const;
  absl::StatusOr<std::vector<WorkerRow>> ListWorkers(absl::string_view after_worker_id,
                                                     int limit) const;

  // ---- tokens; by id, after `after_token_id`, revoked and expired ones too
  absl::StatusOr<TokenRow> GetToken(int64_t token_id) const;
  absl::StatusOr<std::vector<TokenRow>> ListTokens(int64_t after_token_id, int limit) const;

  // ---- events, oldest first
  // Of one sweep, or of all with sweep_id 0.
  absl::StatusOr<std::vector<EventRow>> ListEvents(int64_t sweep_id, int64_t after_event_id,
                                                   int limit) const;
  // The newest `limit` ones of a trial as this sweep counts it.
  absl::StatusOr<std::vector<EventRow>> ListTrialEvents(int64_t sweep_id, int64_t trial_id,
                                                        int limit) const;

  // ---- fits
  absl::StatusOr<FitRow> GetFit(int64_t sweep_id, int64_t number) const;
  // The newest of each (kind, axis, arm, arm_b).
  absl::StatusOr<std::vector<FitRow>> ListFits(int64_t sweep_id) const;
  absl::StatusOr<std::optional<FitRow>> FindFit(int64_t sweep_id, absl::string_view kind,
                                                absl::string_view axis, absl::string_view arm,
                                                absl::string_view arm_b,
                                                absl::string_view inputs_sha256) const;

  // ---- users' own SQL
  // One statement that only reads. INVALID_ARGUMENT: it does not parse, is more than
  // one, or would write. DEADLINE_EXCEEDED: it took longer than the limit.
  absl::StatusOr<SqlResult> Query(absl::string_view sql, const SqlLimits& limits = {}) const;

 private:
  std::unique_ptr<Connection> owned_;
  Connection* db_;
};

}  // namespace loglog

#endif  // LOGLOG_STORE_READ_STORE_H_
