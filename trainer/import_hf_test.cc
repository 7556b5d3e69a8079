#include "trainer/import_hf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "shards/sha256.h"
#include "shards/test_files_testing.h"
#include "shards/token_shard.h"
#include "trainer/export_hf.h"
#include "trainer/layout.h"
#include "trainer/safetensors.h"

namespace loglog {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ModelConfig Model(bool tied = false) {
  return {.layers = 2,
          .d_model = 8,
          .heads = 4,
          .kv_heads = 2,
          .d_ff = 12,
          .vocab = 10,
          .seq_len = 16,
          .tied_head = tied,
          .norm_eps = 1e-9};
}

// model.safetensors with values 0.5, 1.0, 1.5, ... in this type, over and over up to 64.
ImportedWeights Write(const ModelConfig& model, const TemporaryFolder& folder,
                      const std::string& dtype = "F32",
                      const std::vector<StateBuffer>& further = {}) {
  std::vector<StateBuffer> buffers;
  std::string data;
  int64_t count = 0;
  for (const TensorSpec& spec : MakeLayout(model).tensors) {
    const int64_t width = dtype == "F32" ? 4 : 2;
    buffers.push_back(
        {.name = spec.name, .dtype = dtype, .shape = spec.shape(), .bytes = spec.size() * width});
    for (int64_t i = 0; i < spec.size(); ++i, ++count) {
      const float value = 0.5f * static_cast<float>(1 + count % 128);
      uint32_t bits = 0;
      std::memcpy(&bits, &value, 4);
      if (dtype == "BF16") bits >>= 16;
      if (dtype == "F16") bits = ((bits >> 23) - 127 + 15) << 10 | ((bits >> 13) & 1023);
      data.append(reinterpret_cast<const char*>(&bits), static_cast<size_t>(width));
    }
  }
  for (const StateBuffer& buffer : further) {
    buffers.push_back(buffer);
    data.append(static_cast<size_t>(buffer.bytes), '\0');
  }
  const std::string file = SafetensorsHeader(buffers) + data;
  WriteText(folder / "model.safetensors", file);
  return {.path = "model.safetensors", .sha256 = Sha256Hex(file)};
}

std::string Refusal(const ImportedWeights& imported, const ModelConfig& model,
                    const TemporaryFolder& folder) {
  try {
    ImportLlama(imported, model, folder.path());
  } catch (const ConfigError& error) {
    const std::string what = error.what(), prefix = folder / "";
    return what.rfind(prefix, 0) == 0 ? what.substr(prefix.size()) : what;
  }
  return "accepted";
}

TEST(Import, ReadsEveryTypeThatWeightsComeIn) {
  for (const char* dtype : {"F32", "BF16", "F16"}) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(dtype);
      TemporaryFolder folder;
      const ModelConfig model = Model(tied);
      const ImportedWeights imported = Write(model, folder, dtype);
      WriteText(folder / "config.json", LlamaConfigJson(model));
      const std::vector<float> row = ImportLlama(imported, model, folder.path());
      int64_t count = 0;
      for (const TensorSpec& spec : MakeLayout(model).tensors) {
        for (int64_t i = 0; i < spec.size(); ++i, ++count) {
          ASSERT_EQ(row[static_cast<size_t>(spec.offset + i)],
                    0.5f * static_cast<float>(1 + count % 128))
              << spec.name;
        }
      }
    }
  }
}

TEST(Import, PassesOverATiedHeadAndTheRotationsTable) {
  TemporaryFolder folder;
  const ImportedWeights imported =
      Write(Model(true), folder, "F32",
            {{.name = "lm_head.weight", .dtype = "F32", .shape = {10, 8}, .bytes = 320},
             {.name = "model.layers.0.self_attn.rotary_emb.inv_freq",
              .dtype = "F32",
              .shape = {1},
              .bytes = 4}});
  EXPECT_EQ(Refusal(imported, Model(true), folder), "accepted");
}

