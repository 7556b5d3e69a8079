// Loss and gradients of the engine against the double-precision reference, for every way in
// which the engine can run: by loops or by ATen operators, members one by one or folded, in
// parts, with attention kept or computed twice.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "trainer/engine.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

struct Case {
  std::string name;
  ModelConfig model;
  int64_t sequences;
  int members;
};

ModelConfig Model(int64_t layers, int64_t d_model, int64_t heads, int64_t kv_heads, int64_t d_ff,
                  int64_t vocab, int64_t seq_len, bool tied) {
  return {.layers = layers,
          .d_model = d_model,
          .heads = heads,
          .kv_heads = kv_heads,
          .d_ff = d_ff,
          .vocab = vocab,
          .seq_len = seq_len,
          .tied_head = tied,
          .norm_eps = 1e-5,
          .rope_theta = 100};
}

std::vector<Case> Cases() {
  return {
      {"untied", Model(2, 16, 4, 4, 24, 19, 8, false), 2, 1},
      {"tied", Model(2, 16, 4, 4, 24, 19, 8, true), 2, 2},
      {"grouped", Model(1, 24, 6, 2, 20, 11, 7, false), 3, 2},
      {"one_kv_head", Model(1, 8, 4, 1, 6, 5, 9, true), 1, 1},
      {"odd", Model(1, 10, 1, 1, 7, 3, 5, false), 3, 3},
      {"one_token", Model(1, 6, 3, 3, 5, 4, 1, false), 2, 2},
      {"long", Model(1, 8, 2, 1, 9, 7, 37, false), 1, 1},
  };
}

struct Mode {
  std::string name;
  EngineOptions options;
  double tolerance;
};

std::vector<Mode> Modes() {
  EngineOptions loops, folded, parts, composed, gpu, gpu_parts;
  folded.fold_members = true;
  parts.chunk_tokens = 1;
  parts.attention_kept_bytes = 0;
  parts.attention_block_bytes = 1;
  composed.composed_ops = true;
  composed.fold_members = true;
  gpu.gpu_kernel_threads = 1;
  gpu_parts = parts;
  gpu_parts.gpu_kernel_threads = 1;
  return {{"loops", loops, 1e-5},       {"folded", folded, 1e-5}, {"parts", parts, 1e-5},
          {"composed", composed, 1e-5}, {"gpu", gpu, 1e-5},       {"gpu_parts", gpu_parts, 1e-5}};
}

// The gradient of the first step: m = (1 - beta1) g when nothing is clipped.
std::vector<double> FirstGradient(const Engine& engine, const MemberConfig& member, int index) {
  std::vector<double> gradient = ReadFlat(engine, member.model, index, "adam_m");
  for (double& value : gradient) value /= 1 - static_cast<double>(static_cast<float>(0.9));
  return gradient;
}

