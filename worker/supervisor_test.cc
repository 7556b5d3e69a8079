#include "worker/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/supervisor_testing.h"

namespace loglog::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(SupervisorTest, TaskFromOrderToForget) {
  Upload();
  Run(17, 25);
  EXPECT_EQ(SlotNow().state, State::kRunning);
  EXPECT_EQ(SlotNow().attempt_id, 17);
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDone) << outcome.message;
  EXPECT_EQ(outcome.exit_code, 0);
  // start, 25 rows, 3 checkpoints, end.
  EXPECT_EQ(outcome.last_seq, 29);
  EXPECT_EQ(stream_->last_seq(17), 29);
  EXPECT_TRUE(supervisor_->View().busy);
  EXPECT_TRUE(PathExists(Dir(17) + "/outcome.json"));
  Wish(SlotEvent::Kind::kForget, 17);
  EXPECT_EQ(SlotNow().state, State::kIdle);
  EXPECT_FALSE(supervisor_->View().busy);
  EXPECT_TRUE(Gone(17));
  EXPECT_THAT(*ListDir(run_dir_->TaskCheckpointDir(kStore, 17)), ElementsAre("step-00000025"));
}

// Whatever a task is called, and wherever it lies: it is data, and no shell ever sees it.
TEST_F(SupervisorTest, TaskFieldsNeverReachAShell) {
  StopDaemon();
  const std::string proof = dir_.path() + "/proof";
  root_ = dir_.path() + "/run;$(touch proof)`touch proof`\n&& touch proof #";
  StartDaemon(LOGLOG_FAKE_TRAINER);
  Upload();
  const std::string evil = "; touch " + proof + " $(touch " + proof + ") `touch " + proof +
                           "`\\n| touch " + proof + " && touch " + proof + " '\\\"";
  TaskOrder order = MakeOrder(17, 17, 5);
  const size_t name = order.task_json.find("t0");
  ASSERT_NE(name, std::string::npos);
  order.task_json.replace(name, 2, evil);
  Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = order});
  EXPECT_EQ(Finish().kind, Outcome::Kind::kDone) << SlotNow().outcome.message;
  EXPECT_THAT(*ReadFile(Dir(17) + "/task.json"), HasSubstr(evil));
  EXPECT_FALSE(PathExists(proof));
  EXPECT_FALSE(PathExists(Dir(17) + "/proof"));
  EXPECT_THAT(*ListDir(dir_.path()), SizeIs(2));  // this root and the one of the set-up
}

// The trainer is not started: it would open what the worker's user can read.
TEST_F(SupervisorTest, DataOutsideOfTheDataRootIsRefused) {
  Upload();
  TaskOrder order = MakeOrder(17, 17, 5);
  const std::string train = "\"metrics\"";
  order.task_json.replace(order.task_json.find(train), train.size(),
                          "\"data\":{\"val\":{\"glob\":\"a/../../b.bin\"}}," + train);
  Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = order});
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_THAT(outcome.message, AllOf(HasSubstr("members[0].config.data.val.glob 'a/../../b.bin'"),
                                     HasSubstr("--data-root")));
}

TEST_F(SupervisorTest, FinishedOnlyWhenEverythingIsAcknowledged) {
  Run(17, 5);
  EXPECT_TRUE(Becomes(State::kUploading));
  EXPECT_EQ(SlotNow().outcome, Outcome());
  const uint64_t urgent = supervisor_->View().urgent;
  Upload();
  EXPECT_EQ(Finish().kind, Outcome::Kind::kDone);
  EXPECT_GT(supervisor_->View().urgent, urgent);
}

TEST_F(SupervisorTest, SlotsWorkSideBySide) {
  Upload();
  Run(17, 5, 0);
  Run(18, 5, 1);
  EXPECT_EQ(Finish(0).kind, Outcome::Kind::kDone);
  EXPECT_EQ(Finish(1).kind, Outcome::Kind::kDone);
  EXPECT_EQ(SlotNow(1).attempt_id, 18);
}

