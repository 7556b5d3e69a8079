#include "store/store.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/points.h"
#include "store/schema.h"
#include "store/store_file.h"

namespace loglog {
namespace {

constexpr int64_t kRequestsKept = 100'000;

absl::StatusOr<std::string> RandomId() {
  char bytes[16];
  size_t filled = 0;
  while (filled < sizeof(bytes)) {
    const ssize_t got = getrandom(bytes + filled, sizeof(bytes) - filled, 0);
    if (got < 0 && errno != EINTR) return absl::InternalError("getrandom failed");
    if (got > 0) filled += got;
  }
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

absl::StatusOr<std::string> FindOrMakeStoreId(Connection* db) {
  {
    Cursor row = db->Query("SELECT value FROM meta WHERE key = 'store_id'");
    if (row.Next()) return row.Text(0);
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  LOGLOG_ASSIGN_OR_RETURN(const std::string id, RandomId());
  LOGLOG_RETURN_IF_ERROR(db->Run("INSERT INTO meta (key, value) VALUES ('store_id', ?1)", id));
  return id;
}

}  // namespace

Store::Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(absl::string_view path,
                                                   const StoreOptions& options) {
  std::unique_ptr<Store> store(new Store());
  LOGLOG_ASSIGN_OR_RETURN(store->path_, CanonicalStorePath(std::string(path)));
  LOGLOG_RETURN_IF_ERROR(CheckStorePlace(store->path_, options.create));
  if (options.refuse_network_filesystems) {
    LOGLOG_RETURN_IF_ERROR(RefuseNetworkFileSystem(store->path_));
  }
  LOGLOG_ASSIGN_OR_RETURN(store->lock_, LockStore(store->path_));
  LOGLOG_RETURN_IF_ERROR(RefuseForeignFile(store->path_));
  {
    LOGLOG_ASSIGN_OR_RETURN(const auto inspected, RefuseForeignDatabase(store->path_));
    LOGLOG_ASSIGN_OR_RETURN(store->db_, Connection::Open(store->path_, Connection::Mode::kCreate));
  }
  LOGLOG_RETURN_IF_ERROR(Migrate(store->db_.get(), Migrations()));
  LOGLOG_ASSIGN_OR_RETURN(store->store_id_, FindOrMakeStoreId(store->db_.get()));
  store->read_ = std::make_unique<ReadStore>(store->db_.get());
  store->points_ = std::make_unique<PointWriter>(store->db_.get());
  return store;
}

Store::~Store() {
  if (points_ == nullptr) return;
  Rollback();
  // Readers may hold it back; then the next writer folds the log in.
  db_->Script("PRAGMA wal_checkpoint(TRUNCATE)").IgnoreError();
}

absl::Status Store::Begin() {
  if (open_) return absl::FailedPreconditionError("a transaction is open already");
  LOGLOG_RETURN_IF_ERROR(db_->Run("BEGIN IMMEDIATE"));
  open_ = true;
  return absl::OkStatus();
}

absl::Status Store::Commit() {
  if (!open_) return absl::FailedPreconditionError("no transaction to commit");
  absl::Status status = CheckNotRolledBack();
  if (status.ok()) status = db_->Run("COMMIT");
  if (!status.ok()) Rollback();
  open_ = false;
  return status;
}

void Store::Rollback() {
  if (db_->in_transaction()) db_->Run("ROLLBACK").IgnoreError();
  points_->Forget();
  aborted_ = absl::OkStatus();
  open_ = false;
}

// SQLite rolls back by itself when the disk or memory fails, in plain reads too, whose
// errors nobody need have taken here.
absl::Status Store::CheckNotRolledBack() {
  if (aborted_.ok() && !db_->in_transaction()) {
    points_->Forget();
    aborted_ = absl::AbortedError(
        absl::StrCat("store ", path_,
                     ": SQLite rolled the transaction back, so nothing of it is kept; look at "
                     "the disk and at the memory, then send it again"));
  }
  return aborted_;
}

absl::Status Store::CheckOpen() {
  if (open_) return CheckNotRolledBack();
  return absl::FailedPreconditionError("the store is written only between Begin and Commit");
}

// What `status` of a change means when SQLite itself has ended the transaction.
absl::Status Store::CheckStillOpen(const absl::Status& status) {
  if (!db_->in_transaction() && aborted_.ok()) {
    points_->Forget();
    aborted_ = status;
  }
  return CheckNotRolledBack();
}

absl::Status Store::Atomically(const std::function<absl::Status()>& body) {
  // Outside a transaction the savepoint would begin one and its release commit it.
  LOGLOG_RETURN_IF_ERROR(CheckOpen());
  LOGLOG_RETURN_IF_ERROR(db_->Run("SAVEPOINT operation"));
  const absl::Status status = body();
  LOGLOG_RETURN_IF_ERROR(CheckStillOpen(status));
  if (status.ok()) return db_->Run("RELEASE operation");
  points_->Forget();
  LOGLOG_RETURN_IF_ERROR(db_->Run("ROLLBACK TO operation"));
  LOGLOG_RETURN_IF_ERROR(db_->Run("RELEASE operation"));
  return status;
}

absl::Status Store::OneStatement(const std::function<absl::Status()>& body) {
  LOGLOG_RETURN_IF_ERROR(CheckOpen());
  const absl::Status status = body();
  LOGLOG_RETURN_IF_ERROR(CheckStillOpen(status));
  return status;
}

absl::StatusOr<std::optional<std::string>> Store::FindRequest(absl::string_view request_id) const {
  std::optional<std::string> answer;
  Cursor row = db_->Query("SELECT answer FROM requests WHERE request_id = ?1", request_id);
  if (row.Next()) answer = row.Text(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return answer;
}

absl::Status Store::SaveRequest(absl::string_view request_id, absl::string_view answer,
                                int64_t time_ms) {
  return Atomically([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("INSERT INTO requests (request_id, answer, time_ms) VALUES (?1, ?2, ?3)",
                 request_id, answer, time_ms));
    return db_->Run("DELETE FROM requests WHERE request_number <= ?1",
                    db_->last_insert_id() - kRequestsKept);
  });
}

absl::StatusOr<int64_t> Store::UpsertWorker(const WorkerRow& worker) {
  int64_t epoch = 0;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    const absl::StatusOr<WorkerRow> known = read_->GetWorker(worker.worker_id);
    if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
    epoch = known.ok() ? known->session_epoch + 1 : 1;
    return db_->Run(
        known.ok()
            ? "UPDATE workers SET boot_id = ?2, session_epoch = ?3, state = ?4, reason = ?5, "
              "host = ?6, version = ?7, slots = ?8, slots_json = ?9, labels_json = ?10, device "
              "= ?11, checkpoint_scope = ?12, register_ms = ?13, last_sync_ms = ?14 WHERE "
              "worker_id = ?1"
            : "INSERT INTO workers (worker_id, boot_id, session_epoch, state, reason, host, "
              "version, slots, slots_json, labels_json, device, checkpoint_scope, register_ms, "
              "last_sync_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
              "?14)",
        worker.worker_id, worker.boot_id, epoch, StateName(worker.state), worker.reason,
        worker.host, worker.version, worker.slots, worker.slots_json, worker.labels_json,
        worker.device, worker.checkpoint_scope, worker.register_ms, worker.last_sync_ms);
  }));
  return epoch;
}

