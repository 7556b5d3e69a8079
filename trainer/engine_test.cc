#include "trainer/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "trainer/condensation.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

using testing::HasSubstr;

constexpr int64_t kSequences = 3;
constexpr int64_t kSteps = 12;

const ModelConfig kModel = {.layers = 2,
                            .d_model = 16,
                            .heads = 4,
                            .kv_heads = 2,
                            .d_ff = 24,
                            .vocab = 13,
                            .seq_len = 10,
                            .tied_head = false,
                            .norm_eps = 1e-4};

MemberConfig Member(int64_t seed, double gamma = 0.5) {
  MemberConfig member = TinyMember(kModel, kSequences, kSteps, seed);
  member.init.gamma = gamma;
  member.train.lr = 1e-2;
  return member;
}

std::vector<int32_t> Tokens(int64_t step, int64_t seed) {
  return RandomTokens(kModel, kSequences, static_cast<uint32_t>(1000 * step + seed));
}

// Trains `members` together and returns the losses of each, by step.
std::vector<std::vector<double>> Train(Engine* engine, const std::vector<MemberConfig>& members,
                                       int64_t from = 0, int64_t to = kSteps) {
  std::vector<std::vector<double>> losses(members.size());
  for (int64_t step = from; step < to; ++step) {
    std::vector<int32_t> tokens;
    for (const MemberConfig& member : members) {
      const auto own = Tokens(step, member.seed);
      tokens.insert(tokens.end(), own.begin(), own.end());
    }
    const auto results = engine->TrainStep(tokens.data(), step, step % 3 == 0);
    for (size_t k = 0; k < members.size(); ++k) losses[k].push_back(results[k].loss);
  }
  return losses;
}

size_t BufferNamed(const Engine& engine, const std::string& name) {
  const auto& buffers = engine.state_buffers();
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].name == name) return i;
  }
  ADD_FAILURE() << "no buffer " << name;
  return 0;
}

// Puts a NaN into a weight of a member.
void Poison(Engine* engine, int member) {
  const size_t index =
      BufferNamed(*engine, std::to_string(member) + "/weights/model.layers.1.mlp.down_proj.weight");
  std::vector<float> values(static_cast<size_t>(engine->state_buffers()[index].bytes / 4));
  engine->ReadState(index, values.data());
  values[5] = std::numeric_limits<float>::quiet_NaN();
  engine->WriteState(index, values.data());
}

EngineOptions Folded() {
  EngineOptions options;
  options.fold_members = true;
  return options;
}

EngineOptions Composed() {
  EngineOptions options = Folded();
  options.composed_ops = true;
  return options;
}

// A GPU's way, on the host.
EngineOptions Gpu() {
  EngineOptions options;
  options.gpu_kernel_threads = 1;
  return options;
}

TEST(Engine, LearnsARepeatedBatch) {
  MemberConfig member = Member(1);
  member.train.schedule = Schedule::kConstant;
  member.train.tokens = member.train.batch_tokens * 300;
  Engine engine({member}, {});
  engine.InitWeights();
  const auto tokens = Tokens(0, 1);
  const double first = engine.TrainStep(tokens.data(), 0, false)[0].loss;
  double last = first;
  for (int64_t step = 1; step < 300; ++step) {
    last = engine.TrainStep(tokens.data(), step, false)[0].loss;
  }
  EXPECT_NEAR(first, std::log(13.0), 0.6);
  EXPECT_LT(last, 0.1);
  EXPECT_NEAR(engine.Evaluate(tokens.data(), kSequences)[0].loss, last, 0.05);
}

TEST(Engine, SameInputsSameBits) {
  for (const EngineOptions& options : {EngineOptions(), Folded(), Composed(), Gpu()}) {
    const std::vector<MemberConfig> members = {Member(1), Member(2, 0.8)};
    Engine a(members, options), b(members, options);
    a.InitWeights();
    b.InitWeights();
    EXPECT_EQ(Train(&a, members), Train(&b, members));
    for (int k = 0; k < 2; ++k) EXPECT_EQ(ReadAll(a, k), ReadAll(b, k));
  }
}

