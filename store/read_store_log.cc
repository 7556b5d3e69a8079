// Events, fits and what a coordinator starts from.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/read_store.h"
#include "store/rows_from.h"
#include "store/store.h"

namespace loglog {
namespace {

#define LOGLOG_EVENT_COLUMNS                                                                  \
  "SELECT e.event_id, e.time_ms, e.kind, e.sweep_id, e.trial_id, e.attempt_id, e.worker_id, " \
  "e.detail_json, (SELECT s.name FROM sweeps s WHERE s.sweep_id = e.sweep_id), (SELECT "      \
  "st.number FROM sweep_trials st WHERE st.trial_id = e.trial_id AND st.sweep_id = "          \
  "e.sweep_id) FROM events e "

EventRow EventOf(const Cursor& row) {
  return {row.Int(0), row.Int(1),  row.Text(2), row.Int(3),  row.Int(4),
          row.Int(5), row.Text(6), row.Text(7), row.Text(8), row.Int(9)};
}

#define LOGLOG_FIT_COLUMNS                                                             \
  "SELECT fit_id, sweep_id, number, kind, axis, arm, arm_b, inputs_sha256, verdict, "  \
  "definition, parameter, estimate, low, high, p_value, n_trials, message, fit_json, " \
  "create_ms FROM fits "

FitRow FitOf(const Cursor& row) {
  FitRow fit;
  fit.fit_id = row.Int(0);
  fit.sweep_id = row.Int(1);
  fit.number = row.Int(2);
  fit.kind = row.Text(3);
  fit.axis = row.Text(4);
  fit.arm = row.Text(5);
  fit.arm_b = row.Text(6);
  fit.inputs_sha256 = row.Text(7);
  fit.verdict = row.Text(8);
  fit.definition = row.Text(9);
  fit.parameter = row.Text(10);
  fit.estimate = row.Real(11);
  fit.low = row.Real(12);
  fit.high = row.Real(13);
  fit.p_value = row.Real(14);
  fit.n_trials = static_cast<int>(row.Int(15));
  fit.message = row.Text(16);
  fit.fit_json = row.Text(17);
  fit.create_ms = row.Int(18);
  return fit;
}

}  // namespace

absl::StatusOr<std::vector<EventRow>> ReadStore::ListEvents(int64_t sweep_id,
                                                            int64_t after_event_id,
                                                            int limit) const {
  std::vector<EventRow> events;
  Cursor row =
      sweep_id == 0
          ? db_->Query(LOGLOG_EVENT_COLUMNS "WHERE e.event_id > ?1 ORDER BY e.event_id LIMIT ?2",
                       after_event_id, limit)
          : db_->Query(LOGLOG_EVENT_COLUMNS
                       "WHERE e.sweep_id = ?3 AND e.event_id > ?1 ORDER BY e.event_id "
                       "LIMIT ?2",
                       after_event_id, limit, sweep_id);
  while (row.Next()) events.push_back(EventOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return events;
}

absl::StatusOr<std::vector<EventRow>> ReadStore::ListTrialEvents(int64_t sweep_id, int64_t trial_id,
                                                                 int limit) const {
  std::vector<EventRow> events;
  Cursor row = db_->Query(LOGLOG_EVENT_COLUMNS
                          "WHERE e.trial_id = ?1 AND +e.sweep_id IS ?2 ORDER BY e.event_id DESC "
                          "LIMIT ?3",
                          trial_id, sweep_id, limit);
  while (row.Next()) events.push_back(EventOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  std::reverse(events.begin(), events.end());
  return events;
}

absl::StatusOr<FitRow> ReadStore::GetFit(int64_t sweep_id, int64_t number) const {
  Cursor row =
      db_->Query(LOGLOG_FIT_COLUMNS "WHERE sweep_id = ?1 AND number = ?2", sweep_id, number);
  if (row.Next()) return FitOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(
      absl::StrCat("fit ", number, " of sweep ", sweep_id, " is not in the store"));
}

absl::StatusOr<std::vector<FitRow>> ReadStore::ListFits(int64_t sweep_id) const {
  std::vector<FitRow> fits;
  Cursor row = db_->Query(LOGLOG_FIT_COLUMNS
                          "WHERE fit_id IN (SELECT max(f.fit_id) FROM fits f WHERE f.sweep_id = "
                          "?1 GROUP BY f.kind, f.axis, f.arm, f.arm_b) ORDER BY kind, axis, arm, "
                          "arm_b",
                          sweep_id);
  while (row.Next()) fits.push_back(FitOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return fits;
}

absl::StatusOr<std::optional<FitRow>> ReadStore::FindFit(int64_t sweep_id, absl::string_view kind,
                                                         absl::string_view axis,
                                                         absl::string_view arm,
                                                         absl::string_view arm_b,
                                                         absl::string_view inputs_sha256) const {
  std::optional<FitRow> fit;
  Cursor row = db_->Query(LOGLOG_FIT_COLUMNS
                          "WHERE sweep_id = ?1 AND kind = ?2 AND axis = ?3 AND arm = ?4 AND arm_b "
                          "= ?5 AND inputs_sha256 = ?6",
                          sweep_id, kind, axis, arm, arm_b, inputs_sha256);
  if (row.Next()) fit = FitOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return fit;
}

absl::StatusOr<LiveState> Store::LoadLive() const {
  LiveState live;
  ReadScope scope(db_.get());
  LOGLOG_ASSIGN_OR_RETURN(live.sweeps, ReadLiveSweeps(db_.get()));
  LOGLOG_ASSIGN_OR_RETURN(live.attempts, ReadLiveAttempts(db_.get()));
  LOGLOG_ASSIGN_OR_RETURN(live.workers, ReadPresentWorkers(db_.get()));
  Cursor row = db_->Query("SELECT coalesce(max(event_id), 0) FROM events");
  if (row.Next()) live.last_event_id = row.Int(0);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return live;
}

}  // namespace loglog
