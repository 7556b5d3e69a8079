#include "trainer/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace loglog {
namespace {

using testing::HasSubstr;

MemberConfig Good() {
  MemberConfig member;
  member.model = {
      .layers = 2, .d_model = 8, .heads = 4, .kv_heads = 2, .d_ff = 12, .vocab = 10, .seq_len = 16};
  member.train.batch_tokens = 32;
  member.train.tokens = 320;
  member.train.lr = 1e-3;
  return member;
}

std::string Refusal(const std::vector<MemberConfig>& members) {
  try {
    CheckMembers(members);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Config, AcceptsAGoodMember) { EXPECT_EQ(Refusal({Good(), Good()}), "accepted"); }

TEST(Config, RefusalsNameTheFieldAndTheFix) {
  const std::vector<std::pair<std::function<void(MemberConfig&)>, std::string>> cases = {
      {[](MemberConfig& m) { m.model.layers = 0; }, "model.layers is 0; it must be at least 1"},
      {[](MemberConfig& m) { m.model.vocab = 1; }, "model.vocab is 1; it must be at least 2"},
      {[](MemberConfig& m) { m.model.heads = 3; },
       "model.d_model 8 is not a multiple of model.heads 3; each head needs the same width"},
      {[](MemberConfig& m) {
         m.model.heads = 8;
         m.model.kv_heads = 8;
       },
       "model.d_model / model.heads is 1, an odd number; rotary positions rotate pairs, so make "
       "it even"},
      {[](MemberConfig& m) { m.model.kv_heads = 3; },
       "model.heads 4 is not a multiple of model.kv_heads 3; each key-value head serves the same "
       "number of heads"},
      {[](MemberConfig& m) { m.model.norm_eps = 0; }, "model.norm_eps is 0; it must be above 0"},
      {[](MemberConfig& m) { m.train.batch_tokens = 40; },
       "train.batch_tokens 40 is not a multiple of model.seq_len 16; the nearest good values are "
       "32 and 48"},
      {[](MemberConfig& m) { m.train.tokens = 100; },
       "train.tokens 100 is not a multiple of train.batch_tokens 32; the nearest good values are "
       "96 and 128"},
      {[](MemberConfig& m) { m.train.tokens = 20; },
       "train.tokens 20 is not a multiple of train.batch_tokens 32; the nearest good values are - "
       "and 32"},
      {[](MemberConfig& m) { m.train.warmup = 1.5; },
       "train.warmup is 1.5; it is a share and must lie between 0 and 1"},
      {[](MemberConfig& m) {
         m.train.schedule = Schedule::kWsd;
         m.train.warmup = 0.9;
       },
       "train.warmup 0.9 and train.cooldown 0.2 together exceed the run; make their sum at most "
       "1"},
      {[](MemberConfig& m) { m.train.beta2 = 1; },
       "train.beta2 is 1; it must be at least 0 and below 1"},
      {[](MemberConfig& m) { m.train.lr = -1; },
       "train.lr is -1; it must be a finite number of at least 0"},
      {[](MemberConfig& m) { m.train.adam_eps = 0; }, "train.adam_eps is 0; it must be above 0"},
      {[](MemberConfig& m) { m.init.sigma = -0.02; },
       "init.sigma is -0.02; it must be a finite number of at least 0"},
      {[](MemberConfig& m) {
         m.init.gamma_lm_head = 0.6;
         m.model.tied_head = true;
       },
       "init.gamma_lm_head is 0.6 and model.tied_head is true, where the head is the embedding; "
       "set init.gamma_embed in its place, or model.tied_head to false"},
      {[](MemberConfig& m) {
         m.init.gamma_vo = 0.7;
         m.init.sigma = 0.02;
       },
       "init.gamma_vo is 0.7 and init.sigma is 0.02, which takes the place of every gamma; set "
       "one of the two to null"},
      {[](MemberConfig& m) { m.init.gamma_qk = 1.0 / 0.0; },
       "init.gamma_qk is inf; it must be a finite number"},
      {[](MemberConfig& m) { m.model.head_dim = 3; },
       "model.head_dim is 3, an odd number; rotary positions rotate pairs, so make it even"},
      {[](MemberConfig& m) {
         m.model.norm = NormKind::kNone;
         m.model.embed_norm = true;
       },
       "model.embed_norm is set and model.norm is none; set model.norm to rms or layer"},
      {[](MemberConfig& m) {
         m.model.norm = NormKind::kNone;
         m.model.sandwich_norm = true;
       },
       "model.sandwich_norm is set and model.norm is none; set model.norm to rms or layer"},
      {[](MemberConfig& m) {
         m.model.norm = NormKind::kNone;
         m.model.norm_place = NormPlace::kPost;
       },
       "model.norm_place is set and model.norm is none, which has no place; set it to pre"},
      {[](MemberConfig& m) {
         m.model.norm_place = NormPlace::kPost;
         m.model.sandwich_norm = true;
       },
       "model.sandwich_norm is set and model.norm_place is post, where the sum is normalized; set "
       "model.norm_place to pre"},
      {[](MemberConfig& m) {
         m.model.norm_place = NormPlace::kPost;
         m.model.attn_norm_feeds = AttnNormFeeds::kQ;
       },
       "model.attn_norm_feeds is set and there is no norm before attention; set "
       "model.norm_place to pre and model.norm to rms or layer"},
      {[](MemberConfig& m) {
         m.model.mlp = MlpKind::kNone;
         m.init.gamma_mlp_in = 0.7;
       },
       "init.gamma_mlp_in is 0.7 and model.mlp is none, which has no such matrix; set it to null"},
      {[](MemberConfig& m) { m.train.decay_begin = 1; },
       "train.decay_begin 1 is not before train.decay_end 1; to decay never, set "
       "train.weight_decay to 0"},
      {[](MemberConfig& m) { m.train.decay_end = 0.01; },
       "train.decay_begin 0 and train.decay_end 0.01 have none of the run's 10 steps between them; "
       "set them further apart"},
      {[](MemberConfig& m) { m.train.decay_end = 1.5; },
       "train.decay_end is 1.5; it is a share and must lie between 0 and 1"},
      {[](MemberConfig& m) { m.train.warmup_tokens = 400; },
       "train.warmup_tokens is 400; it must lie between 0 and train.tokens, 320"},
      {[](MemberConfig& m) {
         m.train.schedule = Schedule::kWsd;
         m.train.warmup_tokens = 288;
       },
       "train.warmup_tokens, as a share 0.9, and train.cooldown 0.2 together exceed the run; make "
       "their sum at most 1"},
      {[](MemberConfig& m) { m.train.z_loss = -1; },
       "train.z_loss is -1; it must be a finite number of at least 0"},
      {[](MemberConfig& m) { m.train.mup_base_width = 0; },
       "train.mup_base_width is 0; it must be at least 1"},
  };
  for (const auto& [spoil, message] : cases) {
    MemberConfig member = Good();
    spoil(member);
    EXPECT_EQ(Refusal({member}), message);
  }
}

TEST(Config, MembersMustShareShapeBatchAndLength) {
  EXPECT_THAT(Refusal({}), HasSubstr("members is empty"));
  MemberConfig other = Good();
  other.init.gamma = 1;
  other.train.lr = 1;
  other.train.weight_decay = 1;
  other.seed = 9;
  EXPECT_EQ(Refusal({Good(), other}), "accepted");
  other = Good();
  other.model.d_ff = 16;
  EXPECT_EQ(Refusal({Good(), other}),
            "members[1] differs from members[0] in model; train it in a task of its own");
  other = Good();
  other.train.tokens = 640;
  EXPECT_EQ(Refusal({Good(), other}),
            "members[1] differs from members[0] in train.tokens; train it in a task of its own");
}

}  // namespace
}  // namespace loglog
