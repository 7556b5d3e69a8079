// How much there may be in a coordinator at one time. The numbers are smaller ones here
// than in base/limits.h, but for what can be had quickly.
#include "base/limits.h"

#include <gmock/gmock.h>

#include "base/refusal.h"
#include "coordinator/engine_testing.h"
#include "coordinator/names.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class EngineLimits : public EngineWorld {
 protected:
  void OpenWith(const Capacity& capacity) {
    engine_.reset();
    options_.capacity = capacity;
    Open();
  }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }
};

TEST(CapacityTest, IsWhatTheTableSays) {
  const Capacity capacity;
  EXPECT_EQ(capacity.sweeps_max, limits::kSweepsMax);
  EXPECT_EQ(capacity.open_trials_max, limits::kOpenTrialsMax);
  EXPECT_EQ(capacity.tokens_max, limits::kTokensMax);
  EXPECT_EQ(capacity.workers_max, limits::kWorkersMax);
  EXPECT_EQ(capacity.watchers_max, limits::kWatchersMax);
  EXPECT_EQ(capacity.metric_streams_max, limits::kMetricStreamsMax);
  EXPECT_EQ(capacity.user_calls_max, limits::kUserCallsMax);
  EXPECT_EQ(capacity.submits_max, limits::kSubmitsMax);
  EXPECT_EQ(capacity.series_of_answer_max, limits::kSeriesOfAnswerMax);
  EXPECT_EQ(capacity.points_of_answer_max, limits::kPointsOfAnswerMax);
}

TEST_F(EngineLimits, Sweeps) {
  OpenWith({.sweeps_max = 2});
  ASSERT_TRUE(Submit(TinySpec("a")).ok());
  ASSERT_TRUE(Submit(TinySpec("b", 2)).ok());
  const auto over = Submit(TinySpec("c", 3));
  EXPECT_TRUE(absl::IsResourceExhausted(over.status()));
  EXPECT_THAT(Message(over.status()), AllOf(HasSubstr("has 2 sweeps"), HasSubstr("new store")));
  EXPECT_EQ(RetryAfterMs(over.status()), std::nullopt) << "waiting does not help";
  EXPECT_TRUE(absl::IsNotFound(GetSweep("c").status()));
  EXPECT_FALSE(Submit(TinySpec("a"))->created) << "what is there is no new one";
}

// The refusal of one call takes nothing from the others of its group.
TEST_F(EngineLimits, OpenTrials) {
  OpenWith({.open_trials_max = 6});
  ASSERT_TRUE(Submit(TinySpec("a", 2)).ok());
  const auto over = Submit(TinySpec("b", 2, 2));
  EXPECT_TRUE(absl::IsResourceExhausted(over.status()));
  EXPECT_THAT(Message(over.status()), AllOf(HasSubstr("4 more trials and the 4 that are open"),
                                            HasSubstr("over 6"), HasSubstr("cancel a sweep")));
  EXPECT_TRUE(absl::IsNotFound(GetSweep("b").status()));
  ASSERT_TRUE(Submit(TinySpec("c", 3)).ok()) << "four of its six trials are open already";
  ASSERT_TRUE(Change(Engine::SweepVerb::kCancel, "c").ok());
  ASSERT_TRUE(Change(Engine::SweepVerb::kCancel, "a").ok());
  EXPECT_EQ(Submit(TinySpec("b", 2, 2))->trials_new, 4);
}

TEST_F(EngineLimits, Tokens) {
  OpenWith({.tokens_max = 1});
  const auto create = [&](const char* name, char digit) {
    return Call<TokenRow>([&](auto reply) {
      engine_->CreateToken({name, Role::kViewer, "", std::string(64, digit), 0}, reply);
    });
  };
  const auto first = create("ann", 'a');
  ASSERT_TRUE(first.ok()) << first.status();
  const auto over = create("bob", 'b');
  EXPECT_TRUE(absl::IsResourceExhausted(over.status())) << over.status();
  EXPECT_THAT(Message(over.status()), AllOf(HasSubstr("has 1 tokens"), HasSubstr("one token")));
  EXPECT_EQ(RetryAfterMs(over.status()), std::nullopt) << "waiting does not help";
  ASSERT_TRUE(
      Call<TokenRow>([&](auto reply) { engine_->RevokeToken(first->token_id, reply); }).ok());
  EXPECT_FALSE(create("bob", 'b').ok()) << "what was revoked stays in the store";
}

