#include "trainer/init.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "trainer/engine.h"
#include "trainer/philox.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

const ModelConfig kModel = {
    .layers = 3, .d_model = 32, .heads = 4, .kv_heads = 2, .d_ff = 80, .vocab = 100, .seq_len = 4};

// Known answers of the Random123 distribution, kat_vectors, philox4x32 10.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawsAreNormalAndDependOnTheirPlaceOnly) {
  std::vector<float> draws(200000);
  DrawNormal(42, 3, 2.0, static_cast<int64_t>(draws.size()), draws.data());
  double moments[5] = {};
  for (const float x : draws) {
    for (int power = 1; power <= 4; ++power) moments[power] += std::pow(x / 2.0, power);
  }
  const double count = static_cast<double>(draws.size());
  EXPECT_NEAR(moments[1] / count, 0, 4 / std::sqrt(count));
  EXPECT_NEAR(moments[2] / count, 1, 4 * std::sqrt(2 / count));
  EXPECT_NEAR(moments[3] / count, 0, 4 * std::sqrt(15 / count));
  EXPECT_NEAR(moments[4] / count, 3, 4 * std::sqrt(96 / count));

  std::vector<float> fewer(1001);
  DrawNormal(42, 3, 2.0, 1001, fewer.data());
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), draws.begin()));
  DrawNormal(42, 4, 2.0, 1001, fewer.data());
  EXPECT_NE(fewer[0], draws[0]);
  DrawNormal(43, 3, 2.0, 1001, fewer.data());
  EXPECT_NE(fewer[0], draws[0]);
}

// The expected standard deviation of each kind of tensor, written out from the definition.
double Expected(const InitConfig& init, const std::string& label) {
  const std::string name = label.substr(label.rfind('.') + 1);
  const std::map<std::string, std::optional<double>> gammas = {
      {"embed", init.gamma_embed}, {"lm_head", init.gamma_lm_head},
      {"q", init.gamma_qk},        {"k", init.gamma_qk},
      {"v", init.gamma_vo},        {"o", init.gamma_vo},
      {"gate", init.gamma_mlp_in}, {"up", init.gamma_mlp_in},
      {"down", init.gamma_mlp_out}};
  const double d_in = name == "down" && init.d_in == DInRule::kFanIn ? 80 : 32;
  double std = init.sigma.value_or(std::pow(d_in, -gammas.at(name).value_or(init.gamma)));
  if (init.depth_factor == DepthFactor::kInvSqrt2L && (name == "o" || name == "down")) {
    std /= std::sqrt(6.0);
  }
  return std;
}

void CheckRealizedStd(const InitConfig& init) {
  MemberConfig member = TinyMember(kModel, 1, 1, 5);
  member.init = init;
  Engine engine({member}, {});
  engine.InitWeights();
  const auto values = engine.InitMetrics(0);
  int matrices = 0;
  for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
    if (!tensor.is_matrix()) continue;
    ++matrices;
    const double expected = Expected(init, tensor.label);
    const double std = ValueOf(values, "init/std/" + tensor.label);
    const double sampling_error = expected / std::sqrt(2.0 * static_cast<double>(tensor.size()));
    EXPECT_NEAR(std, expected, 4 * sampling_error) << tensor.label;
    const double d_in = tensor.kind == TensorKind::kDown && init.d_in == DInRule::kFanIn ? 80 : 32;
    EXPECT_NEAR(ValueOf(values, "init/gamma_eff/" + tensor.label), -std::log(std) / std::log(d_in),
                1e-12);
  }
  EXPECT_EQ(matrices, 3 * 7 + 2);
  EXPECT_EQ(values.size(), 2u * matrices);
}

TEST(Init, RealizesEveryRule) {
  CheckRealizedStd({});
  CheckRealizedStd({.gamma = 1.0});
  CheckRealizedStd({.gamma = 0.8, .d_in = DInRule::kDModel});
  CheckRealizedStd({.depth_factor = DepthFactor::kInvSqrt2L});
  CheckRealizedStd({.sigma = 0.02});
  CheckRealizedStd({.sigma = 0.02, .depth_factor = DepthFactor::kInvSqrt2L});
}

TEST(Init, EachGroupHasItsOwnExponent) {
  CheckRealizedStd({.gamma_embed = 0.1});
  CheckRealizedStd({.gamma_lm_head = 0.2});
  CheckRealizedStd({.gamma_qk = 0.3});
  CheckRealizedStd({.gamma_vo = 0.7});
  CheckRealizedStd({.gamma_mlp_in = 0.9});
  CheckRealizedStd({.gamma_mlp_out = 1.1});
}

TEST(Init, GainsAreOne) {
  Engine engine({TinyMember(kModel, 1, 1, 5)}, {});
  engine.InitWeights();
  const auto weights = ReadFlat(engine, kModel, 0, "weights");
  for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
    if (tensor.is_matrix()) continue;
    for (int64_t i = 0; i < tensor.size(); ++i) EXPECT_EQ(weights[tensor.offset + i], 1);
  }
}

TEST(Init, DoesNotDependOnWhoElseIsThere) {
  const MemberConfig one = TinyMember(kModel, 1, 1, 1), two = TinyMember(kModel, 1, 1, 2);
  Engine solo({two}, {}), fused({one, two, one}, {});
  solo.InitWeights();
  fused.InitWeights();
  EXPECT_EQ(ReadAll(solo, 0), ReadAll(fused, 1));
  EXPECT_EQ(ReadAll(fused, 0), ReadAll(fused, 2));
  EXPECT_NE(ReadAll(fused, 0), ReadAll(fused, 1));
}

// Arms at one seed differ in scale alone, which is what makes their comparison paired.
TEST(Init, ArmsShareTheirDraws) {
  MemberConfig small = TinyMember(kModel, 1, 1, 1), standard = small;
  small.init.gamma = 1.0;
  Engine engine({small, standard}, {});
  engine.InitWeights();
  const auto a = ReadFlat(engine, kModel, 0, "weights"), b = ReadFlat(engine, kModel, 1, "weights");
  const Layout layout = MakeLayout(kModel);
  const TensorSpec& q = layout.Find(TensorKind::kQ, 1);
  for (int64_t i = q.offset; i < q.offset + q.size(); ++i) {
    EXPECT_NEAR(a[i], b[i] / std::sqrt(32.0), 1e-8);
  }
}

}  // namespace
}  // namespace loglog
