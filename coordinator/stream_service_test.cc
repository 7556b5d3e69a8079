// Streams and long polls over the wire: acknowledgements, watching, cancelling, stopping.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "coordinator/service_testing.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;

class StreamTest : public ServiceWorld {
 protected:
  void SetUp() override {
    Submit("s");
    epoch_ = Register("w");
    order_ = TakeTask("w", epoch_);
  }
  v1::MetricBatch BatchAt(int64_t first_seq, int rows) {
    v1::MetricBatch batch;
    batch.set_worker_id("w");
    batch.set_session_epoch(epoch_);
    batch.set_attempt_id(order_.attempt_id());
    batch.set_first_seq(first_seq);
    batch.add_names("loss/train");
    for (int i = 0; i < rows; ++i) {
      v1::MetricRow* row = batch.add_events()->mutable_row();
      row->set_step(first_seq + i + 1);
      row->set_tokens(64 * row->step());
      row->add_name(0);
      row->add_value(3.0);
    }
    return batch;
  }
  // What is acknowledged for an attempt, asked on a stream of its own.
  int64_t Acknowledged() {
    const auto context = NewContext();
    const auto stream = workers_->StreamMetrics(context.get());
    EXPECT_TRUE(stream->Write(BatchAt(0, 0)));
    v1::MetricAck ack;
    EXPECT_TRUE(stream->Read(&ack));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return ack.last_seq();
  }

  // The next event that is not of a fit: those come when they are computed.
  static bool ReadEvent(grpc::ClientReader<v1::Event>* stream, v1::Event* event) {
    do {
      if (!stream->Read(event)) return false;
    } while (event->kind() == "fit.updated");
    return true;
  }

  int64_t epoch_ = 0;
  v1::TaskOrder order_;
};

TEST_F(StreamTest, BatchesAreAcknowledgedInOrder) {
  const auto context = NewContext();
  const auto stream = workers_->StreamMetrics(context.get());
  constexpr int kBatches = 200;
  std::thread writer([&] {
    for (int i = 0; i < kBatches; ++i) ASSERT_TRUE(stream->Write(BatchAt(i * 5, 5)));
    stream->WritesDone();
  });
  int64_t last = -1;
  int acks = 0;
  v1::MetricAck ack;
  while (stream->Read(&ack)) {
    EXPECT_GT(ack.last_seq(), last);
    EXPECT_FALSE(ack.forget());
    last = ack.last_seq();
    ++acks;
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(acks, kBatches);
  EXPECT_EQ(last, kBatches * 5 - 1);
  EXPECT_EQ(Acknowledged(), last);
}

TEST_F(StreamTest, AGapEndsTheStream) {
  const auto context = NewContext();
  const auto stream = workers_->StreamMetrics(context.get());
  ASSERT_TRUE(stream->Write(BatchAt(0, 2)));
  ASSERT_TRUE(stream->Write(BatchAt(10, 2)));
  v1::MetricAck ack;
  int64_t last = -1;
  while (stream->Read(&ack)) last = ack.last_seq();
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("the next one is 2"));
  EXPECT_EQ(last, 1);  // what came before was stored and acknowledged
}

TEST_F(StreamTest, AMalformedRowEndsTheStream) {
  v1::MetricBatch batch = BatchAt(0, 1);
  batch.mutable_events(0)->mutable_row()->add_name(0);  // two names, one value
  const auto context = NewContext();
  const auto stream = workers_->StreamMetrics(context.get());
  ASSERT_TRUE(stream->Write(batch));
  v1::MetricAck ack;
  EXPECT_FALSE(stream->Read(&ack));
  EXPECT_EQ(stream->Finish().error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(StreamTest, AnotherSessionEndsTheStream) {
  Register("w");
  const auto context = NewContext();
  const auto stream = workers_->StreamMetrics(context.get());
  ASSERT_TRUE(stream->Write(BatchAt(0, 1)));
  v1::MetricAck ack;
  EXPECT_FALSE(stream->Read(&ack));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("STALE_SESSION"));
}

TEST_F(StreamTest, AStreamThatIsGivenUpHarmsNobody) {
  for (int i = 0; i < 20; ++i) {
    const auto context = NewContext();
    const auto stream = workers_->StreamMetrics(context.get());
    stream->Write(BatchAt(0, 5));
    if (i % 2 == 0) stream->Write(BatchAt(5, 5));
    context->TryCancel();
    stream->Finish();
  }
  EXPECT_GE(Acknowledged(), -1);
}

TEST_F(StreamTest, WatchingResumesAfterAnEvent) {
  v1::WatchSweepRequest request;
  request.set_name("sweeps/s");
  std::vector<v1::Event> events;
  {
    const auto context = NewContext();
    const auto stream = sweeps_->WatchSweep(context.get(), request);
    v1::Event event;
    while (events.size() < 2 && ReadEvent(stream.get(), &event)) events.push_back(event);
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
  }
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0].kind(), "sweep.created");
  EXPECT_EQ(events[1].kind(), "attempt.leased");
  EXPECT_EQ(events[1].sweep(), "sweeps/s");
  EXPECT_EQ(events[1].worker(), "workers/w");

  // From there on: what is new while it watches.
  request.set_after_event_id(events[1].event_id());
  const auto context = NewContext();
  const auto stream = sweeps_->WatchSweep(context.get(), request);
  v1::SweepVerbRequest pause;
  pause.set_name("sweeps/s");
  v1::Sweep sweep;
  ASSERT_TRUE(sweeps_->PauseSweep(NewContext().get(), pause, &sweep).ok());
  v1::Event event;
  ASSERT_TRUE(ReadEvent(stream.get(), &event));
  EXPECT_EQ(event.kind(), "sweep.paused");
  EXPECT_GT(event.event_id(), events[1].event_id());
  context->TryCancel();
  stream->Finish();
}