TEST_F(EngineLimits, TrialsThatAreRetriedAreOpenAgain) {
  OpenWith({.open_trials_max = 4});
  ASSERT_TRUE(Submit(TinySpec("a", 2)).ok());
  ASSERT_TRUE(Change(Engine::SweepVerb::kCancel, "a").ok());
  ASSERT_TRUE(Submit(TinySpec("b", 1, 2)).ok());
  const auto retry = [&] {
    return Call<int64_t>(
        [&](auto reply) { engine_->RetryTrials("a", {}, {.cancelled = true}, "", "", reply); });
  };
  const auto over = retry();
  EXPECT_TRUE(absl::IsResourceExhausted(over.status())) << over.status();
  EXPECT_EQ(GetSweep("a")->row.state, SweepState::kCancelled);
  ASSERT_TRUE(Change(Engine::SweepVerb::kCancel, "b").ok());
  const auto retried = retry();
  ASSERT_TRUE(retried.ok()) << retried.status();
  EXPECT_EQ(*retried, 4);
}

TEST_F(EngineLimits, Workers) {
  OpenWith({.workers_max = 2});
  FakeWorker a(engine_.get(), "a");
  FakeWorker b(engine_.get(), "b");
  FakeWorker c(engine_.get(), "c");
  ASSERT_TRUE(a.Register().ok());
  ASSERT_TRUE(b.Register().ok());
  const absl::Status over = c.Register();
  EXPECT_TRUE(absl::IsResourceExhausted(over));
  EXPECT_THAT(Message(over),
              AllOf(HasSubstr("workers/c"), HasSubstr("the 2 workers"), HasSubstr("--slots")));
  ASSERT_TRUE(RetryAfterMs(over).has_value());
  EXPECT_TRUE(a.Register("another boot").ok()) << "it is no new one";
  Advance(*RetryAfterMs(over) + 60'000);  // the others were silent for a lease and more
  EXPECT_TRUE(c.Register().ok());
}

TEST_F(EngineLimits, SeriesAndPointsOfAnAnswer) {
  OpenWith({.series_of_answer_max = 2, .points_of_answer_max = 10});
  ASSERT_TRUE(Submit(TinySpec("s")).ok());  // two trials of ten steps
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  worker.WorkOff([](const TaskOrder&) { return 2.0; });
  const auto list = [&](std::vector<int64_t> numbers, std::vector<std::string> metrics,
                        int64_t max_points) {
    return Call<std::vector<SeriesView>>([&](auto reply) {
      engine_->ListPoints(
          {.sweep = "s", .numbers = numbers, .metrics = metrics, .max_points = max_points}, reply);
    });
  };
  const auto series = list({}, {"loss/train", "loss/val"}, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(series.status()));
  EXPECT_THAT(Message(series.status()), HasSubstr("2 trials times 2 metrics are over 2 series"));
  const auto points = list({}, {"loss/train"}, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(points.status()));
  EXPECT_THAT(Message(points.status()), AllOf(HasSubstr("over 10 points"), HasSubstr("v_points")));
  const auto thin = list({}, {"loss/train"}, 5);
  ASSERT_TRUE(thin.ok()) << thin.status();
  EXPECT_THAT(*thin, SizeIs(2));
  EXPECT_TRUE(list({1}, {"loss/train"}, 0).ok());
}

TEST_F(EngineLimits, Watchers) {
  OpenWith({.watchers_max = 2, .metric_streams_max = 1});
  const auto nothing = [](bool) {};
  const auto first = engine_->watch_hub()->Add(nothing);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(engine_->watch_hub()->Add(nothing).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(engine_->watch_hub()->Add(nothing).status()));
  ASSERT_TRUE(engine_->stream_hub()->Add(nothing).ok()) << "streams do not count as watchers";
  EXPECT_TRUE(absl::IsResourceExhausted(engine_->stream_hub()->Add(nothing).status()));
  engine_->watch_hub()->Remove(*first);
  EXPECT_TRUE(engine_->watch_hub()->Add(nothing).ok());
}

TEST(NameLimits, Bytes) {
  const std::string longest(limits::kNameBytesMax, 'a');
  EXPECT_TRUE(ParseSweepName("sweeps/" + longest).ok());
  EXPECT_TRUE(ParseWorkerName("workers/" + longest).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ParseSweepName("sweeps/a" + longest).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseWorkerName("workers/a" + longest).status()));
}

}  // namespace
}  // namespace loglog
