// Failures that systems like this one are known for (docs/TRAPS.md): those of the daemon
// and its wire.
#include <gmock/gmock.h>
#include <signal.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "coordinator/daemon_testing.h"
#include "coordinator/service_testing.h"

namespace loglog {
namespace {

using ::testing::SizeIs;

// A worker host that outlives every coordinator: it knows which attempts it ever started,
// and does with its slots what it is told.
class SteadyWorker {
 public:
  explicit SteadyWorker(int slots) : slots_(slots) {
    for (int i = 0; i < slots; ++i) {
      slots_[i].set_slot(i);
      slots_[i].set_state(v1::SlotReport::IDLE);
    }
  }

  void Connect(const std::string& address) {
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    workers_ = v1::WorkerService::NewStub(channel_);
    sweeps_ = v1::SweepService::NewStub(channel_);
  }
  v1::SweepService::Stub* sweeps() { return sweeps_.get(); }

  bool Register() {
    v1::RegisterWorkerRequest request;
    request.set_protocol(v1::PROTOCOL_CURRENT);
    request.set_worker_id("w");
    request.set_boot_id("boot");
    request.set_host("w");
    for (size_t i = 0; i < slots_.size(); ++i) {
      v1::SlotInfo* const slot = request.add_slots();
      slot->set_slot(static_cast<int>(i));
      slot->set_device("cpu");
    }
    v1::RegisterWorkerResponse response;
    const grpc::Status status = workers_->RegisterWorker(NewContext().get(), request, &response);
    if (status.ok()) epoch_ = response.session_epoch();
    return status.ok();
  }

  // Syncs, obeys, and trains what it has started to its end. False when the coordinator
  // did not answer; `*idle` when there was nothing to do.
  bool Turn(bool* idle) {
    v1::SyncWorkerRequest request;
    request.set_worker_id("w");
    request.set_session_epoch(epoch_);
    for (const v1::SlotReport& slot : slots_) *request.add_slots() = slot;
    v1::SyncWorkerResponse response;
    if (!workers_->SyncWorker(NewContext().get(), request, &response).ok()) return false;
    *idle = true;
    for (const v1::SlotReport& slot : request.slots()) {
      if (slot.state() != v1::SlotReport::IDLE) *idle = false;
    }
    for (const v1::SlotDesired& desired : response.slots()) {
      if (desired.action() != v1::SlotDesired::NONE) *idle = false;
      v1::SlotReport& slot = slots_[desired.slot()];
      if (desired.action() == v1::SlotDesired::RUN) {
        if (desired.forget_attempt_id() != 0) {
          EXPECT_EQ(desired.forget_attempt_id(), slot.attempt_id());
          slot.set_state(v1::SlotReport::IDLE);
          slot.clear_outcome();
        }
        Start(&slot, desired.task());
      } else if (desired.action() == v1::SlotDesired::FORGET) {
        slot.set_state(v1::SlotReport::IDLE);
        slot.clear_attempt_id();
        slot.clear_outcome();
      } else if (desired.action() != v1::SlotDesired::NONE) {
        ADD_FAILURE() << "told to " << desired.ShortDebugString();
      }
    }
    for (v1::SlotReport& slot : slots_) {
      if (slot.state() == v1::SlotReport::RUNNING && !Train(&slot)) return false;
    }
    return true;
  }

  // How many attempts of each task it has started.
  const std::map<int64_t, std::set<int64_t>>& started() const { return started_; }

 private:
  void Start(v1::SlotReport* slot, const v1::TaskOrder& order) {
    ASSERT_EQ(slot->state(), v1::SlotReport::IDLE) << "slot " << slot->slot() << " is taken";
    slot->set_state(v1::SlotReport::RUNNING);
    slot->set_attempt_id(order.attempt_id());
    EXPECT_TRUE(started_[order.task_id()].insert(order.attempt_id()).second)
        << "attempt " << order.attempt_id() << " is ordered again after it had been reported";
  }

