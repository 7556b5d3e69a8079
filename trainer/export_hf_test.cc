#include "trainer/export_hf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "shards/test_files_testing.h"
#include "trainer/branch.h"
#include "trainer/checkpoint.h"
#include "trainer/layout.h"
#include "trainer/safetensors.h"

namespace loglog {
namespace {

using nlohmann::json;
using testing::HasSubstr;

MemberConfig Member() {
  MemberConfig member;
  member.model = {.layers = 2,
                  .d_model = 8,
                  .heads = 4,
                  .kv_heads = 2,
                  .d_ff = 12,
                  .vocab = 10,
                  .seq_len = 16,
                  .norm_eps = 1e-9};
  member.train = {.tokens = 320, .batch_tokens = 32, .lr = 1e-3};
  return member;
}

template <typename Call>
std::string Refusal(Call call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "accepted";
}

// A checkpoint of two members whose weights count up, those of member 1 from 1000.
std::string Write(const MemberConfig& member, const TemporaryFolder& folder) {
  Snapshot snapshot{.step = 7, .identity = {"config", "data", "0.1.0"}};
  for (int m = 0; m < 2; ++m) {
    float value = 1000.0f * static_cast<float>(m);
    for (const TensorSpec& tensor : MakeLayout(member.model).tensors) {
      snapshot.buffers.push_back({.name = std::to_string(m) + "/weights/" + tensor.name,
                                  .dtype = "F32",
                                  .shape = tensor.shape(),
                                  .bytes = tensor.size() * 4});
      for (int64_t i = 0; i < tensor.size(); ++i, value += 1) {
        const char* bytes = reinterpret_cast<const char*>(&value);
        snapshot.bytes.insert(snapshot.bytes.end(), bytes, bytes + 4);
      }
    }
  }
  snapshot.loop = {{"configs", ConfigsJson({member, member})}};
  return CommitCheckpoint(snapshot, {.dir = folder.path()}).path;
}

TEST(Export, WritesTheMembersWeightsAndTheConfig) {
  TemporaryFolder folder;
  const std::string checkpoint = Write(Member(), folder);
  const ExportResult result = ExportHuggingFace(checkpoint, 1, folder / "out");
  EXPECT_EQ(result.step, 7);
  const std::string file = ReadText(folder / "out/model.safetensors");
  const auto tensors = ParseSafetensors(file, "model.safetensors");
  EXPECT_EQ(tensors.size(), 2u * 9 + 3);
  int64_t floats = 0;
  for (const auto& [name, tensor] : tensors) {
    floats += static_cast<int64_t>(tensor.bytes.size()) / 4;
    EXPECT_EQ((tensor.bytes.data() - file.data()) % 4, 0);
  }
  EXPECT_EQ(floats, result.parameters);
  float first = 0;
  std::memcpy(&first, tensors.at("model.embed_tokens.weight").bytes.data(), 4);
  EXPECT_EQ(first, 1000);
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.k_proj.weight").shape,
            (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(tensors.at("model.layers.0.input_layernorm.weight").shape, std::vector<int64_t>{8});
  const json config = json::parse(ReadText(folder / "out/config.json"));
  EXPECT_EQ(config["rms_norm_eps"], 1e-9);
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["rope_parameters"]["rope_theta"], config["rope_theta"]);
  EXPECT_EQ(config["tie_word_embeddings"], false);
}

TEST(Export, NamesEveryReasonWhyNot) {
  ModelConfig model = Member().model;
  EXPECT_EQ(Refusal([&] { CheckLlama(model); }), "accepted");
  model.biases = model.tied_head = true;
  model.head_dim = 6;
  EXPECT_EQ(Refusal([&] { CheckLlama(model); }), "accepted");
  model.sandwich_norm = model.gated_attention = true;
  EXPECT_EQ(Refusal([&] { CheckLlama(model); }),
            "transformers' Llama cannot express this model: model.sandwich_norm: Llama has no norm "
            "after a branch; model.gated_attention: Llama's attention has no gate; its weights are "
            "in the checkpoint's state.safetensors");
  const std::pair<void (*)(ModelConfig*), const char*> options[] = {
      {[](ModelConfig* m) { m->norm = NormKind::kLayer; }, "model.norm is"},
      {[](ModelConfig* m) { m->norm_place = NormPlace::kPost; }, "norm_place"},
      {[](ModelConfig* m) { m->attn_norm_feeds = AttnNormFeeds::kQ; }, "attn_norm_feeds"},
      {[](ModelConfig* m) { m->embed_norm = true; }, "embed_norm"},
      {[](ModelConfig* m) { m->qk_norm = true; }, "qk_norm"},
      {[](ModelConfig* m) { m->mlp = MlpKind::kRelu; }, "model.mlp"},
      {[](ModelConfig* m) { m->positions = Positions::kLearned; }, "model.positions"},
      {[](ModelConfig* m) { m->head_bias = true; }, "head_bias"}};
  for (const auto& [set, reason] : options) {
    ModelConfig other = Member().model;
    set(&other);
    EXPECT_THAT(Refusal([&] { CheckLlama(other); }), HasSubstr(reason));
  }
}

TEST(Export, RefusesOtherMembersAndDamage) {
  TemporaryFolder folder;
  const std::string checkpoint = Write(Member(), folder);
  EXPECT_THAT(Refusal([&] { ExportHuggingFace(checkpoint, 2, folder / "out"); }),
              HasSubstr("has no member 2; its members are 0 to 1"));
  std::string state = ReadText(checkpoint + "/state.safetensors");
  state.back() ^= 1;
  WriteText(checkpoint + "/state.safetensors", state);
  EXPECT_THAT(Refusal([&] { ExportHuggingFace(checkpoint, 0, folder / "out"); }),
              HasSubstr("do not match its manifest's SHA-256"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(Safetensors, ReadsWhatItWritesAndRefusesWhatContradictsItself) {
  const std::vector<StateBuffer> tensors = {
      {.name = "a", .dtype = "F32", .shape = {2, 3}, .bytes = 24},
      {.name = "b", .dtype = "F64", .shape = {1}, .bytes = 8}};
  const std::string whole = SafetensorsHeader(tensors) + std::string(32, 'x');
  const auto read = ParseSafetensors(whole, "f");
  EXPECT_EQ(read.at("a").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(read.at("b").bytes.data() - read.at("a").bytes.data(), 24);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(ParseSafetensors(whole.substr(0, size), "f"), std::runtime_error) << size;
  }
  const auto with = [&](const std::string& header) {
    uint64_t length = header.size();
    std::string text(8, '\0');
    std::memcpy(text.data(), &length, 8);
    return Refusal([&] { ParseSafetensors(text + header + std::string(32, 'x'), "f"); });
  };
  EXPECT_THAT(with("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})"),
              HasSubstr("another number of bytes"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}})"),
              HasSubstr("outside of its data"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[8,4]}})"),
              HasSubstr("outside of its data"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})"),
              HasSubstr("another number of bytes"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}})"),
              HasSubstr("a shape of other than whole numbers"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[1e30],"data_offsets":[0,4]}})"),
              HasSubstr("a shape of other than whole numbers"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e30]}})"),
              HasSubstr("offsets that are no whole numbers"));
}

