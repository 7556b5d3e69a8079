// Every option of the model and of the loss: gradients of the engine against the
// double-precision reference on random shapes, in every way the engine can run.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "trainer/engine.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

struct Option {
  std::string name;
  void (*set)(ModelConfig*);
};

// Each option alone, and the models of the papers, where several meet.
const Option kOptions[] = {
    {"embed_norm", [](ModelConfig* m) { m->embed_norm = true; }},
    {"sandwich_norm", [](ModelConfig* m) { m->sandwich_norm = true; }},
    {"qk_norm", [](ModelConfig* m) { m->qk_norm = true; }},
    {"gated_attention", [](ModelConfig* m) { m->gated_attention = true; }},
    {"layer_norm", [](ModelConfig* m) { m->norm = NormKind::kLayer; }},
    {"no_norm", [](ModelConfig* m) { m->norm = NormKind::kNone; }},
    {"post", [](ModelConfig* m) { m->norm_place = NormPlace::kPost; }},
    {"queries_normed", [](ModelConfig* m) { m->attn_norm_feeds = AttnNormFeeds::kQ; }},
    {"gelu", [](ModelConfig* m) { m->mlp = MlpKind::kGelu; }},
    {"relu", [](ModelConfig* m) { m->mlp = MlpKind::kRelu; }},
    {"no_mlp", [](ModelConfig* m) { m->mlp = MlpKind::kNone; }},
    {"learned_positions", [](ModelConfig* m) { m->positions = Positions::kLearned; }},
    {"no_positions", [](ModelConfig* m) { m->positions = Positions::kNone; }},
    {"biases", [](ModelConfig* m) { m->biases = true; }},
    {"head_bias", [](ModelConfig* m) { m->head_bias = true; }},
    {"odd_head_dim",
     [](ModelConfig* m) {
       m->head_dim = 5;
       m->positions = Positions::kLearned;
     }},
    {"wide_heads", [](ModelConfig* m) { m->head_dim = 2 * m->d_model / m->heads; }},
    {"anchor_a",
     [](ModelConfig* m) {
       m->norm = NormKind::kLayer;
       m->attn_norm_feeds = AttnNormFeeds::kQ;
       m->mlp = MlpKind::kGelu;
       m->positions = Positions::kLearned;
       m->biases = true;
       m->head_bias = true;
     }},
    {"anchor_b",
     [](ModelConfig* m) {
       m->norm = NormKind::kLayer;
       m->norm_place = NormPlace::kPost;
       m->mlp = MlpKind::kRelu;
       m->positions = Positions::kLearned;
       m->head_dim = m->d_model / 2;
     }},
    {"stabilized",
     [](ModelConfig* m) {
       m->embed_norm = true;
       m->sandwich_norm = true;
       m->qk_norm = true;
       m->gated_attention = true;
       m->biases = true;
     }},
    {"focus",
     [](ModelConfig* m) {
       m->norm = NormKind::kNone;
       m->mlp = MlpKind::kNone;
       m->positions = Positions::kNone;
     }},
};

ModelConfig RandomShape(std::mt19937* random) {
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>((*random)() % (high - low + 1));
  };
  const int64_t kv_heads = pick(1, 2), heads = kv_heads * pick(1, 3);
  return {.layers = pick(1, 2),
          // A LayerNorm over very few entries is nearly a sign: no gradient survives rounding.
          .d_model = heads * 2 * pick(6 / heads + 1, 12 / heads + 1),
          .heads = heads,
          .kv_heads = kv_heads,
          .d_ff = pick(5, 13),
          .vocab = pick(3, 9),
          .seq_len = pick(2, 6),
          .tied_head = pick(0, 1) == 1,
          .norm_eps = 1e-5,
          .rope_theta = 100};
}

// Sequences in which the first tokens are read and not predicted.
std::vector<int32_t> Tokens(const ModelConfig& model, int64_t sequences, uint32_t seed) {
  std::vector<int32_t> tokens = RandomTokens(model, sequences, seed);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i % (model.seq_len + 1) < static_cast<size_t>(model.seq_len) / 2) tokens[i] = ~tokens[i];
  }
  return tokens;
}

// Gains and biases away from where they start, so that nothing is multiplied by 1 or 0.
void Disturb(const ModelConfig& model, int members, Engine* engine) {
  const Layout layout = MakeLayout(model);
  const auto& buffers = engine->state_buffers();
  std::mt19937 random(1);
  std::uniform_real_distribution<float> noise(-0.3f, 0.3f);
  for (int member = 0; member < members; ++member) {
    for (size_t i = 0; i < layout.tensors.size(); ++i) {
      const size_t index = static_cast<size_t>(member) * (buffers.size() / members) + i;
      std::vector<float> values(static_cast<size_t>(layout.tensors[i].size()));
      engine->ReadState(index, values.data());
      for (float& value : values) value += noise(random);
      engine->WriteState(index, values.data());
    }
  }
}

