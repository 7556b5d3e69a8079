// A member's configuration as the JSON that its hash is of.
#include <nlohmann/json.hpp>
#include <optional>

#include "shards/sha256.h"
#include "trainer/task.h"
#include "trainer/task_words.h"

namespace loglog {
namespace {

using nlohmann::json;

template <typename T>
json OrNull(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

// Adds fields that came when checkpoints were there already: left out where they have their
// default, so that a configuration which says nothing about them keeps its hash.
struct LaterFields {
  json* object;

  void operator()(const char* key, const json& value, const json& standard) const {
    if (value != standard) (*object)[key] = value;
  }
};

void AddLaterModelFields(const ModelConfig& m, json* model) {
  const ModelConfig fallback;
  const LaterFields add{model};
  add("head_dim", OrNull(m.head_dim), json());
  add("norm", WordOf(kNormWords, m.norm), kNormWords[0]);
  add("norm_place", WordOf(kNormPlaceWords, m.norm_place), kNormPlaceWords[0]);
  add("attn_norm_feeds", WordOf(kAttnNormWords, m.attn_norm_feeds), kAttnNormWords[0]);
  add("embed_norm", m.embed_norm, fallback.embed_norm);
  add("sandwich_norm", m.sandwich_norm, fallback.sandwich_norm);
  add("qk_norm", m.qk_norm, fallback.qk_norm);
  add("gated_attention", m.gated_attention, fallback.gated_attention);
  add("mlp", WordOf(kMlpWords, m.mlp), kMlpWords[0]);
  add("positions", WordOf(kPositionWords, m.positions), kPositionWords[0]);
  add("biases", m.biases, fallback.biases);
  add("head_bias", m.head_bias, fallback.head_bias);
}

void AddLaterTrainFields(const TrainConfig& t, json* train) {
  const TrainConfig fallback;
  const LaterFields add{train};
  add("warmup_tokens", OrNull(t.warmup_tokens), json());
  add("cooldown_shape", WordOf(kCooldownWords, t.cooldown_shape), kCooldownWords[0]);
  add("mup_base_width", OrNull(t.mup_base_width), json());
  add("decay_begin", t.decay_begin, fallback.decay_begin);
  add("decay_end", t.decay_end, fallback.decay_end);
  add("decay_windows", DecayWindowsText(t.decay_windows), "");
  add("decay_lm_head", t.decay_lm_head, fallback.decay_lm_head);
  add("decay_qk", t.decay_qk, fallback.decay_qk);
  add("decay_vo", t.decay_vo, fallback.decay_vo);
  add("decay_attn_gate", t.decay_attn_gate, fallback.decay_attn_gate);
  add("decay_mlp", t.decay_mlp, fallback.decay_mlp);
  add("decay_norm", t.decay_norm, fallback.decay_norm);
  add("decay_bias", t.decay_bias, fallback.decay_bias);
  add("z_loss", t.z_loss, fallback.z_loss);
  add("skip_sd", t.skip_sd, fallback.skip_sd);
}

void AddLaterMetricsFields(const MetricsConfig& m, json* metrics) {
  const MetricsConfig fallback;
  const LaterFields add{metrics};
  add("top_tokens", m.top_tokens, fallback.top_tokens);
  add("spectra_every", m.spectra_every, fallback.spectra_every);
  add("layers", m.layers, fallback.layers);
  add("heads", m.heads, fallback.heads);
}

json SplitJson(const DataSplit& split) {
  json object = {{"format", WordOf(kFormatWords, split.format)},
                 {"glob", split.glob.empty() ? json() : json(split.glob)}};
  if (!split.domains.empty()) object["domains"] = split.domains;
  return object;
}

// As with later fields: only what is used and what is said.
void AddGenerators(const DataConfig& d, json* data) {
  if (d.windows != WindowsConfig()) {
    (*data)["windows"] = {{"keys", d.windows.keys},
                          {"anchors", d.windows.anchors},
                          {"train_pairs", d.windows.train_pairs},
                          {"seed", d.windows.seed}};
  }
  if (d.anchor != AnchorConfig()) {
    (*data)["anchor"] = {{"protocol", WordOf(kProtocolWords, d.anchor.protocol)},
                         {"modulus", d.anchor.modulus},
                         {"noise_groups", d.anchor.noise_groups}};
  }
  if (d.markov != MarkovConfig()) {
    (*data)["markov"] = {{"stay", d.markov.stay}, {"pi", d.markov.pi}};
  }
  if (d.addition != AdditionConfig()) {
    (*data)["addition"] = {{"digits", d.addition.digits},
                           {"hole_begin", d.addition.hole_begin},
                           {"hole_end", d.addition.hole_end}};
  }
}

}  // namespace

std::string CanonicalMember(const MemberConfig& member) {
  const ModelConfig& m = member.model;
  const InitConfig& i = member.init;
  const TrainConfig& t = member.train;
  const DataConfig& d = member.data;
  json config;
  config["model"] = {{"layers", m.layers},     {"d_model", m.d_model},
                     {"heads", m.heads},       {"kv_heads", m.kv_heads},
                     {"d_ff", m.d_ff},         {"vocab", m.vocab},
                     {"seq_len", m.seq_len},   {"tied_head", m.tied_head},
                     {"norm_eps", m.norm_eps}, {"rope_theta", m.rope_theta}};
  config["init"] = {{"gamma", i.gamma},
                    {"gamma_embed", OrNull(i.gamma_embed)},
                    {"gamma_lm_head", OrNull(i.gamma_lm_head)},
                    {"gamma_qk", OrNull(i.gamma_qk)},
                    {"gamma_vo", OrNull(i.gamma_vo)},
                    {"gamma_mlp_in", OrNull(i.gamma_mlp_in)},
                    {"gamma_mlp_out", OrNull(i.gamma_mlp_out)},
                    {"sigma", OrNull(i.sigma)},
                    {"d_in", WordOf(kDInWords, i.d_in)},
                    {"depth_factor", WordOf(kDepthWords, i.depth_factor)}};
  if (i.weights) config["init"] = {{"weights", {{"sha256", i.weights->sha256}}}};
  config["train"] = {{"optimizer", "adamw"},
                     {"tokens", t.tokens},
                     {"batch_tokens", t.batch_tokens},
                     {"lr", t.lr},
                     {"min_lr_ratio", t.min_lr_ratio},
                     {"schedule", WordOf(kScheduleWords, t.schedule)},
                     {"warmup", t.warmup},
                     {"cooldown", t.cooldown},
                     {"weight_decay", t.weight_decay},
                     {"decay", WordOf(kDecayWords, t.decay)},
                     {"decay_embed", t.decay_embed},
                     {"beta1", t.beta1},
                     {"beta2", t.beta2},
                     {"adam_eps", t.adam_eps},
                     {"clip", t.clip},
                     {"precision", WordOf(kPrecisionWords, t.precision)}};
  AddLaterModelFields(m, &config["model"]);
  AddLaterTrainFields(t, &config["train"]);
  config["data"] = {{"train", SplitJson(d.train)},
                    {"val", SplitJson(d.val)},
                    {"synthetic",
                     {{"contexts", d.synthetic.contexts},
                      {"zipf", d.synthetic.zipf},
                      {"branching", d.synthetic.branching},
                      {"seed", d.synthetic.seed}}}};
  AddGenerators(d, &config["data"]);
  config["eval"] = {{"every", member.eval.every}, {"tokens", member.eval.tokens}};
  config["metrics"] = {{"every", member.metrics.every},
                       {"probe_every", member.metrics.probe_every}};
  AddLaterMetricsFields(member.metrics, &config["metrics"]);
  return json{{"config", config}, {"seed", member.seed}}.dump();
}

std::string ConfigSha256(const std::vector<MemberConfig>& members) {
  Sha256 hash;
  for (const MemberConfig& member : members) hash.Update(CanonicalMember(member) + "\n");
  return hash.HexDigest();
}

}  // namespace loglog
