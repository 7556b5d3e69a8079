#ifndef LOGLOG_STORE_STORE_H_
#define LOGLOG_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "store/read_store.h"
#include "store/rows.h"

namespace loglog {

class Connection;
class LockFile;
class PointWriter;

struct StoreOptions {
  bool create = true;  // make the file when it is not there
  // Refuse NFS, CIFS, sshfs, Lustre, ...: their locks cannot be trusted.
  bool refuse_network_filesystems = true;
};

// The one writer of a store file. Confined to one thread at a time (the strand);
// readers have connections of their own (ReadStore).
//
// All writing operations run between Begin and Commit, and each is all or nothing:
// one that returns an error has changed nothing and the transaction goes on. What an
// operation answers is durable when Commit returned OK, not before.
//
// Errors of every operation: DATA_LOSS the file is damaged; RESOURCE_EXHAUSTED disk
// full; FAILED_PRECONDITION no transaction, or a rule of the schema refused it;
// NOT_FOUND an id that is not there.
class Store {
 public:
  // Opens or creates the store at `path` (symbolic links are followed, so that a file has
  // one lock whatever it is called), takes PATH.lock and migrates the schema
  // (after a backup to PATH.v<N>.backup).
  //   NOT_FOUND             the directory (or, with create = false, the file) is missing
  //   PERMISSION_DENIED     file or directory cannot be written
  //   FAILED_PRECONDITION   another process has it (its pid is in the message), a
  //                         newer schema, not a Loglog store, a network file system
  //   DATA_LOSS             damaged
  static absl::StatusOr<std::unique_ptr<Store>> Open(absl::string_view path,
                                                     const StoreOptions& options = {});
  // Rolls back an open transaction, folds the write-ahead log in, frees the lock.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Absolute, without symbolic links.
  const std::string& path() const { return path_; }
  // 32 hex digits, made at random with the file.
  const std::string& store_id() const { return store_id_; }
  // Reads through the writer's connection: sees the open transaction.
  const ReadStore& read() const { return *read_; }

  absl::Status Begin();
  // On an error all of the transaction was rolled back.
  absl::Status Commit();
  void Rollback();
  // From Begin to Commit or Rollback, also when SQLite itself had to roll back in
  // between (a full disk): then every operation and the commit return why.
  bool in_transaction() const { return open_; }
  // Runs `body` so that its changes are kept only if it returns OK; the transaction
  // goes on either way. Nests.
  absl::Status Atomically(const std::function<absl::Status()>& body);

  absl::StatusOr<LiveState> LoadLive() const;

  // ---- sweeps and trials

  // Same name and spec hash, or a request_id seen before: the sweep that is there.
  // Same name and another spec: "<name>-2", "-3", ... A trial that exists is shared;
  // a cancelled one is made pending again with its task, a failed or stopped one stays so
  // until RetryTrials. Tasks keep only members that nothing else trains.
  absl::StatusOr<CreatedSweep> CreateSweep(const NewSweep& sweep);
  // What CreateSweep would count, changing nothing; needs no transaction.
  absl::StatusOr<CreatedSweep> PreviewSweep(const NewSweep& sweep) const;
  // ABORTED when `expected_revision` is not 0 and not the sweep's. `end_ms` 0 reopens.
  absl::StatusOr<SweepRow> SetSweepState(int64_t sweep_id, SweepState state, int64_t end_ms,
                                         int64_t expected_revision = 0);
  absl::Status SetTrialState(int64_t trial_id, TrialState state, absl::string_view message,
                             int64_t time_ms);
  // Cancels the open trials of a sweep that no other ACTIVE or PAUSED sweep counts.
  absl::StatusOr<CancelResult> CancelSweepTrials(int64_t sweep_id, int64_t time_ms);
  // Cancels these trials, whoever counts them; ended ones are passed over.
  absl::StatusOr<CancelResult> CancelTrials(absl::Span<const int64_t> trial_ids, int64_t time_ms);
  // The same, and they are STOPPED with the reason. They keep what they have reached.
  absl::StatusOr<CancelResult> StopTrials(absl::Span<const int64_t> trial_ids,
                                          absl::string_view reason, int64_t time_ms);
  // Makes FAILED (and, when asked, CANCELLED or STOPPED) trials pending again. With no ids:
  // all such trials of the sweep. FAILED_PRECONDITION: a given trial is in another state.
  absl::StatusOr<RetryResult> RetryTrials(int64_t sweep_id, absl::Span<const int64_t> trial_ids,
                                          const RetryKinds& kinds);

