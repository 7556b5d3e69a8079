#include "worker/sync_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "absl/strings/match.h"
#include "base/refusal.h"
#include "proto/rpc_status.h"
#include "worker/fake_service_testing.h"
#include "worker/metric_stream.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Report = v1::SlotReport;
using Kind = v1::AttemptOutcome;

struct Host {
  int64_t free_bytes_min = 0;
  int64_t timers_ms = 0;  // of everything that looks now and then; 0: short ones
};

// Everything of a daemon but main().
class Daemon {
 public:
  Daemon(const std::string& root, const std::string& address, SyncLoop::Options options = {},
         Host host = {}) {
    const bool short_timers = host.timers_ms == 0;
    auto opened = RunDir::Open({.root = root, .name = "w1"});
    EXPECT_TRUE(opened.ok()) << opened.status();
    run_dir_ = *std::move(opened);
    supervisor_ = std::make_unique<Supervisor>(
        Supervisor::Options{.run_dir = run_dir_.get(),
                            .trainer = LOGLOG_FAKE_TRAINER,
                            .devices = {Device(), Device()},
                            .stop_grace_ms = 1'000,
                            .health_period_ms = short_timers ? 2'000 : host.timers_ms,
                            .free_bytes_min = host.free_bytes_min,
                            .clock = options.clock,
                            .outbox = {.limits = {.events_max = 10},
                                       .flush_ms = short_timers ? 5 : host.timers_ms,
                                       .poll_ms = short_timers ? 50 : host.timers_ms}});
    options.address = address;
    options.version = "0.1.0";
    options.devices = {Device(), Device()};
    options.backoff_limit_ms = 100;
    channel_ = MakeChannel(address, {}).value();
    loop_ =
        std::make_unique<SyncLoop>(options, channel_, run_dir_.get(), supervisor_.get(), &session_);
    stream_ = std::make_unique<MetricStream>(
        MetricStream::Options{.worker_id = "w1",
                              .backoff_limit_ms = 50,
                              .look_ms = short_timers ? 500 : host.timers_ms,
                              .on_refused = [this](int64_t id) { supervisor_->StopAttempt(id); }},
        channel_, &session_, &supervisor_->outbox());
    result_ = std::async(std::launch::async, [this] { return loop_->Run(); });
  }
  // As kill -9 leaves it, but that its own threads end.
  ~Daemon() {
    if (result_.valid()) {
      loop_->Hurry();
      result_.wait();
    }
    stream_.reset();
    loop_.reset();
  }
  absl::Status Wait() {
    const bool ended =
        result_.wait_for(std::chrono::milliseconds(kLongMs)) == std::future_status::ready;
    EXPECT_TRUE(ended);
    return ended ? result_.get() : absl::DeadlineExceededError("still running");
  }
  bool Ended() {
    return !result_.valid() ||
           result_.wait_for(std::chrono::milliseconds(0)) == std::future_status::ready;
  }
  SyncLoop& loop() { return *loop_; }
  Supervisor& supervisor() { return *supervisor_; }
  RunDir& run_dir() { return *run_dir_; }

 private:
  std::unique_ptr<RunDir> run_dir_;
  std::unique_ptr<Supervisor> supervisor_;
  Session session_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SyncLoop> loop_;
  std::unique_ptr<MetricStream> stream_;
  std::future<absl::Status> result_;
};

// With all the time in the world between two looks, whatever waits for a timer and not for
// news stands still.
constexpr int64_t kNoTimerMs = 3'600'000;

class SyncLoopTest : public ::testing::Test {
 protected:
  void StartDaemon(SyncLoop::Options options = {}, Host host = {}) {
    daemon_ = std::make_unique<Daemon>(root_, address_, std::move(options), host);
  }
  Kind OutcomeOf(int64_t attempt_id) {
    Kind outcome;
    EXPECT_TRUE(service_.WaitForOutcome(attempt_id, &outcome));
    return outcome;
  }
  bool Idle(int slot = 0) { return service_.WaitForState(slot, Report::IDLE, 0); }
  bool Running(int64_t attempt_id) { return service_.WaitForState(0, Report::RUNNING, attempt_id); }
  std::string PidOf(int64_t attempt_id) {
    const std::string path = daemon_->run_dir().AttemptDir("5eed", attempt_id) + "/pid";
    EXPECT_TRUE(Eventually([&] { return PathExists(path); }));
    return *ReadFile(path);
  }

