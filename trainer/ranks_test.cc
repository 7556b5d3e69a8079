// Engines that share batches, each a rank on a thread of its own, against one that does not.
#include "trainer/ranks.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "shards/test_files_testing.h"
#include "trainer/engine.h"
#include "trainer/gradient_buckets.h"
#include "trainer/reference_testing.h"
#include "trainer/replicas.h"

namespace loglog {
namespace {

constexpr int64_t kSteps = 20;

// What ranks that are threads share.
struct Meeting {
  explicit Meeting(int count) : barrier(count), places(static_cast<size_t>(count)) {}

  struct Place {
    void* bytes = nullptr;
    bool holds = true;
    std::vector<at::Tensor> started, copies;
  };
  std::barrier<> barrier;
  std::vector<Place> places;
};

// A sum is made when all have finished; until then it must not be touched.
class ThreadRanks final : public Ranks {
 public:
  ThreadRanks(Meeting& meeting, int rank)
      : meeting_(meeting), own_(meeting.places[static_cast<size_t>(rank)]), rank_(rank) {}
  int rank() const override { return rank_; }
  int count() const override { return static_cast<int>(meeting_.places.size()); }
  void Broadcast(void* bytes, size_t size) override {
    own_.bytes = bytes;
    meeting_.barrier.arrive_and_wait();
    if (rank_ != 0) std::memcpy(bytes, meeting_.places[0].bytes, size);
    meeting_.barrier.arrive_and_wait();
  }
  bool All(bool holds) override {
    own_.holds = holds;
    meeting_.barrier.arrive_and_wait();
    bool all = true;
    for (const Meeting::Place& place : meeting_.places) all = all && place.holds;
    meeting_.barrier.arrive_and_wait();
    return all;
  }
  void StartSum(const at::Tensor& values) override {
    own_.started.push_back(values);
    own_.copies.push_back(values.clone());
  }
  void FinishSums() override {
    meeting_.barrier.arrive_and_wait();
    for (size_t i = 0; i < own_.started.size(); ++i) {
      EXPECT_TRUE(at::equal(own_.started[i], own_.copies[i])) << "changed while it was summed";
      at::Tensor sum = meeting_.places[0].copies[i].clone();
      for (size_t rank = 1; rank < meeting_.places.size(); ++rank) {
        sum.add_(meeting_.places[rank].copies[i]);
      }
      own_.started[i].copy_(sum);
    }
    meeting_.barrier.arrive_and_wait();
    sums = own_.started.size();
    own_.started.clear();
    own_.copies.clear();
    meeting_.barrier.arrive_and_wait();
  }
  size_t sums = 0;  // of the last step