struct Mode {
  std::string name;
  EngineOptions options;
  Precision precision = Precision::kFp32;
  double tolerance = 1e-5;
};

std::vector<Mode> Modes() {
  EngineOptions loops, parts, folded, composed, threads, gpu, gpu_parts;
  parts.chunk_tokens = 1;
  parts.attention_kept_bytes = 0;
  parts.attention_block_bytes = 1;
  folded.fold_members = true;
  composed.composed_ops = true;
  composed.fold_members = true;
  threads.threads = 2;  // products and attention are the library's
  gpu.gpu_kernel_threads = 1;
  gpu_parts = parts;
  gpu_parts.gpu_kernel_threads = 1;
  return {
      {"loops", loops},     {"parts", parts},         {"folded", folded},
      {"threads", threads}, {"composed", composed},   {"bf16", composed, Precision::kBf16, 0.15},
      {"gpu", gpu},         {"gpu_parts", gpu_parts}, {"gpu_bf16", gpu, Precision::kBf16, 0.15}};
}

void CheckGradients(const ModelConfig& model, int member_count, double z_loss, const Mode& mode) {
  constexpr int64_t kSequences = 2;
  std::vector<MemberConfig> members;
  std::vector<int32_t> tokens;
  for (int k = 0; k < member_count; ++k) {
    members.push_back(TinyMember(model, kSequences, 10, 7 + k));
    members[k].train.clip = 0;
    members[k].train.lr = 0;
    members[k].train.z_loss = z_loss * k;
    members[k].train.precision = mode.precision;
    const auto own = Tokens(model, kSequences, 100 + k);
    tokens.insert(tokens.end(), own.begin(), own.end());
  }
  Engine engine(members, mode.options);
  engine.InitWeights();
  Disturb(model, member_count, &engine);
  const auto results = engine.TrainStep(tokens.data(), 0, false);
  for (int k = 0; k < member_count; ++k) {
    const auto weights = ReadFlat(engine, model, k, "weights");
    const auto own = Tokens(model, kSequences, 100 + k);
    const double loss = ReferenceLoss(model, weights, own);
    EXPECT_NEAR(results[k].loss, loss, mode.tolerance * loss);
    const auto reference = ReferenceLossAndGradient(model, weights, own, z_loss * k).gradient;
    auto gradient = ReadFlat(engine, model, k, "adam_m");
    for (double& value : gradient) value /= 1 - static_cast<double>(static_cast<float>(0.9));
    double norm = 0;
    for (const double value : reference) norm += value * value;
    norm = std::sqrt(norm);
    if (mode.precision == Precision::kBf16) {
      EXPECT_LT(RelativeError(gradient, reference, 0, static_cast<int64_t>(reference.size())),
                mode.tolerance);
      continue;
    }
    for (const TensorSpec& tensor : MakeLayout(model).tensors) {
      // Some true gradients are zero, a key's bias for one, or what is left of larger terms:
      // their terms' rounding is all there is to compare.
      EXPECT_LT(RelativeError(gradient, reference, tensor.offset, tensor.size(), 1e-2 * norm),
                mode.tolerance)
          << tensor.name << " of member " << k << " of " << member_count;
    }
  }
}

// These draws are well conditioned. Of others, float32 takes some tensors up to four times as far
// from the truth, by ATen's operators as by our kernels.
TEST(ModelOptions, GradientsEqualTheReference) {
  std::mt19937 random(10);
  for (const Option& option : kOptions) {
    for (const int members : {1, 2, 5}) {
      ModelConfig model = RandomShape(&random);
      option.set(&model);
      for (const Mode& mode : Modes()) {
        SCOPED_TRACE(option.name + "/" + mode.name);
        CheckGradients(model, members, members == 2 ? 0.1 : 0, mode);
      }
    }
  }
}

