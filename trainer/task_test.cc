#include "trainer/task.h"

#include <gtest/gtest.h>

#include "shards/test_files_testing.h"
#include "trainer/task_testing.h"

namespace loglog {
namespace {

using nlohmann::json;

Task Parse(const json& task) { return ParseTask(task.dump(), "task.json", "/folder"); }

TEST(Task, DefaultsFollowFromTheFolderAndTheConfiguration) {
  const Task task = Parse(SmallTask());
  EXPECT_EQ(task.run_dir, "/folder");
  EXPECT_EQ(task.checkpoint_dir, "/folder/checkpoints");
  EXPECT_EQ(task.data_root, ".");
  EXPECT_EQ(task.device, "cpu");
  EXPECT_EQ(task.threads, 1);
  EXPECT_EQ(task.token_begin, 0);
  EXPECT_EQ(task.token_end, 60 * 512);
  EXPECT_EQ(task.EndStep(), 60);
  EXPECT_FALSE(task.resume);
  const MemberConfig& member = task.first();
  EXPECT_EQ(member.model.kv_heads, 1);
  EXPECT_EQ(member.init.gamma, 0.5);
  EXPECT_FALSE(member.init.gamma_qk);
  EXPECT_EQ(member.train.schedule, Schedule::kCosine);
  EXPECT_EQ(member.data.synthetic.branching, 8);
}

TEST(Task, EveryFieldIsRead) {
  json task = SmallTask();
  json& config = task["members"][0]["config"];
  config["init"] = {
      {"gamma", 0.75}, {"gamma_qk", 1}, {"d_in", "d_model"}, {"depth_factor", "inv_sqrt_2l"}};
  config["train"]["schedule"] = "wsd";
  config["train"]["decay"] = "independent";
  config["train"]["decay_embed"] = false;
  config["train"]["precision"] = "bf16";
  config["data"]["train"] = {{"format", "u16"}, {"glob", "a*.bin"}};
  task["members"][0]["seed"] = 7;
  task["task_id"] = 12;
  task["attempt_id"] = 17;
  task["token_begin"] = 512;
  task["token_end"] = 5120;
  task["run_dir"] = "/run";
  task["data_root"] = "/data";
  task["device"] = "cuda:3";
  task["threads"] = 2;
  task["resume"] = {{"step", 1}, {"path", "/c/step-00000001"}, {"sha256", "ab"}};
  const Task read = Parse(task);
  EXPECT_EQ(read.first().init.gamma_qk, 1.0);
  json fixed = task;  // one excludes the other
  fixed["members"][0]["config"]["init"] = {{"sigma", 0.02}};
  EXPECT_EQ(Parse(fixed).first().init.sigma, 0.02);
  EXPECT_EQ(read.first().init.d_in, DInRule::kDModel);
  EXPECT_EQ(read.first().init.depth_factor, DepthFactor::kInvSqrt2L);
  EXPECT_EQ(read.first().train.schedule, Schedule::kWsd);
  EXPECT_EQ(read.first().train.decay, DecayMode::kIndependent);
  EXPECT_FALSE(read.first().train.decay_embed);
  EXPECT_EQ(read.first().train.precision, Precision::kBf16);
  EXPECT_EQ(read.first().data.train.format, DataFormat::kU16);
  EXPECT_EQ(read.first().data.train.glob, "a*.bin");
  EXPECT_EQ(read.first().seed, 7);
  EXPECT_EQ(read.attempt_id, 17);
  EXPECT_EQ(read.BeginStep(), 1);
  EXPECT_EQ(read.EndStep(), 10);
  EXPECT_EQ(read.checkpoint_dir, "/run/checkpoints");
  EXPECT_EQ(read.device, "cuda:3");
  ASSERT_TRUE(read.resume);
  EXPECT_EQ(read.resume->path, "/c/step-00000001");
}

TEST(Task, GeneratedDataAreReadAndNameBothSplits) {
  json task = SmallTask();
  json& data = task["members"][0]["config"]["data"];
  data = {{"train", {{"format", "anchor"}}},
          {"val", {{"format", "anchor"}}},
          {"windows", {{"keys", 4}, {"anchors", 3}, {"train_pairs", 5}, {"seed", 2}}},
          {"anchor", {{"protocol", "all"}, {"modulus", 9}, {"noise_groups", 2}}},
          {"markov", {{"stay", 0.25}, {"pi", "0.5 0.5"}}}};
  const DataConfig read = Parse(task).first().data;
  EXPECT_EQ(read.windows, (WindowsConfig{4, 3, 5, 2}));
  EXPECT_EQ(read.anchor, (AnchorConfig{AnchorProtocol::kAll, 9, 2}));
  EXPECT_EQ(read.markov, (MarkovConfig{0.25, "0.5 0.5"}));
  const json canonical = json::parse(CanonicalMember(Parse(task).first()))["config"]["data"];
  for (const char* key : {"windows", "anchor", "markov"}) EXPECT_EQ(canonical[key], data[key]);
  data["val"]["format"] = "synthetic";
  EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
            "task.json: members[0].config.data.val has format synthetic, and data.train anchor; a "
            "built-in task comes with its own validation sets, so name it in both");
}

// A later field at its default leaves no trace: cells and checkpoints made before it keep
// their identity.
TEST(Task, LaterFieldsAreReadAndLeftOutAtTheirDefaults) {
  json task = SmallTask();
  const std::string plain = CanonicalMember(Parse(task).first());
  json& config = task["members"][0]["config"];
  const json model = {{"head_dim", 8},          {"norm", "layer"},         {"norm_place", "pre"},
                      {"attn_norm_feeds", "q"}, {"embed_norm", true},      {"sandwich_norm", true},
                      {"qk_norm", true},        {"gated_attention", true}, {"mlp", "gelu"},
                      {"positions", "learned"}, {"biases", true},          {"head_bias", true}};
  const json train = {{"warmup_tokens", 1024},    {"cooldown_shape", "linear"},
                      {"mup_base_width", 16},     {"decay_begin", 0.25},
                      {"decay_end", 0.5},         {"decay_lm_head", false},
                      {"decay_qk", false},        {"decay_vo", false},
                      {"decay_attn_gate", false}, {"decay_mlp", false},
                      {"decay_norm", true},       {"decay_bias", true},
                      {"z_loss", 1e-4},           {"skip_sd", 8}};
  const json metrics = {
      {"top_tokens", 7}, {"spectra_every", 50}, {"layers", true}, {"heads", true}};
  config["model"].update(model);
  config["train"].update(train);
  config["metrics"].update(metrics);
  const json canonical = json::parse(CanonicalMember(Parse(task).first()))["config"];
  for (const auto& [key, value] : model.items()) {
    EXPECT_EQ(canonical["model"].value(key, json()), key == "norm_place" ? json() : value) << key;
  }
  for (const auto& [key, value] : train.items()) {
    EXPECT_EQ(canonical["train"].value(key, json()), value) << key;
  }
  for (const auto& [key, value] : metrics.items()) {
    EXPECT_EQ(canonical["metrics"].value(key, json()), value) << key;
  }
  const ModelConfig& read = Parse(task).first().model;
  EXPECT_EQ(read.norm, NormKind::kLayer);
  EXPECT_EQ(read.mlp, MlpKind::kGelu);
  EXPECT_EQ(read.positions, Positions::kLearned);
  task = SmallTask();
  task["members"][0]["config"]["model"]["norm"] = "rms";
  task["members"][0]["config"]["model"]["head_dim"] = nullptr;
  task["members"][0]["config"]["train"]["z_loss"] = 0;
  EXPECT_EQ(CanonicalMember(Parse(task).first()), plain);
  EXPECT_EQ(plain.find("z_loss"), std::string::npos);
}

TEST(Task, DecayWindowsHaveOneSpelling) {
  json task = SmallTask();
  json& train = task["members"][0]["config"]["train"];
  const std::string plain = CanonicalMember(Parse(task).first());
  train["decay_windows"] = nullptr;
  EXPECT_EQ(CanonicalMember(Parse(task).first()), plain);
  train["decay_windows"] = " 0%  25.0%;30 40 1.0";
  const json canonical = json::parse(CanonicalMember(Parse(task).first()));
  EXPECT_EQ(canonical["config"]["train"]["decay_windows"], "0% 25%; 30 40");
  train["decay_end"] = 0.5;
  EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
            "task.json: members[0].config.train.decay_windows stands in place of train.decay_begin "
            "and train.decay_end; remove those two");
}