  TempDir dir_;
  FakeClock clock_;
  const std::string root_ = dir_.path() + "/run";
  const std::string address_ = "unix:" + dir_.path() + "/socket";
  FakeService service_{address_};
  std::unique_ptr<Daemon> daemon_;
};

// The answers park for 20 s here, so each step that is seen sooner was woken.
TEST_F(SyncLoopTest, TaskFromOrderToIdleWithoutWaitingForAPoll) {
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon({.labels = {{"zone", "a"}}, .checkpoint_scope = "nfs"});
  const Kind outcome = OutcomeOf(17);
  EXPECT_EQ(outcome.kind(), Kind::DONE) << outcome.message();
  EXPECT_EQ(outcome.last_seq(), 29);
  EXPECT_EQ(service_.event_count(17), 30);
  EXPECT_TRUE(Idle());
  EXPECT_EQ(service_.full_waits(), 0);
  EXPECT_TRUE(Eventually([&] { return daemon_->run_dir().ListAttempts("5eed").empty(); }));
  const v1::RegisterWorkerRequest registration = service_.registrations().at(0);
  EXPECT_EQ(registration.worker_id(), "w1");
  EXPECT_EQ(registration.protocol(), 1);
  EXPECT_EQ(registration.slots_size(), 2);
  EXPECT_EQ(registration.labels().at("zone"), "a");
  EXPECT_EQ(registration.checkpoint_scope(), "nfs");
  EXPECT_THAT(registration.held(), IsEmpty());
}

// From the answer that orders a task to the order of the next one in the same slot nothing
// waits for a timer: they are all set to an hour here.
TEST_F(SyncLoopTest, ASlotIsTurnedAroundWithoutATimer) {
  constexpr int kTasks = 20;
  service_.SetRules([](auto& rules) {
    rules.lease_ms = 10 * kNoTimerMs;
    rules.sync_interval_ms = kNoTimerMs;
  });
  service_.Start();
  for (int i = 0; i < kTasks; ++i) {
    // Rows up to the end, so that the last batch is one that the batch interval holds back.
    service_.OrderNext(i % 2, MakeOrder(100 + i, 1 + i, 30));
  }
  StartDaemon({.quiet_pause_ms = kNoTimerMs}, {.timers_ms = kNoTimerMs});
  for (int i = 0; i < kTasks; ++i) {
    EXPECT_EQ(OutcomeOf(100 + i).kind(), Kind::DONE) << i;
  }
  EXPECT_TRUE(Idle(0));
  EXPECT_TRUE(Idle(1));
  EXPECT_EQ(service_.full_waits(), 0);
}

// An answer that started a task is followed by a parked call at once: what is submitted
// next does not wait for a pause to end.
TEST_F(SyncLoopTest, OneTaskIsNoReasonToLetTheNextWait) {
  service_.SetRules([](auto& rules) {
    rules.lease_ms = 10 * kNoTimerMs;
    rules.sync_interval_ms = kNoTimerMs;
  });
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3");
  StartDaemon({.quiet_pause_ms = kNoTimerMs}, {.timers_ms = kNoTimerMs});
  ASSERT_TRUE(Idle());
  service_.Order(0, MakeOrder(17, 1, 25));
  EXPECT_TRUE(Running(17));
  service_.Order(1, MakeOrder(18, 2, 25));
  EXPECT_TRUE(service_.WaitForState(1, Report::RUNNING, 18));
}

// News that come while a sync is left alone wait for its answer, not for a park.
TEST_F(SyncLoopTest, ASyncThatIsLeftAloneDoesNotPark) {
  service_.SetRules([](auto& rules) {
    rules.lease_ms = 10 * kNoTimerMs;
    rules.sync_interval_ms = kNoTimerMs;
  });
  service_.Start();
  StartDaemon();
  ASSERT_TRUE(Idle());
  for (int i = 0; i < 5; ++i) {
    const int before = service_.syncs();
    daemon_->loop().Wake();  // takes a parked call back; the one after it is left alone
    ASSERT_TRUE(Eventually([&] { return service_.syncs() > before; }));
  }
  EXPECT_EQ(service_.full_waits(), 0);
}

TEST_F(SyncLoopTest, AGangIsReportedInAllOfItsSlots) {
  service_.Start();
  {
    ScopedMisbehaviour hang("hang_at=3");
    TaskOrder order = MakeOrder(17, 1, 25);
    order.slots = {0, 1};
    service_.Order(0, order);
    StartDaemon();
    EXPECT_TRUE(service_.WaitForState(1, Report::RUNNING, 17));
    EXPECT_TRUE(Running(17));
    ASSERT_TRUE(service_.WaitForEvents(17, 3));
  }
  service_.StopAttempt(17);
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::STOPPED);
  EXPECT_TRUE(Idle(1));
  EXPECT_TRUE(Idle(0));
  EXPECT_EQ(service_.reports(17), 1);
}