  // All events of an attempt, from the first on whatever was stored before.
  bool Train(v1::SlotReport* slot) {
    v1::MetricBatch batch;
    batch.set_worker_id("w");
    batch.set_session_epoch(epoch_);
    batch.set_attempt_id(slot->attempt_id());
    batch.add_names("loss/train");
    batch.add_events()->mutable_started()->set_total_steps(10);
    for (int step = 1; step <= 10; ++step) {
      v1::MetricRow* const row = batch.add_events()->mutable_row();
      row->set_step(step);
      row->set_tokens(64 * step);
      row->add_name(0);
      row->add_value(5.0 - 0.1 * step);
    }
    v1::MemberEnded* const end = batch.add_events()->mutable_member_ended();
    end->set_step(10);
    end->set_tokens(640);
    end->set_final_loss(4.0);
    end->set_summary_json("{}");
    const auto context = NewContext();
    const auto stream = workers_->StreamMetrics(context.get());
    v1::MetricAck ack;
    const bool stored = stream->Write(batch) && stream->Read(&ack);
    context->TryCancel();
    stream->Finish();
    if (!stored) return false;
    EXPECT_EQ(ack.last_seq(), batch.events_size() - 1);
    EXPECT_FALSE(ack.forget());
    slot->set_state(v1::SlotReport::FINISHED);
    slot->mutable_outcome()->set_kind(v1::AttemptOutcome::DONE);
    slot->mutable_outcome()->set_last_seq(ack.last_seq());
    return true;
  }