TEST(Branch, LengthAndScheduleMayDifferAfterTheBranchOnly) {
  MemberConfig trunk = Member();
  trunk.train.tokens = 32 * 60;
  trunk.train.schedule = Schedule::kWsd;
  trunk.train.warmup_tokens = 32 * 4;
  trunk.train.weight_decay = 0;  // which would tell of the schedule too
  const nlohmann::ordered_json loop = {{"configs", ConfigsJson({trunk})}};
  MemberConfig child = trunk;
  child.train.tokens = 32 * 40;
  child.train.cooldown = 0.25;
  child.train.cooldown_shape = CooldownShape::kLinear;
  child.eval.every = 0.5;
  const auto refusal = [&](const MemberConfig& member, int64_t step) {
    return Refusal([&] { CheckBranch(loop, {member}, step, "trunk"); });
  };
  EXPECT_EQ(refusal(child, 30), "accepted");
  EXPECT_THAT(refusal(child, 33),
              HasSubstr("trunk: had another learning rate or decay at step 31"));
  child.train.warmup_tokens = 32 * 5;
  EXPECT_THAT(refusal(child, 30), HasSubstr("at step 0"));
  child = trunk;
  child.train.beta2 = 0.99;
  EXPECT_EQ(
      refusal(child, 1),
      "trunk: was trained with another /config/train/beta2 than members[0] asks for; a branch "
      "may change length and schedule alone");
  child = trunk;
  child.seed = 1;
  EXPECT_THAT(refusal(child, 1), HasSubstr("another /seed"));
  EXPECT_THAT(Refusal([&] {
                CheckBranch(loop, {trunk, trunk}, 1, "trunk");
              }),
              HasSubstr("has 1 members and this task 2"));
  EXPECT_THAT(Refusal([&] {
                CheckBranch({{"step", 1}}, {trunk}, 1, "trunk");
              }),
              HasSubstr("before checkpoints held their configuration"));
}

}  // namespace
}  // namespace loglog