// Rules 1 and 2: the worker's own clock ends the trainer when no sync succeeds.
TEST_F(SyncLoopTest, LostLeaseKillsTheTrainer) {
  service_.SetRules([](auto& rules) {
    rules.lease_ms = 60'000;
    rules.lease_margin_ms = 5'000;
    rules.sync_interval_ms = 20;
  });
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3;ignore_sigterm=1");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon({.clock = &clock_});
  ASSERT_TRUE(Running(17));
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  const auto advance = [&](int64_t ms) {
    clock_.Advance(ms);
    daemon_->supervisor().StopAttempt(99);  // wakes it; there is no such attempt
  };
  // Renewed as long as syncs succeed. Of two more, one was sent after the clock moved.
  for (int i = 0; i < 4; ++i) {
    advance(50'000);
    ASSERT_TRUE(service_.WaitForSyncs(2));
    ASSERT_TRUE(Running(17));
  }
  service_.SetRules([](auto& rules) {
    rules.sync_status = {grpc::StatusCode::UNAVAILABLE, "down"};
  });
  // The stream still works: only syncs keep a lease.
  advance(55'000);
  EXPECT_TRUE(Eventually(
      [&] { return daemon_->supervisor().View().slots[0].state == Slot::State::kFinished; }));
  service_.SetRules([](auto& rules) { rules.sync_status = grpc::Status::OK; });
  const Kind outcome = OutcomeOf(17);
  EXPECT_EQ(outcome.kind(), Kind::LOST);
  EXPECT_THAT(outcome.message(), HasSubstr("lease"));
  EXPECT_TRUE(Idle());
}

TEST_F(SyncLoopTest, StaleSessionRegistersAgainAndTheTrainerGoesOn) {
  service_.Start();
  ScopedMisbehaviour slow("step_ms=10");
  service_.Order(0, MakeOrder(17, 1, 60));
  StartDaemon();
  ASSERT_TRUE(Running(17));
  const std::string pid = PidOf(17);
  service_.EndSession();
  ASSERT_TRUE(service_.WaitForRegistrations(2));
  EXPECT_EQ(PidOf(17), pid);
  const auto registrations = service_.registrations();
  EXPECT_EQ(registrations[0].boot_id(), registrations[1].boot_id());
  EXPECT_THAT(registrations[1].held(), IsEmpty());
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::DONE);
  EXPECT_EQ(service_.event_count(17), OutcomeOf(17).last_seq() + 1);
}

// The word that makes the worker register again is the coordinator's; other failed
// preconditions are not mended by it.
TEST_F(SyncLoopTest, OnlyAStaleSessionIsRegisteredAgain) {
  service_.Start();
  ScopedMisbehaviour slow("step_ms=5");
  service_.Order(0, MakeOrder(17, 1, 30));
  service_.SetRules([](auto& rules) {
    rules.stream_status = {grpc::StatusCode::FAILED_PRECONDITION, "the store is read-only"};
  });
  StartDaemon();
  ASSERT_TRUE(service_.WaitForStreams(3));
  EXPECT_EQ(service_.registrations().size(), 1u);
  service_.SetRules([](auto& rules) {
    rules.stream_status = grpc::Status::OK;
    rules.sync_status = {grpc::StatusCode::FAILED_PRECONDITION, "the store is read-only"};
  });
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  service_.SetRules([](auto& rules) { rules.sync_status = grpc::Status::OK; });
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::DONE);
  EXPECT_EQ(service_.registrations().size(), 1u);
}

// What cannot be helped here is told, but not with every try.
TEST_F(SyncLoopTest, RefusalOfAllMetricsIsToldOnce) {
  const auto log = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(1'000);
  spdlog::default_logger()->sinks().push_back(log);
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 3));
  service_.SetRules([](auto& rules) {
    rules.stream_status = {grpc::StatusCode::DATA_LOSS, "the disk ate it"};
  });
  StartDaemon();
  ASSERT_TRUE(service_.WaitForStreams(5));
  service_.SetRules([](auto& rules) { rules.stream_status = grpc::Status::OK; });
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::DONE);
  spdlog::default_logger()->sinks().pop_back();
  const std::vector<std::string> lines = log->last_formatted();
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) {
                            return absl::StrContains(line,
                                                     "[warning] metrics are not taken: "
                                                     "the disk ate it");
                          }),
            1);
}

