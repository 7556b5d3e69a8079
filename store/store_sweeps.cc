// Sweeps and their trials.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/store.h"

namespace loglog {
namespace {

absl::Status CheckIndices(const NewSweep& sweep) {
  for (const NewTrial& trial : sweep.trials) {
    if (trial.cell < 0 || trial.cell >= sweep.cells.size()) {
      return absl::InvalidArgumentError(absl::StrCat("trial ", trial.sha256, " names cell ",
                                                     trial.cell, " of ", sweep.cells.size()));
    }
  }
  for (size_t i = 0; i < sweep.tasks.size(); ++i) {
    if (sweep.tasks[i].parent >= static_cast<int>(i)) {
      return absl::InvalidArgumentError(
          absl::StrCat("task ", i, " comes before its parent ", sweep.tasks[i].parent));
    }
    for (const int member : sweep.tasks[i].members) {
      if (member >= 0 && member < sweep.trials.size()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("task ", i, " names trial ", member, " of ", sweep.trials.size()));
    }
  }
  return absl::OkStatus();
}

// The sweep that has this name and spec, or 0 and the first free name.
absl::StatusOr<int64_t> FindSameSweep(Connection* db, const NewSweep& sweep,
                                      std::string* free_name) {
  for (int suffix = 1;; ++suffix) {
    *free_name = suffix == 1 ? sweep.name : absl::StrCat(sweep.name, "-", suffix);
    if (free_name->size() > limits::kNameBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("name: `", sweep.name, "` is taken by another spec, and with -", suffix,
                       " behind it has ", free_name->size(), " bytes, more than ",
                       limits::kNameBytesMax, "; choose a shorter one"));
    }
    Cursor row = db->Query("SELECT sweep_id, spec_sha256 FROM sweeps WHERE name = ?1", *free_name);
    if (!row.Next()) {
      LOGLOG_RETURN_IF_ERROR(row.status());
      return 0;
    }
    if (row.Text(1) == sweep.spec_sha256) return row.Int(0);
  }
}

absl::StatusOr<int64_t> FindOrInsertCell(Connection* db, const NewCell& cell) {
  {
    Cursor row = db->Query("SELECT cell_id FROM cells WHERE sha256 = ?1", cell.sha256);
    if (row.Next()) return row.Int(0);
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  LOGLOG_RETURN_IF_ERROR(
      db->Run("INSERT INTO cells (sha256, params_total, params_non_embedding, tokens, steps, "
              "flops, config_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
              cell.sha256, cell.params_total, cell.params_non_embedding, cell.tokens, cell.steps,
              cell.flops, cell.config_json));
  return db->last_insert_id();
}

// Many ids as one argument of a statement: "[1,2,3]" for json_each.
std::string JsonOf(absl::Span<const int64_t> ids) {
  return absl::StrCat("[", absl::StrJoin(ids, ","), "]");
}

// Runs to the end; the ids come sorted.
absl::Status CollectIds(Cursor row, std::vector<int64_t>* ids) {
  while (row.Next()) ids->push_back(row.Int(0));
  std::sort(ids->begin(), ids->end());
  return row.status();
}

}  // namespace

absl::StatusOr<CreatedSweep> Store::PreviewSweep(const NewSweep& sweep) const {
  LOGLOG_RETURN_IF_ERROR(CheckIndices(sweep));
  ReadScope scope(db_.get());
  CreatedSweep preview;
  LOGLOG_ASSIGN_OR_RETURN(const int64_t same, FindSameSweep(db_.get(), sweep, &preview.sweep.name));
  if (same != 0) {
    LOGLOG_ASSIGN_OR_RETURN(preview.sweep, read_->GetSweep(same));
    preview.trials_reused = preview.sweep.counts.total;
    return preview;
  }
  preview.created = true;
  preview.sweep.spec_sha256 = sweep.spec_sha256;
  for (const NewTrial& trial : sweep.trials) {
    Cursor row = db_->Query(
        "SELECT 1 FROM cells c JOIN trials t ON t.cell_id = c.cell_id WHERE c.sha256 = ?1 AND "
        "t.seed = ?2",
        sweep.cells[trial.cell].sha256, trial.seed);
    (row.Next() ? preview.trials_reused : preview.trials_new) += 1;
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  return preview;
}

absl::StatusOr<CreatedSweep> Store::CreateSweep(const NewSweep& sweep) {
  LOGLOG_RETURN_IF_ERROR(CheckIndices(sweep));
  CreatedSweep created;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    if (!sweep.request_id.empty()) {
      LOGLOG_ASSIGN_OR_RETURN(const std::optional<std::string> name, FindRequest(sweep.request_id));
      if (name.has_value()) {
        LOGLOG_ASSIGN_OR_RETURN(created.sweep, read_->GetSweep(*name));
        return absl::OkStatus();
      }
    }
    std::string name;
    LOGLOG_ASSIGN_OR_RETURN(int64_t sweep_id, FindSameSweep(db_.get(), sweep, &name));
    created.created = sweep_id == 0;
    if (created.created) {
      LOGLOG_RETURN_IF_ERROR(db_->Run(
          "INSERT INTO sweeps (name, state, spec_sha256, create_ms, spec_json) VALUES (?1, "
          "'ACTIVE', ?2, ?3, ?4)",
          name, sweep.spec_sha256, sweep.create_ms, sweep.spec_json));
      sweep_id = db_->last_insert_id();
      LOGLOG_RETURN_IF_ERROR(db_->Run("INSERT INTO sweep_counts (sweep_id) VALUES (?1)", sweep_id));
      std::vector<int64_t> trial_ids;
      std::vector<bool> is_new;
      LOGLOG_RETURN_IF_ERROR(InsertTrials(sweep, sweep_id, &trial_ids, &is_new));
      LOGLOG_RETURN_IF_ERROR(InsertTasks(sweep, sweep_id, trial_ids, is_new));
    }
    if (!sweep.request_id.empty()) {
      LOGLOG_RETURN_IF_ERROR(SaveRequest(sweep.request_id, name, sweep.create_ms));
    }
    LOGLOG_ASSIGN_OR_RETURN(created.sweep, read_->GetSweep(sweep_id));
    return absl::OkStatus();
  }));
  const TrialCounts& counts = created.sweep.counts;
  created.trials_new = created.created ? counts.total - counts.reused : 0;
  created.trials_reused = created.created ? counts.reused : counts.total;
  return created;
}

