#ifndef LOGLOG_CLI_SCREEN_H_
#define LOGLOG_CLI_SCREEN_H_

#include <string>
#include <vector>

#include "cli/checks.h"
#include "cli/render/grid.h"
#include "cli/render/style.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// All that `status` shows of one sweep, as plain data.
struct Screen {
  std::string sweep;  // short name
  std::string state;
  v1::TrialCounts counts;
  double done_share = 0;     // of all tokens to train
  double running_share = 0;  // of all tokens, those of running trials already seen
  double tokens_per_second = 0;
  int slots_busy = 0;
  int slots_total = 0;
  double slot_seconds_used = 0;
  double slot_seconds_left = 0, slot_seconds_left_low = 0, slot_seconds_left_high = 0;
  std::string slot_word = "slot";  // "GPU" when every live worker has GPUs
  std::vector<std::pair<std::string, int>> pending_reasons;  // most frequent first
  Grid grid;
  std::vector<Check> checks;
};

Screen BuildScreen(const CheckInput& input);

std::string RenderScreen(const Screen& screen, const Style& style);
// One line for logs and pipes.
std::string RenderScreenLine(const Screen& screen);

// The grid of final losses: the two arm axes at the largest finished scale, or else
// arms against token budgets (or sizes).
Grid BuildGrid(const std::vector<v1::Trial>& trials);

bool HasEnded(const v1::Sweep& sweep);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_SCREEN_H_
