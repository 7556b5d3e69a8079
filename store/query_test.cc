// Reading beside the writer: the reader's own connection, users' SQL, the views, and
// the plans of every statement.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "store/connection.h"
#include "store/read_store.h"
#include "store/store.h"
#include "store/store_testing.h"
#include "store/upkeep.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = Store::Open(folder_ / "store.db").value();
    ASSERT_TRUE(store_->Begin().ok());
    ASSERT_TRUE(store_->CreateSweep(SimpleSweep("phase", 2, 2)).ok());
    ASSERT_TRUE(store_->UpsertWorker(SimpleWorker("a")).ok());
    NewAttempt attempt;
    attempt.task_id = 1;
    attempt.worker_id = "a";
    const int64_t id = store_->InsertAttempt(attempt)->attempt_id;
    ASSERT_TRUE(store_->ApplyBatch(RowsBatch(id, 0, 1, 40)).ok());
    ASSERT_TRUE(store_->Commit().ok());
    reader_ = ReadStore::Open(folder_ / "store.db").value();
  }

  TempFolder folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReadStore> reader_;
};

TEST_F(QueryTest, ReadsWhileTheWriterWrites) {
  const auto result = reader_->Query(
      "SELECT trial_id, count(*) AS n, max(value) FROM v_points "
      "WHERE metric = 'loss/train' GROUP BY trial_id;  ");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->columns, ElementsAre("trial_id", "n", "max(value)"));
  ASSERT_THAT(result->rows, SizeIs(1));
  EXPECT_EQ(std::get<int64_t>(result->rows[0][1]), 40);
  EXPECT_EQ(std::get<double>(result->rows[0][2]), 40.0);

  ASSERT_TRUE(store_->Begin().ok());
  ASSERT_TRUE(store_->CreateSweep(SimpleSweep("new", 1, 1)).ok());
  EXPECT_TRUE(absl::IsNotFound(reader_->GetSweep("new").status()));
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_TRUE(reader_->GetSweep("new").ok());
}

TEST_F(QueryTest, EveryKindOfValue) {
  const auto result = reader_->Query("SELECT NULL, 7, 0.5, 'x', x'00ff', 9e999");
  ASSERT_TRUE(result.ok());
  const auto& row = result->rows[0];
  EXPECT_TRUE(std::holds_alternative<std::monostate>(row[0]));
  EXPECT_EQ(std::get<int64_t>(row[1]), 7);
  EXPECT_EQ(std::get<double>(row[2]), 0.5);
  EXPECT_EQ(std::get<std::string>(row[3]), "x");
  EXPECT_EQ(std::get<std::vector<uint8_t>>(row[4]), (std::vector<uint8_t>{0, 255}));
  EXPECT_GT(std::get<double>(row[5]), 1e308);
}

TEST_F(QueryTest, WhateverWritesIsRefused) {
  const std::string other = folder_ / "other.db";
  for (const std::string& sql : std::vector<std::string>{
           "DELETE FROM events", "UPDATE trials SET state = 'DONE'", "DROP TABLE points",
           "INSERT INTO meta VALUES ('a', 'b')", "CREATE TABLE x (y)", "CREATE TEMP TABLE x (y)",
           absl::StrCat("ATTACH '", other, "' AS o"), absl::StrCat("VACUUM INTO '", other, "'"),
           "PRAGMA journal_mode = DELETE", "PRAGMA query_only = OFF", "BEGIN", "COMMIT",
           "SAVEPOINT s", "REINDEX", "ANALYZE"}) {
    for (const ReadStore* reader : std::vector<const ReadStore*>{reader_.get(), &store_->read()}) {
      const auto refused = reader->Query(sql);
      EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << sql << ": " << refused.status();
      EXPECT_THAT(std::string(refused.status().message()), HasSubstr("only SELECT is allowed"));
    }
  }
  EXPECT_FALSE(ReadStore::Open(other).ok());
  EXPECT_TRUE(reader_->Query("PRAGMA table_info(v_trials)").ok());
  // The guard goes away with the query.
  ASSERT_TRUE(store_->Begin().ok());
  EXPECT_TRUE(store_->CreateSweep(SimpleSweep("after", 1, 1)).ok());
}