absl::Status Store::InsertTrials(const NewSweep& sweep, int64_t sweep_id, std::vector<int64_t>* ids,
                                 std::vector<bool>* is_new) {
  std::vector<int64_t> cell_ids;
  for (const NewCell& cell : sweep.cells) {
    LOGLOG_ASSIGN_OR_RETURN(const int64_t cell_id, FindOrInsertCell(db_.get(), cell));
    cell_ids.push_back(cell_id);
    LOGLOG_RETURN_IF_ERROR(db_->Run(
        "INSERT INTO sweep_cells (sweep_id, cell_id, arm, axes_json) VALUES (?1, ?2, ?3, ?4)",
        sweep_id, cell_id, cell.arm, cell.axes_json));
  }
  std::vector<int64_t> cancelled_ids;
  for (size_t i = 0; i < sweep.trials.size(); ++i) {
    const NewTrial& trial = sweep.trials[i];
    int64_t trial_id = 0;
    bool cancelled = false;
    {
      Cursor row = db_->Query(
          "SELECT trial_id, state = 'CANCELLED' FROM trials WHERE cell_id = ?1 AND seed = ?2",
          cell_ids[trial.cell], trial.seed);
      if (row.Next()) {
        trial_id = row.Int(0);
        cancelled = row.Int(1) != 0;
      }
      LOGLOG_RETURN_IF_ERROR(row.status());
    }
    is_new->push_back(trial_id == 0);
    if (trial_id == 0) {
      LOGLOG_RETURN_IF_ERROR(
          db_->Run("INSERT INTO trials (cell_id, seed, sha256) VALUES (?1, ?2, ?3)",
                   cell_ids[trial.cell], trial.seed, trial.sha256));
      trial_id = db_->last_insert_id();
    } else if (cancelled) {
      cancelled_ids.push_back(trial_id);
    }
    ids->push_back(trial_id);
    LOGLOG_RETURN_IF_ERROR(db_->Run(
        "INSERT INTO sweep_trials (sweep_id, number, trial_id, reused) VALUES (?1, ?2, ?3, ?4)",
        sweep_id, i + 1, trial_id, is_new->back() ? 0 : 1));
  }
  RetryResult wanted_again;
  return RetryMany(cancelled_ids, &wanted_again);
}