// The canonical form has every field, so a task that spells out the defaults trains the
// same numbers as one that leaves them away.
TEST(Task, HashIsOfTheResolvedConfiguration) {
  const Task implicit = Parse(SmallTask());
  json task = SmallTask();
  json member = json::parse(CanonicalMember(implicit.first()));
  EXPECT_EQ(member["config"]["train"]["beta2"], 0.95);
  EXPECT_TRUE(member["config"]["init"]["sigma"].is_null());
  member["trial"] = "another name";
  task["members"][0] = member;
  task["run_dir"] = "/elsewhere";
  EXPECT_EQ(ConfigSha256(Parse(task).members), ConfigSha256(implicit.members));
  task["members"][0]["seed"] = 1;
  EXPECT_NE(ConfigSha256(Parse(task).members), ConfigSha256(implicit.members));
  task["members"][0]["seed"] = 0;
  task["members"][0]["config"]["train"]["lr"] = 0.0030000001;
  EXPECT_NE(ConfigSha256(Parse(task).members), ConfigSha256(implicit.members));
}

struct BadTask {
  const char* pointer;  // where the change is made
  json value;           // null removes
  const char* message;
};

const std::vector<BadTask>& BadTasks() {
  static const std::vector<BadTask> tasks = {
      {"/checkpiont", json::object(), "checkpiont is not a known key; did you mean checkpoint?"},
      {"/zzz", 1,
       "zzz is not a known key; known here: format, task_id, attempt_id, members, token_begin, "
       "token_end, checkpoint, run_dir, checkpoint_dir, data_root, device, threads, devices, "
       "ranks, branch, "
       "resume"},
      {"/format", 2, "format is 2, and this trainer reads format 1; use programs of one version"},
      {"/members", nullptr, "members is missing; add it"},
      {"/members", json::array(), "members is empty; a task trains at least one trial"},
      {"/members", json::object(), "members is {}; it must be a list, [...]"},
      {"/members/0", 5, "members[0] is a number; it must be an object, {...}"},
      {"/members/0/seed", "0", "members[0].seed is \"0\"; it must be an integer"},
      {"/members/0/seed", -1, "members[0].seed is -1; it must be at least 0"},
      {"/members/0/seed", 1.5,
       "members[0].seed is 1.5; it must be an integer, without point or exponent"},
      {"/members/0/config/model/layers", nullptr,
       "members[0].config.model.layers is missing; add it"},
      {"/members/0/config/model/d_model", 0,
       "members[0].config.model.d_model is 0; it must be at least 1"},
      {"/members/0/config/model/d_model", 1 << 30,
       "members[0].config.model.d_model is 1073741824; it must be at most 16777216"},
      {"/members/0/config/model/d_model", 33,
       "members[0].config.model.d_model 33 is not a multiple of model.heads 2; each head needs the "
       "same width"},
      {"/members/0/config/model/tied_head", 1,
       "members[0].config.model.tied_head is 1; it must be true or false"},
      {"/members/0/config/model/norm_epsilon", 1e-6,
       "members[0].config.model.norm_epsilon is not a known key; did you mean norm_eps?"},
      {"/members/0/config/train/lr", nullptr, "members[0].config.train.lr is missing; add it"},
      {"/members/0/config/train/lr", "3e-3",
       "members[0].config.train.lr is \"3e-3\"; it must be a number"},
      {"/members/0/config/train/lr", -1.0,
       "members[0].config.train.lr is -1; it must be a finite number of at least 0"},
      {"/members/0/config/train/batch_tokens", 500,
       "members[0].config.train.batch_tokens 500 is not a multiple of model.seq_len 32; the "
       "nearest "
       "good values are 480 and 512"},
      {"/members/0/config/train/tokens", 30000,
       "members[0].config.train.tokens 30000 is not a multiple of train.batch_tokens 512; the "
       "nearest good values are 29696 and 30208"},
      {"/members/0/config/train/tokens", 3e4,
       "members[0].config.train.tokens is 30000.0; it must be an integer, without point or "
       "exponent"},
      {"/members/0/config/train/schedule", "cosin",
       "members[0].config.train.schedule is \"cosin\"; it must be one of cosine, wsd, constant; "
       "did "
       "you mean cosine?"},
      {"/members/0/config/train/optimizer", "sgd",
       "members[0].config.train.optimizer is \"sgd\"; it must be one of adamw"},
      {"/members/0/config/train/beta2", 1.0,
       "members[0].config.train.beta2 is 1; it must be at least 0 and below 1"},
      {"/members/0/config/train/decay_windows", "0% 25%; 50% x",
       "members[0].config.train.decay_windows cannot be read: `x` is no moment of a run: write 25% "
       "or a "
       "step, 5000"},
      {"/members/0/config/train/decay_windows", "0% 25%; 10% 100%",
       "members[0].config.train.decay_windows: window `10% 100%` begins before the one in front of "
       "it ends, at step 15 of the run's 60 steps; write windows in order, without overlap"},
      {"/members/0/config/init/gamma", json(),
       "members[0].config.init.gamma is null; it must be a number"},
      {"/members/0/config/init/sigma", -0.1,
       "members[0].config.init.sigma is -0.1; it must be a finite number of at least 0"},
      {"/members/0/config/data/train/format", "bin",
       "members[0].config.data.train.format is \"bin\"; it must be one of llmc, u16, synthetic, "
       "windows, anchor, markov, addition, scan, cogs, prontoqa, u32, megatron"},
      {"/members/0/config/data/val/domains", "a 1 b",
       "members[0].config.data.val.domains is of formats that read tokens from files, and stands "
       "in "
       "place of glob; remove one of the two"},
      {"/members/0/config/data/train/format", "scan",
       "members[0].config.data.train.glob is missing; name the shards, such as "
       "\"data/train-*.bin\""},
      {"/members/0/config/train/skip_sd", -1,
       "members[0].config.train.skip_sd is -1; it must be a finite number of at least 0"},
      {"/members/0/config/data/train/format", "llmc",
       "members[0].config.data.train.glob is missing; name the shards, such as "
       "\"data/train-*.bin\""},
      {"/members/0/config/data/val/glob", "x",
       "members[0].config.data.val.glob names files, and format synthetic reads none; set it to "
       "null, or the format to llmc or u16"},
      {"/members/0/config/data/val", nullptr, "members[0].config.data.val is missing; add it"},
      {"/members/0/config/eval/every", 1.5,
       "members[0].config.eval.every must lie between 0 and 1: it is a share of the run, and 0 "
       "evaluates at the end only"},
      {"/members/0/config/eval/tokens", 31,
       "members[0].config.eval.tokens is 31, less than one sequence; it must be at least "
       "model.seq_len, 32"},
      {"/members/0/config/metrics/every", 0,
       "members[0].config.metrics.every is 0; it must be at least 1"},
      {"/members/0/config/modle", json::object(),
       "members[0].config.modle is not a known key; did you mean model?"},
      {"/token_end", 1000,
       "token_end is 1000, not a multiple of train.batch_tokens 512; the nearest good values are "
       "512 and 1024"},
      {"/token_end", 61 * 512, "token_end is 31232, beyond train.tokens 30720; lower it"},
      {"/token_begin", 60 * 512,
       "token_begin is 30720, which leaves nothing to train before token_end 30720; lower it"},
      {"/checkpoint/keep", 0, "checkpoint.keep is 0; it must be at least 1"},
      {"/device", "gpu", "device is \"gpu\"; it must be cpu or cuda:<number>"},
      {"/threads", 0, "threads is 0; it must be at least 1"},
      {"/resume", {{"step", 0}}, "resume.step is 0; it must be at least 1"},
      {"/resume", {{"step", 10}, {"path", "/x"}}, "resume.sha256 is missing; add it"},
      {"/resume", {{"step", 61}}, "resume.step is 61; it must be at most 60"},
  };
  return tasks;
}

