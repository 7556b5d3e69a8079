// The daemon as a process: killed at any moment, stopped, started wrongly.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "coordinator/daemon_testing.h"
#include "coordinator/service_testing.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;

class ProcessTest : public ::testing::Test {
 protected:
  std::vector<std::string> Arguments(const std::string& listen = "") {
    return {"--store", folder_ / "store.db", "--listen",
            listen.empty() ? "unix:" + (folder_ / "socket") : listen};
  }
  // Ends with this code at once, saying this.
  void ExpectRefusal(std::vector<std::string> arguments, int code, const std::string& message) {
    Daemon daemon(folder_, std::move(arguments));
    EXPECT_EQ(daemon.WaitReady(), "");
    EXPECT_EQ(daemon.WaitExit(), code) << daemon.Log();
    EXPECT_THAT(daemon.Log(), HasSubstr(message));
  }
  ScratchFolder folder_;
};

// A worker that remembers what was acknowledged to it.
class Rememberer {
 public:
  void Connect(const std::string& address) {
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    workers_ = v1::WorkerService::NewStub(channel_);
    v1::RegisterWorkerRequest request;
    request.set_protocol(v1::PROTOCOL_CURRENT);
    request.set_worker_id("w");
    request.set_boot_id("boot");
    request.add_slots()->set_device("cpu");
    v1::RegisterWorkerResponse response;
    const grpc::Status status = workers_->RegisterWorker(NewContext().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    epoch_ = response.session_epoch();
  }
  void TakeTask() {
    v1::SyncWorkerRequest request;
    request.set_worker_id("w");
    request.set_session_epoch(epoch_);
    request.add_slots()->set_state(v1::SlotReport::IDLE);
    v1::SyncWorkerResponse response;
    const grpc::Status status = workers_->SyncWorker(NewContext().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    attempt_id_ = response.slots(0).task().attempt_id();
    ASSERT_GT(attempt_id_, 0);
  }
  v1::MetricBatch BatchAt(int64_t first_seq, int rows) const {
    v1::MetricBatch batch;
    batch.set_worker_id("w");
    batch.set_session_epoch(epoch_);
    batch.set_attempt_id(attempt_id_);
    batch.set_first_seq(first_seq);
    batch.add_names("loss/train");
    for (int64_t seq = first_seq; seq < first_seq + rows; ++seq) {
      v1::MetricRow* row = batch.add_events()->mutable_row();
      row->set_step(seq + 1);
      row->set_tokens(seq + 1);
      row->add_name(0);
      row->add_value(0.5 * static_cast<double>(seq));
    }
    return batch;
  }
  // Where the coordinator says that it goes on.
  int64_t AskLastSeq() {
    const auto context = NewContext();
    const auto stream = workers_->StreamMetrics(context.get());
    EXPECT_TRUE(stream->Write(BatchAt(0, 0)));
    v1::MetricAck ack;
    EXPECT_TRUE(stream->Read(&ack));
    EXPECT_FALSE(ack.forget());
    context->TryCancel();
    stream->Finish();
    return ack.last_seq();
  }
  // Streams from `first_seq` on until the connection breaks; many batches are under way.
  void StreamUntilBroken(int64_t first_seq) {
    const auto context = NewContext();
    const auto stream = workers_->StreamMetrics(context.get());
    std::thread reader([&] {
      v1::MetricAck ack;
      while (stream->Read(&ack)) acknowledged = ack.last_seq();
    });
    for (int64_t seq = first_seq; stream->Write(BatchAt(seq, kRows)); seq += kRows) {
    }
    reader.join();
    stream->Finish();
  }

  std::atomic<int64_t> acknowledged = -1;
  std::unique_ptr<v1::SweepService::Stub> Sweeps() const {
    return v1::SweepService::NewStub(channel_);
  }

 private:
  static constexpr int kRows = 5;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  int64_t epoch_ = 0;
  int64_t attempt_id_ = 0;
};

uint64_t TestSeed() {
  uint64_t seed = std::random_device{}();
  if (const char* const given = std::getenv("LOGLOG_TEST_SEED")) absl::SimpleAtoi(given, &seed);
  return seed;
}

TEST_F(ProcessTest, KillNineLosesNothingThatWasAcknowledged) {
  const uint64_t seed = TestSeed();
  std::printf("LOGLOG_TEST_SEED=%llu replays this\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  Rememberer client;
  for (int kill = 0; kill < 6; ++kill) {
    Daemon daemon(folder_, Arguments());
    const std::string address = daemon.WaitReady();
    ASSERT_NE(address, "") << daemon.Log();
    client.Connect(address);
    if (kill == 0) {
      v1::CreateSweepRequest request;
      request.set_spec_json(TinySpec("s"));
      v1::CreateSweepResponse response;
      ASSERT_TRUE(client.Sweeps()->CreateSweep(NewContext().get(), request, &response).ok());
      client.TakeTask();
    }
    const int64_t last = client.AskLastSeq();
    ASSERT_GE(last, client.acknowledged) << "an acknowledged batch is missing";
    const int64_t target = last + 10 + static_cast<int64_t>(random() % 200);
    const int64_t extra_us = static_cast<int64_t>(random() % 20'000);
    std::atomic<bool> broken = false;
    std::thread killer([&] {
      while (client.acknowledged < target && !broken) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::microseconds(extra_us));
      daemon.Signal(SIGKILL);
    });
    client.StreamUntilBroken(last + 1);
    broken = true;
    killer.join();
    EXPECT_EQ(daemon.WaitExit(), 128 + SIGKILL);
  }
  // Every row is there once, with its value.
  Daemon daemon(folder_, Arguments());
  client.Connect(daemon.WaitReady());
  const int64_t last = client.AskLastSeq();
  ASSERT_GE(last, client.acknowledged);
  v1::ListPointsRequest request;
  request.set_sweep("sweeps/s");
  request.add_trials("sweeps/s/trials/1");
  v1::ListPointsResponse response;
  ASSERT_TRUE(client.Sweeps()->ListPoints(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.series_size(), 1);
  ASSERT_EQ(response.series(0).points_size(), last + 1);
  for (int64_t seq = 0; seq <= last; ++seq) {
    ASSERT_EQ(response.series(0).points(seq).step(), seq + 1);
    ASSERT_EQ(response.series(0).points(seq).value(), 0.5 * static_cast<double>(seq));
  }
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitExit(), 0);
}

TEST_F(ProcessTest, ATermSignalEndsItWithOpenCalls) {
  Daemon daemon(folder_, Arguments("127.0.0.1:0"));
  const std::string address = daemon.WaitReady();
  ASSERT_THAT(address, HasSubstr("127.0.0.1:"));
  EXPECT_NE(address, "127.0.0.1:0");
  const auto stub =
      v1::SweepService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  const auto context = NewContext();
  const auto stream = stub->WatchSweep(context.get(), v1::WatchSweepRequest());
  stream->WaitForInitialMetadata();
  const auto start = SteadyClock::now();
  daemon.Signal(SIGTERM);
  v1::Event event;
  while (stream->Read(&event)) {
  }
  stream->Finish();
  EXPECT_EQ(daemon.WaitExit(), 0);
  EXPECT_LT(std::chrono::duration<double>(SteadyClock::now() - start).count(), 10);
  EXPECT_THAT(daemon.Log(), HasSubstr("\"message\":\"stopped\""));  // JSON: no terminal
}

TEST_F(ProcessTest, OneStoreHasOneCoordinator) {
  Daemon first(folder_, Arguments());
  ASSERT_NE(first.WaitReady(), "");
  ScratchFolder other;
  Daemon second(other, {"--store", folder_ / "store.db", "--listen", "unix:" + (other / "socket")});
  EXPECT_EQ(second.WaitReady(), "");
  EXPECT_EQ(second.WaitExit(), 1);
  EXPECT_THAT(second.Log(), HasSubstr("store.db"));
  EXPECT_THAT(second.Log(), HasSubstr("process"));
}

TEST_F(ProcessTest, AStoreOfANewerVersionIsRefused) {
  {
    Daemon daemon(folder_, Arguments());
    ASSERT_NE(daemon.WaitReady(), "");
    daemon.Signal(SIGINT);
    ASSERT_EQ(daemon.WaitExit(), 0);
  }
  // The schema's number in the header of an SQLite file: 4 bytes, big-endian, at 60.
  std::fstream file(folder_ / "store.db", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(60);
  file.write("\0\0\3\347", 4);
  file.close();
  ExpectRefusal(Arguments(), 1, "999");
}

TEST_F(ProcessTest, AnAddressInUseIsNamed) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string text = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  ExpectRefusal(Arguments(text), 1, absl::StrCat(text, ": another process listens there"));
}

TEST_F(ProcessTest, WrongAddressesAndFlagsAreRefused) {
  ExpectRefusal(Arguments("127.0.0.1"), 2, "the port is missing");
  ExpectRefusal(Arguments("127.0.0.1:70700"), 2, "'70700' is no port");
  ExpectRefusal(Arguments("0.0.0.0:0"), 2, "can be reached from other hosts");
  std::vector<std::string> arguments = Arguments("203.0.113.7:0");
  arguments.push_back("--insecure");
  ExpectRefusal(arguments, 2, "203.0.113.7:0: this host has no such address");
  arguments = Arguments();
  arguments.insert(arguments.end(), {"--lease", "30"});
  ExpectRefusal(arguments, 2, "--lease");
  arguments = Arguments();
  arguments.insert(arguments.end(), {"--lease", "10s", "--lease-margin", "6s"});
  ExpectRefusal(arguments, 2, "at most half of --lease");
  arguments = Arguments();
  arguments.insert(arguments.end(), {"--tls-cert", "x.pem"});
  ExpectRefusal(arguments, 2, "belong together");
  arguments = Arguments();
  arguments.insert(arguments.end(), {"--tls-client-ca", "x.pem"});
  ExpectRefusal(arguments, 2, "--tls-client-ca is for TLS");
  arguments = Arguments();
  arguments.insert(arguments.end(), {"--auth", "maybe"});
  ExpectRefusal(arguments, 2, "--auth");
  arguments = Arguments();
  arguments.push_back("--no-such-flag");
  ExpectRefusal(arguments, 2, "--no-such-flag");
  ExpectRefusal({"--store", "/nonexistent/store.db"}, 1, "/nonexistent");
}

TEST_F(ProcessTest, TheFirstAdminsTokenIsBesideTheStoreAndMadeOnce) {
  const std::string path = folder_ / "store.db.admin-token";
  std::vector<std::string> arguments = Arguments();
  const auto serves = [&](const std::string& token) {
    const auto stub = v1::SweepService::NewStub(
        grpc::CreateChannel("unix:" + (folder_ / "socket"), grpc::InsecureChannelCredentials()));
    const auto context = NewContext();
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    v1::ListSweepsResponse response;
    return stub->ListSweeps(context.get(), v1::ListSweepsRequest(), &response).error_code();
  };
  const auto read = [&] {
    return std::string(absl::StripAsciiWhitespace(ReadFile(path).value_or("")));
  };
  {
    Daemon open(folder_, arguments);
    ASSERT_NE(open.WaitReady(), "") << open.Log();
    EXPECT_EQ(serves(""), grpc::OK) << "a socket of its owner asks nobody";
    EXPECT_FALSE(PathExists(path));
    open.Signal(SIGTERM);
    ASSERT_EQ(open.WaitExit(), 0);
  }
  arguments.insert(arguments.end(), {"--auth", "required"});
  std::string first;
  {
    Daemon daemon(folder_, arguments);
    ASSERT_NE(daemon.WaitReady(), "") << daemon.Log();
    struct stat info = {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600);
    first = read();
    EXPECT_EQ(serves(first), grpc::OK);
    EXPECT_EQ(serves(""), grpc::UNAUTHENTICATED);
    EXPECT_THAT(daemon.Log(), HasSubstr(path));
    EXPECT_THAT(daemon.Log(), testing::Not(HasSubstr(first)));
    daemon.Signal(SIGKILL);
    daemon.WaitExit();
  }
  {
    Daemon again(folder_, arguments);
    ASSERT_NE(again.WaitReady(), "") << again.Log();
    EXPECT_EQ(read(), first);
    EXPECT_EQ(serves(first), grpc::OK);
    again.Signal(SIGTERM);
    again.WaitExit();
  }
  arguments.push_back("--new-admin-token");
  Daemon lost(folder_, arguments);
  ASSERT_NE(lost.WaitReady(), "") << lost.Log();
  EXPECT_NE(read(), first);
  EXPECT_EQ(serves(read()), grpc::OK);
  EXPECT_EQ(serves(first), grpc::OK) << "until it is revoked";
}

TEST_F(ProcessTest, ASocketLeftByAKilledOneIsTakenOver) {
  {
    Daemon daemon(folder_, Arguments());
    ASSERT_NE(daemon.WaitReady(), "");
    daemon.Signal(SIGKILL);
    daemon.WaitExit();
  }
  ASSERT_TRUE(PathExists(folder_ / "socket"));
  Daemon daemon(folder_, Arguments());
  ASSERT_NE(daemon.WaitReady(), "") << daemon.Log();
  // And one that serves keeps its socket.
  ScratchFolder other;
  Daemon second(other, {"--store", other / "store.db", "--listen", "unix:" + (folder_ / "socket")});
  EXPECT_EQ(second.WaitReady(), "");
  EXPECT_EQ(second.WaitExit(), 1);
  EXPECT_THAT(second.Log(), HasSubstr("another process listens there"));
}

}  // namespace
}  // namespace loglog
