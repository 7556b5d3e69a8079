#include "worker/run_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/subprocess.h"
#include "worker/survivor.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

constexpr char kStore[] = "5eed";

class RunDirTest : public ::testing::Test {
 protected:
  RunDir::Options Options() { return {.root = dir_.path() + "/run", .data_root = "/data"}; }
  void SetUp() override {
    auto opened = RunDir::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status();
    run_dir_ = *std::move(opened);
  }
  void MakeAttempt(int64_t attempt_id, int64_t task_id, int members = 1) {
    const absl::Status status =
        run_dir_->Prepare(kStore, MakeOrder(attempt_id, task_id, 20, members), {});
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string Dir(int64_t attempt_id) { return run_dir_->AttemptDir(kStore, attempt_id); }

  TempDir dir_;
  std::unique_ptr<RunDir> run_dir_;
};

TEST_F(RunDirTest, OneWorkerForEachDirectory) {
  const absl::Status second = RunDir::Open(Options()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(second.message()),
      AllOf(HasSubstr("another loglog-worker"), HasSubstr(absl::StrCat("process ", getpid())),
            HasSubstr("--run-dir"), HasSubstr(run_dir_->root())));
}

TEST_F(RunDirTest, WorkerIdStays) {
  const std::string id = run_dir_->worker_id();
  EXPECT_TRUE(IsWorkerId(id)) << id;
  run_dir_.reset();
  EXPECT_EQ((*RunDir::Open(Options()))->worker_id(), id);
  RunDir::Options named = Options();
  named.name = "gpu-host-3";
  EXPECT_EQ((*RunDir::Open(named))->worker_id(), "gpu-host-3");
  EXPECT_EQ((*RunDir::Open(Options()))->worker_id(), "gpu-host-3");
  named.name = "GPU host";
  EXPECT_EQ(RunDir::Open(named).status().code(), absl::StatusCode::kInvalidArgument);
}

// A worker whose disk is full has to start, to report what it owes.
TEST_F(RunDirTest, StartWritesNothingThatIsKnown) {
  const std::string path = run_dir_->root() + "/worker-id";
  struct stat before, after;
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  const std::string id = run_dir_->worker_id();
  run_dir_.reset();
  RunDir::Options options = Options();
  ASSERT_TRUE(RunDir::Open(options).ok());
  options.name = id;
  ASSERT_TRUE(RunDir::Open(options).ok());
  // Writing makes a new file in place of the old one.
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

TEST_F(RunDirTest, OutcomeThatCannotBeWrittenIsReportedAllTheSame) {
  MakeAttempt(17, 1);
  AppendTo(Dir(17) + "/events.jsonl", RowLine(1));
  ASSERT_TRUE(MakeDirs(Dir(17) + "/outcome.json/in-the-way").ok());
  const absl::StatusOr<Outcome> outcome = run_dir_->RecoverOutcome(kStore, 17);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, Outcome::Kind::kLost);
  EXPECT_EQ(outcome->last_seq, 0);
}

TEST_F(RunDirTest, KnowsTheTaskWhoseEventsItHolds) {
  MakeAttempt(17, 1);
  EXPECT_FALSE(run_dir_->HoldsEventsOf(kStore, MakeOrder(17, 1, 20)));
  AppendTo(Dir(17) + "/events.jsonl", RowLine(1));
  EXPECT_TRUE(run_dir_->HoldsEventsOf(kStore, MakeOrder(17, 1, 20)));
  EXPECT_FALSE(run_dir_->HoldsEventsOf(kStore, MakeOrder(17, 2, 20)));
  EXPECT_FALSE(run_dir_->HoldsEventsOf(kStore, MakeOrder(18, 1, 20)));
}

TEST_F(RunDirTest, PrepareCompletesTheTaskByteForByte) {
  TaskOrder order{.attempt_id = 17, .task_id = 12, .resume_step = 500};
  order.resume_path = run_dir_->root() + "/checkpoints/5eed/\"odd\" $(id)";
  order.resume_sha256 = "ab";
  order.task_json = R"({"format":1,"members":[{"lr":1.0e-05}]} )";
  ASSERT_TRUE(run_dir_->Prepare(kStore, order, {.device = "cuda:1", .threads = 2}).ok());
  const std::string text = *ReadFile(Dir(17) + "/task.json");
  EXPECT_THAT(text, HasSubstr(R"({"format":1,"members":[{"lr":1.0e-05}])"));
  const auto task = nlohmann::json::parse(text);
  EXPECT_EQ(task["run_dir"], Dir(17));
  EXPECT_EQ(task["checkpoint_dir"], run_dir_->root() + "/checkpoints/5eed/task-12");
  EXPECT_EQ(task["data_root"], "/data");
  EXPECT_EQ(task["device"], "cuda:1");
  EXPECT_EQ(task["threads"], 2);
  EXPECT_EQ(task["resume"]["step"], 500);
  EXPECT_EQ(task["resume"]["path"], order.resume_path);
  EXPECT_EQ(task["resume"]["sha256"], "ab");
  EXPECT_FALSE(task.contains("devices"));
}

TEST_F(RunDirTest, ABranchBeginsAtAnotherTasksCheckpoint) {
  TaskOrder order = MakeOrder(17, 12, 20);
  order.resume_step = 10;
  order.resume_path = run_dir_->root() + "/checkpoints/5eed/task-3/step-00000010";
  order.resume_sha256 = "ab";
  order.branches = true;
  ASSERT_TRUE(run_dir_->Prepare(kStore, order, {}).ok());
  const auto task = nlohmann::json::parse(*ReadFile(Dir(17) + "/task.json"));
  EXPECT_FALSE(task.contains("resume"));
  EXPECT_EQ(task["branch"],
            nlohmann::json({{"step", 10}, {"path", order.resume_path}, {"sha256", "ab"}}));
}

TEST_F(RunDirTest, PrepareNamesTheDevicesOfAGang) {
  const Placement two = {.device = "cuda:1", .devices = {"cuda:1", "cuda:0"}};
  ASSERT_TRUE(run_dir_->Prepare(kStore, MakeOrder(17, 1, 20), two).ok());
  const auto task = nlohmann::json::parse(*ReadFile(Dir(17) + "/task.json"));
  EXPECT_EQ(task["device"], "cuda:1");
  EXPECT_EQ(task["devices"], nlohmann::json({"cuda:1", "cuda:0"}));
}

// A checkpoint that another worker of the scope wrote may have another path there.
TEST_F(RunDirTest, ResumesFromItsOwnCheckpointsOnly) {
  TaskOrder order = MakeOrder(17, 12, 20);
  order.resume_step = 10;
  const std::string here = run_dir_->root() + "/checkpoints/5eed/";
  const auto resumes_from = [&](const std::string& path) -> std::string {
    order.resume_path = path;
    const absl::Status status = run_dir_->Prepare(kStore, order, {});
    if (!status.ok()) return status.ToString();
    return nlohmann::json::parse(*ReadFile(Dir(17) + "/task.json"))["resume"]["path"]
        .get<std::string>();
  };
  EXPECT_EQ(resumes_from(here + "task-12/step-00000010"), here + "task-12/step-00000010");
  EXPECT_EQ(resumes_from(here + "task-3/step-00000010"), here + "task-3/step-00000010");
  EXPECT_EQ(resumes_from("/mnt/elsewhere/5eed/task-12/step-00000010"),
            here + "task-12/step-00000010");
  for (const std::string& bad :
       {std::string("/etc"), std::string("/etc/passwd"), std::string(),
        std::string("task-12/step-00000010"), here + "../../../task-12/step-00000010",
        here + "task-12/../../../x", std::string("/mnt/task-12/step-1/../../..")}) {
    EXPECT_THAT(resumes_from(bad), AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("'" + bad + "'")))
        << bad;
  }
}

