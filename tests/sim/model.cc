#include "tests/sim/model.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/sim/select.h"

namespace loglog::sim {

struct Model::Table {
  std::vector<std::vector<std::string>> rows;
  int64_t Int(size_t row, size_t column) const { return std::stoll(rows[row][column]); }
};

void Model::Breach(const std::string& what) {
  if (breach_.empty()) breach_ = what;
}

void Model::OnAcknowledged(int64_t attempt_id, int64_t last_seq) {
  int64_t& known = acknowledged_.try_emplace(attempt_id, -1).first->second;
  known = std::max(known, last_seq);
}

void Model::ExpectNone(const std::string& path, const std::string& what, const std::string& sql) {
  const Rows rows = Select(path, sql);
  if (!rows.empty()) Breach(absl::StrCat(what, ": ", absl::StrJoin(rows.front(), ", ")));
}

void Model::CheckAcknowledged(const Table& attempts) {
  std::map<int64_t, int64_t> stored;
  for (size_t i = 0; i < attempts.rows.size(); ++i) stored[attempts.Int(i, 0)] = attempts.Int(i, 1);
  for (const auto& [attempt_id, last_seq] : acknowledged_) {
    const auto found = stored.find(attempt_id);
    if (found == stored.end() ? last_seq >= 0 : found->second < last_seq) {
      Breach(absl::StrCat("attempt ", attempt_id, ": event ", last_seq,
                          " was acknowledged, but the store has them only up to ",
                          found == stored.end() ? -1 : found->second));
    }
  }
}

// What an attempt that is not its task's newest wrote stays as it was.
void Model::CheckFenced(const Table& attempts) {
  for (size_t i = 0; i < attempts.rows.size(); ++i) {
    if (attempts.Int(i, 2) == 1) continue;
    const int64_t attempt_id = attempts.Int(i, 0);
    const auto [it, is_new] = fenced_at_.try_emplace(attempt_id, attempts.Int(i, 1));
    if (!is_new && it->second != attempts.Int(i, 1)) {
      Breach(absl::StrCat("attempt ", attempt_id,
                          " wrote although its task has a newer one: its last event went from ",
                          it->second, " to ", attempts.Int(i, 1)));
    }
  }
}

void Model::CheckBudgets(const std::string& path) {
  ExpectNone(path, "a task is tried again with its budget spent",
             "SELECT k.task_id, k.failure_count, k.lost_count FROM tasks k JOIN sweeps s ON "
             "s.sweep_id = k.sweep_id WHERE k.state IN ('PENDING', 'RUNNING') AND (k.failure_count "
             ">= json_extract(s.spec_json, '$.retries.failures') OR k.lost_count >= "
             "json_extract(s.spec_json, '$.retries.losses'))");
  // A success of the cell makes its failures those of the hosts; whoever retries one of its trials
  // vouches for the cell.
  ExpectNone(path, "a task is tried again though its cell failed on two workers",
             "SELECT k.task_id, k.failure_count FROM tasks k WHERE k.state IN ('PENDING', "
             "'RUNNING') AND k.failure_count >= 2 AND (SELECT count(DISTINCT a.worker_id) FROM "
             "attempts a WHERE a.task_id = k.task_id AND a.state IN ('FAILED', 'OUT_OF_MEMORY')) "
             ">= 2 AND NOT EXISTS (SELECT 1 FROM task_members m JOIN trials t ON t.trial_id = "
             "m.trial_id JOIN trials o ON o.cell_id = t.cell_id JOIN tasks d ON d.task_id = "
             "o.task_id WHERE m.task_id = k.task_id AND d.state = 'DONE') AND NOT EXISTS (SELECT 1 "
             "FROM task_members m JOIN trials t ON t.trial_id = m.trial_id JOIN trials o ON "
             "o.cell_id = t.cell_id JOIN events e ON e.trial_id = o.trial_id WHERE m.task_id = "
             "k.task_id AND e.kind = 'trial.retried')");
  if (retried_) return;
  // An attempt that was lost and told later that it was done counts as lost once. Two count
  // as nothing: one that a worker gave back before it had started it, and one that was lost
  // when all its results were there, which ends its task.
  ExpectNone(path, "failure_count is not the number of failed attempts",
             "SELECT t.task_id, t.failure_count, count(a.attempt_id) FROM tasks t LEFT JOIN "
             "attempts a ON a.task_id = t.task_id AND a.state IN ('FAILED', 'OUT_OF_MEMORY') "
             "GROUP BY t.task_id HAVING t.failure_count <> count(a.attempt_id)");
  ExpectNone(path, "lost_count is not the number of lost attempts",
             "SELECT t.task_id, t.lost_count, count(a.attempt_id) AS n, "
             "coalesce(sum(a.state IN ('LOST', 'DEVICE_ERROR') OR (a.state = 'STOPPED' AND "
             "a.message NOT LIKE '%had not started it%')), 0) AS lost, coalesce(sum(a.state IN "
             "('DONE', 'DIVERGED')), 0) AS well, coalesce(sum(a.state IN ('LOST', 'STOPPED') AND "
             "a.stop_cause IN ('PREEMPTED', 'UNWANTED') AND a.message NOT LIKE '%had not started "
             "it%'), 0) AS made FROM tasks t LEFT JOIN attempts a ON a.task_id = t.task_id GROUP "
             "BY t.task_id HAVING t.lost_count < lost - made - (t.state = 'DONE') OR t.lost_count "
             "> lost + well");
  ExpectNone(path, "an attempt that was preempted and left counts as lost",
             "SELECT t.task_id, t.lost_count FROM tasks t JOIN attempts a ON a.task_id = t.task_id "
             "GROUP BY t.task_id HAVING t.lost_count > 0 AND min(a.state = 'STOPPED' AND "
             "a.stop_cause = 'PREEMPTED') = 1");
}

void Model::LookAtStore(const std::string& path) {
  const SelectOften fast(path);
  Table attempts;
  attempts.rows = Select(path,
                         "SELECT a.attempt_id, a.last_seq, t.last_attempt_id = a.attempt_id FROM "
                         "attempts a JOIN tasks t ON t.task_id = a.task_id ORDER BY 1");
  if (!attempts.rows.empty() && attempts.rows[0][0] == "error") {
    return Breach(absl::StrCat("the store cannot be read: ", attempts.rows[0][1]));
  }
  CheckAcknowledged(attempts);
  CheckFenced(attempts);
  CheckBudgets(path);
  CheckBoots(path);
  CheckForgotten(path);
  CheckQuarantine(path);
  ExpectNone(path, "two live attempts of one task",
             "SELECT task_id, count(*) FROM attempts WHERE state IN ('LEASED', 'RUNNING', "
             "'STOPPING') GROUP BY task_id HAVING count(*) > 1");
  ExpectNone(path, "two live attempts in one slot",
             "SELECT worker_id, slot, count(*) FROM attempts WHERE state IN ('LEASED', 'RUNNING', "
             "'STOPPING') GROUP BY worker_id, slot HAVING count(*) > 1");
  ExpectNone(path, "a live attempt does not hold its slots, or an ended one holds some",
             "SELECT a.attempt_id, a.state, a.slot_count, count(l.slot) FROM attempts a LEFT JOIN "
             "live_slots l ON l.attempt_id = a.attempt_id GROUP BY a.attempt_id HAVING "
             "count(l.slot) <> a.slot_count * (a.state IN ('LEASED', 'RUNNING', 'STOPPING')) OR "
             "coalesce(min(l.worker_id <> a.worker_id), 0)");
  Breach(schedule_.Look([&path](const std::string& sql) { return Select(path, sql); }));
  ExpectNone(path, "a trial ended well twice",
             "SELECT sweep_id, trial_id, count(*) FROM events WHERE kind IN ('trial.done', "
             "'trial.diverged') GROUP BY sweep_id, trial_id HAVING count(*) > 1");
  ExpectNone(path, "a task was done twice",
             "SELECT task_id, count(*) FROM attempts WHERE state IN ('DONE', 'DIVERGED') GROUP BY "
             "task_id HAVING count(*) > 1");
  // One that was cancelled and is wanted again waits for the attempt that is stopping.
  ExpectNone(path, "a live attempt of a task that is not running",
             "SELECT a.attempt_id, t.task_id, t.state FROM attempts a JOIN tasks t ON t.task_id = "
             "a.task_id WHERE a.state IN ('LEASED', 'RUNNING', 'STOPPING') AND t.state NOT IN "
             "('RUNNING', 'CANCELLED') AND NOT (t.state = 'PENDING' AND a.state = 'STOPPING')");
  ExpectNone(path, "a running task without a live attempt",
             "SELECT t.task_id FROM tasks t LEFT JOIN attempts a ON a.task_id = t.task_id AND "
             "a.state IN ('LEASED', 'RUNNING', 'STOPPING') WHERE t.state = 'RUNNING' AND "
             "a.attempt_id IS NULL");
  ExpectNone(path, "a sweep's counts are wrong",
             "SELECT c.sweep_id, c.done, sum(t.state = 'DONE'), c.pending, sum(t.state = "
             "'PENDING') FROM sweep_counts c JOIN sweep_trials st ON st.sweep_id = c.sweep_id "
             "JOIN trials t ON t.trial_id = st.trial_id GROUP BY c.sweep_id HAVING c.total <> "
             "count(*) OR c.done <> sum(t.state = 'DONE') OR c.pending <> sum(t.state = "
             "'PENDING') OR c.running <> sum(t.state = 'RUNNING') OR c.failed <> sum(t.state = "
             "'FAILED') OR c.cancelled <> sum(t.state = 'CANCELLED') OR c.stopped <> sum(t.state "
             "= 'STOPPED')");
  ExpectNone(path, "a trial that diverged is tried again",
             "SELECT t.trial_id, k.state, k.failure_count FROM trials t JOIN tasks k ON k.task_id "
             "= t.task_id JOIN attempts a ON a.attempt_id = k.last_attempt_id WHERE t.state = "
             "'DIVERGED' AND k.state = 'PENDING'");
  for (const std::string& sweep : submitted_) {
    if (Select(path, absl::StrCat("SELECT 1 FROM sweeps WHERE name = '", sweep, "'")).empty()) {
      Breach(absl::StrCat("sweep ", sweep, " was promised and is gone"));
    }
  }
}

void Model::LookAtEnd(const std::string& path) {
  LookAtStore(path);
  ExpectNone(path, "a live attempt at the end",
             "SELECT attempt_id, state FROM attempts WHERE state IN ('LEASED', 'RUNNING', "
             "'STOPPING')");
  ExpectNone(path, "a trial that did not end well",
             "SELECT trial_id, state, message FROM trials WHERE state NOT IN ('DONE', "
             "'DIVERGED')");
  ExpectNone(path, "a trial without a summary",
             "SELECT t.trial_id FROM trials t LEFT JOIN trial_summary u ON u.trial_id = t.trial_id "
             "WHERE u.trial_id IS NULL");
  ExpectNone(path, "the file is damaged",
             "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'");
  ExpectNone(path, "a reference leads nowhere", "SELECT * FROM pragma_foreign_key_check");
}

bool Model::AllEndedWell(const std::string& path) {
  return Select(path,
                "SELECT 1 FROM sweeps WHERE state IN ('ACTIVE', 'PAUSED') UNION ALL SELECT 1 FROM "
                "trials WHERE state NOT IN ('DONE', 'DIVERGED') UNION ALL SELECT 1 FROM attempts "
                "WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')")
      .empty();
}

std::string Model::WhatIsOpen(const std::string& path) {
  std::string text;
  for (const std::string sql :
       {"SELECT 'sweep', name, state FROM sweeps WHERE state IN ('ACTIVE', 'PAUSED')",
        "SELECT 'trial', t.trial_id, t.state, k.task_id, k.state, k.message FROM trials t LEFT "
        "JOIN tasks k ON k.task_id = t.task_id WHERE t.state NOT IN ('DONE', 'DIVERGED')",
        "SELECT 'attempt', attempt_id, task_id, worker_id, slot, state FROM attempts WHERE state "
        "IN ('LEASED', 'RUNNING', 'STOPPING')",
        "SELECT 'worker', worker_id, state, reason FROM workers"}) {
    for (const auto& row : Select(path, sql)) absl::StrAppend(&text, absl::StrJoin(row, " "), "; ");
  }
  return text;
}

std::map<std::string, std::string> Model::Results(const std::string& path) {
  std::map<std::string, std::string> results;
  for (const auto& row :
       Select(path,
              "SELECT DISTINCT trial_sha256, state, final_loss, diverged_step, summary_json, "
              "config_json, seed, data_sha256 FROM v_trials ORDER BY 1")) {
    results[row[0]] = absl::StrCat(absl::StrJoin(row, " "), "\n");
  }
  for (const auto& row : Select(path,
                                "SELECT trial_sha256, metric, step, tokens, value FROM v_points "
                                "ORDER BY 1, 2, 3")) {
    absl::StrAppend(&results[row[0]], absl::StrJoin(row.begin() + 1, row.end(), " "), "\n");
  }
  return results;
}

}  // namespace loglog::sim