// One by one a fused member is its solo run to the bit; folded, within rounding.
TEST(Engine, MemberEqualsItsSoloRun) {
  const std::vector<MemberConfig> members = {Member(1), Member(2, 0.8), Member(3, 0.3)};
  Engine fused(members, {}), folded(members, Folded()), composed(members, Composed());
  Engine gpu(members, Gpu());
  for (Engine* engine : {&fused, &folded, &composed, &gpu}) engine->InitWeights();
  const auto fused_losses = Train(&fused, members);
  const auto folded_losses = Train(&folded, members);
  const auto composed_losses = Train(&composed, members);
  const auto gpu_losses = Train(&gpu, members);
  for (int k = 0; k < 3; ++k) {
    Engine solo({members[k]}, {});
    solo.InitWeights();
    const auto losses = Train(&solo, {members[k]})[0];
    EXPECT_EQ(fused_losses[k], losses);
    EXPECT_EQ(ReadAll(fused, k), ReadAll(solo, 0));
    for (int64_t step = 0; step < kSteps; ++step) {
      EXPECT_NEAR(folded_losses[k][step], losses[step], 1e-5 * losses[step]);
      EXPECT_NEAR(composed_losses[k][step], losses[step], 1e-5 * losses[step]);
      EXPECT_NEAR(gpu_losses[k][step], losses[step], 1e-5 * losses[step]);
    }
  }
}

TEST(Engine, APoisonedMemberTouchesNoOther) {
  for (const EngineOptions& options : {EngineOptions(), Folded(), Composed(), Gpu()}) {
    const std::vector<MemberConfig> members = {Member(1), Member(2), Member(3)};
    Engine clean(members, options), poisoned(members, options);
    clean.InitWeights();
    poisoned.InitWeights();
    const auto before = Train(&clean, members, 0, 4);
    EXPECT_EQ(Train(&poisoned, members, 0, 4), before);
    Poison(&poisoned, 1);
    const auto after = Train(&clean, members, 4, kSteps);
    const auto with_poison = Train(&poisoned, members, 4, kSteps);
    for (const int k : {0, 2}) {
      EXPECT_EQ(with_poison[k], after[k]);
      EXPECT_EQ(ReadAll(poisoned, k), ReadAll(clean, k));
      EXPECT_TRUE(poisoned.active(k));
    }
    EXPECT_FALSE(poisoned.active(1));
    EXPECT_TRUE(std::isnan(with_poison[1][0]));
    EXPECT_TRUE(std::isnan(poisoned.Evaluate(Tokens(0, 0).data(), kSequences)[1].loss));
    EXPECT_EQ(poisoned.Evaluate(Tokens(0, 0).data(), kSequences)[0].loss,
              clean.Evaluate(Tokens(0, 0).data(), kSequences)[0].loss);
  }
}

TEST(Engine, DivergenceIsReportedOnceAndFreezesTheMember) {
  const std::vector<MemberConfig> members = {Member(1), Member(2)};
  Engine engine(members, {});
  engine.InitWeights();
  Poison(&engine, 0);
  std::vector<int32_t> tokens = Tokens(0, 1);
  const auto other = Tokens(0, 2);
  tokens.insert(tokens.end(), other.begin(), other.end());
  const auto first = engine.TrainStep(tokens.data(), 0, true);
  EXPECT_FALSE(first[0].finite);
  EXPECT_FALSE(first[0].inactive);
  EXPECT_TRUE(first[1].finite);
  const auto frozen = ReadAll(engine, 0);
  const auto second = engine.TrainStep(tokens.data(), 1, true);
  EXPECT_TRUE(second[0].inactive);
  EXPECT_FALSE(second[1].inactive);
  EXPECT_EQ(ReadAll(engine, 0), frozen);
}