 private:
  Meeting& meeting_;
  Meeting::Place& own_;
  int rank_;
};

struct Curve {
  std::vector<double> losses, norms;
  std::vector<std::vector<char>> state;
  size_t sums = 0;
};

std::vector<MemberConfig> Members(const ModelConfig& model, int count) {
  std::vector<MemberConfig> members;
  for (int i = 0; i < count; ++i) members.push_back(TinyMember(model, 4, kSteps, i + 1));
  for (MemberConfig& member : members) member.train.lr = 1e-2;
  return members;
}

Curve TrainAs(const std::vector<MemberConfig>& members, const EngineOptions& options) {
  Engine engine(members, options);
  engine.InitWeights();
  Curve curve;
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<int32_t> tokens;
    for (const MemberConfig& member : members) {
      auto own = RandomTokens(member.model, 4, static_cast<uint32_t>(100 * step + member.seed));
      // Shares in which unlike numbers of tokens count.
      if (member.model.tied_head) own[3] = ~own[3];
      tokens.insert(tokens.end(), own.begin(), own.end());
    }
    for (const StepResult& result : engine.TrainStep(tokens.data(), step, step % 5 == 0)) {
      curve.losses.push_back(result.loss);
      curve.norms.push_back(result.grad_norm);
    }
  }
  for (size_t i = 0; i < engine.state_buffers().size(); ++i) {
    curve.state.emplace_back(static_cast<size_t>(engine.state_buffers()[i].bytes));
    engine.ReadState(i, curve.state.back().data());
  }
  return curve;
}

std::vector<Curve> TrainShared(const std::vector<MemberConfig>& members, int count,
                               const EngineOptions& options) {
  Meeting all(count);
  std::vector<Curve> curves(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRanks ranks(all, rank);
      EngineOptions own = options;
      own.ranks = &ranks;
      curves[static_cast<size_t>(rank)] = TrainAs(members, own);
      curves[static_cast<size_t>(rank)].sums = ranks.sums;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return curves;
}

ModelConfig Model() {
  return {.layers = 3,
          .d_model = 16,
          .heads = 4,
          .kv_heads = 2,
          .d_ff = 24,
          .vocab = 13,
          .seq_len = 10,
          .norm_eps = 1e-4};
}

struct Case {
  std::string name;
  ModelConfig model;
  EngineOptions options;
};

std::vector<Case> Cases() {
  std::vector<Case> cases(6);
  for (Case& one : cases) one.model = Model();
  cases[0].name = "one bucket";
  cases[1].name = "a bucket a layer";
  cases[1].options.bucket_floats = 1;
  cases[2].name = "tied, parts";
  cases[2].model.tied_head = true;
  cases[2].options = {.chunk_tokens = 10, .bucket_floats = 3000};
  cases[3].name = "folded, by operators";
  cases[3].options = {.fold_members = true, .composed_ops = true, .bucket_floats = 1};
  cases[4].name = "post-norm, learned positions, biases";
  cases[4].model.norm = NormKind::kLayer;
  cases[4].model.norm_place = NormPlace::kPost;
  cases[4].model.positions = Positions::kLearned;
  cases[4].model.biases = cases[4].model.head_bias = true;
  cases[4].options.bucket_floats = 1;
  cases[5].name = "a GPU's way, parts";
  cases[5].options = {.chunk_tokens = 10, .gpu_kernel_threads = 1, .bucket_floats = 1};
  return cases;
}

TEST(Ranks, TrainAsOneProcessDoes) {
  for (const Case& one : Cases()) {
    for (const int count : {2, 4}) {
      SCOPED_TRACE(one.name + ", " + std::to_string(count) + " ranks");
      const std::vector<MemberConfig> members = Members(one.model, 2);
      const Curve alone = TrainAs(members, one.options);
      const std::vector<Curve> shared = TrainShared(members, count, one.options);
      ASSERT_EQ(alone.losses.size(), shared[0].losses.size());
      for (size_t i = 0; i < alone.losses.size(); ++i) {
        EXPECT_NEAR(shared[0].losses[i], alone.losses[i], 1e-5 * alone.losses[i]) << i;
        EXPECT_NEAR(shared[0].norms[i], alone.norms[i], 1e-4 * alone.norms[i]) << i;
      }
      for (const Curve& other : shared) EXPECT_EQ(other.state, shared[0].state);
    }
  }
}

TEST(Ranks, SumsInBucketsWhileTheBackwardPassRuns) {
  const std::vector<MemberConfig> members = Members(Model(), 2);
  // Two members of one bucket each, or of four, and the losses.
  EXPECT_EQ(TrainShared(members, 2, {})[0].sums, 3u);
  EXPECT_EQ(TrainShared(members, 2, {.bucket_floats = 1})[0].sums, 9u);
}

TEST(Ranks, MustShareABatchEqually) {
  Meeting all(3);
  ThreadRanks ranks(all, 0);
  EngineOptions options;
  options.ranks = &ranks;
  try {
    Engine engine(Members(Model(), 1), options);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "a step has 4 sequences, which 3 ranks cannot share equally; use a number of "
                 "ranks that divides it, or change train.batch_tokens");
  }
}

// Gloo throws errors of its own, which are no c10::Error.
TEST(Ranks, AGoneRankIsSaidToBeLost) {
  TemporaryFolder folder;
  std::barrier<> is_gone(2);
  std::thread other([&] {
    auto ranks = JoinRanks({.rank = 1, .count = 2, .rendezvous = folder.path()}, "cpu");
    EXPECT_TRUE(ranks->All(true));
    ranks.reset();
    is_gone.arrive_and_wait();
  });
  const auto ranks = JoinRanks({.rank = 0, .count = 2, .rendezvous = folder.path()}, "cpu");
  EXPECT_TRUE(ranks->All(true));
  is_gone.arrive_and_wait();
  EXPECT_THROW(ranks->All(true), RankLost);
  other.join();
}

// A bit that flipped in one rank's weights, at the first weight of all.
TEST(Replicas, AreCheckedToTheBit) {
  Meeting all(2);
  std::vector<std::string> messages(2), sound(2);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRanks ranks(all, rank);
      const size_t own = static_cast<size_t>(rank);
      Engine engine(Members(Model(), 1), {.ranks = &ranks});
      if (rank == 0) engine.InitWeights();
      EXPECT_EQ(ShareState(engine, ranks, rank == 0 ? 7 : 0), 7);
      const auto check = [&]() -> std::string {
        try {
          CheckReplicas(engine, ranks, 7);
        } catch (const std::runtime_error& error) {
          return error.what();
        }
        return "";
      };
      sound[own] = check();
      if (rank == 1) {
        std::vector<float> values(static_cast<size_t>(engine.state_buffers()[0].bytes) / 4);
        engine.ReadState(0, values.data());
        values[0] = std::nextafter(values[0], 9.0f);
        engine.WriteState(0, values.data());
      }
      messages[own] = check();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sound, std::vector<std::string>(2));
  const std::string fix =
      "; memory or a GPU of this host miscalculates, so run its diagnostics and resume elsewhere";
  const std::string begin = "at step 7 the ranks' weights are no longer the same";
  EXPECT_EQ(messages[0], begin + fix);
  EXPECT_EQ(messages[1], begin + ": rank 1 has others than rank 0" + fix);
}

TEST(Replicas, HearWhichMembersAreStillActive) {
  Meeting all(2);
  std::thread leader([&] {
    ThreadRanks ranks(all, 0);
    Engine engine(Members(Model(), 2), {.ranks = &ranks});
    engine.Deactivate(1);
    GiveOrder(engine, ranks,
              {RankOrder::kStep, {std::nullopt, StepLimits{.loss = 3.5, .grad_norm = 1.25}}});
    GiveOrder(engine, ranks, {RankOrder::kLeave, {}});
  });
  ThreadRanks ranks(all, 1);
  Engine engine(Members(Model(), 2), {.ranks = &ranks});
  const Ordered step = TakeOrder(engine, ranks);
  EXPECT_EQ(step.order, RankOrder::kStep);
  ASSERT_EQ(step.limits.size(), 2u);
  EXPECT_FALSE(step.limits[0]);
  ASSERT_TRUE(step.limits[1]);
  EXPECT_EQ(step.limits[1]->loss, 3.5);
  EXPECT_EQ(step.limits[1]->grad_norm, 1.25);
  EXPECT_TRUE(engine.active(0));
  EXPECT_FALSE(engine.active(1));
  EXPECT_EQ(TakeOrder(engine, ranks).order, RankOrder::kLeave);
  leader.join();
}

}  // namespace
}  // namespace loglog