// Two daemons with one id take the session from each other: one of them gives way.
TEST_F(SyncLoopTest, OneOfTwoWorkersWithOneIdLeaves) {
  service_.Start();
  StartDaemon();
  ASSERT_TRUE(service_.WaitForSyncs(1));
  Daemon second(root_ + "2", address_);
  // The backoff of a test is at most 100 ms, so each gets its turn; whichever leaves
  // first lets the other one be.
  ASSERT_TRUE(Eventually([&] { return daemon_->Ended() || second.Ended(); }));
  Daemon& gone = second.Ended() ? second : *daemon_;
  Daemon& stays = second.Ended() ? *daemon_ : second;
  const absl::Status status = gone.Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("worker w1"), HasSubstr("--name")));
  for (int i = 0; i < 2; ++i) {
    stays.loop().Wake();
    EXPECT_TRUE(service_.WaitForSyncs(1));
  }
  EXPECT_FALSE(stays.Ended());
  EXPECT_LE(service_.registrations().size(), 30u);
}

// Answers that come at once and ask for nothing that is news are not chased: at 10 in a
// second, and not as fast as the wire.
TEST_F(SyncLoopTest, AnswersThatRepeatAreNotChased) {
  service_.Start();
  service_.SetRules([](auto& rules) { rules.drain = true; });
  StartDaemon();
  ASSERT_TRUE(service_.WaitForSyncs(1));
  for (const int64_t killed : {0, 99}) {
    service_.SetRules([&](auto& rules) { rules.forever_killed = killed; });
    const int64_t started_ms = Clock::Real()->monotonic_ms();
    ASSERT_TRUE(service_.WaitForSyncs(6));
    EXPECT_GE(Clock::Real()->monotonic_ms() - started_ms, 400);
  }
}

// News that come faster than answers must not keep the lease from being renewed.
TEST_F(SyncLoopTest, EverySecondSyncIsLeftAloneInAStormOfNews) {
  service_.Start();
  StartDaemon();
  ASSERT_TRUE(Idle());
  service_.SetRules([](auto& rules) { rules.think_ms = 20; });
  std::atomic<bool> over = false;
  std::thread storm([&] {
    while (!over) {
      daemon_->loop().Wake();
      poll(nullptr, 0, 1);  // the loop must get at its lock between two of them
    }
  });
  service_.Order(0, MakeOrder(17, 1, 3));
  EXPECT_TRUE(Eventually([&] { return PathExists(daemon_->run_dir().AttemptDir("5eed", 17)); }));
  over = true;
  storm.join();
}

// T07, rule 5: a report that nobody answers is repeated.
TEST_F(SyncLoopTest, T07_finished_is_repeated_until_forgotten) {
  service_.SetRules([](auto& rules) {
    rules.forget = false;
    rules.sync_interval_ms = 20;
  });
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 3));
  StartDaemon();
  ASSERT_TRUE(service_.WaitForState(0, Report::FINISHED, 17));
  ASSERT_TRUE(service_.WaitForSyncs(3));
  EXPECT_GE(service_.reports(17), 3);
  EXPECT_TRUE(PathExists(daemon_->run_dir().AttemptDir("5eed", 17)));
  service_.SetRules([](auto& rules) { rules.forget = true; });
  EXPECT_TRUE(Idle());
  EXPECT_TRUE(Eventually([&] { return !PathExists(daemon_->run_dir().AttemptDir("5eed", 17)); }));
}

TEST_F(SyncLoopTest, KilledAndFencedAttemptsAreNotReported) {
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon();
  ASSERT_TRUE(Running(17));
  service_.KillAttempt(17);
  EXPECT_TRUE(Idle());
  service_.Order(0, MakeOrder(18, 1, 25));
  ASSERT_TRUE(service_.WaitForEvents(18, 3));
  service_.SetRules([](auto& rules) { rules.fenced_attempt = 18; });
  // Its next batch, or the next question after the break, brings the news.
  service_.EndSession();
  EXPECT_TRUE(Idle());
  EXPECT_EQ(service_.reports(17) + service_.reports(18), 0);
}

TEST_F(SyncLoopTest, StopIsPolite) {
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon();
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  service_.StopAttempt(17);
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::STOPPED);
  EXPECT_EQ(OutcomeOf(17).exit_code(), 143);
}

