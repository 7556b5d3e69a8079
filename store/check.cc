#include "store/check.h"

#include <sys/stat.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/schema.h"
#include "store/store_file.h"

namespace loglog {
namespace {

constexpr char kRestore[] =
    "restore the newest backup that passes this check; what it lacks, submit again";
constexpr char kRecover[] =
    "restore the newest backup that passes this check, or save what is readable with sqlite3's "
    ".recover";
constexpr char kReindex[] =
    "the rows are whole: with no coordinator running, run REINDEX on the file with sqlite3";
constexpr char kRetry[] =
    "with a coordinator running, retry the trial; if that is refused, restore "
    "the newest backup that passes this check";

// What must hold between rows: a statement whose rows are the breaches (object, what).
struct Rule {
  const char* sql;
  const char* fix;
  bool reads_points = false;
};

// They read whole tables: each table a few times, nothing once for each row of another.
constexpr Rule kRules[] = {
    // ---- sweeps and trials
    {R"(WITH recount AS (
          SELECT st.sweep_id, printf('%d total, %d pending, %d running, %d done, %d diverged, '
                 || '%d failed, %d cancelled, %d stopped, %d reused', count(*), sum(t.state = 'PENDING'),
                 sum(t.state = 'RUNNING'), sum(t.state = 'DONE'), sum(t.state = 'DIVERGED'),
                 sum(t.state = 'FAILED'), sum(t.state = 'CANCELLED'),
                 sum(t.state = 'STOPPED'), sum(st.reused)) AS said
          FROM sweep_trials st CROSS JOIN trials t ON t.trial_id = st.trial_id
          GROUP BY st.sweep_id),
        counted AS (
          SELECT c.sweep_id, printf('%d total, %d pending, %d running, %d done, %d diverged, '
                 || '%d failed, %d cancelled, %d stopped, %d reused', c.total, c.pending, c.running, c.done,
                 c.diverged, c.failed, c.cancelled, c.stopped, c.reused) AS said
          FROM sweep_counts c WHERE c.total > 0)
        SELECT 'sweeps/' || s.name, 'counts ' || coalesce(c.said, 'nothing')
               || ', but its trials are ' || coalesce(r.said, 'none')
        FROM sweeps s LEFT JOIN counted c ON c.sweep_id = s.sweep_id
        LEFT JOIN recount r ON r.sweep_id = s.sweep_id WHERE c.said IS NOT r.said)",
     "no trial is lost, only miscounted: read them with loglog sql, or restore the newest backup "
     "that passes this check"},
    {R"(SELECT 'sweeps/' || s.name, 'has no row of counts, so no list shows it' FROM sweeps s
        WHERE s.sweep_id NOT IN (SELECT sweep_id FROM sweep_counts))",
     kRestore},
    {R"(SELECT 'trial ' || t.trial_id, 'is in no sweep' FROM trials t
        WHERE t.trial_id NOT IN (SELECT trial_id FROM sweep_trials))",
     kRestore},
    {R"(SELECT 'trial ' || t.trial_id, 'is number ' || st.number || ' of sweep ' || st.sweep_id
               || ', which has no arm for its cell ' || t.cell_id
        FROM sweep_trials st CROSS JOIN trials t ON t.trial_id = st.trial_id
        LEFT JOIN sweep_cells sc ON sc.sweep_id = st.sweep_id AND sc.cell_id = t.cell_id
        WHERE sc.cell_id IS NULL)",
     kRestore},
    {R"(SELECT 'trial ' || t.trial_id, 'is ' || t.state || ', but has no summary' FROM trials t
        WHERE t.state IN ('DONE', 'DIVERGED')
        AND t.trial_id NOT IN (SELECT trial_id FROM trial_summary))",
     kRestore},
    {R"(SELECT 'trial ' || t.trial_id, 'is ' || t.state || ', but its task '
               || coalesce(t.task_id || ' is ' || k.state, 'is missing')
               || ', so that nothing will ever run it'
        FROM trials t LEFT JOIN tasks k ON k.task_id = t.task_id
        WHERE t.state IN ('PENDING', 'RUNNING')
        AND (k.state IS NULL OR k.state NOT IN ('PENDING', 'RUNNING')))",
     kRetry},
    {R"(SELECT 'trial ' || t.trial_id, 'ends with task ' || t.task_id || ', which does not train it'
        FROM trials t LEFT JOIN task_members tm ON tm.task_id = t.task_id
        AND tm.trial_id = t.trial_id WHERE t.task_id IS NOT NULL AND tm.task_id IS NULL)",
     kRestore},
    // ---- tasks and attempts. A task whose trials have all ended is RUNNING until its
    // worker's report, and a cancelled one may still have a live attempt.
    {R"(SELECT 'task ' || k.task_id, 'is ' || k.state || ', but all its trials have ended'
        FROM tasks k WHERE k.state = 'PENDING' AND k.task_id IN (
          SELECT tm.task_id FROM task_members tm CROSS JOIN trials t ON t.trial_id = tm.trial_id
          WHERE t.task_id = tm.task_id GROUP BY tm.task_id
          HAVING min(t.state IN ('DONE', 'DIVERGED')) = 1))",
     kRestore},
    {R"(SELECT 'task ' || k.task_id, 'trains no trial' FROM tasks k
        WHERE k.task_id NOT IN (SELECT task_id FROM task_members))",
     kRestore},
    {R"(SELECT 'task ' || tm.task_id, 'has no stream for its member ' || tm.member
        FROM task_members tm LEFT JOIN streams m ON m.task_id = tm.task_id
        AND m.member = tm.member WHERE m.stream_id IS NULL)",
     kRestore},
    {R"(SELECT 'stream ' || m.stream_id, 'is of member ' || m.member || ' of task ' || m.task_id
               || ', which has no such member'
        FROM streams m LEFT JOIN task_members tm ON tm.task_id = m.task_id
        AND tm.member = m.member WHERE tm.task_id IS NULL)",
     kRestore},
    {R"(SELECT 'task ' || k.task_id, 'takes reports of attempt ' || coalesce(k.last_attempt_id, 0)
               || ', but its newest is ' || coalesce(a.newest, 0)
        FROM tasks k LEFT JOIN (SELECT task_id, max(attempt_id) AS newest FROM attempts
        GROUP BY task_id) a ON a.task_id = k.task_id WHERE k.last_attempt_id IS NOT a.newest)",
     kRestore},
    {R"(SELECT 'task ' || k.task_id, 'is RUNNING, but its newest attempt '
               || coalesce(k.last_attempt_id || ' is ' || a.state, 'is missing')
        FROM tasks k LEFT JOIN attempts a ON a.attempt_id = k.last_attempt_id
        WHERE k.state = 'RUNNING'
        AND (a.state IS NULL OR a.state NOT IN ('LEASED', 'RUNNING', 'STOPPING')))",
     kRestore},
    {R"(SELECT 'task ' || task_id, 'has ' || count(*) || ' live attempts: '
               || group_concat(attempt_id, ', ')
        FROM attempts NOT INDEXED WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')
        GROUP BY task_id HAVING count(*) > 1)",
     kRestore},
    {R"(SELECT 'slot ' || slot || ' of workers/' || worker_id, 'has ' || count(*)
               || ' live attempts: ' || group_concat(attempt_id, ', ')
        FROM attempts NOT INDEXED WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')
        GROUP BY worker_id, slot HAVING count(*) > 1)",
     kRestore},
    {R"(SELECT 'attempt ' || a.attempt_id, 'is ' || a.state || ' with ' || a.slot_count
               || ' slots, slot ' || a.slot || ' among them, but holds '
               || coalesce(l.held, 0) || coalesce(' (' || l.slots || ')', '')
        FROM attempts a LEFT JOIN (SELECT attempt_id, count(*) AS held,
          group_concat(worker_id || ' ' || slot, ', ') AS slots FROM live_slots
          GROUP BY attempt_id) l ON l.attempt_id = a.attempt_id
        LEFT JOIN live_slots lead ON lead.worker_id = a.worker_id AND lead.slot = a.slot
          AND lead.attempt_id = a.attempt_id
        WHERE CASE WHEN a.state IN ('LEASED', 'RUNNING', 'STOPPING')
          THEN l.held IS NOT a.slot_count OR lead.attempt_id IS NULL
          ELSE l.held IS NOT NULL END)",
     kRestore},
    {R"(SELECT 'slot ' || l.slot || ' of workers/' || l.worker_id, 'is held by attempt '
               || l.attempt_id || ' of workers/' || a.worker_id
        FROM live_slots l CROSS JOIN attempts a ON a.attempt_id = l.attempt_id
        WHERE a.worker_id <> l.worker_id)",
     kRestore},
    {R"(SELECT 'attempt ' || a.attempt_id, 'is ' || a.state || ' with ' || (a.last_seq + 1)
               || ' events stored, start_ms ' || a.start_ms || ' and end_ms ' || a.end_ms
        FROM attempts a WHERE a.last_seq < -1 OR (a.start_ms > 0 AND a.last_seq < 0)
        OR (a.state IN ('LEASED', 'RUNNING', 'STOPPING') AND a.end_ms <> 0))",
     kRestore},
    {R"(SELECT 'checkpoint ' || c.checkpoint_id, 'is of task ' || c.task_id || ', but of attempt '
               || c.attempt_id || ' of task ' || a.task_id
        FROM checkpoints c CROSS JOIN attempts a ON a.attempt_id = c.attempt_id
        WHERE a.task_id <> c.task_id)",
     kRestore},
    // ---- points
    {R"(SELECT 'points row ' || chunk_id, 'of stream ' || stream_id || ', metric ' || metric_id
               || ' begins at step ' || step_begin || ', but the row before it ends at '
               || previous
        FROM (SELECT chunk_id, stream_id, metric_id, step_begin,
              lag(step_begin + (n - 1) * step_stride) OVER (PARTITION BY stream_id, metric_id
              ORDER BY step_begin) AS previous FROM points WHERE superseded_by IS NULL)
        WHERE step_begin <= previous)",
     kRestore, true},
    {R"(SELECT 'points row ' || p.chunk_id, 'of stream ' || p.stream_id || ' has ' || p.n
               || ' points ' || p.step_stride || ' steps apart, of attempt ' || p.attempt_id
               || ' of task ' || a.task_id || ', superseded by ' || coalesce(p.superseded_by, 0)
        FROM points p CROSS JOIN attempts a ON a.attempt_id = p.attempt_id
        CROSS JOIN streams m ON m.stream_id = p.stream_id
        WHERE a.task_id <> m.task_id OR (p.n > 1 AND p.step_stride < 1)
        OR p.superseded_by < p.attempt_id)",
     kRestore, true},
    // The end of a member may be after its last point; the summary, or the end of the task,
    // then says so. Trunks have no summary.
    {R"(SELECT 'stream ' || m.stream_id, 'of task ' || m.task_id || ' says step ' || m.step
               || ', but its newest point is at ' || coalesce(p.step, 0)
        FROM streams m LEFT JOIN (SELECT stream_id, max(step_begin + (n - 1) * step_stride) AS step
          FROM points WHERE superseded_by IS NULL GROUP BY stream_id) p
        ON p.stream_id = m.stream_id
        CROSS JOIN tasks k ON k.task_id = m.task_id
        WHERE m.step < coalesce(p.step, 0) OR (m.step > coalesce(p.step, 0) AND k.state <> 'DONE'
          AND k.task_id NOT IN (SELECT parent_task_id FROM task_deps)
          AND NOT EXISTS (SELECT 1 FROM task_members tm CROSS JOIN trial_summary u
            ON u.trial_id = tm.trial_id WHERE tm.task_id = m.task_id AND tm.member = m.member
            AND u.step = m.step)))",
     kRestore, true},
    {R"(SELECT 'attempt ' || a.attempt_id, 'has ' || (a.last_seq + 1) || ' events stored, but '
               || max(s.points) || ' points of one series'
        FROM (SELECT attempt_id, sum(n) AS points FROM points
          GROUP BY attempt_id, stream_id, metric_id) s
        CROSS JOIN attempts a ON a.attempt_id = s.attempt_id
        GROUP BY a.attempt_id HAVING max(s.points) > a.last_seq + 1)",
     kRestore, true},
};