TEST(Import, RefusesAnotherFileOrModel) {
  TemporaryFolder folder;
  const ImportedWeights imported = Write(Model(), folder);
  const auto with = [&](const auto& change) {
    ModelConfig model = Model();
    change(&model);
    return Refusal(imported, model, folder);
  };
  EXPECT_EQ(with([](ModelConfig* m) { m->layers = 3; }),
            "model.safetensors: has no tensor model.layers.2.input_layernorm.weight, which this "
            "task's model does; check model.layers, model.tied_head and model.biases");
  EXPECT_EQ(with([](ModelConfig* m) { m->layers = 1; }),
            "model.safetensors: has a tensor model.layers.1.input_layernorm.weight that this "
            "task's model has no place for; check model.layers, model.tied_head and model.biases");
  EXPECT_EQ(with([](ModelConfig* m) { m->vocab = 11; }),
            "model.safetensors: tensor model.embed_tokens.weight is [10,8], and this task's model "
            "takes [11,8]; set the model's sizes to the file's");
  EXPECT_THAT(with([](ModelConfig* m) { m->qk_norm = true; }),
              HasSubstr("model.qk_norm: Llama has no norm of queries and keys"));
  EXPECT_EQ(Refusal({.path = "", .sha256 = imported.sha256}, Model(), folder),
            "init.weights.path is missing; name the model.safetensors to start from");
  EXPECT_THAT(Refusal({.path = "model.safetensors", .sha256 = "ab"}, Model(), folder),
              HasSubstr("and init.weights.sha256 is ab; name the file"));
  EXPECT_THAT(Refusal({.path = "model.safetensors.index.json", .sha256 = "ab"}, Model(), folder),
              HasSubstr("is an index of several files; save the model as one file"));
  EXPECT_THROW(ImportLlama({.path = "absent.safetensors", .sha256 = "ab"}, Model(), folder.path()),
               DataUnavailable);
  WriteText(folder / "cut.safetensors", "12");
  EXPECT_EQ(
      Refusal({.path = "cut.safetensors", .sha256 = Sha256Hex(std::string("12"))}, Model(), folder),
      "cut.safetensors: is shorter than the length of its header; it is damaged, or no safetensors "
      "file");
}

TEST(Import, RefusesAConfigThatSaysOtherwise) {
  TemporaryFolder folder;
  const ImportedWeights imported = Write(Model(), folder);
  const auto with = [&](const char* field, const json& value) {
    json config = json::parse(LlamaConfigJson(Model()));
    config[field] = value;
    WriteText(folder / "config.json", config.dump());
    return Refusal(imported, Model(), folder);
  };
  EXPECT_EQ(with("rms_norm_eps", 1e-5),
            "config.json: rms_norm_eps is 1e-05, and this task's model.norm_eps is 1e-09; set "
            "model.norm_eps to it");
  EXPECT_THAT(with("rope_theta", 5e5), HasSubstr("set model.rope_theta to it"));
  EXPECT_THAT(with("rope_parameters", {{"rope_theta", 5e5}, {"rope_type", "default"}}),
              HasSubstr("set model.rope_theta to it"));
  EXPECT_THAT(with("rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}),
              HasSubstr("rope_scaling is of type \"llama3\""));
  EXPECT_THAT(with("model_type", "mistral"), HasSubstr("model_type is \"mistral\""));
  EXPECT_THAT(with("num_key_value_heads", 4), HasSubstr("set model.kv_heads to it"));
  EXPECT_EQ(with("use_cache", false), "accepted");
  WriteText(folder / "config.json", "[]");
  EXPECT_EQ(Refusal(imported, Model(), folder),
            "config.json: is not a JSON object; export it again");
  WriteText(folder / "config.json", R"({"model_type": )" + std::string(200'000, '['));
  EXPECT_EQ(Refusal(imported, Model(), folder), "config.json: is nested more than 64 levels deep");
}

}  // namespace
}  // namespace loglog
