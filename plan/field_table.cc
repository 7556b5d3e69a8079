#include "plan/field_table.h"

#include <utility>

namespace loglog {
namespace {

constexpr double kHuge = 1e15;
constexpr char kGiven[] = "";  // has no default: the spec must say it

struct Limits {
  double min = 0;
  double max = kHuge;
  bool above_min = false;
  bool below_max = false;
};

Limits From(double min, double max) { return {min, max}; }
Limits Above(double min, double max) { return {min, max, true}; }

// Builds the rows; those between BeginCell and EndCell are part of a cell.
class Rows {
 public:
  void BeginCell() { in_cell_ = true; }
  void EndCell() { in_cell_ = false; }
  // Rows between these were added when cells were stored already.
  void BeginLater() { added_later_ = true; }
  void EndLater() { added_later_ = false; }

  void Add(std::string path, FieldType type, std::string fallback, const Limits& limits,
           std::string unit, std::string doc) {
    SpecField field{.path = std::move(path), .type = type, .in_cell = in_cell_};
    field.added_later = added_later_;
    field.fallback = std::move(fallback);
    field.min = limits.min;
    field.max = limits.max;
    field.above_min = limits.above_min;
    field.below_max = limits.below_max;
    field.unit = std::move(unit);
    field.doc = std::move(doc);
    rows_.push_back(std::move(field));
  }
  void Choice(std::string path, std::string fallback, std::vector<std::string> choices,
              std::string doc) {
    Add(std::move(path), FieldType::kChoice, std::move(fallback), {}, "", std::move(doc));
    rows_.back().choices = std::move(choices);
  }
  void Integer(std::string path, std::string fallback, const Limits& limits, std::string unit,
               std::string doc) {
    Add(std::move(path), FieldType::kInteger, std::move(fallback), limits, std::move(unit),
        std::move(doc));
  }
  void Count(std::string path, std::string fallback, const Limits& limits, std::string unit,
             std::string doc) {
    Add(std::move(path), FieldType::kCount, std::move(fallback), limits, std::move(unit),
        std::move(doc));
  }
  void Number(std::string path, std::string fallback, const Limits& limits, std::string doc) {
    Add(std::move(path), FieldType::kNumber, std::move(fallback), limits, "", std::move(doc));
  }
  void Share(std::string path, std::string fallback, std::string doc) {
    Add(std::move(path), FieldType::kShare, std::move(fallback), From(0, 1), "", std::move(doc));
  }
  void Flag(std::string path, std::string fallback, std::string doc) {
    Add(std::move(path), FieldType::kFlag, std::move(fallback), {}, "", std::move(doc));
  }
  void Text(std::string path, std::string fallback, std::string doc) {
    Add(std::move(path), FieldType::kText, std::move(fallback), {}, "", std::move(doc));
  }
  void Duration(std::string path, std::string fallback, std::string doc) {
    Add(std::move(path), FieldType::kDuration, std::move(fallback), Above(0, kHuge), "",
        std::move(doc));
  }

  std::vector<SpecField> Take() { return std::move(rows_); }