class Checker {
 public:
  Checker(Connection* db, const CheckOptions& options) : db_(db), options_(options) {}

  absl::StatusOr<CheckReport> Run() {
    ReadScope one_moment(db_);
    LOGLOG_RETURN_IF_ERROR(AskSqlite());
    // In a damaged file the rows would only say the same again, in stranger words.
    if (!report_.breaches.empty()) return report_;
    LOGLOG_RETURN_IF_ERROR(AskForeignKeys());
    for (const Rule& rule : kRules) {
      if (!rule.reads_points || !options_.quick) LOGLOG_RETURN_IF_ERROR(Ask(rule));
    }
    LOGLOG_ASSIGN_OR_RETURN(report_.sweeps, Count("SELECT count(*) FROM sweeps"));
    LOGLOG_ASSIGN_OR_RETURN(report_.trials, Count("SELECT count(*) FROM trials"));
    if (!options_.quick) {
      LOGLOG_ASSIGN_OR_RETURN(report_.chunks, Count("SELECT count(*) FROM points"));
    }
    return report_;
  }

 private:
  // False when no more of this kind are wanted.
  bool Add(int* found, std::string object, std::string what, absl::string_view fix) {
    if (++*found > options_.breaches_max) {
      report_.truncated = true;
      return false;
    }
    report_.breaches.push_back({std::move(object), std::move(what), std::string(fix)});
    return true;
  }

