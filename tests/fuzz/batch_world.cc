#include "tests/fuzz/batch_world.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "store/check.h"
#include "store/connection.h"

namespace loglog {
namespace {

constexpr int64_t kTaskOf[] = {0, 1, 1, 2};
// Members of each task are trials in this order.
constexpr int64_t kTrialOf[3][2] = {{0, 0}, {1, 0}, {2, 3}};

void MustBeOk(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  LOGLOG_CHECK(status.ok());
}

template <typename T>
T Value(absl::StatusOr<T> value) {
  MustBeOk(value.status());
  return *std::move(value);
}

bool Same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

BatchWorld::BatchWorld() {
  Open();
  MustBeOk(store_->Begin());
  NewSweep sweep = SimpleSweep("fuzz", 1, 3);
  sweep.tasks = {{{0}, 0, 1000, -1}, {{1, 2}, 0, 1000, -1}};
  Value(store_->CreateSweep(sweep));
  Value(store_->UpsertWorker(SimpleWorker("w")));
  const auto lease = [&](int64_t task_id, int slot, int64_t resume_step) {
    return Value(store_->InsertAttempt({.task_id = task_id,
                                        .worker_id = "w",
                                        .slot = slot,
                                        .session_epoch = 1,
                                        .lease_ms = 1000,
                                        .resume_step = resume_step,
                                        .create_ms = 1500}))
        .attempt_id;
  };
  LOGLOG_CHECK(lease(1, 0, 0) == 1);
  Value(store_->ApplyBatch(RowsBatch(1, 0, 1, 10)));
  MustBeOk(store_->UpdateAttempt(1, {.state = AttemptState::kLost, .end_ms = 2500}));
  LOGLOG_CHECK(lease(1, 0, 5) == 2);
  LOGLOG_CHECK(lease(2, 1, 0) == 3);
  MustBeOk(store_->Commit());
  for (int64_t step = 1; step <= 5; ++step) {
    const double value = static_cast<double>(step);
    first_curves_[{{1, 0}, "loss/train"}][step] = {10 * step, value};
    first_curves_[{{1, 0}, "norm/grad"}][step] = {10 * step, -value};
  }
  first_seq_ = {{1, 9}, {2, -1}, {3, -1}};
  store_.reset();
  template_ = Value(ReadFile(folder_ / "store.db"));
  Open();
}

void BatchWorld::Open() { store_ = Value(Store::Open(folder_ / "store.db")); }

void BatchWorld::Begin() {
  curves_ = first_curves_;
  last_seq_ = first_seq_;
  last_step_ = {{1, 10}, {2, 5}, {3, 0}};
  MustBeOk(store_->Begin());
}

void BatchWorld::Rollback() { store_->Rollback(); }

std::string BatchWorld::Digest() const {
  const auto rows = Value(store_->read().Query(
      "SELECT (SELECT group_concat(concat) FROM (SELECT attempt_id || state || last_seq || "
      "resume_step || start_ms AS concat FROM attempts ORDER BY attempt_id)) || '/' || (SELECT "
      "group_concat(state) FROM trials) || '/' || (SELECT count(*) || ':' || total(n) || ':' || "
      "total(superseded_by) FROM points) || '/' || (SELECT count(*) || ':' || "
      "total(superseded_by) FROM checkpoints) || '/' || (SELECT count(*) FROM metric_names) || "
      "'/' || (SELECT count(*) FROM trial_summary) || '/' || (SELECT group_concat(step || ':' || "
      "tokens) FROM streams)"));
  return std::get<std::string>(rows.rows.at(0).at(0));
}

void BatchWorld::Apply(Batch batch) {
  batch.time_ms = 3000;
  const std::string before = Digest();
  const auto known = last_seq_.find(batch.attempt_id);
  const absl::StatusOr<BatchResult> result = store_->ApplyBatch(batch);
  const bool applied = result.ok() && !result->stale;
  if (!applied) {
    LOGLOG_CHECK(Digest() == before);
    if (result.ok()) {
      LOGLOG_CHECK(batch.attempt_id == 1 && result->last_seq == known->second);
      return;
    }
    switch (result.status().code()) {
      case absl::StatusCode::kNotFound:
        LOGLOG_CHECK(known == last_seq_.end());
        return;
      case absl::StatusCode::kOutOfRange:
        LOGLOG_CHECK(batch.first_seq < 0 || batch.first_seq > known->second + 1);
        return;
      default:
        // What the engine answers with INVALID_ARGUMENT.
        LOGLOG_CHECK(absl::IsInvalidArgument(result.status()) ||
                     absl::IsFailedPrecondition(result.status()));
        return;
    }
  }
  LOGLOG_CHECK(known != last_seq_.end() && batch.attempt_id != 1);
  const auto size = static_cast<int64_t>(batch.events.size());
  const int64_t skipped = std::min(size, known->second + 1 - batch.first_seq);
  LOGLOG_CHECK(result->skipped == skipped);
  if (skipped < size) {
    ApplyToModel(batch, skipped);
    known->second = batch.first_seq + size - 1;
  }
  LOGLOG_CHECK(result->last_seq == known->second);
  LOGLOG_CHECK(Value(store_->read().LastSeq(batch.attempt_id)) == known->second);
}

void BatchWorld::ApplyToModel(const Batch& batch, size_t skipped) {
  const int64_t task_id = kTaskOf[batch.attempt_id];
  for (size_t i = skipped; i < batch.events.size(); ++i) {
    if (const auto* start = std::get_if<AttemptStart>(&batch.events[i])) {
      const int64_t after = start->resume_step == 0 ? -1 : start->resume_step;
      for (auto& [series, points] : curves_) {
        if (series.first.first == task_id) points.erase(points.upper_bound(after), points.end());
      }
    } else if (const auto* row = std::get_if<MetricRow>(&batch.events[i])) {
      for (const MetricValue& value : row->values) {
        curves_[{{task_id, row->member}, batch.metrics.at(value.metric)}][row->step] = {
            row->tokens, value.value};
      }
      last_step_[batch.attempt_id] = row->step;
    }
  }
}

void BatchWorld::CheckCurves() {
  for (const auto& [series, points] : curves_) {
    const auto& [task_id, member] = series.first;
    const Curve curve =
        Value(store_->read().ReadCurve({.trial_id = kTrialOf[task_id][member],
                                        .metric = series.second,
                                        .step_min = std::numeric_limits<int64_t>::min()}));
    LOGLOG_CHECK(curve.points.size() == points.size());
    auto expected = points.begin();
    for (const PointRow& point : curve.points) {
      LOGLOG_CHECK(point.step == expected->first && point.tokens == expected->second.tokens);
      LOGLOG_CHECK(Same(point.value, expected->second.value));
      ++expected;
    }
  }
}

void BatchWorld::CommitAndCheck() {
  MustBeOk(store_->Commit());
  store_.reset();
  const CheckReport report = Value(CheckStore(folder_ / "store.db"));
  for (const Breach& breach : report.breaches) {
    std::fprintf(stderr, "%s: %s\n", breach.object.c_str(), breach.what.c_str());
  }
  LOGLOG_CHECK(report.breaches.empty());
  Open();
  CheckCurves();
  store_.reset();
  MustBeOk(WriteFileAtomically(folder_ / "store.db", template_));
  Open();
}

}  // namespace loglog
