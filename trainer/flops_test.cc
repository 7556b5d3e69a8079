#include "trainer/flops.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

namespace loglog {
namespace {

void SetOption(const std::string& option, ModelConfig* model) {
  const std::map<std::string, std::function<void(ModelConfig*)>> options = {
      {"tied_head=true", [](ModelConfig* m) { m->tied_head = true; }},
      {"head_dim=5", [](ModelConfig* m) { m->head_dim = 5; }},
      {"norm=layer", [](ModelConfig* m) { m->norm = NormKind::kLayer; }},
      {"norm=none", [](ModelConfig* m) { m->norm = NormKind::kNone; }},
      {"norm_place=post", [](ModelConfig* m) { m->norm_place = NormPlace::kPost; }},
      {"attn_norm_feeds=q", [](ModelConfig* m) { m->attn_norm_feeds = AttnNormFeeds::kQ; }},
      {"embed_norm=true", [](ModelConfig* m) { m->embed_norm = true; }},
      {"sandwich_norm=true", [](ModelConfig* m) { m->sandwich_norm = true; }},
      {"qk_norm=true", [](ModelConfig* m) { m->qk_norm = true; }},
      {"gated_attention=true", [](ModelConfig* m) { m->gated_attention = true; }},
      {"mlp=gelu", [](ModelConfig* m) { m->mlp = MlpKind::kGelu; }},
      {"mlp=relu", [](ModelConfig* m) { m->mlp = MlpKind::kRelu; }},
      {"mlp=none", [](ModelConfig* m) { m->mlp = MlpKind::kNone; }},
      {"positions=learned", [](ModelConfig* m) { m->positions = Positions::kLearned; }},
      {"positions=none", [](ModelConfig* m) { m->positions = Positions::kNone; }},
      {"biases=true", [](ModelConfig* m) { m->biases = true; }},
      {"head_bias=true", [](ModelConfig* m) { m->head_bias = true; }}};
  options.at(option)(model);
}

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

// The same table as plan/plan_test.cc's: what a plan promises is what is trained.
TEST(Flops, AgreeWithThePlan) {
  std::ifstream file(LOGLOG_MODEL_COSTS);
  int rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    int64_t total = 0, non_embedding = 0;
    double flops = 0;
    words >> total >> non_embedding >> flops;
    ModelConfig model = {.layers = 3,
                         .d_model = 16,
                         .heads = 4,
                         .kv_heads = 2,
                         .d_ff = 20,
                         .vocab = 11,
                         .seq_len = 6};
    for (std::string option; words >> option;) SetOption(option, &model);
    EXPECT_EQ(CountParams(model).total, total) << line;
    EXPECT_EQ(CountParams(model).non_embedding, non_embedding) << line;
    EXPECT_EQ(TrainFlopsPerToken(model), flops) << line;
    ++rows;
  }
  EXPECT_GT(rows, 10);
}

}  // namespace
}  // namespace loglog
