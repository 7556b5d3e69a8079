// Sweeps, trials and curves.
#include "store/read_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/points.h"
#include "store/rows_from.h"
#include "store/schema.h"
#include "store/store_file.h"

namespace loglog {
namespace {

#define LOGLOG_SWEEP_COLUMNS                                                               \
  "SELECT s.sweep_id, s.name, s.state, s.spec_sha256, s.create_ms, s.end_ms, s.revision, " \
  "coalesce((SELECT max(e.event_id) FROM events e WHERE e.sweep_id = s.sweep_id), 0), "    \
  "c.total, c.pending, c.running, c.done, c.diverged, c.failed, c.cancelled, c.reused, "   \
  "c.stopped"
#define LOGLOG_SWEEP_FROM " FROM sweeps s JOIN sweep_counts c ON c.sweep_id = s.sweep_id "

#define LOGLOG_TRIAL_COLUMNS                                                             \
  "SELECT t.trial_id, st.sweep_id, s.name, st.number, t.cell_id, t.sha256, c.sha256, "   \
  "t.seed, t.state, st.reused, sc.arm, sc.axes_json, t.message, c.steps, c.tokens, "     \
  "c.params_total, c.params_non_embedding, c.flops, m.step, m.tokens, m.last_loss, "     \
  "u.final_loss, u.diverged_step, u.summary_json, k.task_id, k.failure_count, "          \
  "k.lost_count, k.not_before_ms, a.attempt_id, (SELECT count(*) FROM attempts b WHERE " \
  "b.task_id = t.task_id), a.worker_id, a.data_sha256, a.trainer_version, "              \
  "a.tokens_per_second, a.start_ms, t.end_ms"
#define LOGLOG_TRIAL_FROM                                                             \
  " FROM sweep_trials st CROSS JOIN trials t ON t.trial_id = st.trial_id "            \
  "JOIN sweeps s ON s.sweep_id = st.sweep_id JOIN cells c ON c.cell_id = t.cell_id "  \
  "JOIN sweep_cells sc ON sc.sweep_id = st.sweep_id AND sc.cell_id = t.cell_id "      \
  "LEFT JOIN trial_summary u ON u.trial_id = t.trial_id "                             \
  "LEFT JOIN tasks k ON k.task_id = t.task_id "                                       \
  "LEFT JOIN attempts a ON a.attempt_id = k.last_attempt_id "                         \
  "LEFT JOIN task_members tm ON tm.trial_id = t.trial_id AND tm.task_id = t.task_id " \
  "LEFT JOIN streams m ON m.task_id = tm.task_id AND m.member = tm.member "

constexpr int kTrialColumns = 36;

TrialRow TrialOf(const Cursor& row) {
  TrialRow trial;
  trial.trial_id = row.Int(0);
  trial.sweep_id = row.Int(1);
  trial.sweep = row.Text(2);
  trial.number = row.Int(3);
  trial.cell_id = row.Int(4);
  trial.trial_sha256 = row.Text(5);
  trial.cell_sha256 = row.Text(6);
  trial.seed = row.Int(7);
  trial.state = TrialStateOf(row.Text(8));
  trial.reused = row.Int(9) != 0;
  trial.arm = row.Text(10);
  trial.axes_json = row.Text(11);
  trial.message = row.Text(12);
  trial.steps = row.Int(13);
  trial.tokens_planned = row.Int(14);
  trial.params_total = row.Int(15);
  trial.params_non_embedding = row.Int(16);
  trial.flops = row.Real(17);
  trial.step = row.Int(18);
  trial.tokens = row.Int(19);
  trial.last_loss = row.Real(20);
  const bool done = trial.state == TrialState::kDone;
  const bool diverged = trial.state == TrialState::kDiverged;
  // A trial that is tried again keeps its old summary until the new one comes.
  if (done) trial.final_loss = row.Real(21);
  if (diverged) trial.diverged_step = row.Int(22);
  if (done || diverged) trial.summary_json = row.Text(23);
  trial.task_id = row.Int(24);
  trial.failure_count = static_cast<int>(row.Int(25));
  trial.lost_count = static_cast<int>(row.Int(26));
  trial.not_before_ms = row.Int(27);
  trial.attempt_id = row.Int(28);
  trial.attempts = static_cast<int>(row.Int(29));
  trial.worker_id = row.Text(30);
  trial.data_sha256 = row.Text(31);
  trial.trainer_version = row.Text(32);
  trial.tokens_per_second = row.IsNull(33) ? 0 : row.Real(33);
  trial.start_ms = row.Int(34);
  trial.end_ms = row.Int(35);
  return trial;
}

// States as one bound argument, so that one prepared statement serves every filter:
// ",DONE,FAILED,", or "" for all.
std::string StateFilter(absl::Span<const TrialState> states) {
  std::string filter;
  for (const TrialState state : states) {
    absl::StrAppend(&filter, filter.empty() ? "," : "", StateName(state), ",");
  }
  return filter;
}
#define LOGLOG_STATE_FILTER "(?3 = '' OR instr(?3, ',' || t.state || ',') > 0)"

absl::Status NoSweep(absl::string_view name) {
  return absl::NotFoundError(
      absl::StrCat("sweeps/", name, " is not in the store; list the sweeps that are"));
}

int64_t FileBytes(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

SweepRow SweepOf(const Cursor& row, int spec_column) {
  SweepRow sweep;
  sweep.sweep_id = row.Int(0);
  sweep.name = row.Text(1);
  sweep.state = SweepStateOf(row.Text(2));
  sweep.spec_sha256 = row.Text(3);
  sweep.create_ms = row.Int(4);
  sweep.end_ms = row.Int(5);
  sweep.revision = row.Int(6);
  sweep.last_event_id = row.Int(7);
  sweep.counts = {row.Int(8),  row.Int(9),  row.Int(10), row.Int(11), row.Int(12),
                  row.Int(13), row.Int(14), row.Int(15), row.Int(16)};
  if (spec_column >= 0) sweep.spec_json = row.Text(spec_column);
  return sweep;
}

// By the columns of ListObservations.
void FillEnded(const Cursor& row, ObservationRow* trial) {
  trial->trial_id = row.Int(0);
  trial->cell_sha256 = row.Text(6);
  trial->axes_json = row.Text(7);
  trial->seed = row.Int(8);
  trial->params_total = row.Int(9);
  trial->flops = row.Real(10);
  trial->final_loss = row.Real(11);
  trial->trial_sha256 = row.Text(12);
  trial->data_sha256 = row.Text(13);
  trial->trainer_version = row.Text(14);
  trial->trunk_task_id = row.Int(15);
}

// The row that counts an open trial too, of those that its arm has: of its sizes, or, where the arm
// has two values of each size that it would bring, the first. None: it needs a row of its own.
std::optional<size_t> RowFor(const ObservationRow& trial, const std::vector<size_t>& of_arm,
                             const std::vector<ObservationRow>& rows) {
  for (const size_t i : of_arm) {
    if (rows[i].params_non_embedding == trial.params_non_embedding &&
        rows[i].tokens == trial.tokens) {
      return i;
    }
  }
  const auto brings = [&](int64_t ObservationRow::*size) {
    return std::all_of(of_arm.begin(), of_arm.end(), [&](size_t i) {
      return rows[i].*size != trial.*size && rows[i].*size == rows[of_arm.front()].*size;
    });
  };
  if (brings(&ObservationRow::params_non_embedding) || brings(&ObservationRow::tokens)) {
    return std::nullopt;
  }
  return of_arm.front();
}

}  // namespace

absl::StatusOr<std::vector<SweepRow>> ReadLiveSweeps(Connection* db) {
  std::vector<SweepRow> sweeps;
  Cursor row =
      db->Query(LOGLOG_SWEEP_COLUMNS ", s.spec_json" LOGLOG_SWEEP_FROM
                                     "WHERE s.state IN ('ACTIVE', 'PAUSED') ORDER BY s.sweep_id");
  while (row.Next()) sweeps.push_back(SweepOf(row, 17));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return sweeps;
}

absl::StatusOr<std::unique_ptr<ReadStore>> ReadStore::Open(absl::string_view path) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string file, CanonicalStorePath(std::string(path)));
  struct stat info = {};
  if (stat(file.c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat("store ", path, " does not exist"));
  }
  LOGLOG_ASSIGN_OR_RETURN(auto connection, Connection::Open(file, Connection::Mode::kRead));
  LOGLOG_RETURN_IF_ERROR(RequireThisSchema(connection.get(), path));
  auto store = std::make_unique<ReadStore>(connection.get());
  store->owned_ = std::move(connection);
  return store;
}

