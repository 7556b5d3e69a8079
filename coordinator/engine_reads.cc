// Questions: read by the reader pool, completed with what only the strand knows.
#include <unistd.h>

#include <algorithm>

#include "base/status.h"
#include "coordinator/engine.h"

namespace loglog {
namespace {

absl::StatusOr<SweepView> ReadSweep(const ReadStore& store, SweepRow row, int64_t wall_ms) {
  SweepView view;
  view.row = std::move(row);
  LOGLOG_ASSIGN_OR_RETURN(view.slot_seconds_used,
                          store.SlotSecondsUsed(view.row.sweep_id, wall_ms));
  return view;
}

}  // namespace

void Engine::FillSweep(SweepView* view) const {
  const int64_t sweep_id = view->row.sweep_id;
  const Progress::Left left =
      progress_->LeftOf(scheduler_->OpenTokensOf(sweep_id), scheduler_->LiveAttemptsOf(sweep_id));
  view->tokens_per_second = left.tokens_per_second;
  view->slot_seconds_left = left.seconds;
  view->slot_seconds_left_low = left.low;
  view->slot_seconds_left_high = left.high;
  view->slots_busy = scheduler_->SlotsBusyFor(sweep_id);
  view->slots_total = scheduler_->SlotsTotal();
}

void Engine::FillTrial(TrialView* view) const {
  if (view->row.state == TrialState::kPending) {
    view->pending_reason = scheduler_->PendingReason(view->row.trial_id, clock_->monotonic_ms());
  }
  const double rate = progress_->TokensPerSecond(view->row.attempt_id);
  if (rate > 0) view->row.tokens_per_second = rate;
}

void Engine::FillWorker(WorkerView* view) const {
  const std::string& worker_id = view->row.worker_id;
  view->slots_busy = scheduler_->SlotsBusy(worker_id);
  const std::string note = scheduler_->WorkerNote(worker_id);
  if (!note.empty()) view->row.reason = note;
  const auto synced = synced_wall_ms_.find(worker_id);
  if (synced != synced_wall_ms_.end()) {
    view->row.last_sync_ms = std::max(view->row.last_sync_ms, synced->second);
  }
}

void Engine::GetSweep(const std::string& name, Reply<SweepView> reply) {
  ReadThenFill<SweepView>(
      std::move(reply),
      [this, name](const ReadStore& store) -> absl::StatusOr<SweepView> {
        LOGLOG_ASSIGN_OR_RETURN(SweepRow row, store.GetSweep(name));
        return ReadSweep(store, std::move(row), clock_->wall_ms());
      },
      [this](SweepView* view) { FillSweep(view); });
}

void Engine::ListSweeps(int64_t before_sweep_id, int limit, Reply<std::vector<SweepView>> reply) {
  ReadThenFill<std::vector<SweepView>>(
      std::move(reply),
      [=, this](const ReadStore& store) -> absl::StatusOr<std::vector<SweepView>> {
        LOGLOG_ASSIGN_OR_RETURN(std::vector<SweepRow> rows,
                                store.ListSweeps(before_sweep_id, limit));
        std::vector<SweepView> views;
        for (SweepRow& row : rows) {
          LOGLOG_ASSIGN_OR_RETURN(SweepView view,
                                  ReadSweep(store, std::move(row), clock_->wall_ms()));
          views.push_back(std::move(view));
        }
        return views;
      },
      [this](std::vector<SweepView>* views) {
        for (SweepView& view : *views) FillSweep(&view);
      });
}

void Engine::GetTrial(const std::string& sweep, int64_t number, Reply<TrialView> reply) {
  ReadThenFill<TrialView>(
      std::move(reply),
      [=](const ReadStore& store) -> absl::StatusOr<TrialView> {
        LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
        TrialView view;
        LOGLOG_ASSIGN_OR_RETURN(view.row, store.GetTrial(row.sweep_id, number));
        return view;
      },
      [this](TrialView* view) { FillTrial(view); });
}

void Engine::ListTrials(const std::string& sweep, int64_t after_number,
                        const std::vector<TrialState>& states, int limit, Reply<TrialPage> reply) {
  ReadThenFill<TrialPage>(
      std::move(reply),
      [=](const ReadStore& store) -> absl::StatusOr<TrialPage> {
        LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
        TrialPage page;
        LOGLOG_ASSIGN_OR_RETURN(page.total, store.CountTrials(row.sweep_id, states));
        LOGLOG_ASSIGN_OR_RETURN(std::vector<TrialRow> trials,
                                store.ListTrials(row.sweep_id, after_number, states, limit));
        for (TrialRow& trial : trials) page.trials.push_back({std::move(trial), ""});
        return page;
      },
      [this](TrialPage* page) {
        for (TrialView& view : page->trials) FillTrial(&view);
      });
}

void Engine::ListWorkers(const std::string& after_worker_id, int limit,
                         Reply<std::vector<WorkerView>> reply) {
  ReadThenFill<std::vector<WorkerView>>(
      std::move(reply),
      [=](const ReadStore& store) -> absl::StatusOr<std::vector<WorkerView>> {
        LOGLOG_ASSIGN_OR_RETURN(std::vector<WorkerRow> rows,
                                store.ListWorkers(after_worker_id, limit));
        std::vector<WorkerView> views;
        for (WorkerRow& row : rows) views.push_back({std::move(row), 0});
        return views;
      },
      [this](std::vector<WorkerView>* views) {
        for (WorkerView& view : *views) FillWorker(&view);
      });
}

void Engine::ListPoints(const PointsRequest& request, Reply<std::vector<SeriesView>> reply) {
  OnReader<std::vector<SeriesView>>(
      readers_.get(), std::move(reply),
      [this, request](const ReadStore& store) -> absl::StatusOr<std::vector<SeriesView>> {
        LOGLOG_ASSIGN_OR_RETURN(const SweepRow sweep, store.GetSweep(request.sweep));
        std::vector<std::string> metrics = request.metrics;
        if (metrics.empty()) metrics = {"loss/train", "loss/val"};
        const int64_t wanted = request.numbers.empty()
                                   ? sweep.counts.total
                                   : static_cast<int64_t>(request.numbers.size());
        if (wanted * static_cast<int64_t>(metrics.size()) >
            options_.capacity.series_of_answer_max) {
          return absl::InvalidArgumentError(
              absl::StrCat("trials: ", wanted, " trials times ", metrics.size(),
                           " metrics are over ", options_.capacity.series_of_answer_max,
                           " series; name fewer of them, or read v_points in the store"));
        }
        std::vector<TrialRow> trials;
        if (request.numbers.empty()) {
          LOGLOG_ASSIGN_OR_RETURN(
              trials, store.ListTrials(sweep.sweep_id, 0, {}, static_cast<int>(wanted)));
        }
        for (const int64_t number : request.numbers) {
          LOGLOG_ASSIGN_OR_RETURN(TrialRow trial, store.GetTrial(sweep.sweep_id, number));
          trials.push_back(std::move(trial));
        }
        std::vector<SeriesView> series;
        int64_t points = 0;
        for (const TrialRow& trial : trials) {
          for (const std::string& metric : metrics) {
            SeriesView one{trial.number, metric, {}};
            LOGLOG_ASSIGN_OR_RETURN(one.curve, store.ReadCurve({.trial_id = trial.trial_id,
                                                                .metric = metric,
                                                                .step_min = request.step_min,
                                                                .step_max = request.step_max,
                                                                .max_points = request.max_points}));
            points += static_cast<int64_t>(one.curve.points.size());
            if (points > options_.capacity.points_of_answer_max) {
              return absl::InvalidArgumentError(absl::StrCat(
                  "max_points: this is over ", options_.capacity.points_of_answer_max,
                  " points; set max_points, name fewer trials or metrics, or read v_points in "
                  "the store"));
            }
            if (stop_asked_) return Stopping();
            if (one.curve.total_points > 0) series.push_back(std::move(one));
          }
        }
        return series;
      });
}

void Engine::GetTrialEvents(const std::string& sweep, int64_t number, int limit,
                            Reply<std::vector<EventRow>> reply) {
  OnReader<std::vector<EventRow>>(
      readers_.get(), std::move(reply),
      [=](const ReadStore& store) -> absl::StatusOr<std::vector<EventRow>> {
        LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
        LOGLOG_ASSIGN_OR_RETURN(const TrialRow trial, store.GetTrial(row.sweep_id, number));
        return store.ListTrialEvents(row.sweep_id, trial.trial_id, limit);
      });
}

void Engine::ListEvents(const std::string& sweep, int64_t after_event_id, int limit,
                        Reply<std::vector<EventRow>> reply) {
  // Watchers ask, whose number is bounded: none of them is cut off because users are busy.
  const auto read = [=](const ReadStore& store) -> absl::StatusOr<std::vector<EventRow>> {
    int64_t sweep_id = 0;
    if (!sweep.empty()) {
      LOGLOG_ASSIGN_OR_RETURN(const SweepRow row, store.GetSweep(sweep));
      sweep_id = row.sweep_id;
    }
    return store.ListEvents(sweep_id, after_event_id, limit);
  };
  readers_->Post([reply, read](const ReadStore& store) { reply(read(store)); }, reply);
}

void Engine::GetServerInfo(Reply<ServerView> reply) {
  OnReader<ServerView>(readers_.get(), std::move(reply),
                       [this](const ReadStore& store) -> absl::StatusOr<ServerView> {
                         ServerView view;
                         LOGLOG_ASSIGN_OR_RETURN(view.store, store.Info());
                         view.start_wall_ms = start_wall_ms_;
                         return view;
                       });
}

}  // namespace loglog