 private:
  std::vector<SpecField> rows_;
  bool in_cell_ = false;
  bool added_later_ = false;
};

// Each of these changes what gamma does, so none is ever set by the size of a model.
void AddModelOptions(Rows* rows) {
  rows->BeginLater();
  rows->Integer("model.head_dim", "null", From(1, 1'000'000), "",
                "Width of a head. null: d_model / heads.");
  rows->Choice("model.norm", "rms", {"rms", "layer", "none"},
               "rms: RMSNorm. layer: LayerNorm, with a bias.");
  rows->Choice("model.norm_place", "pre", {"pre", "post"},
               "pre: x + f(norm(x)). post: norm(x + f(x)), and no norm after the last block.");
  rows->Choice("model.attn_norm_feeds", "qkv", {"qkv", "q"},
               "What the norm before attention is for: queries, keys and values, or queries "
               "alone, as in the released code of arXiv 2405.05409.");
  rows->Flag("model.embed_norm", "false", "x0 = norm(E[token]).");
  rows->Flag("model.sandwich_norm", "false",
             "x + norm(f(norm(x))): normalizes away much of what gamma does to a branch.");
  rows->Flag("model.qk_norm", "false",
             "RMSNorm of each query and key head, before the rotary positions.");
  rows->Flag("model.gated_attention", "false",
             "The heads' output times sigmoid(W_g norm(x)) before W_O.");
  rows->Choice("model.mlp", "swiglu", {"swiglu", "gelu", "relu", "none"},
               "gelu is the exact one. none: attention only.");
  rows->Choice("model.positions", "rope", {"rope", "learned", "none"},
               "learned: a vector of each position is added to the embedding, drawn and decayed "
               "like it.");
  rows->Flag("model.biases", "false", "Biases, from 0, in every linear map but the output head.");
  rows->Flag("model.head_bias", "false", "A bias, from 0, in the output head.");
  rows->EndLater();
}

void AddModel(Rows* rows) {
  rows->Text("model.preset", "null",
             "A named shape of configs/shapes, such as llama-50m. Fields written beside it win.");
  rows->BeginCell();
  rows->Integer("model.layers", kGiven, From(1, 1000), "", "Decoder blocks.");
  rows->Integer("model.d_model", kGiven, From(2, 1'000'000), "", "Width of the residual stream.");
  rows->Integer("model.heads", kGiven, From(1, 10'000), "",
                "Query heads. d_model must be a multiple of heads, with an even quotient, unless "
                "model.head_dim is given.");
  rows->Integer("model.kv_heads", kGiven, From(1, 10'000), "",
                "Key-value heads. heads must be a multiple of kv_heads.");
  rows->Integer("model.d_ff", kGiven, From(1, 10'000'000), "", "Inner width of the MLP.");
  rows->Integer("model.vocab", kGiven, From(2, 10'000'000), "",
                "Token ids run from 0 to vocab - 1.");
  rows->Integer("model.seq_len", kGiven, From(1, 10'000'000), "tokens",
                "Positions of a training sequence.");
  rows->Flag("model.tied_head", "false", "The output head is the embedding.");
  rows->Number("model.norm_eps", "1.0e-6", Above(0, 1),
               "Added to the mean square in every RMSNorm, which runs in float32. It decides the "
               "signal instead of gamma when gamma > ln(1/eps) / (2 ln d_model).");
  rows->Number("model.rope_theta", "10000.0", Above(0, kHuge), "Base of the rotary positions.");
  AddModelOptions(rows);
  rows->EndCell();
}

void AddInit(Rows* rows) {
  rows->BeginCell();
  rows->Number("init.gamma", "0.5", From(0, 5),
               "Initialization rate: weights are N(0, sigma^2) with sigma = d_in^-gamma, the "
               "standard deviation. 0.5 is the LeCun scale; larger is smaller weights.");
  const std::pair<const char*, const char*> groups[] = {{"embed", "the embedding"},
                                                        {"lm_head", "the output head"},
                                                        {"qk", "the query and key matrices"},
                                                        {"vo", "the value and output matrices"},
                                                        {"mlp_in", "the gate and up matrices"},
                                                        {"mlp_out", "the down matrices"}};
  for (const auto& [group, words] : groups) {
    rows->Number(std::string("init.gamma_") + group, "null", From(0, 5),
                 std::string("gamma of ") + words + ". null: init.gamma.");
  }
  rows->Number("init.sigma", "null", Above(0, 100),
               "One fixed standard deviation for all matrices in place of every gamma.");
  rows->Choice("init.d_in", "fan_in", {"fan_in", "d_model"},
               "The width in d_in^-gamma: each matrix's own input width, or d_model everywhere. "
               "Embedding and head use d_model either way.");
  rows->Choice("init.depth_factor", "none", {"none", "inv_sqrt_2l"},
               "inv_sqrt_2l multiplies W_O and MLP-out by 1/sqrt(2 layers).");
  rows->BeginLater();
  rows->Text("init.weights.path", "null",
             "The file, from the worker's data root: model.safetensors of a Llama as transformers "
             "saves it, whole. A config.json beside it must describe this model.");
  rows->Text("init.weights.sha256", "null",
             "SHA-256 of the file, as sha256sum prints it: a trial that finds another one is "
             "refused.");
  rows->EndLater();
  rows->EndCell();
}

void AddTrainOptions(Rows* rows) {
  rows->BeginLater();
  rows->Count("train.warmup_tokens", "null", From(0, kHuge), "tokens",
              "Length of the warm-up in tokens, in place of train.warmup.");
  rows->Choice("train.cooldown_shape", "sqrt", {"sqrt", "linear"},
               "How wsd cools down: 1 - sqrt(u) or 1 - u, u the share of the cooldown done.");
  rows->Integer("train.mup_base_width", "null", From(1, 10'000'000), "",
                "Transfers the learning rate over widths: that of hidden matrices and of an untied "
                "head is lr * mup_base_width / d_model, others keep lr (arXiv 2203.03466).");
  rows->Share("train.decay_begin", "0%", "Weights decay from this share of the run on ...");
  rows->Share("train.decay_end", "100%", "... until this one: a window of lambda.");
  rows->Text("train.decay_windows", "null",
             "In place of the two, several windows and how lambda moves in them: \"0% 25%; 5000 "
             "50% 0.5; 50% 100% 1 0 cosine\". Each is FROM TO, shares of the run or steps, then a "
             "factor of train.weight_decay (1), or the first and the last one and linear or cosine "
             "between them. Elsewhere weights do not decay.");
  const std::pair<const char*, const char*> decayed[] = {{"lm_head", "the output head"},
                                                         {"qk", "the query and key matrices"},
                                                         {"vo", "the value and output matrices"},
                                                         {"attn_gate", "the gate of attention"},
                                                         {"mlp", "the matrices of the MLP"}};
  for (const auto& [group, words] : decayed) {
    rows->Flag(std::string("train.decay_") + group, "true", std::string("Decay ") + words + ".");
  }
  rows->Flag("train.decay_norm", "false", "Decay the gains of norms.");
  rows->Flag("train.decay_bias", "false", "Decay biases.");
  rows->Number("train.z_loss", "0.0", From(0, 1000),
               "Coefficient of the mean squared log normalizer, added to what is minimized and not "
               "to loss/*.");
  rows->Number("train.skip_sd", "0.0", From(0, 1000),
               "A step whose loss or gradient norm lies more than this many standard deviations "
               "above its running mean, or is not finite, is not applied; at most ten in a row. 0: "
               "every step is applied, and one that is not finite ends the trial.");
  rows->EndLater();
}

void AddTrain(Rows* rows) {
  rows->BeginCell();
  rows->Choice("train.optimizer", "adamw", {"adamw"}, "AdamW with decoupled decay.");
  rows->Count("train.tokens", kGiven, From(1, kHuge), "tokens",
              "Token budget D of a trial: a multiple of train.batch_tokens.");
  rows->Count("train.batch_tokens", kGiven, From(1, 1e12), "tokens",
              "Tokens of one optimizer step: a multiple of model.seq_len.");
  rows->Number("train.lr", kGiven, From(0, 100), "Peak learning rate.");
  rows->Share("train.min_lr_ratio", "0.1", "Where the cosine schedule ends, as a share of lr.");
  rows->Choice("train.schedule", "cosine", {"cosine", "wsd", "constant"},
               "wsd: warm-up, constant, then a cooldown over its share.");
  rows->Share("train.warmup", "5%", "Share of the steps with linear warm-up.");
  rows->Share("train.cooldown", "20%", "Share of the steps that decay; wsd only.");
  rows->Number("train.weight_decay", "0.1", From(0, 1000), "lambda of AdamW.");
  rows->Choice(
      "train.decay", "coupled", {"coupled", "independent", "gradient"},
      "coupled: weights shrink by lr_t * lambda, as in PyTorch. independent: by "
      "lambda * lr_t / lr. gradient: lambda times the weight is added to the gradient before "
      "Adam, as PyTorch's Adam does it.");
  rows->Flag("train.decay_embed", "true", "Decay the embedding, and learned positions, too.");
  const Limits beta{0, 1, false, true};
  rows->Number("train.beta1", "0.9", beta, "Decay rate of the first moment.");
  rows->Number("train.beta2", "0.95", beta, "Decay rate of the second moment.");
  rows->Number("train.adam_eps", "1.0e-8", Above(0, 1), "Added to the root in Adam's quotient.");
  rows->Number("train.clip", "1.0", From(0, kHuge),
               "Global gradient norm is clipped here; 0: off.");
  rows->Choice("train.precision", "fp32", {"fp32", "bf16"}, "bf16 needs a GPU.");
  AddTrainOptions(rows);
  rows->EndCell();
}

void AddGenerators(Rows* rows) {
  rows->BeginLater();
  rows->Integer("data.windows.keys", "16", From(2, 100'000), "",
                "Keys, which each anchor permutes. keys + anchors ids must fit in model.vocab.");
  rows->Integer("data.windows.anchors", "8", From(2, 10'000), "", "Anchors: random permutations.");
  rows->Integer("data.windows.train_pairs", "45", From(1, 1e8), "",
                "Ordered pairs of anchors that are trained; the rest are the set ood.");
  rows->Integer("data.windows.seed", "0", From(0, 4294967295.0), "",
                "Draws the permutations and which pairs are trained.");
  rows->Choice("data.anchor.protocol", "without_34", {"without_34", "noninferential_34", "all"},
               "Pairs of anchors that are trained: all but 3 4 and 4 3; all but 4 3, with 3 4 "
               "answered by x - 6; all.");
  rows->Integer("data.anchor.modulus", "7", From(7, 80), "",
                "Keys with key mod modulus = position are held out there: 7 in the papers, 9 in "
                "their released code.");
  rows->Integer("data.anchor.noise_groups", "0", From(0, 6), "",
                "The first so many of 12, 13, 14, 23, 24, 34 and their mirrors get answers of no "
                "rule.");
  rows->Add("data.markov.stay", FieldType::kNumber, "0.5", {0, 1, false, true}, "",
            "Probability of staying in a state: P = stay I + (1 - stay) 1 pi^T.");
  rows->Text("data.markov.pi", "0.75 0.19 0.05 0.01",
             "Stationary law, a probability for each state.");
  rows->Integer("data.addition.digits", "3", From(2, 6), "", "Digits of each number.");
  rows->Integer("data.addition.hole_begin", "400", From(0, 999'999), "",
                "Sums of two numbers from here ...");
  rows->Integer("data.addition.hole_end", "600", From(0, 999'999), "",
                "... up to here are not trained: the set ood.");
  rows->EndLater();
}

void AddData(Rows* rows) {
  rows->BeginCell();
  const std::vector<std::string> formats = {"llmc",   "u16",      "synthetic", "windows",
                                            "anchor", "markov",   "addition",  "scan",
                                            "cogs",   "prontoqa", "u32",       "megatron"};
  rows->Choice(
      "data.train.format", kGiven, formats,
      "llmc: .bin files of llm.c and of `loglog data pack`; u16, u32: raw 16- or 32-bit ids; "
      "megatron: .idx files beside their .bin; "
      "synthetic: a built-in language whose entropy rate is known; windows, anchor, "
      "markov, addition: tasks of the papers (see their sections), and scan, cogs, prontoqa: "
      "their files of examples, named in train and val alike.");
  rows->Text("data.train.glob", "null",
             "Files, from the worker's data root. Must be given where the format reads files.");
  rows->Choice("data.val.format", kGiven, formats, "As data.train.format, for validation.");
  rows->Text("data.val.glob", "null", "As data.train.glob, for validation.");
  rows->Integer("data.synthetic.contexts", "512", From(2, 10'000'000), "",
                "Contexts of the language. contexts + branching ids must fit in model.vocab.");
  rows->Number("data.synthetic.zipf", "1.5", Above(1, 10),
               "Contexts have probability ~ rank^-zipf; the excess loss falls about as "
               "D^-(1 - 1/zipf).");
  rows->Integer("data.synthetic.branching", "8", From(1, 1'000'000), "",
                "Answers of each context, with probability ~ 1/rank.");
  rows->Integer("data.synthetic.seed", "0", From(0, 4294967295.0), "",
                "Draws the language; the trial's seed draws the sample.");
  rows->BeginLater();
  rows->Text(
      "data.train.domains", "null",
      "In place of the glob, several with names and weights: \"web 0.7 web/train-*.bin; code 0.3 "
      "code/train-*.bin\". Weights are shares of the training sequences, to 1/4096.");
  rows->Text(
      "data.val.domains", "null",
      "As data.train.domains, for validation: loss/val is over all in these shares, and each has "
      "a loss/val/<name> of its own.");
  rows->EndLater();
  AddGenerators(rows);
  rows->EndCell();
}

void AddCadence(Rows* rows) {
  rows->BeginCell();
  rows->Share("eval.every", "25%",
              "Validation after each such share of the run, and always at the end; 0: only then.");
  rows->Count("eval.tokens", "65536", From(1, 1e12), "tokens",
              "Validation tokens of each evaluation.");
  rows->Integer("metrics.every", "10", From(1, 1e9), "steps",
                "Steps between points of the cheap metrics.");
  rows->Integer("metrics.probe_every", "100", From(0, 1e9), "steps",
                "Steps between probes of condensation and attention; 0: only at the end.");
  rows->BeginLater();
  rows->Integer("metrics.top_tokens", "100", From(2, 10'000'000), "",
                "cond/embed_cos_top is over so many of the most frequent tokens.");
  rows->Integer("metrics.spectra_every", "0", From(0, 1e9), "steps",
                "Steps between series of singular values of every probed matrix, and of the "
                "embedding's covariance; 0: never. Each value is a point.");
  rows->Flag("metrics.layers", "false", "Norms of each layer's parameters too.");
  rows->Flag("metrics.heads", "false",
             "Condensation and attention of each head too: points grow with layers x heads.");
  rows->EndLater();
  rows->EndCell();
}

void AddOperations(Rows* rows) {
  rows->Integer("checkpoint.every", "200", From(1, 1e9), "steps", "Steps between checkpoints.");
  rows->Integer("checkpoint.keep", "2", From(1, 1000), "", "Newest checkpoints kept for a task.");
  rows->Integer("retries.failures", "3", From(0, 1000), "",
                "Failures of the trial itself before it counts as failed.");
  rows->Integer("retries.losses", "20", From(0, 100'000), "",
                "Workers lost under the trial before it counts as failed.");
  rows->Number("budget.gpu_hours", "null", Above(0, kHuge),
               "Slot-hours that the sweep may take; `plan` warns when it will not be enough.");
  rows->Duration("budget.wall_time", "null",
                 "Time in which it should be done; `plan` warns when it will not be.");
  rows->Count("budget.tokens_per_second", "null", From(1, kHuge), "tokens/s",
              "Stated speed of one slot, for estimates before anything was measured.");
  rows->Count("budget.flops_per_second", "null", From(1, 1e18), "FLOP/s",
              "Stated speed of one slot; better than tokens/s when sizes differ.");
}

void AddSchedule(Rows* rows) {
  rows->Integer("schedule.priority", "0", From(-100, 100), "",
                "Sweeps with a higher priority go first. One that finds no free slot has "
                "running trials of lower priority save their state and make room.");
  rows->Integer("schedule.max_concurrent", "null", From(1, 1'000'000), "trials",
                "No further trial is started while so many of the sweep's run.");
  rows->Integer("schedule.slots", "1", From(1, 1024), "slots",
                "Slots that each trial takes, all of one worker and all at once.");
  rows->Number("schedule.share", "1.0", Above(0, 1000),
               "Weight among sweeps of the same priority: one with 2 is given twice the slots of "
               "one with 1.");
  rows->Flag(
      "schedule.trunks", "false",
      "Trials that differ in train.tokens alone train what they have in common once: the "
      "longest is the trunk and keeps a checkpoint where each shorter one's cooldown begins, "
      "from which that one goes on. For wsd or constant, warm-up in tokens and one lambda. "
      "Fits then have no intervals: such trials are not independent.");
}

}  // namespace

std::vector<SpecField> FieldTable() {
  Rows rows;
  rows.Choice("apiVersion", kGiven, {"loglog/v1"}, "Version of this format.");
  rows.Text("name", kGiven,
            "Name of the sweep: lower-case letters, digits and dashes, at most 63.");
  AddModel(&rows);
  AddInit(&rows);
  AddTrain(&rows);
  AddData(&rows);
  AddCadence(&rows);
  AddOperations(&rows);
  AddSchedule(&rows);
  return rows.Take();
}

std::vector<SpecSection> SectionTable() {
  return {
      {"model",
       "The decoder that is trained, a Llama unless told otherwise: a preset, or its "
       "fields, or both."},
      {"init", "How weights start."},
      {"init.weights",
       "Weights that are read and not drawn. The rest of init stands at its defaults then, and is "
       "no part of the trial's identity; the seed still draws the order of the data."},
      {"train", "Optimizer, schedule and token budget."},
      {"data", "Where tokens come from."},
      {"data.train", "Training data."},
      {"data.val", "Validation data."},
      {"data.synthetic", "The built-in language, used where a format is synthetic."},
      {"data.windows",
       "Critical windows (arXiv 2605.04396): key, a, b, answer pi_b(pi_a(key)). seq_len 3."},
      {"data.anchor",
       "Anchor functions (arXiv 2405.05409): a key among nine numbers, two anchors. seq_len 9."},
      {"data.markov", "The Markov chain of focus and dilution (arXiv 2605.01199)."},
      {"data.addition", "Sums of two numbers with a square of pairs held out."},
      {"eval", "Validation during the run."},
      {"metrics", "How often metrics are taken."},
      {"checkpoint", "Saved states to resume from. No part of a trial's identity."},
      {"retries", "How often a trial is tried again. No part of a trial's identity."},
      {"budget", "What the sweep may cost. No part of a trial's identity."},
      {"schedule",
       "How its trials compete for slots with others, and what they share. No part of a trial's "
       "identity."},
      {"schedule.selector",
       "Labels that a worker must have to be given the sweep's trials, as its --label says them:\n"
       "  schedule: {selector: {gpu: h100, zone: a}}\n"
       "Every label must match. Default: any worker.",
       true},
      {"axes",
       "What varies: axes: {gamma: {path: init.gamma, values: [0.5, 1.0]}}. The grid is the\n"
       "product of all axes and arms. Each axis has\n"
       "  path      a field of a trial, such as train.tokens; model.preset; or seed\n"
       "  values    a list, units allowed: [200M, 800M]\n"
       "  range     or [start, stop, step]: 0.4, 0.45, ... in exact decimal arithmetic; stop is\n"
       "            in when a step lands on it\n"
       "  logrange  or [start, stop, count]: equal ratios; values in between are rounded to 6\n"
       "            digits, counts to whole numbers, train.tokens to whole batches\n"
       "  when      {axis, arm or field: value or list}: the axis varies only where all of it\n"
       "            holds; elsewhere the field keeps the value it has without the axis (the seed\n"
       "            axis: its first value). It may not refer to an axis that has a `when`.\n"
       "The axis called seed has path seed; without it, the seed is 0.",
       true},
      {"arms",
       "The treatments to compare. Either a list of axes, whose values make the arms:\n"
       "  arms: [gamma, lambda]\n"
       "or named bundles of fields set together:\n"
       "  arms: {small: {init.gamma: 1.0, train.weight_decay: 1.0}, large: {...}}\n"
       "Default: every axis except seed, train.tokens and fields of model.",
       true},
      {"exclude",
       "Trials to leave out: a list of conditions, each {axis, arm, seed or field: value or\n"
       "list}. A trial is left out when every entry of some condition holds.\n"
       "  exclude: [{D: 800M, seed: [1, 2]}, {gamma: 0.4, lambda: 1.0}]",
       true},
      {"order",
       "In which order trials start: a list of sort keys, each an axis, arm, seed, or cost\n"
       "(dearest first); a - in front turns a key round. Axes sort by the order of their values.\n"
       "Default: [seed, cost]: one seed of everything first, long trials early. With the default,\n"
       "measured speed decides what is long where there is one; any other order is kept to.",
       true},
      {"fit",
       "Fits to keep up to date: a list of\n"
       "  {form: \"E + B*D^-beta\", by: arm}   one for each arm. Forms: B*D^-b (local slope),\n"
       "                                     E + B*D^-beta, the same with A*N^ or G*C^ in place\n"
       "                                     of B*D^, E + A*N^-alpha + B*D^-beta,\n"
       "                                     E + A*N^-beta + B*D^-beta; by name: kaplan,\n"
       "                                     data_constrained, isoflop, power, broken.\n"
       "                                     `censored: true` adds the estimates with the trials\n"
       "                                     that were stopped early: their last loss/val is an\n"
       "                                     upper end. Default false: they are left out, counted\n"
       "  {compare: [small, large]}          is the first arm steeper? `axis: N` or `axis: C`\n"
       "                                     asks along sizes or FLOPs instead of tokens\n"
       "  {stop_when: \"halfwidth(slope) < 0.003\"}   ends what is left of the sweep when half\n"
       "                                     the width of every arm's interval is below that;\n"
       "                                     also of beta, or of slope_difference (of every\n"
       "                                     comparison). Looked at seven times, with intervals\n"
       "                                     that hold together (docs/FITTING.md)\n"
       "Default: the local slope and the form with a floor, along what the sweep varies.",
       true},
  };
}

}  // namespace loglog