TEST(Engine, DeactivatingAMemberLeavesTheOthersAlone) {
  for (const EngineOptions& options : {EngineOptions(), Folded()}) {
    const std::vector<MemberConfig> members = {Member(1), Member(2)};
    Engine both(members, options), one(members, options);
    both.InitWeights();
    one.InitWeights();
    one.Deactivate(0);
    EXPECT_FALSE(one.active(0));
    EXPECT_EQ(Train(&both, members)[1], Train(&one, members)[1]);
    EXPECT_EQ(ReadAll(both, 1), ReadAll(one, 1));
  }
}

// State moved to a fresh engine half way gives the same bits as never stopping, including
// the window of grad/clip_rate and which members are active.
TEST(Engine, StateCarriesEverything) {
  std::vector<MemberConfig> members = {Member(1), Member(2, 0.8), Member(3)};
  for (MemberConfig& member : members) member.train.clip = 0.5;
  Engine whole(members, {});
  whole.InitWeights();
  whole.Deactivate(2);
  Train(&whole, members, 0, 5);
  Engine resumed(members, {});
  for (size_t i = 0; i < whole.state_buffers().size(); ++i) {
    std::vector<char> bytes(static_cast<size_t>(whole.state_buffers()[i].bytes));
    whole.ReadState(i, bytes.data());
    resumed.WriteState(i, bytes.data());
  }
  EXPECT_FALSE(resumed.active(2));
  EXPECT_EQ(Train(&resumed, members, 5, kSteps), Train(&whole, members, 5, kSteps));
  for (int k = 0; k < 3; ++k) EXPECT_EQ(ReadAll(resumed, k), ReadAll(whole, k));
  for (int k = 0; k < 2; ++k) {
    EXPECT_EQ(ValueOf(resumed.StepMetrics(k), "grad/clip_rate"),
              ValueOf(whole.StepMetrics(k), "grad/clip_rate"));
  }
}

TEST(Engine, StateBuffersAreNamedAndComplete) {
  Engine engine({Member(1), Member(2)}, {});
  std::set<std::string> names;
  int64_t bytes = 0;
  for (const StateBuffer& buffer : engine.state_buffers()) {
    EXPECT_TRUE(names.insert(buffer.name).second) << buffer.name;
    int64_t size = buffer.dtype == "F64" ? 8 : 4;
    for (const int64_t extent : buffer.shape) size *= extent;
    EXPECT_EQ(size, buffer.bytes);
    bytes += buffer.bytes;
  }
  EXPECT_EQ(names.count("1/adam_v/model.layers.0.self_attn.k_proj.weight"), 1u);
  EXPECT_EQ(names.count("0/weights/lm_head.weight"), 1u);
  EXPECT_EQ(names.count("0/counters"), 1u);
  EXPECT_LT(bytes, engine.StateBytes());
}

TEST(Engine, EvaluatesAnyNumberOfSequences) {
  const std::vector<MemberConfig> members = {Member(1), Member(2)};
  EngineOptions parts;
  parts.chunk_tokens = 2 * kModel.seq_len;
  for (const EngineOptions& options : {EngineOptions(), parts, Folded(), Gpu()}) {
    Engine engine(members, options);
    engine.InitWeights();
    const auto tokens = RandomTokens(kModel, 7, 3);
    const auto evaluations = engine.Evaluate(tokens.data(), 7);
    for (int k = 0; k < 2; ++k) {
      const double expected = ReferenceLoss(kModel, ReadFlat(engine, kModel, k, "weights"), tokens);
      EXPECT_NEAR(evaluations[k].loss, expected, 1e-5 * expected);
    }
  }
}

double GroupNorm(const std::vector<double>& flat, const std::string& group) {
  double squares = 0;
  for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
    if (!group.empty() && GroupName(tensor.group()) != group) continue;
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
      squares += flat[i] * flat[i];
    }
  }
  return std::sqrt(squares);
}

