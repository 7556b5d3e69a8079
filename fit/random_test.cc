#include "fit/random.h"

#include <cmath>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace loglog {
namespace {

// The published known answers of Philox4x32-10.
TEST(Random, PhiloxKnownAnswers) {
  using Block = RandomStream::Block;
  EXPECT_EQ(RandomStream::Philox({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(RandomStream::Philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(RandomStream::Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                                 {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, StreamsAreFunctionsOfIdAndIndex) {
  const uint64_t key = RandomStream::KeyOf("sweep-1/fit-7");
  std::set<uint32_t> firsts;
  for (uint64_t stream = 0; stream < 1000; ++stream) {
    RandomStream a(key, stream), b(key, stream);
    const uint32_t first = a.Next32();
    EXPECT_EQ(b.Next32(), first);
    firsts.insert(first);
  }
  EXPECT_GE(firsts.size(), 999u);
  EXPECT_NE(RandomStream::KeyOf("sweep-1/fit-8"), key);
  EXPECT_NE(RandomStream(key, 0).Next32(), RandomStream(key + 1, 0).Next32());
}

TEST(Random, MomentsOfEachDraw) {
  RandomStream random(RandomStream::KeyOf("moments"), 0);
  constexpr int kDraws = 200000;
  double uniform = 0, normal = 0, normal2 = 0, normal4 = 0;
  std::vector<int> counts(7, 0);
  for (int i = 0; i < kDraws; ++i) {
    uniform += random.Uniform();
    const double z = random.Normal();
    normal += z;
    normal2 += z * z;
    normal4 += z * z * z * z;
    ++counts[random.Below(7)];
  }
  EXPECT_NEAR(uniform / kDraws, 0.5, 0.004);
  EXPECT_NEAR(normal / kDraws, 0, 0.012);
  EXPECT_NEAR(normal2 / kDraws, 1, 0.02);
  EXPECT_NEAR(normal4 / kDraws, 3, 0.15);
  for (const int count : counts) EXPECT_NEAR(count / (kDraws / 7.0), 1, 0.03);
}

}  // namespace
}  // namespace loglog