TEST(Task, BadTasksAreRefusedWithPathAndFix) {
  for (const BadTask& bad : BadTasks()) {
    json task = SmallTask();
    const json::json_pointer pointer(bad.pointer);
    const bool sets_null = std::string(bad.pointer) == "/members/0/config/init/gamma";
    if (bad.value.is_null() && !sets_null) {
      task[pointer.parent_pointer()].erase(pointer.back());
    } else {
      task[pointer] = bad.value;
    }
    EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
              std::string("task.json: ") + bad.message)
        << bad.pointer;
  }
}

TEST(Task, MissingKeySuggestsTheMisspeltOne) {
  json task = SmallTask();
  json& train = task["members"][0]["config"]["train"];
  train["token"] = train["tokens"];
  train.erase("tokens");
  EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
            "task.json: members[0].config.train.tokens is missing; add it, or is token meant to be "
            "it?");
}

TEST(Task, BadJsonHasItsPlace) {
  const auto message = [](const char* text) {
    return MessageOf<ConfigError>([&] { ParseTask(text, "a/task.json", "a"); });
  };
  EXPECT_EQ(
      message("{\n  \"format\" 1\n}"),
      "a/task.json:2:12: is not valid JSON here; check for a missing comma, quote or bracket");
  EXPECT_EQ(message(""),
            "a/task.json:1:1: is not valid JSON here; check for a missing comma, quote or bracket");
  EXPECT_EQ(message("[]"), "a/task.json: the file is a list; it must be an object, {...}");
  EXPECT_EQ(message("{\"format\": 1, \"format\": 1}"),
            "a/task.json: key \"format\" appears twice in one object; keep one");
  EXPECT_EQ(message("{\"format\": 1e999}"),
            "a/task.json: holds a number too large for any field; correct it");
}

