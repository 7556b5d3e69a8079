#include "plan/cell_check.h"

#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "plan/fields.h"
#include "shards/decay_windows.h"

namespace loglog {
namespace {

// The multiples of `unit` around `value`.
std::string NearestMultiples(int64_t value, int64_t unit) {
  const int64_t below = value / unit * unit;
  if (below == 0) return absl::StrCat("the nearest good value is ", unit);
  return absl::StrCat("the nearest good values are ", below, " and ", below + unit);
}

class CellChecker {
 public:
  explicit CellChecker(const CellConfig& config) : config_(config) {}

  std::vector<CellFault> Run() {
    if (!CheckPresent()) return std::move(faults_);
    CheckModel();
    CheckInit();
    CheckWeights();
    CheckBatch();
    CheckSchedule();
    CheckData();
    return std::move(faults_);
  }

 private:
  void Add(std::string path, std::string message, std::string suggestion) {
    faults_.push_back({std::move(path), std::move(message), std::move(suggestion)});
  }

  bool CheckPresent() {
    static const auto* const required = [] {
      auto* list = new std::vector<int>;
      for (int i = 0; i < std::ssize(CellFields()); ++i) {
        if (!CellFields()[i]->nullable()) list->push_back(i);
      }
      return list;
    }();
    for (const int index : *required) {
      if (!std::holds_alternative<std::monostate>(config_.at(index))) continue;
      const std::string& path = CellFields()[index]->path;
      Add(path, absl::StrCat(path, " has no value in some cells"),
          "give it one, or a model.preset in every arm");
    }
    return faults_.empty();
  }

  void CheckModel() {
    const ModelShape model = config_.model();
    CheckNorms(model);
    CheckSize(model);
    if (config_.IsNull("model.head_dim") && model.d_model % model.heads != 0) {
      Add("model.heads",
          absl::StrCat("model.d_model ", model.d_model, " is not a multiple of model.heads ",
                       model.heads),
          "each head needs the same width");
    } else if (model.head_dim() % 2 != 0 && config_.Text("model.positions") == "rope") {
      const bool given = !config_.IsNull("model.head_dim");
      Add(given ? "model.head_dim" : "model.heads",
          absl::StrCat(given ? "model.head_dim" : "model.d_model / model.heads", " is ",
                       model.head_dim(), ", an odd number"),
          "rotary positions rotate pairs");
    }
    if (model.heads % model.kv_heads != 0) {
      Add("model.kv_heads",
          absl::StrCat("model.heads ", model.heads, " is not a multiple of model.kv_heads ",
                       model.kv_heads),
          "each key-value head serves the same number of heads");
    }
  }

  // Each size may be large by itself; counts of all parameters are whole numbers of 64 bits.
  void CheckSize(const ModelShape& model) {
    constexpr double kParamsMax = 1e15;
    const double d = static_cast<double>(model.d_model), q = static_cast<double>(model.q_dim());
    const double block =
        d * (3 * q + 2 * static_cast<double>(model.kv_dim()) + 3 * static_cast<double>(model.d_ff));
    const double params =
        static_cast<double>(model.layers) * block +
        d * (2 * static_cast<double>(model.vocab) + static_cast<double>(model.seq_len));
    if (params <= kParamsMax) return;
    Add("model.d_model",
        absl::StrFormat("the model's sizes make about %.1e parameters, more than %.0e", params,
                        kParamsMax),
        "lower model.layers, d_model, heads, head_dim, d_ff or vocab");
  }

  void CheckNorms(const ModelShape& model) {
    const bool none = model.norm == "none";
    const auto refuse = [&](const char* path, const char* why, const char* fix) {
      Add(path, absl::StrCat(path, " is set and ", why), fix);
    };
    const char* const no_norm = "model.norm is none";
    const char* const other_norm = "write model.norm: rms or layer";
    if (none && model.embed_norm) refuse("model.embed_norm", no_norm, other_norm);
    if (none && model.sandwich_norm) refuse("model.sandwich_norm", no_norm, other_norm);
    if (none && model.post_norm) refuse("model.norm_place", no_norm, "write norm_place: pre");
    if (model.post_norm && model.sandwich_norm) {
      refuse("model.sandwich_norm", "model.norm_place is post, where the sum is normalized",
             "write norm_place: pre");
    }
    if ((none || model.post_norm) && config_.Text("model.attn_norm_feeds") == "q") {
      refuse("model.attn_norm_feeds", "there is no norm before attention",
             "write norm_place: pre and norm: rms or layer");
    }
  }

