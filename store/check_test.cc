// A sound store has no breach, and each kind of breach is found and said.
#include "store/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "store/connection.h"
#include "store/store_child_testing.h"
#include "store/store_fixture.h"
#include "store/upkeep.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Trials 1 to 6, tasks of their own. Task 1: DONE after a lost attempt whose points were taken
// back. 2: diverged. 3: live. 4: failed. 5: cancelled. 6: waiting.
class CheckTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    AddWorker("a");
    Create(SimpleSweep("phase", 6, 1));
    const int64_t lost = Attempt(1, "a", 0);
    Apply(Started(RowsBatch(lost, 1, 1, 80)));
    End(lost, AttemptState::kLost);
    const int64_t done = Attempt(1, "a", 0, 40);
    Batch batch = RowsBatch(done, 0, 41, 60);
    batch.events.emplace_back(CheckpointCommit{100, "/c", "aa", 1});
    batch.events.emplace_back(MemberEnd{0, false, 100, 1000, 3.0, "{}"});
    Apply(batch);
    End(done, AttemptState::kDone);
    ASSERT_TRUE(store_->UpdateTask(1, {TaskState::kDone}).ok());
    const int64_t diverged = Attempt(2, "a", 0);
    batch = RowsBatch(diverged, 0, 1, 9);
    batch.events.emplace_back(MemberEnd{0, true, 12, 120, kNoNumber, "{}"});
    Apply(batch);
    End(diverged, AttemptState::kDiverged);
    ASSERT_TRUE(store_->UpdateTask(2, {TaskState::kDone}).ok());
    Apply(RowsBatch(Attempt(3, "a", 1), 0, 1, 50));
    End(Attempt(4, "a", 0), AttemptState::kFailed);
    TaskUpdate failed;
    failed.state = TaskState::kFailed;
    ASSERT_TRUE(store_->UpdateTask(4, failed).ok());
    ASSERT_TRUE(store_->CancelTrials(std::vector<int64_t>{5}, 1).ok());
    ASSERT_TRUE(store_->Commit().ok());
  }

  static Batch Started(Batch batch) {
    batch.first_seq = 0;
    batch.events.insert(batch.events.begin(), AttemptStart{});
    return batch;
  }

  std::vector<Breach> Check(bool quick = false) {
    const auto report = CheckStore(store_->path(), {.quick = quick});
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->breaches : std::vector<Breach>();
  }

  // As a faulty program or disk would: past every rule of the schema.
  void Break(const std::string& sql) {
    const absl::Status status = store_->connection()->Script(
        absl::StrCat("PRAGMA foreign_keys = OFF; DROP TRIGGER IF EXISTS trials_counted; ", sql)
            .c_str());
    ASSERT_TRUE(status.ok()) << status;
  }
};

TEST_F(CheckTest, ASoundStoreHasNoBreach) {
  const auto report = CheckStore(store_->path());
  ASSERT_TRUE(report.ok()) << report.status();
  for (const Breach& breach : report->breaches) ADD_FAILURE() << breach.object << breach.what;
  EXPECT_EQ(report->sweeps, 1);
  EXPECT_EQ(report->trials, 6);
  EXPECT_GT(report->chunks, 10);
  EXPECT_GT(report->bytes, 0);
  EXPECT_THAT(Check(true), IsEmpty());
}

struct Damage {
  const char* name;
  const char* sql;
  const char* object;
  const char* what;
};
void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class DamageTest : public CheckTest, public ::testing::WithParamInterface<Damage> {};

TEST_P(DamageTest, IsFound) {
  Break(GetParam().sql);
  const std::vector<Breach> breaches = Check();
  EXPECT_THAT(breaches, Contains(AllOf(Field(&Breach::object, GetParam().object),
                                       Field(&Breach::what, HasSubstr(GetParam().what)))))
      << (breaches.empty() ? "none" : absl::StrCat(breaches[0].object, ": ", breaches[0].what));
  for (const Breach& breach : breaches) EXPECT_FALSE(breach.fix.empty());
}

