#include "trainer/task.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "trainer/json_reader.h"
#include "trainer/task_words.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int64_t kIntMax = std::numeric_limits<int64_t>::max();
// Dimensions whose products and byte counts stay far inside int64.
constexpr int64_t kDimensionMax = int64_t{1} << 24;
constexpr int64_t kMembersMax = 1024;
constexpr int64_t kRanksMax = 64;

ModelConfig ReadModel(JsonReader reader) {
  ModelConfig model;
  const auto dimension = [&](const char* key) { return reader.Integer(key, 1, kDimensionMax); };
  model.layers = reader.Integer("layers", 1, 4096);
  model.d_model = dimension("d_model");
  model.heads = dimension("heads");
  model.kv_heads = reader.Integer("kv_heads", 1, kDimensionMax, model.heads);
  model.d_ff = dimension("d_ff");
  model.vocab = reader.Integer("vocab", 2, kDimensionMax);
  model.seq_len = dimension("seq_len");
  model.tied_head = reader.Boolean("tied_head", model.tied_head);
  model.norm_eps = reader.Number("norm_eps", model.norm_eps);
  model.rope_theta = reader.Number("rope_theta", model.rope_theta);
  model.head_dim = reader.OptionalInteger("head_dim", 1, kDimensionMax);
  model.norm = static_cast<NormKind>(reader.Word("norm", kNormWords, 0));
  model.norm_place = static_cast<NormPlace>(reader.Word("norm_place", kNormPlaceWords, 0));
  model.attn_norm_feeds =
      static_cast<AttnNormFeeds>(reader.Word("attn_norm_feeds", kAttnNormWords, 0));
  model.embed_norm = reader.Boolean("embed_norm", model.embed_norm);
  model.sandwich_norm = reader.Boolean("sandwich_norm", model.sandwich_norm);
  model.qk_norm = reader.Boolean("qk_norm", model.qk_norm);
  model.gated_attention = reader.Boolean("gated_attention", model.gated_attention);
  model.mlp = static_cast<MlpKind>(reader.Word("mlp", kMlpWords, 0));
  model.positions = static_cast<Positions>(reader.Word("positions", kPositionWords, 0));
  model.biases = reader.Boolean("biases", model.biases);
  model.head_bias = reader.Boolean("head_bias", model.head_bias);
  reader.Finish();
  return model;
}

ImportedWeights ReadImportedWeights(JsonReader reader) {
  ImportedWeights weights{.path = reader.String("path", ""), .sha256 = reader.String("sha256")};
  reader.Finish();
  return weights;
}

InitConfig ReadInit(JsonReader reader) {
  InitConfig init;
  if (reader.Has("weights")) {
    // Finish refuses what would say how to draw them.
    init.weights = ReadImportedWeights(reader.Object("weights", true));
    reader.Finish();
    return init;
  }
  reader.String("weights", "");
  init.gamma = reader.Number("gamma", init.gamma);
  init.gamma_embed = reader.OptionalNumber("gamma_embed");
  init.gamma_lm_head = reader.OptionalNumber("gamma_lm_head");
  init.gamma_qk = reader.OptionalNumber("gamma_qk");
  init.gamma_vo = reader.OptionalNumber("gamma_vo");
  init.gamma_mlp_in = reader.OptionalNumber("gamma_mlp_in");
  init.gamma_mlp_out = reader.OptionalNumber("gamma_mlp_out");
  init.sigma = reader.OptionalNumber("sigma");
  init.d_in = static_cast<DInRule>(reader.Word("d_in", kDInWords, 0));
  init.depth_factor = static_cast<DepthFactor>(reader.Word("depth_factor", kDepthWords, 0));
  reader.Finish();
  return init;
}