  // An exponent that nothing is drawn by is a mistake: its arms would be one and the same.
  void CheckInit() {
    if (!config_.IsNull("init.gamma_lm_head") && config_.model().tied_head) {
      Add("init.gamma_lm_head",
          "init.gamma_lm_head is set and model.tied_head is true, where the head is the embedding",
          "write gamma_embed, tied_head: false, or a `when` that leaves it out");
    }
    const bool has_sigma = !config_.IsNull("init.sigma");
    for (const char* const path : {"init.gamma_embed", "init.gamma_lm_head", "init.gamma_qk",
                                   "init.gamma_vo", "init.gamma_mlp_in", "init.gamma_mlp_out"}) {
      if (config_.IsNull(path)) continue;
      if (absl::StrContains(path, "_mlp_") && config_.Text("model.mlp") == "none") {
        Add(path, absl::StrCat(path, " is set and model.mlp is none, which has no such matrix"),
            "write null");
      }
      if (has_sigma) {
        Add(path, absl::StrCat(path, " is set and so is init.sigma, in place of every gamma"),
            "write null for one of the two");
      }
    }
  }

  // A file of weights needs both of its fields and a model that is a Llama, and leaves
  // nothing to draw.
  void CheckWeights() {
    const bool has_path = config_.reads_weights();
    const bool has_sha256 = !config_.IsNull("init.weights.sha256");
    if (!has_path && !has_sha256) return;
    if (!has_path) {
      return Add("init.weights.sha256", "init.weights.path is missing",
                 "write path: model.safetensors");
    }
    const std::string path = config_.Text("init.weights.path");
    if (absl::EndsWith(path, ".json")) {
      Add("init.weights.path", "init.weights.path names the index of several files",
          "save the model as one: save_pretrained(folder, max_shard_size=\"1TB\")");
    }
    const std::string sha256 = has_sha256 ? config_.Text("init.weights.sha256") : "";
    const bool is_hash =
        sha256.size() == 64 && sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_hash) {
      Add(has_sha256 ? "init.weights.sha256" : "init.weights.path",
          absl::StrCat("init.weights.sha256 is ",
                       has_sha256 ? "no SHA-256: 64 digits and letters a to f" : "missing"),
          absl::StrCat("write what `sha256sum ", path, "` prints"));
    }
    for (int i = 0; i < std::ssize(CellFields()); ++i) {
      const SpecField& field = *CellFields()[i];
      if (!IsOfDrawing(field.path) || config_.at(i) == DefaultOf(field)) continue;
      Add(field.path,
          absl::StrCat(field.path,
                       " says how weights are drawn, and init.weights.path names a "
                       "file to read them from"),
          "remove it, or set it only in the arms that draw their weights");
    }
    CheckLlama();
  }

  // What transformers' Llama lacks, so that no file of its weights fits. The trainer refuses
  // the same.
  void CheckLlama() {
    const std::pair<const char*, const char*> llama[] = {{"model.norm", "rms"},
                                                         {"model.norm_place", "pre"},
                                                         {"model.attn_norm_feeds", "qkv"},
                                                         {"model.embed_norm", "false"},
                                                         {"model.sandwich_norm", "false"},
                                                         {"model.qk_norm", "false"},
                                                         {"model.gated_attention", "false"},
                                                         {"model.mlp", "swiglu"},
                                                         {"model.positions", "rope"},
                                                         {"model.head_bias", "false"}};
    for (const auto& [path, needed] : llama) {
      const SpecValue& value = config_.Get(path);
      if (value == DefaultOf(*FindField(path))) continue;
      Add(path,
          absl::StrCat(path, " is ", DisplayText(value),
                       ", and init.weights.path names a Llama's weights"),
          absl::StrCat("write ", FindField(path)->leaf(), ": ", needed));
    }
  }