  // The answer saved for this request, if it was served before.
  absl::StatusOr<std::optional<std::string>> FindRequest(absl::string_view request_id) const;
  // Remembers an answer. The newest 100,000 are kept.
  absl::Status SaveRequest(absl::string_view request_id, absl::string_view answer, int64_t time_ms);

  // ---- tasks and attempts

  // Its trials that have not ended follow: pending with a PENDING task, running with a
  // RUNNING one, failed with the message with a FAILED one, cancelled with a CANCELLED
  // one. A DONE task leaves them as their MemberEnd made them.
  absl::Status UpdateTask(int64_t task_id, const TaskUpdate& update);
  // Grants a lease: the attempt becomes the task's newest (the fence), the task and
  // its pending trials RUNNING, and points and checkpoints after resume_step are
  // superseded. FAILED_PRECONDITION: the task or one of the slots has a live attempt.
  absl::StatusOr<LeasedAttempt> InsertAttempt(const NewAttempt& attempt);
  // The state of an ended attempt changes only from LOST (a late, honest report).
  absl::Status UpdateAttempt(int64_t attempt_id, const AttemptUpdate& update);
  // Stores events and their last number together. Events stored before are skipped,
  // so resending is harmless. AttemptStart makes the attempt RUNNING and supersedes
  // after its real resume step; MemberEnd writes the summary and ends the trial when
  // this task is the trial's last (a cancelled or stopped trial stays so).
  // OUT_OF_RANGE: a gap in the numbers. INVALID_ARGUMENT: a malformed event (unknown
  // member or metric index, a step that does not grow). NOT_FOUND: no such attempt.
  absl::StatusOr<BatchResult> ApplyBatch(const Batch& batch);

  // ---- workers

  // Registers: writes the row with the next session epoch, which it returns.
  absl::StatusOr<int64_t> UpsertWorker(const WorkerRow& worker);
  absl::Status SetWorkerState(absl::string_view worker_id, WorkerState state,
                              absl::string_view reason);
  absl::Status SetWorkerSyncTime(absl::string_view worker_id, int64_t last_sync_ms);

  // ---- tokens (store_tokens.cc)

  // The token that is there when one has this hash, else a new one; `created` says which.
  absl::StatusOr<TokenRow> InsertToken(const TokenRow& token, bool* created);
  // A token that was revoked before keeps its time.
  absl::StatusOr<TokenRow> RevokeToken(int64_t token_id, int64_t revoke_ms);
  absl::Status SetTokenUse(int64_t token_id, int64_t last_use_ms);

  // ---- events and fits

  absl::StatusOr<int64_t> AppendEvent(const EventRow& event);
  // The stored fit when one with the same sweep, kind, axis, arms and inputs exists
  // (`created` false); else numbers and stores this one.
  absl::StatusOr<FitRow> InsertFit(const FitRow& fit, bool* created = nullptr);

  // For tests of the schema and of the statements.
  Connection* connection() { return db_.get(); }

 private:
  class BatchApplier;

  Store();

  // Why SQLite itself ended the open transaction; OK while it has not.
  absl::Status CheckNotRolledBack();
  absl::Status CheckOpen();
  absl::Status CheckStillOpen(const absl::Status& status);
  // As Atomically, for a body that makes one change: a statement needs no savepoint.
  absl::Status OneStatement(const std::function<absl::Status()>& body);
  // NOT_FOUND when the last statement changed no row.
  absl::Status RequireChange(absl::string_view object) const;
  absl::Status InsertTrials(const NewSweep& sweep, int64_t sweep_id, std::vector<int64_t>* ids,
                            std::vector<bool>* is_new);
  absl::Status InsertTasks(const NewSweep& sweep, int64_t sweep_id,
                           const std::vector<int64_t>& trial_ids, const std::vector<bool>& is_new);
  absl::Status CancelMany(absl::Span<const int64_t> trial_ids, TrialState state,
                          absl::string_view message, int64_t time_ms, CancelResult* result);
  absl::Status RetryMany(absl::Span<const int64_t> trial_ids, RetryResult* result);
  absl::Status Supersede(int64_t task_id, int64_t attempt_id, int64_t after_step,
                         Superseded* superseded);

  std::string path_;
  std::string store_id_;
  std::unique_ptr<LockFile> lock_;
  std::unique_ptr<Connection> db_;
  std::unique_ptr<ReadStore> read_;
  std::unique_ptr<PointWriter> points_;
  bool open_ = false;
  absl::Status aborted_;  // why SQLite itself rolled the open transaction back
};

}  // namespace loglog

#endif  // LOGLOG_STORE_STORE_H_