// The contents are what a trial starts from, wherever the file lies; how weights would be drawn
// then means nothing.
TEST(Task, ImportedWeightsAreKnownByTheirContents) {
  json task = SmallTask();
  json& init = task["members"][0]["config"]["init"];
  init = {{"weights", {{"path", "a/model.safetensors"}, {"sha256", "ab"}}}};
  const MemberConfig member = Parse(task).members[0];
  ASSERT_TRUE(member.init.weights);
  EXPECT_EQ(member.init.weights->path, "a/model.safetensors");
  const MemberConfig again = ParseCanonicalMember(CanonicalMember(member), "task.json");
  EXPECT_EQ(again.init.weights.value().sha256, "ab");
  EXPECT_EQ(CanonicalMember(again), CanonicalMember(member));
  EXPECT_NE(ConfigSha256({member}), ConfigSha256(Parse(SmallTask()).members));
  init["weights"]["path"] = "b/model.safetensors";
  EXPECT_EQ(ConfigSha256(Parse(task).members), ConfigSha256({member}));
  init["weights"]["sha256"] = "cd";
  EXPECT_NE(ConfigSha256(Parse(task).members), ConfigSha256({member}));
  init["gamma"] = 0.5;
  EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
            "task.json: members[0].config.init.gamma is not a known key; known here: weights");
  init.erase("gamma");
  init["weights"].erase("sha256");
  EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }),
            "task.json: members[0].config.init.weights.sha256 is missing; add it");
}