  void CheckDecay() {
    const double begin = config_.Number("train.decay_begin");
    const double end = config_.Number("train.decay_end");
    if (begin >= end) {
      Add("train.decay_begin",
          absl::StrCat("train.decay_begin ", DisplayText(begin), " is not before train.decay_end ",
                       DisplayText(end)),
          "to decay never, write weight_decay: 0");
    } else if (const int64_t steps = config_.steps();
               steps > 0 && StepOfShare(begin, steps) >= StepOfShare(end, steps)) {
      Add(end < 1 ? "train.decay_end" : "train.decay_begin",
          absl::StrCat("train.decay_begin ", DisplayText(begin), " and train.decay_end ",
                       DisplayText(end), " have none of the run's ", steps, " steps between them"),
          "set them further apart");
    }
    if (config_.IsNull("train.decay_windows")) return;
    const char* const path = "train.decay_windows";
    if (begin != 0 || end != 1) {
      return Add(path,
                 "train.decay_windows stands in place of train.decay_begin and train.decay_end",
                 "remove those two");
    }
    std::string error;
    const auto windows = ParseDecayWindows(config_.Text(path), &error);
    const std::string fault = DecayWindowsFault(windows, config_.steps());
    const size_t fix = fault.find("; ");
    if (fault.empty()) return;
    Add(path, absl::StrCat(path, ": ", fault.substr(0, fix)), fault.substr(fix + 2));
  }

  void CheckBatch() {
    const int64_t tokens = config_.tokens(), batch = config_.batch_tokens();
    const int64_t seq_len = config_.Int("model.seq_len");
    if (batch % seq_len != 0) {
      Add("train.batch_tokens",
          absl::StrCat("train.batch_tokens ", batch, " is not a multiple of model.seq_len ",
                       seq_len),
          NearestMultiples(batch, seq_len));
    }
    if (tokens % batch != 0) {
      Add("train.tokens",
          absl::StrCat("train.tokens ", tokens, " is not a multiple of train.batch_tokens ", batch),
          NearestMultiples(tokens, batch));
    }
    if (const int64_t eval = config_.Int("eval.tokens"); eval < seq_len) {
      Add("eval.tokens",
          absl::StrCat("eval.tokens ", eval, " is under one sequence of ", seq_len, " tokens"),
          absl::StrCat("write at least ", seq_len));
    }
  }

  void CheckSchedule() {
    CheckDecay();
    double warmup = config_.Number("train.warmup");
    if (!config_.IsNull("train.warmup_tokens")) {
      const int64_t tokens = config_.Int("train.warmup_tokens");
      if (tokens > config_.tokens()) {
        return Add("train.warmup_tokens",
                   absl::StrCat("train.warmup_tokens ", tokens, " is more than train.tokens ",
                                config_.tokens()),
                   "it is at most the whole run");
      }
      warmup = static_cast<double>(tokens) / static_cast<double>(config_.tokens());
    }
    if (config_.Text("train.schedule") != "wsd") return;
    const double cooldown = config_.Number("train.cooldown");
    if (warmup + cooldown <= 1) return;
    if (!config_.IsNull("train.warmup_tokens")) {
      return Add(
          "train.warmup_tokens",
          absl::StrCat("train.warmup_tokens, a share of ", DisplayText(warmup),
                       ", and train.cooldown ", DisplayText(cooldown), " exceed the run together"),
          "their sum is at most 1");
    }
    Add(warmup > cooldown ? "train.warmup" : "train.cooldown",
        absl::StrCat("train.warmup ", DisplayText(warmup), " and train.cooldown ",
                     DisplayText(cooldown), " exceed the run together"),
        "their sum is at most 1");
  }