TEST_F(SyncLoopTest, OperatorsDrainStopsTrainersButNotTheDaemon) {
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon();
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  service_.SetRules([](auto& rules) { rules.drain = true; });
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::STOPPED);
  EXPECT_TRUE(Idle());
  EXPECT_FALSE(service_.last_sync().draining());
  EXPECT_TRUE(service_.WaitForSyncs(2));
}

// Batches whose acknowledgement was lost, stored or not, are not lost and not doubled.
TEST_F(SyncLoopTest, BrokenStreamsResume) {
  for (const bool stored : {false, true}) {
    const int64_t id = stored ? 18 : 17;
    service_.SetRules([&](auto& rules) {
      rules.breaks = 3;
      rules.store_before_break = stored;
    });
    if (!stored) service_.Start();
    const int streams_before = service_.streams();
    service_.Order(0, MakeOrder(id, 1, 50));
    if (!stored) StartDaemon();
    EXPECT_EQ(OutcomeOf(id).kind(), Kind::DONE);
    EXPECT_EQ(service_.event_count(id), OutcomeOf(id).last_seq() + 1);
    EXPECT_GE(service_.streams(), streams_before + 3);
  }
}

// A stream that breaks while everything waits for an answer is opened again.
TEST_F(SyncLoopTest, BrokenQuestionsAreAskedAgain) {
  service_.Start();
  service_.SetRules([](auto& rules) { rules.broken_questions = 2; });
  service_.Order(0, MakeOrder(17, 1, 10));
  StartDaemon();
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::DONE);
  EXPECT_EQ(service_.event_count(17), OutcomeOf(17).last_seq() + 1);
}

TEST_F(SyncLoopTest, RefusedEventsFailTheAttemptAndNoOther) {
  service_.SetRules([](auto& rules) { rules.refused_attempt = 17; });
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 25));
  service_.Order(1, MakeOrder(18, 2, 25));
  StartDaemon();
  const Kind outcome = OutcomeOf(17);
  EXPECT_EQ(outcome.kind(), Kind::FAILED);
  EXPECT_EQ(outcome.last_seq(), -1);
  EXPECT_THAT(outcome.message(), HasSubstr("too odd to store"));
  EXPECT_EQ(OutcomeOf(18).kind(), Kind::DONE);
}

TEST_F(SyncLoopTest, CoordinatorThatComesBack) {
  StartDaemon();  // before there is one
  service_.Start();
  ScopedMisbehaviour slow("step_ms=5");
  service_.Order(0, MakeOrder(17, 1, 100));
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  service_.Stop();
  service_.Start();
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::DONE);
  EXPECT_EQ(service_.event_count(17), OutcomeOf(17).last_seq() + 1);
  EXPECT_TRUE(Idle());
}

TEST_F(SyncLoopTest, NextBootOwesItsReportsAndSaysSo) {
  service_.SetRules([](auto& rules) { rules.forget = false; });
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 3));
  StartDaemon({.hurried_drain_ms = 50});  // nobody will take the report
  ASSERT_TRUE(service_.WaitForState(0, Report::FINISHED, 17));
  daemon_.reset();
  const int before = service_.reports(17);
  StartDaemon();
  ASSERT_TRUE(service_.WaitForRegistrations(2));
  const auto registrations = service_.registrations();
  EXPECT_NE(registrations[0].boot_id(), registrations[1].boot_id());
  EXPECT_THAT(registrations[1].held(), ElementsAre(17));
  ASSERT_TRUE(Eventually([&] { return service_.reports(17) > before; }));
  EXPECT_EQ(service_.last_sync().held(0).attempt_id(), 17);
  service_.SetRules([](auto& rules) { rules.forget = true; });
  EXPECT_TRUE(Eventually([&] { return daemon_->run_dir().ListAttempts("5eed").empty(); }));
}

TEST_F(SyncLoopTest, HeldAttemptsAreNamedOnlyToTheirOwnStore) {
  service_.SetRules([](auto& rules) { rules.forget = false; });
  service_.Start();
  service_.Order(0, MakeOrder(17, 1, 3));
  StartDaemon({.hurried_drain_ms = 50});  // nobody will take the report
  ASSERT_TRUE(service_.WaitForState(0, Report::FINISHED, 17));
  daemon_.reset();
  service_.SetRules([](auto& rules) { rules.store_id = "0ther"; });
  StartDaemon();
  // The first one assumed the store of before; the second knows better.
  ASSERT_TRUE(service_.WaitForRegistrations(3));
  ASSERT_TRUE(service_.WaitForSyncs(1));
  const auto registrations = service_.registrations();
  ASSERT_EQ(registrations.size(), 3u);
  EXPECT_THAT(registrations[2].held(), IsEmpty());
  EXPECT_NE(registrations[1].boot_id(), registrations[2].boot_id());
  EXPECT_THAT(service_.last_sync().held(), IsEmpty());
  EXPECT_TRUE(PathExists(daemon_->run_dir().AttemptDir("5eed", 17)));
}

