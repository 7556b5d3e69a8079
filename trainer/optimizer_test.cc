// Whole training steps against the double-precision reference: model, clipping and AdamW.
#include "trainer/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "trainer/layout.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

constexpr int64_t kSteps = 20;
constexpr int64_t kSequences = 2;

const ModelConfig kModel = {.layers = 2,
                            .d_model = 12,
                            .heads = 3,
                            .kv_heads = 1,
                            .d_ff = 10,
                            .vocab = 9,
                            .seq_len = 6,
                            .tied_head = false,
                            .norm_eps = 1e-5};

MemberConfig Member(int64_t seed) {
  MemberConfig member = TinyMember(kModel, kSequences, kSteps, seed);
  member.train.lr = 3e-3;
  member.train.warmup = 0.2;
  // Adam divides tiny gradients by their size: a larger epsilon keeps float rounding there
  // from turning into full steps.
  member.train.adam_eps = 1e-6;
  return member;
}

// Every way to treat an update; they also share one task in the fused test.
std::vector<MemberConfig> Arms() {
  MemberConfig coupled = Member(1);
  coupled.train.weight_decay = 2;
  MemberConfig independent = Member(2);
  independent.train.decay = DecayMode::kIndependent;
  independent.train.weight_decay = 0.02;
  MemberConfig clipped = Member(3);
  clipped.train.clip = 0.2;
  clipped.train.schedule = Schedule::kWsd;
  MemberConfig plain = Member(4);
  plain.train.decay_embed = false;
  plain.train.weight_decay = 1;
  plain.train.clip = 0;
  plain.train.schedule = Schedule::kConstant;
  MemberConfig window = Member(5);
  window.train.weight_decay = 2;
  window.train.decay_begin = 0.25;
  window.train.decay_end = 0.75;
  window.train.warmup_tokens = 5 * window.train.batch_tokens;
  window.train.schedule = Schedule::kWsd;
  window.train.cooldown_shape = CooldownShape::kLinear;
  MemberConfig masked = Member(6);
  masked.train.weight_decay = 3;
  masked.train.decay_lm_head = masked.train.decay_vo = masked.train.decay_mlp = false;
  masked.train.decay_norm = true;
  MemberConfig transferred = Member(7);
  transferred.train.weight_decay = 2;
  transferred.train.mup_base_width = 4;
  MemberConfig transferred_independent = transferred;
  transferred_independent.train.decay = DecayMode::kIndependent;
  transferred_independent.train.weight_decay = 0.02;
  MemberConfig penalized = Member(8);
  penalized.train.decay = DecayMode::kGradient;
  penalized.train.weight_decay = 0.05;
  penalized.train.decay_end = 0.5;
  penalized.train.decay_embed = false;
  penalized.train.clip = 0.2;
  MemberConfig curved = Member(9);
  curved.train.weight_decay = 2;
  std::string error;
  curved.train.decay_windows = ParseDecayWindows("0% 25% 0.5; 10 20 2 0 cosine", &error);
  EXPECT_EQ(error, "");
  return {coupled,   independent, clipped,     plain,
          window,    masked,      transferred, transferred_independent,
          penalized, curved};
}

std::vector<int32_t> StepTokens(int64_t step, int members) {
  std::vector<int32_t> tokens;
  for (int member = 0; member < members; ++member) {
    const auto own = RandomTokens(kModel, kSequences, static_cast<uint32_t>(100 * step + 7));
    tokens.insert(tokens.end(), own.begin(), own.end());
  }
  return tokens;
}

void TrainAgainstReference(const EngineOptions& options) {
  const std::vector<MemberConfig> arms = Arms();
  const int count = static_cast<int>(arms.size());
  Engine engine(arms, options);
  engine.InitWeights();
  std::vector<std::vector<double>> weights;
  std::vector<ReferenceAdamW> optimizers;
  for (int k = 0; k < count; ++k) {
    weights.push_back(ReadFlat(engine, kModel, k, "weights"));
    optimizers.emplace_back(kModel, arms[k].train);
  }
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto tokens = StepTokens(step, count);
    const auto results = engine.TrainStep(tokens.data(), step, step % 2 == 0);
    for (int k = 0; k < count; ++k) {
      const auto reference = ReferenceLossAndGradient(kModel, weights[k], StepTokens(step, 1));
      const double norm = optimizers[k].Step(step, reference.gradient, &weights[k]);
      EXPECT_NEAR(results[k].loss, reference.loss, 2e-5 * reference.loss) << step;
      EXPECT_NEAR(results[k].grad_norm, norm, 1e-4 * norm) << step;
      EXPECT_EQ(results[k].clipped, arms[k].train.clip > 0 && norm > arms[k].train.clip);
    }
  }
  for (int k = 0; k < count; ++k) {
    const auto got = ReadFlat(engine, kModel, k, "weights");
    const auto v = ReadFlat(engine, kModel, k, "adam_v");
    for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
      EXPECT_LT(RelativeError(got, weights[k], tensor.offset, tensor.size()), 1e-4)
          << tensor.name << " of arm " << k;
      EXPECT_LT(RelativeError(v, optimizers[k].v(), tensor.offset, tensor.size()), 1e-3)
          << tensor.name << " of arm " << k;
    }
  }
}

TEST(Optimizer, TwentyStepsEqualTheReference) { TrainAgainstReference({}); }

TEST(Optimizer, TwentyStepsEqualTheReferenceByAtenOperators) {
  EngineOptions options;
  options.composed_ops = true;
  options.fold_members = true;
  TrainAgainstReference(options);
}

TEST(Optimizer, TwentyStepsEqualTheReferenceAGpusWay) {
  EngineOptions options;
  options.gpu_kernel_threads = 1;
  TrainAgainstReference(options);
}

// Whether the comparison above would notice: without gradients decay alone moves weights.
TEST(Optimizer, DecaySparesGainsAndObeysTheEmbeddingSwitch) {
  for (const bool decay_embed : {true, false}) {
    MemberConfig member = Member(1);
    member.train.weight_decay = 10;
    member.train.decay_embed = decay_embed;
    member.train.warmup = 0;
    Engine engine({member}, {});
    engine.InitWeights();
    const auto before = ReadFlat(engine, kModel, 0, "weights");
    engine.TrainStep(StepTokens(0, 1).data(), 0, false);
    const auto after = ReadFlat(engine, kModel, 0, "weights");
    for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
      const bool decays = tensor.is_matrix() && (tensor.kind != TensorKind::kEmbed || decay_embed);
      // One Adam step moves an entry by at most lr = 3e-3; decay moves it by 3 % of itself.
      const double factor = decays ? 1 - 0.03 : 1;
      for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
        EXPECT_NEAR(after[i], factor * before[i], 3.01e-3) << tensor.name;
      }
      double shrinkage = 0, squares = 0;
      for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
        shrinkage += before[i] * (before[i] - after[i]);
        squares += before[i] * before[i];
      }
      if (tensor.kind == TensorKind::kEmbed) {
        EXPECT_NEAR(shrinkage / squares, decays ? 0.03 : 0, 0.01);
      }
    }
  }
}

}  // namespace
}  // namespace loglog