  void CheckGenerated() {
    const std::string train = config_.Text("data.train.format");
    const std::string val = config_.Text("data.val.format");
    const auto generated = [](const std::string& format) {
      return format == "windows" || format == "anchor" || format == "markov" ||
             format == "addition" || format == "scan" || format == "cogs" || format == "prontoqa";
    };
    if (!generated(train) && !generated(val)) return;
    if (train != val) {
      return Add("data.val.format",
                 absl::StrCat("data.train.format is ", train, " and data.val.format ", val),
                 "a task comes with its own validation sets: name it in both");
    }
    if (train == "windows") {
      const int64_t keys = config_.Int("data.windows.keys");
      const int64_t anchors = config_.Int("data.windows.anchors");
      CheckFits("windows", 3, keys + anchors);
      if (config_.Int("data.windows.train_pairs") >= anchors * anchors) {
        Add("data.windows.train_pairs",
            absl::StrCat("data.windows.train_pairs leaves none of ", anchors * anchors,
                         " pairs untrained"),
            absl::StrCat("it is at most ", anchors * anchors - 1));
      }
    }
    if (train == "anchor") CheckFits("anchor", 9, 110);
    if (train == "addition") {
      const int64_t digits = config_.Int("data.addition.digits");
      CheckFits("addition", 3 * digits + 2, 12);
      CheckHole(static_cast<int64_t>(std::llround(std::pow(10, digits))));
    }
  }

  // Of pairs of numbers below `limit`, a tenth of the numbers are outside.
  void CheckHole(int64_t limit) {
    const int64_t begin = config_.Int("data.addition.hole_begin");
    const int64_t end = config_.Int("data.addition.hole_end");
    if (begin <= end && end < limit && 10 * (limit - (end - begin + 1)) >= limit) return;
    Add("data.addition.hole_end",
        absl::StrCat("data.addition.hole_begin to hole_end are ", begin, " to ", end),
        absl::StrCat("write an interval of the numbers below ", limit,
                     " that leaves a tenth of them to train on"));
  }

  // The shape of a task with one answer.
  void CheckFits(const std::string& format, int64_t length, int64_t ids) {
    if (const int64_t seq_len = config_.Int("model.seq_len"); seq_len != length) {
      Add("model.seq_len",
          absl::StrCat("model.seq_len is ", seq_len, ", and data of format ", format, " have ",
                       length, " tokens before the last"),
          absl::StrCat("write seq_len: ", length));
    }
    if (const int64_t vocab = config_.Int("model.vocab"); vocab < ids) {
      Add("model.vocab",
          absl::StrCat("model.vocab is ", vocab, ", and data of format ", format, " need ", ids,
                       " token ids"),
          absl::StrCat("write vocab: ", ids));
    }
  }

  void CheckData() {
    bool synthetic = false;
    for (const std::string split : {"data.train", "data.val"}) {
      const std::string format = config_.Text(split + ".format");
      const bool made = format == "synthetic" || format == "windows" || format == "anchor" ||
                        format == "markov" || format == "addition";
      synthetic = synthetic || format == "synthetic";
      const bool has_glob = !config_.IsNull(split + ".glob");
      if (made && has_glob) {
        Add(split + ".glob", absl::StrCat(split, ".glob names files, and the format is ", format),
            "remove it, or write format: llmc");
      } else if (!config_.IsNull(split + ".domains") && (made || has_glob)) {
        Add(split + ".domains",
            absl::StrCat(split, ".domains stands in place of glob, of formats that read tokens"),
            "remove one of the two");
      } else if (!made && !has_glob && config_.IsNull(split + ".domains")) {
        Add(split + ".format", absl::StrCat(split, ".glob is missing"),
            "write glob: data/train_*.bin");
      }
    }
    CheckGenerated();
    if (!synthetic) return;
    const int64_t ids =
        config_.Int("data.synthetic.contexts") + config_.Int("data.synthetic.branching");
    if (const int64_t vocab = config_.Int("model.vocab"); ids > vocab) {
      Add("data.synthetic.contexts",
          absl::StrCat("data.synthetic needs ", ids, " token ids (contexts + branching), and ",
                       "model.vocab is ", vocab),
          absl::StrCat("contexts is at most ", vocab - config_.Int("data.synthetic.branching")));
    }
  }

  const CellConfig& config_;
  std::vector<CellFault> faults_;
};

}  // namespace

std::vector<CellFault> CheckCell(const CellConfig& config) { return CellChecker(config).Run(); }

}  // namespace loglog