TEST_F(QueryTest, MistakesAreSaid) {
  EXPECT_EQ(reader_->Query("SELEC 1").status().message(), "SQL: near \"SELEC\": syntax error");
  EXPECT_EQ(reader_->Query("SELECT x FROM v_trial").status().message(),
            "SQL: no such table: v_trial");
  EXPECT_TRUE(absl::IsInvalidArgument(reader_->Query("SELECT 1; SELECT 2").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(reader_->Query(" -- nothing").status()));
}

TEST_F(QueryTest, LimitsHold) {
  const auto some = reader_->Query("SELECT * FROM v_points", {5, 60'000});
  ASSERT_TRUE(some.ok());
  EXPECT_TRUE(some->truncated);
  EXPECT_THAT(some->rows, SizeIs(5));
  const auto endless = reader_->Query(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
      {5, 50});
  EXPECT_TRUE(absl::IsDeadlineExceeded(endless.status())) << endless.status();
}

TEST_F(QueryTest, EveryViewCanBeRead) {
  for (const char* view : {"v_sweeps", "v_trials", "v_points", "v_points_superseded", "v_attempts",
                           "v_checkpoints", "v_fits", "v_workers", "v_events"}) {
    const auto result = reader_->Query(absl::StrCat("SELECT * FROM ", view));
    EXPECT_TRUE(result.ok()) << view << ": " << result.status();
  }
  const auto trials = reader_->Query(
      "SELECT number, arm, state, step, last_loss, json_extract(axes_json, '$.D') FROM v_trials "
      "WHERE sweep = 'phase' ORDER BY number");
  ASSERT_TRUE(trials.ok()) << trials.status();
  ASSERT_THAT(trials->rows, SizeIs(4));
  EXPECT_EQ(std::get<std::string>(trials->rows[0][2]), "RUNNING");
  EXPECT_EQ(std::get<int64_t>(trials->rows[0][3]), 40);
  EXPECT_EQ(std::get<double>(trials->rows[0][4]), 40.0);
}

TEST_F(QueryTest, T16_ReadersAndBackupsBesideAWriter) {
  constexpr int kReaders = 4;
  constexpr int kCommits = 40;
  std::atomic<bool> done = false;
  std::atomic<int64_t> reads = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back([&] {
      const auto reader = ReadStore::Open(folder_ / "store.db").value();
      do {
        // 40 points of each metric from the set-up, then 10 of each with every commit.
        const auto rows = reader->Query("SELECT count(*) FROM v_points");
        ASSERT_TRUE(rows.ok()) << rows.status();
        ASSERT_EQ(std::get<int64_t>(rows->rows[0][0]) % 20, 0);
        const auto trials = reader->ListTrials(1, 0, {}, 100);
        ASSERT_TRUE(trials.ok()) << trials.status();
        ++reads;
      } while (!done);
    });
  }
  for (int i = 0; i < kCommits; ++i) {
    ASSERT_TRUE(store_->Begin().ok());
    ASSERT_TRUE(store_->ApplyBatch(RowsBatch(1, 40 + i * 10, 41 + i * 10, 10)).ok());
    const absl::Status committed = store_->Commit();
    ASSERT_TRUE(committed.ok()) << committed;
    if (i == kCommits / 2) {
      ASSERT_TRUE(BackupStore(store_->path(), folder_ / "copy.db").ok());
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(reads, kReaders);
  EXPECT_EQ(reader_->ReadCurve({1, "norm/grad"})->total_points, 40 + kCommits * 10);
}

// Drives every operation, so that every statement has been prepared.
void UseEverything(Store* store) {
  ASSERT_TRUE(store->Begin().ok());
  NewSweep sweep = SimpleSweep("all", 4, 1, 10);
  sweep.request_id = "request";
  sweep.tasks[1].parent = 0;
  const int64_t id = store->CreateSweep(sweep)->sweep.sweep_id;
  ASSERT_TRUE(store->PreviewSweep(SimpleSweep("preview", 2, 1)).ok());
  const std::vector<TaskRow> tasks = *store->read().ListOpenTasks(id);
  ASSERT_THAT(tasks, SizeIs(4));
  NewAttempt lease;
  lease.task_id = tasks[0].task_id;
  lease.worker_id = "a";
  lease.slot = 1;
  const int64_t attempt = store->InsertAttempt(lease)->attempt_id;
  Batch batch = RowsBatch(attempt, 1, 1, 40);
  batch.events.insert(batch.events.begin(), AttemptStart{});
  batch.first_seq = 0;
  batch.events.emplace_back(CheckpointCommit{40, "/c", "aa", 1});
  batch.events.emplace_back(MemberEnd{0, false, 100, 1000, 3.0, "{}"});
  ASSERT_TRUE(store->ApplyBatch(batch).ok());
  ASSERT_TRUE(store->UpdateAttempt(attempt, {AttemptState::kLost, 1}).ok());
  lease.resume_step = 20;
  ASSERT_TRUE(store->InsertAttempt(lease).ok());
  TaskUpdate failed;
  failed.state = TaskState::kFailed;
  ASSERT_TRUE(store->UpdateTask(tasks[1].task_id, failed).ok());
  ASSERT_TRUE(store->RetryTrials(id, {}, {.cancelled = true}).ok());
  ASSERT_TRUE(store->CancelTrials(std::vector<int64_t>{tasks[2].members[0].trial_id}, 1).ok());
  const std::vector<int64_t> one = {tasks[2].members[0].trial_id};
  ASSERT_TRUE(store->RetryTrials(id, one, {.cancelled = true}).ok());
  ASSERT_TRUE(store->SetTrialState(one[0], TrialState::kPending, "", 0).ok());
  ASSERT_TRUE(store->SetSweepState(id, SweepState::kPaused, 0).ok());
  ASSERT_TRUE(store->SetWorkerState("a", WorkerState::kLive, "").ok());
  ASSERT_TRUE(store->SetWorkerSyncTime("a", 5).ok());
  ASSERT_TRUE(store->UpsertWorker(SimpleWorker("a")).ok());
  TokenRow token;
  token.name = "alice";
  token.sha256 = std::string(64, 'a');
  bool created = false;
  ASSERT_TRUE(store->InsertToken(token, &created).ok());
  ASSERT_TRUE(store->SetTokenUse(1, 5).ok());
  ASSERT_TRUE(store->RevokeToken(1, 6).ok());
  EventRow event;
  event.kind = "x";
  event.sweep_id = id;
  event.trial_id = one[0];
  ASSERT_TRUE(store->AppendEvent(event).ok());
  FitRow fit;
  fit.sweep_id = id;
  ASSERT_TRUE(store->InsertFit(fit).ok());
  ASSERT_TRUE(store->InsertFit(fit).ok());  // known by then
  ASSERT_TRUE(store->LoadLive().ok());
  const ReadStore& read = store->read();
  ASSERT_TRUE(read.Info().ok());
  ASSERT_TRUE(read.GetSweep("all").ok());
  ASSERT_TRUE(read.ListSweeps(0, 10).ok());
  ASSERT_TRUE(read.SlotSecondsUsed(id, 1).ok());
  ASSERT_TRUE(read.GetTrial(id, 1).ok());
  ASSERT_TRUE(read.ListTrials(id, 0, {}, 10).ok());
  ASSERT_TRUE(read.ListObservations(id).ok());
  const auto any = [](const auto&) { return absl::OkStatus(); };
  for (const int64_t sweep_id : {int64_t{0}, id}) {
    ASSERT_TRUE(read.EachOpenTrial(sweep_id, any).ok());
    ASSERT_TRUE(read.EachOpenTask(sweep_id, any).ok());
  }
  ASSERT_TRUE(read.ListSweepsOfTrial(1).ok());
  ASSERT_TRUE(read.ListSweepIdsOfTrial(1).ok());
  ASSERT_TRUE(read.ListTrialsOfTask(1).ok());
  ASSERT_TRUE(read.GetTask(1).ok());
  ASSERT_TRUE(read.ListMemberConfigs(1).ok());
  ASSERT_TRUE(read.GetAttempt(1).ok());
  ASSERT_TRUE(read.ListAttempts(1).ok());
  ASSERT_TRUE(read.LastSeq(1).ok());
  ASSERT_TRUE(read.ListCheckpoints(1).ok());
  ASSERT_TRUE(read.NewestCheckpoint(1, "a", "").ok());
  ASSERT_TRUE(read.ListBranches(1).ok());
  ASSERT_TRUE(read.ListBranchCheckpoints(2).ok());
  ASSERT_TRUE(read.ReadCurve({1, "loss/train"}).ok());
  ASSERT_TRUE(read.ListMetrics(id).ok());
  ASSERT_TRUE(read.GetWorker("a").ok());
  ASSERT_TRUE(read.ListWorkers("", 10).ok());
  ASSERT_TRUE(read.GetToken(1).ok());
  ASSERT_TRUE(read.ListTokens(0, 10).ok());
  ASSERT_TRUE(read.ListEvents(0, 0, 10).ok());
  ASSERT_TRUE(read.ListEvents(id, 0, 10).ok());
  ASSERT_TRUE(read.ListTrialEvents(id, 1, 10).ok());
  ASSERT_TRUE(read.GetFit(id, 1).ok());
  ASSERT_TRUE(read.ListFits(id).ok());
  ASSERT_TRUE(store->CancelSweepTrials(id, 1).ok());
  ASSERT_TRUE(store->Commit().ok());
}

TEST_F(QueryTest, T02_NoStatementScansATable) {
  UseEverything(store_.get());
  if (HasFatalFailure()) return;
  std::vector<std::string> scans;
  int explained = 0;
  for (const std::string& sql : store_->connection()->PreparedSql()) {
    if (absl::StartsWith(sql, "PRAGMA") || absl::StrContains(sql, "sqlite_schema")) continue;
    ++explained;
    Cursor plan = store_->connection()->Query(absl::StrCat("EXPLAIN QUERY PLAN ", sql));
    while (plan.Next()) {
      const std::string step = plan.Text(3);
      // Full walks that are meant: over an index that holds only open rows, in the order
      // of a key with a LIMIT, over an argument, and over the few names of metrics.
      const bool meant = absl::StrContains(step, "INDEX sweeps_live") ||
                         absl::StrContains(step, "INDEX tasks_open") ||
                         absl::StrContains(step, "INDEX trials_open") ||
                         absl::StrContains(step, "INDEX attempts_live") ||
                         absl::StartsWith(step, "SCAN n ") ||
                         absl::StrContains(step, "VIRTUAL TABLE") || step == "SCAN CONSTANT ROW";
      if (absl::StartsWith(step, "SCAN") && !meant) {
        scans.push_back(absl::StrCat(step, "  <-  ", sql));
      }
    }
    EXPECT_TRUE(plan.status().ok()) << plan.status();
  }
  EXPECT_GT(explained, 60);
  EXPECT_TRUE(scans.empty()) << absl::StrJoin(scans, "\n");
}

std::string OneSpace(const std::string& text) {
  return absl::StrJoin(absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty()), " ");
}

// The SQL in a source: string literals, those beside each other joined, that begin as a
// statement or as a condition does. A statement put together from macros shows as its pieces.
std::vector<std::string> SqlIn(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> pieces;
  std::string joined;
  const auto end_piece = [&] {
    for (const char* word : {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", " WHERE", "WHERE"}) {
      if (absl::StartsWith(joined, absl::StrCat(word, " "))) pieces.push_back(OneSpace(joined));
    }
    joined.clear();
  };
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) {
      i = text.find('\n', i);
    } else if (text[i] == '"') {
      for (++i; text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
        joined += text[i];
      }
    } else if (!absl::ascii_isspace(text[i]) && text[i] != '\\') {
      end_piece();
    }
  }
  return pieces;
}

// So that the test above explains every statement of the coordinator, and not only those that
// somebody remembered to drive.
TEST_F(QueryTest, T02_EveryStatementOfTheSourcesIsExplained) {
  UseEverything(store_.get());
  if (HasFatalFailure()) return;
  std::string explained;
  for (const std::string& sql : store_->connection()->PreparedSql()) {
    absl::StrAppend(&explained, OneSpace(sql), "\n");
  }
  // They are asked by a person or at a migration, and may read whole tables.
  const std::vector<std::string> others = {"check.cc", "schema.cc", "upkeep.cc", "connection.cc"};
  int pieces = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LOGLOG_STORE_SOURCES)) {
    const std::string name = entry.path().filename().string();
    if (!absl::EndsWith(name, ".cc") || absl::EndsWith(name, "_test.cc") ||
        absl::EndsWith(name, "_testing.cc") || std::count(others.begin(), others.end(), name) > 0) {
      continue;
    }
    for (const std::string& sql : SqlIn(entry.path())) {
      ++pieces;
      EXPECT_TRUE(absl::StrContains(explained, sql)) << name << ": drive this one, too: " << sql;
    }
  }
  EXPECT_GT(pieces, 60);
}

}  // namespace
}  // namespace loglog