TEST_F(SyncLoopTest, DrainCheckpointsUploadsReportsAndLeaves) {
  service_.Start();
  ScopedMisbehaviour hang("hang_at=3");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon();
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  daemon_->loop().BeginDrain();
  EXPECT_EQ(daemon_->Wait(), absl::OkStatus());
  EXPECT_EQ(OutcomeOf(17).kind(), Kind::STOPPED);
  EXPECT_EQ(service_.event_count(17), OutcomeOf(17).last_seq() + 1);
  EXPECT_TRUE(service_.last_sync().draining());
  EXPECT_EQ(service_.last_sync().slots(0).state(), Report::IDLE);
}

TEST_F(SyncLoopTest, SecondSignalKills) {
  service_.Start();
  ScopedMisbehaviour deaf("hang_at=3;ignore_sigterm=1");
  service_.Order(0, MakeOrder(17, 1, 25));
  StartDaemon({.drain_ms = 600'000});
  ASSERT_TRUE(service_.WaitForEvents(17, 3));
  daemon_->loop().BeginDrain();
  ASSERT_TRUE(service_.WaitForState(0, Report::STOPPING, 17));
  daemon_->loop().Hurry();
  EXPECT_EQ(daemon_->Wait(), absl::OkStatus());
  EXPECT_EQ(OutcomeOf(17).signal(), 9);
}

TEST_F(SyncLoopTest, DrainIsBoundedWhenTheCoordinatorIsGone) {
  service_.Start();
  StartDaemon({.drain_ms = 200});
  ASSERT_TRUE(Idle());
  service_.Stop();
  daemon_->loop().BeginDrain();
  EXPECT_EQ(daemon_->Wait(), absl::OkStatus());
}

TEST_F(SyncLoopTest, DrainBeforeAnyCoordinator) {
  StartDaemon();
  daemon_->loop().BeginDrain();
  EXPECT_EQ(daemon_->Wait(), absl::OkStatus());
}

TEST_F(SyncLoopTest, OtherProtocolIsFinal) {
  service_.SetRules([](auto& rules) {
    rules.register_status = {grpc::StatusCode::FAILED_PRECONDITION, "speaks 2; install 0.2.0"};
  });
  service_.Start();
  StartDaemon();
  const absl::Status status = daemon_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(address_), HasSubstr("install 0.2.0")));
}

TEST_F(SyncLoopTest, ConnectTimeoutNamesTheAddress) {
  StartDaemon({.connect_timeout_ms = 100});
  const absl::Status status = daemon_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(address_), HasSubstr("--coordinator")));
}

// T18: it keeps answering, but asks for no work.
TEST_F(SyncLoopTest, T18_full_disk_is_reported) {
  service_.Start();
  StartDaemon({}, {.free_bytes_min = int64_t{1} << 60});
  EXPECT_TRUE(Eventually(
      [&] { return absl::StrContains(service_.last_sync().unhealthy(), "disk almost full"); }));
}

TEST_F(SyncLoopTest, AWorkerForWhichThereIsNoRoomWaitsAsLongAsItIsAdvised) {
  service_.SetRules([](auto& rules) {
    rules.register_status = ToGrpcStatus(Overloaded("there are workers enough", 600));
  });
  service_.Start();
  const auto begin = std::chrono::steady_clock::now();
  StartDaemon();
  EXPECT_TRUE(Eventually([&] { return service_.registrations().size() >= 2; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(600));
  service_.SetRules([](auto& rules) { rules.register_status = grpc::Status::OK; });
  EXPECT_TRUE(Idle());
}

TEST_F(SyncLoopTest, ReadyFileTellsThatTheWorkerIsRegistered) {
  const std::string ready = dir_.path() + "/ready";
  StartDaemon({.ready_file = ready});
  EXPECT_FALSE(PathExists(ready));
  service_.Start();
  EXPECT_TRUE(Eventually([&] { return PathExists(ready); }));
  EXPECT_EQ(*ReadFile(ready), "w1\n");
}

}  // namespace
}  // namespace loglog::worker