// Modes are what they are whatever the shell had set.
class PermissionTest : public RunDirTest {
 protected:
  void SetUp() override {
    before_ = umask(0);
    RunDirTest::SetUp();
  }
  void TearDown() override { umask(before_); }
  static int ModeOf(const std::string& path) {
    struct stat info;
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return static_cast<int>(info.st_mode & 07777);
  }
  mode_t before_ = 0;
};

TEST_F(PermissionTest, NobodyElseReadsOrWrites) {
  MakeAttempt(17, 12);
  ASSERT_TRUE(run_dir_->SetLastStore(kStore).ok());
  ASSERT_TRUE(run_dir_->WritePid(kStore, 17, getpid()).ok());
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 17, {}).ok());
  const std::string root = run_dir_->root();
  for (const std::string& dir :
       {root, root + "/checkpoints", root + "/checkpoints/5eed",
        run_dir_->TaskCheckpointDir(kStore, 12), root + "/5eed", Dir(17)}) {
    EXPECT_EQ(ModeOf(dir), 0700) << dir;
  }
  for (const std::string& file :
       {root + "/lock", root + "/worker-id", root + "/store-id", Dir(17) + "/task.json",
        Dir(17) + "/pid", Dir(17) + "/outcome.json"}) {
    EXPECT_EQ(ModeOf(file), 0600) << file;
  }
}

