#include "trainer/import_hf.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "shards/file_writer.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"
#include "trainer/export_hf.h"
#include "trainer/json_reader.h"
#include "trainer/layout.h"
#include "trainer/safetensors.h"

namespace loglog {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

std::string Read(const std::string& path) {
  try {
    return ReadWholeFile(path);
  } catch (const FileError& error) {
    throw DataUnavailable(std::string(error.what()) +
                          "; put the file that init.weights.path names on this host, or point "
                          "loglog-worker --data-root at its folder");
  }
}

// IEEE half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
float FromHalf(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const float fraction = static_cast<float>(bits & 1023) / 1024;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return sign * (fraction == 0 ? HUGE_VALF : NAN);
  return exponent == 0 ? sign * std::ldexp(fraction, -14)
                       : sign * std::ldexp(1 + fraction, exponent - 15);
}

float FromBfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// False for a type that weights do not come in.
bool Convert(const TensorView& tensor, float* out) {
  if (tensor.dtype == "F32") {
    std::memcpy(out, tensor.bytes.data(), tensor.bytes.size());
    return true;
  }
  if (tensor.dtype != "BF16" && tensor.dtype != "F16") return false;
  for (size_t i = 0; i < tensor.bytes.size() / 2; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
    out[i] = tensor.dtype == "F16" ? FromHalf(bits) : FromBfloat16(bits);
  }
  return true;
}

std::string Shown(const std::vector<int64_t>& shape) { return json(shape).dump(); }

// What config.json says of a field that must be `ours`; files of older releases leave some out.
void CheckField(const std::string& path, const json& config, const char* field, const char* ours,
                const json& value) {
  const auto found = config.find(field);
  if (found == config.end() || found->is_null() || *found == value) return;
  throw ConfigError(path + ": " + field + " is " + found->dump() + ", and this task's " + ours +
                    " is " + value.dump() + "; set " + ours + " to it");
}

void CheckConfigJson(const std::string& path, const ModelConfig& model) {
  if (!fs::exists(path)) return;
  json config;
  try {
    config = ParseJsonShallow(Read(path), path);
  } catch (const json::exception&) {  // is no object then
  } catch (const std::runtime_error& error) {
    throw ConfigError(error.what());
  }
  if (!config.is_object()) throw ConfigError(path + ": is not a JSON object; export it again");
  CheckField(path, config, "model_type", "model family", "llama");
  CheckField(path, config, "hidden_act", "activation", "silu");
  CheckField(path, config, "num_hidden_layers", "model.layers", model.layers);
  CheckField(path, config, "hidden_size", "model.d_model", model.d_model);
  CheckField(path, config, "num_attention_heads", "model.heads", model.heads);
  CheckField(path, config, "num_key_value_heads", "model.kv_heads", model.kv_heads);
  CheckField(path, config, "head_dim", "model.head_dim", model.HeadDim());
  CheckField(path, config, "intermediate_size", "model.d_ff", model.d_ff);
  CheckField(path, config, "vocab_size", "model.vocab", model.vocab);
  CheckField(path, config, "tie_word_embeddings", "model.tied_head", model.tied_head);
  CheckField(path, config, "rms_norm_eps", "model.norm_eps", model.norm_eps);
  CheckField(path, config, "attention_bias", "model.biases", model.biases);
  CheckField(path, config, "mlp_bias", "model.biases", model.biases);
  CheckField(path, config, "rope_theta", "model.rope_theta", model.rope_theta);
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const json scaling = config.value(field, json());
    if (!scaling.is_object()) continue;
    CheckField(path, scaling, "rope_theta", "model.rope_theta", model.rope_theta);
    const json type = scaling.value("rope_type", scaling.value("type", json("default")));
    if (type != "default") {
      throw ConfigError(path + ": " + field + " is of type " + type.dump() +
                        ", and this trainer's rotary positions are not scaled; take a model "
                        "without it");
    }
  }
}

}  // namespace

std::vector<float> ImportLlama(const ImportedWeights& imported, const ModelConfig& model,
                               const std::string& data_root) {
  if (imported.path.empty()) {
    throw ConfigError("init.weights.path is missing; name the model.safetensors to start from");
  }
  CheckLlama(model);
  const std::string path = (fs::path(data_root) / imported.path).lexically_normal().string();
  if (path.size() > 5 && path.substr(path.size() - 5) == ".json") {
    throw ConfigError(path +
                      ": is an index of several files; save the model as one file, by "
                      "save_pretrained(folder, max_shard_size=\"1TB\")");
  }
  const std::string file = Read(path);
  if (const std::string sha256 = Sha256Hex(file); sha256 != imported.sha256) {
    throw ConfigError(path + ": has SHA-256 " + sha256 + ", and init.weights.sha256 is " +
                      imported.sha256 + "; name the file that the trial is to start from");
  }
  CheckConfigJson((fs::path(path).parent_path() / "config.json").string(), model);
  std::map<std::string, TensorView> tensors;
  try {
    tensors = ParseSafetensors(file, path);
  } catch (const std::runtime_error& error) {
    throw ConfigError(error.what());
  }
  const Layout layout = MakeLayout(model);
  std::vector<float> row(static_cast<size_t>(layout.floats));
  std::set<std::string> used;
  for (const TensorSpec& spec : layout.tensors) {
    const auto found = tensors.find(spec.name);
    if (found == tensors.end()) {
      throw ConfigError(path + ": has no tensor " + spec.name +
                        ", which this task's model does; check model.layers, model.tied_head and "
                        "model.biases");
    }
    if (found->second.shape != spec.shape()) {
      throw ConfigError(path + ": tensor " + spec.name + " is " + Shown(found->second.shape) +
                        ", and this task's model takes " + Shown(spec.shape()) +
                        "; set the model's sizes to the file's");
    }
    if (!Convert(found->second, row.data() + spec.offset)) {
      throw ConfigError(path + ": tensor " + spec.name + " is of type " + found->second.dtype +
                        "; save the model in float32, bfloat16 or float16");
    }
    used.insert(spec.name);
  }
  for (const auto& [name, tensor] : tensors) {
    // A tied head may be in the file too, and older releases saved the rotation's table.
    const bool spare = (name == "lm_head.weight" && model.tied_head) ||
                       name.find("rotary_emb.inv_freq") != std::string::npos;
    if (used.count(name) > 0 || spare) continue;
    throw ConfigError(path + ": has a tensor " + name +
                      " that this task's model has no place for; check model.layers, "
                      "model.tied_head and model.biases");
  }
  return row;
}

}  // namespace loglog
