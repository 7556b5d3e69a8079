// Tasks, attempts and the trainer's events.
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/points.h"
#include "store/store.h"

namespace loglog {
namespace {

// Steps and tokens beyond this are not exact in the JSON that carries them.
constexpr int64_t kExactMax = int64_t{1} << 53;

absl::Status BadEvent(int64_t attempt_id, int64_t seq, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("attempt ", attempt_id, ", event ", seq, ": ", why));
}

// What applying a batch has to know about its attempt.
struct BatchContext {
  int64_t task_id = 0;
  int64_t last_seq = -1;
  int64_t newest_attempt_id = 0;
  int64_t resume_step = 0;
  int64_t start_ms = 0;
  std::string state;
  std::string worker_id;
  std::vector<int64_t> streams;  // by member
};

absl::StatusOr<BatchContext> ReadContext(Connection* db, int64_t attempt_id) {
  BatchContext context;
  {
    Cursor row = db->Query(
        "SELECT a.task_id, a.last_seq, k.last_attempt_id, a.resume_step, a.start_ms, a.state, "
        "a.worker_id FROM attempts a JOIN tasks k ON k.task_id = a.task_id "
        "WHERE a.attempt_id = ?1",
        attempt_id);
    if (!row.Next()) {
      LOGLOG_RETURN_IF_ERROR(row.status());
      LOGLOG_FAILPOINT("store.batch_unknown");
      return absl::NotFoundError(absl::StrCat("attempt ", attempt_id, " is not in the store"));
    }
    context.task_id = row.Int(0);
    context.last_seq = row.Int(1);
    context.newest_attempt_id = row.Int(2);
    context.resume_step = row.Int(3);
    context.start_ms = row.Int(4);
    context.state = row.Text(5);
    context.worker_id = row.Text(6);
  }
  Cursor row = db->Query("SELECT stream_id FROM streams WHERE task_id = ?1 ORDER BY member",
                         context.task_id);
  while (row.Next()) context.streams.push_back(row.Int(0));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return context;
}

}  // namespace

absl::Status Store::UpdateTask(int64_t task_id, const TaskUpdate& update) {
  return Atomically([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(db_->Run(
        "UPDATE tasks SET state = ?2, failure_count = ?3, lost_count = ?4, not_before_ms = ?5, "
        "message = ?6 WHERE task_id = ?1",
        task_id, StateName(update.state), update.failure_count, update.lost_count,
        update.not_before_ms, update.message));
    LOGLOG_RETURN_IF_ERROR(RequireChange(absl::StrCat("task ", task_id)));
    if (update.state == TaskState::kDone) return absl::OkStatus();
    // The words of a task's other states are states of a trial too.
    const bool ends = update.state == TaskState::kFailed || update.state == TaskState::kCancelled;
    return db_->Run(
        "UPDATE trials SET state = ?2, message = ?3, end_ms = ?4 WHERE trial_id IN (SELECT "
        "tm.trial_id FROM task_members tm WHERE tm.task_id = ?1) AND state IN ('PENDING', "
        "'RUNNING')",
        task_id, StateName(update.state), update.message, ends ? update.time_ms : 0);
  });
}

absl::StatusOr<LeasedAttempt> Store::InsertAttempt(const NewAttempt& attempt) {
  LeasedAttempt leased;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    absl::Status status = db_->Run(
        "INSERT INTO attempts (task_id, worker_id, slot, session_epoch, lease_ms, resume_step, "
        "create_ms, slot_count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        attempt.task_id, attempt.worker_id, attempt.slot, attempt.session_epoch, attempt.lease_ms,
        attempt.resume_step, attempt.create_ms, attempt.followers.size() + 1);
    leased.attempt_id = db_->last_insert_id();
    if (status.ok()) {
      std::vector<int> slots = {attempt.slot};
      slots.insert(slots.end(), attempt.followers.begin(), attempt.followers.end());
      status = db_->Run(
          "INSERT INTO live_slots (worker_id, slot, attempt_id) SELECT ?1, value, ?3 FROM "
          "json_each(?2)",
          attempt.worker_id, absl::StrCat("[", absl::StrJoin(slots, ","), "]"), leased.attempt_id);
    }
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("lease of task ", attempt.task_id, " to slot ",
                                           attempt.slot, " of workers/", attempt.worker_id));
    }
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("UPDATE tasks SET state = 'RUNNING', last_attempt_id = ?2 WHERE task_id = ?1",
                 attempt.task_id, leased.attempt_id));
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("UPDATE trials SET state = 'RUNNING' WHERE state = 'PENDING' AND trial_id IN "
                 "(SELECT tm.trial_id FROM task_members tm WHERE tm.task_id = ?1)",
                 attempt.task_id));
    return Supersede(attempt.task_id, leased.attempt_id, attempt.resume_step, &leased.superseded);
  }));
  return leased;
}

