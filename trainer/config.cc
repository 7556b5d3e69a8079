#include "trainer/config.h"

#include <cmath>
#include <sstream>

namespace loglog {
namespace {

template <typename... Parts>
[[noreturn]] void Refuse(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw ConfigError(message.str());
}

void RequirePositive(const char* field, int64_t value) {
  if (value < 1) Refuse(field, " is ", value, "; it must be at least 1");
}

void RequireShare(const char* field, double value) {
  if (!(value >= 0 && value <= 1)) {
    Refuse(field, " is ", value, "; it is a share and must lie between 0 and 1");
  }
}

void RequireNotNegative(const char* field, double value) {
  if (!(value >= 0 && std::isfinite(value))) {
    Refuse(field, " is ", value, "; it must be a finite number of at least 0");
  }
}

void RequireFinite(const char* field, std::optional<double> value) {
  if (value && !std::isfinite(*value)) {
    Refuse(field, " is ", *value, "; it must be a finite number");
  }
}

void CheckNorms(const ModelConfig& model) {
  const bool none = model.norm == NormKind::kNone, post = model.norm_place == NormPlace::kPost;
  const auto refuse = [](const char* field, const char* why, const char* fix) {
    Refuse(field, " is set and ", why, "; ", fix);
  };
  if (none && model.embed_norm) {
    refuse("model.embed_norm", "model.norm is none", "set model.norm to rms or layer");
  }
  if (none && model.sandwich_norm) {
    refuse("model.sandwich_norm", "model.norm is none", "set model.norm to rms or layer");
  }
  if (none && post) {
    refuse("model.norm_place", "model.norm is none, which has no place", "set it to pre");
  }
  if (post && model.sandwich_norm) {
    refuse("model.sandwich_norm", "model.norm_place is post, where the sum is normalized",
           "set model.norm_place to pre");
  }
  if ((none || post) && model.attn_norm_feeds == AttnNormFeeds::kQ) {
    refuse("model.attn_norm_feeds", "there is no norm before attention",
           "set model.norm_place to pre and model.norm to rms or layer");
  }
}

void CheckDecay(const TrainConfig& train) {
  RequireNotNegative("train.weight_decay", train.weight_decay);
  RequireShare("train.decay_begin", train.decay_begin);
  RequireShare("train.decay_end", train.decay_end);
  if (train.decay_begin >= train.decay_end) {
    Refuse("train.decay_begin ", train.decay_begin, " is not before train.decay_end ",
           train.decay_end, "; to decay never, set train.weight_decay to 0");
  }
  const int64_t steps = train.Steps();
  if (StepOfShare(train.decay_begin, steps) >= StepOfShare(train.decay_end, steps)) {
    Refuse("train.decay_begin ", train.decay_begin, " and train.decay_end ", train.decay_end,
           " have none of the run's ", steps, " steps between them; set them further apart");
  }
  if (train.decay_windows.empty()) return;
  const TrainConfig standard;
  if (train.decay_begin != standard.decay_begin || train.decay_end != standard.decay_end) {
    Refuse("train.decay_windows stands in place of train.decay_begin and train.decay_end; remove ",
           "those two");
  }
  const std::string fault = DecayWindowsFault(train.decay_windows, train.Steps());
  if (!fault.empty()) Refuse("train.decay_windows: ", fault);
}

// A field that nothing reads is a mistake in a sweep: its arms would be one and the same.
void RefuseIgnored(const InitConfig& init, const ModelConfig& model) {
  if (init.gamma_lm_head && model.tied_head) {
    Refuse("init.gamma_lm_head is ", *init.gamma_lm_head,
           " and model.tied_head is true, where the head is the embedding; set "
           "init.gamma_embed in its place, or model.tied_head to false");
  }
  for (const auto& [field, gamma] : {std::pair{"init.gamma_mlp_in", init.gamma_mlp_in},
                                     std::pair{"init.gamma_mlp_out", init.gamma_mlp_out}}) {
    if (!gamma || model.mlp != MlpKind::kNone) continue;
    Refuse(field, " is ", *gamma, " and model.mlp is none, which has no such matrix; set it to ",
           "null");
  }
  if (!init.sigma) return;
  for (const auto& [field, gamma] :
       {std::pair{"init.gamma_embed", init.gamma_embed},
        std::pair{"init.gamma_lm_head", init.gamma_lm_head},
        std::pair{"init.gamma_qk", init.gamma_qk}, std::pair{"init.gamma_vo", init.gamma_vo},
        std::pair{"init.gamma_mlp_in", init.gamma_mlp_in},
        std::pair{"init.gamma_mlp_out", init.gamma_mlp_out}}) {
    if (!gamma) continue;
    Refuse(field, " is ", *gamma, " and init.sigma is ", *init.sigma,
           ", which takes the place of every gamma; set one of the two to null");
  }
}

}  // namespace

void CheckModel(const ModelConfig& model) {
  RequirePositive("model.layers", model.layers);
  RequirePositive("model.d_model", model.d_model);
  RequirePositive("model.heads", model.heads);
  RequirePositive("model.kv_heads", model.kv_heads);
  RequirePositive("model.d_ff", model.d_ff);
  RequirePositive("model.seq_len", model.seq_len);
  if (model.vocab < 2) Refuse("model.vocab is ", model.vocab, "; it must be at least 2");
  if (model.head_dim) RequirePositive("model.head_dim", *model.head_dim);
  if (!model.head_dim && model.d_model % model.heads != 0) {
    Refuse("model.d_model ", model.d_model, " is not a multiple of model.heads ", model.heads,
           "; each head needs the same width");
  }
  if (model.HeadDim() % 2 != 0 && model.positions == Positions::kRope) {
    Refuse(model.head_dim ? "model.head_dim" : "model.d_model / model.heads", " is ",
           model.HeadDim(), ", an odd number; rotary positions rotate pairs, so make it even");
  }
  if (model.heads % model.kv_heads != 0) {
    Refuse("model.heads ", model.heads, " is not a multiple of model.kv_heads ", model.kv_heads,
           "; each key-value head serves the same number of heads");
  }
  if (!(model.norm_eps > 0 && std::isfinite(model.norm_eps))) {
    Refuse("model.norm_eps is ", model.norm_eps, "; it must be above 0");
  }
  CheckNorms(model);
  if (!(model.rope_theta > 0 && std::isfinite(model.rope_theta))) {
    Refuse("model.rope_theta is ", model.rope_theta, "; it must be above 0");
  }
}

void CheckTrain(const TrainConfig& train, const ModelConfig& model) {
  RequirePositive("train.tokens", train.tokens);
  RequirePositive("train.batch_tokens", train.batch_tokens);
  if (train.batch_tokens % model.seq_len != 0) {
    const int64_t below = train.batch_tokens / model.seq_len * model.seq_len;
    Refuse("train.batch_tokens ", train.batch_tokens, " is not a multiple of model.seq_len ",
           model.seq_len, "; the nearest good values are ", below > 0 ? std::to_string(below) : "-",
           " and ", below + model.seq_len);
  }
  if (train.tokens % train.batch_tokens != 0) {
    const int64_t below = train.tokens / train.batch_tokens * train.batch_tokens;
    Refuse("train.tokens ", train.tokens, " is not a multiple of train.batch_tokens ",
           train.batch_tokens, "; the nearest good values are ",
           below > 0 ? std::to_string(below) : "-", " and ", below + train.batch_tokens);
  }
  RequireNotNegative("train.lr", train.lr);
  CheckDecay(train);
  RequireNotNegative("train.clip", train.clip);
  RequireNotNegative("train.z_loss", train.z_loss);
  RequireNotNegative("train.skip_sd", train.skip_sd);
  RequireShare("train.min_lr_ratio", train.min_lr_ratio);
  RequireShare("train.warmup", train.warmup);
  RequireShare("train.cooldown", train.cooldown);
  if (train.mup_base_width) RequirePositive("train.mup_base_width", *train.mup_base_width);
  if (train.warmup_tokens && (*train.warmup_tokens < 0 || *train.warmup_tokens > train.tokens)) {
    Refuse("train.warmup_tokens is ", *train.warmup_tokens, "; it must lie between 0 and ",
           "train.tokens, ", train.tokens);
  }
  const double warmup = train.warmup_tokens ? static_cast<double>(*train.warmup_tokens) /
                                                  static_cast<double>(train.tokens)
                                            : train.warmup;
  if (train.schedule == Schedule::kWsd && warmup + train.cooldown > 1) {
    Refuse(train.warmup_tokens ? "train.warmup_tokens, as a share " : "train.warmup ", warmup,
           train.warmup_tokens ? "," : "", " and train.cooldown ", train.cooldown,
           " together exceed the run; make their sum at most 1");
  }
  for (const auto& [field, beta] :
       {std::pair{"train.beta1", train.beta1}, std::pair{"train.beta2", train.beta2}}) {
    if (!(beta >= 0 && beta < 1)) {
      Refuse(field, " is ", beta, "; it must be at least 0 and below 1");
    }
  }
  if (!(train.adam_eps > 0 && std::isfinite(train.adam_eps))) {
    Refuse("train.adam_eps is ", train.adam_eps, "; it must be above 0");
  }
}

void CheckInit(const InitConfig& init, const ModelConfig& model) {
  RequireFinite("init.gamma", init.gamma);
  RequireFinite("init.gamma_embed", init.gamma_embed);
  RequireFinite("init.gamma_lm_head", init.gamma_lm_head);
  RequireFinite("init.gamma_qk", init.gamma_qk);
  RequireFinite("init.gamma_vo", init.gamma_vo);
  RequireFinite("init.gamma_mlp_in", init.gamma_mlp_in);
  RequireFinite("init.gamma_mlp_out", init.gamma_mlp_out);
  if (init.sigma) RequireNotNegative("init.sigma", *init.sigma);
  RefuseIgnored(init, model);
}

void CheckMembers(const std::vector<MemberConfig>& members) {
  if (members.empty()) Refuse("members is empty; a task trains at least one trial");
  for (size_t i = 0; i < members.size(); ++i) {
    const MemberConfig& member = members[i];
    CheckModel(member.model);
    CheckTrain(member.train, member.model);
    CheckInit(member.init, member.model);
    const MemberConfig& first = members[0];
    const auto require_same = [&](const char* what, bool same) {
      if (!same) {
        Refuse("members[", i, "] differs from members[0] in ", what,
               "; train it in a task of its own");
      }
    };
    require_same("model", member.model == first.model);
    require_same("train.batch_tokens", member.train.batch_tokens == first.train.batch_tokens);
    require_same("train.tokens", member.train.tokens == first.train.tokens);
    require_same("train.precision", member.train.precision == first.train.precision);
  }
}

bool IsGenerated(DataFormat format) {
  return format == DataFormat::kWindows || format == DataFormat::kAnchor ||
         format == DataFormat::kMarkov || format == DataFormat::kAddition;
}

bool IsOfPairs(DataFormat format) {
  return format == DataFormat::kScan || format == DataFormat::kCogs ||
         format == DataFormat::kProntoqa;
}

}  // namespace loglog