const Damage kDamages[] = {
    {"Counts", "UPDATE sweep_counts SET done = done + 1", "sweeps/phase",
     "counts 6 total, 1 pending, 1 running, 2 done, 1 diverged, 1 failed, 1 cancelled, 0 stopped, "
     "0 reused, "
     "but its trials are 6 total, 1 pending, 1 running, 1 done"},
    {"NoCounts", "DELETE FROM sweep_counts", "sweeps/phase", "has no row of counts"},
    {"TrialOfNoSweep", "DELETE FROM sweep_trials WHERE trial_id = 6", "trial 6", "is in no sweep"},
    {"NoArm", "DELETE FROM sweep_cells WHERE cell_id = 2", "trial 2", "has no arm for its cell 2"},
    {"NoSummary", "DELETE FROM trial_summary WHERE trial_id = 1", "trial 1",
     "is DONE, but has no summary"},
    {"OpenTrialOfEndedTask", "UPDATE tasks SET state = 'DONE' WHERE task_id = 6", "trial 6",
     "is PENDING, but its task 6 is DONE"},
    {"OpenTrialOfNoTask", "UPDATE trials SET task_id = NULL WHERE trial_id = 6", "trial 6",
     "its task is missing"},
    {"NotAMember", "UPDATE trials SET task_id = 2 WHERE trial_id = 1", "trial 1",
     "ends with task 2, which does not train it"},
    {"PendingTaskOfEndedTrial", "UPDATE tasks SET state = 'PENDING' WHERE task_id = 1", "task 1",
     "all its trials have ended"},
    {"TaskWithoutTrial", "DELETE FROM task_members WHERE task_id = 6", "task 6", "trains no trial"},
    {"MemberWithoutStream", "DELETE FROM streams WHERE task_id = 6", "task 6",
     "has no stream for its member 0"},
    {"StreamWithoutMember", "UPDATE streams SET member = 7 WHERE task_id = 6", "stream 6",
     "is of member 7 of task 6"},
    {"Fence", "UPDATE tasks SET last_attempt_id = 1 WHERE task_id = 1", "task 1",
     "takes reports of attempt 1, but its newest is 2"},
    {"NoFence", "UPDATE tasks SET last_attempt_id = NULL WHERE task_id = 2", "task 2",
     "takes reports of attempt 0, but its newest is 3"},
    {"RunningTaskOfEndedAttempt", "UPDATE attempts SET state = 'LOST' WHERE task_id = 3", "task 3",
     "is RUNNING, but its newest attempt 4 is LOST"},
    {"TwoLiveAttemptsOfATask",
     "DROP INDEX attempts_live_task; INSERT INTO attempts (task_id, worker_id, slot, "
     "session_epoch, lease_ms, resume_step, create_ms) VALUES (3, 'a', 2, 1, 1, 0, 1)",
     "task 3", "has 2 live attempts: 4, 6"},
    {"TwoLiveAttemptsOfASlot",
     "INSERT INTO attempts (task_id, worker_id, slot, "
     "session_epoch, lease_ms, resume_step, create_ms) VALUES (6, 'a', 1, 1, 1, 0, 1)",
     "slot 1 of workers/a", "has 2 live attempts: 4, 6"},
    {"LiveAttemptWithoutItsSlot", "DELETE FROM live_slots", "attempt 4",
     "with 1 slots, slot 1 among them, but holds 0"},
    {"LiveAttemptOfAnotherSlot", "UPDATE live_slots SET slot = 7", "attempt 4",
     "slot 1 among them, but holds 1 (a 7)"},
    {"AnEndedAttemptHoldsASlot", "INSERT INTO live_slots VALUES ('a', 5, 1)", "attempt 1",
     "is LOST with 1 slots, slot 0 among them, but holds 1 (a 5)"},
    {"ASlotOfAnotherWorker",
     "INSERT INTO workers SELECT 'b', boot_id, session_epoch, state, reason, host, version, slots, "
     "slots_json, labels_json, device, checkpoint_scope, register_ms, last_sync_ms FROM workers; "
     "UPDATE live_slots SET worker_id = 'b'",
     "slot 1 of workers/b", "is held by attempt 4 of workers/a"},
    {"StartWithoutEvent", "UPDATE attempts SET last_seq = -1 WHERE attempt_id = 1", "attempt 1",
     "with 0 events stored, start_ms 2000"},
    {"LiveAttemptWithAnEnd", "UPDATE attempts SET end_ms = 5 WHERE attempt_id = 4", "attempt 4",
     "and end_ms 5"},
    {"CheckpointOfAnotherTask", "UPDATE checkpoints SET task_id = 3", "checkpoint 1",
     "is of task 3, but of attempt 2 of task 1"},
    {"Overlap", "UPDATE points SET step_begin = 30 WHERE stream_id = 3 AND step_begin = 33",
     "points row 18", "begins at step 30, but the row before it ends at 32"},
    {"PointsOfAnotherTask", "UPDATE points SET attempt_id = 3 WHERE stream_id = 3", "points row 15",
     "of attempt 3 of task 2"},
    {"NoStride", "UPDATE points SET step_stride = 0 WHERE stream_id = 3", "points row 15",
     "32 points 0 steps apart"},
    {"SupersededByAnOlder", "UPDATE points SET superseded_by = 1 WHERE attempt_id = 2",
     "points row 9", "superseded by 1"},
    {"StreamBehind", "UPDATE streams SET step = 10 WHERE stream_id = 3", "stream 3",
     "says step 10, but its newest point is at 50"},
    {"StreamAhead", "UPDATE streams SET step = 70 WHERE stream_id = 3", "stream 3",
     "says step 70, but its newest point is at 50"},
    {"MorePointsThanEvents", "UPDATE attempts SET last_seq = 20 WHERE attempt_id = 4", "attempt 4",
     "has 21 events stored, but 50 points of one series"},
    {"OrphanRow", "DELETE FROM cells WHERE cell_id = 6", "trials row 6",
     "names a row of cells that is not there"},
    {"OrphanRowWithoutNumber", "DELETE FROM trials WHERE trial_id = 6",
     "sweep_trials (no row number)", "names a row of trials that is not there"},
    {"Index",
     "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX trials_open ON "
     "trials (trial_id) WHERE state IN (''PENDING'', ''RUNNING'', ''DONE'')' WHERE name = "
     "'trials_open'; PRAGMA writable_schema = RESET;",
     "the file", "missing from index trials_open"},
};
INSTANTIATE_TEST_SUITE_P(All, DamageTest, ::testing::ValuesIn(kDamages),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(CheckTest, QuickPassesOverPoints) {
  Break("UPDATE streams SET step = 10 WHERE stream_id = 3");
  EXPECT_THAT(Check(true), IsEmpty());
  Break("UPDATE sweep_counts SET done = done + 1");
  EXPECT_THAT(Check(true), ElementsAre(Field(&Breach::object, "sweeps/phase")));
}

TEST_F(CheckTest, OfEachKindAFewAreEnough) {
  Break("DELETE FROM sweep_trials");
  const auto report = CheckStore(store_->path(), {.breaches_max = 3});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->truncated);
  int of_no_sweep = 0;
  for (const Breach& breach : report->breaches) of_no_sweep += breach.what == "is in no sweep";
  EXPECT_EQ(of_no_sweep, 3);
}

