#include "trainer/flops.h"

#include <gtest/gtest.h>

namespace loglog {
namespace {

// Counted by hand.
TEST(Flops, CountsParameters) {
  ModelConfig model = {
      .layers = 2, .d_model = 8, .heads = 4, .kv_heads = 2, .d_ff = 12, .vocab = 10, .seq_len = 6};
  // Each layer: q 64, k 32, v 32, o 64, three of 96, two gains of 8.
  const int64_t layer = 64 + 32 + 32 + 64 + 3 * 96 + 16;
  EXPECT_EQ(CountParams(model).non_embedding, 2 * layer + 8);
  EXPECT_EQ(CountParams(model).total, 2 * layer + 8 + 2 * 80);
  model.tied_head = true;
  EXPECT_EQ(CountParams(model).total, 2 * layer + 8 + 80);
  EXPECT_EQ(CountParams(model).non_embedding, 2 * layer + 8);
}

TEST(Flops, CountsProductsAndCausalAttention) {
  const ModelConfig model = {
      .layers = 2, .d_model = 8, .heads = 4, .kv_heads = 2, .d_ff = 12, .vocab = 10, .seq_len = 6};
  const double weights = 2 * (64 + 32 + 32 + 64 + 3 * 96) + 80;
  EXPECT_EQ(MatmulFlopsPerToken(model), 6 * weights);
  // Keys seen by the six positions: 21, each in two products of width 8, forward and twice
  // backward, two FLOPs a multiply-add.
  EXPECT_DOUBLE_EQ(TrainFlopsPerToken(model), 6 * weights + 2 * 21 * 2 * 8 * 2 * 3 / 6.0);
}

}  // namespace
}  // namespace loglog
