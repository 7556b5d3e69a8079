#ifndef LOGLOG_STORE_STORE_FIXTURE_H_
#define LOGLOG_STORE_STORE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/connection.h"
#include "store/store.h"
#include "store/store_testing.h"

namespace loglog {

// A new store with an open transaction. The helpers fail the test on an error.
class StoreFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Store::Open(folder_ / "store.db");
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = std::move(opened).value();
    ASSERT_TRUE(store_->Begin().ok());
  }

  CreatedSweep Create(const NewSweep& sweep) {
    auto created = store_->CreateSweep(sweep);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.value_or(CreatedSweep());
  }
  void AddWorker(const std::string& id, const std::string& scope = "") {
    auto epoch = store_->UpsertWorker(SimpleWorker(id, scope));
    ASSERT_TRUE(epoch.ok()) << epoch.status();
  }
  NewAttempt Lease(int64_t task_id, const std::string& worker, int slot, int64_t resume = 0) {
    NewAttempt attempt;
    attempt.task_id = task_id;
    attempt.worker_id = worker;
    attempt.slot = slot;
    attempt.resume_step = resume;
    attempt.create_ms = 1500;
    return attempt;
  }
  int64_t Attempt(int64_t task_id, const std::string& worker, int slot, int64_t resume = 0) {
    auto leased = store_->InsertAttempt(Lease(task_id, worker, slot, resume));
    EXPECT_TRUE(leased.ok()) << leased.status();
    return leased.ok() ? leased->attempt_id : 0;
  }
  void End(int64_t attempt_id, AttemptState state) {
    ASSERT_TRUE(store_->UpdateAttempt(attempt_id, {state, 5000, 0, 0, ""}).ok());
  }
  BatchResult Apply(const Batch& batch) {
    auto result = store_->ApplyBatch(batch);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(BatchResult());
  }
  std::vector<std::pair<int64_t, double>> Points(int64_t trial_id,
                                                 const std::string& metric = "loss/train") {
    auto curve = store_->read().ReadCurve({trial_id, metric});
    EXPECT_TRUE(curve.ok()) << curve.status();
    std::vector<std::pair<int64_t, double>> points;
    for (const PointRow& point : curve->points) points.emplace_back(point.step, point.value);
    return points;
  }
  TrialCounts Counts(int64_t sweep_id) { return store_->read().GetSweep(sweep_id)->counts; }
  int64_t CountSql(const std::string& sql) {
    Cursor row = store_->connection()->Query(sql);
    EXPECT_TRUE(row.Next()) << row.status();
    return row.Int(0);
  }

  TempFolder folder_;
  std::unique_ptr<Store> store_;
};

}  // namespace loglog

#endif  // LOGLOG_STORE_STORE_FIXTURE_H_
