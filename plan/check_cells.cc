#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "plan/grid.h"
#include "plan/plan_checks.h"

namespace loglog {
namespace {

// Where norm_eps decides the size of the normed signal at initialization.
struct EpsFault {
  double excess = 0;  // ln(eps / mean square)
  std::string message;
  double mean_square = 0;
};

// Fields that some other setting makes inert: path, and whether it is so in a cell.
struct IdleRule {
  const char* prefix;
  const char* why;
  bool (*idle)(const CellConfig&);
  bool exact = false;  // the prefix is the whole path
};

bool HasSigma(const CellConfig& config) { return !config.IsNull("init.sigma"); }
bool TiedHead(const CellConfig& config) { return config.model().tied_head; }
bool NoNorm(const CellConfig& config) { return config.Text("model.norm") == "none"; }
bool NotRope(const CellConfig& config) { return config.Text("model.positions") != "rope"; }
bool NoDecay(const CellConfig& config) { return config.Number("train.weight_decay") == 0; }
bool HasWarmupTokens(const CellConfig& config) { return !config.IsNull("train.warmup_tokens"); }
bool NotWsd(const CellConfig& config) { return config.Text("train.schedule") != "wsd"; }
bool NotCosine(const CellConfig& config) { return config.Text("train.schedule") != "cosine"; }
bool ReadsFiles(const std::string& format) {
  return format == "llmc" || format == "u16" || format == "u32" || format == "megatron";
}
template <const char* kFormat>
bool NotFormat(const CellConfig& config) {
  return config.Text("data.train.format") != kFormat;
}
constexpr char kWindows[] = "windows", kAnchor[] = "anchor", kMarkov[] = "markov",
               kAddition[] = "addition";
bool NotSynthetic(const CellConfig& config) {
  return config.Text("data.train.format") != "synthetic" &&
         config.Text("data.val.format") != "synthetic";
}

constexpr IdleRule kIdleRules[] = {
    {"init.gamma", "init.sigma is set, which replaces every gamma", HasSigma},
    {"init.d_in", "init.sigma is set, which is the same at every width", HasSigma},
    {"model.norm_eps", "model.norm is none", NoNorm},
    {"model.rope_theta", "model.positions is not rope", NotRope},
    {"train.decay_lm_head", "model.tied_head is true, where the head is the embedding", TiedHead},
    {"train.decay", "train.weight_decay is 0", NoDecay, true},
    {"train.warmup", "train.warmup_tokens is set, which takes its place", HasWarmupTokens, true},
    {"train.cooldown", "only the wsd schedule has a cooldown", NotWsd},
    {"train.min_lr_ratio", "only the cosine schedule has it", NotCosine},
    {"data.synthetic.", "no format is synthetic", NotSynthetic},
    {"data.windows.", "no format is windows", NotFormat<kWindows>},
    {"data.anchor.", "no format is anchor", NotFormat<kAnchor>},
    {"data.markov.", "no format is markov", NotFormat<kMarkov>},
    {"data.addition.", "no format is addition", NotFormat<kAddition>},
};

class CellChecks {
 public:
  CellChecks(const SweepSpec& spec, const PlanContext& context) : spec_(spec), context_(context) {}

  void Run(std::vector<PlanWarning>* warnings) {
    const Grid grid(spec_);
    grid.Walk([&](const GridCell& cell) {
      ++cells_;
      arm_ = grid.ArmLabel(cell);
      CheckEps(cell.config);
      CheckWarmup(cell.config);
      CheckData(cell.config);
      CheckIdle(cell);
      return true;
    });
    Report(warnings);
  }

 private:
  void CheckEps(const CellConfig& config) {
    // What weights that are read look like is not known here.
    if (config.Text("model.norm") == "none" || config.reads_weights()) return;
    const double d = static_cast<double>(config.Int("model.d_model"));
    const double eps = config.Number("model.norm_eps");
    const bool fixed = HasSigma(config);
    const double gamma = config.IsNull("init.gamma_embed") ? config.Number("init.gamma")
                                                           : config.Number("init.gamma_embed");
    const double std = fixed ? config.Number("init.sigma") : std::pow(d, -gamma);
    const double mean_square = std * std;
    if (eps <= mean_square) return;
    ++eps_cells_;
    eps_arms_.insert(arm_);
    const double excess = std::log(eps / mean_square);
    if (excess <= eps_.excess) return;
    eps_.excess = excess;
    eps_.mean_square = mean_square;
    const std::string bound = absl::StrFormat("%.3f", std::log(1 / eps) / (2 * std::log(d)));
    eps_.message =
        fixed ? absl::StrFormat("sigma %s squared is below eps %s", DisplayText(std),
                                CanonicalNumber(eps))
              : absl::StrFormat("gamma %s > ln(1/eps)/(2 ln d) = %s at d_model %.0f, eps %s",
                                DisplayText(gamma), bound, d, CanonicalNumber(eps));
  }

  void CheckWarmup(const CellConfig& config) {
    if (!config.IsNull("train.warmup_tokens")) return;
    const double warmup = config.Number("train.warmup");
    const double steps = static_cast<double>(config.steps());
    if (warmup == 0 || warmup * steps >= 1) return;
    if (warmup_.empty() || steps < warmup_steps_) {
      warmup_ = absl::StrFormat("train.warmup %s%% of %.0f steps is under one step",
                                DisplayText(100 * warmup), steps);
      warmup_steps_ = steps;
    }
  }