TEST_F(SupervisorTest, StopMakesACheckpointThatTheNextAttemptResumes) {
  Upload();
  {
    ScopedMisbehaviour hang("hang_at=15");
    Run(17, 25);
    WaitForEvent(17, "\"step\":14,");
    Wish(SlotEvent::Kind::kStop, 17);
    const Outcome outcome = Finish();
    EXPECT_EQ(outcome.kind, Outcome::Kind::kStopped) << outcome.message;
    EXPECT_EQ(outcome.exit_code, 143);
  }
  // It was asked before its step 15 or in it.
  const std::string stopped = Events(17);
  const std::string step = stopped.find("step-00000015") != std::string::npos ? "15" : "14";
  ASSERT_THAT(stopped, HasSubstr("step-000000" + step));
  Wish(SlotEvent::Kind::kForget, 17);
  // Resumed, the rest is what one trainer would have written.
  TaskOrder order = MakeOrder(18, 17, 25);
  order.resume_step = std::stoi(step);
  order.resume_path = run_dir_->TaskCheckpointDir(kStore, 17) + "/step-000000" + step;
  const size_t sha = stopped.rfind("\"sha256\":\"") + 10;
  order.resume_sha256 = stopped.substr(sha, 64);
  Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = order});
  EXPECT_EQ(Finish().kind, Outcome::Kind::kDone);
  EXPECT_THAT(Events(18), HasSubstr("\"resume_step\":" + step));
  Run(19, 25, 1);
  EXPECT_EQ(Finish(1).kind, Outcome::Kind::kDone);
  const std::string whole = Events(19);
  EXPECT_THAT(Events(18), HasSubstr(whole.substr(whole.rfind("{\"e\":\"end\""))));
}

// T13: a slot is not free while its old process lives.
TEST_F(SupervisorTest, T13_trainer_that_ignores_sigterm) {
  Upload();
  ScopedMisbehaviour deaf("ignore_sigterm=1;hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  const pid_t pid = Pid(17);
  Wish(SlotEvent::Kind::kStop, 17);
  EXPECT_EQ(SlotNow().state, State::kStopping);
  Run(18, 5);  // refused: the slot is taken
  EXPECT_EQ(SlotNow().attempt_id, 17);
  const Outcome outcome = Finish();
  EXPECT_TRUE(GroupIsGone(pid));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kStopped);
  EXPECT_EQ(outcome.signal, SIGKILL);
  EXPECT_THAT(outcome.message, HasSubstr("did not leave in time"));
}

// T26: threads that spin for each other on shared cores cost more than they bring.
TEST_F(SupervisorTest, T26_one_patient_thread_for_each_trainer) {
  ScopedMisbehaviour hang("hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  EXPECT_THAT(*ReadFile(Dir(17) + "/task.json"), HasSubstr("\"threads\":1"));
  const std::string environment = *ReadFile(absl::StrCat("/proc/", Pid(17), "/environ"));
  const std::vector<std::string> variables = absl::StrSplit(environment, '\0');
  EXPECT_THAT(variables, Contains("OMP_WAIT_POLICY=PASSIVE"));
  EXPECT_THAT(variables, Contains("GLIBC_TUNABLES=glibc.malloc.hugetlb=1"));
}

TEST_F(SupervisorTest, StoppedTrainerLeavesToo) {
  Upload();
  ScopedMisbehaviour stops("signal_at=3;signal=19");
  Run(17, 4);
  WaitForEvent(17, "\"step\":2,");
  Wish(SlotEvent::Kind::kStop, 17);
  // Woken, it checkpoints as if nothing had been.
  EXPECT_EQ(Finish().kind, Outcome::Kind::kStopped);
}