  absl::Status AskSqlite() {
    const std::string check = options_.quick ? "PRAGMA quick_check(" : "PRAGMA integrity_check(";
    Cursor row = db_->Query(absl::StrCat(check, options_.breaches_max + 1, ")"));
    int found = 0;
    while (row.Next()) {
      const std::string what = row.Text(0);
      if (what == "ok") continue;
      const bool index = absl::StrContains(what, "missing from index") ||
                         absl::StrContains(what, "entries in index") ||
                         absl::StrContains(what, "non-unique entry");
      if (!Add(&found, "the file", what, index ? kReindex : kRecover)) break;
    }
    if (absl::IsDataLoss(row.status())) {
      Add(&found, "the file", std::string(row.status().message()), kRecover);
      return absl::OkStatus();
    }
    return row.status();
  }

  absl::Status AskForeignKeys() {
    Cursor row = db_->Query("PRAGMA foreign_key_check");
    int found = 0;
    while (row.Next()) {
      const std::string object = absl::StrCat(
          row.Text(0), row.IsNull(1) ? " (no row number)" : absl::StrCat(" row ", row.Int(1)));
      if (!Add(&found, object, absl::StrCat("names a row of ", row.Text(2), " that is not there"),
               kRestore)) {
        break;
      }
    }
    return row.status();
  }

