#include "plan/trunks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace loglog {
namespace {

CellConfig ConfigOf(const Cell& cell) {
  auto config = ParseCellConfig(cell.config_json);
  LOGLOG_CHECK(config.ok());  // it was written by this version
  return *std::move(config);
}

}  // namespace

int64_t BranchStep(const CellConfig& config) {
  const int64_t steps = config.steps();
  const double cooldown =
      config.Text("train.schedule") == "wsd" ? config.Number("train.cooldown") : 0;
  // As trainer/schedule.cc rounds it.
  const int64_t cooled = std::llround(cooldown * static_cast<double>(steps));
  return std::min(steps - cooled, steps - 1);
}

std::vector<CellFault> CheckTrunk(const CellConfig& config) {
  std::vector<CellFault> faults;
  const auto refuse = [&](const char* path, const char* why, const char* fix) {
    faults.push_back(
        {path, absl::StrCat(path, " ", why, ", and schedule.trunks asks for a common beginning"),
         fix});
  };
  if (config.Text("train.schedule") == "cosine") {
    refuse("train.schedule", "is cosine, which falls from the start at a pace of its own",
           "write schedule: wsd");
  }
  if (config.IsNull("train.warmup_tokens") && config.Number("train.warmup") > 0) {
    refuse("train.warmup", "is a share, and so longer where the budget is", "write warmup_tokens");
  }
  const bool all_the_time =
      config.Number("train.decay_begin") == 0 && config.Number("train.decay_end") == 1;
  if (!all_the_time || !config.IsNull("train.decay_windows")) {
    const bool windows = !config.IsNull("train.decay_windows");
    refuse(windows                                   ? "train.decay_windows"
           : config.Number("train.decay_begin") != 0 ? "train.decay_begin"
                                                     : "train.decay_end",
           "makes lambda depend on the budget", "let weights decay all the time");
  }
  return faults;
}

std::vector<int> TrunksOf(const Expansion& expansion) {
  // What a cell is without its budget.
  std::vector<std::string> beginnings;
  std::vector<int64_t> branch_steps;
  for (const Cell& cell : expansion.cells) {
    CellConfig config = ConfigOf(cell);
    branch_steps.push_back(BranchStep(config));
    config.Set("train.tokens", SpecValue());
    beginnings.push_back(config.CanonicalJson());
  }
  const auto tokens = [&](int trial) {
    return expansion.cells[expansion.trials[trial].cell].cost.tokens;
  };
  std::map<std::pair<std::string, int64_t>, int> longest;
  for (int i = 0; i < static_cast<int>(expansion.trials.size()); ++i) {
    const PlannedTrial& trial = expansion.trials[i];
    const auto [it, is_first] = longest.emplace(std::pair(beginnings[trial.cell], trial.seed), i);
    if (!is_first && tokens(i) > tokens(it->second)) it->second = i;
  }
  std::vector<int> trunks;
  for (int i = 0; i < static_cast<int>(expansion.trials.size()); ++i) {
    const PlannedTrial& trial = expansion.trials[i];
    const int trunk = longest.at({beginnings[trial.cell], trial.seed});
    const bool branches = trunk != i && branch_steps[trial.cell] > 0;
    trunks.push_back(branches ? trunk : -1);
  }
  return trunks;
}

}  // namespace loglog