TEST(Engine, StepMetricsFollowTheirFormulas) {
  MemberConfig member = Member(1);
  member.train.clip = 2.65;  // between the five norms of this seed
  member.train.adam_eps = 1e-3;
  for (const EngineOptions& options : {EngineOptions(), Composed(), Gpu()}) {
    Engine engine({member}, options);
    engine.InitWeights();
    int clipped = 0;
    for (int64_t step = 0; step < 5; ++step) {
      const auto tokens = Tokens(step, 1);
      const auto before = ReadFlat(engine, kModel, 0, "weights");
      const auto result = engine.TrainStep(tokens.data(), step, step == 4)[0];
      clipped += result.clipped ? 1 : 0;
      if (step < 4) continue;
      const auto after = ReadFlat(engine, kModel, 0, "weights");
      const auto& values = engine.StepMetrics(0);
      EXPECT_EQ(ValueOf(values, "loss/train"), result.loss);
      EXPECT_EQ(ValueOf(values, "norm/grad"), result.grad_norm);
      EXPECT_DOUBLE_EQ(ValueOf(values, "grad/clip_rate"), clipped / 5.0);
      EXPECT_GT(clipped, 0);
      EXPECT_LT(clipped, 5);
      EXPECT_NEAR(ValueOf(values, "norm/param"), GroupNorm(after, ""), 1e-5);
      auto update = after;
      for (size_t i = 0; i < update.size(); ++i) update[i] -= before[i];
      for (const std::string group : {"embed", "lm_head", "qk", "vo", "mlp", "norm"}) {
        EXPECT_NEAR(ValueOf(values, "norm/param/" + group), GroupNorm(after, group), 1e-5);
        const double ratio = GroupNorm(update, group) / GroupNorm(before, group);
        EXPECT_NEAR(ValueOf(values, "update_ratio/" + group), ratio, 1e-4 * ratio) << group;
      }
      const auto v = ReadFlat(engine, kModel, 0, "adam_v");
      double below = 0, count = 0;
      for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
        for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
          count += 1;
          below += std::sqrt(v[i]) < 1e-3 ? 1 : 0;
        }
      }
      EXPECT_GT(below, 0);
      EXPECT_LT(below, count);
      EXPECT_NEAR(ValueOf(values, "adam/eps_share"), below / count, 1e-9);
    }
    // The next window starts where this one ended.
    const bool sixth_clipped = engine.TrainStep(Tokens(5, 1).data(), 5, true)[0].clipped;
    EXPECT_EQ(ValueOf(engine.StepMetrics(0), "grad/clip_rate"), sixth_clipped ? 1 : 0);
  }
}

TEST(Engine, ProbesFollowTheirFormulas) {
  const std::vector<MemberConfig> members = {Member(1), Member(2, 0.2)};
  for (const EngineOptions& options : {EngineOptions(), Composed(), Gpu()}) {
    Engine engine(members, options);
    engine.InitWeights();
    const auto tokens = RandomTokens(kModel, 4, 9);
    for (int k = 0; k < 2; ++k) {
      const auto values = engine.Probe(k, tokens.data(), 4);
      const auto weights = ReadFlat(engine, kModel, k, "weights");
      ReferenceObservations seen;
      ReferenceLoss(kModel, weights, tokens, &seen);
      const auto near = [&](const std::string& name, double expected) {
        EXPECT_NEAR(ValueOf(values, name), expected, 1e-5 * std::abs(expected)) << name;
      };
      for (const size_t layer : {0, 1}) {
        const std::string label = "layers." + std::to_string(layer);
        near("attn/entropy/" + label, seen.entropy[layer]);
        near("attn/first_token_mass/" + label, seen.first_token_mass[layer]);
        near("attn/max_logit/" + label, seen.max_logit[layer]);
        near("norm/ms_over_eps/" + label + ".attn_norm", seen.attn_ms[layer] / 1e-4);
        near("norm/ms_over_eps/" + label + ".mlp_norm", seen.mlp_ms[layer] / 1e-4);
      }
      near("norm/ms_over_eps/final_norm", seen.final_ms / 1e-4);
      const Layout layout = MakeLayout(kModel);
      const TensorSpec& down = layout.Find(TensorKind::kDown, 1);
      const std::vector<float> matrix(weights.begin() + down.offset,
                                      weights.begin() + down.offset + down.size());
      near("cond/stable_rank/layers.1.down",
           ShapeOfSpectrum(matrix.data(), down.rows, down.cols).stable_rank);
      near("cond/cos_rows_abs/layers.1.down",
           CosinesOfRows(matrix.data(), down.rows, down.cols).mean_abs);
      EXPECT_EQ(values.size(), 2u * (7 * 6 + 5) + 2 * 6 + 3 + 1);
    }
  }
}