  std::vector<v1::SlotReport> slots_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  int64_t epoch_ = 0;
  std::map<int64_t, std::set<int64_t>> started_;
};

class TrapsProcessTest : public ::testing::Test {
 protected:
  std::vector<std::string> Arguments() {
    return {"--store", folder_ / "store.db", "--listen", "unix:" + (folder_ / "socket")};
  }
  ScratchFolder folder_;
};

// The coordinator dies on each side of a commit, again and again, from the submit to the
// last report: nothing is started twice, and the trials are those that were asked for.
TEST_F(TrapsProcessTest, T15_T10_kill_nine_at_every_commit_boundary) {
  const std::vector<std::string> places = {"engine.commit.before", "engine.answer.before",
                                           "engine.grant.stored", "engine.batch.applied",
                                           "lease.outcome_complete"};
  constexpr int kLives = 20;
  constexpr int kTrials = 16;
  SteadyWorker worker(4);
  bool submitted = false;
  bool all_done = false;
  int killed = 0;
  std::set<std::string> trials;
  for (int life = 0; life <= kLives && !all_done; ++life) {
    // It gets a little further each time; the last one lives.
    std::vector<std::string> env;
    if (life < kLives) {
      env.push_back(absl::StrCat("LOGLOG_FAILPOINT=", places[life % places.size()], ":",
                                 1 + life / static_cast<int>(places.size())));
    }
    Daemon daemon(folder_, Arguments(), env);
    const std::string address = daemon.WaitReady();
    if (address.empty()) {
      ASSERT_EQ(daemon.WaitExit(), 128 + SIGKILL) << daemon.Log();
      ++killed;
      continue;
    }
    worker.Connect(address);
    bool answers = true;
    if (!submitted) {
      v1::CreateSweepRequest request;
      request.set_spec_json(TinySpec("s", 4, 2));
      request.set_request_id("once");
      v1::CreateSweepResponse response;
      submitted = answers =
          worker.sweeps()->CreateSweep(NewContext().get(), request, &response).ok();
      if (submitted) {
        EXPECT_EQ(response.sweep().counts().total(), kTrials);
      }
    }
    answers = answers && worker.Register();
    while (answers && !all_done) answers = worker.Turn(&all_done);
    if (!answers) {
      ASSERT_EQ(daemon.WaitExit(), 128 + SIGKILL) << daemon.Log();
      ++killed;
      continue;
    }
    v1::ListTrialsRequest request;
    request.set_sweep("sweeps/s");
    request.set_page_size(100);
    v1::ListTrialsResponse response;
    if (!worker.sweeps()->ListTrials(NewContext().get(), request, &response).ok()) {
      all_done = false;
      continue;
    }
    EXPECT_EQ(response.total(), kTrials);
    for (const v1::Trial& trial : response.trials()) {
      EXPECT_EQ(trial.state(), v1::Trial::DONE) << trial.ShortDebugString();
      EXPECT_EQ(trial.attempts(), 1) << trial.ShortDebugString();
      trials.insert(trial.trial_sha256());
    }
  }
  EXPECT_TRUE(all_done);
  EXPECT_GE(killed, 10);
  EXPECT_THAT(trials, SizeIs(kTrials));
  EXPECT_THAT(worker.started(), SizeIs(kTrials));
  for (const auto& [task_id, attempts] : worker.started()) {
    EXPECT_THAT(attempts, SizeIs(1)) << "task " << task_id << " was started twice";
  }
}

class TrapsServiceTest : public ServiceWorld {};

TEST_F(TrapsServiceTest, T21_a_diverged_trial_on_the_wire) {
  Submit("s");
  const int64_t epoch = Register("w");
  const v1::TaskOrder order = TakeTask("w", epoch);
  v1::MetricBatch batch;
  batch.set_worker_id("w");
  batch.set_session_epoch(epoch);
  batch.set_attempt_id(order.attempt_id());
  batch.add_names("loss/train");
  batch.add_events()->mutable_started()->set_total_steps(10);
  const std::vector<double> losses = {4.5, std::numeric_limits<double>::infinity(), NAN};
  for (size_t i = 0; i < losses.size(); ++i) {
    v1::MetricRow* const row = batch.add_events()->mutable_row();
    row->set_step(static_cast<int64_t>(i) + 1);
    row->set_tokens(64 * row->step());
    row->add_name(0);
    row->add_value(losses[i]);
  }
  v1::MemberEnded* const end = batch.add_events()->mutable_member_ended();
  end->set_diverged(true);
  end->set_step(3);
  end->set_tokens(192);
  end->set_final_loss(NAN);
  end->set_summary_json("{}");
  const auto context = NewContext();
  const auto stream = workers_->StreamMetrics(context.get());
  ASSERT_TRUE(stream->Write(batch));
  v1::MetricAck ack;
  ASSERT_TRUE(stream->Read(&ack));
  EXPECT_EQ(ack.last_seq(), 4);
  context->TryCancel();
  stream->Finish();

  v1::ListTrialsRequest list;
  list.set_sweep("sweeps/s");
  v1::ListTrialsResponse trials;
  ASSERT_TRUE(sweeps_->ListTrials(NewContext().get(), list, &trials).ok());
  int diverged = 0;
  for (const v1::Trial& trial : trials.trials()) {
    EXPECT_TRUE(std::isnan(trial.final_loss())) << "none has a result";
    if (trial.state() != v1::Trial::DIVERGED) continue;
    ++diverged;
    EXPECT_EQ(trial.diverged_step(), 3);
    EXPECT_EQ(trial.failure_count(), 0);
    v1::ListPointsRequest points;
    points.set_sweep("sweeps/s");
    points.add_trials(trial.name());
    v1::ListPointsResponse curves;
    ASSERT_TRUE(sweeps_->ListPoints(NewContext().get(), points, &curves).ok());
    ASSERT_EQ(curves.series_size(), 1);
    ASSERT_EQ(curves.series(0).points_size(), 3);
    EXPECT_EQ(curves.series(0).points(0).value(), losses[0]);
    EXPECT_TRUE(std::isinf(curves.series(0).points(1).value()));
    EXPECT_TRUE(std::isnan(curves.series(0).points(2).value()));
  }
  EXPECT_EQ(diverged, 1);
}

// Each holds a stream for as long as it likes; none of them holds a thread.
TEST_F(TrapsServiceTest, T24_fifty_open_watches_hold_no_thread) {
  constexpr int kWatches = 50;
  Submit("s");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::Event>>> watches;
  v1::WatchSweepRequest watch;
  watch.set_name("sweeps/s");
  for (int i = 0; i < kWatches; ++i) {
    contexts.push_back(NewContext());
    watches.push_back(sweeps_->WatchSweep(contexts.back().get(), watch));
    v1::Event event;
    ASSERT_TRUE(watches.back()->Read(&event));
    EXPECT_EQ(event.kind(), "sweep.created");
  }
  // They are open, nobody reads from them, and who asks is answered.
  const v1::TaskOrder order = TakeTask("w", Register("w"));
  EXPECT_GT(order.attempt_id(), 0);
  v1::Sweep sweep;
  v1::GetSweepRequest get;
  get.set_name("sweeps/s");
  ASSERT_TRUE(sweeps_->GetSweep(NewContext().get(), get, &sweep).ok());
  EXPECT_EQ(sweep.counts().running(), 1);
  for (int i = 0; i < kWatches; ++i) {
    contexts[i]->TryCancel();
    watches[i]->Finish();
  }
}

}  // namespace
}  // namespace loglog