TEST(Task, SeveralDevicesAreRanks) {
  json task = SmallTask();
  EXPECT_EQ(Parse(task).ranks, 1);
  task["ranks"] = 4;
  EXPECT_EQ(Parse(task).ranks, 4);
  EXPECT_EQ(Parse(task).DeviceOf(3), "cpu");
  task.erase("ranks");
  task["device"] = "cuda:1";
  task["devices"] = {"cuda:1", "cuda:0"};
  EXPECT_EQ(Parse(task).ranks, 2);
  EXPECT_EQ(Parse(task).DeviceOf(0), "cuda:1");
  EXPECT_EQ(Parse(task).DeviceOf(1), "cuda:0");
  EXPECT_EQ(ConfigSha256(Parse(task).members), ConfigSha256(Parse(SmallTask()).members));
}

TEST(Task, ImpossibleRanksAreRefused) {
  const json two = {"cuda:0", "cuda:1"};
  const std::vector<std::pair<json, const char*>> refusals = {
      {{{"ranks", 0}}, "ranks is 0; it must be at least 1"},
      {{{"ranks", 3}},
       "ranks is 3, and the 16 sequences of a step cannot be shared equally by as many; the next "
       "smaller number that can is 2, or change train.batch_tokens"},
      {{{"ranks", 32}},
       "ranks is 32, and the 16 sequences of a step cannot be shared equally by as many; the next "
       "smaller number that can is 16, or change train.batch_tokens"},
      {{{"device", "cuda:0"}, {"ranks", 2}},
       "ranks is 2, and 1 CUDA devices are named; name one for each rank in devices"},
      {{{"device", "cuda:0"}, {"devices", two}, {"ranks", 4}},
       "ranks is 4, and 2 CUDA devices are named; name one for each rank in devices"},
      {{{"devices", two}},
       "devices begins with cuda:0, and device is cpu; rank 0 has the first one, so name it in "
       "both"},
      {{{"device", "cuda:0"}, {"devices", {"cuda:0", "cuda:0"}}},
       "devices names cuda:0 twice; each rank needs a GPU of its own"},
      {{{"device", "cuda:0"}, {"devices", {"cuda:0", "cpu"}}},
       "devices has \"cpu\"; its entries must be cuda:<number>"},
      {{{"device", "cuda:0"}, {"devices", {"cuda:0", 1}}},
       "devices has 1; its entries must be texts"},
      {{{"device", "cuda:0"}, {"devices", {"cuda:0", "cuda:1", "cuda:2"}}},
       "devices names 3 devices, and the 16 sequences of a step cannot be shared equally by as "
       "many; the next smaller number that can is 2, or change train.batch_tokens"},
  };
  for (const auto& [fields, message] : refusals) {
    json task = SmallTask();
    task.update(fields);
    EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(task); }), std::string("task.json: ") + message);
  }
}

