#include "trainer/export_hf.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "shards/file_writer.h"
#include "trainer/checkpoint.h"
#include "trainer/layout.h"
#include "trainer/safetensors.h"
#include "trainer/task.h"

namespace loglog {
namespace {

using nlohmann::ordered_json;

void Write(const std::string& path, std::string_view head, std::string_view body) {
  FileWriter file(path, static_cast<int64_t>(head.size() + body.size()));
  file.Append(head);
  file.Append(body);
  file.Close();
}

MemberConfig ConfigOf(const LoadedCheckpoint& checkpoint, int64_t member) {
  const ordered_json configs = checkpoint.loop.value("configs", ordered_json::array());
  if (configs.empty()) {
    throw ConfigError(checkpoint.path +
                      ": was written before checkpoints held their configuration; resume its task "
                      "with this trainer and export a checkpoint that it writes");
  }
  if (member < 0 || member >= static_cast<int64_t>(configs.size())) {
    throw ConfigError(checkpoint.path + ": has no member " + std::to_string(member) +
                      "; its members are 0 to " + std::to_string(configs.size() - 1));
  }
  return ParseCanonicalMember(configs[static_cast<size_t>(member)].dump(), checkpoint.path);
}

}  // namespace

void CheckLlama(const ModelConfig& model) {
  std::string reasons;
  const auto refuse = [&](bool is_set, const char* reason) {
    if (is_set) reasons += (reasons.empty() ? "" : "; ") + std::string(reason);
  };
  refuse(model.norm != NormKind::kRms, "model.norm is not rms, and Llama's norms are");
  refuse(model.norm_place != NormPlace::kPre, "model.norm_place is post, and Llama's is pre");
  refuse(model.attn_norm_feeds != AttnNormFeeds::kQkv,
         "model.attn_norm_feeds is q, and Llama's norm feeds keys and values too");
  refuse(model.embed_norm, "model.embed_norm: Llama has no norm over the embedding");
  refuse(model.sandwich_norm, "model.sandwich_norm: Llama has no norm after a branch");
  refuse(model.qk_norm, "model.qk_norm: Llama has no norm of queries and keys");
  refuse(model.gated_attention, "model.gated_attention: Llama's attention has no gate");
  refuse(model.mlp != MlpKind::kSwiGlu, "model.mlp is not swiglu, and Llama's is");
  refuse(model.positions != Positions::kRope, "model.positions is not rope, and Llama's are");
  refuse(model.head_bias, "model.head_bias: Llama's head has none");
  if (reasons.empty()) return;
  throw ConfigError("transformers' Llama cannot express this model: " + reasons +
                    "; its weights are in the checkpoint's state.safetensors");
}

std::string LlamaConfigJson(const ModelConfig& model) {
  const ordered_json config = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"vocab_size", model.vocab},
      {"hidden_size", model.d_model},
      {"intermediate_size", model.d_ff},
      {"num_hidden_layers", model.layers},
      {"num_attention_heads", model.heads},
      {"num_key_value_heads", model.kv_heads},
      {"head_dim", model.HeadDim()},
      {"hidden_act", "silu"},
      {"max_position_embeddings", model.seq_len},
      {"rms_norm_eps", model.norm_eps},
      // Releases before and after 5 read one and the other.
      {"rope_theta", model.rope_theta},
      {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", model.rope_theta}}},
      {"attention_bias", model.biases},
      {"mlp_bias", model.biases},
      {"tie_word_embeddings", model.tied_head},
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"use_cache", true},
      {"dtype", "float32"},
      {"torch_dtype", "float32"}};
  return config.dump(2) + "\n";
}

ExportResult ExportHuggingFace(const std::string& checkpoint, int64_t member,
                               const std::string& out) {
  const LoadedCheckpoint loaded = ReadCheckpoint(checkpoint, "");
  const ModelConfig model = ConfigOf(loaded, member).model;
  CheckLlama(model);
  const auto tensors = ParseSafetensors(loaded.state, loaded.path + "/state.safetensors");
  ExportResult result{.step = loaded.step};
  std::vector<StateBuffer> headers;
  std::string data;
  for (const TensorSpec& spec : MakeLayout(model).tensors) {
    const auto found = tensors.find(std::to_string(member) + "/weights/" + spec.name);
    if (found == tensors.end() || found->second.shape != spec.shape() ||
        found->second.dtype != "F32") {
      throw ConfigError(loaded.path + ": has no tensor " + spec.name +
                        " of the shape that its configuration says; export it with the version "
                        "that wrote it, " +
                        loaded.trainer_version);
    }
    headers.push_back({.name = spec.name,
                       .dtype = "F32",
                       .shape = spec.shape(),
                       .bytes = static_cast<int64_t>(found->second.bytes.size())});
    data += found->second.bytes;
    result.parameters += spec.size();
  }
  MakeDirectories(out);
  Write(out + "/config.json", LlamaConfigJson(model), "");
  Write(out + "/model.safetensors", SafetensorsHeader(headers), data);
  return result;
}

}  // namespace loglog