TEST_F(PermissionTest, AFolderThatOthersCanWriteToIsRefused) {
  const std::string root = run_dir_->root();
  run_dir_.reset();
  ASSERT_EQ(chmod(root.c_str(), 0770), 0);
  const absl::Status status = RunDir::Open(Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("chmod go-w " + root), HasSubstr("0770"), HasSubstr("--run-dir")));
  ASSERT_EQ(chmod(root.c_str(), 0755), 0);
  EXPECT_TRUE(RunDir::Open(Options()).ok());
  EXPECT_EQ(ModeOf(root), 0700);
}

TEST_F(PermissionTest, ASharedCheckpointFolderMayBeAGroups) {
  run_dir_.reset();
  RunDir::Options options = Options();
  options.checkpoint_root = dir_.path() + "/shared";
  ASSERT_EQ(mkdir(options.checkpoint_root.c_str(), 0770), 0);
  EXPECT_THAT(std::string(RunDir::Open(options).status().message()), HasSubstr("--checkpoint-dir"));
  options.shared_checkpoints = true;
  EXPECT_TRUE(RunDir::Open(options).ok());
  EXPECT_EQ(ModeOf(options.checkpoint_root), 0770);
  ASSERT_EQ(chmod(options.checkpoint_root.c_str(), 0777), 0);
  EXPECT_THAT(std::string(RunDir::Open(options).status().message()), HasSubstr("chmod o-w"));
}