// Beyond its limits a member stays as it is, and the others do not notice.
TEST(Engine, SkipsOutliersAndNothingElse) {
  const std::vector<MemberConfig> members = {Member(1), Member(2)};
  for (const EngineOptions& options : {EngineOptions(), Folded(), Composed(), Gpu()}) {
    Engine plain(members, options), skipping(members, options);
    plain.InitWeights();
    skipping.InitWeights();
    const auto both = [&](int64_t step) {
      auto tokens = Tokens(step, 1);
      const auto more = Tokens(step, 2);
      tokens.insert(tokens.end(), more.begin(), more.end());
      return tokens;
    };
    const auto before = ReadAll(skipping, 0);
    const auto expected = plain.TrainStep(both(0).data(), 0, true);
    const StepLimits norm = {.grad_norm = 0.99 * expected[0].grad_norm};
    auto results = skipping.TrainStep(both(0).data(), 0, true, {norm, StepLimits()});
    EXPECT_TRUE(results[0].skipped && results[0].finite);
    EXPECT_FALSE(results[1].skipped);
    EXPECT_EQ(results[0].grad_norm, expected[0].grad_norm);
    EXPECT_EQ(ReadAll(skipping, 0), before);
    EXPECT_EQ(ReadAll(skipping, 1), ReadAll(plain, 1));
    const StepLimits loss = {.loss = 0.99 * expected[0].loss};
    EXPECT_TRUE(skipping.TrainStep(both(0).data(), 0, false, {loss, std::nullopt})[0].skipped);
    EXPECT_EQ(ReadAll(skipping, 0), before);
    const StepLimits above = {.loss = 1.01 * expected[0].loss,
                              .grad_norm = 1.01 * expected[0].grad_norm};
    EXPECT_FALSE(skipping.TrainStep(both(0).data(), 0, false, {above, above})[0].skipped);
    EXPECT_NE(ReadAll(skipping, 0), before);
    // One that is not finite is an outlier too, and ends nothing, as long as limits are given.
    Poison(&skipping, 1);
    EXPECT_TRUE(skipping.TrainStep(both(1).data(), 1, false, {above, above})[1].skipped);
    EXPECT_TRUE(skipping.active(1));
    EXPECT_FALSE(skipping.TrainStep(both(1).data(), 1, false)[1].finite);
    EXPECT_FALSE(skipping.active(1));
  }
}