double Norm(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

void CheckAgainstReference(const Case& test_case, const Mode& mode, Precision precision) {
  SCOPED_TRACE(test_case.name + "/" + mode.name);
  const ModelConfig& model = test_case.model;
  std::vector<MemberConfig> members;
  std::vector<int32_t> tokens;
  for (int k = 0; k < test_case.members; ++k) {
    members.push_back(TinyMember(model, test_case.sequences, 10, 7 + k));
    members.back().train.clip = 0;
    members.back().train.lr = 0;
    members.back().train.precision = precision;
    members.back().init.gamma = 0.3 + 0.1 * k;
    const auto own = RandomTokens(model, test_case.sequences, 100 + k);
    tokens.insert(tokens.end(), own.begin(), own.end());
  }
  Engine engine(members, mode.options);
  engine.InitWeights();
  const auto results = engine.TrainStep(tokens.data(), 0, false);
  for (int k = 0; k < test_case.members; ++k) {
    const auto weights = ReadFlat(engine, model, k, "weights");
    const auto own = RandomTokens(model, test_case.sequences, 100 + k);
    const ReferenceGradient reference = ReferenceLossAndGradient(model, weights, own);
    EXPECT_NEAR(results[k].loss, reference.loss, mode.tolerance * reference.loss);
    const auto gradient = FirstGradient(engine, members[k], k);
    const double norm = Norm(reference.gradient);
    EXPECT_NEAR(results[k].grad_norm, norm, mode.tolerance * norm);
    for (const TensorSpec& tensor : MakeLayout(model).tensors) {
      // Where the true gradient is zero only rounding is left to compare.
      const double error =
          RelativeError(gradient, reference.gradient, tensor.offset, tensor.size(), 1e-6 * norm);
      EXPECT_LT(error, mode.tolerance) << tensor.name << " of member " << k;
    }
  }
}

TEST(Gradient, EqualsTheReference) {
  for (const Case& test_case : Cases()) {
    for (const Mode& mode : Modes()) CheckAgainstReference(test_case, mode, Precision::kFp32);
  }
}

// The GPU's storage type, by ATen operators and by the GPU's kernels.
TEST(Gradient, Bf16IsCloseToTheReference) {
  EngineOptions composed, gpu;
  composed.composed_ops = true;
  composed.fold_members = true;
  gpu.gpu_kernel_threads = 2;
  for (const Case& test_case : {Cases()[1], Cases()[2]}) {
    CheckAgainstReference(test_case, {"bf16", composed, 0.1}, Precision::kBf16);
    CheckAgainstReference(test_case, {"gpu_bf16", gpu, 0.1}, Precision::kBf16);
  }
}

TEST(Gradient, ReferenceEqualsFiniteDifferences) {
  for (const Case& test_case : {Cases()[2], Cases()[3]}) {
    const ModelConfig& model = test_case.model;
    Engine engine({TinyMember(model, 1, 1, 3)}, {});
    engine.InitWeights();
    std::vector<double> weights = ReadFlat(engine, model, 0, "weights");
    const auto tokens = RandomTokens(model, 2, 5);
    const auto reference = ReferenceLossAndGradient(model, weights, tokens);
    EXPECT_NEAR(reference.loss, ReferenceLoss(model, weights, tokens), 1e-12);
    for (size_t i = 0; i < weights.size(); i += 7) {
      constexpr double kStep = 1e-5;
      const double at = weights[i];
      weights[i] = at + kStep;
      const double up = ReferenceLoss(model, weights, tokens);
      weights[i] = at - kStep;
      const double down = ReferenceLoss(model, weights, tokens);
      weights[i] = at;
      EXPECT_NEAR((up - down) / (2 * kStep), reference.gradient[i], 1e-8) << test_case.name;
    }
  }
}

// Along the gradient, the engine's own loss falls as its gradient says.
TEST(Gradient, EngineEqualsFiniteDifferences) {
  const ModelConfig model = Cases()[2].model;
  const MemberConfig member = [&] {
    MemberConfig m = TinyMember(model, 2, 10, 11);
    m.train.lr = 0;
    m.train.clip = 0;
    return m;
  }();
  Engine engine({member}, {});
  engine.InitWeights();
  const auto tokens = RandomTokens(model, 2, 12);
  const double norm = engine.TrainStep(tokens.data(), 0, false)[0].grad_norm;
  const auto gradient = FirstGradient(engine, member, 0);
  const auto loss_at = [&](double distance) {
    Engine moved({member}, {});
    moved.InitWeights();
    const Layout layout = MakeLayout(model);
    const auto weights = ReadFlat(moved, model, 0, "weights");
    for (size_t i = 0; i < layout.tensors.size(); ++i) {
      const TensorSpec& tensor = layout.tensors[i];
      std::vector<float> values;
      for (int64_t j = tensor.offset; j < tensor.offset + tensor.size(); ++j) {
        values.push_back(static_cast<float>(weights[j] + distance * gradient[j] / norm));
      }
      moved.WriteState(i, values.data());
    }
    return moved.Evaluate(tokens.data(), 2)[0].loss;
  };
  constexpr double kStep = 1e-2;
  EXPECT_NEAR((loss_at(kStep) - loss_at(-kStep)) / (2 * kStep), norm, 1e-3 * norm);
}

}  // namespace
}  // namespace loglog
