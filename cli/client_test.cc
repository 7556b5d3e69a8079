#include "cli/client.h"

#include <chrono>

#include "cli/args.h"
#include "cli/fake_service_testing.h"
#include "cli/fixtures_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

std::unique_ptr<Client> Connect(const std::string& address, int tries = 4,
                                int64_t deadline_ms = 20'000) {
  return Client::Create(
             {.address = address, .deadline_ms = deadline_ms, .tries = tries, .pause_ms = 1})
      .value();
}

TEST(ClientTest, ReadsEveryPage) {
  FakeService fake;
  fake.page_size_max = 5;
  const auto trials = Connect(fake.address())->ListTrials("sweeps/demo");
  ASSERT_TRUE(trials.ok()) << trials.status();
  ASSERT_THAT(*trials, SizeIs(16));
  EXPECT_EQ(trials->back().name(), "sweeps/demo/trials/16");
  EXPECT_THAT(fake.calls, SizeIs(4));
}

TEST(ClientTest, TriesAgainWhenUnavailableWithTheSameRequestId) {
  FakeService fake;
  fake.unavailable_calls = 3;
  const auto client = Connect(fake.address());
  ASSERT_TRUE(client->CreateSweep("{}", false).ok());
  ASSERT_THAT(fake.request_ids, SizeIs(4));
  EXPECT_THAT(fake.request_ids, Each(fake.request_ids[0]));
  ASSERT_TRUE(client->CreateSweep("{}", false).ok());
  EXPECT_NE(fake.request_ids[4], fake.request_ids[0]);
}

TEST(ClientTest, FollowsTheAdviceToCallAgain) {
  FakeService fake;
  fake.overloaded_calls = 2;
  fake.advised_ms = 150;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Connect(fake.address())->CreateSweep("{}", false).ok());
  const auto waited = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(waited, std::chrono::milliseconds(150 + 300)) << "the second pause is longer";
  ASSERT_THAT(fake.request_ids, SizeIs(3));
  EXPECT_THAT(fake.request_ids, Each(fake.request_ids[0]));
  fake.overloaded_calls = 9;
  fake.advised_ms = 1;
  const absl::Status status = Connect(fake.address())->GetServerInfo().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too much; call again in 1 s"));
}

TEST(ClientTest, GivesUpWithTheAddressAndHowToStartOne) {
  const auto client = Connect("unix:/nonexistent/loglog.sock", 2, 2'000);
  const absl::Status status = client->GetServerInfo().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no coordinator answers at unix:/nonexistent/loglog.sock"));
  EXPECT_THAT(HintOf(status), HasSubstr("loglog up"));
}

TEST(ClientTest, OtherErrorsAreNotTriedAgain) {
  FakeService fake;
  const absl::Status status = Connect(fake.address())->GetSweep("sweeps/other").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(fake.calls, SizeIs(1));
}

TEST(ClientTest, EveryCallHasADeadline) {
  FakeService fake;
  fake.hang = true;
  const absl::Status status = Connect(fake.address(), 1, 200)->GetServerInfo().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not answer within 200 ms"));
  EXPECT_THAT(HintOf(status), HasSubstr("--rpc-timeout"));
}

TEST(ClientTest, WatchRingsAndEndsAtOnce) {
  FakeService fake;
  const auto client = Connect(fake.address());
  const auto watch = client->WatchSweep("sweeps/demo", 0);
  EXPECT_TRUE(watch->WaitForEvent(20'000));
}

TEST(ClientTest, WatchOfADeadCoordinatorStaysQuiet) {
  const auto client = Connect("unix:/nonexistent/loglog.sock", 1, 500);
  const auto watch = client->WatchSweep("sweeps/demo", 0);
  EXPECT_FALSE(watch->WaitForEvent(50));
}

TEST(ClientTest, BadAddressesAreRefusedAtOnce) {
  EXPECT_THAT(std::string(Client::Create({.address = "host"}).status().message()),
              HasSubstr("host:port"));
  EXPECT_THAT(
      std::string(Client::Create({.address = "h:1", .security = {.tls_ca = "/nonexistent.pem"}})
                      .status()
                      .message()),
      HasSubstr("--tls-ca"));
}

TEST(ClientTest, NamesInShort) {
  EXPECT_EQ(SweepName("a"), "sweeps/a");
  EXPECT_EQ(SweepName("sweeps/a"), "sweeps/a");
  EXPECT_EQ(TrialName("7", "sweeps/a"), "sweeps/a/trials/7");
  EXPECT_EQ(TrialName("b/7", "sweeps/a"), "sweeps/b/trials/7");
  EXPECT_EQ(TrialName("sweeps/b/trials/7", ""), "sweeps/b/trials/7");
  EXPECT_EQ(WorkerName("w"), "workers/w");
}

}  // namespace
}  // namespace loglog::cli