absl::Status Store::InsertTasks(const NewSweep& sweep, int64_t sweep_id,
                                const std::vector<int64_t>& trial_ids,
                                const std::vector<bool>& is_new) {
  std::vector<int64_t> task_ids(sweep.tasks.size(), 0);
  for (size_t i = 0; i < sweep.tasks.size(); ++i) {
    const NewTask& task = sweep.tasks[i];
    std::vector<int64_t> members;
    for (const int member : task.members) {
      if (is_new[member]) members.push_back(trial_ids[member]);
    }
    if (members.empty()) continue;
    // A trunk that is trained already kept no checkpoint for this branch: it is trained whole.
    const bool begins_fresh = task.parent >= 0 && task_ids[task.parent] == 0;
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("INSERT INTO tasks (sweep_id, token_begin, token_end) VALUES (?1, ?2, ?3)",
                 sweep_id, begins_fresh ? 0 : task.token_begin, task.token_end));
    const int64_t task_id = task_ids[i] = db_->last_insert_id();
    for (size_t member = 0; member < members.size(); ++member) {
      LOGLOG_RETURN_IF_ERROR(
          db_->Run("INSERT INTO task_members (task_id, member, trial_id) VALUES (?1, ?2, ?3)",
                   task_id, member, members[member]));
      LOGLOG_RETURN_IF_ERROR(
          db_->Run("INSERT INTO streams (task_id, member) VALUES (?1, ?2)", task_id, member));
      // A trial's tasks come in token order, so the last one to set this ends the trial.
      LOGLOG_RETURN_IF_ERROR(
          db_->Run("UPDATE trials SET task_id = ?2 WHERE trial_id = ?1", members[member], task_id));
    }
    if (task.parent >= 0 && !begins_fresh) {
      LOGLOG_RETURN_IF_ERROR(
          db_->Run("INSERT INTO task_deps (task_id, parent_task_id) VALUES (?1, ?2)", task_id,
                   task_ids[task.parent]));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SweepRow> Store::SetSweepState(int64_t sweep_id, SweepState state, int64_t end_ms,
                                              int64_t expected_revision) {
  SweepRow sweep;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    LOGLOG_ASSIGN_OR_RETURN(const SweepRow before, read_->GetSweep(sweep_id));
    if (expected_revision != 0 && expected_revision != before.revision) {
      return absl::AbortedError(absl::StrCat("sweeps/", before.name, " has changed (revision ",
                                             before.revision, ", not ", expected_revision,
                                             "); get it again and repeat"));
    }
    LOGLOG_RETURN_IF_ERROR(db_->Run(
        "UPDATE sweeps SET state = ?2, end_ms = ?3, revision = revision + 1 WHERE sweep_id = ?1",
        sweep_id, StateName(state), end_ms));
    LOGLOG_ASSIGN_OR_RETURN(sweep, read_->GetSweep(sweep_id));
    return absl::OkStatus();
  }));
  return sweep;
}

absl::Status Store::SetTrialState(int64_t trial_id, TrialState state, absl::string_view message,
                                  int64_t time_ms) {
  return Atomically([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("UPDATE trials SET state = ?2, message = ?3, end_ms = ?4 WHERE trial_id = ?1",
                 trial_id, StateName(state), message, IsEnded(state) ? time_ms : 0));
    return RequireChange(absl::StrCat("trial ", trial_id));
  });
}

absl::StatusOr<CancelResult> Store::CancelSweepTrials(int64_t sweep_id, int64_t time_ms) {
  CancelResult result;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    std::vector<int64_t> trials;
    {
      Cursor row = db_->Query(
          "SELECT st.trial_id FROM sweep_trials st JOIN trials t ON t.trial_id = st.trial_id "
          "WHERE st.sweep_id = ?1 AND t.state IN ('PENDING', 'RUNNING') AND NOT EXISTS ("
          "SELECT 1 FROM sweep_trials o JOIN sweeps s ON s.sweep_id = o.sweep_id "
          "WHERE o.trial_id = st.trial_id AND o.sweep_id <> ?1 AND s.state IN ('ACTIVE', "
          "'PAUSED')) ORDER BY st.number",
          sweep_id);
      while (row.Next()) trials.push_back(row.Int(0));
      LOGLOG_RETURN_IF_ERROR(row.status());
    }
    return CancelMany(trials, TrialState::kCancelled, "", time_ms, &result);
  }));
  return result;
}

absl::StatusOr<CancelResult> Store::CancelTrials(absl::Span<const int64_t> trial_ids,
                                                 int64_t time_ms) {
  CancelResult result;
  LOGLOG_RETURN_IF_ERROR(Atomically(
      [&] { return CancelMany(trial_ids, TrialState::kCancelled, "", time_ms, &result); }));
  return result;
}

absl::StatusOr<CancelResult> Store::StopTrials(absl::Span<const int64_t> trial_ids,
                                               absl::string_view reason, int64_t time_ms) {
  CancelResult result;
  LOGLOG_RETURN_IF_ERROR(Atomically(
      [&] { return CancelMany(trial_ids, TrialState::kStopped, reason, time_ms, &result); }));
  return result;
}