TEST_F(StreamTest, WatchingWhatIsNotThere) {
  for (const auto& [name, code] : std::vector<std::pair<std::string, grpc::StatusCode>>{
           {"sweeps/none", grpc::NOT_FOUND}, {"No Name", grpc::INVALID_ARGUMENT}}) {
    v1::WatchSweepRequest request;
    request.set_name(name);
    const auto context = NewContext();
    const auto stream = sweeps_->WatchSweep(context.get(), request);
    v1::Event event;
    EXPECT_FALSE(stream->Read(&event));
    EXPECT_EQ(stream->Finish().error_code(), code);
  }
}

TEST_F(StreamTest, ASlowWatcherMissesNothing) {
  v1::WatchSweepRequest request;
  const auto context = NewContext();
  const auto stream = sweeps_->WatchSweep(context.get(), request);
  // More events than a page, before the first is read.
  constexpr int kVerbs = 150;
  v1::SweepVerbRequest verb;
  verb.set_name("sweeps/s");
  v1::Sweep sweep;
  for (int i = 0; i < kVerbs; ++i) {
    ASSERT_TRUE(sweeps_->PauseSweep(NewContext().get(), verb, &sweep).ok());
    ASSERT_TRUE(sweeps_->ResumeSweep(NewContext().get(), verb, &sweep).ok());
  }
  int verbs = 0;
  int64_t last = 0;
  v1::Event event;
  while (verbs < 2 * kVerbs && stream->Read(&event)) {
    EXPECT_GT(event.event_id(), last);
    last = event.event_id();
    if (event.kind() == "sweep.paused" || event.kind() == "sweep.resumed") ++verbs;
  }
  EXPECT_EQ(verbs, 2 * kVerbs);
  context->TryCancel();
  stream->Finish();
}

TEST_F(StreamTest, ALongPollThatIsGivenUpIsUnparked) {
  const int64_t epoch = Register("idle");
  v1::SweepVerbRequest verb;
  verb.set_name("sweeps/s");
  v1::Sweep sweep;
  ASSERT_TRUE(sweeps_->PauseSweep(NewContext().get(), verb, &sweep).ok());
  for (int i = 0; i < 20; ++i) {
    const auto context = NewContext();
    v1::SyncWorkerResponse response;
    const v1::SyncWorkerRequest request = IdleSync("idle", epoch, 60'000);
    Answer<int> ended;
    workers_->async()->SyncWorker(context.get(), &request, &response,
                                  [reply = ended.reply()](const grpc::Status&) { reply(0); });
    if (i % 2 == 0) engine_->Poke();  // sometimes parked already, sometimes on its way
    context->TryCancel();
    ASSERT_TRUE(ended.Wait().ok());
  }
  // The service hears of a cancelled call some time after its caller.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (engine_->Poke() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  ASSERT_EQ(engine_->Poke(), 0u);
  // Nobody waits in its name any more: no task goes there.
  ASSERT_TRUE(sweeps_->ResumeSweep(NewContext().get(), verb, &sweep).ok());
  v1::GetTrialRequest get;
  get.set_name("sweeps/s/trials/2");
  v1::Trial trial;
  ASSERT_TRUE(sweeps_->GetTrial(NewContext().get(), get, &trial).ok());
  EXPECT_EQ(trial.attempt_id(), 0);
}

TEST_F(StreamTest, T25_ShutdownWithOpenWatchesStreamsAndParkedCalls) {
  std::vector<std::thread> clients;
  std::atomic<int> unavailable = 0;
  std::atomic<int> open = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      const auto context = NewContext();
      const auto stream = sweeps_->WatchSweep(context.get(), v1::WatchSweepRequest());
      v1::Event event;
      stream->Read(&event);
      ++open;
      while (stream->Read(&event)) {
      }
      if (stream->Finish().error_code() == grpc::UNAVAILABLE) ++unavailable;
    });
    clients.emplace_back([&] {
      const auto context = NewContext();
      const auto stream = workers_->StreamMetrics(context.get());
      stream->Write(BatchAt(0, 0));
      v1::MetricAck ack;
      stream->Read(&ack);
      ++open;
      while (stream->Read(&ack)) {
      }
      if (stream->Finish().error_code() == grpc::UNAVAILABLE) ++unavailable;
    });
    const std::string worker = "p" + std::to_string(i);
    v1::SweepVerbRequest verb;
    verb.set_name("sweeps/s");
    v1::Sweep sweep;
    sweeps_->PauseSweep(NewContext().get(), verb, &sweep);
    const int64_t epoch = Register(worker);
    clients.emplace_back([&, worker, epoch] {
      ++open;  // and it parks
      v1::SyncWorkerResponse response;
      const grpc::Status status =
          workers_->SyncWorker(NewContext().get(), IdleSync(worker, epoch, 60'000), &response);
      if (status.error_code() == grpc::UNAVAILABLE) ++unavailable;
    });
  }
  while (open < 24 || engine_->Poke() < 8) std::this_thread::yield();
  const auto start = SteadyClock::now();
  host_->Shutdown(/*grace_ms=*/3'000);
  engine_->Stop();
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  for (std::thread& client : clients) client.join();
  EXPECT_LT(seconds, 10);
  EXPECT_EQ(unavailable, 24);
}

}  // namespace
}  // namespace loglog
