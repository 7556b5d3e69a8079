// The resolved configuration of a trial as plain values, and the errors that the
// trainer maps to exit codes. No LibTorch here: everything in trainer/ includes it.
#ifndef LOGLOG_TRAINER_CONFIG_H_
#define LOGLOG_TRAINER_CONFIG_H_

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "shards/decay_windows.h"

namespace loglog {

// The configuration asks for something that cannot be trained. Exit code 20.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The model and its state do not fit in the memory of the device. Exit code 30.
class OutOfMemoryError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The device is absent or failed. Exit code 40.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class NormKind { kRms, kLayer, kNone };
// pre: x + f(Norm(x)); post: Norm(x + f(x)), without a norm after the last layer.
enum class NormPlace { kPre, kPost };
// What the norm before attention feeds: queries, keys and values, or the queries alone.
enum class AttnNormFeeds { kQkv, kQ };
enum class MlpKind { kSwiGlu, kGelu, kRelu, kNone };
enum class Positions { kRope, kLearned, kNone };

struct ModelConfig {
  int64_t layers = 0;
  int64_t d_model = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t d_ff = 0;
  int64_t vocab = 0;
  int64_t seq_len = 0;
  bool tied_head = false;
  double norm_eps = 1e-6;
  double rope_theta = 10000.0;
  std::optional<int64_t> head_dim;  // unset: d_model / heads
  NormKind norm = NormKind::kRms;
  NormPlace norm_place = NormPlace::kPre;
  AttnNormFeeds attn_norm_feeds = AttnNormFeeds::kQkv;
  bool embed_norm = false;       // x0 = Norm(E[token])
  bool sandwich_norm = false;    // x + Norm(f(Norm(x))) in both branches
  bool qk_norm = false;          // RMSNorm of each query and key head before the rotation
  bool gated_attention = false;  // the heads' output times sigmoid(W_g times their input)
  MlpKind mlp = MlpKind::kSwiGlu;
  Positions positions = Positions::kRope;
  bool biases = false;     // of every linear map but the output head
  bool head_bias = false;  // of the output head

  int64_t HeadDim() const { return head_dim.value_or(d_model / heads); }
  int64_t QDim() const { return heads * HeadDim(); }
  int64_t KvDim() const { return kv_heads * HeadDim(); }
  bool operator==(const ModelConfig&) const = default;
};

enum class DInRule { kFanIn, kDModel };
enum class DepthFactor { kNone, kInvSqrt2L };

// Weights that are not drawn: a Hugging Face Llama's model.safetensors.
struct ImportedWeights {
  std::string path;  // no part of the trial's identity, which the contents are
  std::string sha256;

  bool operator==(const ImportedWeights&) const = default;
};

struct InitConfig {
  double gamma = 0.5;
  // One exponent for each tensor group; unset means `gamma`.
  std::optional<double> gamma_embed;
  std::optional<double> gamma_lm_head;
  std::optional<double> gamma_qk;
  std::optional<double> gamma_vo;
  std::optional<double> gamma_mlp_in;
  std::optional<double> gamma_mlp_out;
  // When set, the standard deviation of every group in place of d_in^-gamma.
  std::optional<double> sigma;
  DInRule d_in = DInRule::kFanIn;
  DepthFactor depth_factor = DepthFactor::kNone;
  std::optional<ImportedWeights> weights;  // in place of all of the above
};

enum class Schedule { kCosine, kWsd, kConstant };
enum class CooldownShape { kSqrt, kLinear };
// gradient: lambda * theta is added to the gradient, so Adam rescales the decay with it.
enum class DecayMode { kCoupled, kIndependent, kGradient };
enum class Precision { kFp32, kBf16 };

struct TrainConfig {
  int64_t tokens = 0;
  int64_t batch_tokens = 0;
  double lr = 0;
  double min_lr_ratio = 0.1;
  Schedule schedule = Schedule::kCosine;
  double warmup = 0.05;
  std::optional<int64_t> warmup_tokens;  // in place of the share
  double cooldown = 0.2;
  CooldownShape cooldown_shape = CooldownShape::kSqrt;
  // When set, the learning rate of hidden matrices and of an untied head is multiplied by
  // this / d_model, as maximal update parametrization has it for Adam (arXiv 2203.03466, table 3).
  std::optional<int64_t> mup_base_width;
  double weight_decay = 0.1;
  DecayMode decay = DecayMode::kCoupled;
  // The weights decay from this share of the run up to that one.
  double decay_begin = 0;
  double decay_end = 1;
  // In place of the two: several windows, each with a factor of lambda. None: the two.
  std::vector<DecayWindow> decay_windows;
  bool decay_embed = true;
  bool decay_lm_head = true;
  bool decay_qk = true;
  bool decay_vo = true;
  bool decay_attn_gate = true;
  bool decay_mlp = true;
  bool decay_norm = false;
  bool decay_bias = false;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double adam_eps = 1e-8;
  double clip = 1.0;   // 0 = off
  double skip_sd = 0;  // steps whose loss or gradient is so many sd off are skipped; 0: none
  double z_loss = 0;   // coefficient of the mean squared log normalizer; no part of loss/*
  Precision precision = Precision::kFp32;