// One statement for all trials, because each statement within a savepoint costs SQLite a
// walk over what the savepoint has changed so far.
absl::Status Store::CancelMany(absl::Span<const int64_t> trial_ids, TrialState state,
                               absl::string_view message, int64_t time_ms, CancelResult* result) {
  LOGLOG_RETURN_IF_ERROR(CollectIds(
      db_->Query("UPDATE trials SET state = ?3, end_ms = ?2, message = ?4 WHERE trial_id IN "
                 "(SELECT value FROM json_each(?1)) AND +state IN ('PENDING', 'RUNNING') "
                 "RETURNING trial_id",
                 JsonOf(trial_ids), time_ms, StateName(state), message),
      &result->trials));
  LOGLOG_RETURN_IF_ERROR(CollectIds(
      db_->Query("UPDATE tasks SET state = 'CANCELLED' WHERE task_id IN (SELECT tm.task_id FROM "
                 "json_each(?1) j CROSS JOIN task_members tm ON tm.trial_id = j.value) AND "
                 "+state IN ('PENDING', 'RUNNING') AND NOT EXISTS (SELECT 1 FROM task_members o "
                 "JOIN trials t ON t.trial_id = o.trial_id WHERE o.task_id = tasks.task_id AND "
                 "t.state IN ('PENDING', 'RUNNING')) RETURNING task_id",
                 JsonOf(result->trials)),
      &result->tasks));
  return CollectIds(
      db_->Query("SELECT a.attempt_id FROM json_each(?1) j CROSS JOIN attempts a ON a.task_id = "
                 "j.value AND a.state IN ('LEASED', 'RUNNING', 'STOPPING')",
                 JsonOf(result->tasks)),
      &result->attempts);
}

absl::StatusOr<RetryResult> Store::RetryTrials(int64_t sweep_id,
                                               absl::Span<const int64_t> trial_ids,
                                               const RetryKinds& kinds) {
  RetryResult result;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    std::vector<int64_t> trials(trial_ids.begin(), trial_ids.end());
    if (trials.empty()) {
      Cursor row = db_->Query(
          "SELECT st.trial_id FROM sweep_trials st JOIN trials t ON t.trial_id = st.trial_id "
          "WHERE st.sweep_id = ?1 AND (t.state = 'FAILED' OR (?2 AND t.state = 'CANCELLED') OR (?3 "
          "AND t.state = 'STOPPED')) ORDER BY st.number",
          sweep_id, kinds.cancelled, kinds.stopped);
      while (row.Next()) trials.push_back(row.Int(0));
      LOGLOG_RETURN_IF_ERROR(row.status());
    } else {
      for (const int64_t trial_id : trials) {
        Cursor row = db_->Query("SELECT state FROM trials WHERE trial_id = ?1", trial_id);
        if (!row.Next()) {
          LOGLOG_RETURN_IF_ERROR(row.status());
          return absl::NotFoundError(absl::StrCat("trial ", trial_id, " is not in the store"));
        }
        const std::string state = row.Text(0);
        if (state == "FAILED" || (kinds.cancelled && state == "CANCELLED") ||
            (kinds.stopped && state == "STOPPED")) {
          continue;
        }
        return absl::FailedPreconditionError(
            absl::StrCat("trial ", trial_id, " is ", state,
                         "; only failed trials can be retried, and cancelled or stopped ones when "
                         "asked for"));
      }
    }
    return RetryMany(trials, &result);
  }));
  return result;
}

absl::Status Store::RetryMany(absl::Span<const int64_t> trial_ids, RetryResult* result) {
  LOGLOG_RETURN_IF_ERROR(CollectIds(
      db_->Query("UPDATE trials SET state = 'PENDING', end_ms = 0, message = '' WHERE trial_id IN "
                 "(SELECT value FROM json_each(?1)) RETURNING trial_id",
                 JsonOf(trial_ids)),
      &result->trials));
  return CollectIds(
      db_->Query("UPDATE tasks SET state = 'PENDING', failure_count = 0, lost_count = 0, "
                 "not_before_ms = 0, message = '' WHERE state IN ('FAILED', 'CANCELLED') AND "
                 "task_id IN (SELECT tm.task_id FROM json_each(?1) j CROSS JOIN task_members tm "
                 "ON tm.trial_id = j.value) RETURNING task_id",
                 JsonOf(trial_ids)),
      &result->tasks);
}

}  // namespace loglog