TEST_F(SupervisorTest, OrphansOfTheTrainerAreReaped) {
  Upload();
  ScopedMisbehaviour orphan("orphan=1;hang_at=3");
  Run(17, 4);
  WaitForEvent(17, "\"step\":2,");
  const pid_t pid = Pid(17);
  kill(pid, SIGKILL);
  const Outcome outcome = Finish();
  EXPECT_TRUE(GroupIsGone(pid));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kLost);
  EXPECT_THAT(outcome.message, HasSubstr("did not send"));
}

TEST_F(SupervisorTest, LeaseKillsOnTheWorkersOwnClock) {
  ScopedMisbehaviour hang("hang_at=3");
  Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = MakeOrder(17, 1, 25)});
  WaitForEvent(17, "\"step\":2,");
  const pid_t pid = Pid(17);
  const int64_t deadline_ms = Clock::Real()->monotonic_ms() + 100;
  supervisor_->Apply({}, {}, false, deadline_ms);
  EXPECT_TRUE(Becomes(State::kUploading));
  EXPECT_GE(Clock::Real()->monotonic_ms(), deadline_ms);
  EXPECT_TRUE(GroupIsGone(pid));
  Upload();
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kLost);
  EXPECT_THAT(outcome.message, HasSubstr("lease"));
  // Its events are there for the next attempt.
  EXPECT_EQ(stream_->last_seq(17), outcome.last_seq);
}

// Rule 2 holds although the supervisor itself waits for a file system that hangs.
TEST_F(SupervisorTest, LeaseKillsWhileTheSupervisorIsHeldUp) {
  StopDaemon();
  daemon_clock_ = &clock_;
  StartDaemon(LOGLOG_FAKE_TRAINER);
  ScopedMisbehaviour hang("hang_at=3;ignore_sigterm=1");
  Run(17, 25, 0);
  Run(18, 25, 1);
  WaitForEvent(17, "\"step\":2,");
  WaitForEvent(18, "\"step\":2,");
  supervisor_->Apply({}, {}, false, clock_.monotonic_ms() + 5'000);
  WatchedProcess trainer(Pid(17));
  const pid_t other = Pid(18);
  StuckFile stuck(Dir(18) + "/task.json");  // read when its trainer has ended
  kill(other, SIGKILL);
  ASSERT_TRUE(stuck.WaitForReader());
  clock_.Advance(5'500);
  EXPECT_TRUE(trainer.Ends());
  EXPECT_EQ(SlotNow(0).state, State::kRunning);  // the supervisor could not look yet
  stuck.Release();
  Upload();
  const Outcome outcome = Finish(0);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kLost);
  EXPECT_THAT(outcome.message, HasSubstr("lease"));
}

TEST_F(SupervisorTest, SlowFoldersDoNotHoldUpTheSupervisor) {
  Upload();
  Run(17, 5);
  Finish();
  StuckFile stuck(Dir(17) + "/outcome.json");  // read when the attempt is forgotten
  Wish(SlotEvent::Kind::kForget, 17);
  ASSERT_TRUE(stuck.WaitForReader());
  EXPECT_EQ(SlotNow().state, State::kIdle);
  Run(17, 5);  // not while its folder goes
  EXPECT_EQ(SlotNow().state, State::kIdle);
  Run(18, 5);
  EXPECT_EQ(Finish().kind, Outcome::Kind::kDone);
  stuck.Release();
  EXPECT_TRUE(Gone(17));
}

// A trainer that leaves a dead child which nobody can bury: its group does not end.
class UnburiedTest : public SupervisorTest {
 protected:
  // Attempt 17 in slot 0, killed, and long past the time that this may take.
  void KillInVain() {
    StopDaemon();
    daemon_clock_ = &clock_;
    StartDaemon(LOGLOG_FAKE_TRAINER);
    {
      ScopedMisbehaviour unburied("hang_at=3;unburied=" + keeper_path_);
      Run(17, 25);
      WaitForEvent(17, "\"step\":2,");
    }
    pid_ = Pid(17);
    WatchedProcess trainer(pid_);
    ASSERT_TRUE(Eventually(
        [&] { return absl::SimpleAtoi(ReadFile(keeper_path_).value_or(""), &keeper_); }));
    Wish(SlotEvent::Kind::kKill, 17);
    // No longer there, or a zombie that is about to be reaped.
    EXPECT_TRUE(trainer.Ends());
    clock_.Advance(10'000);
  }
  void EndKeeper() {
    if (keeper_ > 0) kill(std::exchange(keeper_, 0), SIGKILL);
  }
  void TearDown() override {
    EndKeeper();
    SupervisorTest::TearDown();
  }

  const std::string keeper_path_ = dir_.path() + "/keeper";
  int keeper_ = 0;
  pid_t pid_ = 0;
};

TEST_F(UnburiedTest, KeepsItsSlotAndNoWorkComes) {
  KillInVain();
  EXPECT_TRUE(Unhealthy(absl::StrCat("process ", pid_, " does not end")));
  EXPECT_EQ(SlotNow().state, State::kStopping);
  EXPECT_TRUE(PathExists(Dir(17) + "/pid"));
  const absl::Status other = supervisor_->SetStore("0ther");
  EXPECT_EQ(other.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(other.message()), HasSubstr(absl::StrCat("process ", pid_)));
  EndKeeper();
  EXPECT_TRUE(Becomes(State::kIdle));
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().unhealthy.empty(); }));
  EXPECT_EQ(supervisor_->SetStore("0ther"), absl::OkStatus());
}