// A result that the trainer has ended, but its worker has not reported; a trial that is tried
// again after it; a trunk that ended after its last point: all are sound.
TEST_F(CheckTest, WhatIsOnItsWayIsNoBreach) {
  ASSERT_TRUE(store_->Begin().ok());
  Batch end = RowsBatch(4, 50, 51, 1);
  end.events.emplace_back(MemberEnd{0, false, 60, 600, 2.0, "{}"});
  Apply(end);
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_THAT(Check(), IsEmpty());
  ASSERT_TRUE(store_->Begin().ok());
  ASSERT_TRUE(store_->RetryTrials(1, {}, {.cancelled = true}).ok());
  NewSweep trunks = SimpleSweep("trunk", 2, 1, 10);
  trunks.tasks[0].token_end = 500;
  trunks.tasks[1].parent = 0;
  const int64_t id = Create(trunks).sweep.sweep_id;
  const std::vector<TaskRow> tasks = *store_->read().ListOpenTasks(id);
  Batch batch = RowsBatch(Attempt(tasks[0].task_id, "a", 3), 0, 1, 10);
  batch.events.emplace_back(MemberEnd{0, false, 50, 500, 2.0, "{}"});
  Apply(batch);
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_THAT(Check(), IsEmpty());
}

TEST_F(CheckTest, AWriterGoesOnMeanwhileAndEachMomentIsSound) {
  store_.reset();
  Child writer({"write", folder_ / "busy.db", "7"});
  for (int i = 0; i < 20; ++i) {
    ASSERT_FALSE(writer.ReadLine().empty());
    const auto report = CheckStore(folder_ / "busy.db");
    ASSERT_TRUE(report.ok()) << report.status();
    ASSERT_THAT(report->breaches, IsEmpty());
  }
}

TEST_F(CheckTest, WhatIsNoStoreIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(CheckStore(folder_ / "none.db").status()));
  ASSERT_TRUE(Connection::Open(folder_ / "empty.db", Connection::Mode::kCreate).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckStore(folder_ / "empty.db").status()));
}

}  // namespace
}  // namespace loglog