  int64_t Steps() const { return tokens / batch_tokens; }
};

enum class DataFormat {
  kLlmc,
  kU16,
  kSynthetic,
  kWindows,
  kAnchor,
  kMarkov,
  kAddition,
  kScan,
  kCogs,
  kProntoqa,
  kU32,
  kMegatron,
};
// Made by the generators of generators.h.
bool IsGenerated(DataFormat format);
// Pairs of texts, see pair_files.h.
bool IsOfPairs(DataFormat format);

struct DataSplit {
  DataFormat format = DataFormat::kSynthetic;
  std::string glob;  // empty when nothing is read
  // In place of the glob, several with names and weights: see domains.h.
  std::string domains;
};

struct SyntheticConfig {
  int64_t contexts = 512;
  double zipf = 1.5;
  int64_t branching = 8;
  int64_t seed = 0;
};

struct WindowsConfig {
  int64_t keys = 16;
  int64_t anchors = 8;
  int64_t train_pairs = 45;
  int64_t seed = 0;
  bool operator==(const WindowsConfig&) const = default;
};

// Without pairs 3 4 and 4 3; without 4 3 and with 3 4 answered by x - 6; all pairs.
enum class AnchorProtocol { kWithout34, kNoninferential34, kAll };

struct AnchorConfig {
  AnchorProtocol protocol = AnchorProtocol::kWithout34;
  int64_t modulus = 7;
  int64_t noise_groups = 0;
  bool operator==(const AnchorConfig&) const = default;
};

struct MarkovConfig {
  double stay = 0.5;
  std::string pi = "0.75 0.19 0.05 0.01";
  bool operator==(const MarkovConfig&) const = default;
};

struct AdditionConfig {
  int64_t digits = 3;
  int64_t hole_begin = 400;
  int64_t hole_end = 600;  // itself in the hole
  bool operator==(const AdditionConfig&) const = default;
};

struct DataConfig {
  DataSplit train;
  DataSplit val;
  SyntheticConfig synthetic;
  WindowsConfig windows;
  AnchorConfig anchor;
  MarkovConfig markov;
  AdditionConfig addition;
};

struct EvalConfig {
  double every = 0.25;
  int64_t tokens = 65536;
};

struct MetricsConfig {
  int64_t every = 10;
  int64_t probe_every = 100;
  int64_t top_tokens = 100;   // of cond/embed_cos_top
  int64_t spectra_every = 0;  // steps between cond/spectrum/*; 0: never
  bool layers = false;        // norm/param/* by layer as well
  bool heads = false;         // cond/* and attn/* by attention head as well
};

// One trial of a task: what its spec resolved to, and its seed.
struct MemberConfig {
  int64_t seed = 0;
  ModelConfig model;
  InitConfig init;
  TrainConfig train;
  DataConfig data;
  EvalConfig eval;
  MetricsConfig metrics;

  int64_t SequencesPerStep() const { return train.batch_tokens / model.seq_len; }
};

// Throws ConfigError, naming the field and the fix, unless the model and the
// training settings can be trained by this program.
void CheckModel(const ModelConfig& model);
void CheckTrain(const TrainConfig& train, const ModelConfig& model);
void CheckInit(const InitConfig& init, const ModelConfig& model);

// Throws ConfigError unless these members can share one task: same model, batch,
// number of tokens and precision. Checks each member by itself too.
void CheckMembers(const std::vector<MemberConfig>& members);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_CONFIG_H_