absl::Status Store::UpdateAttempt(int64_t attempt_id, const AttemptUpdate& update) {
  return Atomically([&]() -> absl::Status {
    std::string state;
    {
      Cursor row = db_->Query("SELECT state FROM attempts WHERE attempt_id = ?1", attempt_id);
      if (row.Next()) state = row.Text(0);
      LOGLOG_RETURN_IF_ERROR(row.status());
    }
    if (state.empty()) {
      return absl::NotFoundError(absl::StrCat("attempt ", attempt_id, " is not in the store"));
    }
    const AttemptState before = AttemptStateOf(state);
    const bool late_report = before == AttemptState::kLost && !IsLive(update.state);
    if (late_report) LOGLOG_FAILPOINT("store.end_corrected");
    if (!IsLive(before) && before != update.state && !late_report) {
      LOGLOG_FAILPOINT("store.end_refused");
      return absl::FailedPreconditionError(absl::StrCat(
          "attempt ", attempt_id, " is ", state, " and cannot become ", StateName(update.state)));
    }
    return db_->Run(
        "UPDATE attempts SET state = ?2, end_ms = ?3, exit_code = ?4, signal = ?5, message = ?6, "
        "stop_cause = CASE ?7 WHEN '' THEN stop_cause ELSE ?7 END WHERE attempt_id = ?1",
        attempt_id, StateName(update.state), update.end_ms, update.exit_code, update.signal,
        update.message, StateName(update.stop_cause));
  });
}