// The host may be steps behind the device: what happens to weights and members is decided there,
// and the numbers come in order, each once.
TEST(Engine, StepsStartedAheadAreTheSameSteps) {
  const std::vector<MemberConfig> members = {Member(1), Member(2)};
  EngineOptions late = Gpu();
  late.numbers_late_steps = 3;
  for (const EngineOptions& options : {EngineOptions(), Gpu(), late}) {
    Engine by_one(members, options), ahead(members, options);
    by_one.InitWeights();
    ahead.InitWeights();
    Poison(&by_one, 1);
    Poison(&ahead, 1);
    constexpr int64_t kAhead = 11;  // more than may be under way
    std::vector<std::vector<StepResult>> expected;
    std::vector<double> norms;
    const auto both = [&](int64_t step) {
      auto tokens = Tokens(step, 1);
      const auto more = Tokens(step, 2);
      tokens.insert(tokens.end(), more.begin(), more.end());
      return tokens;
    };
    for (int64_t step = 0; step < kAhead; ++step) {
      expected.push_back(by_one.TrainStep(both(step).data(), step, step % 2 == 0));
      if (step % 2 == 0) norms.push_back(ValueOf(by_one.StepMetrics(0), "norm/param"));
    }
    for (int64_t step = 0; step < kAhead; ++step) {
      ahead.StartStep(both(step).data(), step, step % 2 == 0);
    }
    // Reading state waits for the numbers, which the counters follow.
    EXPECT_EQ(ReadAll(ahead, 0), ReadAll(by_one, 0));
    EXPECT_EQ(ReadAll(ahead, 1), ReadAll(by_one, 1));
    for (int64_t step = 0; step < kAhead; ++step) {
      const auto finished = ahead.TakeStep(/*wait=*/true);
      ASSERT_TRUE(finished);
      EXPECT_EQ(finished->step, step);
      EXPECT_EQ(finished->results[0].loss, expected[step][0].loss);
      EXPECT_EQ(finished->results[0].grad_norm, expected[step][0].grad_norm);
      EXPECT_EQ(finished->results[1].finite || finished->results[1].inactive, step > 0);
      EXPECT_EQ(finished->results[1].inactive, expected[step][1].inactive);
      EXPECT_EQ(finished->metrics.empty(), step % 2 == 1);
      if (step % 2 == 1) continue;
      EXPECT_EQ(ValueOf(finished->metrics[0], "norm/param"), norms[step / 2]);
    }
    EXPECT_FALSE(ahead.TakeStep(/*wait=*/true));
  }
}

TEST(Engine, NumbersThatAreNotThereAreNotTaken) {
  EngineOptions late = Gpu();
  late.numbers_late_steps = 2;
  Engine engine({Member(1)}, late);
  engine.InitWeights();
  for (int64_t step = 0; step < 2; ++step) {
    engine.StartStep(Tokens(step, 1).data(), step, false);
    EXPECT_FALSE(engine.TakeStep(/*wait=*/false)) << step;
  }
  engine.StartStep(Tokens(2, 1).data(), 2, false);
  EXPECT_EQ(engine.TakeStep(/*wait=*/false)->step, 0);
  EXPECT_FALSE(engine.TakeStep(/*wait=*/false));
  EXPECT_EQ(engine.TakeStep(/*wait=*/true)->step, 1);
  EXPECT_EQ(engine.TrainStep(Tokens(3, 1).data(), 3, false).size(), 1u);
  EXPECT_FALSE(engine.TakeStep(/*wait=*/true));
}

double NormOf(const std::vector<double>& flat, int64_t layer, const std::string& group) {
  double squares = 0;
  for (const TensorSpec& tensor : MakeLayout(kModel).tensors) {
    if (tensor.name.rfind("model.layers." + std::to_string(layer) + ".", 0) != 0) continue;
    if (!group.empty() && GroupName(tensor.group()) != group) continue;
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
      squares += flat[i] * flat[i];
    }
  }
  return std::sqrt(squares);
}