TEST_F(UnburiedTest, DoesNotKeepTheDaemonFromLeaving) {
  KillInVain();
  const std::string record = Dir(17) + "/pid";
  StopDaemon();  // returns
  EXPECT_TRUE(PathExists(record));
}

TEST_F(SupervisorTest, SurvivorsOfEarlierDaemonsKeepWorkAway) {
  StopDaemon();
  const auto sleeper = *Subprocess::Spawn({.argv = {"/bin/sleep", "1000"}});
  const std::string record = dir_.path() + "/run/survivor-" + std::to_string(sleeper->pid());
  AppendTo(record, *DescribeProcess(sleeper->pid()));
  survivors_ = {{.identity = *ReadFile(record), .record = record}};
  daemon_clock_ = &clock_;
  StartDaemon(LOGLOG_FAKE_TRAINER);
  EXPECT_THAT(supervisor_->View().unhealthy,
              HasSubstr(absl::StrCat("process ", sleeper->pid(), " does not end")));
  sleeper->KillGroup();
  ExitStatus status;
  ASSERT_TRUE(sleeper->WaitReaped(kLongMs, &status));
  clock_.Advance(2'000);
  supervisor_->StopAttempt(99);  // wakes it; there is no such attempt
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().unhealthy.empty(); }));
  EXPECT_FALSE(PathExists(record));
}

// The order was given again although its trainer ran: what it wrote is reported, and its
// numbers are not used twice.
TEST_F(SupervisorTest, OrderOfAnAttemptThatRanBeforeIsNotStartedAgain) {
  {
    ScopedMisbehaviour hang("hang_at=3");
    Run(17, 25);
    WaitForEvent(17, "\"step\":2,");
  }
  StopDaemon();
  StartDaemon(LOGLOG_FAKE_TRAINER);
  const std::string events = Events(17);
  Run(17, 25);
  EXPECT_EQ(SlotNow().state, State::kIdle);
  EXPECT_EQ(Events(17), events);
  Upload();
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().held.count(17) == 1; }));
  EXPECT_EQ(supervisor_->View().held.at(17).kind, Outcome::Kind::kLost);
  EXPECT_EQ(supervisor_->View().held.at(17).last_seq, stream_->last_seq(17));
  // Another task of that number is of a store that was put back; the old one is void. This
  // stream would take its events for more of the old one's.
  stream_.reset();
  Run(17, 5);
  EXPECT_EQ(SlotNow().attempt_id, 17);
  supervisor_->StopAttempt(17);
}