TEST(ModelOptions, ReferenceEqualsFiniteDifferences) {
  std::mt19937 random(3);
  for (const Option& option : kOptions) {
    SCOPED_TRACE(option.name);
    ModelConfig model = RandomShape(&random);
    option.set(&model);
    Engine engine({TinyMember(model, 1, 1, 3)}, {});
    engine.InitWeights();
    Disturb(model, 1, &engine);
    std::vector<double> weights = ReadFlat(engine, model, 0, "weights");
    const auto tokens = Tokens(model, 2, 5);
    const auto reference = ReferenceLossAndGradient(model, weights, tokens);
    for (const TensorSpec& tensor : MakeLayout(model).tensors) {
      for (int64_t i = tensor.offset; i < tensor.offset + tensor.size();
           i += 1 + tensor.size() / 5) {
        constexpr double kStep = 1e-5;
        const double at = weights[i];
        weights[i] = at + kStep;
        const double up = ReferenceLoss(model, weights, tokens);
        weights[i] = at - kStep;
        const double down = ReferenceLoss(model, weights, tokens);
        weights[i] = at;
        EXPECT_NEAR((up - down) / (2 * kStep), reference.gradient[i], 1e-7) << tensor.name;
      }
    }
  }
}

// The formulas of an option are in force, and no option is another one.
TEST(ModelOptions, EachChangesTheLoss) {
  const ModelConfig plain = {
      .layers = 1, .d_model = 8, .heads = 2, .kv_heads = 2, .d_ff = 6, .vocab = 7, .seq_len = 5};
  std::vector<double> losses;
  const auto tokens = RandomTokens(plain, 2, 5);
  const auto add = [&](const ModelConfig& model) {
    Engine engine({TinyMember(model, 2, 1, 3)}, {});
    engine.InitWeights();
    // A constant shift: biases at 0 would be no biases.
    Disturb(model, 1, &engine);
    losses.push_back(engine.Evaluate(tokens.data(), 2)[0].loss);
  };
  add(plain);
  for (const Option& option : kOptions) {
    ModelConfig model = plain;
    option.set(&model);
    add(model);
  }
  for (size_t i = 0; i < losses.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(losses[i], losses[j]) << i << " and " << j;
  }
}

// Of the norm over the embedding the input is known: rows of the table.
TEST(ModelOptions, ProbesLookAtEveryNorm) {
  for (const NormKind norm : {NormKind::kRms, NormKind::kLayer}) {
    ModelConfig model = {
        .layers = 2, .d_model = 8, .heads = 2, .kv_heads = 2, .d_ff = 6, .vocab = 7, .seq_len = 5};
    model.norm = norm;
    model.embed_norm = true;
    model.sandwich_norm = true;
    Engine engine({TinyMember(model, 1, 1, 3)}, {});
    engine.InitWeights();
    const auto tokens = RandomTokens(model, 1, 5);
    const auto values = engine.Probe(0, tokens.data(), 1);
    const auto weights = ReadFlat(engine, model, 0, "weights");
    double expected = 0;
    for (int64_t t = 0; t < model.seq_len; ++t) {
      const double* row = weights.data() + tokens[t] * model.d_model;
      double mean = 0, squares = 0;
      for (int64_t i = 0; i < model.d_model; ++i) mean += row[i] / 8;
      if (norm == NormKind::kRms) mean = 0;
      for (int64_t i = 0; i < model.d_model; ++i) squares += (row[i] - mean) * (row[i] - mean) / 8;
      expected += squares / 5;
    }
    EXPECT_NEAR(ValueOf(values, "norm/ms_over_eps/embed_norm"), expected / model.norm_eps,
                1e-5 * expected / model.norm_eps);
    for (const char* name : {"layers.0.attn_norm", "layers.1.attn_post_norm", "layers.0.mlp_norm",
                             "layers.1.mlp_post_norm", "final_norm"}) {
      EXPECT_GT(ValueOf(values, std::string("norm/ms_over_eps/") + name), 0);
    }
  }
}

TEST(ModelOptions, TokensThatAreOnlyReadCountForNothing) {
  std::mt19937 random(9);
  const ModelConfig model = RandomShape(&random);
  Engine engine({TinyMember(model, 1, 1, 3)}, {});
  engine.InitWeights();
  auto tokens = RandomTokens(model, 1, 5);
  for (int64_t t = 0; t < model.seq_len; ++t) tokens[t] = ~tokens[t];
  const auto evaluation = engine.Evaluate(tokens.data(), 1, /*with_answers=*/true)[0];
  EXPECT_EQ(evaluation.answers.size(), 1u);
  const auto weights = ReadFlat(engine, model, 0, "weights");
  EXPECT_NEAR(evaluation.loss, ReferenceLoss(model, weights, tokens), 1e-5);
  // The answer is the token under which the loss is lowest.
  tokens.back() = evaluation.answers[0];
  const double best = engine.Evaluate(tokens.data(), 1)[0].loss;
  for (int32_t id = 0; id < model.vocab; ++id) {
    tokens.back() = id;
    EXPECT_GE(engine.Evaluate(tokens.data(), 1)[0].loss, best);
  }
}

}  // namespace
}  // namespace loglog