TrainConfig ReadTrain(JsonReader reader) {
  TrainConfig train;
  reader.Word("optimizer", {"adamw"}, 0);
  train.tokens = reader.Integer("tokens", 1, kIntMax);
  train.batch_tokens = reader.Integer("batch_tokens", 1, int64_t{1} << 40);
  train.lr = reader.Number("lr");
  train.min_lr_ratio = reader.Number("min_lr_ratio", train.min_lr_ratio);
  train.schedule = static_cast<Schedule>(reader.Word("schedule", kScheduleWords, 0));
  train.warmup = reader.Number("warmup", train.warmup);
  train.warmup_tokens = reader.OptionalInteger("warmup_tokens", 0, kIntMax);
  train.cooldown = reader.Number("cooldown", train.cooldown);
  train.cooldown_shape =
      static_cast<CooldownShape>(reader.Word("cooldown_shape", kCooldownWords, 0));
  train.mup_base_width = reader.OptionalInteger("mup_base_width", 1, kDimensionMax);
  train.weight_decay = reader.Number("weight_decay", train.weight_decay);
  train.decay = static_cast<DecayMode>(reader.Word("decay", kDecayWords, 0));
  train.decay_begin = reader.Number("decay_begin", train.decay_begin);
  train.decay_end = reader.Number("decay_end", train.decay_end);
  if (const std::string windows = reader.String("decay_windows", ""); !windows.empty()) {
    std::string error;
    train.decay_windows = ParseDecayWindows(windows, &error);
    if (!error.empty()) reader.Refuse("decay_windows", "cannot be read: " + error);
  }
  train.decay_embed = reader.Boolean("decay_embed", train.decay_embed);
  train.decay_lm_head = reader.Boolean("decay_lm_head", train.decay_lm_head);
  train.decay_qk = reader.Boolean("decay_qk", train.decay_qk);
  train.decay_vo = reader.Boolean("decay_vo", train.decay_vo);
  train.decay_attn_gate = reader.Boolean("decay_attn_gate", train.decay_attn_gate);
  train.decay_mlp = reader.Boolean("decay_mlp", train.decay_mlp);
  train.decay_norm = reader.Boolean("decay_norm", train.decay_norm);
  train.decay_bias = reader.Boolean("decay_bias", train.decay_bias);
  train.beta1 = reader.Number("beta1", train.beta1);
  train.beta2 = reader.Number("beta2", train.beta2);
  train.adam_eps = reader.Number("adam_eps", train.adam_eps);
  train.clip = reader.Number("clip", train.clip);
  train.z_loss = reader.Number("z_loss", train.z_loss);
  train.skip_sd = reader.Number("skip_sd", train.skip_sd);
  train.precision = static_cast<Precision>(reader.Word("precision", kPrecisionWords, 0));
  reader.Finish();
  return train;
}

DataSplit ReadSplit(JsonReader reader) {
  DataSplit split;
  split.format = static_cast<DataFormat>(reader.Word("format", kFormatWords));
  split.glob = reader.String("glob", "");
  split.domains = reader.String("domains", "");
  const bool made = split.format == DataFormat::kSynthetic || IsGenerated(split.format);
  if (made && !split.glob.empty()) {
    reader.Refuse("glob", "names files, and format " + WordOf(kFormatWords, split.format) +
                              " reads none; set it to null, or the format to llmc or u16");
  }
  if (!split.domains.empty() && (made || IsOfPairs(split.format) || !split.glob.empty())) {
    reader.Refuse("domains",
                  "is of formats that read tokens from files, and stands in place of glob; remove "
                  "one of the two");
  }
  if (!made && split.glob.empty() && split.domains.empty()) {
    reader.Refuse("glob", "is missing; name the shards, such as \"data/train-*.bin\"");
  }
  reader.Finish();
  return split;
}