TEST(Task, MembersMayDifferInWhatDoesNotChangeTheShape) {
  json task = SmallTask();
  task["members"].push_back(task["members"][0]);
  json& second = task["members"][1];
  second["seed"] = 1;
  second["config"]["init"] = {{"gamma", 0.8}};
  second["config"]["train"]["lr"] = 0.001;
  second["config"]["train"]["weight_decay"] = 1.0;
  EXPECT_EQ(Parse(task).members.size(), 2u);

  const std::vector<std::tuple<const char*, json, const char*>> differences = {
      {"/config/model/layers", 2, "model"},
      {"/config/train/batch_tokens", 1024, "train.batch_tokens"},
      {"/config/train/tokens", 61 * 512, "train.tokens"},
      {"/config/data/synthetic/seed", 1, "data"},
      {"/config/eval/tokens", 1024, "eval"},
      {"/config/metrics/every", 2, "metrics"},
  };
  for (const auto& [pointer, value, what] : differences) {
    json changed = task;
    changed["members"][1][json::json_pointer(pointer)] = value;
    EXPECT_EQ(MessageOf<ConfigError>([&] { Parse(changed); }),
              "task.json: members[1] differs from members[0] in " + std::string(what) +
                  "; train it in a task of its own");
  }
}

}  // namespace
}  // namespace loglog