TEST_F(SupervisorTest, KillAndFenceReportNothing) {
  Upload();
  ScopedMisbehaviour hang("hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  Wish(SlotEvent::Kind::kKill, 17);
  EXPECT_TRUE(Becomes(State::kIdle));
  EXPECT_TRUE(Gone(17));
  stream_->FenceFrom(18);
  Run(18, 25);
  EXPECT_TRUE(Becomes(State::kIdle));
  EXPECT_TRUE(Gone(18));
}

TEST_F(SupervisorTest, FailuresCarryLastWords) {
  Upload();
  {
    ScopedMisbehaviour leaves("exit_at=3;exit_code=30;flood=3000000");
    Run(17, 25);
    const Outcome outcome = Finish();
    EXPECT_EQ(outcome.kind, Outcome::Kind::kOutOfMemory);
    EXPECT_EQ(outcome.message, "trainer ran out of memory: fake: leaving with 30 at step 3");
  }
  EXPECT_LT(ReadFile(Dir(17) + "/stderr.log")->size(), 900'000u);
  Wish(SlotEvent::Kind::kForget, 17);
  const std::string kept = dir_.path() + "/run/5eed/failed/attempt-17/stderr.log";
  EXPECT_TRUE(Eventually([&] { return PathExists(kept); }));
  ScopedMisbehaviour crashes("signal_at=3;signal=11");
  Run(18, 25);
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kFailed);
  EXPECT_EQ(outcome.signal, SIGSEGV);
}

TEST_F(SupervisorTest, OddEventsFiles) {
  Upload();
  {
    ScopedMisbehaviour partial("partial_at=3");
    Run(17, 25);
    const Outcome outcome = Finish();
    EXPECT_EQ(outcome.kind, Outcome::Kind::kLost);
    EXPECT_EQ(outcome.last_seq, 2);  // start and two rows; the torn line is none
  }
  Wish(SlotEvent::Kind::kForget, 17);
  ScopedMisbehaviour bad("bad_line_at=3");
  Run(18, 5);
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDone);
  EXPECT_EQ(outcome.last_seq, 8);  // start, five rows, the bad line, checkpoint, end
}

TEST_F(SupervisorTest, Divergence) {
  Upload();
  ScopedMisbehaviour diverges("diverge_at=4");
  Run(17, 25);
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDiverged) << outcome.message;
  EXPECT_EQ(outcome.exit_code, 10);
}

TEST_F(SupervisorTest, TaskThatNobodyCanRead) {
  Upload();
  Apply({.slot = 0,
         .kind = SlotEvent::Kind::kRun,
         .order = {.attempt_id = 17, .task_id = 1, .task_json = "nonsense"}});
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.last_seq, -1);
  EXPECT_EQ(supervisor_->View().unhealthy, "");
}

TEST_F(SupervisorTest, HostThatCannotStartTrainersSaysSo) {
  StopDaemon();
  const std::string trainer = dir_.path() + "/trainer";
  AppendTo(trainer, "not a program");
  ASSERT_EQ(chmod(trainer.c_str(), 0700), 0);
  StartDaemon(trainer);
  Upload();
  Run(17, 5);
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kLost);
  EXPECT_THAT(outcome.message, HasSubstr(trainer));
  EXPECT_TRUE(Eventually(
      [&] { return absl::StrContains(supervisor_->View().unhealthy, "cannot start a trainer"); }));
}