TEST(Engine, LayersAndHeadsAreToldApartOnDemand) {
  MemberConfig member = Member(3, 0.2);
  member.metrics.layers = member.metrics.heads = true;
  for (const EngineOptions& options : {EngineOptions(), Composed(), Gpu()}) {
    Engine engine({member}, options);
    engine.InitWeights();
    engine.TrainStep(Tokens(0, 3).data(), 0, true);
    const auto weights = ReadFlat(engine, kModel, 0, "weights");
    const auto& norms = engine.StepMetrics(0);
    const auto tokens = RandomTokens(kModel, 3, 4);
    const auto values = engine.Probe(0, tokens.data(), 3, /*with_spectra=*/true);
    ReferenceObservations seen;
    ReferenceLoss(kModel, weights, tokens, &seen);
    const auto near = [&](const std::string& name, double expected) {
      EXPECT_NEAR(ValueOf(values, name), expected, 1e-5 * std::abs(expected)) << name;
    };
    for (const size_t layer : {0, 1}) {
      const std::string label = "layers." + std::to_string(layer);
      for (const std::string group : {"", "qk", "vo", "mlp"}) {
        const std::string name = "norm/param/" + label + (group.empty() ? "" : "." + group);
        EXPECT_NEAR(ValueOf(norms, name), NormOf(weights, layer, group), 1e-5) << name;
      }
      for (size_t head = 0; head < 4; ++head) {
        const std::string own = label + ".heads." + std::to_string(head);
        const size_t place = layer * 4 + head;
        near("attn/entropy/" + own, seen.head_entropy[place]);
        near("attn/first_token_mass/" + own, seen.head_first_token_mass[place]);
        near("attn/max_logit/" + own, seen.head_max_logit[place]);
      }
    }
    // The second key head is rows 4 to 7 of its matrix; the third head of W_O columns 8 to 11.
    const Layout layout = MakeLayout(kModel);
    const TensorSpec& k = layout.Find(TensorKind::kK, 1);
    const TensorSpec& o = layout.Find(TensorKind::kO, 0);
    std::vector<float> rows, columns;
    for (int64_t i = 4 * 16; i < 8 * 16; ++i) rows.push_back(weights[k.offset + i]);
    for (int64_t i = 0; i < 16; ++i) {
      for (int64_t j = 8; j < 12; ++j) columns.push_back(weights[o.offset + i * 16 + j]);
    }
    near("cond/stable_rank/layers.1.k.heads.1", ShapeOfSpectrum(rows.data(), 4, 16).stable_rank);
    near("cond/cos_rows_abs/layers.0.o.heads.2", CosinesOfRows(columns.data(), 16, 4).mean_abs);
    const std::vector<double> singular = SingularValues(columns.data(), 16, 4);
    EXPECT_EQ(singular.size(), 4u);
    const TensorSpec& embed = layout.Find(TensorKind::kEmbed);
    const std::vector<float> table(weights.begin() + embed.offset,
                                   weights.begin() + embed.offset + embed.size());
    near("cond/embed_spectrum/3", CovarianceSpectrum(table.data(), 13, 16)[3]);
    near("cond/spectrum/embed/12", SingularValues(table.data(), 13, 16)[12]);
  }
}

// A store takes so many names of metrics: a wide matrix gives points at chosen ranks.
TEST(Engine, LongSeriesAreThinnedOut) {
  for (const int64_t width : {64, 66, 130, 512}) {
    MemberConfig member = Member(3);
    member.model.d_model = width;
    member.model.heads = member.model.kv_heads = 1;
    member.model.layers = 1;
    member.model.vocab = 600;
    member.train.batch_tokens = member.train.tokens = kModel.seq_len;
    Engine engine({member}, {});
    engine.InitWeights();
    std::set<int64_t> ranks;
    const auto values = engine.Probe(0, RandomTokens(member.model, 1, 4).data(), 1, true);
    for (const NamedValue& value : values) {
      const std::string prefix = "cond/spectrum/layers.0.q/";
      if (value.name.rfind(prefix, 0) == 0)
        ranks.insert(std::stoll(value.name.substr(prefix.size())));
    }
    EXPECT_EQ(ranks.size(), 64u);
    EXPECT_EQ(*ranks.begin(), 0);
    EXPECT_EQ(*ranks.rbegin(), width - 1);
    EXPECT_EQ(*std::next(ranks.begin(), 31), 31);
  }
}