TEST_F(PermissionTest, AnotherUsersFolderIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  const std::string root = run_dir_->root();
  run_dir_.reset();
  ASSERT_EQ(chown(root.c_str(), 12'345, -1), 0);
  EXPECT_THAT(std::string(RunDir::Open(Options()).status().message()),
              AllOf(HasSubstr(root + " belongs to user 12345"), HasSubstr("--run-dir")));
}

// Links that somebody planted lead nowhere: neither writes nor removals follow them.
TEST_F(RunDirTest, PlantedLinksAreNotFollowed) {
  const std::string victim = dir_.path() + "/victim";
  ASSERT_TRUE(MakeDirs(victim + "/step-00000001").ok());
  ASSERT_TRUE(MakeDirs(victim + "/step-00000002").ok());
  ASSERT_TRUE(MakeDirs(victim + "/attempt-4").ok());
  ASSERT_TRUE(ReplaceFile(victim + "/stderr.log", "precious").ok());
  const auto untouched = [&] {
    return *ListDir(victim) == std::vector<std::string>{"attempt-4", "stderr.log", "step-00000001",
                                                        "step-00000002"} &&
           *ReadFile(victim + "/stderr.log") == "precious";
  };
  const auto plant = [&](const std::string& path) {
    ASSERT_TRUE(RemoveTree(path).ok());
    ASSERT_EQ(symlink(victim.c_str(), path.c_str()), 0);
  };
  // In the place of an attempt that is about to start, or was left behind.
  MakeAttempt(16, 1);
  plant(Dir(17));
  EXPECT_THAT(run_dir_->ListAttempts(kStore), ElementsAre(16));
  MakeAttempt(17, 9);
  EXPECT_TRUE(IsFolder(Dir(17)));
  EXPECT_TRUE(untouched());
  // Of a task's checkpoints.
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 17, {.kind = Outcome::Kind::kDone}).ok());
  plant(run_dir_->TaskCheckpointDir(kStore, 9));
  run_dir_->Forget(kStore, 17, /*accepted=*/true);
  EXPECT_TRUE(untouched());
  EXPECT_EQ(run_dir_->Prepare(kStore, MakeOrder(18, 9, 20), {}).code(),
            absl::StatusCode::kFailedPrecondition);
  // Of the folder for failures.
  MakeAttempt(19, 1);
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 19, {.kind = Outcome::Kind::kFailed}).ok());
  plant(run_dir_->root() + "/5eed/failed");
  run_dir_->Forget(kStore, 19, /*accepted=*/true);
  EXPECT_TRUE(untouched());
  EXPECT_FALSE(PathExists(Dir(19)));
  // Of the whole store.
  plant(run_dir_->root() + "/5eed");
  EXPECT_THAT(run_dir_->ListAttempts(kStore), IsEmpty());
  EXPECT_THAT(run_dir_->ListStores(), IsEmpty());
  run_dir_->Forget(kStore, 4, /*accepted=*/true);
  EXPECT_EQ(run_dir_->Prepare(kStore, MakeOrder(4, 1, 20), {}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(untouched());
}

TEST_F(RunDirTest, PrepareRefusesMalformedTasks) {
  for (const char* bad : {"", "{}", "[1]", "{\"format\":1", R"({"device":"tpu"})"}) {
    TaskOrder order{.attempt_id = 1, .task_json = bad};
    EXPECT_EQ(run_dir_->Prepare(kStore, order, {}).code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST_F(RunDirTest, PrepareStartsFromAnEmptyFolder) {
  MakeAttempt(17, 1);
  AppendTo(Dir(17) + "/events.jsonl", RowLine(1));
  MakeAttempt(17, 1);
  EXPECT_THAT(*ListDir(Dir(17)), ElementsAre("task.json"));
}

TEST_F(RunDirTest, ForgetKeepsTheNewestCheckpointOfWhatIsDone) {
  const std::string task = run_dir_->TaskCheckpointDir(kStore, 9);
  MakeAttempt(17, 9);
  ASSERT_TRUE(MakeDirs(task + "/step-00000500").ok());
  ASSERT_TRUE(MakeDirs(task + "/step-00001000").ok());
  run_dir_->Forget(kStore, 17, /*accepted=*/true);  // without an outcome: killed, say
  EXPECT_FALSE(PathExists(Dir(17)));
  EXPECT_THAT(*ListDir(task), ElementsAre("step-00000500", "step-00001000"));
  MakeAttempt(18, 9);
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 18, {.kind = Outcome::Kind::kLost}).ok());
  run_dir_->Forget(kStore, 18, /*accepted=*/true);
  EXPECT_THAT(*ListDir(task), ElementsAre("step-00000500", "step-00001000"));
  MakeAttempt(19, 9);
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 19, {.kind = Outcome::Kind::kDone}).ok());
  run_dir_->Forget(kStore, 19, /*accepted=*/false);  // another attempt goes on from one of these
  EXPECT_FALSE(PathExists(Dir(19)));
  EXPECT_THAT(*ListDir(task), ElementsAre("step-00000500", "step-00001000"));
  MakeAttempt(20, 9);
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 20, {.kind = Outcome::Kind::kDone}).ok());
  run_dir_->Forget(kStore, 20, /*accepted=*/true);
  EXPECT_THAT(*ListDir(task), ElementsAre("step-00001000"));
  EXPECT_THAT(run_dir_->ListAttempts(kStore), IsEmpty());
}