void ReadGenerators(JsonReader& reader, DataConfig* data) {
  JsonReader windows = reader.Object("windows", false);
  data->windows.keys = windows.Integer("keys", 2, 100'000, data->windows.keys);
  data->windows.anchors = windows.Integer("anchors", 2, 10'000, data->windows.anchors);
  data->windows.train_pairs = windows.Integer("train_pairs", 1, kIntMax, data->windows.train_pairs);
  data->windows.seed = windows.Integer("seed", 0, kIntMax, data->windows.seed);
  windows.Finish();
  JsonReader anchor = reader.Object("anchor", false);
  data->anchor.protocol = static_cast<AnchorProtocol>(anchor.Word("protocol", kProtocolWords, 0));
  data->anchor.modulus = anchor.Integer("modulus", 7, 80, data->anchor.modulus);
  data->anchor.noise_groups = anchor.Integer("noise_groups", 0, 6, data->anchor.noise_groups);
  anchor.Finish();
  JsonReader markov = reader.Object("markov", false);
  data->markov.stay = markov.Number("stay", data->markov.stay);
  if (!(data->markov.stay >= 0 && data->markov.stay < 1)) {
    markov.Refuse("stay", "must be at least 0 and below 1: it is a probability");
  }
  data->markov.pi = markov.String("pi", data->markov.pi);
  markov.Finish();
  JsonReader addition = reader.Object("addition", false);
  data->addition.digits = addition.Integer("digits", 2, 6, data->addition.digits);
  data->addition.hole_begin = addition.Integer("hole_begin", 0, 999'999, data->addition.hole_begin);
  data->addition.hole_end = addition.Integer("hole_end", 0, 999'999, data->addition.hole_end);
  addition.Finish();
}

DataConfig ReadData(JsonReader reader) {
  DataConfig data;
  data.train = ReadSplit(reader.Object("train", true));
  data.val = ReadSplit(reader.Object("val", true));
  JsonReader synthetic = reader.Object("synthetic", false);
  data.synthetic.contexts =
      synthetic.Integer("contexts", 2, kDimensionMax, data.synthetic.contexts);
  data.synthetic.zipf = synthetic.Number("zipf", data.synthetic.zipf);
  data.synthetic.branching = synthetic.Integer("branching", 1, 1'000'000, data.synthetic.branching);
  data.synthetic.seed = synthetic.Integer("seed", 0, kIntMax, data.synthetic.seed);
  synthetic.Finish();
  ReadGenerators(reader, &data);
  const auto is_task = [](DataFormat format) { return IsGenerated(format) || IsOfPairs(format); };
  if (data.val.format != data.train.format &&
      (is_task(data.train.format) || is_task(data.val.format))) {
    reader.Refuse("val", "has format " + WordOf(kFormatWords, data.val.format) +
                             ", and data.train " + WordOf(kFormatWords, data.train.format) +
                             "; a built-in task comes with its own validation sets, so name it in "
                             "both");
  }
  reader.Finish();
  return data;
}

EvalConfig ReadEval(JsonReader reader, int64_t seq_len) {
  EvalConfig eval;
  eval.every = reader.Number("every", eval.every);
  if (!(eval.every >= 0 && eval.every <= 1)) {
    reader.Refuse("every",
                  "must lie between 0 and 1: it is a share of the run, and 0 evaluates "
                  "at the end only");
  }
  eval.tokens = reader.Integer("tokens", 1, kIntMax, eval.tokens);
  if (eval.tokens < seq_len) {
    reader.Refuse("tokens", "is " + std::to_string(eval.tokens) +
                                ", less than one sequence; it "
                                "must be at least model.seq_len, " +
                                std::to_string(seq_len));
  }
  reader.Finish();
  return eval;
}

MetricsConfig ReadMetrics(JsonReader reader) {
  MetricsConfig metrics;
  metrics.every = reader.Integer("every", 1, kIntMax, metrics.every);
  metrics.probe_every = reader.Integer("probe_every", 0, kIntMax, metrics.probe_every);
  metrics.top_tokens = reader.Integer("top_tokens", 2, kDimensionMax, metrics.top_tokens);
  metrics.spectra_every = reader.Integer("spectra_every", 0, kIntMax, metrics.spectra_every);
  metrics.layers = reader.Boolean("layers", metrics.layers);
  metrics.heads = reader.Boolean("heads", metrics.heads);
  reader.Finish();
  return metrics;
}

MemberConfig ReadMember(JsonReader reader, const std::string& file) {
  MemberConfig member;
  reader.String("trial", "");  // for people who read the file
  member.seed = reader.Integer("seed", 0, kIntMax, 0);
  JsonReader config = reader.Object("config", true);
  member.model = ReadModel(config.Object("model", true));
  member.init = ReadInit(config.Object("init", false));
  member.train = ReadTrain(config.Object("train", true));
  member.data = ReadData(config.Object("data", true));
  member.eval = ReadEval(config.Object("eval", false), member.model.seq_len);
  member.metrics = ReadMetrics(config.Object("metrics", false));
  config.Finish();
  reader.Finish();
  try {
    CheckModel(member.model);
    CheckTrain(member.train, member.model);
    CheckInit(member.init, member.model);
  } catch (const ConfigError& error) {
    // These messages begin with the field.
    throw ConfigError(file + ": " + reader.PathOf("config") + "." + error.what());
  }
  return member;
}

// What members of one task must share beyond what the engine asks for: the loop reads
// one data set and has one cadence.
void CheckSharedByMembers(const std::vector<MemberConfig>& members, const std::string& file) {
  try {
    CheckMembers(members);
  } catch (const ConfigError& error) {
    throw ConfigError(file + ": " + error.what());
  }
  const json first = json::parse(CanonicalMember(members[0]));
  for (size_t i = 1; i < members.size(); ++i) {
    const json other = json::parse(CanonicalMember(members[i]));
    for (const char* section : {"data", "eval", "metrics"}) {
      if (other.at("config").at(section) != first.at("config").at(section)) {
        throw ConfigError(file + ": members[" + std::to_string(i) +
                          "] differs from members[0] in " + section +
                          "; train it in a task of its own");
      }
    }
  }
}

void ReadRange(JsonReader& reader, Task* task) {
  const TrainConfig& train = task->first().train;
  task->token_begin = reader.Integer("token_begin", 0, kIntMax, 0);
  task->token_end = reader.Integer("token_end", 1, kIntMax, train.tokens);
  for (const auto& [key, value] :
       {std::pair{"token_begin", task->token_begin}, std::pair{"token_end", task->token_end}}) {
    if (value % train.batch_tokens != 0) {
      const int64_t below = value - value % train.batch_tokens;
      reader.Refuse(key, "is " + std::to_string(value) + ", not a multiple of train.batch_tokens " +
                             std::to_string(train.batch_tokens) + "; the nearest good values are " +
                             std::to_string(below) + " and " +
                             std::to_string(below + train.batch_tokens));
    }
  }
  if (task->token_end > train.tokens) {
    reader.Refuse("token_end", "is " + std::to_string(task->token_end) + ", beyond train.tokens " +
                                   std::to_string(train.tokens) + "; lower it");
  }
  if (task->token_begin >= task->token_end) {
    reader.Refuse("token_begin", "is " + std::to_string(task->token_begin) +
                                     ", which leaves nothing to train before token_end " +
                                     std::to_string(task->token_end) + "; lower it");
  }
}

void ReadBranch(JsonReader& reader, Task* task) {
  if (!reader.Has("branch")) {
    reader.String("branch", "");
    return;
  }
  JsonReader branch = reader.Object("branch", true);
  task->branch = {.step = branch.Integer("step", 1, task->EndStep()),
                  .path = branch.String("path"),
                  .sha256 = branch.String("sha256", "")};
  branch.Finish();
  if (task->branch->step == task->BeginStep()) return;
  reader.Refuse("branch",
                "is of step " + std::to_string(task->branch->step) + ", and token_begin is " +
                    std::to_string(task->token_begin) + "; set token_begin to " +
                    std::to_string(task->branch->step * task->first().train.batch_tokens));
}

bool IsCudaDevice(const std::string& name) {
  const std::string digits = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "";
  return !digits.empty() && digits.size() <= 3 &&
         digits.find_first_not_of("0123456789") == std::string::npos;
}

// Several GPUs: one rank on each. On a CPU, `ranks` of them.
void ReadRanks(JsonReader& reader, Task* task) {
  task->devices = reader.Strings("devices");
  std::set<std::string> distinct;
  for (const std::string& device : task->devices) {
    if (!IsCudaDevice(device)) {
      reader.Refuse("devices", "has \"" + device + "\"; its entries must be cuda:<number>");
    }
    if (!distinct.insert(device).second) {
      reader.Refuse("devices", "names " + device + " twice; each rank needs a GPU of its own");
    }
  }
  const int64_t named = static_cast<int64_t>(task->devices.size());
  const int64_t ranks = reader.Integer("ranks", 1, kRanksMax, std::max<int64_t>(1, named));
  if (named > 0 && task->devices[0] != task->device) {
    reader.Refuse("devices", "begins with " + task->devices[0] + ", and device is " + task->device +
                                 "; rank 0 has the first one, so name it in both");
  }
  if (ranks != std::max<int64_t>(1, named) && (named > 0 || task->device != "cpu")) {
    reader.Refuse("ranks", "is " + std::to_string(ranks) + ", and " +
                               std::to_string(std::max<int64_t>(1, named)) +
                               " CUDA devices are named; name one for each rank in devices");
  }
  task->ranks = static_cast<int>(ranks);
  const int64_t sequences = task->first().SequencesPerStep();
  if (sequences % ranks == 0) return;
  int64_t fewer = ranks - 1;
  while (sequences % fewer != 0) --fewer;
  reader.Refuse(named > 0 ? "devices" : "ranks",
                (named > 0 ? "names " : "is ") + std::to_string(ranks) +
                    (named > 0 ? " devices" : "") + ", and the " + std::to_string(sequences) +
                    " sequences of a step cannot be shared equally by as many; the next smaller "
                    "number that can is " +
                    std::to_string(fewer) + ", or change train.batch_tokens");
}

void ReadDevice(JsonReader& reader, Task* task) {
  task->device = reader.String("device", "cpu");
  if (task->device != "cpu" && !IsCudaDevice(task->device)) {
    reader.Refuse("device", "is \"" + task->device + "\"; it must be cpu or cuda:<number>");
  }
  task->threads = static_cast<int>(reader.Integer("threads", 1, 1024, 1));
  ReadRanks(reader, task);
}

}  // namespace

Task ParseTask(std::string_view text, const std::string& file, const std::string& folder) {
  const json root = ParseJsonStrictly(text, file);
  JsonReader reader(root, file, "");
  if (const int64_t format = reader.Integer("format", 1, kIntMax, 1); format != 1) {
    reader.Refuse("format", "is " + std::to_string(format) +
                                ", and this trainer reads format 1; use programs of one version");
  }
  Task task;
  reader.Integer("task_id", 0, kIntMax, 0);  // for people who read the file
  task.attempt_id = reader.Integer("attempt_id", 0, kIntMax, 0);
  std::vector<JsonReader> members = reader.Objects("members");
  if (members.empty()) reader.Refuse("members", "is empty; a task trains at least one trial");
  if (members.size() > kMembersMax) {
    reader.Refuse("members", "has " + std::to_string(members.size()) + " members; at most " +
                                 std::to_string(kMembersMax) + " go into one task");
  }
  for (const JsonReader& member : members) task.members.push_back(ReadMember(member, file));
  CheckSharedByMembers(task.members, file);
  ReadRange(reader, &task);
  JsonReader checkpoint = reader.Object("checkpoint", false);
  task.checkpoint_every = checkpoint.Integer("every", 0, kIntMax, task.checkpoint_every);
  task.checkpoint_keep = checkpoint.Integer("keep", 1, 1 << 20, task.checkpoint_keep);
  task.checkpoint_at = checkpoint.Integers("at", 1, task.EndStep());
  checkpoint.Finish();
  task.run_dir = reader.String("run_dir", folder);
  task.checkpoint_dir = reader.String("checkpoint_dir", task.run_dir + "/checkpoints");
  task.data_root = reader.String("data_root", ".");
  ReadDevice(reader, &task);
  ReadBranch(reader, &task);
  if (reader.Has("resume")) {
    JsonReader resume = reader.Object("resume", true);
    task.resume = {.step = resume.Integer("step", 1, task.EndStep()),
                   .path = resume.String("path"),
                   .sha256 = resume.String("sha256")};
    resume.Finish();
  } else {
    reader.String("resume", "");
  }
  reader.Finish();
  return task;
}

MemberConfig ParseCanonicalMember(std::string_view text, const std::string& file) {
  const json root = ParseJsonStrictly(text, file);
  return ReadMember(JsonReader(root, file, ""), file);
}

}  // namespace loglog