TEST_F(SupervisorTest, DrainLetsTrainersLeaveAndTakesNoMore) {
  Upload();
  ScopedMisbehaviour hang("hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  supervisor_->Drain();
  EXPECT_EQ(Finish().kind, Outcome::Kind::kStopped);
  Run(18, 5, 1);
  EXPECT_EQ(SlotNow(1).state, State::kIdle);
}

TEST_F(SupervisorTest, KillAllIsQuick) {
  Upload();
  ScopedMisbehaviour deaf("ignore_sigterm=1;hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  supervisor_->Drain();
  supervisor_->KillAll();
  const Outcome outcome = Finish();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kStopped);
  EXPECT_EQ(outcome.signal, SIGKILL);
}

TEST_F(SupervisorTest, NextDaemonReportsWhatIsOwed) {
  Upload();
  Run(17, 5, 0);
  Finish(0);
  ScopedMisbehaviour hang("hang_at=3");
  Run(18, 25, 1);
  WaitForEvent(18, "\"step\":2,");
  const pid_t pid = Pid(18);
  StopDaemon();
  EXPECT_TRUE(GroupIsGone(pid));
  StartDaemon(LOGLOG_FAKE_TRAINER);
  EXPECT_THAT(supervisor_->HeldAttempts(kStore), ElementsAre(17, 18));
  EXPECT_THAT(supervisor_->View().held, IsEmpty());
  EXPECT_TRUE(supervisor_->View().busy);
  Upload();
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().held.size() == 2; }));
  const std::map<int64_t, Outcome> held = supervisor_->View().held;
  EXPECT_EQ(held.at(17).kind, Outcome::Kind::kDone);
  EXPECT_EQ(held.at(18).kind, Outcome::Kind::kLost);
  EXPECT_EQ(held.at(18).last_seq, stream_->last_seq(18));
  supervisor_->Apply({}, {17, 18}, false, kNever);
  EXPECT_THAT(supervisor_->View().held, IsEmpty());
  EXPECT_FALSE(supervisor_->View().busy);
  EXPECT_TRUE(Eventually([&] { return run_dir_->ListAttempts(kStore).empty(); }));
}

TEST_F(SupervisorTest, AnotherStoreTakesTheSlotsAndTheFirstGetsItsReportsLater) {
  Upload();
  ScopedMisbehaviour hang("hang_at=3");
  Run(17, 25);
  WaitForEvent(17, "\"step\":2,");
  const pid_t pid = Pid(17);
  EXPECT_EQ(supervisor_->SetStore("0ther"), absl::OkStatus());
  EXPECT_TRUE(GroupIsGone(pid));
  EXPECT_EQ(SlotNow().state, State::kIdle);
  EXPECT_THAT(supervisor_->View().held, IsEmpty());
  EXPECT_FALSE(supervisor_->View().busy);
  EXPECT_EQ(supervisor_->SetStore(kStore), absl::OkStatus());
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().held.size() == 1; }));
  EXPECT_EQ(supervisor_->View().held.at(17).kind, Outcome::Kind::kLost);
}

// A daemon that is killed takes its trainers down, and the next one finds what they left.
TEST_F(SupervisorTest, DaemonsSuddenDeathEndsItsTrainers) {
  StopDaemon();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  auto daemon = Subprocess::Spawn(
      {.argv = {LOGLOG_SUPERVISOR_HOST, dir_.path() + "/run", LOGLOG_FAKE_TRAINER},
       .env = {"LOGLOG_FAKE_TRAINER=hang_at=3"},
       .stdout_fd = ends[1]});
  close(ends[1]);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  std::string said;
  for (char c = 0; read(ends[0], &c, 1) == 1 && c != '\n';) said.push_back(c);
  close(ends[0]);
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(said.substr(0, said.find(' ')), &pid)) << said;
  WatchedProcess trainer(pid);
  (*daemon)->Signal(SIGKILL);
  EXPECT_TRUE(trainer.Ends());
  daemon->reset();
  StartDaemon(LOGLOG_FAKE_TRAINER);
  Upload();
  EXPECT_TRUE(Eventually([&] { return supervisor_->View().held.size() == 1; }));
  EXPECT_EQ(supervisor_->View().held.at(17).kind, Outcome::Kind::kLost);
}

}  // namespace
}  // namespace loglog::worker