TEST_F(RunDirTest, ForgetKeepsCheckpointsThatBranchesBeginAt) {
  const std::string task = run_dir_->TaskCheckpointDir(kStore, 9);
  TaskOrder order = MakeOrder(17, 9, 20);
  order.task_json.pop_back();
  order.task_json += R"(,"checkpoint":{"every":100,"at":[200,500]}})";
  ASSERT_TRUE(run_dir_->Prepare(kStore, order, {}).ok());
  for (const char* step : {"00000200", "00000400", "00000500", "00001000"}) {
    ASSERT_TRUE(MakeDirs(absl::StrCat(task, "/step-", step)).ok());
  }
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 17, {.kind = Outcome::Kind::kDone}).ok());
  run_dir_->Forget(kStore, 17, /*accepted=*/true);
  EXPECT_THAT(*ListDir(task), ElementsAre("step-00000200", "step-00000500", "step-00001000"));
}

TEST_F(RunDirTest, ForgetKeepsTheNewestFailuresForPeople) {
  for (int id = 1; id <= 23; ++id) {
    MakeAttempt(id, id);
    AppendTo(Dir(id) + "/stderr.log", "why");
    ASSERT_TRUE(run_dir_->WriteOutcome(kStore, id, {.kind = Outcome::Kind::kFailed}).ok());
    run_dir_->Forget(kStore, id, /*accepted=*/true);
  }
  EXPECT_THAT(run_dir_->ListAttempts(kStore), IsEmpty());
  const std::string failed = absl::StrCat(run_dir_->root(), "/", kStore, "/failed");
  EXPECT_EQ(ListDir(failed)->size(), 20u);
  EXPECT_FALSE(PathExists(failed + "/attempt-3"));
  EXPECT_EQ(*ReadFile(failed + "/attempt-23/stderr.log"), "why");
}

TEST_F(RunDirTest, RecoversOutcomes) {
  const std::string end =
      "{\"e\":\"end\",\"member\":0,\"outcome\":\"done\",\"step\":1,\"tokens\":1}\n";
  MakeAttempt(1, 1);  // cut off in the middle of a line
  AppendTo(Dir(1) + "/events.jsonl", RowLine(1) + RowLine(2) + "{\"e\":");
  MakeAttempt(2, 2);  // ended, but nobody saw it
  AppendTo(Dir(2) + "/events.jsonl", RowLine(1) + end);
  MakeAttempt(3, 3, /*members=*/2);  // one of two ended
  AppendTo(Dir(3) + "/events.jsonl", RowLine(1) + end);
  MakeAttempt(4, 4);  // seen
  ASSERT_TRUE(run_dir_->WriteOutcome(kStore, 4, {.kind = Outcome::Kind::kFailed}).ok());
  MakeAttempt(5, 5);  // seen, but the file is damaged
  AppendTo(Dir(5) + "/outcome.json", "{\"outc");
  EXPECT_THAT(run_dir_->ListAttempts(kStore), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(run_dir_->ListStores(), ElementsAre(kStore));
  const auto kind = [&](int64_t id) { return run_dir_->RecoverOutcome(kStore, id)->kind; };
  EXPECT_EQ(kind(1), Outcome::Kind::kLost);
  EXPECT_EQ(run_dir_->RecoverOutcome(kStore, 1)->last_seq, 1);
  EXPECT_EQ(kind(2), Outcome::Kind::kDone);
  EXPECT_EQ(kind(3), Outcome::Kind::kLost);
  EXPECT_EQ(kind(4), Outcome::Kind::kFailed);
  EXPECT_EQ(kind(5), Outcome::Kind::kLost);
  EXPECT_TRUE(PathExists(Dir(1) + "/outcome.json"));
}

// As after a loss of power: what the outcome counts as sent never came to the disk.
TEST_F(RunDirTest, AnOutcomeOfMoreEventsThanThereAreIsNotBelieved) {
  MakeAttempt(1, 1);
  AppendTo(Dir(1) + "/events.jsonl", RowLine(1));
  ASSERT_TRUE(
      run_dir_->WriteOutcome(kStore, 1, {.kind = Outcome::Kind::kFailed, .last_seq = 1}).ok());
  const absl::StatusOr<Outcome> outcome = run_dir_->RecoverOutcome(kStore, 1);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, Outcome::Kind::kLost);
  EXPECT_EQ(outcome->last_seq, 0);
}