  absl::Status Ask(const Rule& rule) {
    Cursor row = db_->Query(rule.sql);
    int found = 0;
    while (row.Next() && Add(&found, row.Text(0), row.Text(1), rule.fix)) {
    }
    return row.status();
  }

  absl::StatusOr<int64_t> Count(absl::string_view sql) {
    Cursor row = db_->Query(sql);
    const int64_t count = row.Next() ? row.Int(0) : 0;
    LOGLOG_RETURN_IF_ERROR(row.status());
    return count;
  }

  Connection* const db_;
  const CheckOptions options_;
  CheckReport report_;
};

}  // namespace

absl::StatusOr<CheckReport> CheckStore(absl::string_view path, const CheckOptions& options) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string file, CanonicalStorePath(std::string(path)));
  LOGLOG_RETURN_IF_ERROR(FileMode(file).status());
  LOGLOG_RETURN_IF_ERROR(RefuseForeignFile(file));
  LOGLOG_ASSIGN_OR_RETURN(auto db, Connection::Open(file, Connection::Mode::kRead));
  LOGLOG_RETURN_IF_ERROR(RequireThisSchema(db.get(), file));
  LOGLOG_ASSIGN_OR_RETURN(CheckReport report, Checker(db.get(), options).Run());
  struct stat info = {};
  if (stat(file.c_str(), &info) == 0) report.bytes = info.st_size;
  return report;
}

}  // namespace loglog