  void CheckData(const CellConfig& config) {
    const std::string format = config.Text("data.train.format");
    const int64_t vocab = config.Int("model.vocab");
    constexpr int64_t kBytes = 256, kIds16 = 65'536;
    if (format == "u16" && vocab > kIds16) {
      vocab_.insert(absl::StrCat("16-bit ids end at 65535, and model.vocab is ", vocab));
    } else if (ReadsFiles(format) && vocab < kBytes) {
      vocab_.insert(
          absl::StrCat("model.vocab is ", vocab, ", under the 256 ids of byte-packed text"));
    }
    if (!ReadsFiles(format)) return;
    CheckWindow("training", context_.train_data_tokens, config.Int("model.seq_len"));
    CheckWindow("validation", context_.val_data_tokens, config.Int("model.seq_len"));
    if (context_.train_data_tokens && config.tokens() > *context_.train_data_tokens) {
      epochs_ = std::max(epochs_, static_cast<double>(config.tokens()) /
                                      static_cast<double>(*context_.train_data_tokens));
    }
  }

  void CheckWindow(const char* split, const std::optional<int64_t>& tokens, int64_t seq_len) {
    if (!tokens || seq_len + 1 <= *tokens) return;
    windows_.insert(absl::StrCat("a sequence takes ", seq_len + 1, " tokens, and the ", split,
                                 " data has ", *tokens));
  }

  void CheckIdle(const GridCell& cell) {
    for (size_t i = 0; i < spec_.axes.size(); ++i) {
      if (cell.choice[i] < 0) continue;
      const AxisSpec& axis = spec_.axes[i];
      NoteIdle(cell.config, axis.path, absl::StrCat("axis ", axis.name),
               "give the axis a `when`, or remove it");
    }
    if (cell.bundle < 0) return;
    const ArmBundle& arm = spec_.bundles[cell.bundle];
    for (const Assignment& field : arm.assignments) {
      if (std::holds_alternative<std::monostate>(field.value)) continue;
      NoteIdle(cell.config, field.path, absl::StrCat(field.path, " of arm ", arm.name),
               "remove it from the arm");
    }
  }

  void NoteIdle(const CellConfig& config, const std::string& path, const std::string& who,
                const char* fix) {
    for (const IdleRule& rule : kIdleRules) {
      if (!absl::StartsWith(path, rule.prefix) || !rule.idle(config)) continue;
      if (rule.exact && path != rule.prefix) continue;
      ++idle_[{absl::StrCat(who, " changes nothing in some cells: ", rule.why), fix}];
    }
  }

  void Report(std::vector<PlanWarning>* warnings) const {
    if (eps_cells_ > 0) {
      const double eps =
          std::max(1e-12, std::pow(10, std::floor(std::log10(0.01 * eps_.mean_square))));
      warnings->push_back(
          {"EPS",
           absl::StrFormat("in %d of %d cells (arm%s %s) norm_eps outweighs the signal at "
                           "initialization, so they measure eps and not gamma: %s",
                           eps_cells_, cells_, eps_arms_.size() == 1 ? "" : "s",
                           absl::StrJoin(eps_arms_, "; "), eps_.message),
           absl::StrCat("model.norm_eps=", CanonicalNumber(eps))});
    }
    if (!warmup_.empty()) {
      warnings->push_back({"WARMUP", warmup_ + ": there is no warm-up",
                           "raise the share, shrink the batch, or write train.warmup=0"});
    }
    for (const std::string& message : vocab_) {
      warnings->push_back({"VOCAB", message, "check that the data was made for this vocabulary"});
    }
    for (const std::string& message : windows_) {
      warnings->push_back({"DATA", message, "shorten model.seq_len or take more data"});
    }
    if (epochs_ > 1) {
      warnings->push_back(
          {"DATA",
           absl::StrFormat(
               "the largest budget reads the %s tokens of the data %.2g times: repeated "
               "tokens bend the law",
               ApproximateCount(static_cast<double>(*context_.train_data_tokens)), epochs_),
           "take more data or smaller budgets"});
    }
    for (const auto& [finding, count] : idle_) {
      const auto& [message, fix] = finding;
      warnings->push_back(
          {"IDLE", absl::StrCat(message, " (", count, " of ", cells_, " cells)"), fix});
    }
  }

  const SweepSpec& spec_;
  const PlanContext& context_;
  std::string arm_;
  int64_t cells_ = 0;
  int64_t eps_cells_ = 0;
  std::set<std::string> eps_arms_;
  EpsFault eps_;
  std::string warmup_;
  double warmup_steps_ = 0;
  std::set<std::string> vocab_;
  std::set<std::string> windows_;
  std::map<std::pair<std::string, std::string>, int64_t> idle_;  // message and fix, cells
  double epochs_ = 0;
};

}  // namespace

void CheckCells(const SweepSpec& spec, const PlanContext& context,
                std::vector<PlanWarning>* warnings) {
  CellChecks(spec, context).Run(warnings);
}

}  // namespace loglog