TEST_F(RunDirTest, StoreIdsThatAreNoFolderNames) {
  EXPECT_TRUE(run_dir_->SetLastStore("0a1b").ok());
  EXPECT_EQ(run_dir_->LastStore(), "0a1b");
  for (const char* bad : {"", "..", "a/b", "/etc", "checkpoints", "lock", "survivor-7"})
    EXPECT_FALSE(run_dir_->SetLastStore(bad).ok());
  EXPECT_EQ(run_dir_->LastStore(), "0a1b");
}

class SurvivorTest : public RunDirTest {
 protected:
  static absl::Status KillRecorded(const std::string& identity) {
    return KillRecordedProcess(identity, kLongMs, ::kill);
  }
  std::unique_ptr<Subprocess> StartSleeper() {
    return *Subprocess::Spawn({.argv = {"/bin/sleep", "1000"}});
  }
};

TEST_F(SurvivorTest, RecordedTrainersAreKilled) {
  std::unique_ptr<Subprocess> sleeper = StartSleeper();
  MakeAttempt(17, 1);
  ASSERT_TRUE(run_dir_->WritePid(kStore, 17, sleeper->pid()).ok());
  run_dir_->KillSurvivors();
  ExitStatus status;
  ASSERT_TRUE(sleeper->WaitReaped(kLongMs, &status));
  EXPECT_EQ(status.signal, SIGKILL);
  EXPECT_FALSE(PathExists(Dir(17) + "/pid"));
  EXPECT_THAT(run_dir_->KillSurvivors(), IsEmpty());
}

// As in a driver that hangs. The record outlives the attempt, so that daemons to come
// know of the process too.
TEST_F(SurvivorTest, WhatDoesNotEndStaysOnRecord) {
  std::unique_ptr<Subprocess> sleeper = StartSleeper();
  MakeAttempt(17, 1);
  ASSERT_TRUE(run_dir_->WritePid(kStore, 17, sleeper->pid()).ok());
  const KillFunction in_vain = [](pid_t, int) { return 0; };
  std::vector<Survivor> survivors = run_dir_->KillSurvivors(/*timeout_ms=*/0, in_vain);
  ASSERT_EQ(survivors.size(), 1u);
  run_dir_->Forget(kStore, 17, /*accepted=*/true);
  survivors = run_dir_->KillSurvivors(/*timeout_ms=*/0, in_vain);
  ASSERT_EQ(survivors.size(), 1u);
  EXPECT_THAT(CheckSurvivors(&survivors),
              HasSubstr(absl::StrCat("process ", sleeper->pid(), " does not end")));
  EXPECT_TRUE(PathExists(survivors[0].record));
  const std::string record = survivors[0].record;
  EXPECT_THAT(run_dir_->KillSurvivors(), IsEmpty());
  ExitStatus status;
  ASSERT_TRUE(sleeper->WaitReaped(kLongMs, &status));
  EXPECT_EQ(CheckSurvivors(&survivors), "");
  EXPECT_THAT(survivors, IsEmpty());
  EXPECT_FALSE(PathExists(record));
}

// A pid that was given to another process in the meantime, or a host that booted again.
TEST_F(SurvivorTest, OthersAreLeftAlone) {
  std::unique_ptr<Subprocess> sleeper = StartSleeper();
  const std::string identity = *DescribeProcess(sleeper->pid());
  const std::vector<std::string> fields = absl::StrSplit(identity, ' ');
  ASSERT_EQ(fields.size(), 3u);
  EXPECT_THAT(fields[2], MatchesRegex("[0-9a-f-]{36}\n"));
  EXPECT_TRUE(KillRecorded(absl::StrCat(fields[0], " 12 ", fields[2])).ok());
  EXPECT_TRUE(KillRecorded(absl::StrCat(fields[0], " ", fields[1], " other-boot")).ok());
  EXPECT_FALSE(KillRecorded("1 2 3").ok());
  EXPECT_FALSE(KillRecorded("-5 2 3").ok());
  EXPECT_FALSE(KillRecorded("nonsense").ok());
  EXPECT_EQ(kill(sleeper->pid(), 0), 0);
  ExitStatus status;
  EXPECT_FALSE(sleeper->TryReap(&status));
}

}  // namespace
}  // namespace loglog::worker