absl::Status Store::SetWorkerState(absl::string_view worker_id, WorkerState state,
                                   absl::string_view reason) {
  return Atomically([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("UPDATE workers SET state = ?2, reason = ?3 WHERE worker_id = ?1", worker_id,
                 StateName(state), reason));
    return RequireChange(absl::StrCat("workers/", worker_id));
  });
}

absl::Status Store::SetWorkerSyncTime(absl::string_view worker_id, int64_t last_sync_ms) {
  return OneStatement([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(db_->Run("UPDATE workers SET last_sync_ms = ?2 WHERE worker_id = ?1",
                                    worker_id, last_sync_ms));
    return RequireChange(absl::StrCat("workers/", worker_id));
  });
}

absl::StatusOr<int64_t> Store::AppendEvent(const EventRow& event) {
  LOGLOG_RETURN_IF_ERROR(OneStatement([&] {
    return db_->Run(
        "INSERT INTO events (time_ms, kind, sweep_id, trial_id, attempt_id, worker_id, "
        "detail_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        event.time_ms, event.kind, IdOrNull(event.sweep_id), IdOrNull(event.trial_id),
        IdOrNull(event.attempt_id), TextOrNull(event.worker_id), event.detail_json);
  }));
  return db_->last_insert_id();
}

absl::StatusOr<FitRow> Store::InsertFit(const FitRow& fit, bool* created) {
  if (created != nullptr) *created = false;
  FitRow stored = fit;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    LOGLOG_ASSIGN_OR_RETURN(
        const std::optional<FitRow> known,
        read_->FindFit(fit.sweep_id, fit.kind, fit.axis, fit.arm, fit.arm_b, fit.inputs_sha256));
    if (known.has_value()) {
      stored = *known;
      // What went in may be again what it was before, when a stopped trial is retried for one. The
      // highest id of its kind is the newest.
      return db_->Run(
          "UPDATE fits SET fit_id = (SELECT max(fit_id) + 1 FROM fits) WHERE fit_id = ?1 AND "
          "fit_id < (SELECT max(f.fit_id) FROM fits f WHERE f.sweep_id = ?2 AND f.kind = ?3 AND "
          "f.axis = ?4 AND f.arm = ?5 AND f.arm_b = ?6)",
          known->fit_id, fit.sweep_id, fit.kind, fit.axis, fit.arm, fit.arm_b);
    }
    Cursor row = db_->Query(
        "INSERT INTO fits (sweep_id, number, kind, axis, arm, arm_b, inputs_sha256, verdict, "
        "definition, parameter, estimate, low, high, p_value, n_trials, message, create_ms, "
        "fit_json) VALUES (?1, coalesce((SELECT max(number) FROM fits WHERE sweep_id = ?1), 0) "
        "+ 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) "
        "RETURNING fit_id, number",
        fit.sweep_id, fit.kind, fit.axis, fit.arm, fit.arm_b, fit.inputs_sha256, fit.verdict,
        fit.definition, fit.parameter, fit.estimate, fit.low, fit.high, fit.p_value, fit.n_trials,
        fit.message, fit.create_ms, fit.fit_json);
    if (row.Next()) {
      stored.fit_id = row.Int(0);
      stored.number = row.Int(1);
    }
    if (created != nullptr) *created = true;
    return row.Finish();
  }));
  return stored;
}

absl::Status Store::RequireChange(absl::string_view object) const {
  if (db_->changes() > 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(object, " is not in the store"));
}

}  // namespace loglog