absl::Status Store::Supersede(int64_t task_id, int64_t attempt_id, int64_t after_step,
                              Superseded* superseded) {
  std::vector<int64_t> streams;
  {
    Cursor row = db_->Query("SELECT stream_id FROM streams WHERE task_id = ?1", task_id);
    while (row.Next()) streams.push_back(row.Int(0));
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  // Fresh weights report step 0 again: facts of the data, the loss before training.
  const int64_t points_after = after_step == 0 ? -1 : after_step;
  for (const int64_t stream_id : streams) {
    LOGLOG_ASSIGN_OR_RETURN(const int64_t points,
                            points_->Supersede(stream_id, attempt_id, points_after));
    if (points > 0) LOGLOG_FAILPOINT("store.points_superseded");
    superseded->points += points;
  }
  // A checkpoint past the resume step could only continue points that were taken back.
  LOGLOG_RETURN_IF_ERROR(
      db_->Run("UPDATE checkpoints SET superseded_by = ?2 WHERE task_id = ?1 AND step > ?3 AND "
               "superseded_by IS NULL",
               task_id, attempt_id, after_step));
  superseded->checkpoints += db_->changes();
  return absl::OkStatus();
}

// Applies the events of one batch that are not stored yet. Lives within one savepoint.
class Store::BatchApplier {
 public:
  BatchApplier(Store* store, const Batch& batch, BatchContext* context, BatchResult* result)
      : store_(store), db_(store->db_.get()), batch_(batch), context_(context), result_(result) {}

  absl::Status Apply() {
    for (size_t i = result_->skipped; i < batch_.events.size(); ++i) {
      seq_ = batch_.first_seq + i;
      LOGLOG_RETURN_IF_ERROR(
          std::visit([this](const auto& event) { return On(event); }, batch_.events[i]));
    }
    LOGLOG_RETURN_IF_ERROR(store_->points_->Flush());
    LOGLOG_RETURN_IF_ERROR(WriteProgress());
    return db_->Run(
        "UPDATE attempts SET last_seq = ?2, tokens_per_second = CASE WHEN ?3 > 0 THEN ?3 ELSE "
        "tokens_per_second END WHERE attempt_id = ?1",
        batch_.attempt_id, result_->last_seq, batch_.tokens_per_second);
  }

 private:
  struct Progress {
    int64_t step = -1;
    int64_t tokens = 0;
    bool has_loss = false;
    double loss = kNoNumber;
  };

  absl::Status Bad(absl::string_view why) const { return BadEvent(batch_.attempt_id, seq_, why); }

  absl::Status CheckPlace(int member, int64_t step, int64_t tokens) const {
    if (member < 0 || member >= context_->streams.size()) {
      return Bad(absl::StrCat("member ", member, ", its task has ", context_->streams.size()));
    }
    if (step < 0 || step > kExactMax || tokens < 0 || tokens > kExactMax) {
      return Bad(absl::StrCat("step ", step, " or tokens ", tokens, " is out of range"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Progress*> At(int member, int64_t step, int64_t tokens) {
    LOGLOG_RETURN_IF_ERROR(CheckPlace(member, step, tokens));
    progress_.resize(context_->streams.size());
    progress_[member].step = std::max(progress_[member].step, step);
    progress_[member].tokens = std::max(progress_[member].tokens, tokens);
    return &progress_[member];
  }

  // Moves the streams to where the events so far have brought them.
  absl::Status WriteProgress() {
    for (size_t member = 0; member < progress_.size(); ++member) {
      const Progress& progress = progress_[member];
      if (progress.step < 0) continue;
      // Loss/train is not in every row: then the newest one stays.
      LOGLOG_RETURN_IF_ERROR(db_->Run(
          "UPDATE streams SET step = max(step, ?2), tokens = max(tokens, ?3), last_loss = CASE "
          "WHEN ?4 THEN ?5 ELSE last_loss END WHERE stream_id = ?1",
          context_->streams[member], progress.step, progress.tokens, progress.has_loss,
          progress.loss));
    }
    progress_.clear();
    return absl::OkStatus();
  }

  absl::Status On(const CountedOnly&) { return absl::OkStatus(); }

  absl::Status On(const AttemptStart& start) {
    if (context_->start_ms != 0) return Bad("a second start");
    if (start.resume_step < 0 || start.resume_step > context_->resume_step) {
      return Bad(absl::StrCat("it resumed at step ", start.resume_step, ", its lease allows 0 to ",
                              context_->resume_step));
    }
    context_->start_ms = std::max<int64_t>(1, batch_.time_ms);
    context_->resume_step = start.resume_step;
    // What is taken back takes the streams back too, however the trainer ordered its events.
    LOGLOG_RETURN_IF_ERROR(WriteProgress());
    LOGLOG_RETURN_IF_ERROR(store_->Supersede(context_->task_id, batch_.attempt_id,
                                             start.resume_step, &result_->superseded));
    return db_->Run(
        "UPDATE attempts SET state = CASE state WHEN 'LEASED' THEN 'RUNNING' ELSE state END, "
        "start_ms = ?2, resume_step = ?3, trainer_version = ?4, data_sha256 = ?5, params_total "
        "= ?6, params_non_embedding = ?7, flops_per_token = ?8, total_steps = ?9 "
        "WHERE attempt_id = ?1",
        batch_.attempt_id, context_->start_ms, start.resume_step, start.trainer_version,
        start.data_sha256, start.params_total, start.params_non_embedding, start.flops_per_token,
        start.total_steps);
  }

  absl::Status On(const MetricRow& row) {
    // A row without values is no point: the stream is not at its step.
    if (row.values.empty()) return CheckPlace(row.member, row.step, row.tokens);
    LOGLOG_ASSIGN_OR_RETURN(Progress * progress, At(row.member, row.step, row.tokens));
    if (row.step <= context_->resume_step && context_->resume_step > 0) {
      return Bad(absl::StrCat("step ", row.step, ", but the attempt resumed at step ",
                              context_->resume_step));
    }
    for (const MetricValue& value : row.values) {
      if (value.metric < 0 || value.metric >= batch_.metrics.size()) {
        return Bad(absl::StrCat("metric index ", value.metric, " of ", batch_.metrics.size()));
      }
      const std::string& name = batch_.metrics[value.metric];
      LOGLOG_ASSIGN_OR_RETURN(const int64_t metric_id, MetricId(value.metric));
      absl::Status status =
          store_->points_->Append(context_->streams[row.member], metric_id, batch_.attempt_id,
                                  row.step, row.tokens, value.value);
      if (absl::IsInvalidArgument(status)) {
        return Bad(absl::StrCat("metric ", name, ": ", status.message()));
      }
      LOGLOG_RETURN_IF_ERROR(status);
      if (name == "loss/train") {
        progress->has_loss = true;
        progress->loss = value.value;
      }
    }
    return absl::OkStatus();
  }

  absl::Status On(const CheckpointCommit& checkpoint) {
    if (checkpoint.step <= 0 || checkpoint.step > kExactMax) {
      return Bad(absl::StrCat("checkpoint at step ", checkpoint.step));
    }
    return db_->Run(
        "INSERT INTO checkpoints (task_id, attempt_id, worker_id, scope, step, path, sha256, "
        "bytes, create_ms) SELECT ?1, ?2, worker_id, checkpoint_scope, ?4, ?5, ?6, ?7, ?8 FROM "
        "workers WHERE worker_id = ?3",
        context_->task_id, batch_.attempt_id, context_->worker_id, checkpoint.step, checkpoint.path,
        checkpoint.sha256, checkpoint.bytes, batch_.time_ms);
  }

  absl::Status On(const MemberEnd& end) {
    LOGLOG_RETURN_IF_ERROR(CheckPlace(end.member, end.step, end.tokens));
    std::vector<int64_t> trials;
    {
      Cursor row = db_->Query(
          "SELECT t.trial_id FROM task_members tm JOIN trials t ON t.trial_id = tm.trial_id "
          "WHERE tm.task_id = ?1 AND tm.member = ?2 AND t.task_id = ?1 AND t.state NOT IN "
          "('CANCELLED', 'STOPPED')",
          context_->task_id, end.member);
      while (row.Next()) trials.push_back(row.Int(0));
      LOGLOG_RETURN_IF_ERROR(row.status());
    }
    // Nobody waits for this end: the stream stays at its newest point.
    if (trials.empty()) return absl::OkStatus();
    // The newest end is the one that counts, an earlier and later one notwithstanding.
    LOGLOG_RETURN_IF_ERROR(store_->points_->Flush());
    LOGLOG_RETURN_IF_ERROR(store_->points_->RewindStream(context_->streams[end.member]));
    progress_.resize(context_->streams.size());
    progress_[end.member] = Progress{.step = end.step, .tokens = end.tokens};
    const TrialState state = end.diverged ? TrialState::kDiverged : TrialState::kDone;
    const double loss = end.diverged ? kNoNumber : end.final_loss;
    for (const int64_t trial_id : trials) {
      LOGLOG_RETURN_IF_ERROR(db_->Run(
          "INSERT INTO trial_summary (trial_id, attempt_id, step, tokens, final_loss, "
          "diverged_step, summary_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT "
          "(trial_id) DO UPDATE SET attempt_id = ?2, step = ?3, tokens = ?4, final_loss = ?5, "
          "diverged_step = ?6, summary_json = ?7",
          trial_id, batch_.attempt_id, end.step, end.tokens, loss,
          end.diverged ? std::optional<int64_t>(end.step) : std::nullopt, end.summary_json));
      LOGLOG_RETURN_IF_ERROR(db_->Run(
          "UPDATE trials SET state = ?2, end_ms = ?3, message = ?4 WHERE trial_id = ?1", trial_id,
          StateName(state), batch_.time_ms,
          end.diverged ? absl::StrCat("the loss stopped being finite at step ", end.step) : ""));
      result_->ended.push_back({trial_id, end.member, state, loss});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> MetricId(int index) {
    metric_ids_.resize(batch_.metrics.size(), 0);
    if (metric_ids_[index] == 0) {
      LOGLOG_ASSIGN_OR_RETURN(metric_ids_[index], store_->points_->MetricId(batch_.metrics[index]));
    }
    return metric_ids_[index];
  }

  Store* const store_;
  Connection* const db_;
  const Batch& batch_;
  BatchContext* const context_;
  BatchResult* const result_;
  int64_t seq_ = 0;
  std::vector<Progress> progress_;  // by member
  std::vector<int64_t> metric_ids_;
};

absl::StatusOr<BatchResult> Store::ApplyBatch(const Batch& batch) {
  BatchResult result;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    LOGLOG_ASSIGN_OR_RETURN(BatchContext context, ReadContext(db_.get(), batch.attempt_id));
    result.last_seq = context.last_seq;
    if (context.newest_attempt_id != batch.attempt_id) {
      LOGLOG_FAILPOINT("store.batch_fenced");
      result.stale = true;
      return absl::OkStatus();
    }
    if (batch.first_seq < 0 || batch.first_seq > context.last_seq + 1) {
      LOGLOG_FAILPOINT("store.batch_gap");
      return absl::OutOfRangeError(absl::StrCat("attempt ", batch.attempt_id, ": events from ",
                                                batch.first_seq, ", but the next one is ",
                                                context.last_seq + 1));
    }
    const int64_t size = static_cast<int64_t>(batch.events.size());
    result.skipped = static_cast<int>(std::min(size, context.last_seq + 1 - batch.first_seq));
    if (result.skipped > 0) LOGLOG_FAILPOINT("store.batch_repeated");
    if (result.skipped == size) return absl::OkStatus();
    result.last_seq = batch.first_seq + size - 1;
    return BatchApplier(this, batch, &context, &result).Apply();
  }));
  return result;
}

}  // namespace loglog