TEST(Engine, EmbeddingCosinesFollowTheFrequencies) {
  MemberConfig member = Member(3);
  member.metrics.top_tokens = 3;
  Engine engine({member}, {});
  engine.InitWeights();
  std::vector<double> frequencies(13, 0.01);
  frequencies[5] = 4;
  frequencies[2] = 2;
  frequencies[11] = 1;
  engine.SetTokenFrequencies(frequencies);
  const auto values = engine.Probe(0, RandomTokens(kModel, 1, 4).data(), 1);
  const auto weights = ReadFlat(engine, kModel, 0, "weights");
  const auto cosine = [&](int64_t a, int64_t b) {
    double dot = 0, aa = 0, bb = 0;
    for (int64_t j = 0; j < 16; ++j) {
      const double x = weights[a * 16 + j], y = weights[b * 16 + j];
      dot += x * y;
      aa += x * x;
      bb += y * y;
    }
    return dot / std::sqrt(aa * bb);
  };
  EXPECT_NEAR(ValueOf(values, "cond/embed_cos_top"),
              (cosine(5, 2) + cosine(5, 11) + cosine(2, 11)) / 3, 1e-6);
  double sum = 0, pairs = 0;
  for (int64_t i = 0; i < 13; ++i) {
    for (int64_t j = 0; j < 13; ++j) {
      if (i == j) continue;
      sum += frequencies[i] * frequencies[j] * cosine(i, j);
      pairs += frequencies[i] * frequencies[j];
    }
  }
  EXPECT_NEAR(ValueOf(values, "cond/embed_cos_weighted"), sum / pairs, 1e-6);
}

// A probe reads: training after it goes on as if it had not been.
TEST(Engine, ProbesAndEvaluationsDoNotDisturbTraining) {
  const std::vector<MemberConfig> members = {Member(1)};
  Engine quiet(members, {}), probed(members, {});
  quiet.InitWeights();
  probed.InitWeights();
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto a = Train(&quiet, members, step, step + 1);
    EXPECT_EQ(Train(&probed, members, step, step + 1), a);
    probed.Probe(0, Tokens(77, 0).data(), 2);
    probed.Evaluate(Tokens(77, 0).data(), kSequences);
  }
  EXPECT_EQ(ReadAll(quiet, 0), ReadAll(probed, 0));
}

std::string Failure(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(Engine, RefusalsNameTheFix) {
  Engine engine({Member(1)}, {});
  engine.InitWeights();
  auto tokens = Tokens(0, 1);
  tokens[kModel.seq_len + 1 + 4] = 13;
  EXPECT_EQ(Failure([&] { engine.TrainStep(tokens.data(), 0, false); }),
            "token id 13 at position 4 of sequence 1 of a batch is outside model.vocab 13; use "
            "data made for this vocabulary, or a larger one");
  MemberConfig bf16 = Member(1);
  bf16.train.precision = Precision::kBf16;
  EXPECT_THROW(Engine({bf16}, {}), ConfigError);
  EXPECT_THAT(Failure([&] { Engine({bf16}, {}); }), HasSubstr("use precision fp32"));
  EngineOptions options;
  options.device = "tpu";
  EXPECT_EQ(Failure([&] { Engine({Member(1)}, options); }),
            "device is 'tpu'; use cpu or cuda:<number>");
#ifndef __SANITIZE_ADDRESS__  // which ends the process on such a request
  MemberConfig huge = Member(1);
  huge.model.d_model = int64_t{1} << 24;
  huge.model.heads = huge.model.kv_heads = 1;
  EXPECT_THROW(Engine({huge}, {}), OutOfMemoryError);
#endif
}

TEST(Engine, CudaWithoutADeviceIsADeviceError) {
  EngineOptions options;
  options.device = "cuda:9999";
  EXPECT_THROW(Engine({Member(1)}, options), ConfigError);
  options.device = "cuda:99";
  EXPECT_THROW(Engine({Member(1)}, options), DeviceError);
}

}  // namespace
}  // namespace loglog
