#include "shards/window_order.h"

#include <gtest/gtest.h>

#include <set>

#include "shards/test_files_testing.h"

namespace loglog {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  for (uint64_t size : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4096, 10007}) {
    const Permutation permutation(size, 42 + size);
    std::vector<bool> seen(size, false);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t to = permutation(i);
      ASSERT_LT(to, size);
      ASSERT_FALSE(seen[to]) << "size " << size << ", index " << i;
      seen[to] = true;
    }
  }
}

// In a random permutation of n, the number of fixed points is about Poisson(1) and
// neighbours do not stay near: a weak mixer fails both at once.
TEST(Permutation, LooksRandom) {
  const uint64_t size = 10007;
  double fixed = 0, near = 0;
  const int keys = 40;
  for (int key = 0; key < keys; ++key) {
    const Permutation permutation(size, key);
    for (uint64_t i = 0; i + 1 < size; ++i) {
      fixed += permutation(i) == i;
      const auto a = static_cast<int64_t>(permutation(i));
      const auto b = static_cast<int64_t>(permutation(i + 1));
      near += std::abs(a - b) <= 10;
    }
  }
  EXPECT_NEAR(fixed / keys, 1, 0.7);  // sd of the mean 0.16
  EXPECT_NEAR(near / keys, 20, 4);    // 20 of n expected, sd of the mean 0.7
}

class WindowSetTest : public ::testing::Test {
 protected:
  // Two shards of 10 and 7 tokens whose ids are their places: 100.. and 200..
  void SetUp() override {
    std::vector<uint32_t> a, b;
    for (uint32_t i = 0; i < 10; ++i) a.push_back(100 + i);
    for (uint32_t i = 0; i < 7; ++i) b.push_back(200 + i);
    WriteLlmc(folder_ / "a.bin", a);
    WriteLlmc(folder_ / "b.bin", b);
  }
  TemporaryFolder folder_;
};

TEST_F(WindowSetTest, WindowsOverlapByOneAndStayInTheirShard) {
  const WindowSet set({folder_ / "a.bin", folder_ / "b.bin"}, ShardFormat::kLlmc, 3, 256);
  ASSERT_EQ(set.windows(), 5);  // (10 - 1) / 3 and (7 - 1) / 3
  EXPECT_EQ(set.tokens(), 17);
  std::vector<int32_t> firsts;
  for (int64_t w = 0; w < 5; ++w) {
    int32_t out[4];
    set.Read(w, out);
    for (int i = 1; i < 4; ++i) EXPECT_EQ(out[i], out[0] + i);
    firsts.push_back(out[0]);
  }
  EXPECT_EQ(firsts, (std::vector<int32_t>{100, 103, 106, 200, 203}));
}

TEST_F(WindowSetTest, EveryEpochIsAnotherOrderOfAllWindows) {
  const WindowSet set({folder_ / "a.bin"}, ShardFormat::kLlmc, 1, 256);
  ASSERT_EQ(set.windows(), 9);
  std::set<std::vector<int64_t>> orders;
  for (int64_t seed : {0, 1}) {
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int64_t> order;
      std::set<int64_t> all;
      for (int64_t i = 0; i < 9; ++i) {
        EXPECT_EQ(set.Epoch(9 * epoch + i), epoch);
        order.push_back(set.Shuffled(seed, 9 * epoch + i));
        all.insert(order.back());
      }
      EXPECT_EQ(all.size(), 9u);
      orders.insert(order);
    }
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST_F(WindowSetTest, ShortTextIsRefused) {
  EXPECT_EQ(MessageOf<ShardError>([&] {
              WindowSet({folder_ / "a.bin", folder_ / "b.bin"}, ShardFormat::kLlmc, 10, 256);
            }),
            folder_ / "a.bin" +
                ": 17 tokens in 2 files hold no whole sequence of model.seq_len + 1 = 11 tokens; "
                "use more text or a shorter seq_len");
}

TEST_F(WindowSetTest, CheckAllFindsAStrayToken) {
  const WindowSet good({folder_ / "a.bin"}, ShardFormat::kLlmc, 3, 110);
  good.CheckAll();
  const WindowSet bad({folder_ / "a.bin"}, ShardFormat::kLlmc, 3, 109);
  EXPECT_THROW(bad.CheckAll(), ShardError);
}

TEST_F(WindowSetTest, GlobsAreSortedAndRelativeToTheRoot) {
  WriteText(folder_ / "c.txt", "x");
  std::filesystem::create_directory(folder_ / "d.bin");
  EXPECT_EQ(GlobShards(folder_.path(), "*.bin"),
            (std::vector<std::string>{folder_ / "a.bin", folder_ / "b.bin"}));
  EXPECT_EQ(GlobShards("/elsewhere", folder_ / "b*.bin"),
            (std::vector<std::string>{folder_ / "b.bin"}));
  EXPECT_EQ(MessageOf<ShardError>([&] { GlobShards(folder_.path(), "train-*.bin"); }),
            "no file matches " + folder_.path() +
                "/train-*.bin; pack text with 'loglog data pack', or name the folder of your "
                "shards as data root");
}

TEST_F(WindowSetTest, ARootsNameIsNoPattern) {
  for (const char* name : {"run[1]", "all*", "what?", "back\\slash"}) {
    const std::string root = folder_ / name;
    std::filesystem::create_directory(root);
    std::filesystem::copy_file(folder_ / "a.bin", root + "/a.bin");
    EXPECT_EQ(GlobShards(root, "*.bin"), (std::vector<std::string>{root + "/a.bin"}));
  }
  EXPECT_EQ(GlobShards(folder_.path(), "all\\*/*.bin"),
            (std::vector<std::string>{folder_ / "all*/a.bin"}));
}

// Another host may have the files; no host can use a token outside the vocabulary.
TEST_F(WindowSetTest, OnlyWhatAHostLacksIsUnavailable) {
  EXPECT_THROW(GlobShards(folder_.path(), "train-*.bin"), DataUnavailable);
  const WindowSet bad({folder_ / "a.bin"}, ShardFormat::kLlmc, 3, 109);
  try {
    bad.CheckAll();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataUnavailable& error) {
    ADD_FAILURE() << error.what();
  } catch (const ShardError&) {
  }
}

}  // namespace
}  // namespace loglog