ReadStore::ReadStore(Connection* borrowed) : db_(borrowed) {}
ReadStore::~ReadStore() = default;

absl::StatusOr<StoreInfo> ReadStore::Info() const {
  StoreInfo info;
  info.path = db_->path();
  info.sqlite_version = sqlite3_libversion();
  info.bytes = FileBytes(info.path) + FileBytes(info.path + "-wal");
  ReadScope scope(db_);
  LOGLOG_RETURN_IF_ERROR(CheckSchema(db_, static_cast<int>(Migrations().size()), &info.schema));
  Cursor row = db_->Query("SELECT value FROM meta WHERE key = 'store_id'");
  if (row.Next()) info.store_id = row.Text(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return info;
}

absl::StatusOr<SweepRow> ReadStore::GetSweep(absl::string_view name) const {
  Cursor row =
      db_->Query(LOGLOG_SWEEP_COLUMNS ", s.spec_json" LOGLOG_SWEEP_FROM "WHERE s.name = ?1", name);
  if (row.Next()) return SweepOf(row, 17);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return NoSweep(name);
}

absl::StatusOr<SweepRow> ReadStore::GetSweep(int64_t sweep_id) const {
  Cursor row = db_->Query(
      LOGLOG_SWEEP_COLUMNS ", s.spec_json" LOGLOG_SWEEP_FROM "WHERE s.sweep_id = ?1", sweep_id);
  if (row.Next()) return SweepOf(row, 17);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return NoSweep(absl::StrCat("(id ", sweep_id, ")"));
}

absl::StatusOr<std::vector<SweepRow>> ReadStore::ListSweeps(int64_t before_sweep_id,
                                                            int limit) const {
  std::vector<SweepRow> sweeps;
  Cursor row = db_->Query(LOGLOG_SWEEP_COLUMNS LOGLOG_SWEEP_FROM
                          "WHERE s.sweep_id < ?1 ORDER BY s.sweep_id DESC LIMIT ?2",
                          before_sweep_id == 0 ? INT64_MAX : before_sweep_id, limit);
  while (row.Next()) sweeps.push_back(SweepOf(row, -1));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return sweeps;
}

absl::StatusOr<double> ReadStore::SlotSecondsUsed(int64_t sweep_id, int64_t now_ms) const {
  Cursor row = db_->Query(
      "SELECT coalesce(sum(a.slot_count * (CASE WHEN a.end_ms > 0 THEN a.end_ms ELSE max(?2, "
      "a.create_ms) END - a.create_ms)), 0) / 1000.0 FROM sweep_trials st CROSS JOIN trials t ON "
      "t.trial_id = "
      "st.trial_id CROSS JOIN attempts a ON a.task_id = t.task_id WHERE st.sweep_id = ?1",
      sweep_id, now_ms);
  double seconds = 0;
  if (row.Next()) seconds = row.Real(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return seconds;
}

absl::StatusOr<TrialRow> ReadStore::GetTrial(int64_t sweep_id, int64_t number) const {
  Cursor row = db_->Query(LOGLOG_TRIAL_COLUMNS ", c.config_json" LOGLOG_TRIAL_FROM
                                               "WHERE st.sweep_id = ?1 AND st.number = ?2",
                          sweep_id, number);
  if (row.Next()) {
    TrialRow trial = TrialOf(row);
    trial.config_json = row.Text(kTrialColumns);
    return trial;
  }
  LOGLOG_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(
      absl::StrCat("trial ", number, " of sweep ", sweep_id, " is not in the store"));
}

absl::StatusOr<std::vector<TrialRow>> ReadStore::ListTrials(int64_t sweep_id, int64_t after_number,
                                                            absl::Span<const TrialState> states,
                                                            int limit) const {
  std::vector<TrialRow> trials;
  Cursor row = db_->Query(LOGLOG_TRIAL_COLUMNS LOGLOG_TRIAL_FROM
                          "WHERE st.sweep_id = ?1 AND st.number > ?2 AND " LOGLOG_STATE_FILTER
                          " ORDER BY st.number LIMIT ?4",
                          sweep_id, after_number, StateFilter(states), limit);
  while (row.Next()) trials.push_back(TrialOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return trials;
}

absl::StatusOr<int64_t> ReadStore::CountTrials(int64_t sweep_id,
                                               absl::Span<const TrialState> states) const {
  LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, GetSweep(sweep_id));
  const TrialCounts& counts = sweep.counts;
  if (states.empty()) return counts.total;
  // In the order of TrialState.
  const int64_t by_state[] = {counts.pending, counts.running,   counts.done,   counts.diverged,
                              counts.failed,  counts.cancelled, counts.stopped};
  int64_t total = 0;
  for (int state = 0; state < 7; ++state) {
    for (const TrialState wanted : states) {
      if (static_cast<int>(wanted) != state) continue;
      total += by_state[state];
      break;
    }
  }
  return total;
}

absl::StatusOr<std::vector<ObservationRow>> ReadStore::ListObservations(int64_t sweep_id) const {
  std::vector<ObservationRow> rows;
  std::map<std::string, std::vector<size_t>> open;  // by arm, where in rows
  // The trunk of an open trial is not asked for.
  Cursor row = db_->Query(
      "SELECT t.trial_id, st.number, sc.arm, t.state, c.params_non_embedding, c.tokens, c.sha256, "
      "sc.axes_json, t.seed, c.params_total, c.flops, u.final_loss, t.sha256, a.data_sha256, "
      "a.trainer_version, CASE WHEN t.state NOT IN ('PENDING', 'RUNNING') THEN "
      "coalesce((SELECT d.parent_task_id FROM task_deps d WHERE d.task_id = t.task_id), "
      "(SELECT d.parent_task_id FROM task_deps d WHERE d.parent_task_id = t.task_id LIMIT 1)) END "
      "FROM sweep_trials st CROSS JOIN trials t ON t.trial_id = st.trial_id "
      "JOIN cells c ON c.cell_id = t.cell_id "
      "JOIN sweep_cells sc ON sc.sweep_id = st.sweep_id AND sc.cell_id = t.cell_id "
      "LEFT JOIN trial_summary u ON u.trial_id = t.trial_id AND t.state = 'DONE' "
      "LEFT JOIN attempts a ON a.attempt_id = u.attempt_id "
      "WHERE st.sweep_id = ?1 ORDER BY st.number",
      sweep_id);
  while (row.Next()) {
    ObservationRow trial;
    trial.number = row.Int(1);
    trial.arm = row.Text(2);
    trial.state = TrialStateOf(row.Text(3));
    trial.params_non_embedding = row.Int(4);
    trial.tokens = row.Int(5);
    if (IsEnded(trial.state)) {
      FillEnded(row, &trial);
      rows.push_back(std::move(trial));
      continue;
    }
    trial.state = TrialState::kPending;
    std::vector<size_t>& of_arm = open[trial.arm];
    const std::optional<size_t> counted_by = RowFor(trial, of_arm, rows);
    if (counted_by.has_value()) {
      ++rows[*counted_by].trials;
    } else {
      of_arm.push_back(rows.size());
      rows.push_back(std::move(trial));
    }
  }
  LOGLOG_RETURN_IF_ERROR(row.status());
  return rows;
}

absl::Status ReadStore::ReadStoppedLosses(std::vector<ObservationRow>* observations) const {
  for (ObservationRow& trial : *observations) {
    if (trial.state != TrialState::kStopped) continue;
    LOGLOG_ASSIGN_OR_RETURN(const Curve curve,
                            ReadCurve({.trial_id = trial.trial_id, .metric = "loss/val"}));
    if (!curve.points.empty()) trial.stopped_loss = curve.points.back().value;
  }
  return absl::OkStatus();
}

absl::StatusOr<Curve> ReadStore::ReadCurve(const PointQuery& query) const {
  return ReadCurvePoints(db_, query);
}

absl::StatusOr<std::vector<std::string>> ReadStore::ListMetrics(int64_t sweep_id) const {
  std::vector<std::string> names;
  // For each stream and name one step into the index, not a walk over its points.
  Cursor row = db_->Query(
      "SELECT n.name FROM metric_names n WHERE EXISTS (SELECT 1 FROM sweep_trials st "
      "CROSS JOIN task_members tm ON tm.trial_id = st.trial_id "
      "CROSS JOIN streams m ON m.task_id = tm.task_id AND m.member = tm.member "
      "CROSS JOIN points p ON p.stream_id = m.stream_id AND p.metric_id = n.metric_id AND "
      "p.superseded_by IS NULL WHERE st.sweep_id = ?1) ORDER BY n.name",
      sweep_id);
  while (row.Next()) names.push_back(row.Text(0));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return names;
}

}  // namespace loglog
